"""The one table of settings: name, type, default, what each may be, and its help.

From it come the typed keywords of `nnx.train`, what a settings file may hold, the
options of `nnx train`, the suggestions for names that do not exist, and the reference
in the guide. A new setting is a new row of `NetworkSettings` or `TrainingSettings`.
"""

from typing import Any, get_type_hints

from nnx.settings.kinds import Row
from nnx.settings.network import NetworkSettings
from nnx.settings.training import TrainingSettings


class Settings(NetworkSettings, TrainingSettings, total=False):
    """All settings of a run, as its config.toml holds them."""


def _rows(settings: type[Any]) -> dict[str, Row]:
    hints = get_type_hints(settings, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items()}


ROWS = _rows(Settings)
TRAINING = tuple(_rows(TrainingSettings))
