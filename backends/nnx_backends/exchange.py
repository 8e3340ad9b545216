"""Tree sums of what processes compute, by any library that exchanges arrays.

No library promises an order for its own sums, so only the parts are exchanged by it,
and each element is summed along the tree by the process whose turn it is.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from nnx.maths.arrays import Array, map_arrays
from nnx.maths.shards import tree_sum

# Elements under which all parts are sent to all, in one message: it saves the second.
FEW = 4096


class Exchange(NamedTuple):
    """How a process exchanges arrays with the others that it was started with.

    np: the library that they are of, by NumPy's names
    size: how many processes there are
    all_gather: each one's array, (size, …), of one array of a form that all have
    all_to_all: of an array, (size, …), whose first axis says who is sent what, the same
        whose first axis says who has sent what
    """

    np: Any
    size: int
    all_gather: Callable[[Array], Array]
    all_to_all: Callable[[Array], Array]


def total(exchange: Exchange, parts: Sequence[Any]) -> Any:
    """Return the tree sum of all processes' parts; see `Communicator.total`."""
    np, leaves = exchange.np, [_leaves(part, exchange.np) for part in parts]
    kinds = [leaf.dtype for leaf in leaves[0]]
    sums: list[Any] = [None] * len(kinds)
    for kind in dict.fromkeys(kinds):
        own = [i for i, other in enumerate(kinds) if other == kind]
        shapes = [leaves[0][i].shape for i in own]
        end = sum(map(math.prod, shapes))
        flat = np.zeros((len(leaves), _padded(end, exchange.size)), kind)
        for row, part in zip(flat, leaves, strict=True):
            np.concatenate([part[i].reshape(-1) for i in own], out=row[:end])
        begin, summed = 0, _flat_sum(exchange, flat)
        for i, shape in zip(own, shapes, strict=True):
            begin, first = begin + math.prod(shape), begin
            sums[i] = summed[first:begin].reshape(shape)
    remaining = iter(sums)

    def as_before(leaf: Any) -> Any:
        of_all = next(remaining)
        return int(of_all) if isinstance(leaf, int) else of_all

    return map_arrays(as_before, parts[0])


def _leaves(tree: Any, np: Any) -> list[Array]:
    leaves: list[Array] = []
    map_arrays(lambda leaf: leaves.append(np.asarray(leaf)), tree)
    return leaves


def _padded(n: int, size: int) -> int:
    """Return so many, or a few more that make equal pieces."""
    return -(-n // size) * size


def _flat_sum(exchange: Exchange, parts: Array) -> Array:
    """Return the tree sum of all processes' parts, (n,).

    Each process is sent a piece of all parts, sums it, and sends the sum to all, as in
    Rabenseifner, "Optimization of collective reduction operations", 2004.

    parts: (count, n), this process's; n is a multiple of the processes
    """
    (count, n), size = parts.shape, exchange.size
    if n * count * size <= FEW:
        return tree_sum([*exchange.all_gather(parts).reshape(-1, n)])
    pieces = parts.reshape(count, size, -1).swapaxes(0, 1)
    received = exchange.all_to_all(exchange.np.ascontiguousarray(pieces))
    piece = tree_sum([*received.reshape(size * count, -1)])
    return exchange.all_gather(piece).reshape(-1)
