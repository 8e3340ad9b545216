"""`nnx train`."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nnx import cores
from nnx.cli import begin, results, show
from nnx.cli.options import Device, Json, Threads, number, on, path, threads_limited
from nnx.cli.settings_options import with_settings
from nnx.errors import InputError

if TYPE_CHECKING:
    from nnx.maths.shards import Communicator
    from nnx.training.result import Result
    from nnx.training.run import Run


@with_settings
def train(
    given: dict[str, Any],
    data: Annotated[
        str | None,
        typer.Argument(
            help="Data set to train on, as for --dataset.",
            rich_help_panel="Arguments",
            metavar="DATASET",
            show_default=False,
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="Settings with a name, most of a published result: two-layer, "
            "relu-10, relu-25-25, tanh-1000, kaggle, quick, simard, dropout, elastic, "
            "ciresan or fashion. A --config overrides them, and other options override "
            "both.",
            metavar="NAME",
            rich_help_panel="Settings",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        path(
            "TOML file of settings, such as a run's config.toml, which repeats the "
            "run; names are those of the options, with _ for -.",
            "FILE",
            rich_help_panel="Settings",
        ),
    ] = None,
    device: Device = None,
    threads: Threads = None,
    out: Annotated[
        Path | None,
        path(
            "Folder for the run's model, settings and log (default runs/DATASET-TIME)."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in --out.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the run in --out.")
    ] = False,
    require_accuracy: Annotated[
        float | None,
        number(float, "Exit with status 1 if the test accuracy is below this."),
    ] = None,
    distributed: Annotated[
        str,
        typer.Option(
            help="Train one network in all processes started together: mpi, under "
            "mpiexec.",
            metavar="NAME",
            show_default=False,
        ),
    ] = "",
    no_plots: Annotated[
        bool,
        typer.Option("--no-plots", help="Draw no pictures of the run, and no report."),
    ] = False,
    tensorboard: Annotated[
        bool,
        typer.Option(
            "--tensorboard", help="Also write the log for TensorBoard, in --out."
        ),
    ] = False,
    json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print no progress.")] = False,
) -> None:
    """Train a network, and save it with its settings and log in a folder.

    [bold]Examples[/bold]

    nnx train                                          digits, in a second

    nnx train --preset quick                           MNIST, to 98 %

    nnx train fashion-mnist --hidden 256,128 --optimizer adam

    nnx train houses.csv --target price                any table

    nnx train --validation-fraction 0.1 --patience 5 --epochs 100

    nnx train --config mine.toml --seed 1              settings from a file

    nnx train --out runs/mine --resume                 continue where it stopped

    nnx train --from runs/mine --learning-rate 0.01    a new run, with its weights
    """
    from nnx.cli.progress import compiled
    from nnx.cli.signals import EXIT, remembered
    from nnx.communicator import gather
    from nnx.training.progress import shown

    _check_accuracy(require_accuracy)
    _check_folder(out, resume, overwrite)
    given = begin.asked(given, data, out, resume)
    began = cores.times()
    how = {"resume": resume, "overwrite": overwrite, "tensorboard": tensorboard}
    how |= {"quiet": quiet, "classes": require_accuracy is not None}
    values = partial(_values, given, config, preset, out if resume else None)
    with _opened(values, on(device), out, threads, distributed, **how) as run:
        quiet = quiet or run.folder is None
        if not quiet:
            results.introduce(run, cores.busy(began), resume=resume)
        compiled(run.compile(), quiet)
        results.tell_way(run, quiet)
        with remembered() as signals, shown(quiet) as show_progress:
            result = run.follow(show_progress, lambda: bool(signals))
        heard = max(gather(run.communicator, sum(signals)))
        if run.folder is not None:
            results.tell(run, result, json, quiet)
            if not (heard or no_plots):
                results.draw(run, result, quiet)
        if heard:
            results.go_on(run, result, device, threads)
            raise typer.Exit(EXIT[heard])
        if require_accuracy is not None:
            _require(require_accuracy, result)


def _require(accuracy: float, result: "Result") -> None:
    """Exit with status 1 if the test accuracy is below this."""
    if result.test_accuracy < accuracy:
        show.note(
            f"nnx: test accuracy {result.test_accuracy:.4f} is below the "
            f"required {accuracy:g}"
        )
        raise typer.Exit(1)


def _check_accuracy(required: float | None) -> None:
    if required is not None and not 0 <= required <= 1:
        raise InputError(
            f"--require-accuracy takes a fraction from 0 to 1, not {required}"
        )


def _check_folder(out: Path | None, resume: bool, overwrite: bool) -> None:
    """Refuse options for the folder that contradict each other."""
    if resume and overwrite:
        raise InputError("--resume continues a run, --overwrite replaces it: not both")
    if resume and out is None:
        raise InputError("--resume needs --out, the folder of the run to continue")


def _values(
    given: dict[str, Any], file: Path | None, preset: str | None, old: Path | None
) -> dict[str, Any]:
    """Return the given settings over the file's, over the preset's.

    old: folder of the run to resume; its settings, if it has any, come under all others
    """
    from nnx.files import read_toml
    from nnx.settings import layered
    from nnx.training import presets
    from nnx.training.folder import is_begun, load_settings

    if old is not None and not is_begun(old):
        old = None
    values: dict[str, Any] = {**load_settings(old)} if old is not None else {}
    if preset is not None:
        values = layered(values, presets.load(preset), f"preset {preset}")
    if file is not None:
        values = layered(values, read_toml(file), str(file))
    values = layered(values, given)
    return values if old is not None else begin.with_origin(values)


@contextmanager
def _opened(
    make_values: Callable[[], dict[str, Any]],
    options: dict[str, Any],
    out: Path | None,
    threads: int | None,
    distributed: str,
    **how: Any,
) -> Iterator["Run"]:
    """Provide the run, in one of the processes that share it; see `_begun`."""
    from nnx.cli.distributed import together
    from nnx.communicator import own_cores

    with together(distributed) as communicator, threads_limited(threads):
        if threads is None and communicator.size > 1:
            threads = own_cores(communicator)
        how |= {"communicator": communicator, "threads": threads}
        with closing(_begun(make_values, options, out, **how)) as run:
            yield run


def _begun(
    make_values: Callable[[], dict[str, Any]],
    options: dict[str, Any],
    out: Path | None,
    *,
    communicator: "Communicator",
    classes: bool,
    quiet: bool,
    **how: Any,
) -> "Run":
    """Return the run; InputError if its parts do not fit.

    The first process looks at files for all.

    options: of the backend
    classes: whether the data must have classes
    how: as for `Run`; resume is ignored if there is no checkpoint
    """
    from nnx.cli.progress import doing
    from nnx.communicator import first_rank
    from nnx.model_file import CHECKPOINT_NAME
    from nnx.network import Network
    from nnx.settings import complete
    from nnx.training.data import load_data
    from nnx.training.folder import can_resume, default_folder, discard

    values = first_rank(communicator, make_values)
    old = out if how["resume"] else None
    resumed = first_rank(communicator, lambda: old is not None and can_resume(old))
    how["resume"] = resumed
    settings = complete(values)
    begin.check_backend(settings, options)  # refused before data are loaded
    place = old / CHECKPOINT_NAME if old is not None and resumed else settings["from"]
    own = first_rank(communicator, partial(Network.load, place)) if place else None
    with doing(f"reading {settings['dataset']}", quiet=quiet):
        data = load_data(settings, network=own)
    if classes and data.task == "regression":
        raise InputError(
            f"--require-accuracy is for classes: the score of {data.name} is R²"
        )
    folder = out or first_rank(communicator, lambda: default_folder(data.name))
    try:
        how |= {"communicator": communicator, "trained": None if resumed else own}
        return begin.run(values, data, folder, options, **how)
    except BaseException:
        if out is None:
            discard(folder)
        raise
