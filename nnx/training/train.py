"""The function `nnx.train`, which trains a network on a data set."""

from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, Unpack

from nnx import files
from nnx.backend import Backend
from nnx.communicator import first_rank
from nnx.data import given
from nnx.data.dataset import IN_MEMORY, Dataset, Split
from nnx.data.table_like import AS_TRAINED
from nnx.errors import InputError, in_few_words
from nnx.maths.shards import ALONE
from nnx.network import Network, checked
from nnx.settings import Settings, TrainingSettings, complete, layered
from nnx.settings.other_names import OF_TRAIN, OPTIONS
from nnx.settings.table import TRAINING
from nnx.settings.values import regression_rate, suggestion
from nnx.training import origin
from nnx.training.data import described as described_data
from nnx.training.folder import can_resume, is_begun, load_settings
from nnx.training.plan import Progress
from nnx.training.prepare import precision
from nnx.training.progress import shown
from nnx.training.result import Result
from nnx.training.run import Run


def train(
    network: Network,
    data: Dataset | tuple[Any, Any] | str | PathLike[str],
    *,
    validation: Split | tuple[Any, Any] | None = None,
    backend: str | Backend = "auto",
    out: str | PathLike[str] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    tensorboard: bool = False,
    progress: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
    **settings: Unpack[TrainingSettings],
) -> Result:
    """Train a copy of the network and return the result; the network stays unchanged.

    network: a new or a trained network; training starts from its weights
    data: a data set, its name or path, or a pair (x, y) as `nnx.dataset` takes it
    validation: a validation set, as a pair (x, y) or a part of a data set
    backend: a name in nnx.backends(), a Backend, or "auto": the resumed run's, or the
        fastest on the CPU; nnx.find(name).in_shards(nnx.processes("mpi")) for all
        processes started by mpiexec, the first of which has the folder
    out: a folder for settings, log, checkpoint and model, as `nnx train` writes them;
        without one, an interrupt (Ctrl-C) loses what was trained
    resume: continue from the folder's checkpoint, with its settings unless others are
        given, to the same bits as one long run; without a checkpoint, begin a new run
    overwrite: replace a run that is in the folder
    tensorboard: also write the log for TensorBoard, to `tensorboard` in the folder
    progress: show a bar; outside terminals and notebooks, a line per epoch on stderr
    on_progress: called about ten times a second, and at the end of each epoch
    should_stop: called as often; once it returns true, the run is saved and ends
    settings: epochs, batch_size, …: help(nnx.TrainingSettings) describes all

    Raises:
        InputError: settings and data do not fit
        BackendError: the backend cannot be used
        DivergedError: the loss is no longer finite
        OutOfMemoryError: the device has too little memory
    """
    flags = {"resume": resume, "overwrite": overwrite, "tensorboard": tensorboard}
    _check_arguments(settings, flags | {"progress": progress}, on_progress, should_stop)
    network, out = checked(network), _folder(out, resume)
    data = given.dataset(data, validation)
    communicator = backend.ops.communicator if isinstance(backend, Backend) else ALONE
    look = partial(_settings, network, data, settings, out if resume else None)
    whole, flags["resume"] = first_rank(communicator, look)
    run = Run(network, data, whole, out=out, **_backend(backend, whole) | flags)
    with closing(run), shown(quiet=not progress, then=on_progress) as show:
        return run.follow(show, should_stop)


def _check_arguments(
    settings: Mapping[str, Any], flags: Mapping[str, Any], *functions: Any
) -> None:
    """Refuse unknown settings, flags that are not bool, and uncallable functions."""
    for name in settings:
        if instead := OF_TRAIN.get(name) or OF_TRAIN.get(suggestion(name) or ""):
            raise InputError(f"nnx.train takes no {name}: give {instead}")
        if not (name in OPTIONS or suggestion(name)):
            raise InputError(
                f"no setting is called {in_few_words(name)}; nnx.train takes "
                f"{', '.join(TRAINING)}"
            )
    for name, flag in flags.items():
        if not isinstance(flag, bool):
            raise InputError(f"{name} must be True or False, not {in_few_words(flag)}")
    for name, function in zip(("on_progress", "should_stop"), functions, strict=True):
        if not callable(function):
            raise InputError(f"{name} must be a function, not {in_few_words(function)}")


def _folder(out: Any, resume: bool) -> Path | None:
    if out is not None:
        return files.given(out, "a run's folder")
    if resume:
        raise InputError("resume needs the folder of a run: give out")
    return None


def _backend(backend: str | Backend, settings: Settings) -> dict[str, Any]:
    """Return the options that choose the backend.

    For "auto" that is the settings' backend, which may be the resumed run's, and their
    precision.
    """
    if not (isinstance(backend, str) and backend == "auto"):
        return {"backend": backend}
    return {"backend": settings["backend"], **precision(settings)}


def _settings(
    network: Network,
    data: Dataset,
    settings: Mapping[str, Any],
    resumed: Path | None,
) -> tuple[Settings, bool]:
    """Return all settings, and whether there is a checkpoint to resume from.

    Given settings replace those of the resumed run, or for a new run, those that
    describe its data and network.
    """
    if resumed is None or not is_begun(resumed):
        base = described_data(data) | origin.described(network)
    else:
        base = {**load_settings(resumed), **_of_network(network, resumed)}
        if data.source != IN_MEMORY:
            base |= _of_data(data, resumed)
    rate = regression_rate(network.sizes) if data.task == "regression" else None
    whole = complete(layered(base, settings), rate=rate)
    return whole, resumed is not None and can_resume(resumed)


def _of_data(data: Dataset, folder: Path) -> dict[str, Any]:
    """Return the data's settings that may replace those of a resumed run.

    If the folder has a checkpoint, that tells whether columns are the same, however
    they were made: `nnx.load(…, like=network)` does not know.
    """
    own = described_data(data)
    names = own.keys() - ({*AS_TRAINED} if can_resume(folder) else set())
    return {name: own[name] for name in names}


def _of_network(network: Network, folder: Path) -> dict[str, Any]:
    """Return the network's settings that may replace those of a resumed run.

    If the folder has a checkpoint, that is only the dtype.
    """
    names = ("dtype",) if can_resume(folder) else ("dtype", "hidden", "activation")
    own = origin.described(network)
    return {name: own[name] for name in names if name in own}
