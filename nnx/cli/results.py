"""What `nnx train` says before and after a run."""

from pathlib import Path
from typing import TYPE_CHECKING

from nnx.cli import show

if TYPE_CHECKING:
    from nnx.backend import Backend
    from nnx.data.dataset import Dataset
    from nnx.network import Network
    from nnx.training.train import Result


def introduce(data: "Dataset", network: "Network", backend: "Backend") -> None:
    """Say on stderr what is about to be trained, and on what."""
    for remark in data.notes:
        show.note(f"{data.name}: {remark}")
    show.note(
        f"{data.name}: {len(data.train.labels):,} training and "
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

    model = folder / MODEL_NAME
    products = "" if precision == "full" else f"; products in {precision}"
    if not json:
        show.line(
            f"test accuracy {show.percent(result.test_accuracy)} (loss "
            f"{result.test_loss:.4f}), training {show.percent(result.train_accuracy)} "
            f"(loss {result.train_loss:.4f}){products}"
        )
        show.line(
            f"epochs: {len(result.log)} in {result.seconds:.2f} s, "
            f"{result.images_per_second:,.0f} images/s; model: {model}"
        )
        return
    show.as_json(
        {
            "backend": backend.name,
            "device": backend.device,
            "precision": precision,
            "dataset": data.name,
            "network": str(result.network.model),
            "parameters": result.network.parameters,
            "epochs": len(result.log),
            "train_loss": result.train_loss,
            "train_accuracy": result.train_accuracy,
            "test_loss": result.test_loss,
            "test_accuracy": result.test_accuracy,
            "seconds": result.seconds,
            "images_per_second": result.images_per_second,
            "model": str(model),
        }
    )
