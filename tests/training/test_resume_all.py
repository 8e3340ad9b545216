"""With every kind of state at once, a run that is stopped ends with the same bits."""

from itertools import count
from pathlib import Path

import numpy as np
import pytest

from nnx import Network, train
from nnx.data.dataset import Dataset, Frame, Split
from nnx.model_file import MODEL_NAME
from nnx.settings.table import OPTIMIZERS
from nnx.training import loop

SETTINGS = {
    "backend": "numpy",
    "epochs": 12,
    "batch_size": 8,
    "learning_rate": 0.01,
    "schedule": "plateau:patience=1,warmup=1",
    "momentum_schedule": "linear:to=0.95",
    "validation_fraction": 0.3,
    "patience": 3,
    "batch_norm": True,
    "dropout": 0.2,
    "input_dropout": 0.1,
    "input_noise": 0.1,
    "ema_decay": 0.9,
    "max_norm": 2.0,
    "class_weights": "balanced",
    "augment": "shift=1",
}


@pytest.fixture
def data() -> Dataset:
    rng = np.random.default_rng(0)
    labels = np.arange(50) % 3
    images = rng.integers(0, 200, (50, 25)) + 50 * (
        labels[:, None] == np.arange(25) % 3
    )
    part = Split(images.astype(np.uint8), labels)
    return Dataset("blobs", part, part, ("a", "b", "c"), Frame(5, 5, 255, 4))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("cut", [1, 7, 15])
def test_stopped_and_resumed(
    optimizer: str,
    cut: int,
    data: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop, "UPDATE_SECONDS", 0.0)  # a chunk is a step
    network, settings = Network([25, 9, 3], "gelu"), SETTINGS | {"optimizer": optimizer}
    whole = train(network, data, out=tmp_path / "whole", **settings)
    steps, out = count(1), tmp_path / "cut"
    first = train(
        network, data, out=out, should_stop=lambda: next(steps) == cut, **settings
    )
    assert first.stopped
    second = train(network, data, out=out, resume=True, **settings)
    assert (tmp_path / "whole" / MODEL_NAME).read_bytes() == (
        out / MODEL_NAME
    ).read_bytes()
    assert [row[:-2] for row in second.log] == [row[:-2] for row in whole.log]
    assert second.best_epoch == whole.best_epoch
    assert not second.stopped
