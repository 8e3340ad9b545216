"""Tables of each class's precision and recall, and of the confusion matrix."""

import math
import shutil
import sys
from typing import TYPE_CHECKING, Any

from nnx.cli import show

if TYPE_CHECKING:
    from nnx.data.dataset import Dataset
    from nnx.training.evaluate import Evaluation

# Columns without a terminal; and the most kinds of mistake to list.
WIDTH, MOST = 80, 10


def described(classes: tuple[str, ...], evaluation: "Evaluation") -> dict[str, Any]:
    """Return the results of each class for JSON; null for what is undefined."""
    counts, confusion = evaluation.counts, evaluation.confusion
    if counts is None:
        return {}
    return {
        "classes": [
            {
                "name": name,
                "precision": _known(float(precision)),
                "recall": _known(float(recall)),
                "images": int(images),
            }
            for name, precision, recall, images in zip(
                classes,
                evaluation.precision,
                evaluation.recall,
                counts[2],
                strict=True,
            )
        ],
    } | ({} if confusion is None else {"confusion": confusion.tolist()})


def _known(number: float) -> float | None:
    return None if math.isnan(number) else number


def print_tables(data: "Dataset", evaluation: "Evaluation") -> None:
    """Print each class's precision and recall, and the confusion matrix if it fits."""
    from nnx.training.scores import percent, samples

    classes, images = data.classes, samples(data.columns)
    tables = described(classes, evaluation)
    if not tables:
        return
    rows = [
        [
            row["name"],
            *(percent(row[of]) for of in ("precision", "recall")),
            f"{row['images']:,}",
        ]
        for row in tables["classes"]
    ]
    show.line("")
    kind = "class" if "confusion" in tables else "label"
    show.table("", [kind, "precision", "recall", images], rows)
    if "confusion" not in tables:
        return
    counts: list[list[int]] = tables["confusion"]
    rows = [
        [name, *(str(n) if n else "." for n in row)]
        for name, row in zip(classes, counts, strict=True)
    ]
    show.line("")
    if _width(["", *classes], rows) <= _room():
        show.table(
            "rows: true class; columns: predicted class",
            ["", *classes],
            rows,
        )
    else:
        _print_worst(classes, counts, images)


def _print_worst(
    classes: tuple[str, ...], counts: list[list[int]], images: str
) -> None:
    """Print the most frequent mistakes."""
    from nnx.training.scores import percent

    pairs = [
        (n, i, j)
        for i, row in enumerate(counts)
        for j, n in enumerate(row)
        if i != j and n
    ]
    worst = sorted(pairs, key=lambda pair: -pair[0])[:MOST]
    rows = [
        [classes[i], classes[j], f"{n:,}", percent(n / sum(counts[i]))]
        for n, i, j in worst
    ]
    if not worst:
        show.line(f"all {images} are classified correctly")
        return
    title = f"the most frequent of {len(pairs):,} kinds of mistake; --json has all"
    show.table(title, ["true class", "predicted", images, "of the class"], rows)


def _width(columns: list[str], rows: list[list[str]]) -> int:
    """Return a table's width in characters."""
    widths = (max(map(len, cells)) for cells in zip(columns, *rows, strict=True))
    return sum(1 + width for width in widths) - 1


def _room() -> int:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDTH
