"""Settings of published results, each a commented TOML file in the folder `presets`."""

from pathlib import Path
from typing import Any

from nnx.errors import InputError
from nnx.files import read_toml

_FOLDER = Path(__file__).with_name("presets")


def names() -> list[str]:
    """Return the names of all presets."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def load(name: str) -> dict[str, Any]:
    """Return the settings of a preset.

    Raises:
        InputError: there is no preset of this name
    """
    if name not in names():
        raise InputError(
            f"no preset is called {name!r}; there are {', '.join(names())}"
        )
    return read_toml(_FOLDER / f"{name}.toml")
