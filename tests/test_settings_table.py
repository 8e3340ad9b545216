"""The guide's reference of settings is the table that the program reads."""

import sys
from pathlib import Path

import nnx
from nnx.settings import ROWS
from nnx.settings.table import TRAINING

DOCS = Path(__file__).parents[1] / "docs"


def test_the_guide_s_reference_is_current() -> None:
    sys.path.insert(0, str(DOCS))
    try:
        import settings_table
    finally:
        sys.path.remove(str(DOCS))
    guide = settings_table.GUIDE.read_text("utf-8")
    assert settings_table.renewed(guide) == guide, "python docs/settings_table.py"
    assert "| learning_rate | `auto` |" in guide


def test_help_describes_every_keyword_of_train() -> None:
    words = nnx.TrainingSettings.__doc__ or ""
    one_line = " ".join(words.split())
    for name in TRAINING:
        assert f" {name} (" in one_line
        assert ROWS[name].help in one_line
    assert "epochs (20): Passes over the data." in one_line
    assert "optimizer ('sgd'): " in one_line
    assert "class_weights (none): " in one_line
    assert max(map(len, words.splitlines())) <= 80
