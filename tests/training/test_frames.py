"""How deep the maths is below the training loop: a reader should get there."""

import sys
from types import FrameType
from typing import Any

import pytest

from nnx import Network
from nnx.backend import Backend
from nnx.data.dataset import Dataset
from nnx.maths.activations import ACTIVATIONS
from nnx.settings import complete
from nnx.training import loop
from nnx.training.run import Run

MOST_FRAMES = 8  # from `fit` to an activation, both counted


def called_by(frame: FrameType | None) -> list[str]:
    """Return the functions from `fit` to this frame's, in the order of their calls."""
    names = []
    while frame is not None:
        names.append(frame.f_code.co_name)
        if frame.f_code is loop.fit.__code__:
            return names[::-1]
        frame = frame.f_back
    raise AssertionError("not under fit")


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_few_calls_from_the_loop_to_an_activation(
    name: str,
    batch_norm: bool,
    data: Dataset,
    reference: Backend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own, seen = ACTIVATIONS[name].forward, list[list[str]]()

    def forward(z: Any, *, xp: Any) -> Any:
        # The frame of this function stands for that of the activation.
        chain = called_by(sys._getframe())
        if "run_steps" in chain:
            seen.append(chain)
        return own(z, xp=xp)

    spied = ACTIVATIONS[name]._replace(forward=forward)
    monkeypatch.setitem(ACTIVATIONS, name, spied)
    settings = complete({"epochs": 1, "batch_size": 50, "batch_norm": batch_norm})
    run = Run(Network([25, 4, 3], name), data, settings, backend=reference)
    with run.scope():
        assert [progress.epoch_ended for progress in run][-1]
    assert len(seen) >= 3  # batches
    for chain in seen:
        assert chain[0] == "fit"
        assert chain[-1] == "forward"
        assert len(chain) <= MOST_FRAMES, " > ".join(chain)
