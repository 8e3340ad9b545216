"""Two devices with one gibibyte free on each, and errors of CUDA's kinds."""

import os
from types import SimpleNamespace

from cupy.cuda.device import Device, current  # noqa: F401


class CUDARuntimeError(RuntimeError):
    pass


class OutOfMemoryError(MemoryError):
    pass


class CompileException(Exception):  # noqa: N818
    pass


COUNT = {
    "no-driver": "cudaErrorInsufficientDriver: CUDA driver version is insufficient",
    "old-driver": "cudaErrorInsufficientDriver: CUDA driver version is insufficient",
    "no-device": "cudaErrorNoDevice: no CUDA-capable device is detected",
}
DRIVER = {"no-driver": 0, "old-driver": 11080}


def _count():
    if message := COUNT.get(os.environ.get("FAKE_CUDA", "")):
        raise CUDARuntimeError(message)
    return 2


runtime = SimpleNamespace(
    CUDARuntimeError=CUDARuntimeError,
    getDeviceCount=_count,
    driverGetVersion=lambda: DRIVER.get(os.environ.get("FAKE_CUDA", ""), 12040),
    # Newer than the driver, but of the same major version: that is no fault.
    runtimeGetVersion=lambda: 12090,
    memGetInfo=lambda: (2**30, 2**31),
    getDeviceProperties=lambda number: {"name": b"Stand-in"},
)
memory = SimpleNamespace(OutOfMemoryError=OutOfMemoryError)
compiler = SimpleNamespace(CompileException=CompileException)
