"""`--precision bf16` on the Numba backend: products of factors rounded to bfloat16."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from bits import assert_same_bits

import nnx
from nnx.backend import Backend
from nnx.errors import InputError, UnusableBackendError
from nnx.installation import info
from nnx.maths.arrays import moved
from nnx.maths.shards import ALONE
from nnx.maths.state import State, initial_state
from nnx.verify import parity, rounding
from nnx.verify.cases import Case
from nnx.verify.compare import BOUNDS, errors

vectors = pytest.importorskip("nnx_backends.numba_cpu.vectors", reason="needs Numba")
NARROW = 10
ADAM = ("optimizer", "adam"), ("beta2", 0.99)
# All layers of more than 32 units or normalized, but for a last one of `NARROW`.
CASES = [
    Case((20, 48, 40), "tanh", 12),
    Case((33, 77, 35, 41), "relu", 9, (("l1", 0.01), ("l2", 0.02))),
    Case((21, 65, 33), "gelu", 300, (("dropout", 0.3), ("input_dropout", 0.2))),
    Case((65, 100, 64, 34), "silu", 17, (("clip_norm", 0.5), ("max_norm", 1.0))),
    Case((30, 40, 9, 36), "relu", 16, (("batch_norm", True), ("momentum", 0.9))),
    Case((784, 130, 40), "relu", 40, (("max_norm", 1.0), *ADAM)),
    Case((24, 40, 50), "tanh", 12, (("shards", 4), ("ema_decay", 0.9))),
    Case((20, 48, 40), "tanh", 1100),
    Case((20, 100, 48, NARROW), "relu", 13),
]


class ButNarrow(rounding.RoundedFactors):
    """Rounds no product with the weight, or the gradient, of a last layer so narrow."""

    def __matmul__(self, other: Any) -> Any:
        if NARROW in (self.shape[-1], other.shape[-1]):
            return (self.view(np.ndarray) @ np.asarray(other)).view(ButNarrow)
        return super().__matmul__(other).view(ButNarrow)

    def __rmatmul__(self, other: Any) -> Any:
        return other.view(ButNarrow) @ self


def rounding_reference() -> Backend:
    return replace(
        rounding.reference(), from_numpy=lambda a: np.asarray(a).view(ButNarrow)
    )


@pytest.fixture(scope="module")
def bf16() -> Backend:
    if not vectors.HAS_BFLOAT16:
        pytest.skip("this processor cannot multiply bfloat16 numbers (AVX512-BF16)")
    return nnx.find("numba", precision="bf16")


def _name(case: Case) -> str:
    return case.name


def _steps(posed: parity.Problem, backend: Backend, count: int) -> State:
    layers, images = moved((posed.layers, posed.images), backend.from_numpy)
    start = initial_state(layers, posed.hyper, backend.ops)
    after = backend.run_steps(start, images, posed.order, count, posed.hyper)
    return moved(after, backend.to_numpy)


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_steps_are_those_of_rounded_factors(bf16: Backend, case: Case) -> None:
    """As near as float32 is to float64, and not those of float32 factors."""
    posed = parity.problem(case, "float32")
    exact = _steps(posed, nnx.find("numpy"), 2)
    expected, got = (
        _steps(posed, backend, 2) for backend in (rounding_reference(), bf16)
    )
    off = max(errors(got.layers, expected.layers, "float32").values())
    rounds = max(errors(exact.layers, expected.layers, "float32").values())
    assert off < BOUNDS["float32"] < rounds
    assert off < rounds / 10


@pytest.mark.parametrize("case", [CASES[0], CASES[3], CASES[5]], ids=_name)
def test_the_same_bits_with_any_number_of_threads(bf16: Backend, case: Case) -> None:
    posed = parity.problem(case, "float32")
    expected = _steps(posed, bf16, 3)
    for threads in 1, 2, 3, 4:
        team = nnx.find("numba", precision="bf16", threads=threads)
        assert_same_bits(_steps(posed, team, 3), expected)


def test_the_same_bits_however_a_run_is_cut(bf16: Backend) -> None:
    posed = parity.problem(CASES[6], "float32")
    state = initial_state(posed.layers, posed.hyper, bf16.ops)
    for _ in range(3):
        state = bf16.run_steps(state, posed.images, posed.order, 1, posed.hyper)
    assert_same_bits(state, _steps(posed, bf16, 3))


def test_float64_and_narrow_layers_are_not_rounded(bf16: Backend) -> None:
    full = nnx.find("numba")
    for case, dtype in (CASES[0], "float64"), (Case((20, 32, 5), "relu", 9), "float32"):
        posed = parity.problem(case, dtype)
        assert_same_bits(*(_steps(posed, backend, 3) for backend in (full, bf16)))


def test_rounding_is_to_the_nearest_and_of_two_to_the_even() -> None:
    step = 2.0**-7  # between bfloat16 numbers from 1 on
    # Below 1 they are half as far apart.
    given = 1 + step * np.array([0.5, 0.51, 1.5, 1.0, -0.25, -0.26], np.float32)
    expected = 1 + step * np.array([0, 1, 2, 1, 0, -0.5])
    for sign in 1.0, -1.0:
        assert (rounding.rounded(sign * given) == sign * expected).all()


@pytest.mark.parametrize(
    ("sizes", "dtype", "says"),
    [
        ((20, 32, 33), "float32", "rounded to bfloat16"),
        ((20, 32, 5), "float32", "nothing rounded"),
        ((20, 48, 5), "float64", "nothing rounded"),
    ],
)
def test_a_run_says_what_is_rounded(
    bf16: Backend, sizes: tuple[int, ...], dtype: str, says: str
) -> None:
    posed = parity.problem(Case(sizes, "relu", 9), dtype)
    state = initial_state(posed.layers, posed.hyper, bf16.ops)
    assert says in bf16.first_run.steps(state, posed.hyper, ALONE)
    assert nnx.find("numba").first_run.steps(state, posed.hyper, ALONE) == ""


def test_training_learns_as_well(bf16: Backend) -> None:
    data, reached = nnx.load("digits"), []
    for backend in bf16, nnx.find("numba"):
        network = nnx.Network([64, 100, 64, 10], seed=0)
        result = nnx.train(network, data, backend=backend, epochs=5)
        reached.append(result.test_accuracy)
    assert abs(reached[0] - reached[1]) < 0.02


def test_what_the_processor_or_the_backend_has_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vectors, "HAS_BFLOAT16", False)
    with pytest.raises(UnusableBackendError, match="AVX512-BF16.*give no --precision"):
        nnx.find("numba", precision="bf16")
    with pytest.raises(InputError, match="must be one of full, bf16, not 'tf32'"):
        nnx.find("numba", precision="tf32")


@pytest.mark.parametrize("has", [True, False])
def test_info_says_whether_it_is_there(
    monkeypatch: pytest.MonkeyPatch, has: bool
) -> None:
    monkeypatch.setattr(vectors, "HAS_BFLOAT16", has)
    backends = info()["backends"]
    assert backends["numba"]["precisions"] == (["bf16"] if has else [])
    assert backends["numpy"]["precisions"] == []
