"""Batch normalization, losses, activations and schedules against PyTorch's."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from nnx.backend import Backend, find
from nnx.maths import losses, network, schedules, steps
from nnx.maths.activations import ACTIVATIONS
from nnx.maths.arrays import map_arrays
from nnx.maths.hyperparameters import Hyperparameters, Schedule
from nnx.maths.state import (
    Images,
    Layer,
    NormalizedLayer,
    RunningStats,
    State,
    initial_state,
)
from nnx.verify.gradients import backpropagated

torch = pytest.importorskip(
    "torch", reason="PyTorch is not installed: pip install nnx-mlp[torch]"
)
CLASS_WEIGHTS = (0.5, 1.0, 2.0, 1.5)


@pytest.fixture(params=["numpy", "numba", "torch", "strict"])
def backend(request: pytest.FixtureRequest) -> Backend:
    return find(request.param)


@pytest.fixture(autouse=True)
def _gradients() -> Iterator[None]:
    """Keep autograd's records, which the backend of nnx does without."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def close(got: Any, wanted: Any) -> None:
    if isinstance(wanted, torch.Tensor):
        wanted = wanted.detach().numpy()
    np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-13)


def normalized() -> tuple[State, Images]:
    """Return a network with two normalized layers, amid a run, and a batch."""
    rng = np.random.default_rng(3)
    layers: list[Any] = [
        NormalizedLayer(
            rng.normal(size=(m, n)), rng.normal(size=n), rng.uniform(0.5, 2.0, n)
        )
        for m, n in ((6, 5), (5, 7))
    ]
    stats = tuple(
        RunningStats(rng.normal(size=n), rng.uniform(0.5, 2.0, n)) for n in (5, 7)
    )
    layers.append(Layer(rng.normal(size=(7, 4)), rng.normal(size=4)))
    images = Images(rng.normal(size=(13, 6)), rng.integers(0, 4, 13))
    return State(0, layers, 0.0, 0, running_stats=(*stats, None)), images


def torch_net(state: State, activation: Any) -> Any:
    modules = []
    for layer, stats in zip(state.layers, state.running_stats, strict=True):
        linear = torch.nn.Linear(*layer.weight.shape, bias=stats is None)
        linear.weight.data = torch.tensor(layer.weight.T.copy())
        modules.append(linear)
        if stats is None:
            linear.bias.data = torch.tensor(layer.bias)
            continue
        norm = torch.nn.BatchNorm1d(len(layer.bias), dtype=torch.float64)
        norm.weight.data, norm.bias.data = map(torch.tensor, (layer.gamma, layer.bias))
        norm.running_mean.data = torch.tensor(stats.mean)
        norm.running_var.data = torch.tensor(stats.variance)
        modules += [norm, activation]
    return torch.nn.Sequential(*modules)


SAME_ACTIVATIONS = {
    "tanh": torch.nn.Tanh(),
    "relu": torch.nn.ReLU(),
    "leaky_relu": torch.nn.LeakyReLU(0.01),
    "elu": torch.nn.ELU(),
    "sigmoid": torch.nn.Sigmoid(),
    "softplus": torch.nn.Softplus(),
    "silu": torch.nn.SiLU(),
    "gelu": torch.nn.GELU(approximate="tanh"),
    "identity": torch.nn.Identity(),
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_batch_normalization(activation: str, backend: Backend) -> None:
    """The loss, every gradient, the running statistics, and the network in use."""
    state, images = normalized()
    net = torch_net(state, SAME_ACTIVATIONS[activation])
    loss = torch.nn.functional.cross_entropy(
        net(torch.tensor(images.pixels)), torch.tensor(images.labels)
    )
    loss.backward()
    names = (activation, activation, "identity")
    layers, stats = map_arrays(backend.from_numpy, (state.layers, state.running_stats))
    moved = state._replace(layers=layers, running_stats=stats)
    on_device = map_arrays(backend.from_numpy, images)
    index, hyper = backend.from_numpy(np.arange(13)), Hyperparameters(names, 1.0, 13)
    result = steps.batch_gradients(moved, on_device, index, hyper, backend.ops)
    close(backend.to_numpy(result.loss_sum) / 13, loss)
    gradients = map_arrays(backend.to_numpy, result.gradients)
    renewed = map_arrays(backend.to_numpy, result.running_stats)
    for i, gradient in enumerate(gradients):
        close(gradient.weight, net[3 * i].weight.grad.T)
        if i < 2:
            close(gradient.gamma, net[3 * i + 1].weight.grad)
            close(gradient.bias, net[3 * i + 1].bias.grad)
            close(renewed[i].mean, net[3 * i + 1].running_mean)
            close(renewed[i].variance, net[3 * i + 1].running_var)
        else:
            close(gradient.bias, net[3 * i].bias.grad)
    folded = network.fold_batch_norm(moved.layers, result.running_stats, xp=backend.xp)
    got = network.forward(folded, on_device.pixels, names, backend.ops).logits
    net.eval()
    close(backend.to_numpy(got), net(torch.tensor(images.pixels)))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("class_weights", [(), CLASS_WEIGHTS])
def test_cross_entropy(
    smoothing: float, class_weights: tuple[float, ...], backend: Backend
) -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(0, 3, (50, 4)), rng.integers(0, 4, 50)
    own = torch.tensor(logits, requires_grad=True)
    weight = torch.tensor(class_weights, dtype=torch.float64) if class_weights else None
    wanted = torch.nn.functional.cross_entropy(
        own, torch.tensor(labels), weight, label_smoothing=smoothing
    )
    wanted.backward()
    options = {"label_smoothing": smoothing, "class_weights": class_weights}
    check_loss(backend, logits, labels, None, wanted, own.grad, **options)


def check_loss(
    backend: Backend,
    logits: Any,
    labels: Any,
    weights: Any,
    wanted: Any,
    slopes: Any,
    **options: Any,
) -> None:
    """Compare the mean loss of logits, and its slopes, with what is wanted.

    By steps of a network that hands its inputs on, as that is what backends replace.
    """
    n, outputs = logits.shape
    hyper = Hyperparameters(("identity",), 1.0, n, **options)
    layers = [Layer(np.eye(outputs), np.zeros(outputs))]
    state = initial_state(map_arrays(backend.from_numpy, layers), hyper, backend.ops)
    images = map_arrays(backend.from_numpy, Images(logits, labels, weights))
    index = backend.from_numpy(np.arange(n))
    got = backpropagated(state, images, index, hyper, backend)
    close(backend.to_numpy(got.loss_sum) / n, wanted)
    close(backend.to_numpy(got.gradients[0].bias), slopes.sum(0))
    close(backend.to_numpy(got.gradients[0].weight), logits.T @ slopes.numpy())


LOSSES = {
    "binary_cross_entropy": lambda z, t: (
        torch.nn.functional.binary_cross_entropy_with_logits(z, t, reduction="none")
    ),
    "squared_error": lambda z, t: (
        torch.nn.functional.mse_loss(z, t, reduction="none") / 2
    ),
    "huber": lambda z, t: torch.nn.functional.huber_loss(
        z, t, reduction="none", delta=1.35
    ),
    "poisson": lambda z, t: (
        torch.nn.functional.poisson_nll_loss(z, t, reduction="none")
        + (torch.xlogy(t, t) - t)
    ),
}


def test_every_loss_is_here() -> None:
    assert {"cross_entropy", *LOSSES} == {*losses.LOSSES}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("outputs", [1, 4])
def test_other_losses(
    name: str, weighted: bool, outputs: int, backend: Backend
) -> None:
    """Of several outputs a sample's loss is the sum."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (50, outputs))
    targets = rng.normal(0, 3, (50, outputs))
    if name == "binary_cross_entropy":
        targets = (targets > 0).astype(float)
    if name == "poisson":
        targets = np.floor(np.abs(targets))
    weights = rng.uniform(0.0, 2.0, 50) if weighted else None
    own = torch.tensor(logits, requires_grad=True)
    each = LOSSES[name](own, torch.tensor(targets)).sum(1)
    counts = torch.tensor(np.ones(50) if weights is None else weights)
    wanted = (each * counts).sum() / counts.sum()
    wanted.backward()
    options = {"loss": name, "huber_delta": 1.35}
    check_loss(backend, logits, targets, weights, wanted, own.grad, **options)


def test_weighted_images(backend: Backend) -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(0, 3, (50, 4)), rng.integers(0, 4, 50)
    weights = rng.uniform(0.0, 2.0, 50)
    own = torch.tensor(logits, requires_grad=True)
    each = torch.nn.functional.cross_entropy(
        own, torch.tensor(labels), reduction="none"
    )
    wanted = (each * torch.tensor(weights)).sum() / weights.sum()
    wanted.backward()
    check_loss(backend, logits, labels, weights, wanted, own.grad)


@pytest.mark.parametrize("name", ["cross_entropy", *LOSSES])
def test_images_that_count_nothing(name: str, backend: Backend) -> None:
    """A batch of them has no loss and no gradient, and not NaN."""
    labels = np.zeros(5, int) if name == "cross_entropy" else np.zeros((5, 3))
    nothing, zeros = np.zeros(()), torch.zeros(5, 3, dtype=torch.float64)
    logits, weights = np.ones((5, 3)), np.zeros(5)
    check_loss(backend, logits, labels, weights, nothing, zeros, loss=name)


@pytest.mark.parametrize("batch", [1025, 2500])
def test_weighted_images_in_blocks(batch: int, backend: Backend) -> None:
    """The mean is over the whole batch's weights, and not over each block's."""
    rng = np.random.default_rng(0)
    images = Images(rng.normal(size=(batch, 3)), np.sort(rng.integers(0, 4, batch)))
    weight, bias = rng.normal(size=(3, 4)), rng.normal(size=4)
    own = [torch.tensor(a, requires_grad=True) for a in (weight, bias)]
    loss = torch.nn.functional.cross_entropy(
        torch.tensor(images.pixels) @ own[0] + own[1],
        torch.tensor(images.labels),
        torch.tensor(CLASS_WEIGHTS, dtype=torch.float64),
        label_smoothing=0.1,
    )
    loss.backward()
    hyper = Hyperparameters(
        ("identity",), 1.0, batch, label_smoothing=0.1, class_weights=CLASS_WEIGHTS
    )
    result = steps.batch_gradients(
        State(0, map_arrays(backend.from_numpy, [Layer(weight, bias)]), 0.0, 0),
        map_arrays(backend.from_numpy, images),
        backend.from_numpy(np.arange(batch)),
        hyper,
        backend.ops,
    )
    (gradient,) = map_arrays(backend.to_numpy, result.gradients)
    close(gradient.weight, own[0].grad)
    close(gradient.bias, own[1].grad)
    close(backend.to_numpy(result.loss_sum) / batch, loss)


@pytest.mark.parametrize("name", SAME_ACTIVATIONS)
def test_activations(name: str, backend: Backend) -> None:
    z, dy = np.linspace(-9, 9, 200), np.linspace(-2, 3, 200)
    own = torch.tensor(z, requires_grad=True)
    y = SAME_ACTIVATIONS[name](own)
    y.backward(torch.tensor(dy))
    activation, xp = ACTIVATIONS[name], backend.xp
    got = activation.forward(backend.from_numpy(z), xp=xp)
    cached = backend.from_numpy(z) if activation.from_z else got
    dz = activation.backward(backend.from_numpy(dy), cached, xp=xp)
    # torch's softplus is z itself over 20, which is 2e-9 off.
    np.testing.assert_allclose(
        backend.to_numpy(got), y.detach(), rtol=1e-10, atol=1e-13
    )
    np.testing.assert_allclose(backend.to_numpy(dz), own.grad, rtol=1e-9, atol=1e-13)


def rates(make: Any, steps_: int, base: float = 0.3) -> list[float]:
    """Return the learning rates that one of PyTorch's schedulers gives."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=base)
    scheduler, given = make(optimizer), []
    for _ in range(steps_):
        given.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return given


lr = torch.optim.lr_scheduler
SCHEDULES = {
    "step": (Schedule("step", every=3, factor=0.4), lambda o: lr.StepLR(o, 3, 0.4)),
    "exponential": (
        Schedule("exponential", factor=0.9), lambda o: lr.ExponentialLR(o, 0.9)
    ),
    "cosine": (
        Schedule("cosine", to=0.01),
        lambda o: lr.CosineAnnealingLR(o, 20, eta_min=0.01),
    ),
    "linear": (
        Schedule("linear", to=0.03, over=12), lambda o: lr.LinearLR(o, 1.0, 0.1, 12)
    ),
    "inverse": (
        Schedule("inverse", rate=0.2),
        lambda o: lr.LambdaLR(o, lambda t: 1 / (1 + 0.2 * t)),
    ),
}  # fmt: skip


def test_every_schedule_is_here() -> None:
    """Or below; dip, and what is constant between plateaus, are done by hand."""
    others = {"constant", "one-cycle", "dip", "plateau"}
    assert not {*schedules.SHAPES} - {*SCHEDULES} - others


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(name: str) -> None:
    """Theirs take an epoch a step."""
    schedule, make = SCHEDULES[name]
    got = [schedules.value(0.3, time, schedule, 20) for time in range(20)]
    np.testing.assert_allclose(got, rates(make, 20), rtol=1e-12)


def test_one_cycle() -> None:
    """PyTorch's is over with the last step and not after it, of 101 here."""
    wanted = rates(
        lambda o: lr.OneCycleLR(
            o, 0.3, total_steps=101, pct_start=31 / 101, final_div_factor=100.0
        ),
        100,
    )
    schedule = Schedule("one-cycle", rise=0.3, start=0.04, to=0.3 / 25 / 100)
    got = [schedules.value(0.3, time, schedule, 100) for time in range(100)]
    np.testing.assert_allclose(got, wanted, rtol=1e-10)


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_plateaus(patience: int) -> None:
    """PyTorch acts when there are more bad epochs than its patience."""
    rng = np.random.default_rng(patience)
    scores = rng.integers(0, 30, 60).tolist()
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    scheduler = lr.ReduceLROnPlateau(
        optimizer, "max", 0.5, patience - 1, threshold=0.0, min_lr=0.0, eps=0.0
    )
    for i, score in enumerate(scores):
        scheduler.step(score)
        count = schedules.plateaus(scores[: i + 1], patience)
        assert optimizer.param_groups[0]["lr"] == 0.5**count
    assert schedules.plateaus(scores, patience) > 5


def test_correct_is_pytorch_s_too(backend: Backend) -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(50, 4)), rng.integers(0, 4, 50)
    correct = losses.correct(*map(backend.from_numpy, (logits, labels)), xp=backend.xp)
    wanted = (torch.tensor(logits).argmax(1) == torch.tensor(labels)).sum()
    assert int(backend.to_numpy(correct)) == int(wanted)
