"""array-api-compat's namespace for CuPy, but for two functions that hold a step up."""

from functools import lru_cache, partial
from types import SimpleNamespace
from typing import Any

from nnx.maths.arrays import Array, Namespace


def namespace(cupy: Any) -> Namespace:
    """Return the namespace of a backend, whose arrays are on the current device.

    sign: CuPy's own, which gives 0 for what is not a number; array-api-compat's puts
        that back by a mask, and waits until the host knows how many it picks
    asarray: of a tuple made once, and not copied to the device in each step; nobody
        writes into it
    """
    from array_api_compat import cupy as xp

    made = lru_cache(maxsize=8)(lambda numbers, dtype: xp.asarray(numbers, dtype=dtype))
    asarray = partial(_asarray, made, xp.asarray)
    return SimpleNamespace(**{**vars(xp), "sign": cupy.sign, "asarray": asarray})


def _asarray(made: Any, asarray: Any, obj: Any, **options: Any) -> Array:
    if isinstance(obj, tuple):
        return made(obj, options.get("dtype"))
    return asarray(obj, **options)
