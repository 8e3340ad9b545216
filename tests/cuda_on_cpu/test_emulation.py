"""The emulated device does what a device does, and shows what a device hides."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import cuda_on_cpu
from cuda_on_cpu.proof import ORDERS, order

pytestmark = pytest.mark.gpu


@pytest.fixture
def cupy(request: pytest.FixtureRequest) -> Any:
    if not request.config.getoption("emulated"):
        pytest.skip("of an emulated device: --emulated")
    import cupy

    return cupy


def kernel(cupy: Any, source: str, **options: Any) -> Any:
    """Return the kernel `f` of a source."""
    return cupy.RawModule(code=source, **options).get_function("f")


def test_no_word_says_that_there_is_a_card(cupy: Any) -> None:
    properties = cupy.cuda.runtime.getDeviceProperties(0)
    assert properties["name"] == b"emulated on a CPU"
    assert cupy.cuda.runtime.getDeviceCount() == 1


def test_it_is_there_for_the_processes_of_tests_too(cupy: Any) -> None:
    command = [sys.executable, "-c", "import nnx; print(nnx.find('cupy').device)"]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.stdout == "cuda:0 (emulated on a CPU)\n"


def test_what_is_counted(cupy: Any) -> None:
    x = cupy.asarray(np.ones((4, 4), np.float32))
    cupy.asnumpy(x @ x + x)
    cuda_on_cpu.reset()
    y = x @ x + x
    assert cuda_on_cpu.counts() == (2, 0, 0, 0)
    assert cuda_on_cpu.launched() == ["product", "cupy_add__float32_float32_float32"]
    cupy.asnumpy(y)
    assert cuda_on_cpu.counts() == (2, 1, 1, 0)
    cupy.get_default_memory_pool().free_all_blocks()
    cupy.empty(2**20, np.float32)
    assert cuda_on_cpu.counts().allocations == 1


def test_memory_that_nobody_has_written_is_not_a_number(cupy: Any) -> None:
    for _ in range(2):  # from the driver, and from the pool
        x = cupy.empty(1000, np.float32)
        assert bool(cupy.isnan(x).all())
        x[:] = 1
        del x


SHARED = """
extern "C" __global__ void f(float* out) {
  %s
  if (threadIdx.x) shared[threadIdx.x] = 1;
  __syncthreads();
  out[threadIdx.x] = shared[threadIdx.x];
}
"""


@pytest.mark.parametrize(
    "declared", ["__shared__ float shared[8];", "extern __shared__ float shared[];"]
)
def test_shared_memory_begins_as_nan_in_every_block(cupy: Any, declared: str) -> None:
    out = cupy.zeros(8, np.float32)
    for _ in range(2):
        kernel(cupy, SHARED % declared)((1,), (8,), (out,), shared_mem=32)
        assert np.isnan(cupy.asnumpy(out)).tolist() == [True] + [False] * 7


def test_no_more_shared_memory_than_was_asked_for(cupy: Any) -> None:
    f = kernel(cupy, SHARED % "extern __shared__ float shared[];")
    out = cupy.zeros(8, np.float32)
    with pytest.raises(Exception, match="more shared memory than the kernel may have"):
        f((1,), (8,), (out,), shared_mem=49_153)
    f.max_dynamic_shared_size_bytes = 232_448
    f((1,), (8,), (out,), shared_mem=232_448)
    with pytest.raises(Exception, match="more shared memory than there is"):
        f.max_dynamic_shared_size_bytes = 232_449
    with pytest.raises(Exception, match="more shared memory was used than asked for"):
        f((1,), (8,), (out,), shared_mem=28)


FAULTS = {
    "deadlock: 31 of 32 threads wait": "if (lane) while (*x == 0) emu_yield();",
    "LAUNCH_FAILED: f: a kernel called": "__syncwarp(); if (lane == 9) __trap();",
    "an illegal address": "__syncthreads(); *(float*)(8 + 4 * lane) = 1;",
    "MISALIGNED_ADDRESS": "__syncthreads(); *(float2*)(x + 1) = make_float2(1, 2);",
    "no multiple of what is accessed": "emu_copy((float*)x, (float*)x + 1, 16);",
    "a warp meet at": "if (lane) __syncwarp(); else __shfl_sync(~0u, 1, 0);",
}
FAILING = """
extern "C" __global__ void f(volatile float* x) {
  const unsigned lane = threadIdx.x;
  %s
}
"""


@pytest.mark.parametrize("says", FAULTS)
@pytest.mark.parametrize("name", ORDERS)
def test_a_launch_that_fails_says_how(cupy: Any, says: str, name: str) -> None:
    x = cupy.zeros(1, np.float32)
    with order(name), pytest.raises(Exception, match=says):
        kernel(cupy, FAILING % FAULTS[says])((2,), (32,), (x,))


LANES = """
extern "C" __global__ void f(int* out) {
  const int lane = threadIdx.x;
  int* mine = out + 8 * lane;
  mine[0] = __shfl_sync(~0u, lane, 5);
  mine[1] = __shfl_xor_sync(~0u, lane, 3);
  mine[2] = __shfl_down_sync(~0u, lane, 4);
  mine[3] = __shfl_up_sync(~0u, lane, 4);
  mine[4] = __shfl_down_sync(~0u, lane, 1, 8);
  mine[5] = __ballot_sync(~0u, lane % 3 == 0);
  mine[6] = __umulhi(1u << 31, lane);
  mine[7] = atomicAdd(out + 8 * 32, 1) >= 0;
}
"""


@pytest.mark.parametrize("name", ORDERS)
def test_what_a_warp_does_together(cupy: Any, name: str) -> None:
    out = cupy.zeros(8 * 32 + 1, np.int32)
    with order(name):
        kernel(cupy, LANES)((1,), (32,), (out,))
    got = cupy.asnumpy(out)
    assert got[-1] == 32
    ballot = sum(1 << lane for lane in range(0, 32, 3))
    for lane, found in enumerate(got[:-1].reshape(32, 8).view(np.uint32).tolist()):
        down, up = (lane + 4, lane)[lane + 4 > 31], (lane - 4, lane)[lane < 4]
        inside = lane if lane % 8 == 7 else lane + 1
        assert found == [5, lane ^ 3, down, up, inside, ballot, lane // 2, 1]


COPIED = """
extern "C" __global__ void f(int* from, int* out) {
  __shared__ int shared[1];
  *shared = 1;
  emu_copy(shared, from, 4);
  emu_close_copies();
  out[0] = *shared;
  emu_wait_copies(0);
  out[1] = *shared;
}
"""


def test_a_copy_is_made_at_once_or_when_it_is_waited_for(cupy: Any) -> None:
    """By the order: one shows what is read too early, the other what is still read."""
    f, seen = kernel(cupy, COPIED), set()
    for name in ORDERS:
        from_, out = cupy.full(1, 2, np.int32), cupy.empty(2, np.int32)
        with order(name):
            f((1,), (1,), (from_, out))
        seen.add(tuple(cupy.asnumpy(out).tolist()))
    assert seen == {(1, 2), (2, 2)}


ORDERED = """
extern "C" __global__ void f(int* next, int* out) {
  __syncthreads();
  out[atomicAdd(next, 1)] = blockIdx.x * blockDim.x + threadIdx.x;
}
"""


def test_orders_differ_and_come_again(cupy: Any) -> None:
    """Of blocks too, where they are launched to be at once."""
    f = kernel(cupy, ORDERED, enable_cooperative_groups=True)
    seen = []
    for name in (*ORDERS, *ORDERS):
        next_, out = cupy.zeros(1, np.int32), cupy.empty(192, np.int32)
        with order(name):
            f((3,), (64,), (next_, out))
        seen.append(tuple(cupy.asnumpy(out).tolist()))
    assert seen[:6] == seen[6:]
    assert len({*seen}) == 6
    assert all(sorted(order) == [*range(192)] for order in seen)


def test_a_source_that_g_plus_plus_refuses(cupy: Any) -> None:
    with pytest.raises(cupy.cuda.compiler.CompileException, match="was not declared"):
        kernel(cupy, 'extern "C" __global__ void f() { nonsense(); }')
