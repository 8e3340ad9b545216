"""How parameters and outputs lie in the flat arrays of the compiled steps."""

from typing import Any, NamedTuple

import numpy as np
from nnx.maths.kernels import Array

from nnx.maths.network import Layer, Layers
from nnx_backends.numba_kernels import activations, steps, wide
from nnx_backends.numba_kernels.vectors import WIDEST, lanes

LINE = 16  # numbers of 4 bytes in a cache line


class Place(NamedTuple):
    """Where a layer is: its parameters in one flat array, its outputs in another.

    panel: columns of a panel of its weight; 0 for a narrow layer
    rows, stride: of its outputs' matrix, with the padding
    """

    inputs: int
    outputs: int
    panel: int
    activation: int
    weight_at: int
    bias_at: int
    rows: int
    stride: int
    output_at: int


def places(
    layers: Layers, names: tuple[str, ...], batch_size: int, team: int
) -> list[Place]:
    """Return each layer's place, for a team and batches of at most this size."""
    rows, found = _whole(batch_size, wide.WHOLE), list[Place]()
    real = layers[0].weight.dtype
    param_at = output_at = 0
    for (weight, _), name in zip(layers, names, strict=True):
        n, m = weight.shape
        panel = _panel(m, team, real)
        whole = _whole(m, panel) if panel else m
        stored = (_whole(n, wide.WHOLE) if panel else n) * whole
        bias_at, code = param_at + stored, activations.NAMES.index(name)
        step = stride(whole)
        found.append(Place(n, m, panel, code, param_at, bias_at, rows, step, output_at))
        param_at, output_at = _whole(bias_at + m, LINE), output_at + rows * step
    return found


def _panel(m: int, team: int, dtype: Any) -> int:
    """Return the columns of a panel that take a thread the least time; 0 if narrow.

    A tile adds to its 6 sums of each vector twice a cycle, and to the same sum only
    every fourth cycle.
    """
    if m <= steps.NARROW:
        return 0
    vectors = -(-m // lanes(dtype))

    def cycles(width: int) -> int:
        panels = -(-vectors // width)
        return -(-panels // team) * max(wide.ROWS * width // 2, 4)

    return min(range(WIDEST, 0, -1), key=cycles) * lanes(dtype)


def stride(columns: int) -> int:
    """Return the numbers from one row to the next: whole lines, an odd number of them.

    Rows an even number of lines apart would fall upon each other in the cache.
    """
    return (_whole(_whole(columns, wide.WHOLE), LINE) // LINE | 1) * LINE


def _whole(count: int, unit: int) -> int:
    """Return so many, or a few more that make whole units."""
    return -(-count // unit) * unit


def zeros(count: int, real: Any) -> Array:
    """Return an array of zeros that begins with a cache line.

    A vector that lies across two lines costs two loads: the kernels take twice the time
    where all of them do.
    """
    size = count * np.dtype(real).itemsize
    raw = np.zeros(size + 64, np.uint8)
    first = -raw.ctypes.data % 64
    return raw[first : first + size].view(real)


def packed(layers: Layers, places: list[Place]) -> Array:
    """Return all parameters in one array, as the kernels want them.

    The weights of narrow layers lie as (out, in), of wide ones as (panels, in, panel).
    """
    params = zeros(places[-1].bias_at + places[-1].outputs, layers[0].weight.dtype)
    for (weight, bias), place in zip(layers, places, strict=True):
        stored = params[place.weight_at : place.bias_at]
        if place.panel:
            rows, columns = _padded(place)
            whole = np.zeros((rows, columns), weight.dtype)
            whole[: place.inputs, : place.outputs] = weight
            panels = whole.reshape(rows, -1, place.panel).transpose(1, 0, 2)
            stored.reshape(panels.shape)[:] = panels
        else:
            stored.reshape(weight.T.shape)[:] = weight.T
        params[place.bias_at : place.bias_at + place.outputs] = bias
    return params


def unpacked(params: Array, places: list[Place]) -> Layers:
    """Return the layers that are packed there."""
    layers = []
    for place in places:
        n, m = place.inputs, place.outputs
        stored = params[place.weight_at : place.bias_at]
        if place.panel:
            rows, columns = _padded(place)
            panels = stored.reshape(-1, rows, place.panel).transpose(1, 0, 2)
            weight = panels.reshape(rows, columns)[:n, :m]
        else:
            weight = stored.reshape(m, n).T
        bias = params[place.bias_at : place.bias_at + m]
        layers.append(Layer(np.ascontiguousarray(weight), bias))
    return layers


def _padded(place: Place) -> tuple[int, int]:
    """Return the rows and columns of a wide layer's weight, in whole tiles."""
    return _whole(place.inputs, wide.WHOLE), _whole(place.outputs, place.panel)
