"""The first 50 steps of every optimizer against PyTorch's independent ones."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from nnx.backend import Backend, find
from nnx.maths import optimizers, schedules
from nnx.maths.arrays import map_arrays
from nnx.maths.hyperparameters import Hyperparameters, Schedule
from nnx.maths.state import Images, Layer, initial_state

torch = pytest.importorskip(
    "torch", reason="PyTorch is not installed: pip install nnx-mlp[torch]"
)
STEPS, BATCH, SIZES = 50, 20, (64, 12, 10)
EPOCHS, PER_EPOCH = 5, 10
DECAY = 0.3

OPTIMIZERS: dict[str, tuple[dict[str, Any], Callable[..., Any]]] = {
    "sgd": ({"learning_rate": 0.3}, lambda p: torch.optim.SGD(p, lr=0.3)),
    "momentum": (
        {"optimizer": "momentum", "learning_rate": 0.1, "momentum": 0.9},
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    ),
    "nesterov": (
        {"optimizer": "nesterov", "learning_rate": 0.1, "momentum": 0.9},
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    ),
    "adam": (
        {"optimizer": "adam", "learning_rate": 0.01, "momentum": 0.9, "beta2": 0.999},
        lambda p: torch.optim.Adam(p, lr=0.01),
    ),
    "adam, other betas": (
        {"optimizer": "adam", "learning_rate": 0.01, "momentum": 0.8, "beta2": 0.9},
        lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.8, 0.9)),
    ),
    "rmsprop": (
        {"optimizer": "rmsprop", "learning_rate": 0.01, "beta2": 0.99},
        lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.99),
    ),
    "rmsprop, momentum": (
        {"optimizer": "rmsprop", "learning_rate": 0.01, "momentum": 0.9, "beta2": 0.9},
        lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.9, momentum=0.9),
    ),
    "adamw": (
        {
            "optimizer": "adam", "learning_rate": 0.01, "momentum": 0.9,
            "beta2": 0.999, "weight_decay": DECAY,
        },
        lambda p: torch.optim.AdamW(decayed(p, DECAY), lr=0.01),
    ),
    "sgd, l2": (
        {"learning_rate": 0.3, "l2": DECAY},
        lambda p: torch.optim.SGD(decayed(p, DECAY), lr=0.3),
    ),
    "nesterov, l2": (
        {
            "optimizer": "nesterov", "learning_rate": 0.1, "momentum": 0.9,
            "l2": DECAY,
        },
        lambda p: torch.optim.SGD(
            decayed(p, DECAY), lr=0.1, momentum=0.9, nesterov=True
        ),
    ),
    "adam, l2": (
        {
            "optimizer": "adam", "learning_rate": 0.01, "momentum": 0.9,
            "beta2": 0.999, "l2": DECAY,
        },
        lambda p: torch.optim.Adam(decayed(p, DECAY), lr=0.01),
    ),
    "rmsprop, l2": (
        {"optimizer": "rmsprop", "learning_rate": 0.01, "beta2": 0.99, "l2": DECAY},
        lambda p: torch.optim.RMSprop(decayed(p, DECAY), lr=0.01, alpha=0.99),
    ),
    "sgd, clipped": (
        {"learning_rate": 0.3, "clip_norm": 0.5},
        lambda p: torch.optim.SGD(p, lr=0.3),
    ),
    "adam, clipped": (
        {
            "optimizer": "adam", "learning_rate": 0.01, "momentum": 0.9,
            "beta2": 0.999, "clip_norm": 0.5,
        },
        lambda p: torch.optim.Adam(p, lr=0.01),
    ),
}  # fmt: skip


def decayed(parameters: list[Any], decay: float) -> list[dict[str, Any]]:
    """Return weights, which decay, and biases, which do not, for an optimizer."""
    weights, biases = parameters[::2], parameters[1::2]
    return [
        {"params": weights, "weight_decay": decay},
        {"params": biases, "weight_decay": 0.0},
    ]


@pytest.fixture(params=["numpy", "numba", "torch", "strict"])
def backend(request: pytest.FixtureRequest) -> Backend:
    return find(request.param)


@pytest.fixture(autouse=True)
def _gradients() -> Iterator[None]:
    """Keep autograd's records, which the backend of nnx does without."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def digits() -> Images:
    """Return blurred blobs of 8 × 8 bytes, one kind for each of ten classes."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, BATCH * PER_EPOCH)
    noise = rng.normal(0, 60, (len(labels), 64))
    centres = rng.integers(0, 256, (10, 64))
    return Images(np.clip(centres[labels] + noise, 0, 255).astype(np.uint8), labels)


def first_layers() -> list[Layer]:
    rng = np.random.default_rng(1)
    return [
        Layer(rng.normal(0, m**-0.5, (m, n)), rng.normal(0, 0.1, n))
        for m, n in pairwise(SIZES)
    ]


def ours(options: dict[str, Any], backend: Backend) -> list[Layer]:
    """Return the layers after 50 steps of five epochs, in the images' order."""
    hyper = Hyperparameters(
        ("tanh", "identity"), 1 / 255, BATCH, epochs=EPOCHS, **options
    )
    images = map_arrays(backend.from_numpy, digits())
    order = backend.from_numpy(np.arange(BATCH * PER_EPOCH))
    layers = map_arrays(backend.from_numpy, first_layers())
    state = initial_state(layers, hyper, backend.ops)
    for _ in range(EPOCHS):
        state = backend.run_steps(state, images, order, PER_EPOCH, hyper)
    assert state.step == STEPS
    return map_arrays(backend.to_numpy, state.layers)


def theirs(
    make: Callable[..., Any],
    clip: float = 0.0,
    before_step: Callable[[Any, int], None] = lambda optimizer, step: None,
) -> list[Any]:
    """Return the parameters after the same steps by PyTorch and its autograd."""
    images = digits()
    pixels, labels = torch.tensor(images.pixels / 255), torch.tensor(images.labels)
    parameters = [
        torch.tensor(array, requires_grad=True)
        for layer in first_layers()
        for array in layer
    ]
    optimizer = make(parameters)
    for step in range(STEPS):
        before_step(optimizer, step)
        rows = slice(step % PER_EPOCH * BATCH, (step % PER_EPOCH + 1) * BATCH)
        w1, b1, w2, b2 = parameters
        logits = torch.tanh(pixels[rows] @ w1 + b1) @ w2 + b2
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(logits, labels[rows]).backward()
        if clip:
            # It adds 1e-6 to the norm, so that it clips a millionth too much.
            norm = torch.nn.utils.clip_grad_norm_(parameters, torch.inf)
            torch.nn.utils.clip_grad_norm_(parameters, clip * (1 + 1e-6 / norm))
        optimizer.step()
    return [parameter.detach().numpy() for parameter in parameters]


def assert_same(got: list[Layer], wanted: list[Any]) -> None:
    for mine, other in zip((a for la in got for a in la), wanted, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-10, atol=1e-10)


def test_every_optimizer_is_here() -> None:
    """As the README promises; one that PyTorch lacks takes a reference of its own."""
    here = {options.get("optimizer", "sgd") for options, _ in OPTIMIZERS.values()}
    assert here == {*optimizers.OPTIMIZERS}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_fifty_steps(name: str, backend: Backend) -> None:
    options, make = OPTIMIZERS[name]
    wanted = theirs(make, options.get("clip_norm", 0.0))
    far = max(np.max(np.abs(a - b)) for a, b in zip(
        wanted, (a for la in first_layers() for a in la), strict=True
    ))  # fmt: skip
    assert far > 0.05  # it went somewhere
    assert_same(ours(options, backend), wanted)


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov"])
def test_decoupled_decay(name: str, backend: Backend) -> None:
    """PyTorch's SGD has none: its weights are made smaller by hand before a step."""
    options, make = OPTIMIZERS[name]

    # The gradient is taken before the decay, so it decays within the step.
    class Decayed:
        def __init__(self, parameters: Any) -> None:
            self.weights, self.inner = parameters[::2], make(parameters)
            self.zero_grad = self.inner.zero_grad

        def step(self) -> None:
            with torch.no_grad():
                for weight in self.weights:
                    weight *= 1 - options["learning_rate"] * DECAY
            self.inner.step()

    wanted = theirs(Decayed)
    assert_same(ours(options | {"weight_decay": DECAY}, backend), wanted)


def test_a_scheduled_learning_rate_and_momentum(backend: Backend) -> None:
    options, make = OPTIMIZERS["nesterov"]
    rate, falling = Schedule("cosine", to=0.01), Schedule("linear", to=0.5)

    def change(optimizer: Any, step: int) -> None:
        (group,) = optimizer.param_groups
        time = step / PER_EPOCH
        group["lr"] = schedules.value(0.1, time, rate, EPOCHS)
        group["momentum"] = schedules.value(0.9, time, falling, EPOCHS)

    got = ours(options | {"schedule": rate, "momentum_schedule": falling}, backend)
    assert_same(got, theirs(make, before_step=change))
