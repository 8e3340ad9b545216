"""A stand-in for CuPy: NumPy underneath, two devices, and failures on demand.

The variable FAKE_CUDA names what fails, one of `FAULTS` or of those below; messages
and classes are those of CuPy 14. Failures in training come at the ninth batch, after
two pairs of steps that compile kernels.
"""

import os
from types import SimpleNamespace

import numpy
from numpy import *  # noqa: F403
from numpy import abs, max, min, round  # noqa: F401

FAULT = os.environ.get("FAKE_CUDA", "")
if FAULT == "missing":
    raise ModuleNotFoundError("No module named 'cupy'", name="cupy")
if FAULT == "broken":
    frame = "=" * 64
    raise ImportError(
        f"\n{frame}\nFailed to import CuPy.\n\nOriginal error:\n  ImportError: "
        f"libcudart.so.12: cannot open shared object file\n{frame}\n"
    )
if FAULT == "no-cache":
    raise PermissionError(13, "Permission denied", os.path.expanduser("~/.cupy"))

from cupy import cuda, fft, linalg  # noqa: E402, F401

FAULTS = {
    "oom": lambda: cuda.memory.OutOfMemoryError(
        "Out of memory allocating 1,610,612,736 bytes (allocated so far: 512 bytes)."
    ),
    "full": lambda: cuda.runtime.CUDARuntimeError(
        "cudaErrorMemoryAllocation: out of memory"
    ),
    "sticky": lambda: cuda.runtime.CUDARuntimeError(
        "cudaErrorIllegalAddress: an illegal memory access was encountered"
    ),
    "compile": lambda: cuda.compiler.CompileException(
        '/tmp/t/1.cubin.cu(10): error: identifier "half" is undefined\n\n'
        '1 error detected in the compilation of "/tmp/t/1.cubin.cu".\n'
    ),
    "cache": lambda: PermissionError(
        13, "Permission denied", os.path.expanduser("~/.cupy/kernel_cache/tmp1")
    ),
    "full-cache": lambda: OSError(28, "No space left on device"),
    "library": lambda: RuntimeError(
        "CuPy failed to load libnvrtc.so.12: OSError: libnvrtc.so.12: cannot open"
    ),
    "headers": lambda: RuntimeError(
        "Failed to find CUDA headers. Please install CUDA toolkit headers (e.g., "
        "pip install cupy-cuda12x[ctk]) or specify CUDA_PATH environment variable."
    ),
    "reduction": lambda: RuntimeError("Runtime compilation failed"),
    "sort": lambda: cuda.runtime.CUDARuntimeError(
        "cudaErrorNoKernelImageForDevice: no kernel image is available for execution"
    ),
    "late-library": lambda: ImportError("libcublas.so.12: cannot open shared object"),
}
taken = 0
# Every device on which an array was made, and every kind of product that was chosen.
devices: list[int] = []
kinds: list[int] = []

_core = SimpleNamespace(
    _routines_linalg=SimpleNamespace(
        COMPUTE_TYPE_DEFAULT=1,
        COMPUTE_TYPE_TF32=7,
        set_compute_type=lambda dtype, kind: kinds.append(kind),
    )
)
pool = SimpleNamespace(
    freed=0,
    free_bytes=lambda: 2**20,
    used_bytes=lambda: 2**20,
    get_limit=lambda: int(os.environ.get("CUPY_GPU_MEMORY_LIMIT", "0")),
)


def _free_all_blocks():
    pool.freed += 1


pool.free_all_blocks = _free_all_blocks


def get_default_memory_pool():
    return pool


LATER = "oom", "sticky", "reduction", "sort"


def ones(*args, **options):
    if FAULT in FAULTS and FAULT not in LATER:
        raise FAULTS[FAULT]()
    devices.append(cuda.current())
    return numpy.ones(*args, **options)


def sum(*args, **options):
    if FAULT == "reduction":
        raise FAULTS[FAULT]()
    return numpy.sum(*args, **options)


def sort(*args, **options):
    if FAULT == "sort":
        raise FAULTS[FAULT]()
    return numpy.sort(*args, **options)


def take(a, indices, axis):
    global taken
    taken += 1
    if FAULT in ("oom", "sticky") and taken > 8 + 16:
        raise FAULTS[FAULT]()
    devices.append(cuda.current())
    return numpy.take(a, indices, axis=axis)


def arange(*args, **options):
    devices.append(cuda.current())
    return numpy.arange(*args, **options)


def asarray(*args, **options):
    devices.append(cuda.current())
    return numpy.asarray(*args, **options)


def asnumpy(array):
    return numpy.asarray(array)


class ElementwiseKernel:
    """The one that there is, by its name: Philox, computed as the maths does."""

    def __init__(self, inputs, outputs, code, name):
        assert name == "philox"

    def __call__(self, a, b, c, d, *key):
        from nnx.maths import random

        return random.philox((a, b, c, d), key, xp=numpy)
