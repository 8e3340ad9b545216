"""Backends against the plain maths, on drawn shapes, dtypes, layouts and orders."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
from bits import assert_same_bits
from drawn import (
    PIXELS,
    Kernel,
    Layout,
    Problem,
    kernel_arguments,
    laid,
    memory,
    problems,
)
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from usable import usable

from nnx.backend import Backend
from nnx.data.dataset import Array
from nnx.maths import dense, losses, steps
from nnx.maths.arrays import map_arrays, moved, named_arrays
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.ops import Ops
from nnx.maths.state import Images, Layer, State, initial_state
from nnx.verify.compare import BOUNDS, PLAIN, change_errors, errors
from nnx.verify.kinks import steps_without_kinks
from nnx.verify.parity import has_kernels

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
DEFAULT_WORK = 5e7
# JAX and CuPy compile for every new shape, and every example has one.
EXAMPLES = {"jax": 10, "cupy": 20}
DEFAULT_EXAMPLES = 100
# Of these, one in so many without --sweep.
SHARE = 5


def on_examples(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test on as many examples as its backend has time for."""

    def run(tested: Backend, request: pytest.FixtureRequest) -> None:
        count = EXAMPLES.get(tested.name, DEFAULT_EXAMPLES)
        if not request.config.getoption("sweep"):
            count //= SHARE

        def one(data: st.DataObject) -> None:
            test(tested, data)

        # What failed is tried first next time; it is stored under this name.
        one.__name__ = test.__name__
        examples = settings(
            max_examples=count,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        )
        # As in use: on ARM, OpenBLAS may leave flags of errors that did not happen.
        with tested.scope():
            examples(given(data=st.data())(one))()

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@pytest.fixture(scope="module", params=BACKENDS)
def tested(request: pytest.FixtureRequest) -> Backend:
    if not request.config.getoption("sweep"):
        del PIXELS[2:]
    return usable(request.param)


def on_device(posed: Problem, layout: Layout, backend: Backend) -> Problem:
    """Return the problem in a backend's arrays, laid out in memory as asked."""
    layers, images, order = map_arrays(
        lambda array: backend.from_numpy(laid(array, layout)),
        (posed.layers, posed.images, posed.order),
    )
    return posed._replace(layers=layers, images=images, order=order)


def arrays(tree: Any) -> list[Array]:
    """Return all arrays of a tree, one after another."""
    return [array for _, array in named_arrays(tree, "")]


def begun(posed: Problem, dtype: str, ops: Ops, from_numpy: Any) -> State:
    """Return the state in the middle of an epoch: sums of 2.5 nats and 3 correct.

    No number of the optimizer's is near 0, so that a gradient whose terms cancel, and
    is all rounding, is little beside it. From 0, Adam's first step goes as far to
    either side, however small the gradient is.
    """
    state = initial_state(posed.layers, posed.hyper, ops)
    filled = map_arrays(ops.xp.abs, posed.layers)
    return state._replace(
        step=posed.step,
        optimizer_state=tuple(filled for _ in state.optimizer_state),
        loss_sum=from_numpy(np.asarray(2.5, dtype)),
        score_sum=from_numpy(np.asarray(3)),
    )


def after(state: State, posed: Problem, backend: Backend, count: int) -> State:
    return backend.run_steps(state, posed.images, posed.order, count, posed.hyper)


def off(got: State, start: State, expected: State, drawn: Problem) -> dict[str, float]:
    """Return the relative error of every array, and of every parameter's change."""
    relative = errors(got, expected, str(drawn.layers[0].weight.dtype), start)
    assert got.step == expected.step == drawn.step + drawn.count
    return relative | change_errors(
        drawn.layers, got.layers, expected.layers, drawn.count
    )


@on_examples
def test_steps(tested: Backend, data: st.DataObject) -> None:
    """The backend's own steps, and the plain steps through its kernels."""
    drawn = data.draw(problems(WORK.get(tested.name, DEFAULT_WORK)))
    layout = data.draw(memory)
    wide = drawn._replace(layers=map_arrays(np.float64, drawn.layers))
    before = begun(wide, "float64", PLAIN, np.asarray)
    try:
        order, expected = steps_without_kinks(
            before, drawn.images, drawn.order, drawn.count, drawn.hyper
        )
    except ValueError:
        reject()
    drawn = drawn._replace(order=order)
    dtype = str(drawn.layers[0].weight.dtype)
    posed = on_device(drawn, layout, tested)
    start = begun(posed, dtype, tested.ops, tested.from_numpy)
    ways = [tested.run_steps]
    # Without own steps these are the plain steps already; without kernels the plain
    # steps are the maths on the library alone, which tests/maths and the gradient check
    # have, and JAX would compile each of their operations for each shape.
    if tested.own_steps is not None and has_kernels(tested):
        ways.append(partial(steps.run_steps, ops=tested.ops))
    for run_steps in ways:
        state = run_steps(start, posed.images, posed.order, posed.count, posed.hyper)
        relative = off(moved(state, tested.to_numpy), before, expected, drawn)
        assert {k: e for k, e in relative.items() if not e <= BOUNDS[dtype]} == {}
    inputs = (posed.layers, posed.images, posed.order)
    given_ = (drawn.layers, drawn.images, drawn.order)
    for mine, other in zip(arrays(inputs), arrays(given_), strict=True):
        np.testing.assert_array_equal(tested.to_numpy(mine), other)


@on_examples
def test_steps_cut_anywhere_give_the_same_bits(
    tested: Backend, data: st.DataObject
) -> None:
    """Going on changes neither the result nor the state that one goes on from."""
    drawn = data.draw(problems(WORK.get(tested.name, DEFAULT_WORK)))
    posed = on_device(drawn, data.draw(memory), tested)
    cut = data.draw(st.integers(0, posed.count))
    start = begun(
        posed, str(drawn.layers[0].weight.dtype), tested.ops, tested.from_numpy
    )
    whole = after(start, posed, tested, posed.count)
    part = after(start, posed, tested, cut)
    rest = after(part, posed, tested, posed.count - cut)
    again = after(start, posed, tested, cut)
    for one, other in (rest, whole), (again, part):
        assert_same_bits(moved(one, tested.to_numpy), moved(other, tested.to_numpy))


@pytest.mark.parametrize("batch", [256, 1000])
def test_small_parts_of_a_gradient_add_up(tested: Backend, batch: int) -> None:
    """What each image adds to a float32 step is less than the bias's last digit."""
    weight, bias = np.full((1, 2), 0.9, np.float32), np.full(2, 0.9, np.float32)
    images = Images(np.ones((batch, 1), np.uint8), np.zeros(batch, np.int64))
    hyper = Hyperparameters(("identity",), 1.0, batch, learning_rate=1e-5)
    drawn = Problem([Layer(weight, bias)], images, np.arange(batch), 0, 1, hyper)
    posed = on_device(drawn, Layout("C", "C", False), tested)
    start = begun(posed, "float32", tested.ops, tested.from_numpy)
    (layer,) = moved(after(start, posed, tested, 1).layers, tested.to_numpy)
    # Both probabilities are 1/2.
    np.testing.assert_allclose(layer.bias - bias, [5e-6, -5e-6], rtol=0.05)
    np.testing.assert_allclose(layer.weight - weight, [[5e-6, -5e-6]], rtol=0.05)


class Call(NamedTuple):
    """A kernel's arguments: on the host, the same in float64, and on the device."""

    drawn: Kernel
    wide: Kernel
    own: Kernel


def call(tested: Backend, data: st.DataObject) -> Call:
    """Draw a call."""
    work = 10 * WORK.get(tested.name, DEFAULT_WORK)
    drawn = data.draw(kernel_arguments(work))
    layout = data.draw(memory)
    own = Kernel(*(tested.from_numpy(laid(array, layout)) for array in drawn))
    wide = Kernel(*(array.astype(np.float64) for array in drawn[:-1]), drawn.labels)
    return Call(drawn, wide, own)


def assert_near(
    got: Any, expected: Array, terms: Array, called: Call, tested: Backend
) -> None:
    """Compare got with expected, and the kernel's arguments with what they were.

    terms: what a sum's terms are of the order of; it may be much smaller than they,
        and only so exact
    """
    got, given_ = tested.to_numpy(got), called.drawn.x
    assert (got.dtype, got.shape) == (given_.dtype, np.shape(expected))
    size = max(np.max(np.abs(expected)), np.max(terms))
    assert np.max(np.abs(got - expected)) <= BOUNDS[str(got.dtype)] * size
    for own, drawn in zip(called.own, called.drawn, strict=True):
        np.testing.assert_array_equal(tested.to_numpy(own), drawn)


@on_examples
def test_dense_forward(tested: Backend, data: st.DataObject) -> None:
    called = call(tested, data)
    x, weight, bias = called.wide[:3]
    expected = dense.forward(x, weight, bias)
    got = tested.ops.dense_forward(*called.own[:3])
    terms = np.sqrt(x**2 @ weight**2 + bias**2)
    assert_near(got, expected, terms, called, tested)


@on_examples
def test_cross_entropy(tested: Backend, data: st.DataObject) -> None:
    called = call(tested, data)
    logits, labels = called.own[-2:]
    classes = called.drawn.logits.shape[1]
    options = {
        "label_smoothing": data.draw(st.sampled_from([0.0, 0.1])),
        "class_weights": data.draw(
            st.sampled_from([(), tuple(1.0 + i % 3 for i in range(classes))])
        ),
    }
    loss, dlogits = losses.cross_entropy(logits, labels, **options, xp=tested.xp)
    wide = called.wide
    expected = losses.cross_entropy(wide.logits, wide.labels, **options, xp=np)
    one = np.ones(())
    assert_near(loss, expected[0], one, called, tested)
    assert_near(dlogits, expected[1], one, called, tested)


@on_examples
def test_update(tested: Backend, data: st.DataObject) -> None:
    """The parameter is not written to; the gradient may be."""
    called = call(tested, data)
    for name in ("weight", "bias"):
        parameter = getattr(called.own, name)
        before = np.array(tested.to_numpy(parameter))
        gradient = tested.from_numpy(getattr(called.drawn, name)[::-1].copy())
        got = tested.ops.update(parameter, gradient, 0.3)
        np.testing.assert_array_equal(tested.to_numpy(parameter), before)
        wide = getattr(called.wide, name)
        assert_near(got, wide - 0.3 * wide[::-1], np.zeros(()), called, tested)
