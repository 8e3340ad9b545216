"""`nnx bench`, and its commands `options`, `time-to`, `gpu`, `whole`, `estimators`."""

import json as json_format
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from nnx import cores
from nnx.cli import show
from nnx.cli.options import BackendOrAll, DataDir, Device, Json, number, on, path
from nnx.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nnx.data.dataset import Dataset
    from nnx_benchmarks.measure import Note
    from nnx_benchmarks.report import Report, Table

JSON_NAME, PICTURE_NAME = "bench.json", "bench.png"
LOOK = 0.5  # seconds for which the machine is looked at before it is measured
FORMER = {"--options": "options", "--time-to": "time-to 0.98"}  # what they are now


Workloads = Annotated[
    list[str] | None,
    typer.Option(
        "--workload",
        help="tiny, narrow, classic, wide, deep, other-…, or all of these; a recipe's "
        "name, or recipes; drawn: ten drawn at random; may be given several times.",
        metavar="KEY",
    ),
]
Rivals = Annotated[
    bool,
    typer.Option(
        "--rivals", help="Measure plain NumPy, scikit-learn, PyTorch and JAX too."
    ),
]
BatchSize = Annotated[
    int | None, number(int, "Images in a step, instead of a workload's own.", least=1)
]
Rounds = Annotated[int, number(int, "Timed rounds, in turn.", least=1)]
Out = Annotated[
    Path | None,
    path(f"The folder for {JSON_NAME} and {PICTURE_NAME} (default runs/bench-TIME)."),
]


class Group(TyperGroup):
    """Tells what became of a former option, and takes no other word for a command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the options; refused: those that are commands now."""
        for word in args:
            if (option := word.partition("=")[0]) in FORMER:
                raise InputError(f"{option} is now 'nnx bench {FORMER[option]}'")
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command; refused: another word, perhaps meant for a workload."""
        if args[0] not in self.commands:
            ctx.fail(f"Got unexpected extra argument ({args[0]})")
        return super().resolve_command(ctx, args)


app = typer.Typer(cls=Group, invoke_without_command=True)


@app.callback()
def bench(
    context: typer.Context,
    workload: Workloads = None,
    batch_size: BatchSize = None,
    backend: BackendOrAll = "all",
    device: Device = None,
    rivals: Rivals = False,
    rounds: Rounds = 5,
    data_dir: DataDir = None,
    out: Out = None,
    json: Json = False,
) -> None:
    """Measure training speed, and how far each result is from float64.

    All train the same batches from the same weights, in turn, and none that
    disagrees is shown with a speed. Beside each stands its share of what the
    processor can do, and among them the matrix products alone. The workloads,
    plain SGD, are tiny, narrow, classic, wide and deep by default. Recipes, with
    Adam, batch normalization, dropout and more, are bn-adam, dropout-adam,
    bn-dropout, clip, gelu, silu and large.

    [bold]Examples[/bold]

    nnx bench --workload classic

    nnx bench --workload all --rivals --rounds 9

    nnx bench --workload recipes --rivals

    nnx bench options --workload wide --backend numba

    nnx bench time-to 0.98

    nnx bench whole --busy 2

    nnx bench estimators
    """
    if context.invoked_subcommand is not None:
        _refuse_given(context)
        return
    from nnx_benchmarks import choose, data, throughput

    workloads = choose.workloads(workload or [], batch_size)
    images = data.images(data_dir)
    modules = choose.RIVALS if rivals else ()
    those = choose.implementations(backend, modules, show.note, **on(device))
    measure = partial(throughput.measure, workloads, those)
    _report(measure, images, rounds, out, json)


@app.command("options")
def _options(
    workload: Workloads = None,
    backend: BackendOrAll = "all",
    device: Device = None,
    rounds: Rounds = 5,
    data_dir: DataDir = None,
    out: Out = None,
    json: Json = False,
) -> None:
    """Measure what each training option costs: momentum, dropout and so on.

    One option at a time, by the training loop itself, an epoch of each in turn. The
    workload is classic by default.
    """
    from nnx_benchmarks import choose, data, options

    workloads = choose.workloads(workload or ["classic"])
    if recipes := [key for key, each in workloads.items() if each.options]:
        raise InputError(f"options are measured on plain SGD, not on {recipes[0]}")
    images = data.images(data_dir)
    backends = choose.backends(backend, show.note, **on(device))
    measure = partial(options.measure, workloads, backends)
    _report(measure, images, rounds, out, json)


@app.command("time-to")
def _time_to(
    accuracy: Annotated[
        float, typer.Argument(metavar="ACCURACY", help="Of the test images: 0.98.")
    ],
    workload: Workloads = None,
    batch_size: BatchSize = None,
    backend: BackendOrAll = "all",
    device: Device = None,
    rivals: Rivals = False,
    rounds: Rounds = 5,
    data_dir: DataDir = None,
    out: Out = None,
    json: Json = False,
) -> None:
    """Measure the seconds of training to a test accuracy on MNIST, beside PyTorch.

    The network and its settings are the preset quick's, or a workload's.
    """
    from nnx_benchmarks import choose, data, time_to
    from nnx_benchmarks.workloads import QUICK

    if not 0 < accuracy < 1:
        raise InputError(f"time-to takes a fraction between 0 and 1, not {accuracy:g}")
    workloads = choose.workloads(workload or [], batch_size, {"quick": QUICK})
    if len(workloads) != 1:
        raise InputError("time-to takes one --workload")
    images = data.images(data_dir)
    if images.name == data.RANDOM:
        raise InputError("time-to needs MNIST: nnx data fetch mnist, or --data-dir")
    [(key, one)] = workloads.items()
    modules = choose.RIVALS if rivals else choose.PYTORCH
    those = choose.implementations(backend, modules, show.note, **on(device))
    measure = partial(time_to.measure, accuracy, key, one, those)
    _report(measure, images, rounds, out, json)


@app.command("gpu")
def _gpu(
    device: Device = None,
    rounds: Rounds = 5,
    out: Out = None,
    json: Json = False,
) -> None:
    """Measure what an NVIDIA card can do at most, and what launches cost on it."""
    from nnx.backend import find
    from nnx_benchmarks import card

    measure = partial(card.measure, find("cupy", **on(device)))
    _report(measure, None, rounds, out, json)


@app.command("whole")
def _whole(
    busy: Annotated[
        int,
        number(int, "Measure beside 1, 2 … of so many busy programs too.", least=0),
    ] = 0,
    rounds: Rounds = 3,
    data_dir: DataDir = None,
    out: Out = None,
    json: Json = False,
) -> None:
    """Measure whole commands, from shell to prompt, beside scripts of other libraries.

    The command is nnx train --preset quick, on MNIST.
    """
    from nnx_benchmarks import data, whole

    images = data.images(data_dir)
    if images.name == data.RANDOM:
        raise InputError("whole needs MNIST: nnx data fetch mnist, or --data-dir")
    _report(partial(whole.measure, busy), images, rounds, out, json)


@app.command("estimators")
def _estimators(
    rounds: Rounds = 5,
    data_dir: DataDir = None,
    out: Out = None,
    json: Json = False,
) -> None:
    """Measure fit of MLPClassifier and MLPRegressor, scikit-learn's and this package's.

    On small tables by their defaults, and on MNIST for a few epochs, from the same
    random_state: they learn the same.
    """
    from nnx_benchmarks import data, estimators

    _report(estimators.measure, data.images(data_dir), rounds, out, json)


def _refuse_given(context: typer.Context) -> None:
    """Refuse options before a command's name: it has its own after it."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            command, option = context.invoked_subcommand, name.replace("_", "-")
            raise InputError(f"--{option} goes after {command}: nnx bench {command} …")


def _report(
    measure: "Callable[[Any, int, Note], Iterable[Report]]",
    images: "Dataset | None",
    rounds: int,
    out: Path | None,
    json: bool,
) -> None:
    """Measure, print what is reported and write it; status 1 if one disagreed.

    measure: gives a report, or several, each with what those before it have and more
    """
    from nnx import files
    from nnx.training.folder import default_folder
    from nnx_benchmarks import machine
    from nnx_benchmarks.data import RANDOM

    folder = _prepared(out or default_folder("bench"))
    if images is not None and images.name == RANDOM:
        show.note(
            "MNIST is not at hand: random bytes of its shape instead, and no accuracy; "
            "to have it: nnx data fetch mnist"
        )
    _say_if_busy()
    shown = 0
    for report in measure(images, rounds, show.note):
        described = machine.machine()
        summary = machine.summary(described)
        of = {"images": images and images.name, "machine": described}
        values, written = report.as_json() | of, [folder / JSON_NAME]
        # Anew each time: what was measured before one that never ends is kept.
        content = json_format.dumps(values, indent=1) + "\n"
        files.write(written[0], content.encode())
        if not json:
            _show(report.tables[shown:], "" if shown else summary)
            shown = len(report.tables)
    if report.drawn:
        from nnx_benchmarks import picture

        written.append(folder / PICTURE_NAME)
        files.write(written[1], picture.png(report.tables, summary))
    if json:
        show.as_json(values)
    else:
        show.line(report.legend)
        show.line(f"written: {', '.join(map(str, written))}")
    if any(row["no_speed_because"] for row in values["rows"]):
        raise typer.Exit(1)


def _show(tables: "Sequence[Table]", summary: str) -> None:
    """Print tables, and before them the machine, if it is given."""
    if summary:
        show.line(summary)
    for table in tables:
        columns = [heading for heading, _, _ in table.columns]
        show.table(table.title, columns, table.cells())
        for line in [*table.without_speed(), ""]:
            show.line(line)


def _say_if_busy() -> None:
    """Say whether other programs keep the cores, after a look at them."""
    moment = cores.times()
    time.sleep(LOOK)
    if (busy := cores.busy(moment)) > cores.BUSY:
        show.note(
            f"the machine is busy: other programs keep {busy:.1f} of "
            f"{cores.available()} cores; libraries whose threads wait for one another "
            "will seem many times slower than they are"
        )


def _prepared(folder: Path) -> Path:
    """Return the folder, made; refused where it already holds a result."""
    there = [name for name in (JSON_NAME, PICTURE_NAME) if (folder / name).exists()]
    if there:
        names = ", ".join(there)
        raise InputError(f"{folder}: already holds {names}; choose another --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot hold results: {error.strerror}") from None
    return folder
