"""The `nnx` command: its subcommands, and how errors are printed."""

import inspect
import os
import re
import sys
import warnings
from itertools import takewhile
from typing import Annotated, Any

import typer

from nnx import __version__, blas
from nnx.cli import (
    bench,
    checks,
    data,
    evaluate,
    export,
    gradcheck,
    importing,
    info,
    plot,
    predict,
    serve,
    show,
    signals,
    streams,
    sweep,
    train,
)
from nnx.cli.flags import Command, Group
from nnx.errors import NnxError, OutOfMemoryError, one_line
from nnx.settings.other_names import ALSO_CALLED

app = typer.Typer(
    name="nnx",
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich",
)
app.command("train", context_settings={"help_option_names": []})(train.train)
app.command("sweep")(sweep.sweep)
app.command("evaluate")(evaluate.evaluate)
app.command("predict")(predict.predict)
app.command("serve")(serve.serve)
app.command("export")(export.export)
app.command("import")(importing.import_)
app.command("plot")(plot.plot)
app.command("gradcheck")(gradcheck.gradcheck)
app.command("parity")(checks.parity)
app.add_typer(bench.app, name="bench")
app.command("info")(info.info)
app.add_typer(data.app, name="data")

# The option that a word without one was probably meant for.
POSITIONAL = {"evaluate": "--dataset", "bench": "--workload"}


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"nnx {__version__}")
        raise typer.Exit


@app.callback()
def nnx(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version."
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the full traceback of an error.")
    ] = False,
    keep_blas: Annotated[
        bool,
        typer.Option(
            "--keep-blas",
            help="Keep OpenBLAS's choice of kernels, which nnx otherwise corrects on "
            "processors that it misidentifies.",
        ),
    ] = False,
) -> None:
    """Train fully connected neural networks on pictures and tables, and use them.

    Start with [bold]nnx train[/bold]: it needs no download, and takes a second. Then
    [bold]nnx train --preset quick[/bold] reaches 98 % on MNIST, and
    [bold]nnx predict RUN digit.png[/bold] reads a digit of your own.

    This is not Flax NNX, which is another project.
    """


def _shown(commands: typer.Typer) -> None:
    """Let help's paragraphs fill the terminal, and show flags without a type."""
    for command in commands.registered_commands:
        command.cls = Command
    for entry in (*commands.registered_commands, commands.registered_callback):
        if entry is not None and (text := inspect.getdoc(entry.callback)):
            paragraphs = text.split("\n\n")
            entry.help = "\n\n".join(part.replace("\n", " ") for part in paragraphs)


for _app in app, bench.app, data.app:
    _shown(_app)


def main() -> None:
    """Run the command line; an error is one line on stderr and an exit status."""
    leading = list(takewhile(lambda word: word.startswith("-"), sys.argv[1:]))
    debug = "--debug" in leading
    if "--keep-blas" not in leading:
        blas.choose()  # before anything imports NumPy
    # Pictures are drawn into files; a notebook's backend may not be installed here.
    os.environ["MPLBACKEND"] = "agg"
    streams.prepare()
    if not debug:
        # NumPy warns of overflow; a loss that is not finite ends training anyway.
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.showwarning = _warn
    try:
        with signals.raised():
            status = app(prog_name="nnx", standalone_mode=False)
            sys.stdout.flush()
    except signals.StoppedError as stopped:
        signals.say("nnx: stopped")
        status = signals.EXIT[stopped.number]
    except Exception as error:
        if debug:
            raise
        status = _explained(error)
    signals.over()
    sys.exit(status if isinstance(status, int) else 0)


def _warn(message: Warning | str, *where: object, **more: object) -> None:
    """Print a library's warning in one line, without the source line that raised it."""
    show.note(f"nnx: {message}")


def _explained(error: Exception) -> int:
    """Print an expected error in one line and return the status; re-raise others."""
    if isinstance(error, MemoryError):
        advice = "; try a smaller --batch-size or --hidden"
        asked = f" ({error}){advice}" if str(error) else ""  # of an array, by NumPy
        error = OutOfMemoryError(f"out of memory{asked}")
    if hasattr(error, "format_message"):
        show.note(f"nnx: {one_line(_usage(error))}")
        return int(getattr(error, "exit_code", 2))
    if not isinstance(error, NnxError | OSError):
        raise error
    show.note(f"nnx: {one_line(str(error))}")
    return getattr(error, "exit_status", NnxError.exit_status)


def _usage(error: Any) -> str:
    """Return the parser's message, with a suggestion and where to find help."""
    context = getattr(error, "ctx", None)
    called = getattr(error, "option_name", "").lstrip("-").replace("-", "_")
    if called in ALSO_CALLED and context is not None:
        option = "--" + ALSO_CALLED[called].replace("_", "-")
        if any(option in known.opts for known in context.command.params):
            error.possibilities = [option]
    message = error.format_message() or "no command given"
    word = re.search(r"unexpected extra argument\S* \(([^\s)]{1,99})[\s)]", message)
    instead = POSITIONAL.get(context.info_name) if context else None
    meant = f"; did you mean {instead} {word[1]}?" if word and instead else ""
    return f"{message}{meant} (see {context.command_path if context else 'nnx'} --help)"
