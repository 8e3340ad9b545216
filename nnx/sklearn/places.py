"""Where an estimator's arrays are, and the backend that computes there.

NumPy arrays go to the backend that the user chooses, and results are NumPy arrays. With
scikit-learn's array API dispatch, arrays of another library stay in its namespace and
on their device.
"""

from typing import Any, NamedTuple

import numpy as np
from sklearn.utils._array_api import (
    _is_numpy_namespace,
    get_namespace_and_device,
    move_to,
    supported_float_dtypes,
)

from nnx import memory
from nnx.backend import Backend, choose, find, names
from nnx.maths.arrays import Array, Namespace
from nnx.maths.ops import Ops

# The share of the machine's memory that sparse features may take once they are dense.
DENSE_SHARE = 0.5


class Place(NamedTuple):
    """Where arrays are.

    backend: the backend that computes with them
    xp, device: of the user's arrays, both arguments and results; device is None for
        NumPy
    """

    backend: Backend
    xp: Namespace = np
    device: Any = None

    def inward(self, array: Any, dtype: str = "") -> Array:
        """Return an array of any library for the backend; dtype "": unchanged."""
        if self.xp is np:
            array = self.backend.from_numpy(to_host(array))
        else:
            array = move_to(array, xp=self.xp, device=self.device)
        xp = self.backend.xp
        return xp.astype(array, getattr(xp, dtype), copy=False) if dtype else array

    def outward(self, array: Array, dtype: str = "") -> Array:
        """Return a copy of the backend's array for the user, who may write to it."""
        if self.xp is np:
            return np.array(self.backend.to_numpy(array), dtype or None)
        kind = getattr(self.xp, dtype) if dtype else None
        return self.xp.asarray(array, dtype=kind, copy=True)


def place_of(x: Any, name: str, device: Any, seconds: float) -> Place:
    """Return the place of a user's features, with a backend for them.

    name: of a backend, or "auto"
    device: for a backend that takes one; None: the backend's choice
    seconds: rough time of the work with the default backend, by which "auto" decides

    Raises:
        ValueError: the backend cannot compute on arrays of the features' library
        NnxError: the backend cannot be used
    """
    xp, dispatched, where = get_namespace_and_device(x)
    if not dispatched or _is_numpy_namespace(xp):
        options = {} if device is None else {"device": device}
        return Place(choose(name, seconds=seconds, **options))
    library = type(x).__module__.partition(".")[0]
    if name not in ("auto", library):
        raise ValueError(
            f"backend={name!r} does not compute on arrays of {library}: give NumPy "
            "arrays, or leave backend='auto'"
        )
    if library in names():
        # The device's number, if it has one: CuPy's str of a device is not a name.
        backend = find(library, device=str(getattr(where, "id", where)))
    else:
        backend = _plain(xp, where, library)
    return Place(backend, xp, where)


def _plain(xp: Namespace, device: Any, library: str) -> Backend:
    """Return a backend with the plain maths for a library without a backend."""
    return Backend(
        name=library,
        device=str(device),
        ops=Ops(xp),
        from_numpy=lambda array: move_to(array, xp=xp, device=device),
        to_numpy=to_host,
    )


def to_host(array: Any) -> Any:
    """Return an array of any library as a NumPy array; sparse ones stay unchanged."""
    if isinstance(array, np.ndarray) or hasattr(array, "tocsr"):
        return array
    return move_to(array, xp=np, device="cpu")


def float_dtypes(x: Any) -> tuple[Any, ...]:
    """Return the dtypes allowed for features; others are converted to the first."""
    xp, _, device = get_namespace_and_device(x)
    half = getattr(xp, "float16", None)
    return tuple(kind for kind in supported_float_dtypes(xp, device) if kind != half)


def best_dtype(x: Any) -> str:
    """Return the name of the most precise dtype on the features' device."""
    return str(float_dtypes(x)[0]).rpartition(".")[2].strip("'>")


def dtype_name(x: Any) -> str:
    """Return an array's dtype, "float32" or "float64", whatever its library."""
    return str(x.dtype).rpartition(".")[2]


def dense(x: Any) -> Any:
    """Return sparse features as a dense array, and others unchanged.

    Raises:
        ValueError: the dense array would need too much memory
    """
    if not hasattr(x, "tocsr"):
        return x
    size = x.shape[0] * x.shape[1] * x.dtype.itemsize
    if size > DENSE_SHARE * memory.available():
        raise ValueError(
            f"sparse features are made dense, and {x.shape[0]} × {x.shape[1]} of them "
            f"take {size / 1e9:.1f} GB: choose fewer (SelectKBest), combine them "
            "(TruncatedSVD), or use partial_fit on parts"
        )
    return x.toarray()
