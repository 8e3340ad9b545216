"""How blocks share out a product's tiles on a card."""

import pytest
from nnx_backends.cupy_gpu import tiles
from nnx_backends.cupy_gpu.tiles import LARGE, SMALL, Block, Grid, Kind, Shape

BLOCKS = 132  # as an H100 has multiprocessors


@pytest.mark.parametrize(
    ("grids", "terms", "kind", "expected"),
    [
        ([(25, 4), (4, 1)], 128, tiles.WEIGHTS, [(1, 1), (1, 1)]),
        ([(25, 25), (25, 25)], 1024, tiles.WEIGHTS, [(2, 2), (4, 2)]),
        ([(25, 32), (32, 1)], 1024, tiles.WEIGHTS, [(4, 2), (2, 1)]),
        ([(4, 25)], 800, tiles.OUTPUTS, [(1, 1)]),
        ([(32, 25)], 800, tiles.OUTPUTS, [(4, 2)]),
        ([(1, 1)], 16, tiles.OUTPUTS, [(1, 1)]),
    ],
)
def test_as_many_blocks_are_at_work_as_pays(
    grids: list[Grid], terms: int, kind: Kind, expected: list[Shape]
) -> None:
    got = tiles.patches(grids, terms, BLOCKS, LARGE.warps, kind)
    assert list(got) == expected


@pytest.mark.parametrize(
    ("grid", "expected"),
    [
        ((4, 4), (2, 1)),  # 784-128-10 in batches of 128: 8 × 16 tiles
        ((4, 8), (2, 2)),
        ((4, 12), (2, 4)),
        ((4, 25), (4, 4)),
        ((32, 25), (4, 4)),
        ((1, 1), (2, 1)),
    ],
)
def test_tiles_are_as_small_as_leaves_no_block_two(grid: Grid, expected: Grid) -> None:
    assert tiles.tile_size(grid, BLOCKS) == expected


@pytest.mark.parametrize("grid", [(1, 1), (7, 3), (25, 4), (79, 63)])
@pytest.mark.parametrize("shape", tiles.SHAPES)
def test_patches_cover_a_grid(grid: Grid, shape: Shape) -> None:
    count = tiles.turns(grid, shape) * shape[0] * shape[1]
    assert grid[0] * grid[1] <= count < (grid[0] + shape[0]) * (grid[1] + shape[1])


@pytest.mark.parametrize("block", [LARGE, SMALL])
def test_warps_share_out_whole_patches(block: Block) -> None:
    for down, across in tiles.SHAPES:
        sharing = block.warps // (down * across)
        assert sharing * down * across == block.warps or sharing == 0


@pytest.mark.parametrize("kind", [tiles.OUTPUTS, tiles.WEIGHTS])
def test_a_small_block_takes_no_patch_of_more_tiles_than_warps(kind: Kind) -> None:
    shapes = tiles.patches([(32, 80)], 1024, BLOCKS, SMALL.warps, kind)
    assert all(down * across * kind.teams <= SMALL.warps for down, across in shapes)
