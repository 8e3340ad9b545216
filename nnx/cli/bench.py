"""`nnx bench`, and its commands `options`, `time-to`, `gpu`, `whole`, `estimators`."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from nnx.cli import show
from nnx.cli.bench_report import JSON_NAME, PICTURE_NAME, report
from nnx.cli.flags import Group
from nnx.cli.options import BackendOrAll, DataDir, Device, Json, number, on, path
from nnx.errors import InputError

FORMER = {"--options": "options", "--time-to": "time-to 0.98"}  # what they are now


Workloads = Annotated[
    list[str] | None,
    typer.Option(
        "--workload",
        help="Workload: tiny, narrow, classic, wide, deep, other-…, or all of these; "
        "the name of a recipe, or recipes for all; drawn for ten random ones. Repeat "
        "for several.",
        metavar="KEY",
    ),
]
Rivals = Annotated[
    bool,
    typer.Option(
        "--rivals", help="Also measure plain NumPy, scikit-learn, PyTorch and JAX."
    ),
]
Bf16 = Annotated[
    bool,
    typer.Option(
        "--bf16",
        help="Also measure numba, cupy and PyTorch with factors rounded to bfloat16.",
    ),
]
BatchSize = Annotated[
    int | None, number(int, "Images per step, in place of the workload's own.", least=1)
]
Rounds = Annotated[
    int, number(int, "Timed rounds; each measures all in turn.", least=1)
]
Out = Annotated[
    Path | None,
    path(f"Folder for {JSON_NAME} and {PICTURE_NAME} (default runs/bench-TIME)."),
]


class BenchGroup(Group):
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


app = typer.Typer(cls=BenchGroup, invoke_without_command=True)


@app.callback()
def bench(
    context: typer.Context,
    workload: Workloads = None,
    batch_size: BatchSize = None,
    backend: BackendOrAll = "all",
    device: Device = None,
    rivals: Rivals = False,
    bf16: Bf16 = False,
    rounds: Rounds = 5,
    data_dir: DataDir = None,
    out: Out = None,
    json: Json = False,
) -> None:
    """Measure training speed, and how far each result is from float64.

    All implementations train on the same batches from the same weights, in turn,
    and none that disagrees is shown with a speed. The table has each one's share
    of the processor's peak speed, and a row for the matrix products alone. The
    default workloads use plain SGD: tiny, narrow, classic, wide and deep. Recipes
    add Adam, batch normalization, dropout and more: bn-adam, dropout-adam,
    bn-dropout, clip, gelu, silu and large.

    [bold]Examples[/bold]

    nnx bench --workload classic

    nnx bench --workload all --rivals --rounds 9

    nnx bench --workload recipes --rivals

    nnx bench options --workload wide --backend numba

    nnx bench time-to 0.98

    nnx bench gpu

    nnx bench whole --busy 2

    nnx bench estimators
    """
    if context.invoked_subcommand is not None:
        _refuse_given(context)
        return
    from nnx_benchmarks import choose, data, throughput

    workloads = choose.workloads(workload or [], batch_size)
    images, modules = data.images(data_dir), choose.RIVALS if rivals else ()
    those = choose.implementations(backend, modules, show.note, bf16=bf16, **on(device))
    measure = partial(throughput.measure, workloads, those)
    report(measure, images, rounds, out, json)


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

    Options are measured one at a time in the training loop itself, an epoch of each in
    turn. The default workload is classic.
    """
    from nnx_benchmarks import choose, data, options

    workloads = choose.workloads(workload or ["classic"])
    if recipes := [key for key, w in workloads.items() if w.options]:
        raise InputError(
            f"options are measured on plain SGD, not on the recipe {recipes[0]}"
        )
    images = data.images(data_dir)
    backends = choose.backends(backend, show.note, **on(device))
    measure = partial(options.measure, workloads, backends)
    report(measure, images, rounds, out, json)


@app.command("time-to")
def _time_to(
    accuracy: Annotated[
        float,
        typer.Argument(
            metavar="ACCURACY", help="Test accuracy to reach, such as 0.98."
        ),
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
    """Measure the training time to a test accuracy on MNIST, beside PyTorch.

    The network and its settings are those of the preset quick, or of a workload.
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
    report(measure, images, rounds, out, json)


@app.command("gpu")
def _gpu(
    device: Device = None,
    rounds: Rounds = 5,
    out: Out = None,
    json: Json = False,
) -> None:
    """Measure an NVIDIA card's peak speeds, and the cost of kernel launches."""
    from nnx.backend import find
    from nnx_benchmarks import card

    measure = partial(card.measure, find("gpu", **on(device)))
    report(measure, None, rounds, out, json)


@app.command("whole")
def _whole(
    busy: Annotated[
        int,
        number(int, "Also measure nnx beside 1, 2, … up to N busy programs.", least=0),
    ] = 0,
    rounds: Rounds = 3,
    data_dir: DataDir = None,
    out: Out = None,
    json: Json = False,
) -> None:
    """Measure whole commands, from start to exit, beside scripts of other libraries.

    The command is nnx train --preset quick, on MNIST.
    """
    from nnx_benchmarks import data, whole

    images = data.images(data_dir)
    if images.name == data.RANDOM:
        raise InputError("whole needs MNIST: nnx data fetch mnist, or --data-dir")
    report(partial(whole.measure, busy), images, rounds, out, json)


@app.command("estimators")
def _estimators(
    rounds: Rounds = 5,
    data_dir: DataDir = None,
    out: Out = None,
    json: Json = False,
) -> None:
    """Time fit of MLPClassifier and MLPRegressor, of scikit-learn and of nnx.

    They are fitted to small tables with default settings, and to MNIST for a few
    epochs, from the same random_state: both learn the same.
    """
    from nnx_benchmarks import data, estimators

    report(estimators.measure, data.images(data_dir), rounds, out, json)


def _refuse_given(context: typer.Context) -> None:
    """Refuse options before a command's name: it has its own after it."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            command, option = context.invoked_subcommand, name.replace("_", "-")
            raise InputError(f"--{option} goes after {command}: nnx bench {command} …")
