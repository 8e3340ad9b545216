"""`nnx data list`, `nnx data fetch` and `nnx data convert`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from nnx.cli import show
from nnx.cli.flags import Group
from nnx.cli.options import expanded

app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    help="List and download data sets; convert tables.",
)


@app.command("list")
def list_() -> None:
    """List the data sets known by name, and where nnx train finds them.

    They are looked for in the folder that NNX_DATA_DIR names, then in the cache.
    """
    from nnx.data.download import cache_folder, is_cached
    from nnx.data.load import VARIABLE, in_variable
    from nnx.data.named import NAMES, PUBLISHED

    rows = []
    for name in NAMES:
        if name not in PUBLISHED:
            rows.append([name, "comes with nnx", ""])
            continue
        size = sum(file.size for file in PUBLISHED[name].files) / 1e6
        state = f"not here: nnx data fetch {name}"
        if is_cached(name):
            state = str(cache_folder(name))
        if own := in_variable(name):
            state = f"{own} ({VARIABLE})"
        rows.append([name, state, f"{size:.1f} MB"])
    show.table("", ["data set", "where", "download"], rows)
    named = os.environ.get(VARIABLE)
    first = f"{named} ({VARIABLE}), then in " if named else ""
    show.note(f"looked in {first}{cache_folder('')}")


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A name from 'nnx data list'.")],
) -> None:
    """Download a data set, checked by SHA-256, unless it is there already.

    It is there if nnx data list finds it.
    """
    from nnx.data.download import fetch as run
    from nnx.data.load import VARIABLE, in_variable
    from nnx.data.named import PUBLISHED

    if name in PUBLISHED and (own := in_variable(name)):
        show.line(f"{name}: {own} ({VARIABLE})")
        return
    show.line(f"{name}: {run(name)}")


@app.command()
def convert(
    source: Annotated[
        Path,
        typer.Argument(
            help="CSV, TSV or Parquet file of numbers.",
            metavar="TABLE",
            parser=expanded,
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(help=".npy file to write.", metavar="OUT.npy", parser=expanded),
    ],
    drop: Annotated[
        str,
        typer.Option(
            help="Columns to leave out, separated by commas.", metavar="COLUMNS"
        ),
    ] = "",
) -> None:
    """Convert a table to an .npy file, which may be larger than memory in training.

    [bold]Example[/bold]

    nnx data convert big.csv big.npy

    nnx train big.npy
    """
    from nnx.data.convert import convert as run
    from nnx.data.convert import numpy_load

    left_out = [name.strip() for name in drop.split(",") if name.strip()]
    rows, columns = run(source, out, left_out)
    size = out.stat().st_size / 1e6
    show.line(f"{out}: {rows:,} rows of {columns:,} columns, {size:,.1f} MB")
    show.note(f"NumPy opens it with {numpy_load(out)}")
