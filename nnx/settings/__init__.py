"""Settings: declared once in a table; checking and writing those of a run."""

from nnx.settings.table import ROWS, Settings, TrainingSettings
from nnx.settings.values import as_text, complete, layered

__all__ = [
    "ROWS",
    "Settings",
    "TrainingSettings",
    "as_text",
    "complete",
    "layered",
]
