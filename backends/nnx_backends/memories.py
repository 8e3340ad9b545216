"""Memory that goes from one call of a backend's own steps to the next."""

import weakref
from typing import Any, Generic, TypeVar

from nnx.maths.arrays import Array, named_arrays
from nnx.maths.state import State

Memory = TypeVar("Memory")


class Memories(Generic[Memory]):
    """The memory of each state that a backend's steps led to, as long as it is there.

    The steps that go on from it, as the loop's do ten times a second, need not pack
    what was only just unpacked: of a network that no cache holds, a fifth of the time.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, list[weakref.ref[Array]], Memory]] = {}

    def keep(self, state: State, use: Any, memory: Memory) -> None:
        """Remember the memory of a state; use: all else that it is for."""
        arrays = _arrays(state)
        token = id(arrays[0])
        now = state.step, use
        self._known[token] = now, list(map(weakref.ref, arrays)), memory
        weakref.finalize(arrays[0], self._known.pop, token, None).atexit = False

    def take(self, state: State, use: Any) -> Memory | None:
        """Return the memory of a state, which is then another state's; None without."""
        own = _arrays(state)
        now, arrays, memory = self._known.pop(id(own[0]), (None, [], None))
        same = len(own) == len(arrays) and all(
            known() is array for known, array in zip(arrays, own, strict=True)
        )
        return memory if same and now == (state.step, use) else None


def _arrays(state: State) -> list[Array]:
    """Return the arrays of a state that are packed."""
    packed = state.layers, state.optimizer_state, state.running_stats, state.ema
    return [array for _, array in named_arrays(packed, "")]
