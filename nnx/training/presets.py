"""Settings of published results, each a commented TOML file beside this one."""

from importlib.resources import files
from typing import Any

from nnx.errors import InputError
from nnx.files import parse_toml

_FOLDER = files("nnx.training") / "presets"


def names() -> list[str]:
    """Return the names of all presets."""
    found = (entry.name for entry in _FOLDER.iterdir())
    return sorted(
        name.removesuffix(".toml") for name in found if name.endswith(".toml")
    )


def load(name: str) -> dict[str, Any]:
    """Return a preset's settings; refused where there is none of this name."""
    if name not in names():
        raise InputError(
            f"no preset is called {name!r}; there are {', '.join(names())}"
        )
    return parse_toml((_FOLDER / f"{name}.toml").read_text("utf-8"), f"preset {name}")
