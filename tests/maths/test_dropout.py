"""Dropout's masks: the same bits everywhere, and as random as they should be."""

import numpy as np
import pytest

from nnx.backend import Backend
from nnx.maths import dropout, random, shards, steps
from nnx.maths.arrays import map_arrays
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.state import Images, Layer, State


def mask(
    shape: tuple[int, int], rate: float, backend: Backend, dtype: str = "float64",
    seed: int = 0, step: int = 0, layer: int = 0, first: int = 0,
) -> np.ndarray:  # fmt: skip
    like = backend.from_numpy(np.zeros(1, dtype))
    drawn = dropout.mask(
        shape, rate, seed=seed, step=step, layer=layer, first=first, like=like,
        xp=backend.xp,
    )  # fmt: skip
    return backend.to_numpy(drawn)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 127), (5, 128), (4, 129), (9, 784)])
def test_the_same_bits_on_every_backend(
    shape: tuple[int, int], dtype: str, backend: Backend, reference: Backend
) -> None:
    places = {"seed": 2**64 - 3, "step": 2**32 + 5, "layer": 3, "first": 1024}
    for rate in (0.1, 0.5, 0.9):
        got, wanted = (
            mask(shape, rate, b, dtype, **places) for b in (backend, reference)
        )
        assert (got.dtype, got.shape) == (dtype, shape)
        np.testing.assert_array_equal(got, wanted)


def test_a_unit_s_half_word_by_hand(reference: Backend) -> None:
    """Unit 16 l + c of a block of 128 has half l of the words that counter c gives."""
    got = mask((2, 200), 0.5, reference, seed=7, step=9, layer=1, first=4)
    for image, unit in [
        (0, 0),
        (1, 15),
        (0, 16),
        (1, 100),
        (0, 127),
        (1, 128),
        (0, 199),
    ]:
        block, place = divmod(unit, 128)
        half, lane = divmod(place, 16)
        stream = int(random.Stream.DROPOUT) + 256
        counter = [np.array([n]) for n in (16 * block + lane, 4 + image, 9, stream)]
        words = random.philox(tuple(counter), random.key(7), xp=np)
        word = int(words[half // 2][0])
        drawn = word >> 16 if half % 2 else word & 0xFFFF
        assert got[image, unit] == (2.0 if drawn >= 2**15 else 0.0)


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.5, 0.9])
def test_the_share_and_the_expectation(rate: float, reference: Backend) -> None:
    got = mask((2000, 500), rate, reference)
    # The standard deviation of the share of 10⁶ is below 0.0005.
    assert np.mean(got == 0) == pytest.approx(rate, abs=2.5e-3)
    assert np.mean(got) == pytest.approx(1, abs=5 * np.sqrt(rate / (1 - rate)) * 1e-3)
    share = 1 - dropout.threshold(rate) / dropout.PARTS
    assert set(np.unique(got)) == {0.0, 1 / share}
    for axis in (0, 1):
        shares = np.mean(got == 0, axis=axis)
        n = got.shape[axis]
        # Of a few thousand draws none is over five deviations, and they spread.
        assert np.max(np.abs(shares - rate)) < 5 * np.sqrt(rate * (1 - rate) / n)
        assert np.std(shares) == pytest.approx(np.sqrt(rate * (1 - rate) / n), rel=0.15)


def test_layers_steps_seeds_images_and_units_are_independent(
    reference: Backend,
) -> None:
    """Two masks agree on half of their units, with a deviation of 0.0016 at 10⁵."""
    shape = (200, 500)
    own = mask(shape, 0.5, reference) > 0
    others = [
        mask(shape, 0.5, reference, **{name: value}) > 0
        for name in ("seed", "step", "layer")
        for value in (1, 2, 255)
    ]
    others += [mask(shape, 0.5, reference, seed=2**32) > 0]
    others += [np.roll(own, k, axis=0) for k in (1, 7)]
    others += [np.roll(own, k, axis=1) for k in (1, 16, 128)]
    for i, other in enumerate(others):
        assert np.mean(own == other) == pytest.approx(0.5, abs=8e-3), i


def test_an_image_s_mask_depends_on_its_place_alone(backend: Backend) -> None:
    whole = mask((50, 20), 0.3, backend)
    for first, last in [(0, 17), (17, 18), (18, 50)]:
        part = mask((last - first, 20), 0.3, backend, first=first)
        np.testing.assert_array_equal(part, whole[first:last])


def test_a_batch_in_blocks_leaves_out_the_same(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    layers = [
        Layer(rng.normal(size=s), rng.normal(size=s[1])) for s in ((6, 8), (8, 3))
    ]
    images = Images(rng.normal(size=(23, 6)), rng.integers(0, 3, 23))
    hyper = Hyperparameters(
        ("tanh", "identity"), 1.0, 23, input_dropout=0.2, dropout=0.5
    )

    def gradients() -> list[np.ndarray]:
        result = steps.batch_gradients(
            State(3, map_arrays(backend.from_numpy, layers), 0.0, 0),
            map_arrays(backend.from_numpy, images),
            backend.from_numpy(np.arange(23)),
            hyper,
            backend.ops,
        )
        on_host = map_arrays(backend.to_numpy, result.gradients)
        return [array for layer in on_host for array in layer]

    whole = gradients()
    monkeypatch.setattr(shards, "BLOCK", 5)
    for one, other in zip(whole, gradients(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-15)


def test_no_rate_leaves_nothing_out(reference: Backend) -> None:
    np.testing.assert_array_equal(mask((3, 5), 0.0, reference), np.ones((3, 5)))
