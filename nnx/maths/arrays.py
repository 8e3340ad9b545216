"""Arrays, and trees of them: named tuples, tuples and lists, any of them nested."""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

# Static types for arrays differ per library; shapes live in the docstrings.
Array: TypeAlias = Any
Namespace: TypeAlias = Any


def map_arrays(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """Return the tree with function(array, *those of the others) for each array.

    None stays None, where a tree has no array in a place.

    others: trees of the same form
    """
    if tree is None:
        return None
    if not isinstance(tree, tuple | list):
        return function(tree, *others)
    parts = [map_arrays(function, *each) for each in zip(tree, *others, strict=True)]
    return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)


def named_arrays(tree: Any, name: str) -> Iterator[tuple[str, Array]]:
    """Yield every array of a tree with its place as its name: layers.0.weight."""
    if isinstance(tree, tuple | list):
        names = getattr(tree, "_fields", range(len(tree)))
        for part, value in zip(names, tree, strict=True):
            yield from named_arrays(value, f"{name}.{part}")
    elif tree is not None:
        yield name, tree


def device_of(array: Array) -> object:
    """Return where an array is, as creation functions of its namespace take it.

    None for one that is only being traced, to be compiled: it is on no device yet.
    """
    return getattr(array, "device", None)
