"""A table of each target's R² and RMSE in a regression."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nnx.cli import show

if TYPE_CHECKING:
    from nnx.data.dataset import Array, Target
    from nnx.training.evaluate import Evaluation


def described(targets: Sequence["Target"], evaluation: "Evaluation") -> dict[str, Any]:
    """Return the results of each target for JSON; nothing unless a regression."""
    if evaluation.r2 is None or evaluation.rmse is None:
        return {}
    numbers = zip(targets, evaluation.r2, evaluation.rmse, strict=True)
    return {
        "targets": [
            {"name": target.name, "r2": float(r2), "rmse": float(rmse)}
            for target, r2, rmse in numbers
        ]
    }


def print_table(targets: Sequence["Target"], evaluation: "Evaluation") -> None:
    """Print each target's R², and its RMSE in the target's unit."""
    from nnx.training.scores import quantity

    known = described(targets, evaluation)
    if not known:
        return
    rows = [
        [target["name"], f"{target['r2']:.4f}", quantity(target["rmse"])]
        for target in known["targets"]
    ]
    show.line("")
    show.table("", ["target", "R²", "RMSE"], rows)


def rmse(targets: Sequence["Target"], errors: "Array | None") -> str:
    """Return each target's RMSE in words, with its name if there are several."""
    if errors is None:
        return ""
    from nnx.training.scores import quantity

    said = [quantity(float(error)) for error in errors]
    if len(targets) > 1:
        names = (target.name for target in targets)
        said = [f"{name} {error}" for name, error in zip(names, said, strict=True)]
    return f"RMSE {', '.join(said)}"
