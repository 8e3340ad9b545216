"""What the maths asks of a backend."""

from collections.abc import Callable
from typing import NamedTuple

from nnx.maths import dense, distortion, optimizers
from nnx.maths.arrays import Array, Namespace


class Ops(NamedTuple):
    """An array API namespace, and the functions that a backend may do better.

    Each is called like the plain form that it defaults to; the first two never with
    an activation whose gradient is from z, which is a function of its own.
    """

    xp: Namespace
    dense_forward: Callable[..., Array] = dense.forward
    dense_backward: Callable[..., tuple[Array, Array, Array]] = dense.backward
    update: Callable[..., Array] = optimizers.update
    distort: Callable[..., Array] = distortion.distort
