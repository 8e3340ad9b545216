"""What the maths asks of a backend."""

from collections.abc import Callable
from typing import NamedTuple

from nnx.maths import dense, distortion, optimizers
from nnx.maths.arrays import Array, Namespace
from nnx.maths.shards import ALONE, Communicator


class Ops(NamedTuple):
    """An array API namespace, and the functions that a backend may do better.

    Each is called like the plain form that it defaults to; `dense_forward` never with
    an activation whose gradient is from z, which is a function of its own.

    logits: like `evaluation.logits`, but for ops; None: layer by layer
    communicator: the processes that each batch is shared out to
    """

    xp: Namespace
    dense_forward: Callable[..., Array] = dense.forward
    update: Callable[..., Array] = optimizers.update
    distort: Callable[..., Array] = distortion.distort
    logits: Callable[..., Array] | None = None
    communicator: Communicator = ALONE
