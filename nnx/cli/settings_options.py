"""The options of `nnx train` that are settings: one for each row of the table."""

import inspect
from collections.abc import Callable
from copy import copy
from functools import wraps
from typing import Annotated, Any, get_args

import typer

from nnx.settings import ROWS, as_text
from nnx.settings.kinds import PANELS, Row

KEYWORD = inspect.Parameter.KEYWORD_ONLY


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command with an option for each setting.

    command: called with those that were given, as `given`; its own options are in the
        help's last panel where they name no other
    """

    @wraps(command)
    def called(**options: Any) -> None:
        values = {name: options.pop(name) for name in ROWS}
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
    signature = inspect.Signature([*first, *settings, *last])
    called.__signature__ = signature  # type: ignore[attr-defined]
    return called


def _parameter(name: str, row: Row) -> inspect.Parameter:
    option, default = "--" + name.replace("_", "-"), _words(name, row)
    help = row.help.removesuffix(".") + (f" (default {default})." if default else ".")
    kind: Any = str
    reading: dict[str, Any] = {"metavar": row.kind.metavar, "parser": row.kind.parse}
    if isinstance(row.default, bool):
        kind, reading = bool, {}
        option += f"/--no-{option[2:]}"
    info = typer.Option(option, help=help, rich_help_panel=row.panel, **reading)
    annotation = Annotated[kind | None, info]
    return inspect.Parameter(name, KEYWORD, default=None, annotation=annotation)


def _words(name: str, row: Row) -> str:
    """Return a default as it would be written on the command line."""
    default = as_text({name: row.default})[name]
    if isinstance(default, list):
        return ",".join(map(str, default))
    if isinstance(default, bool):
        return "on" if default else "off"
    return f"{default:g}" if isinstance(default, float) else str(default)
