"""The options of `nnx train` that are settings: one for each row of the table."""

import inspect
from collections.abc import Callable
from copy import copy
from functools import wraps
from keyword import iskeyword
from typing import Annotated, Any, get_args

import typer

from nnx.settings import ROWS
from nnx.settings.kinds import PANELS, Row
from nnx.settings.table import FIRST
from nnx.settings.values import as_option

KEYWORD = inspect.Parameter.KEYWORD_ONLY


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command with an option for each setting.

    command: called with the given settings as its first argument. Its own options are
        in the help's last panel unless they name another. --help shows the options in
        `FIRST`, --help-all shows all
    """

    @wraps(command)
    def called(help: bool, help_all: bool, **options: Any) -> None:
        values = {name: options.pop(_word(name)) for name in ROWS}
        given = {name: v for name, v in values.items() if v is not None}
        command(given, **options)

    _, *parameters = inspect.signature(command).parameters.values()
    first, last = list[inspect.Parameter](), list[inspect.Parameter]()
    for parameter in parameters:
        kind, info = get_args(parameter.annotation)
        own = copy(info)
        own.rich_help_panel = info.rich_help_panel or PANELS[-1]
        parameter = parameter.replace(kind=KEYWORD, annotation=Annotated[kind, own])
        (first if info.rich_help_panel else last).append(parameter)
    rows = sorted(ROWS.items(), key=lambda item: PANELS.index(item[1].panel))
    settings = [_parameter(name, row) for name, row in rows]
    helps = [
        _help("help", "-h", _first_help, "Show the most important options."),
        _help("help_all", "--help-all", _all_help, "Show all options, in groups."),
    ]
    signature = inspect.Signature([*first, *settings, *last, *helps])
    called.__signature__ = signature  # type: ignore[attr-defined]
    return called


def _help(
    name: str, option: str, show: Callable[..., None], help: str
) -> inspect.Parameter:
    """Return an option that shows help and ends the command."""
    names = dict.fromkeys((option, f"--{name.replace('_', '-')}"))
    info = typer.Option(*names, is_eager=True, callback=show, help=help)
    return inspect.Parameter(
        name, KEYWORD, default=False, annotation=Annotated[bool, info]
    )


def _all_help(context: typer.Context, wanted: bool) -> None:
    if wanted:
        typer.echo(context.get_help())
        raise typer.Exit


def _first_help(context: typer.Context, wanted: bool) -> None:
    """Show the most important options in one panel, and how to see the rest."""
    if wanted:
        command: Any = context.command
        for option in command.params:
            first = option.name in (*FIRST, "help_all")
            option.hidden, option.rich_help_panel = not first, None
            if option.name in ROWS:
                brief = ROWS[option.name].help.partition(";")[0]
                option.help = _with_default(option.name, brief)
        options = [p for p in command.params if p.param_type_name == "option"]
        command.epilog = f"All {len(options)} options: nnx train --help-all"
        _all_help(context, wanted)


def _parameter(name: str, row: Row) -> inspect.Parameter:
    option, help = "--" + name.replace("_", "-"), _with_default(name, row.help)
    kind: Any = str
    reading: dict[str, Any] = {"metavar": row.kind.metavar, "parser": row.kind.parse}
    if isinstance(row.default, bool):
        kind, reading = bool, {}
        option += f"/--no-{option[2:]}"
    info = typer.Option(option, help=help, rich_help_panel=row.panel, **reading)
    annotation = Annotated[kind | None, info]
    return inspect.Parameter(_word(name), KEYWORD, default=None, annotation=annotation)


def _word(name: str) -> str:
    """Return a parameter's name for a setting: from_ for from, a keyword."""
    return name + "_" * iskeyword(name)


def _with_default(name: str, help: str) -> str:
    default = _default(name)
    return help.removesuffix(".") + (f" (default {default})." if default else ".")


def _default(name: str) -> str:
    """Return a default as it would be written on the command line."""
    default = as_option(name, ROWS[name].default)
    if isinstance(default, bool):
        return "on" if default else "off"
    return f"{default:g}" if isinstance(default, float) else str(default)
