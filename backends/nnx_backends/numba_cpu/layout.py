"""How parameters and outputs lie in the flat arrays of the compiled steps."""

import math
from typing import Any, NamedTuple

import numpy as np

from nnx.maths.arrays import Array
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.state import Layer, Layers, Parameters
from nnx_backends.numba_cpu import activations, narrow, wide
from nnx_backends.numba_cpu.vectors import WIDEST, lanes

LINE = 16  # numbers of 4 bytes in a cache line


class Place(NamedTuple):
    """Where a layer is: its parameters in one flat array, its outputs in another.

    A record of dtype `PLACE` in compiled code, so that it is compiled once for every
    depth and shape.

    panels, rows, columns: the shape of its weight, with the padding; a panel of a
        narrow layer has one column, and no padding
    activation: its place in `activations.NAMES`
    batch, stride: rows and columns of its outputs' matrix, with the padding
    """

    inputs: int
    outputs: int
    activation: int
    panels: int
    rows: int
    columns: int
    weight_at: int
    bias_at: int
    batch: int
    stride: int
    output_at: int


PLACE = np.dtype([(name, np.int64) for name in Place._fields], align=True)
# A step's hyperparameters, those that are numbers, by their own names.
HYPER = np.dtype(
    [(k, np.float64) for k, v in Hyperparameters.__annotations__.items() if v is float],
    align=True,
)


def places(
    layers: Parameters, names: tuple[str, ...], batch_size: int, team: int
) -> list[Place]:
    """Return each layer's place, for a team and batches of at most this size."""
    batch, result = whole(batch_size, wide.WHOLE), list[Place]()
    real = layers[0].weight.dtype
    weight_at = output_at = 0
    for (weight, *_), name in zip(layers, names, strict=True):
        n, m = weight.shape
        columns = _columns(m, team, real)
        panels = -(-m // columns)
        rows = n if columns == 1 else whole(n, wide.WHOLE)
        bias_at = weight_at + panels * rows * columns
        step = stride(panels * columns)
        code = activations.NAMES.index(name)
        place = Place(
            *(n, m, code, panels, rows, columns),
            *(weight_at, bias_at, batch, step, output_at),
        )
        result.append(place)
        weight_at, output_at = whole(bias_at + m, LINE), output_at + batch * step
    return result


def _columns(m: int, team: int, dtype: Any) -> int:
    """Return the columns of a panel that take a thread the least time; 1 if narrow.

    A tile adds to its 6 sums of each vector twice a cycle, and to the same sum only
    every fourth cycle.
    """
    if m <= narrow.UNITS:
        return 1
    vectors = -(-m // lanes(dtype))

    def cycles(width: int) -> int:
        panels = -(-vectors // width)
        return -(-panels // team) * max(wide.ROWS * width // 2, 4)

    return min(range(WIDEST, 0, -1), key=cycles) * lanes(dtype)


def stride(columns: int) -> int:
    """Return the numbers from one row to the next: whole lines, an odd number of them.

    Rows an even number of lines apart would fall upon each other in the cache.
    """
    return (whole(whole(columns, wide.WHOLE), LINE) // LINE | 1) * LINE


def whole(count: int, unit: int) -> int:
    """Return so many, or a few more that make whole units."""
    return -(-count // unit) * unit


def zeros(shape: tuple[int, ...], real: Any) -> Array:
    """Return an array of zeros that begins with a cache line.

    A vector that lies across two lines costs two loads: the kernels take twice the time
    where all of them do.
    """
    size = math.prod(shape) * np.dtype(real).itemsize
    raw = np.zeros(size + 64, np.uint8)
    first = -raw.ctypes.data % 64
    return raw[first : first + size].view(real).reshape(shape)


def pack(layers: Parameters, places: list[Place]) -> Array:
    """Return all parameters in one array, as the kernels want them."""
    count = places[-1].bias_at + places[-1].outputs
    parameters = zeros((count,), layers[0].weight.dtype)
    for (weight, bias, *_), place in zip(layers, places, strict=True):
        panels = _panels(parameters, place)
        padded = np.zeros((place.rows, place.panels * place.columns), weight.dtype)
        padded[: place.inputs, : place.outputs] = weight
        panels[:] = padded.reshape(panels.shape)
        parameters[place.bias_at : place.bias_at + place.outputs] = bias
    return parameters


def unpack(parameters: Array, places: list[Place]) -> Layers:
    """Return the layers that are packed there."""
    layers = []
    for place in places:
        n, m = place.inputs, place.outputs
        weight = _panels(parameters, place).reshape(place.rows, -1)[:n, :m]
        bias = parameters[place.bias_at : place.bias_at + m]
        layers.append(Layer(np.ascontiguousarray(weight), bias))
    return layers


def _panels(parameters: Array, place: Place) -> Array:
    """Return a view of a layer's weight, (rows, panels, columns)."""
    stored = parameters[place.weight_at : place.bias_at]
    shape = place.panels, place.rows, place.columns
    return stored.reshape(shape).transpose(1, 0, 2)
