"""Steps against hand-worked numbers, and against a gradient written differently."""

from itertools import pairwise

import numpy as np
import pytest

from nnx.backend import Backend, find
from nnx.maths import blocks, evaluation, steps
from nnx.maths.network import Layer, forward
from nnx.maths.optimizers import Rates
from nnx.maths.steps import Epoch, Images, Recipe, State
from nnx.network import to_device, to_host


def _images(backend: Backend, n: int, features: int, classes: int) -> Images:
    rng = np.random.default_rng(n)
    return Images(
        backend.from_numpy(rng.integers(0, 256, (n, features)).astype(np.uint8)),
        backend.from_numpy(rng.integers(0, classes, n)),
    )


def _layers(sizes: list[int], dtype: str = "float64") -> list[Layer]:
    rng = np.random.default_rng(1)
    return [
        Layer(rng.normal(size=(m, n)).astype(dtype), rng.normal(size=n).astype(dtype))
        for m, n in pairwise(sizes)
    ]


def test_one_step_worked_by_hand(backend: Backend) -> None:
    """Zero weights give p = 1/2, so the gradient is x/2 towards the label."""
    layers = to_device([Layer(np.zeros((2, 2)), np.zeros(2))], backend)
    images = Images(
        backend.from_numpy(np.array([[2, 4]], np.uint8)),
        backend.from_numpy(np.array([0])),
    )
    recipe = Recipe(("identity",), 0.5, 1)
    state = steps.step(
        State(layers, 0.0, 0),
        images,
        backend.from_numpy(np.array([0])),
        Rates(0.1),
        0,
        recipe,
        backend,
    )
    weight, bias = to_host(state.layers, backend)[0]
    np.testing.assert_allclose(weight, 0.1 * np.array([[0.5, -0.5], [1.0, -1.0]]))
    np.testing.assert_allclose(bias, [0.05, -0.05])
    assert float(backend.to_numpy(state.loss_sum)) == pytest.approx(np.log(2))


def test_l2_shrinks_weights_and_not_biases(backend: Backend) -> None:
    layers = to_device(_layers([4, 3]), backend)
    images, index = _images(backend, 6, 4, 3), backend.from_numpy(np.arange(6))
    recipe = Recipe(("identity",), 1.0, 6)
    plain, decayed = (
        steps.batch_sums(State(layers, 0.0, 0), images, index, 0, r, backend)
        for r in (recipe, recipe._replace(l2=0.3))
    )
    (dw, db), (dw2, db2) = (to_host(s.gradients, backend)[0] for s in (plain, decayed))
    np.testing.assert_allclose(dw2 - dw, 0.3 * _layers([4, 3])[0].weight, rtol=1e-12)
    np.testing.assert_array_equal(db, db2)


def test_a_large_batch_in_blocks_is_the_same_batch(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """23 images in blocks of 5, the last of 3, against all at once."""
    layers = to_device(_layers([4, 6, 3]), backend)
    images, index = _images(backend, 23, 4, 3), backend.from_numpy(np.arange(23))
    recipe = Recipe(("tanh", "identity"), 1 / 255, 23, l2=0.01)
    state = State(layers, 0.0, 0)
    whole = steps.batch_sums(state, images, index, 0, recipe, backend)
    monkeypatch.setattr(steps, "blocks", lambda n: blocks.blocks(n, 5))
    parts = steps.batch_sums(state, images, index, 0, recipe, backend)
    for a, b in zip(
        to_host(whole.gradients, backend),
        to_host(parts.gradients, backend),
        strict=True,
    ):
        np.testing.assert_allclose(a.weight, b.weight, rtol=1e-12, atol=1e-16)
        np.testing.assert_allclose(a.bias, b.bias, rtol=1e-12, atol=1e-16)
    np.testing.assert_allclose(
        backend.to_numpy(whole.loss_sum), backend.to_numpy(parts.loss_sum), rtol=1e-13
    )
    assert int(backend.to_numpy(whole.hits)) == int(backend.to_numpy(parts.hits))


def test_an_epoch_takes_every_image_once_and_the_last_batch_short(
    backend: Backend,
) -> None:
    """At learning rate 0 the sums are those of the whole set."""
    layers = to_device(_layers([4, 3]), backend)
    images, order = (
        _images(backend, 11, 4, 3),
        backend.from_numpy(np.arange(11)[::-1].copy()),
    )
    recipe, epoch = Recipe(("identity",), 1 / 255, 4), Epoch(order, [Rates(0.0)] * 3)
    state = steps.run_steps(State(layers, 0.0, 0), images, epoch, 0, 3, recipe, backend)
    x = backend.to_numpy(images.pixels) / 255
    (w, b), labels = _layers([4, 3])[0], backend.to_numpy(images.labels)
    logits = x @ w + b
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -np.log(p[np.arange(11), labels]).sum()
    assert float(backend.to_numpy(state.loss_sum)) == pytest.approx(expected)
    assert int(backend.to_numpy(state.hits)) == (p.argmax(axis=1) == labels).sum()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtypes_and_shapes_stay(backend: Backend, dtype: str) -> None:
    sizes = [4, 7, 5, 3]
    layers = to_device(_layers(sizes, dtype), backend)
    images, index = _images(backend, 9, 4, 3), backend.from_numpy(np.arange(9))
    recipe = Recipe(("elu", "softplus", "identity"), 1 / 255, 9, l2=0.1)
    begun, rates = State(layers, 0.0, 0), Rates(0.1)
    state = steps.step(begun, images, index, rates, 0, recipe, backend)
    for before, after in zip(
        _layers(sizes, dtype), to_host(state.layers, backend), strict=True
    ):
        for a, b in zip(before, after, strict=True):
            assert (a.shape, a.dtype) == (b.shape, b.dtype)


def test_inputs_are_not_modified(reference: Backend) -> None:
    layers = _layers([4, 5, 3])
    images = _images(reference, 8, 4, 3)
    for array in [*(a for layer in layers for a in layer), *images]:
        array.setflags(write=False)
    recipe = Recipe(("relu", "identity"), 1 / 255, 4, l2=0.1)
    epoch = Epoch(np.arange(8), [Rates(0.1)] * 2)
    steps.run_steps(State(layers, 0.0, 0), images, epoch, 0, 2, recipe, reference)


def test_columns_of_a_transposed_array_are_images_too(reference: Backend) -> None:
    layers, images = _layers([4, 3]), _images(reference, 8, 4, 3)
    strided = Images(np.asfortranarray(images.pixels), images.labels)
    recipe, state = Recipe(("identity",), 1 / 255, 8), State(layers, 0.0, 0)
    a, b = (
        steps.batch_sums(state, each, np.arange(8), 0, recipe, reference)
        for each in (images, strided)
    )
    np.testing.assert_allclose(a.gradients[0].weight, b.gradients[0].weight, rtol=1e-14)


def test_forward_keeps_every_layer_s_input_and_output(backend: Backend) -> None:
    layers = to_device(_layers([4, 6, 3]), backend)
    x = backend.from_numpy(np.ones((2, 4)))
    traces, moments, logits = forward(layers, x, ("relu", "identity"), backend)
    assert [t.x.shape for t in traces] == [(2, 4), (2, 6)]
    assert [t.kept.shape for t in traces] == [(2, 6), (2, 3)]
    assert (moments, logits.shape) == ([], (2, 3))


@pytest.mark.parametrize("batch", [5, 1500])
def test_no_step_reads_back_from_the_device(
    monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """A number that Python asks for holds up a GPU until all before it is done."""
    backend = find("strict", device="device1")
    layers = to_device(_layers([9, 4, 3]), backend)
    images = _images(backend, 2 * batch + 1, 9, 3)
    order = backend.from_numpy(np.arange(2 * batch + 1))
    recipe = Recipe(("relu", "identity"), 1.0, batch, l2=0.01)
    epoch = Epoch(order, [Rates(0.1)] * 3)
    zero = backend.from_numpy(np.zeros(()))
    state = State(layers, zero, backend.from_numpy(np.zeros((), np.int64)))

    def read(array: object, *args: object) -> None:
        raise AssertionError("read back")

    for name in ("bool", "int", "float", "complex", "index", "array", "buffer"):
        monkeypatch.setattr(type(zero), f"__{name}__", read, raising=False)
    with pytest.raises(AssertionError, match="read back"):
        float(zero)
    state = backend.run_steps(state, images, epoch, 0, 3, recipe, backend)
    evaluation.evaluate(state.layers, images, recipe.activations, recipe.scale, backend)
    assert state.loss_sum.shape == ()
