"""What the maths needs from a backend."""

from collections.abc import Callable
from typing import NamedTuple

from nnx.maths import dense, distortion, optimizers
from nnx.maths.arrays import Array, Namespace
from nnx.maths.shards import ALONE, Communicator


class Ops(NamedTuple):
    """An array API namespace, and functions that a backend may replace by faster ones.

    A replacement takes the arguments of the default.

    logits: like `evaluation.logits` without its `ops`; None: layer by layer
    communicator: the processes that share each batch
    """

    xp: Namespace
    dense_forward: Callable[..., Array] = dense.forward
    update: Callable[..., Array] = optimizers.update
    distort: Callable[..., Array] = distortion.distort
    logits: Callable[..., Array] | None = None
    communicator: Communicator = ALONE
