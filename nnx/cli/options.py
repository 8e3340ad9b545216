"""Options that several commands share, and how their text is read."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from nnx.errors import InputError


def expanded(text: str) -> Path:
    """Return a path; ~ is the user's home, which shells leave as it is in --out=~/x."""
    if not text:
        raise typer.BadParameter("the name of a folder is missing")
    return Path(os.path.expanduser(text))


def number(kind: type[int] | type[float], *names: str, help: str) -> Any:
    """Return an option for a number; what is none is refused with its text."""
    what = "an integer" if kind is int else "a number"

    def parse(text: str) -> float:
        try:
            return kind(text)
        except ValueError:
            raise typer.BadParameter(f"{text!r} is not {what}") from None

    return typer.Option(*names, parser=parse, help=help, metavar="N")


Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON object as the last line of output."),
]
DatasetOption = Annotated[
    str | None,
    typer.Option(
        help="A name from 'nnx data list', or a path: a folder of IDX files, a CSV "
        "with a label column, an .npz, or a folder of pictures a class."
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        help="A folder that already holds the files of mnist, fashion-mnist or "
        "kmnist; NNX_DATA_DIR is looked at too.",
        parser=expanded,
        metavar="DIR",
    ),
]
BackendOption = Annotated[
    str, typer.Option("--backend", help="What computes: see 'nnx info'.")
]
Device = Annotated[
    str | None,
    typer.Option(
        help="Which of the backend's devices, where it has several: 0, cuda:1, …",
        metavar="DEVICE",
    ),
]
Threads = Annotated[
    int | None,
    number(int, help="Threads to compute with; all cores by default."),
]
ModelArgument = Annotated[
    Path,
    typer.Argument(metavar="MODEL", help="A run's folder, or a .safetensors in it."),
]


def widths(text: str | None) -> tuple[int, ...] | None:
    """Return '128,64' as (128, 64), and '' as no hidden layer."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise InputError(f"--hidden takes widths like 128,64, not {text!r}") from None


def batch_size(text: str | None) -> int | str | None:
    """Return a number of images, or 'full'."""
    if text is None or text == "full":
        return text
    try:
        return int(text)
    except ValueError:
        raise InputError(
            f"--batch-size takes an integer from 1, or full; not {text!r}"
        ) from None


def on(device: str | None) -> dict[str, str]:
    """Return what `nnx.find` is told of a device: nothing where none was given."""
    return {} if device is None else {"device": device}


def threads_limited(threads: int | None) -> Any:
    """Return a context in which the matrix products use so many threads."""
    from threadpoolctl import threadpool_limits

    if threads is not None and threads < 1:
        raise InputError(f"--threads takes an integer from 1, not {threads}")
    return threadpool_limits(threads, user_api="blas")
