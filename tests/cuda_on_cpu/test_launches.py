"""How often steps launch a kernel, and that none waits for the device."""

from typing import Any

import numpy as np
import pytest

import cuda_on_cpu
from cuda_on_cpu import Counts
from nnx import Network, find
from nnx.backend import Backend
from nnx.maths.activations import ACTIVATIONS
from nnx.maths.arrays import moved
from nnx.maths.hyperparameters import Distortion
from nnx.maths.losses import LOSSES
from nnx.maths.optimizers import OPTIMIZERS
from nnx.maths.state import Images, initial_state
from nnx.verify.cases import Case

pytestmark = pytest.mark.gpu
# The backend's self-test warns of each that is wrong, and a warning is an error here.
FUSED: dict[str, dict[str, Any]] = {
    **{name: {"optimizer": name} for name in OPTIMIZERS},
    **{name: {"loss": name} for name in LOSSES},
    "l1 and l2": {"l1": 0.1, "l2": 0.1},
    "weight decay and an average": {"weight_decay": 0.1, "ema_decay": 0.9},
    "dropout": {"dropout": 0.5, "input_dropout": 0.2},
    "batch norm": {"batch_norm": True},
    "clipped and bounded": {"clip_norm": 0.1, "max_norm": 1.0},
    "class weights": {"class_weights": (1.0, 2.0, 3.0), "label_smoothing": 0.1},
    "distortion": {"augment": Distortion(shift=1.0, rotation=10.0, elastic=2.0)},
    "input noise": {"input_noise": 0.1},
    "no hidden layer": {"sizes": (16, 3)},
    "47 classes": {"sizes": (16, 8, 47)},
}
BATCH, IMAGES = 8, 512


def counted(backend: Backend, options: dict[str, Any], count: int) -> Counts:
    """Return what so many steps ask of the device, after others have compiled them."""
    sizes = options.get("sizes", (16, 8, 3))
    recipe = ((name, value) for name, value in options.items() if name != "sizes")
    case = Case(sizes, "relu", BATCH, tuple(recipe))
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (IMAGES, 16), np.uint8)
    labels, _ = case.labels(IMAGES, draw)
    if labels.dtype.kind == "f":
        labels = labels.astype(np.float32)
    layers = Network(case.sizes, case.activation).layers
    made = Images(pixels, labels, None), np.arange(IMAGES), layers
    images, order, layers = moved(made, backend.from_numpy)
    with backend.scope():
        state = initial_state(layers, case.hyper, backend.ops)
    backend.run_steps(state, images, order, count, case.hyper)
    cuda_on_cpu.reset()
    backend.run_steps(state, images, order, count, case.hyper)
    return cuda_on_cpu.counts()


@pytest.mark.usefixtures("emulated")
@pytest.mark.parametrize("options", FUSED.values(), ids=FUSED)
def test_many_steps_are_one_launch(options: dict[str, Any]) -> None:
    """And copies before and after it, as many however many steps it takes."""
    one, many = (counted(find("cupy"), options, count) for count in (1, 40))
    assert cuda_on_cpu.launched().count("train") == 1
    assert many.launches == one.launches <= 20
    assert (many.synchronizations, many.allocations) == (0, 0)


@pytest.mark.usefixtures("emulated")
@pytest.mark.parametrize("options", FUSED.values(), ids=FUSED)
def test_no_plain_step_waits_for_the_device(options: dict[str, Any]) -> None:
    counts = counted(find("cupy", fused=False), options, 3)
    assert counts.launches > 3 * 10
    assert counts.synchronizations == 0
    assert counts.copies == 0


@pytest.mark.usefixtures("emulated")
def test_every_activation_passes_the_self_test() -> None:
    every = {
        "activations": (*ACTIVATIONS, "identity"),
        "sizes": (16, *(8 for _ in ACTIVATIONS), 3),
    }
    counted(find("cupy"), every, 1)
    assert cuda_on_cpu.launched().count("train") == 1
