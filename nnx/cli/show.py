"""Printing by commands: results on stdout, everything else on stderr."""

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import typer

from nnx.errors import printable


def quoted(path: Path) -> str:
    """Return a path as a word of a shell's command."""
    # Windows' cmd knows only double quotes, which no path there can contain.
    return f'"{path}"' if os.name == "nt" else shlex.quote(str(path))


def note(text: str) -> None:
    """Print a remark on stderr in one line, even if a file's name has several."""
    typer.echo(printable(" ".join(text.split())), err=True)


def remark(text: str) -> None:
    """Print a remark on stderr; on a terminal, wrapped at its width."""
    if not sys.stderr.isatty():
        note(text)
        return
    from rich.console import Console

    console = Console(stderr=True, markup=False, emoji=False, highlight=False)
    console.print(printable(" ".join(text.split())))


def line(text: str) -> None:
    """Print a result on stdout; on a terminal, with control characters escaped."""
    if sys.stdout.isatty():
        text = "\n".join(map(printable, text.split("\n")))
    typer.echo(text)


def as_json(value: dict[str, Any]) -> None:
    """Print one JSON object as a line on stdout."""
    typer.echo(json.dumps(value))


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print a table on stdout; all columns but the first are aligned to the right.

    On a terminal that is too narrow, the first column is folded.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    drawn = Table(box=SIMPLE_HEAD, padding=0, show_edge=False)
    for i, column in enumerate(map(printable, columns)):
        drawn.add_column(
            column, justify="right" if i else "left", no_wrap=i > 0, overflow="fold"
        )
    for row in rows:
        drawn.add_row(*map(printable, row))
    width = None if sys.stdout.isatty() else 10_000
    # A file's name may look like rich's markup, such as [red].png.
    plain: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False}
    console = Console(width=width, **plain)
    if title:
        console.print(printable(title), style="bold")
    console.print(drawn)
