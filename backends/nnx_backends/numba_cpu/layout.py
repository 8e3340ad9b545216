"""The layout of parameters and outputs in the flat arrays of the compiled steps."""

import math
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import numpy as np

from nnx.maths.arrays import Array
from nnx.maths.state import Layer, NormalizedLayer, Parameters
from nnx_backends.numba_cpu import narrow, wide
from nnx_backends.numba_cpu.records import IMAGES
from nnx_backends.numba_cpu.tiles import COLUMNS
from nnx_backends.numba_cpu.vectors import ROWS, VECTOR, lanes

# Cycles that a tile takes to load a vector or a number; 0.9 was measured on Zen 3.
FETCH = 0.9 if VECTOR == 32 else 0.5
# The share of MNIST's pixels that are not 0 in at least one of n images, or in at least
# one of n neighbors, grows with about this power of n: 0.39 and 0.28 for n = 4, 0.44
# and 0.34 for n = 6.
SHARED = 0.37
LINE = 16  # numbers of 4 bytes in a cache line


class Place(NamedTuple):
    """Where a layer is in the flat arrays, and its shape; see `records.LAYER`."""

    inputs: int
    outputs: int
    panels: int
    rows: int
    columns: int
    images: int
    weight_at: int
    bias_at: int
    gamma_at: int
    unit_at: int
    batch: int
    stride: int
    output_at: int


def places(
    layers: Parameters,
    batch_size: int,
    team: int,
    widths: Collection[int] = tuple(ROWS),
) -> list[Place]:
    """Return each layer's place.

    batch_size: the most images in a block; team: the number of threads
    widths: those that a panel may have, in vectors
    """
    batch, result = whole(batch_size, wide.WHOLE), list[Place]()
    real = layers[0].weight.dtype
    weight_at = unit_at = output_at = 0
    for layer in layers:
        n, m = layer.weight.shape
        normalized = isinstance(layer, NormalizedLayer)
        first = not result
        columns, images = _panel(
            m, team, real, widths, is_first=first, normalized=normalized
        )
        panels = -(-m // columns)
        # Both the weight and its transpose are in whole tiles.
        rows = n if columns == 1 else max(whole(n, wide.WHOLE), whole(n, COLUMNS))
        bias_at = weight_at + panels * rows * columns
        gamma_at = whole(bias_at + m, LINE) if normalized else -1
        step = stride(max(panels * columns, whole(m, COLUMNS)))
        place = Place(
            *(n, m, panels, rows, columns, images),
            *(weight_at, bias_at, gamma_at, unit_at),
            *(batch, step, output_at),
        )
        result.append(place)
        weight_at = whole(max(bias_at, gamma_at) + m, LINE)
        unit_at, output_at = whole(unit_at + m, LINE), output_at + batch * step
    return result


def _panel(
    m: int,
    team: int,
    dtype: Any,
    widths: Collection[int],
    *,
    is_first: bool,
    normalized: bool,
) -> tuple[int, int]:
    """Return a panel's columns, and the grain in which threads divide images.

    A narrow layer has panels of one column. The grain is 0 if threads divide panels.

    Otherwise, a panel's width is the one that costs a thread the least time. A tile's
    vectors are multiplied and added row by row, two per cycle, and no sum is added to
    twice within four cycles. This takes loads of one row of vectors, and of one number
    for each row. Padded columns also cost memory. The more rows a tile has, the fewer
    inputs are 0 in all of them. With batch normalization, each unit must belong to one
    thread: no layer is narrow, and threads divide panels.
    """
    if m <= narrow.UNITS and not normalized:
        return 1, IMAGES
    vectors, by_images = -(-m // lanes(dtype)), is_first and not normalized

    def cost(width: int) -> float:
        panels, rows = -(-vectors // width), ROWS[width]
        cycles = max(width / 2, 4 / rows, FETCH * (1 + width / rows))
        terms = rows**SHARED if is_first else 1.0
        own = panels if by_images else -(-panels // team)
        return own * cycles * terms * panels * width

    width = min(widths, key=cost)
    return width * lanes(dtype), ROWS[width] if by_images else 0


def stride(columns: int) -> int:
    """Return the numbers from one row to the next: an odd number of whole cache lines.

    Rows an even number of lines apart would map to the same sets of the cache.
    """
    return (whole(whole(columns, wide.WHOLE), LINE) // LINE | 1) * LINE


def whole(count: int, unit: int) -> int:
    """Return a count rounded up to whole units."""
    return -(-count // unit) * unit


def zeros(shape: tuple[int, ...], real: Any) -> Array:
    """Return an array of zeros that begins at a cache line.

    A vector that crosses two lines costs two loads. If all of them do, the kernels take
    twice the time.
    """
    size = math.prod(shape) * np.dtype(real).itemsize
    raw = np.zeros(size + 64, np.uint8)
    first = -raw.ctypes.data % 64
    return raw[first : first + size].view(real).reshape(shape)


def length(places: list[Place]) -> int:
    """Return the length of the flat array of all parameters."""
    last = places[-1]
    return max(last.bias_at, last.gamma_at) + last.outputs


def pack(layers: Parameters, places: list[Place], parameters: Array) -> None:
    """Pack layers into `parameters`, a flat array of zeros, in the kernels' layout."""
    for (weight, *units), place in zip(layers, places, strict=True):
        for flat, panels in _parts(weight, parameters, place):
            panels[:] = flat
        for at, values in zip((place.bias_at, place.gamma_at), units, strict=False):
            parameters[at : at + place.outputs] = values


def unpack(parameters: Array, places: list[Place]) -> list[Layer | NormalizedLayer]:
    """Return a copy of the layers that are packed in a flat array."""
    layers: list[Layer | NormalizedLayer] = []
    for place in places:
        n, m = place.inputs, place.outputs
        weight = np.empty((n, m), parameters.dtype)
        for flat, panels in _parts(weight, parameters, place):
            flat[:] = panels
        bias = parameters[place.bias_at : place.bias_at + m].copy()
        gamma = parameters[place.gamma_at : place.gamma_at + m].copy()
        normalized = place.gamma_at >= 0
        layers.append(
            NormalizedLayer(weight, bias, gamma) if normalized else Layer(weight, bias)
        )
    return layers


def _parts(
    weight: Array, parameters: Array, place: Place
) -> Iterator[tuple[Array, Array]]:
    """Yield pairs of views of a weight and of its panels: whole ones, then the rest.

    weight: (inputs, outputs); each view is (inputs, panels, columns)
    """
    stored = parameters[place.weight_at :][: place.panels * place.rows * place.columns]
    panels = stored.reshape(place.panels, place.rows, place.columns)
    panels = panels[:, : place.inputs].transpose(1, 0, 2)
    whole, rest = divmod(place.outputs, place.columns)
    flat = weight[:, : place.outputs - rest]
    yield flat.reshape(place.inputs, whole, place.columns), panels[:, :whole]
    if rest:
        yield weight[:, None, -rest:], panels[:, whole:, :rest]
