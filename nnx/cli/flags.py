"""Commands whose help shows flags without a type."""

from typing import Any

from typer.core import TyperCommand, TyperGroup


def _untyped(parameters: list[Any]) -> list[Any]:
    """Return parameters; Typer would show a flag, which has no value, as <bool>."""
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    return parameters


class Command(TyperCommand):
    """A command."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, including --help."""
        return _untyped(super().get_params(ctx))


class Group(TyperGroup):
    """A command with subcommands."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, including --help."""
        return _untyped(super().get_params(ctx))
