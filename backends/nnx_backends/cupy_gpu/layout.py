"""The layout of a network's parameters and a batch's numbers, padded to whole tiles.

Padding is 0 and stays 0, so that kernels need not check where a matrix ends.
"""

from collections.abc import Sequence
from typing import NamedTuple

from nnx.maths.arrays import Array
from nnx.maths.blocks import block_count
from nnx.maths.state import Layer, NormalizedLayer, Parameters
from nnx_backends.cupy_gpu.tiles import TILE

FOUR = 4  # numbers in one access of memory


class Place(NamedTuple):
    """A layer's place and shape.

    inputs, outputs: as the user knows them; rows, width: padded to whole tiles
    columns: numbers from one row of its weight to the next: the width, but in a last
        layer that is computed row by row, the outputs padded to whole fours
    weight_at, bias_at, gamma_at, end: places in the flat arrays of parameters; without
        batch normalization, gamma_at is end
    at: place of its outputs, (rows of a batch, width), in the arrays of a batch's
        numbers
    unit_at: place of its units in arrays with one number per unit
    """

    inputs: int
    outputs: int
    rows: int
    width: int
    columns: int
    weight_at: int
    bias_at: int
    gamma_at: int
    end: int
    at: int
    unit_at: int


def whole(n: int, size: int) -> int:
    """Return n rounded up to a multiple of size."""
    return block_count(n, size) * size


def places(layers: Parameters, batch_rows: int, *, head_by_tiles: bool) -> list[Place]:
    """Return every layer's place.

    batch_rows: images of a batch, padded to whole tiles
    head_by_tiles: see `plan.Plan`
    """
    result: list[Place] = []
    end = at = unit_at = 0
    for i, layer in enumerate(layers):
        inputs, outputs = layer.weight.shape
        width = whole(outputs, TILE)
        by_tiles = head_by_tiles or i < len(layers) - 1
        columns = width if by_tiles else whole(outputs, FOUR)
        rows = whole(inputs, TILE)
        bias_at = end + rows * columns
        gamma_at = bias_at + width
        after = gamma_at + (width if isinstance(layer, NormalizedLayer) else 0)
        result.append(
            Place(
                *(inputs, outputs, rows, width, columns),
                *(end, bias_at, gamma_at, after, at, unit_at),
            )
        )
        end, at, unit_at = after, at + batch_rows * width, unit_at + width
    return result


def pack(layers: Parameters, places: Sequence[Place], flat: Array) -> None:
    """Write layers into a flat array of zeros."""
    for own, layer in zip(unpack(flat, layers, places), layers, strict=True):
        for part, array in zip(own, layer, strict=True):
            part[...] = array


def unpack(flat: Array, like: Parameters, places: Sequence[Place]) -> Parameters:
    """Return layers of the same form as others, as views of a flat array."""
    layers: list[Layer | NormalizedLayer] = []
    for place, layer in zip(places, like, strict=True):
        padded = flat[place.weight_at : place.bias_at].reshape(-1, place.columns)
        weight = padded[: place.inputs, : place.outputs]
        bias, gamma = (
            flat[at : at + place.outputs] for at in (place.bias_at, place.gamma_at)
        )
        if isinstance(layer, NormalizedLayer):
            layers.append(NormalizedLayer(weight, bias, gamma))
        else:
            layers.append(Layer(weight, bias))
    return layers
