"""Tree sums of arrays across processes, over any library that can exchange arrays.

No such library promises an order for its own sums. So it only moves the parts, and each
process sums its share of the elements, in the fixed order of the tree.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from nnx.maths.arrays import Array, map_arrays
from nnx.maths.shards import tree_sum

# With at most so many elements, each process sends all its parts to all others, in one
# exchange instead of two.
FEW = 4096


class Exchange(NamedTuple):
    """The functions by which the processes of a run exchange arrays.

    np: the arrays' library, with NumPy's names
    size: the number of processes
    all_gather: takes an array, of the same shape and dtype in all processes; returns
        every process's array, (size, …)
    all_to_all: takes an array, (size, …), whose entry i goes to process i; returns an
        array of the same shape, whose entry i came from process i
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
    """Return n rounded up to a multiple of size, for equal pieces."""
    return -(-n // size) * size


def _flat_sum(exchange: Exchange, parts: Array) -> Array:
    """Return the tree sum of all processes' parts, (n,).

    Each process receives one piece of every part, sums it and sends the sum to all, as
    in Rabenseifner, "Optimization of collective reduction operations", 2004.

    parts: (count, n), this process's; n is a multiple of the number of processes
    """
    (count, n), size = parts.shape, exchange.size
    if n * count * size <= FEW:
        return tree_sum([*exchange.all_gather(parts).reshape(-1, n)])
    pieces = parts.reshape(count, size, -1).swapaxes(0, 1)
    received = exchange.all_to_all(exchange.np.ascontiguousarray(pieces))
    piece = tree_sum([*received.reshape(size * count, -1)])
    return exchange.all_gather(piece).reshape(-1)
