"""array-api-strict, which refuses whatever the array API standard does not promise.

It is for tests: it is slow, and it pretends to have several devices, so that an array
that moves from one to another by accident raises an error.
"""

from functools import partial
from typing import Any

import numpy as np

from nnx.backend import Backend
from nnx.errors import InputError, MissingLibraryError
from nnx.maths.ops import Ops

DEVICES = "CPU_DEVICE", "device1", "device2", "no_float64"


def load(device: str = "CPU_DEVICE") -> Backend:
    """Return the backend on one of array-api-strict's pretended devices.

    This sets array-api-strict's strictest flags, for the whole process.

    Raises:
        MissingLibraryError: array-api-strict is not installed
        InputError: the device is none of `DEVICES`
    """
    try:
        import array_api_strict as xp
    except ImportError:
        raise MissingLibraryError(
            "backend 'strict' needs array-api-strict: pip install 'nnx-mlp[test]'"
        ) from None
    if device not in DEVICES:
        raise InputError(f"no device {device!r}; there are {', '.join(DEVICES)}")
    xp.set_array_api_strict_flags(
        boolean_indexing=False, data_dependent_shapes=False, enabled_extensions=()
    )
    place, cpu = xp.Device(device), xp.Device("CPU_DEVICE")

    def to_numpy(array: Any) -> Any:
        return np.asarray(xp.asarray(array).to_device(cpu))

    return Backend(
        name="strict",
        device=device,
        ops=Ops(xp),
        from_numpy=lambda array: xp.asarray(array, device=place),
        to_numpy=to_numpy,
        # As for NumPy, which computes here too.
        scope=partial(np.errstate, all="ignore"),
    )
