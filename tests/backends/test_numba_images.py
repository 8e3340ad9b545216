"""Images as the compiled steps receive them: distorted, noisy, of any type."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from nnx_backends.numba_cpu import elementary
from numba import njit

from nnx import Network, find
from nnx.maths.arrays import map_arrays, named_arrays
from nnx.maths.hyperparameters import Distortion, Hyperparameters
from nnx.maths.state import Images, initial_state

LARGE = Distortion(2.0, 15.0, 0.15, 0.1, 8.0, 3.0)
FAR = LARGE._replace(rotation=180.0, shift=20.0)


@pytest.mark.parametrize(
    "pixels",
    [
        "uint8",
        pytest.param("float32", marks=pytest.mark.sweep),
        pytest.param("float64", marks=pytest.mark.sweep),
    ],
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("size", [(28, 28), (9, 14), (1, 5)])
@pytest.mark.parametrize("amounts", [LARGE, FAR, LARGE._replace(elastic=0.0)])
def test_distorted_pictures_are_the_plain_maths(
    amounts: Distortion, size: tuple[int, int], dtype: str, pixels: str
) -> None:
    """Of a second epoch, in another order, the last batch a short one."""
    rng, n = np.random.default_rng(0), size[0] * size[1]
    network = Network((n, 20, 3), "tanh", seed=0)
    images = Images(
        rng.integers(0, 256, (50, n)).astype(pixels), rng.integers(0, 3, 50)
    )
    hyper = Hyperparameters(
        network.activation, 1 / 255, 20, image_shape=size, augment=amounts,
        seed=2**40 + 3, learning_rate=0.5, epochs=3,
    )  # fmt: skip
    order, results = rng.permutation(50), []
    for name, kind in ("numpy", "float64"), ("numba", dtype):
        backend = find(name)
        layers = map_arrays(lambda a, kind=kind: a.astype(kind), list(network.layers))
        state = initial_state(layers, hyper, backend.ops)._replace(step=3)
        results.append(backend.run_steps(state, images, order, 3, hyper).layers)
    bound = 1e-12 if dtype == "float64" else 1e-5
    for (name, wanted), (_, got) in zip(
        *(named_arrays(layers, "") for layers in results), strict=True
    ):
        assert np.abs(got - wanted).max() <= bound * np.abs(wanted).max(), name


@pytest.mark.parametrize("dtype", ["float16", ">f4", "int64"])
def test_kernels_are_compiled_for_what_they_read(dtype: str) -> None:
    """Pixels of a type that Numba or the kernels do not know are converted."""
    backend, network = find("numba"), Network((6, 4, 3))
    hyper = Hyperparameters(network.activation, 1.0, 4)
    state = initial_state(network.layers, hyper, backend.ops)
    images = Images(np.ones((8, 6), dtype), np.arange(8) % 3)
    shares = list(backend.first_run.compile(state, images, hyper))
    assert shares[0] == 0.0
    assert shares == sorted(set(shares))
    assert shares[-1] < 1.0


@njit
def _of_each(numbers: Any) -> Any:
    results = np.empty((3, len(numbers)))
    for i in range(len(numbers)):
        results[0, i] = elementary.log(numbers[i])
        results[1, i], results[2, i] = elementary.turned(numbers[i])
    return results


def test_logarithm_sine_and_cosine_are_numpy_s() -> None:
    """Of all that a random word may become, its ends and quarter turns among them."""
    words = np.random.default_rng(0).integers(0, 2**32, 100_000)
    few = np.arange(1000)
    quarters = np.arange(1, 4)[:, None] * 2**30 + np.arange(-5, 5)
    words = np.concatenate([words, few, 2**32 - 1 - few, quarters.ravel()])
    u = (words + 0.5) * 2.0**-32
    logarithms, cosines, sines = _of_each(u)
    np.testing.assert_allclose(logarithms, np.log(u), rtol=1e-15)
    np.testing.assert_allclose(cosines, np.cos(2 * np.pi * u), atol=1e-15)
    np.testing.assert_allclose(sines, np.sin(2 * np.pi * u), atol=1e-15)
