"""array-api-compat's namespace for CuPy, except for functions that slow down steps."""

from functools import lru_cache, partial
from types import SimpleNamespace
from typing import Any

from nnx.maths.arrays import Array, Namespace

# `nnx.maths.random.philox`, which would be a hundred launches as separate operations.
PHILOX = """
unsigned int e = a, f = b, g = c, h = d, k0 = key0, k1 = key1;
for (int round = 0; round < 10; round++) {
  const unsigned int left = __umulhi(e, 0xD2511F53u), right = __umulhi(g, 0xCD9E8D57u);
  const unsigned int low = e * 0xD2511F53u;
  h ^= left ^ k1;
  e = right ^ f ^ k0;
  f = g * 0xCD9E8D57u;
  g = h;
  h = low;
  k0 += 0x9E3779B9u;
  k1 += 0xBB67AE85u;
}
w = e; x = f; y = g; z = h;
"""


def namespace(cupy: Any) -> Namespace:
    """Return the namespace of a backend, whose arrays are on the current device.

    sign: CuPy's own, which gives 0 for NaN; array-api-compat's version restores NaN by
        a mask, and waits until the host knows how many numbers that selects
    asarray: converts a tuple once, and does not copy it to the device in each step;
        nothing writes into the array
    philox: in one launch; see `nnx.maths.random.philox`
    """
    from array_api_compat import cupy as xp

    made = lru_cache(maxsize=8)(lambda numbers, dtype: xp.asarray(numbers, dtype=dtype))
    own = {
        "sign": cupy.sign,
        "asarray": partial(_asarray, made, xp.asarray),
        "philox": partial(_philox, cupy),
    }
    return SimpleNamespace(**(vars(xp) | own))


def _asarray(made: Any, asarray: Any, obj: Any, **options: Any) -> Array:
    if isinstance(obj, tuple):
        return made(obj, options.get("dtype"))
    return asarray(obj, **options)


@lru_cache(maxsize=1)
def _kernel(cupy: Any) -> Any:
    return cupy.ElementwiseKernel(
        "int64 a, int64 b, int64 c, int64 d, uint32 key0, uint32 key1",
        "int64 w, int64 x, int64 y, int64 z",
        PHILOX,
        "philox",
    )


def _philox(
    cupy: Any, counter: tuple[Array, Array, Array, Array], key: tuple[int, int]
) -> tuple[Array, Array, Array, Array]:
    words: tuple[Array, Array, Array, Array] = _kernel(cupy)(*counter, *key)
    return words
