"""Settings: what each is, declared once, and how a run's are checked and written."""

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
