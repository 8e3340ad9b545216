"""`nnx gradcheck`."""

from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nnx.automatic import DEFAULT
from nnx.cli import show
from nnx.cli.checks import as_row, chosen, finite
from nnx.cli.options import BackendOrAll, DataDir, DatasetOption, Device, Json
from nnx.errors import InputError

if TYPE_CHECKING:
    from nnx.backend import Backend
    from nnx.settings import Settings
    from nnx.verify.compare import Agreement
    from nnx.verify.own_network import ParameterCheck

# Settings of what a step draws at random, or computes from its batch. They do not apply
# outside training, and so not to a model file.
DRAWN = "batch_norm", "dropout", "input_dropout", "input_noise", "augment"
# The losses in words.
LOSSES = {
    "cross_entropy": "cross-entropy",
    "binary_cross_entropy": "binary cross-entropy",
    "squared_error": "half the squared error",
    "huber": "Huber's loss",
}


def gradcheck(
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="RUN",
            help="Run's folder, or a .safetensors in it (default: the built-in cases).",
        ),
    ] = None,
    dataset: DatasetOption = None,
    data_dir: DataDir = None,
    backend: BackendOrAll = DEFAULT,
    device: Device = None,
    json: Json = False,
) -> None:
    """Compare backpropagation with central differences of the loss, in float64.

    With a RUN, each layer of its network is checked on training images that it
    does badly on, with the run's penalties, label smoothing and class weights.
    Only some entries of a large layer are checked.

    Without one, small networks are checked: every activation with every option
    that the gradient depends on, at depths 1 to 4.

    Exits with status 1 if an error reaches its bound: 1e-6, and more where a
    layer's gradient is tiny.

    [bold]Examples[/bold]

    nnx gradcheck runs/mine

    nnx gradcheck --backend all
    """
    if run is None and (dataset is not None or data_dir is not None):
        raise InputError("--dataset and --data-dir need a RUN, and none was given")
    backends = chosen(backend, device)
    if run is None:
        passed = _of_cases(backends, json)
    else:
        passed = _of_network(run, dataset, data_dir, backends, json)
    if not passed:
        raise typer.Exit(1)


def _of_cases(backends: "list[Backend]", json: bool) -> bool:
    """Print the errors of the built-in cases; return whether all are small."""
    from nnx.cli.progress import counted
    from nnx.verify.cases import gradient_cases
    from nnx.verify.gradients import BOUND, each_case

    results: list[Agreement] = []
    unit = f"of {len(gradient_cases()):,} cases"
    for backend in backends:
        show.note(f"checking {backend.name} …")
        results += counted(each_case(backend), lambda _: 1, unit)
    worst = max(check.max_relative_error for check in results)
    if json:
        rows = [as_row(check, "backend", case="network") for check in results]
        show.as_json({"rows": rows, "worst": finite(worst)})
    else:
        cells = [[c.network, c.backend, f"{c.max_relative_error:.1e}"] for c in results]
        columns = ["network", "backend", "max relative error"]
        show.table("backpropagation against central differences", columns, cells)
        verdict = "below" if worst < BOUND else "NOT below"
        show.line(f"worst {worst:.1e}, {verdict} {BOUND:g}")
    return worst < BOUND


def _of_network(
    path: Path,
    dataset: str | None,
    data_dir: Path | None,
    backends: "list[Backend]",
    json: bool,
) -> bool:
    """Print the errors of a run's network; return whether all are within bounds."""
    from nnx.cli.progress import doing
    from nnx.network import Network
    from nnx.settings import complete
    from nnx.settings.values import as_option
    from nnx.training.data import load_data
    from nnx.training.folder import settings_of
    from nnx.training.scores import samples
    from nnx.verify.own_network import IMAGES, check

    network = Network.load(path)
    settings = complete(settings_of(path, needed=dataset is None))
    with doing(f"reading {dataset or settings['dataset']}"):
        data = load_data(settings, dataset, data_dir, network=network)
    drawn = [name.replace("_", " ") for name in DRAWN if _value(settings, name)]
    if drawn:
        show.note(f"checked without the run's {', '.join(drawn)}")
    results: list[ParameterCheck] = []
    for backend in backends:
        with doing(f"checking {backend.name}"):
            results += check(network, data, settings, backend)
    minimized, images = _minimized(settings), min(IMAGES, len(data.train.labels))
    if json:
        described = {"model": str(path), "network": str(network), "dataset": data.name}
        _print_json(described | {"images": images, "minimized": minimized}, results)
    else:
        options = {name: as_option(name, _value(settings, name)) for name in minimized}
        loss = ", ".join(f"{name}={value}" for name, value in options.items())
        minimizes = LOSSES["huber" if settings["huber_delta"] else network.loss]
        tested = f"{images} training {samples(data.columns)}"
        title = f"{network} on {tested} of {data.name}: {minimizes}"
        _print(f"{title} with {loss}" if loss else title, results)
    return all(row.within_bound for row in results)


def _minimized(settings: "Settings") -> dict[str, Any]:
    """Return the settings that change the minimized loss, as written in a file."""
    from nnx.settings import as_text
    from nnx.verify.own_network import MINIMIZED

    text = as_text(settings)
    return {name: text[name] for name in MINIMIZED if _value(settings, name)}


def _value(settings: "Settings", name: str) -> Any:
    return settings[name]  # type: ignore[literal-required]


def _print_json(described: dict[str, Any], results: "list[ParameterCheck]") -> None:
    rows = [
        row._asdict() | {"max_relative_error": finite(row.max_relative_error)}
        for row in results
    ]
    worst = finite(max(row.max_relative_error for row in results))
    show.as_json(described | {"rows": rows, "worst": worst})


def _print(title: str, results: "list[ParameterCheck]") -> None:
    """Print a row for each weight and bias, remarks on some, and the worst error."""
    from nnx.verify.gradients import BOUND

    cells = []
    for row in results:
        size, shape = prod(row.shape), "×".join(map(str, row.shape))
        entries = (
            f"{row.entries}" if row.entries == size else f"{row.entries} of {size:,}"
        )
        numbers = [f"{row.largest:.1e}", f"{row.max_relative_error:.1e}"]
        name = f"{row.layer} {row.parameter}"
        cells.append([name, shape, entries, str(row.at_kinks), row.backend, *numbers])
    columns = [
        "layer", "shape", "compared", "at kinks", "backend", "largest slope",
        "max error",
    ]  # fmt: skip
    show.table(title, columns, cells)
    for row in results:
        if remark := _remark(row):
            show.line(f"layer {row.layer} {row.parameter}: {remark}")
    worst = max(row.max_relative_error for row in results)
    missed = [f"layer {r.layer} {r.parameter}" for r in results if not r.within_bound]
    verdict = f"below {BOUND:g}" if worst < BOUND else "below the bounds above"
    if missed:
        verdict = f"NOT below the bound: {', '.join(dict.fromkeys(missed))}"
    show.line(f"worst {worst:.1e}, {verdict}")


def _remark(row: "ParameterCheck") -> str:
    """Return a remark on what a row's numbers alone would not tell, or ""."""
    from nnx.verify.gradients import BOUND

    if row.entries == 0:
        return "nothing was compared: every entry drawn is at a kink"
    if row.largest == 0.0:
        return "every slope is 0: these images teach it nothing"
    if row.bound >= 1.0:
        return "its slopes are too small to compare; rounding hides them"
    if row.bound > BOUND:
        return f"its slopes are so small that its bound is {row.bound:.0e}"
    return ""
