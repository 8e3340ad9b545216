import math

import numpy as np
import pytest

from nnx.maths import initializers

SIGMAS = {
    "he": math.sqrt(2 / 300),
    "lecun": math.sqrt(1 / 300),
    "glorot": math.sqrt(2 / 500),
    "normal:0.01": 0.01,
    "zeros": 0.0,
}


def test_every_initializer_is_here() -> None:
    assert not {*initializers.INITIALIZERS} - {*SIGMAS}


@pytest.mark.parametrize(("name", "sigma"), SIGMAS.items())
def test_mean_and_deviation(name: str, sigma: float) -> None:
    w = initializers.weight(name, (300, 200), seed=1, layer=0, xp=np)
    assert w.shape == (300, 200)
    assert w.dtype == np.float64
    assert abs(w.mean()) < 4 * sigma / math.sqrt(w.size) + 1e-15
    assert w.std() == pytest.approx(sigma, rel=0.02)


def test_glorot_is_uniform_within_its_limit() -> None:
    w = initializers.weight("glorot", (300, 200), seed=1, layer=0, xp=np)
    limit = math.sqrt(6 / 500)
    assert 0.99 * limit < np.abs(w).max() < limit


def test_layers_and_seeds_have_draws_of_their_own() -> None:
    draws = [
        initializers.weight("he", (3, 5), seed=seed, layer=layer, xp=np)[0, 0]
        for seed in range(3)
        for layer in range(3)
    ]
    assert len(set(draws)) == 9


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (7, 2)])
def test_odd_sizes(shape: tuple[int, int]) -> None:
    assert initializers.weight("he", shape, seed=0, layer=0, xp=np).shape == shape
