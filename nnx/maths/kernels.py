"""What the maths asks of a backend."""

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

# Static types for arrays differ per library; shapes live in the docstrings.
Array: TypeAlias = Any
Namespace: TypeAlias = Any


class Kernels(Protocol):
    """A namespace and the four functions that a backend may do better.

    Each is called like its plain form: `dense.forward`, `dense.backward`,
    `losses.cross_entropy` and `optimizers.update`; the first two never with an
    activation whose gradient is from z, which is a function of its own.
    """

    @property
    def xp(self) -> Namespace:
        """The array API namespace."""

    @property
    def dense_forward(self) -> Callable[..., Array]:
        """A dense layer's output."""

    @property
    def dense_backward(self) -> Callable[..., tuple[Array, Array, Array]]:
        """A dense layer's gradients."""

    @property
    def cross_entropy(self) -> Callable[..., tuple[Array, Array]]:
        """The loss and its gradient."""

    @property
    def update(self) -> Callable[..., Array]:
        """A parameter one step downhill."""
