"""Every kernel compiles for every architecture, and fits into the registers."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from nnx_backends.cupy_gpu import layout, plan
from nnx_backends.cupy_gpu.source import FILES, constants, source

from cuda_on_cpu import nvrtc
from nnx import Network, find
from nnx.maths.state import initial_state
from nnx.verify.cases import Case

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(nvrtc.why_not() is not None, reason=str(nvrtc.why_not())),
]
EXAMPLE = Path(__file__).parent / "example.cu"
BACKENDS = Path(__file__).parents[2] / "backends" / "nnx_backends"
H100, RTX, V100, T4 = (kb * 1024 for kb in (227, 99, 96, 64))  # shared memory's bytes


def fused(
    *sizes: int,
    precision: str = "full",
    room: int = H100,
    tensor_cores: bool = True,
    **options: Any,
) -> str:
    """Return the source of the kernel that trains a network so, on 132 processors.

    room: bytes of shared memory that a block may have
    """
    activation, batch = options.pop("activation", "relu"), options.pop("batch", 128)
    case = Case(sizes, activation, batch, tuple(options.items()))
    hyper = case.hyper
    begun = Network(sizes, case.activation).layers
    layers = initial_state(begun, hyper, find("numpy").ops).layers
    rows = layout.whole(case.batch, layout.TILE)
    own, *_ = plan.plans(layers, case.batch, room)
    places = layout.places(layers, rows, head_by_tiles=own.head_by_tiles)
    as_they_are = hyper.input_dropout == 0.0
    key = plan.KernelKey(
        tuple(places),
        hyper,
        own,
        "unsigned char",
        as_they_are,
        weighted=False,
        device=0,
    )
    return source(constants(key, precision, 132, tensor_cores=tensor_cores))


CLIPPED = {"clip_norm": 0.1, "max_norm": 1.0, "ema_decay": 0.9, "input_dropout": 0.2}
NORMALIZED = {"optimizer": "adam", "batch_norm": True, "dropout": 0.5}
# The bytes that may spill, stored and loaded together. A thread of the kernel that
# trains has 128 registers, as 512 of them share 65,536.
SOURCES: dict[str, tuple[Callable[[], str], int]] = {
    "example": (lambda: "#define DEPTH 70\n" + EXAMPLE.read_text(), 0),
    "784-128-10": (partial(fused, 784, 128, 10), 300),
}
SWEEPS: dict[str, tuple[Callable[[], str], int]] = {
    "784-128-10 in TF32": (partial(fused, 784, 128, 10, precision="tf32"), 300),
    "784-128-10 in bfloat16": (partial(fused, 784, 128, 10, precision="bf16"), 300),
    "784-800-800-10": (partial(fused, 784, 800, 800, 10, **NORMALIZED), 700),
    "37-13-7-5": (partial(fused, 37, 13, 7, 5, activation="gelu", **CLIPPED), 500),
    "1-1100-2": (partial(fused, 1, 1100, 2, loss="huber"), 500),
    "784-2000-10": (partial(fused, 784, 2000, 10), 300),
    "784-10": (partial(fused, 784, 10), 300),
    "784-128-10 in a full batch": (partial(fused, 784, 128, 10, batch=60000), 300),
    "784-100-784": (partial(fused, 784, 100, 784, loss="squared_error"), 1000),
    "784-800-800-10 on a small card": (
        partial(fused, 784, 800, 800, 10, room=RTX, **NORMALIZED),
        0,
    ),
}
CASES = [
    *(pytest.param(*made, id=name) for name, made in SOURCES.items()),
    *(
        pytest.param(*made, id=name, marks=pytest.mark.sweep)
        for name, made in SWEEPS.items()
    ),
]


@pytest.mark.parametrize("architecture", nvrtc.ARCHITECTURES)
@pytest.mark.parametrize(("made", "most"), CASES)
def test_compiles_and_fits(
    made: Callable[[], str], most: int, architecture: str
) -> None:
    (kernel,) = nvrtc.kernels(made(), architecture)
    assert 0 < kernel.registers <= 255
    assert kernel.spilled <= most


OLD = [
    ("sm_70", V100, (784, 128, 10), {}, 0),
    ("sm_75", T4, (784, 128, 10), {}, 0),
    pytest.param("sm_75", T4, (37, 13, 7, 5), CLIPPED, 0, marks=pytest.mark.sweep),
    pytest.param(
        "sm_75", T4, (784, 800, 800, 10), NORMALIZED, 100, marks=pytest.mark.sweep
    ),
]


@pytest.mark.parametrize(("architecture", "room", "sizes", "options", "most"), OLD)
def test_compiles_for_cards_without_tf32(
    architecture: str,
    room: int,
    sizes: tuple[int, ...],
    options: dict[str, Any],
    most: int,
) -> None:
    text = fused(*sizes, room=room, tensor_cores=False, **options)
    (kernel,) = nvrtc.kernels(text, architecture)
    assert kernel.spilled <= most


def test_every_source_is_compiled() -> None:
    assert {path.stem for path in BACKENDS.rglob("*.cu")} == {*FILES}


SPILLS = """
extern "C" __global__ void __launch_bounds__(1024) f(float* x) {
  float held[128];
  #pragma unroll
  for (int i = 0; i < 128; i++) held[i] = x[i * 1024 + threadIdx.x];
  __syncthreads();
  #pragma unroll
  for (int i = 0; i < 128; i++) x[i * 1024 + threadIdx.x] = held[127 - i];
}
"""


def test_what_spills_and_what_does_not_compile_are_seen() -> None:
    (kernel,) = nvrtc.kernels(SPILLS, "sm_90")
    assert kernel.spilled > 100
    with pytest.raises(nvrtc.CompileError, match="nonsense"):
        nvrtc.kernels("nonsense", "sm_90")
