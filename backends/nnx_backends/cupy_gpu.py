"""CuPy on a CUDA device."""

from typing import Any

from nnx.backend import Backend
from nnx.errors import MissingLibraryError, UnusableBackendError


def load(device: int = 0) -> Backend:
    """Return the backend on one CUDA device, which becomes the current one.

    device: the device's number
    Refused: CuPy missing; no driver; a driver older than the runtime; no such
    device.
    """
    try:
        import cupy
    except ImportError:
        raise MissingLibraryError(
            "backend 'cupy' needs CuPy, which is not installed: "
            "pip install 'nnx-mlp[cuda12]' (or [cuda13])"
        ) from None
    _check_device(cupy, device)
    # CuPy's own device= arguments are unreliable: one device serves the process.
    cupy.cuda.Device(device).use()
    from array_api_compat import cupy as xp

    properties = cupy.cuda.runtime.getDeviceProperties(device)
    return Backend(
        name="cupy",
        device=f"cuda:{device} ({properties['name'].decode()})",
        xp=xp,
        from_numpy=cupy.asarray,
        to_numpy=cupy.asnumpy,
        synchronize=lambda: cupy.cuda.get_current_stream().synchronize(),
    )


def _check_device(cupy: Any, device: int) -> None:
    """Refuse a machine without a usable device, and a device that is not there."""
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise UnusableBackendError(
            f"backend 'cupy' finds no usable CUDA device ({error}): "
            "check the driver with nvidia-smi, or use --backend numpy"
        ) from None
    if not 0 <= device < count:
        raise UnusableBackendError(
            f"backend 'cupy' has no device {device}; there are {count}, from 0"
        )
