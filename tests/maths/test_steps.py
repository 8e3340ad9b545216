"""Steps against hand-worked numbers, and against a gradient written differently."""

from itertools import pairwise

import numpy as np
import pytest

from nnx.backend import Backend, find
from nnx.maths import evaluation, shards, steps
from nnx.maths.arrays import map_arrays
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.network import forward
from nnx.maths.state import Images, Layer, State


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


def _state(layers: list[Layer], backend: Backend) -> State:
    return State(0, map_arrays(backend.from_numpy, layers), 0.0, 0)


def test_one_step_worked_by_hand(backend: Backend) -> None:
    """Zero weights give p = 1/2, so the gradient is x/2 towards the label."""
    begun = _state([Layer(np.zeros((2, 2)), np.zeros(2))], backend)
    images = Images(
        backend.from_numpy(np.array([[2, 4]], np.uint8)),
        backend.from_numpy(np.array([0])),
    )
    hyper = Hyperparameters(("identity",), 0.5, 1, learning_rate=0.1)
    index = backend.from_numpy(np.array([0]))
    state = steps.step(begun, images, index, hyper, backend.ops)
    weight, bias = map_arrays(backend.to_numpy, state.layers)[0]
    np.testing.assert_allclose(weight, 0.1 * np.array([[0.5, -0.5], [1.0, -1.0]]))
    np.testing.assert_allclose(bias, [0.05, -0.05])
    assert float(backend.to_numpy(state.loss_sum)) == pytest.approx(np.log(2))
    assert (begun.step, state.step) == (0, 1)


def test_l2_shrinks_weights_and_not_biases(backend: Backend) -> None:
    state = _state(_layers([4, 3]), backend)
    images, index = _images(backend, 6, 4, 3), backend.from_numpy(np.arange(6))
    plain = Hyperparameters(("identity",), 1.0, 6)
    (dw, db), (dw2, db2) = (
        map_arrays(
            backend.to_numpy,
            steps.batch_gradients(state, images, index, hyper, backend.ops).gradients,
        )[0]
        for hyper in (plain, plain._replace(l2=0.3))
    )
    np.testing.assert_allclose(dw2 - dw, 0.3 * _layers([4, 3])[0].weight, rtol=1e-12)
    np.testing.assert_array_equal(db, db2)


def test_a_large_batch_in_blocks_is_the_same_batch(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """23 images in blocks of 5, the last of 3, against all at once."""
    state = _state(_layers([4, 6, 3]), backend)
    images, index = _images(backend, 23, 4, 3), backend.from_numpy(np.arange(23))
    hyper = Hyperparameters(("tanh", "identity"), 1 / 255, 23, l2=0.01)
    whole = steps.batch_gradients(state, images, index, hyper, backend.ops)
    monkeypatch.setattr(shards, "BLOCK", 5)
    parts = steps.batch_gradients(state, images, index, hyper, backend.ops)
    for a, b in zip(
        map_arrays(backend.to_numpy, whole.gradients),
        map_arrays(backend.to_numpy, parts.gradients),
        strict=True,
    ):
        np.testing.assert_allclose(a.weight, b.weight, rtol=1e-12, atol=1e-16)
        np.testing.assert_allclose(a.bias, b.bias, rtol=1e-12, atol=1e-16)
    np.testing.assert_allclose(
        backend.to_numpy(whole.loss_sum), backend.to_numpy(parts.loss_sum), rtol=1e-13
    )
    assert int(backend.to_numpy(whole.score_sum)) == int(
        backend.to_numpy(parts.score_sum)
    )


def test_an_epoch_takes_every_image_once_and_the_last_batch_short(
    backend: Backend,
) -> None:
    """At learning rate 0 the sums are those of the whole set."""
    begun, images = _state(_layers([4, 3]), backend), _images(backend, 11, 4, 3)
    order = backend.from_numpy(np.arange(11)[::-1].copy())
    hyper = Hyperparameters(("identity",), 1 / 255, 4, learning_rate=0.0)
    state = steps.run_steps(begun, images, order, 3, hyper, backend.ops)
    x = backend.to_numpy(images.pixels) / 255
    (w, b), labels = _layers([4, 3])[0], backend.to_numpy(images.labels)
    logits = x @ w + b
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -np.log(p[np.arange(11), labels]).sum()
    assert float(backend.to_numpy(state.loss_sum)) == pytest.approx(expected)
    assert int(backend.to_numpy(state.score_sum)) == (p.argmax(axis=1) == labels).sum()
    assert state.step == 3


def test_a_step_s_batch_follows_from_its_number(backend: Backend) -> None:
    """Step 8 of epochs of three batches is the last of the third, a short one."""
    begun = _state(_layers([4, 3]), backend)._replace(step=7)
    images = _images(backend, 11, 4, 3)
    order = np.random.default_rng(3).permutation(11)
    hyper = Hyperparameters(("identity",), 1 / 255, 4)
    got = steps.run_steps(
        begun, images, backend.from_numpy(order), 2, hyper, backend.ops
    )
    state = begun
    for index in (order[4:8], order[8:]):
        own = backend.from_numpy(index.copy())
        state = steps.step(state, images, own, hyper, backend.ops)
    assert got.step == state.step == 9
    for one, other in zip(got.layers[0], state.layers[0], strict=True):
        np.testing.assert_array_equal(backend.to_numpy(one), backend.to_numpy(other))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtypes_and_shapes_stay(backend: Backend, dtype: str) -> None:
    sizes = [4, 7, 5, 3]
    begun = _state(_layers(sizes, dtype), backend)
    images, index = _images(backend, 9, 4, 3), backend.from_numpy(np.arange(9))
    hyper = Hyperparameters(
        ("elu", "softplus", "identity"), 1 / 255, 9, learning_rate=0.1, l2=0.1
    )
    state = steps.step(begun, images, index, hyper, backend.ops)
    for before, after in zip(
        _layers(sizes, dtype), map_arrays(backend.to_numpy, state.layers), strict=True
    ):
        for a, b in zip(before, after, strict=True):
            assert (a.shape, a.dtype) == (b.shape, b.dtype)


def test_inputs_are_not_modified(reference: Backend) -> None:
    layers = _layers([4, 5, 3])
    images = _images(reference, 8, 4, 3)
    for array in [*(a for layer in layers for a in layer), *images[:2]]:
        array.setflags(write=False)
    hyper = Hyperparameters(("relu", "identity"), 1 / 255, 4, learning_rate=0.1, l2=0.1)
    begun = _state(layers, reference)
    steps.run_steps(begun, images, np.arange(8), 2, hyper, reference.ops)


def test_columns_of_a_transposed_array_are_images_too(reference: Backend) -> None:
    state, images = _state(_layers([4, 3]), reference), _images(reference, 8, 4, 3)
    strided = Images(np.asfortranarray(images.pixels), images.labels)
    hyper = Hyperparameters(("identity",), 1 / 255, 8)
    a, b = (
        steps.batch_gradients(state, each, np.arange(8), hyper, reference.ops)
        for each in (images, strided)
    )
    np.testing.assert_allclose(a.gradients[0].weight, b.gradients[0].weight, rtol=1e-14)


def test_forward_caches_every_layer_s_input_and_output(backend: Backend) -> None:
    layers = map_arrays(backend.from_numpy, _layers([4, 6, 3]))
    x = backend.from_numpy(np.ones((2, 4)))
    seen = forward(layers, x, ("relu", "identity"), backend.ops)
    assert [cache.x.shape for cache in seen.caches] == [(2, 4), (2, 6)]
    assert [cache.output.shape for cache in seen.caches] == [(2, 6), (2, 3)]
    assert (seen.running_stats, seen.logits.shape) == ((None, None), (2, 3))


@pytest.mark.parametrize("batch", [5, 1500])
def test_no_step_reads_back_from_the_device(
    monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """A number that Python asks for holds up a GPU until all before it is done."""
    backend = find("strict", device="device1")
    layers = map_arrays(backend.from_numpy, _layers([9, 4, 3]))
    images = _images(backend, 2 * batch + 1, 9, 3)
    order = backend.from_numpy(np.arange(2 * batch + 1))
    hyper = Hyperparameters(
        ("relu", "identity"), 1.0, batch, learning_rate=0.1, l2=0.01
    )
    zero = backend.from_numpy(np.zeros(()))
    state = State(0, layers, zero, backend.from_numpy(np.zeros((), np.int64)))

    def read(array: object, *args: object) -> None:
        raise AssertionError("read back")

    for name in ("bool", "int", "float", "complex", "index", "array", "buffer"):
        monkeypatch.setattr(type(zero), f"__{name}__", read, raising=False)
    with pytest.raises(AssertionError, match="read back"):
        float(zero)
    state = backend.run_steps(state, images, order, 3, hyper)
    evaluation.evaluate(state.layers, images, hyper, backend.ops)
    assert state.loss_sum.shape == ()
