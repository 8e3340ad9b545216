"""Errors of CuPy and CUDA, translated into errors of nnx: one line, with a remedy."""

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from nnx.errors import NnxError, OutOfMemoryError, UnusableBackendError

INSTALL = "pip install 'nnx-mlp[cuda12]' (or [cuda13])"
CACHE_DIR = "set CUPY_CACHE_DIR to a folder that can be written to"
# The codes, here and below, are the words with which messages of CUDA, or of its
# libraries, begin.
OUT_OF_MEMORY = {
    "cudaErrorMemoryAllocation",
    "CUDA_ERROR_OUT_OF_MEMORY",
    "CUBLAS_STATUS_ALLOC_FAILED",
}
TOO_LONG = (
    "a card that also drives a display must not compute for seconds at once: take a "
    "smaller --batch-size"
)
REMEDIES = {
    "cudaErrorNoDevice": "check that nvidia-smi lists a card, and what "
    "CUDA_VISIBLE_DEVICES hides",
    "cudaErrorDevicesUnavailable": "nvidia-smi shows what has the device to itself",
    # Of the runtime, which reads results back, and of the driver, which launches.
    "cudaErrorLaunchTimeout": TOO_LONG,
    "CUDA_ERROR_LAUNCH_TIMEOUT": TOO_LONG,
    "cudaErrorNoKernelImageForDevice": "this CuPy has no kernels for so old or new "
    f"a card: {INSTALL}",
    "NCCL_ERROR_INVALID_USAGE": "each process of a run needs a card of its own: start "
    "as many on a machine as it has, without --device; in Python, find it with place=",
    "CUDA_ERROR_UNSUPPORTED_PTX_VERSION": "update the driver, which is older than "
    "the compiler",
}
# Codes for a kernel that cannot run; unlike after most errors, others still can.
REFUSED = {
    "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE",
    "CUDA_ERROR_INVALID_IMAGE",
    "CUDA_ERROR_INVALID_PTX",
    "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES",
    "CUDA_ERROR_NO_BINARY_FOR_GPU",
}
# After most errors on a device, nothing works on it until the process ends.
START_AGAIN = (
    "start again: a run's last checkpoint is whole, and --resume goes on from it; if "
    "it fails again, nvidia-smi and dmesg tell of a faulty card"
)


@contextmanager
def translated(cupy: Any, device: int) -> Iterator[None]:
    """Translate what CuPy raises into an NnxError.

    Raises:
        OutOfMemoryError: after the pool's unused memory was freed
        UnusableBackendError: for all other errors of CuPy and CUDA
    """
    try:
        yield
    except Exception as error:
        nnx_error = explained(error, cupy, device)
        if nnx_error is None:
            raise
        # The frames' arrays first, as the pool frees only memory that nothing holds.
        traceback.clear_frames(error.__traceback__)
        with suppress(Exception):
            cupy.get_default_memory_pool().free_all_blocks()
        raise nnx_error from None


def explained(error: Exception, cupy: Any, device: int) -> NnxError | None:
    """Return the error as one of nnx's, or None if it is not CuPy's."""
    says = " ".join(str(error).split())
    if _is_of_the_cache(error):
        return UnusableBackendError(
            f"backend 'cupy' cannot keep its kernels ({says}): {CACHE_DIR}, or "
            "CUPY_CACHE_IN_MEMORY=1"
        )
    if _is_of_a_library(error, says):
        return UnusableBackendError(
            f"backend 'cupy' lacks a part of CUDA ({says}): {INSTALL}"
        )
    if _is_of_the_compiler(error, says):
        return UnusableBackendError(
            f"backend 'cupy' cannot compile a kernel ({says[:300]}): CuPy may not fit "
            f"the CUDA toolkit that it finds: {INSTALL}"
        )
    if type(error).__module__.partition(".")[0] not in ("cupy", "cupy_backends"):
        return None
    code = _code(says)
    if isinstance(error, MemoryError) or code in OUT_OF_MEMORY:
        return OutOfMemoryError(
            f"out of memory on cuda:{device}: {_needed(says)}{_free(cupy, device)}"
        )
    return UnusableBackendError(
        f"backend 'cupy' failed on cuda:{device} ({says}): "
        f"{REMEDIES.get(code, START_AGAIN)}"
    )


def available(cupy: Any, device: int) -> tuple[int, int]:
    """Return the bytes that arrays may still take on a device, and the pool's limit.

    The limit is 0 if there is none.
    """
    with cupy.cuda.Device(device):
        pool = cupy.get_default_memory_pool()
        free = cupy.cuda.runtime.memGetInfo()[0] + pool.free_bytes()
        limit = pool.get_limit()
        return min(free, limit - pool.used_bytes()) if limit else free, limit


def is_of_one_kernel(error: Exception) -> bool:
    """Return whether a kernel was not compiled or launched, but others still may be."""
    says = " ".join(str(error).split())
    return _is_of_the_compiler(error, says) or _code(says) in REFUSED


def _code(says: str) -> str:
    return re.split(r"[:\s]", says, maxsplit=1)[0]


def _is_of_the_cache(error: Exception) -> bool:
    """Return whether CuPy could not read or write a file; all its files are kernels.

    Other code may raise errors for a full disk too, and these stay as they are.
    """
    frames = traceback.walk_tb(error.__traceback__)
    modules = [str(frame.f_globals.get("__name__")) for frame, _ in frames]
    return isinstance(error, OSError) and any(m.startswith("cupy") for m in modules)


def _is_of_a_library(error: Exception, says: str) -> bool:
    """Return whether one of CUDA's libraries, or its headers, is missing."""
    if isinstance(error, ImportError) and re.search(r"\.so|\.dll", says):
        return True
    by_name = type(error).__name__ == "DynamicLibNotFoundError"
    lacks = "CuPy failed to load ", "Failed to find CUDA headers"
    return by_name or says.startswith(lacks)


def _is_of_the_compiler(error: Exception, says: str) -> bool:
    """Return whether a kernel did not compile; reductions raise a RuntimeError then."""
    by_name = type(error).__name__ in ("CompileException", "NVRTCError")
    return by_name or says.startswith("Runtime compilation failed")


def _needed(says: str) -> str:
    asked = re.search(r"allocating ([\d,]+) bytes", says)
    return f"needs {_size(int(asked[1].replace(',', '')))}, " if asked else ""


def _free(cupy: Any, device: int) -> str:
    try:
        free, limit = available(cupy, device)
    except Exception:
        return "free is not known"
    of_limit = f" of a limit of {_size(limit)}" if limit else ""
    return f"free {_size(free)}{of_limit}"


def _size(count: int) -> str:
    for unit, size in ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
