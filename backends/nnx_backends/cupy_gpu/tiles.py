"""How blocks divide a product's tiles: in patches, with equally many warps per tile.

The more tiles a block takes at a time, the less it reads for each, but the fewer blocks
have work, and the fewer warps share a tile's terms.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise, product
from typing import NamedTuple, TypeAlias

from nnx.maths.blocks import block_count

TILE = 32  # rows and columns of the largest tiles
DEEP = 16  # terms that a warp takes at a time
SHAPES = ((1, 1), (2, 1), (1, 2), (2, 2), (4, 2), (2, 4), (4, 4))  # down, across
FINISH = 0.4  # time that each tile adds to a patch's, in the unit of `Kind`
TILE_SIZES = ((4, 4), (2, 4), (2, 2), (2, 1))  # a tile's rows and columns, in eights
Grid: TypeAlias = tuple[int, int]  # tiles down and across
Size: TypeAlias = tuple[int, int]  # of a tile, likewise in eights
Shape: TypeAlias = tuple[int, int]  # of a patch, likewise


class Block(NamedTuple):
    """A block of the launch; each multiprocessor has one.

    ring: numbers of shared memory for a product's terms and parts, see product.cu
    """

    warps: int
    ring: int

    @property
    def scratch(self) -> int:
        """Numbers of shared memory for sums, see device.cu."""
        return 3 * 32 * self.warps


LARGE = Block(16, 36 * 1024)  # 150 kB of shared memory, beside the last layer's weights
SMALL = Block(8, 17 * 1024)  # 71 kB, for the many cards that have 99
SMALLEST = Block(4, 9 * 1024)  # 38 kB, for Turing's 64


class Kind(NamedTuple):
    """A kind of product, for the estimate of a patch's time.

    overhead: a patch's time beyond that of its terms and tiles; the unit is the time in
        which every warp takes DEEP terms; measured on an H100, like FINISH
    teams: the fewest that a block's warps may form; with one, a thread finishes eight
        fours, which is too slow with an optimizer's step
    """

    overhead: float
    teams: int


OUTPUTS = Kind(1.5, 1)
WEIGHTS = Kind(4.5, 2)


def tile_size(grid: Grid, blocks: int) -> Size:
    """Return the size of the smallest tiles that the blocks can take all at once.

    grid: of tiles of the largest size, which is returned if even these are too many
    """

    def count(size: Size) -> int:
        return grid[0] * grid[1] * 16 // (size[0] * size[1])

    fitting = [size for size in TILE_SIZES if count(size) <= blocks]
    return max(fitting, key=count, default=TILE_SIZES[0])


def patches(
    grids: Sequence[Grid], terms: int, blocks: int, warps: int, kind: Kind
) -> tuple[Shape, ...]:
    """Return the shape of each product's patches, in tiles down and across.

    Blocks take the patches of one product after another, in rotation.

    grids: of the products; terms: the number of terms of each; warps: of a block
    """
    possible = [s for s in SHAPES if warps // (s[0] * s[1]) >= kind.teams]

    def longest(shapes: tuple[Shape, ...]) -> float:
        """Return the time of the block with the most work."""
        costs = [kind.overhead + cost(shape, terms, warps) for shape in shapes]
        numbers = [
            turns(grid, shape) for grid, shape in zip(grids, shapes, strict=True)
        ]
        ends = list(accumulate(numbers, initial=0))
        return max(
            sum(
                (_turns_of(block, end, blocks) - _turns_of(block, begin, blocks)) * time
                for time, (begin, end) in zip(costs, pairwise(ends), strict=True)
            )
            for block in range(blocks)
        )

    return min(product(possible, repeat=len(grids)), key=longest)


def cost(shape: Shape, terms: int, warps: int) -> float:
    """Return a patch's time without the overhead."""
    tiles = shape[0] * shape[1]
    return FINISH * tiles + block_count(terms, DEEP * warps // tiles)


def turns(grid: Grid, shape: Shape) -> int:
    """Return how many patches a grid of tiles has."""
    return block_count(grid[0], shape[0]) * block_count(grid[1], shape[1])


def _turns_of(block: int, end: int, blocks: int) -> int:
    """Return how many of the turns before `end` a block has."""
    return block_count(end - block, blocks) if end > block else 0
