"""The generator against its published vectors; the same bits on every backend."""

import numpy as np
import pytest

from nnx.backend import Backend
from nnx.maths import random
from nnx.maths.random import Stream

# Known answers for philox4x32-10 from the Random123 distribution (kat_vectors).
KNOWN = [
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    (
        [0xFFFFFFFF] * 4,
        [0xFFFFFFFF] * 2,
        [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD],
    ),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_known_answers(
    counter: list[int], key: list[int], expected: list[int], backend: Backend
) -> None:
    lanes = tuple(backend.from_numpy(np.array([word])) for word in counter)
    out = random.philox(lanes, (key[0], key[1]), xp=backend.xp)
    assert [int(backend.to_numpy(word)[0]) for word in out] == expected


def test_words_are_the_same_bits_on_every_backend(
    backend: Backend, reference: Backend
) -> None:
    def words(b: Backend) -> np.ndarray:
        device = b.from_numpy(np.zeros(1)).device
        place = {"epoch": 7, "step": 3, "xp": b.xp, "device": device}
        return b.to_numpy(
            random.words(1001, seed=2**63 - 1, stream=Stream.SHUFFLE, **place)
        )

    np.testing.assert_array_equal(words(backend), words(reference))


def test_permutation_on_every_backend(backend: Backend, reference: Backend) -> None:
    def order(b: Backend) -> np.ndarray:
        device = b.from_numpy(np.zeros(1)).device
        return b.to_numpy(
            random.permutation(5000, seed=1, epoch=2, xp=b.xp, device=device)
        )

    np.testing.assert_array_equal(order(backend), order(reference))
    np.testing.assert_array_equal(np.sort(order(backend)), np.arange(5000))


def test_permutations_differ_by_seed_and_epoch() -> None:
    orders = [
        tuple(random.permutation(100, seed=s, epoch=e, xp=np))
        for s, e in [(0, 0), (0, 1), (1, 0), (1 << 40, 0)]
    ]
    assert len(set(orders)) == len(orders)


def test_permutation_is_uniform() -> None:
    """Each of 6 orders of 3 comes up a sixth of the time, within 4 deviations."""
    n = 6000
    codes = [
        int(np.dot(random.permutation(3, seed=5, epoch=e, xp=np), [9, 3, 1]))
        for e in range(n)
    ]
    counts = np.unique(codes, return_counts=True)[1]
    assert len(counts) == 6
    assert np.abs(counts - n / 6).max() < 4 * np.sqrt(n * 5 / 36)


def test_streams_and_counters_never_meet() -> None:
    draws = {
        tuple(random.words(4, seed=1, stream=stream, epoch=e, step=s, xp=np))
        for stream in Stream for e in range(3) for s in range(3)
    }  # fmt: skip
    assert len(draws) == len(Stream) * 9


def test_normal_numbers_have_their_moments() -> None:
    bits = random.words(200_000, seed=3, stream=Stream.WEIGHTS, xp=np)
    z = random.normal(bits, xp=np)
    assert z.shape == (200_000,)
    moments = [np.mean(z**k) for k in range(1, 5)]
    np.testing.assert_allclose(moments, [0, 1, 0, 3], atol=0.05)


def test_uniform_numbers_never_reach_their_ends() -> None:
    u = random.uniform(np.array([0, 2**32 - 1]), xp=np)
    assert 0 < u[0] < u[1] < 1
