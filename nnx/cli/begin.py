"""Beginning a run of `nnx train`: its data set, its network, and the run itself."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnx.cli.options import expanded
from nnx.errors import InputError

if TYPE_CHECKING:
    from nnx.data.dataset import Dataset
    from nnx.network import Network
    from nnx.settings import Settings
    from nnx.training.run import Run


def asked(
    given: dict[str, Any], data: str | None, out: Path | None, resume: bool
) -> dict[str, Any]:
    """Return the given settings, with the data set if it was named without its option.

    Raises:
        InputError: options that do not go together
    """
    _check_origin(given, out, resume)
    if data is None:
        return given
    option = given.get("dataset", data)
    if data != option:
        raise InputError(
            f"two data sets are given, {data} and --dataset {option}: give one"
        )
    _check_preset(data)
    return {**given, "dataset": data}


def _check_preset(data: str) -> None:
    from nnx.training import presets

    if data in presets.names() and not os.path.exists(data):
        raise InputError(
            f"{data} is a preset, not a data set: nnx train --preset {data}"
        )


def _check_origin(given: dict[str, Any], out: Path | None, resume: bool) -> None:
    """Refuse options that contradict --from."""
    if not (origin := given.get("from")):
        return
    from nnx.model_file import MODEL_NAME

    if resume:
        raise InputError("--from starts a new run, --resume continues one: not both")
    if "init" in given:
        raise InputError("--init draws new weights, --from has its own: not both")
    replaced = (out, out / MODEL_NAME) if out is not None else ()
    if os.path.realpath(expanded(origin)) in map(os.path.realpath, replaced):
        raise InputError(f"{out}: is the run given by --from; choose another --out")


def with_origin(values: dict[str, Any]) -> dict[str, Any]:
    """Return settings with those that the network of `from` determines, if any.

    Raises:
        InputError: there is no network, or the settings contradict it
    """
    from nnx.network import Network
    from nnx.training.origin import with_network

    if not values.get("from"):
        return values
    origin = expanded(values["from"]).absolute()
    trained = Network.load(origin)
    whole = with_network(values, trained, str(origin))
    of_data = _data_of(origin, trained, values)
    return of_data | whole | {"from": str(origin)}


def _data_of(
    origin: Path, network: "Network", values: dict[str, Any]
) -> dict[str, Any]:
    """Return settings of the data that a network was trained on.

    If no other data are named, these are all settings that name them; otherwise those
    by which the network's table was read.

    Raises:
        InputError: the settings contradict how the network's table was read
    """
    from nnx.data.table_like import AS_TRAINED, aim_of
    from nnx.settings import complete
    from nnx.training.data import NAMES
    from nnx.training.folder import settings_of

    if "dataset" in values and not network.columns:
        return {}
    own = settings_of(origin, needed="dataset" not in values)
    usual: dict[str, Any] = {**complete({})}
    for name in AS_TRAINED if network.columns else ():
        here = own.get(name, usual[name])
        if values.get(name, here) != here:
            raise InputError(
                f"{name} comes with the network in {origin}: leave {name} out, or "
                "begin without from"
            )
    if "dataset" not in values:
        return {name: own[name] for name in NAMES}
    target = aim_of(network, own.get("target", ())).names
    return {"target": target} | {name: own[name] for name in AS_TRAINED if name in own}


def network(
    settings: "Settings", data: "Dataset", trained: "Network | None"
) -> "Network":
    """Return the network that a run begins with: a new one, or that of `from`.

    Raises:
        InputError: the data do not fit the trained network
    """
    from nnx.network import Network
    from nnx.training.evaluate import check_fits

    if trained is not None:
        check_fits(trained, data)
        return trained
    init, regression = settings["init"], data.task == "regression"
    return Network(
        (data.train.images.shape[1], *settings["hidden"], data.outputs),
        settings["activation"],
        # Of a few features, he draws weights that a regression is slow to forget.
        init="glorot" if regression and init == ("auto",) else init,
        seed=settings["seed"],
        dtype=settings["dtype"],
    )


def check_backend(settings: "Settings", options: dict[str, Any]) -> None:
    """Refuse a backend that is named, or has options, and cannot be used."""
    from nnx.backend import find
    from nnx.training.prepare import precision

    options = options | precision(settings)
    if settings["backend"] not in ("auto", "gpu") or options:
        find(settings["backend"], **options)


def run(
    values: dict[str, Any],
    data: "Dataset",
    out: Path | None,
    options: dict[str, Any],
    *,
    trained: "Network | None",
    **how: Any,
) -> "Run":
    """Return a run on these data; InputError if its parts do not fit.

    values: the settings as they were given
    options: of the backend; how: other arguments of `Run`
    trained: the network of `from`; None for a new one, which a checkpoint may replace
    """
    from nnx.settings import complete
    from nnx.settings.values import regression_rate
    from nnx.training.data import described
    from nnx.training.prepare import precision
    from nnx.training.run import Run

    settings = complete(values)
    first = network(settings, data, trained)
    if data.task == "regression":
        settings = complete(values, rate=regression_rate(first.sizes))
    return Run(
        first,
        data,
        {**settings, **described(data)},  # type: ignore[typeddict-item]
        backend=settings["backend"],
        out=out,
        **how,
        **options,
        **precision(settings),
    )
