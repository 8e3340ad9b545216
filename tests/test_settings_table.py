"""The guide's reference of settings is the table that the program reads."""

import sys
from pathlib import Path

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
