"""`nnx bench`."""

import json as json_format
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nnx.cli import show
from nnx.cli.options import DataDir, Device, Json, expanded, number, on
from nnx.errors import InputError

if TYPE_CHECKING:
    from nnx.data.dataset import Dataset
    from nnx_benchmarks.measure import Result

JSON_NAME, PICTURE_NAME = "bench.json", "bench.png"
MOST_LOAD = 0.5  # other processes at work in the last minute


def bench(
    workload: Annotated[
        list[str] | None,
        typer.Option(
            help="tiny, narrow, classic, wide, deep (those five by default), "
            "other-…, or all; may be given several times.",
            metavar="KEY",
        ),
    ] = None,
    backend: Annotated[
        str, typer.Option(help="A backend's name, or all that are usable.")
    ] = "all",
    device: Device = None,
    rivals: Annotated[
        bool,
        typer.Option(
            "--rivals", help="Measure plain NumPy, scikit-learn, PyTorch and JAX too."
        ),
    ] = False,
    rounds: Annotated[int, number(int, help="Timed epochs of each.")] = 5,
    data_dir: DataDir = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help=f"The folder for {JSON_NAME} and {PICTURE_NAME} "
            "(default runs/bench-TIME).",
            parser=expanded,
            metavar="DIR",
        ),
    ] = None,
    time_to: Annotated[
        float | None,
        number(
            float,
            "--time-to",
            help="Measure the seconds to this test accuracy on MNIST instead, with "
            "the recipe of the preset quick or of a workload, and PyTorch's.",
        ),
    ] = None,
    options: Annotated[
        bool,
        typer.Option(
            "--options",
            help="Measure what each training option costs instead: momentum, dropout, "
            "batch normalization and so on, one at a time.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Measure training speed, and how far each result is from float64.

    All train the same batches from the same weights, in turn, and none that
    disagrees is shown with a speed. Beside them stands the floor, the time of
    the matrix products alone.

    [bold]Examples[/bold]

    nnx bench --workload classic

    nnx bench --workload all --rivals --rounds 9

    nnx bench --time-to 0.98

    nnx bench --options --workload wide --backend numba
    """
    if rounds < 1:
        raise InputError(f"--rounds takes an integer from 1, not {rounds}")
    _warn_if_busy()
    if options:
        if time_to is not None or rivals:
            raise InputError("--options goes with neither --time-to nor --rivals")
        _options(workload or ["classic"], backend, device, rounds, data_dir, out, json)
        return
    if time_to is not None:
        _time_to(
            time_to,
            workload or [],
            backend,
            device,
            rivals,
            rounds,
            data_dir,
            out,
            json,
        )
        return
    from nnx_benchmarks import choose, data
    from nnx_benchmarks.measure import measure

    workloads = choose.workloads(workload or [])
    wanted = (lambda name: True) if rivals else None
    implementations = choose.implementations(backend, wanted, show.note, **on(device))
    images = _images(data.images(data_dir))
    folder = _prepared(out, (JSON_NAME, PICTURE_NAME))
    results = [
        measure(key, one, images, implementations, rounds, show.note)
        for key, one in workloads.items()
    ]
    _report(results, images, folder, json)


def _images(images: "Dataset") -> "Dataset":
    from nnx_benchmarks.data import RANDOM

    if images.name == RANDOM:
        show.note(
            "MNIST is not at hand: random bytes of its shape instead, and no accuracy; "
            "to have it: nnx data fetch mnist"
        )
    return images


def _warn_if_busy() -> None:
    from nnx_benchmarks.machine import load

    if (busy := load() or 0) > MOST_LOAD:
        show.note(
            f"the machine is busy (load {busy:.1f}): libraries whose threads wait for "
            "one another will seem many times slower than they are"
        )


def _prepared(out: Path | None, names: tuple[str, ...]) -> Path:
    """Return the folder, made; refused where it already holds a result."""
    from nnx.training.folder import default_folder

    folder = out or default_folder("bench")
    held = [name for name in names if (folder / name).exists()]
    if held:
        raise InputError(
            f"{folder}: already holds {', '.join(held)}; choose another --out"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot hold results: {error.strerror}") from None
    return folder


def _report(
    results: "list[Result]", images: "Dataset", folder: Path, json: bool
) -> None:
    from nnx import files
    from nnx_benchmarks import machine, picture, report

    described = machine.machine()
    found: dict[str, Any] = {
        "rows": [row for result in results for row in report.as_json(result)],
        "floor": {result.key: 1e3 * result.floor for result in results},
        "products": report.floors(results),
        "images": images.name,
        "machine": described,
    }
    line = machine.summary(described)
    _write(folder / JSON_NAME, found)
    files.write(folder / PICTURE_NAME, picture.png(results, line))
    if json:
        show.as_json(found)
    else:
        show.line(line)
        for result in results:
            title, cells = report.table(result)
            _show(title, report.COLUMNS, cells, report.without_speed(result))
        show.line(report.LEGEND)
        show.line(f"written: {folder / JSON_NAME}, {folder / PICTURE_NAME}")
    _end(any(row["no_speed_because"] for row in found["rows"]))


def _show(
    title: str, columns: list[str], cells: list[list[str]], without: list[str]
) -> None:
    show.table(title, columns, cells)
    for line in without:
        show.line(line)
    show.line("")


def _write(path: Path, found: dict[str, Any]) -> None:
    from nnx import files

    files.write(path, (json_format.dumps(found, indent=1) + "\n").encode())


def _end(disagreed: bool) -> None:
    if disagreed:
        raise typer.Exit(1)


def _options(
    keys: list[str],
    backend: str,
    device: str | None,
    rounds: int,
    data_dir: Path | None,
    out: Path | None,
    json: bool,
) -> None:
    from nnx_benchmarks import choose, data, machine, options

    workloads = choose.workloads(keys)
    chosen = options.backends(backend, show.note, **on(device))
    images = _images(data.images(data_dir))
    folder = _prepared(out, (JSON_NAME,))
    costs = {
        key: options.measure(one, images, chosen, rounds, show.note)
        for key, one in workloads.items()
    }
    described = machine.machine()
    rows = [
        {"workload": key} | row
        for key, found in costs.items()
        for row in options.as_json(found)
    ]
    found = {"rows": rows, "images": images.name, "machine": described}
    _write(folder / JSON_NAME, found)
    if json:
        show.as_json(found)
    else:
        show.line(machine.summary(described))
        for key, some in costs.items():
            title = f"{key}: {workloads[key]}"
            cells, without = options.table(some), options.without_speed(some)
            _show(title, options.COLUMNS, cells, without)
        show.line(options.LEGEND)
        show.line(f"written: {folder / JSON_NAME}")
    _end(any(row["ms_per_epoch"] is None for row in rows))


def _time_to(
    target: float,
    keys: list[str],
    backend: str,
    device: str | None,
    rivals: bool,
    rounds: int,
    data_dir: Path | None,
    out: Path | None,
    json: bool,
) -> None:
    from nnx_benchmarks import choose, data, machine, time_to
    from nnx_benchmarks.workloads import QUICK

    if not 0 < target < 1:
        raise InputError(f"--time-to takes a fraction between 0 and 1, not {target:g}")
    workloads = choose.workloads(keys) if keys else {"quick": QUICK}
    if len(workloads) != 1:
        raise InputError("--time-to takes one --workload")
    [(key, workload)] = workloads.items()
    images = data.images(data_dir)
    if images.name == data.RANDOM:
        raise InputError("--time-to needs MNIST: nnx data fetch mnist, or --data-dir")
    wanted: Callable[[str], bool] = lambda name: rivals or name.startswith("PyTorch")  # noqa: E731
    implementations = choose.implementations(backend, wanted, show.note, **on(device))
    folder = _prepared(out, (JSON_NAME,))
    finishes = time_to.race(
        target, workload, images, implementations, rounds, show.note
    )
    described = machine.machine()
    rows = time_to.as_json(finishes, target)
    found = {
        "rows": [{"workload": key} | row for row in rows],
        "target": target,
        "recipe": workload._asdict(),
        "machine": described,
    }
    _write(folder / JSON_NAME, found)
    if json:
        show.as_json(found)
    else:
        title = f"seconds to {show.percent(target)}: {workload}"
        title += f", learning rate {workload.learning_rate:g}"
        show.line(machine.summary(described))
        cells = time_to.table(finishes, target)
        _show(title, time_to.COLUMNS, cells, time_to.without_speed(finishes))
        show.line(f"written: {folder / JSON_NAME}")
    _end(any(row["no_speed_because"] for row in rows))
