"""What `nnx train` says before and after a run."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnx.cli import show

if TYPE_CHECKING:
    from nnx.backend import Backend
    from nnx.data.dataset import Dataset
    from nnx.network import Network
    from nnx.training.train import Result


def introduce(
    data: "Dataset", network: "Network", backend: "Backend", held: int
) -> None:
    """Say on stderr what is about to be trained, and on what.

    held: how many training images are held out for choosing
    """
    validation = f", {held:,} validation" if held else ""
    for remark in data.notes:
        show.note(f"{data.name}: {remark}")
    show.note(
        f"{data.name}: {len(data.train.labels) - held:,} training{validation} and "
        f"{len(data.test.labels):,} test images · network {network.model}, "
        f"{network.parameters:,} parameters · {backend.name} on {backend.device}"
    )
    if backend.note:
        show.note(f"{backend.name}: {backend.note}")


def report(
    data: "Dataset",
    backend: "Backend",
    precision: str,
    folder: Path,
    result: "Result",
    json: bool,
) -> None:
    """Print a run's outcome, as two lines or as one JSON object."""
    from nnx.model_file import MODEL_NAME

    model = str(folder / MODEL_NAME)
    if json:
        show.as_json(_row(data, backend, precision, model, result))
        return
    products = "" if precision == "full" else f"; products in {precision}"
    parts = [
        f"test accuracy {_score(result.test_accuracy, result.test_loss)}",
        f"training {_score(result.train_accuracy, result.train_loss)}",
    ]
    if result.validation_accuracy is not None:
        loss = result.validation_loss
        parts.insert(1, f"validation {_score(result.validation_accuracy, loss)}")
    show.line(", ".join(parts) + products)
    early = " (ended early)" if result.ended_early else ""
    kept = f"; best epoch {result.best_epoch}" if result.best_epoch else ""
    show.line(
        f"epochs: {len(result.log)}{early} in {result.seconds:.2f} s, "
        f"{result.images_per_second:,.0f} images/s{kept}; model: {model}"
    )


def _row(
    data: "Dataset", backend: "Backend", precision: str, model: str, result: "Result"
) -> dict[str, Any]:
    return {
        "backend": backend.name,
        "device": backend.device,
        "precision": precision,
        "dataset": data.name,
        "network": str(result.network.model),
        "parameters": result.network.parameters,
        "epochs": len(result.log),
        "ended_early": result.ended_early,
        "best_epoch": result.best_epoch,
        "train_loss": result.train_loss,
        "train_accuracy": result.train_accuracy,
        "validation_loss": result.validation_loss,
        "validation_accuracy": result.validation_accuracy,
        "test_loss": result.test_loss,
        "test_accuracy": result.test_accuracy,
        "seconds": result.seconds,
        "images_per_second": result.images_per_second,
        "model": model,
    }


def _score(accuracy: float, loss: float | None) -> str:
    return f"{show.percent(accuracy)} (loss {loss:.4f})"


def nothing_to_do(result: "Result") -> None:
    """Say on stderr why a run that was resumed did not go on."""
    epochs = len(result.log)
    if result.ended_early:
        show.note(
            f"nnx: nothing to do: training ended early after epoch {epochs}, and the "
            f"weights are those of the best one, {result.best_epoch}"
        )
    else:
        show.note(
            f"nnx: nothing to do: all epochs are done; --epochs {2 * epochs} would go "
            "on for longer"
        )
