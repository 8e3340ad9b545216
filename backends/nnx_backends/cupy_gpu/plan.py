"""Which recipes can be trained many steps per launch, and the plan of such a launch."""

import math
from typing import NamedTuple

import numpy as np

from nnx.maths.blocks import BLOCK
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.state import Parameters, State
from nnx_backends.cupy_gpu.layout import FOUR, Place, whole
from nnx_backends.cupy_gpu.tiles import LARGE, SMALL, SMALLEST, TILE, Block

LANES = 32  # of a warp
MOST_OUTPUTS = 32 * LANES  # a lane keeps every 32nd of a row in registers
# Of a batch's inputs and outputs, each of which takes 16 bytes of memory.
MOST_NUMBERS = 2**27
MOST_PARAMETERS = 2**31 - 2**21  # places in them are ints


class Plan(NamedTuple):
    """How a launch trains a network.

    head_by_tiles: whether the last layer's outputs are computed by tiles, like those of
        other layers; otherwise they are computed row by row, from weights in a block's
        shared memory, with a lane for each output, which saves two grid barriers
    order_shared: whether the numbers of a batch's images are in shared memory
    """

    block: Block
    head_by_tiles: bool
    order_shared: bool


class KernelKey(NamedTuple):
    """All that a kernel, and its memory, depend on.

    hyper: with the most images of a batch, no learning rate, and l2 as 0 or 1
    pixels: their type in CUDA C++
    bytes_as_they_are: whether products read images as bytes from the data set, without
        gathering them first
    weighted: whether images have weights
    device: its number
    """

    places: tuple[Place, ...]
    hyper: Hyperparameters
    plan: Plan
    pixels: str
    bytes_as_they_are: bool
    weighted: bool
    device: int


def plans(layers: Parameters, batch: int, room: int) -> list[Plan]:
    """Return the possible plans, the best one first.

    batch: its size; room: bytes of shared memory that a block may have
    """
    inputs, outputs = layers[-1].weight.shape
    by_rows = outputs <= LANES and len(layers) > 1
    every = [
        Plan(block, by_tiles, order_shared)
        for block in (LARGE, SMALL, SMALLEST)
        for order_shared in (True, False)
        for by_tiles in ([False, True] if by_rows else [True])
    ]
    return [own for own in every if shared_bytes(own, inputs, outputs, batch) <= room]


def shared_bytes(plan: Plan, inputs: int, outputs: int, batch: int) -> int:
    """Return the bytes of a block's shared memory, see `device.cu`.

    inputs, outputs: of the last layer
    """
    block = plan.block
    head = 0 if plan.head_by_tiles else inputs * whole(outputs, FOUR)
    order = 2 * whole(batch, TILE) if plan.order_shared else 0
    return 4 * (block.ring + head + block.scratch + order)


def uncovered(state: State, hyper: Hyperparameters, room: int) -> str:
    """Return why steps must be plain ones, or "" if one launch can take many.

    room: bytes of shared memory that a block may have; 0 on a device that cannot
    """
    outputs = state.layers[-1].weight.shape[1]
    possible = plans(state.layers, hyper.batch_size, room)
    ring = possible[0].block.ring if possible else 0
    parameters = sum(
        math.prod(map(_padded, layer.weight.shape)) for layer in state.layers
    )
    high, broad = hyper.image_shape
    distorted = hyper.augment is not None
    reasons = {
        "a card of before Volta, or without cooperative launches": room == 0,
        "float64": state.layers[0].weight.dtype != np.float32,
        f"{outputs} outputs": outputs > MOST_OUTPUTS,
        f"batches of {hyper.batch_size}": _numbers(state, hyper) > MOST_NUMBERS,
        # Larger batches are normalized in blocks.
        f"batch normalization in batches of {hyper.batch_size}": (
            hyper.batch_norm and hyper.batch_size > BLOCK
        ),
        "batches in shards": hyper.shards > 1,
        f"{room} bytes of shared memory": not possible,
        f"{parameters:,} parameters": parameters > MOST_PARAMETERS,
        f"distortion of {high} x {broad} pixels": distorted
        and _canvas(high, broad) > ring,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _canvas(high: int, broad: int) -> int:
    """Return the numbers of shared memory to distort an image in, see images.cu."""
    framed, field, matrix = (high + 2) * (broad + 2), 2 * high * broad, 6
    return framed + 2 * field + max(high, broad) + matrix


def _numbers(state: State, hyper: Hyperparameters) -> int:
    """Return how many numbers a batch has, in all layers and with padding."""
    shapes = [layer.weight.shape for layer in state.layers]
    widths = shapes[0][0], *(outputs for _, outputs in shapes)
    return _padded(hyper.batch_size) * sum(map(_padded, widths))


def _padded(size: int) -> int:
    return whole(size, TILE)
