"""Backends against the plain maths, on drawn shapes, dtypes, layouts and orders."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from drawn import Kernel, Layout, Problem, kernel_arguments, laid, memory, problems
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from nnx.agreement import BOUNDS
from nnx.backend import Backend, find
from nnx.data.dataset import Array
from nnx.errors import BackendError
from nnx.maths import steps
from nnx.maths.network import Layer
from nnx.maths.optimizers import Rates
from nnx.maths.steps import Epoch, Images, Recipe, State
from nnx.reference import PLAIN, change_errors, cleared, errors, on_host, widened
from nnx.training.loop import start

BACKENDS = [
    "numpy",
    "strict",
    "numba",
    "torch",
    "jax",
    pytest.param("cupy", marks=pytest.mark.gpu),
]
# Multiplications for a batch: what bounds a test's time.
WORK = {"strict": 1e6}
MOST_WORK = 5e7
# JAX compiles for every new shape, and every example has one.
EXAMPLES = {"jax": 10}
MOST_EXAMPLES = 100


def held(test: Callable[..., None]) -> Callable[[Backend], None]:
    """Run a test on as many examples as its backend has time for."""

    def run(tested: Backend) -> None:
        def one(data: st.DataObject) -> None:
            test(tested, data)

        # What failed is kept, and tried first next time, under this name.
        one.__name__ = test.__name__
        examples = settings(
            max_examples=EXAMPLES.get(tested.name, MOST_EXAMPLES),
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        )
        examples(given(data=st.data())(one))()

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@pytest.fixture(scope="module", params=BACKENDS)
def tested(request: pytest.FixtureRequest) -> Backend:
    try:
        return find(request.param)
    except BackendError as error:
        pytest.skip(str(error))


def on_device(posed: Problem, layout: Layout, backend: Backend) -> Problem:
    """Return the problem in a backend's arrays, laid out in memory as asked."""

    def moved(array: Array) -> Array:
        return backend.from_numpy(laid(array, layout))

    layers = [Layer(*map(moved, layer)) for layer in posed.layers]
    images = Images(*map(moved, posed.images))
    return posed._replace(layers=layers, images=images, order=moved(posed.order))


def arrays(posed: Problem) -> list[Array]:
    return [*(a for la in posed.layers for a in la), *posed.images, posed.order]


def begun(posed: Problem, dtype: str, backend: Backend) -> State:
    """Return the state in the middle of an epoch: sums of 2.5 nats and 3 hits.

    No slot is near 0, so that a gradient whose terms cancel, and is all rounding, is
    little beside it. From 0, Adam's first step goes as far to either side, however
    small the gradient is.
    """
    loss_sum = np.asarray(2.5, dtype)
    options = {"optimizer": posed.recipe.optimizer, "averaged": posed.averaged}
    state = start(posed.layers, backend, **options).state
    filled = [Layer(*map(backend.xp.abs, layer)) for layer in posed.layers]
    return state._replace(
        slots=tuple(filled for _ in state.slots),
        loss_sum=backend.from_numpy(loss_sum),
        hits=backend.from_numpy(np.asarray(3)),
    )


def epoch_of(posed: Problem) -> Epoch:
    return Epoch(posed.order, posed.rates, posed.begin)


def after(start: State, posed: Problem, backend: Backend, *span: int) -> State:
    return backend.run_steps(
        start, posed.images, epoch_of(posed), *span, posed.recipe, backend
    )


def numbers(value: Any) -> list[Array]:
    """Return all arrays of a state, one after another."""
    if isinstance(value, tuple | list):
        return [array for each in value for array in numbers(each)]
    return [value]


def assert_same_bits(a: State, b: State, backend: Backend) -> None:
    a, b = on_host(a, backend), on_host(b, backend)
    for one, other in zip(numbers(a), numbers(b), strict=True):
        np.testing.assert_array_equal(one, other)


def off(got: State, expected: State, drawn: Problem) -> dict[str, float]:
    """Return the relative error of every array, and of every parameter's change."""
    found = errors(got, expected, str(drawn.layers[0].weight.dtype))
    count = drawn.last - drawn.first
    return found | change_errors(drawn.layers, got.layers, expected.layers, count)


@held
def test_steps(tested: Backend, data: st.DataObject) -> None:
    """The backend's own steps, and the plain steps through its kernels."""
    drawn = data.draw(problems(WORK.get(tested.name, MOST_WORK)))
    layout = data.draw(memory)
    span = drawn.first, drawn.last
    wide = drawn._replace(layers=widened(drawn.layers))
    try:
        order, expected = cleared(
            begun(wide, "float64", PLAIN), drawn.images, drawn.order, *span,
            drawn.recipe, drawn.rates, drawn.begin,
        )  # fmt: skip
    except ValueError:
        reject()
    drawn = drawn._replace(order=order)
    dtype = str(drawn.layers[0].weight.dtype)
    posed = on_device(drawn, layout, tested)
    start = begun(posed, dtype, tested)
    for run_steps in (tested.run_steps, steps.run_steps):
        state = run_steps(
            start, posed.images, epoch_of(posed), *span, posed.recipe, tested
        )
        found = off(on_host(state, tested), expected, drawn)
        assert {k: e for k, e in found.items() if not e <= BOUNDS[dtype]} == {}
    for given_, kept in zip(arrays(posed), arrays(drawn), strict=True):
        np.testing.assert_array_equal(tested.to_numpy(given_), kept)


@held
def test_steps_cut_anywhere_give_the_same_bits(
    tested: Backend, data: st.DataObject
) -> None:
    """Going on changes neither the result nor the state that one goes on from."""
    drawn = data.draw(problems(WORK.get(tested.name, MOST_WORK)))
    posed = on_device(drawn, data.draw(memory), tested)
    first, last = posed.first, posed.last
    cut = data.draw(st.integers(first, last))
    start = begun(posed, str(drawn.layers[0].weight.dtype), tested)
    whole = after(start, posed, tested, first, last)
    part = after(start, posed, tested, first, cut)
    assert_same_bits(after(part, posed, tested, cut, last), whole, tested)
    assert_same_bits(after(start, posed, tested, first, cut), part, tested)


@pytest.mark.parametrize("batch", [256, 1000])
def test_small_parts_of_a_gradient_add_up(tested: Backend, batch: int) -> None:
    """What each image adds to a float32 step is less than the bias's last digit."""
    weight, bias = np.full((1, 2), 0.9, np.float32), np.full(2, 0.9, np.float32)
    images = Images(np.ones((batch, 1), np.uint8), np.zeros(batch, np.int64))
    recipe, rates = Recipe(("identity",), 1.0, batch), [Rates(1e-5)]
    layers, order = [Layer(weight, bias)], np.arange(batch)
    drawn = Problem(layers, images, order, 0, 1, recipe, rates)
    posed = on_device(drawn, Layout("C", "C", False), tested)
    start = begun(posed, "float32", tested)
    (layer,) = on_host(after(start, posed, tested, 0, 1), tested).layers
    # Both probabilities are 1/2.
    np.testing.assert_allclose(layer.bias - bias, [5e-6, -5e-6], rtol=0.05)
    np.testing.assert_allclose(layer.weight - weight, [[5e-6, -5e-6]], rtol=0.05)


class Call(NamedTuple):
    """A kernel's arguments: on the host, the same in float64, and on the device."""

    drawn: Kernel
    wide: Kernel
    own: Kernel
    activation: str


def call(tested: Backend, data: st.DataObject) -> Call:
    """Draw a call."""
    work = 10 * WORK.get(tested.name, MOST_WORK)
    drawn, activation = data.draw(kernel_arguments(work))
    layout = data.draw(memory)
    own = Kernel(*(tested.from_numpy(laid(array, layout)) for array in drawn))
    wide = Kernel(*(array.astype(np.float64) for array in drawn[:-1]), drawn.labels)
    return Call(drawn, wide, own, activation)


def assert_near(
    got: Any, expected: Array, terms: Array, called: Call, tested: Backend
) -> None:
    """Hold got to expected, and the kernel's arguments to what they were.

    terms: what a sum's terms are of the order of; it may be much smaller than they,
        and only so exact
    """
    got, given_ = tested.to_numpy(got), called.drawn.x
    assert (got.dtype, got.shape) == (given_.dtype, np.shape(expected))
    size = max(np.max(np.abs(expected)), np.max(terms))
    assert np.max(np.abs(got - expected)) <= BOUNDS[str(got.dtype)] * size
    for own, kept in zip(called.own, called.drawn, strict=True):
        np.testing.assert_array_equal(tested.to_numpy(own), kept)


@held
def test_dense_forward(tested: Backend, data: st.DataObject) -> None:
    called = call(tested, data)
    x, weight, bias = called.wide[:3]
    names = {"activation": called.activation}
    expected = PLAIN.dense_forward(x, weight, bias, **names, xp=np)
    got = tested.dense_forward(*called.own[:3], **names, xp=tested.xp)
    terms = np.sqrt(x**2 @ weight**2 + bias**2)
    assert_near(got, expected, terms, called, tested)


@held
def test_dense_backward(tested: Backend, data: st.DataObject) -> None:
    called, input_gradient = call(tested, data), data.draw(st.booleans())
    a, k = called.own, called.wide
    names = {"activation": called.activation, "input_gradient": input_gradient}
    gots = tested.dense_backward(a.dy, a.x, a.y, a.weight, **names, xp=tested.xp)
    expected = PLAIN.dense_backward(k.dy, k.x, k.y, k.weight, **names, xp=np)
    squares = k.dy**2 @ k.weight.T**2, k.x.T**2 @ k.dy**2, np.sum(k.dy**2, axis=0)
    for i in range(0 if input_gradient else 1, 3):
        assert_near(gots[i], expected[i], np.sqrt(squares[i]), called, tested)


@held
def test_cross_entropy(tested: Backend, data: st.DataObject) -> None:
    called = call(tested, data)
    logits, labels = called.own[-2:]
    classes = called.drawn.logits.shape[1]
    options = {
        "smoothing": data.draw(st.sampled_from([0.0, 0.1])),
        "class_weights": data.draw(
            st.sampled_from([(), tuple(1.0 + i % 3 for i in range(classes))])
        ),
    }
    loss, dlogits = tested.cross_entropy(logits, labels, **options, xp=tested.xp)
    wide = called.wide
    expected = PLAIN.cross_entropy(wide.logits, wide.labels, **options, xp=np)
    one = np.ones(())
    assert_near(loss, expected[0], one, called, tested)
    batch = called.drawn.labels.shape[0]
    assert_near(dlogits, expected[1], one / batch, called, tested)


@held
def test_update(tested: Backend, data: st.DataObject) -> None:
    """A backend may use the gradient's memory for what it returns."""
    called = call(tested, data)
    for name in ("weight", "bias"):
        kept = getattr(called.drawn, name)
        gradient = tested.from_numpy(kept[::-1].copy())
        got = tested.update(getattr(called.own, name), gradient, 0.3)
        wide = getattr(called.wide, name)
        assert_near(got, wide - 0.3 * wide[::-1], np.zeros(()), called, tested)
