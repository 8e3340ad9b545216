"""Options that several commands share, and the parsing of their text."""

import os
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nnx import blas
from nnx.cli import show
from nnx.errors import InputError
from nnx.settings.table import DATA_DIR_HELP, DATASET_HELP

if TYPE_CHECKING:
    from nnx.backend import Backend
    from nnx.network import Network


def expanded(text: str) -> Path:
    """Return a path with ~ expanded, which shells do not do in --out=~/x."""
    if not text:
        raise typer.BadParameter("the name of a folder is missing")
    return Path(os.path.expanduser(text))


def path(help: str, metavar: str = "DIR", **more: Any) -> Any:
    """Return an option for a folder or a file."""
    return typer.Option(help=help, parser=expanded, metavar=metavar, **more)


def number(kind: type[int] | type[float], help: str, least: float | None = None) -> Any:
    """Return an option for a number, of at least `least`."""
    what = "an integer" if kind is int else "a number"
    what += "" if least is None else f" from {least}"

    def parse(text: str) -> float:
        with suppress(ValueError):
            value = kind(text)
            if least is None or value >= least:
                return value
        raise typer.BadParameter(f"{text!r} is not {what}")

    return typer.Option(parser=parse, help=help, metavar="N")


Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON object as the last line of output."),
]
DatasetOption = Annotated[str | None, typer.Option(help=DATASET_HELP)]
DataDir = Annotated[Path | None, path(DATA_DIR_HELP)]
BackendOption = Annotated[
    str,
    typer.Option(
        "--backend",
        help="Backend that computes (see 'nnx info'); gpu takes an NVIDIA card, if "
        "any.",
    ),
]
BackendOrAll = Annotated[
    str, typer.Option("--backend", help="Name of a backend, or all that are usable.")
]
MAX_THREADS = 1024
# Named explicitly: Typer 0.27 would take the name from a metavar that equals it.
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        help="Device of the backend, if it has several: 0, cuda:1, …",
        metavar="DEVICE",
    ),
]
Threads = Annotated[
    int | None, number(int, "Threads to compute with (default: all cores).")
]
ModelArgument = Annotated[
    Path,
    typer.Argument(metavar="MODEL", help="Run's folder, or a .safetensors in it."),
]


def network_of_pictures(model: Path, instead: str = "") -> "Network":
    """Return a model's network; refuse one that does not take pictures.

    instead: advice for such a network
    """
    from nnx.network import Network

    network = Network.load(model)
    if network.columns or not network.frame.box:
        what = f"{network.sizes[0]} features that are not a picture"
        if network.columns:
            what = f"{len(network.columns)} columns of a table, not pictures"
        then = f": {instead}" if instead else ""
        raise InputError(f"{model}: takes {what}{then}")
    return network


def classifier_of_pictures(model: Path) -> "Network":
    """Return a model's network; refuse one that does not classify pictures."""
    network = network_of_pictures(model, "the page to draw on is for those alone")
    if network.task != "classification":
        gives = "values" if network.task == "regression" else "several labels"
        raise InputError(
            f"{model}: predicts {gives}, and the page is for one class of many"
        )
    return network


def on(device: str | None) -> dict[str, Any]:
    """Return the options of `nnx.find` for a device; none if it is None."""
    return {} if device is None else {"device": device}


def backend_of(name: str, device: str | None, threads: int | None = None) -> "Backend":
    """Return a backend for short work; print a note if "gpu" is not available."""
    from nnx.backend import choose

    seconds = 0.0 if name == "gpu" else inf
    chosen = choose(name, threads=threads, seconds=seconds, **on(device))
    if name == "gpu" and (note := chosen.first_run.note):
        show.note(f"{chosen.name}: {note}")
    return chosen


def threads_limited(threads: int | None) -> Any:
    """Return a context in which BLAS uses so many threads; None: its default."""
    if threads is not None and not 1 <= threads <= MAX_THREADS:
        raise InputError(
            f"--threads takes an integer from 1 to {MAX_THREADS}, not {threads}"
        )
    return blas.threadpoolctl().threadpool_limits(threads, user_api="blas")
