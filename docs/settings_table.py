"""Regenerate the guide's table of settings from the table that the program reads.

python docs/settings_table.py
"""

import re
from pathlib import Path

from nnx.settings import ROWS, as_text
from nnx.settings.kinds import PANELS
from nnx.settings.table import TRAINING

GUIDE = Path(__file__).parent / "guide.md"
PLACE = re.compile(r"(<!-- settings: .*? -->\n).*(<!-- end of settings -->)", re.S)


def table() -> str:
    """Return the table in Markdown, a row for each setting."""
    lines = ["| setting | default | what | may be |", "|---|---|---|---|"]
    for name, row in sorted(ROWS.items(), key=lambda item: PANELS.index(item[1].panel)):
        default = as_text({name: row.default})[name]
        if isinstance(default, list):
            default = ",".join(map(str, default))
        if isinstance(default, float):
            default = f"{default:g}"
        shown = f"`{str(default).lower()}`" if str(default) else ""
        shown_name = name if name in TRAINING else f"{name} ¹"
        cells = (shown_name, shown, row.help, row.kind.allowed)
        lines.append("| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |")
    return (
        "\n".join(lines)
        + "\n\n¹ not of `nnx.train`, which is given these as arguments\n"
    )


def renewed(guide: str) -> str:
    """Return the guide's text with the current table."""
    return PLACE.sub(lambda match: match[1] + table() + match[2], guide)


if __name__ == "__main__":
    GUIDE.write_text(renewed(GUIDE.read_text("utf-8")), "utf-8")
