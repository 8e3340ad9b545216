"""Arrays, and trees of arrays: nested named tuples, tuples and lists."""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

# Each library has its own array type; docstrings give the shapes.
Array: TypeAlias = Any
Namespace: TypeAlias = Any


def map_arrays(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """Return the tree with each array replaced by function(array, *others' arrays).

    A None in the place of an array stays None.

    others: trees of the same form, whose arrays in the same place are passed along
    """
    if tree is None:
        return None
    if not isinstance(tree, tuple | list):
        return function(tree, *others)
    parts = [map_arrays(function, *parts) for parts in zip(tree, *others, strict=True)]
    return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)


def moved(tree: Any, move: Callable[[Array], Array]) -> Any:
    """Return a tree with its arrays moved by a function; integers stay unchanged."""
    return map_arrays(lambda x: x if isinstance(x, int) else move(x), tree)


def named_arrays(tree: Any, name: str) -> Iterator[tuple[str, Array]]:
    """Yield every array of a tree with its path as its name: "layers.0.weight"."""
    if isinstance(tree, tuple | list):
        names = getattr(tree, "_fields", range(len(tree)))
        for part, value in zip(names, tree, strict=True):
            yield from named_arrays(value, f"{name}.{part}")
    elif tree is not None:
        yield name, tree


def device_of(array: Array) -> object:
    """Return an array's device, as the `device` of its namespace's creation functions.

    An array that is being traced for compilation is on no device yet: None.
    """
    return getattr(array, "device", None)
