"""The real CuPy, with what reaches the driver replaced."""

import ctypes
import os
import platform
import shutil
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from itertools import count, takewhile
from typing import Any

import numpy as np

from cuda_on_cpu import build

CUPY = "14.2.0"
ORDER = "EMU_ORDER"  # the variable that says in which order threads run
INSTALL = "pip install -r tests/cuda_on_cpu/requirements.txt"


# The functions of the runtime that Python calls: the types of result and arguments.
INT, ADDRESS, OBJECT = ctypes.c_int, ctypes.c_ssize_t, ctypes.py_object
FROM_PYTHON = {
    "deviceGetAttribute": (INT, INT, INT),
    "deviceSynchronize": (OBJECT,),
    "driverGetVersion": (INT,),
    "getDevice": (INT,),
    "getDeviceCount": (INT,),
    "getDeviceProperties": (OBJECT, INT),
    "memGetInfo": (OBJECT,),
    "memcpy": (OBJECT, ADDRESS, ADDRESS, ADDRESS, INT),
    "runtimeGetVersion": (INT,),
    "setDevice": (OBJECT, INT),
    "streamIsCapturing": (INT, ADDRESS),
    "streamSynchronize": (OBJECT, ADDRESS),
}


class _Replacement(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("function", ctypes.c_void_p)]


def why_not() -> str | None:
    """Return why this machine cannot emulate a device, or None."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return "a device is emulated on Linux on x86-64 alone"
    if shutil.which("g++") is None:
        return "a device is emulated by g++, which is not installed"
    if (found := _installed()) != CUPY:
        return f"a device is emulated for CuPy {CUPY}, not {found}: {INSTALL}"
    return None


def _installed() -> str:
    try:
        return version("cupy-cuda12x")
    except PackageNotFoundError:
        return "none"


def prepare() -> None:
    """Have `import cupy` find the pretended libraries, and compile by g++.

    Raises:
        ImportError: it cannot be emulated here
    """
    if reason := why_not():
        raise ImportError(reason)
    os.environ.setdefault("CUPY_CACHE_DIR", str(build.folder() / "cupy"))
    os.environ["CUPY_ACCELERATORS"] = ""  # CUB's kernels are compiled already
    driver, _ = (
        ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL) for path in build.libraries()
    )
    from cupy_backends.cuda.api import runtime

    _replace_runtime(runtime, _replacements(driver))
    _load_cublas()
    import cupy
    from cupy.cuda import compiler, thrust

    _replace_compiler(compiler)
    _replace_sort(thrust, driver)
    _poison(cupy)


def _replacements(driver: ctypes.CDLL) -> dict[str, int]:
    """Return the addresses of runtime.cpp's functions, by the names they replace."""
    table = ctypes.cast(driver.emu_runtime, ctypes.POINTER(_Replacement))
    entries = takewhile(lambda entry: entry.name, map(table.__getitem__, count()))
    return {entry.name.decode(): entry.function for entry in entries}


def _replace_runtime(runtime: Any, replacements: dict[str, int]) -> None:
    """Replace CUDA's runtime, before the modules load that take functions from it."""
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype = ctypes.c_void_p
    api.PyCapsule_New.restype = ctypes.py_object
    functions = runtime.__pyx_capi__
    for name, address in replacements.items():
        signature = api.PyCapsule_GetName(ctypes.py_object(functions[name]))
        new = api.PyCapsule_New(*map(ctypes.c_void_p, (address, signature, None)))
        functions[name] = new
    for name, types in FROM_PYTHON.items():
        called = ctypes.PYFUNCTYPE(*types, ctypes.c_int)(replacements[name])
        setattr(runtime, name, lambda *args, called=called: called(*args, 0))


def _load_cublas() -> None:
    """Load CuPy's module of cuBLAS, most of which is not there, nor called."""
    flags = sys.getdlopenflags()
    sys.setdlopenflags(os.RTLD_LAZY)
    try:
        import_module("cupy_backends.cuda.libs.cublas")
    finally:
        sys.setdlopenflags(flags)


def _replace_compiler(compiler: Any) -> None:
    """Have g++ compile, and hand on the path of what it made as if it were a cubin."""

    def compiled(
        source: str, options: Sequence[str] = (), *_: Any
    ) -> tuple[bytes, None]:
        try:
            return str(build.kernels(source, options)).encode() + b"\0", None
        except build.BuildError as error:
            raise compiler.CompileException(str(error), source, "", options) from None

    compiler._compile_using_nvrtc_no_warning = compiled
    compiler._preprocess = lambda *_: ""
    compiler._get_nvrtc_version = lambda: (12, 9)


def _replace_sort(thrust: Any, driver: ctypes.CDLL) -> None:
    def sort(dtype: Any, address: int, keys: int, shape: Sequence[int]) -> None:
        driver.emu_count_launch(b"sort")
        size = np.dtype(dtype).itemsize * int(np.prod(shape))
        memory = (ctypes.c_char * size).from_address(address)
        np.frombuffer(memory, dtype).reshape(shape).sort(axis=-1)

    thrust.sort = sort


def _poison(cupy: Any) -> None:
    """Fill what CuPy's pool hands out anew, too, with NaN; in this thread."""

    class Poison(cupy.cuda.MemoryHook):
        name = "Poison"

        def malloc_postprocess(self, **of: Any) -> None:
            if of["mem_ptr"]:  # there was room
                ctypes.memset(of["mem_ptr"], 0xFF, of["mem_size"])

    Poison().__enter__()
