import math

import numpy as np
import pytest
from scipy import ndimage

from nnx.backend import Backend
from nnx.maths import distortion, random
from nnx.maths.distortion import Distortion, distort

ALL = Distortion(2.0, 15.0, 0.15, 0.1, 8.0, 3.0)
SIZES = [(28, 28), (9, 14), (1, 5)]


def _pictures(n: int, size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, math.prod(size)), np.uint8)


def _distorted(
    pixels: np.ndarray, index: np.ndarray, size: tuple[int, int], amounts: Distortion
) -> np.ndarray:
    like = np.zeros((), np.float64)
    return distort(
        pixels, index, size, amounts, seed=3, epoch=2, like=like, xp=np
    ).reshape(-1, *size)


@pytest.mark.parametrize("size", SIZES)
def test_no_distortion_changes_nothing(size: tuple[int, int]) -> None:
    pixels = _pictures(4, size)
    got = _distorted(pixels, np.arange(4), size, Distortion())
    np.testing.assert_array_equal(got.reshape(pixels.shape), pixels)


@pytest.mark.parametrize("size", SIZES)
def test_affine_against_scipy(size: tuple[int, int]) -> None:
    amounts, index = ALL._replace(elastic=0.0), np.arange(5)
    pixels = _pictures(5, size)
    got = _distorted(pixels, index, size, amounts)
    places = distortion.matrices(index, size, amounts, seed=3, epoch=2, xp=np)
    for image, place, result in zip(pixels, places, got, strict=True):
        turn, move = place.reshape(2, 3)[:, :2], place.reshape(2, 3)[:, 2]
        offset = move - turn @ ((np.array(size) - 1) / 2)
        wanted = ndimage.affine_transform(
            image.reshape(size).astype(float), turn, offset, order=1,
            mode="grid-constant",
        )  # fmt: skip
        np.testing.assert_allclose(result, wanted, atol=1e-9)


def test_elastic_against_scipy() -> None:
    """The field of bytes, smoothed and multiplied, moves pixels as SciPy's would."""
    size, amounts = (28, 20), Distortion(elastic=34.0, sigma=4.0)
    pixels, seed, epoch, image = _pictures(1, size), 3, 2, 7
    got = _distorted(pixels, np.array([image]), size, amounts)[0]
    blocks = np.arange(2, 2 + 2 * 28 * 20 // 16, dtype=np.int64)
    same = np.ones_like(blocks)
    counter = blocks, image * same, epoch * same, same * random.Stream.DISTORTION
    lanes = random.philox(counter, (seed, 0), xp=np)
    drawn = np.stack(lanes, axis=1).astype("<u4").view(np.uint8)
    field = ((drawn.astype(float) - 127.5) / 128).reshape(2, *size)
    moved = [34 * ndimage.gaussian_filter(part, 4.0, mode="constant") for part in field]
    assert 0.5 < np.abs(moved).max() < 15
    places = np.indices(size) + moved
    wanted = ndimage.map_coordinates(
        pixels[0].reshape(size).astype(float), places, order=1, mode="grid-constant"
    )
    np.testing.assert_allclose(got, wanted, atol=1e-9)


def test_amounts_are_the_bounds() -> None:
    """Of many draws each reaches nearly as far as it may, both ways, and no farther."""
    index, size = np.arange(4000), (28, 28)

    def places(**amounts: float) -> np.ndarray:
        return distortion.matrices(
            index, size, Distortion(**amounts), seed=0, epoch=0, xp=np
        )

    shifts = places(shift=2.0)[:, [2, 5]] - 13.5
    angles = np.degrees(np.arcsin(places(rotation=15.0)[:, 3]))
    scales = places(scale=0.15)[:, [0, 4]] - 1
    shears = places(shear=0.3)[:, 3]
    for drawn, most in [(shifts, 2), (angles, 15), (scales, 0.15), (shears, 0.3)]:
        assert 0.99 * most < drawn.max() <= most
        assert -most <= drawn.min() < -0.99 * most
        assert abs(drawn.mean()) < 0.05 * most


def test_a_draw_depends_on_the_image_and_the_epoch_alone() -> None:
    size, index = (9, 14), np.array([5, 2, 9])
    pixels = _pictures(10, size)
    together = _distorted(pixels, np.arange(10), size, ALL)
    np.testing.assert_array_equal(
        _distorted(pixels[index], index, size, ALL), together[index]
    )
    like = np.zeros((), np.float64)
    later = distort(pixels, np.arange(10), size, ALL, seed=3, epoch=3, like=like, xp=np)
    assert (later.reshape(together.shape) != together).any(axis=(1, 2)).all()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("amounts", [ALL, ALL._replace(elastic=0.0), Distortion()])
def test_backends_agree(
    backend: Backend, size: tuple[int, int], amounts: Distortion, dtype: str
) -> None:
    pixels, index = _pictures(7, size), np.arange(100, 107)
    got = backend.ops.distort(
        backend.from_numpy(pixels),
        backend.from_numpy(index),
        size,
        amounts,
        seed=2**40 + 3,
        epoch=2,
        like=backend.from_numpy(np.zeros(1, dtype)),
        xp=backend.xp,
    )
    like = np.zeros((), np.float64)
    wanted = distort(
        pixels, index, size, amounts, seed=2**40 + 3, epoch=2, like=like, xp=np
    )
    host = backend.to_numpy(got)
    assert host.dtype == dtype
    atol = 1e-9 if dtype == "float64" else 5e-3  # of pixels from 0 to 255
    np.testing.assert_allclose(host, wanted, atol=atol)
