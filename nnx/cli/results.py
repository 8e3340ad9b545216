"""What `nnx train` says before and after a run."""

from typing import TYPE_CHECKING, Any

from nnx.cli import show

if TYPE_CHECKING:
    from nnx.training.result import Result
    from nnx.training.run import Run

# What of a result is in the JSON object.
RESULTS = (
    "ended_early", "best_epoch", "train_loss", "train_accuracy", "validation_loss",
    "validation_accuracy", "test_loss", "test_accuracy", "seconds",
    "images_per_second",
)  # fmt: skip


def introduce(run: "Run") -> None:
    """Say on stderr what is about to be trained, and on what."""
    data, network, backend = run.data, run.network, run.backend
    validation = ""
    if run.validation is not None:
        validation = f", {len(run.validation.labels):,} validation"
    for remark in data.notes:
        show.note(f"{data.name}: {remark}")
    show.note(
        f"{data.name}: {len(data.train.labels):,} training{validation} and "
        f"{len(data.test.labels):,} test images · network {network}, "
        f"{network.parameters:,} parameters · {backend.name} on {backend.device}"
    )
    if backend.note:
        show.note(f"{backend.name}: {backend.note}")


def report(run: "Run", result: "Result", json: bool) -> None:
    """Print a run's outcome, as two lines or as one JSON object."""
    from nnx.model_file import MODEL_NAME

    assert run.folder is not None
    model, precision = str(run.folder / MODEL_NAME), run.settings["precision"]
    if json:
        show.as_json(_row(run, model, result))
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
    best = f"; best epoch {result.best_epoch}" if result.best_epoch else ""
    show.line(
        f"epochs: {len(result.log)}{early} in {result.seconds:.2f} s, "
        f"{result.images_per_second:,.0f} images/s{best}; model: {model}"
    )


def _row(run: "Run", model: str, result: "Result") -> dict[str, Any]:
    described = {
        "backend": run.backend.name,
        "device": run.backend.device,
        "precision": run.settings["precision"],
        "dataset": run.data.name,
        "network": str(run.network),
        "parameters": run.network.parameters,
        "epochs": len(result.log),
        "model": model,
    }
    return described | {name: getattr(result, name) for name in RESULTS}


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
