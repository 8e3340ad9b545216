"""A kernel that is wrong on the card it runs on is not used. On the emulated device."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import cuda_on_cpu
from nnx.backend import Backend, find
from nnx.maths.arrays import moved, named_arrays
from nnx.maths.shards import ALONE
from nnx.maths.state import State, initial_state
from nnx.verify import parity
from nnx.verify.cases import Case

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("emulated")]
# A line of the source, and what a card might do in its place.
WRONG = {
    "tensor cores with other rows": (
        "emu_mma_tf32_16x8x8(c, a, b);",
        "const unsigned rows[] = {a[1], a[0], a[3], a[2]};"
        "emu_mma_tf32_16x8x8(c, rows, b);",
    ),
    "a second batch that never arrives": (
        "s.step + 1 < s.run.count ? IMAGE_TURNS : 0",
        "0",
    ),
    "NaN": ("return (bits + 0x1000u) & 0xffffe000u;", "return 0x7fc00000u;"),
}


@pytest.fixture
def emulated_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    from nnx_backends.cupy_gpu import steps

    steps._kernel.cache_clear()
    yield monkeypatch
    steps._kernel.cache_clear()


def _trained(backend: Backend, posed: parity.Problem) -> State:
    images, order = moved((posed.images, posed.order), backend.from_numpy)
    layers = moved(posed.layers, backend.from_numpy)
    with backend.scope():
        state = initial_state(layers, posed.hyper, backend.ops)
        return backend.run_steps(state, images, order, 3, posed.hyper)


def _bits(state: State, backend: Backend) -> bytes:
    layers = moved(state.layers, backend.to_numpy)
    return b"".join(array.tobytes() for _, array in named_arrays(layers, ""))


@pytest.fixture
def posed() -> parity.Problem:
    return parity.problem(Case((45, 20, 12, 3), "tanh", 9), "float32")


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_wrong_kernel_is_not_used(
    emulated_anew: pytest.MonkeyPatch, posed: parity.Problem, wrong: tuple[str, str]
) -> None:
    """It is tried once; steps are plain ones from then on, and say why."""
    from nnx_backends.cupy_gpu import source, steps

    whole = source.source("")
    assert wrong[0] in whole
    text = whole.replace(*wrong)
    emulated_anew.setattr(steps, "source", lambda constants: constants + text)
    backend, plain = find("cupy"), find("cupy", fused=False)
    because = "because of a kernel that its self-test found wrong by "
    with pytest.warns(UserWarning, match=because):
        got = _trained(backend, posed)
    assert _bits(got, plain) == _bits(_trained(plain, posed), plain)
    way = backend.first_run.steps(got, posed.hyper, ALONE)
    assert f"each operation is a launch of its own, {because}" in way
    cuda_on_cpu.reset()
    _trained(backend, posed)
    assert "train" not in cuda_on_cpu.launched()


def _does_not_compile(cupy: Any) -> Exception:
    compiler = cupy.cuda.compiler
    return compiler.CompileException("train.cu(7): error: no\n", "", "", ())


def _is_too_large(cupy: Any) -> Exception:
    return cupy.cuda.driver.CUDADriverError(720)


@pytest.mark.parametrize("refusal", [_does_not_compile, _is_too_large])
def test_a_kernel_that_is_refused_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
    posed: parity.Problem,
    refusal: Callable[[Any], Exception],
) -> None:
    """By the compiler or as it is launched; plain steps need other kernels."""
    import cupy
    from nnx_backends.cupy_gpu import steps

    def refused(*_: Any) -> None:
        raise refusal(cupy)

    monkeypatch.setattr(steps, "_kernel", lambda key, card: refused)
    backend, plain = find("cupy"), find("cupy", fused=False)
    with pytest.warns(UserWarning, match="because of a kernel that CUDA refused: "):
        got = _trained(backend, posed)
    assert _bits(got, plain) == _bits(_trained(plain, posed), plain)


def test_each_kernel_is_tried_once(posed: parity.Problem) -> None:
    backend = find("cupy")
    tried = []
    for _ in range(2):
        cuda_on_cpu.reset()
        _trained(backend, posed)
        tried.append(cuda_on_cpu.launched().count("train"))
    first_and_last = 2
    assert tried == [first_and_last + 1, 1]


def test_what_is_not_finite_is_no_wrong_kernel(posed: parity.Problem) -> None:
    """The plain maths diverges too."""
    hyper = posed.hyper._replace(learning_rate=1e30)
    with warnings.catch_warnings(action="error"):
        _trained(find("cupy"), posed._replace(hyper=hyper))
