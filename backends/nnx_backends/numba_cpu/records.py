"""The kernels' arguments: records of numbers and addresses, and the arrays there."""

from typing import Any, NamedTuple

import numpy as np
from numba import carray

from nnx.maths.hyperparameters import Distortion, Hyperparameters
from nnx_backends.numba_cpu.cache import inner_njit
from nnx_backends.numba_cpu.team import partition
from nnx_backends.numba_cpu.tiles import DX_COLUMNS, LOW
from nnx_backends.numba_cpu.vectors import pointer_at

GRAIN = 16  # numbers: a cache line of float32
IMAGES = LOW  # images: the height of a narrow layer's tiles


class Block(NamedTuple):
    """Rows [top, bottom) and columns [left, right) of a matrix, four unsigned numbers.

    They are unsigned because a negative index would count from the end, as in Python,
    and the check for that would keep a loop from being vectorized.
    """

    top: Any
    bottom: Any
    left: Any
    right: Any


@inner_njit()
def block(rows, columns):
    """Return a block; rows, columns: the first and the last + 1 of each."""
    return Block(
        np.uint64(rows[0]),
        np.uint64(rows[1]),
        np.uint64(columns[0]),
        np.uint64(columns[1]),
    )


def _record(integers: str, *others: tuple[str, Any]) -> np.dtype[Any]:
    return np.dtype(
        [*((name, np.int64) for name in integers.split()), *others], align=True
    )


# A layer's place and shape. Its weight is stored in panels, (panels, rows, columns),
# with padding; a panel of a narrow layer has one column and no padding.
# weight_at, bias_at, gamma_at: where its parameters begin in flat arrays; without batch
#     normalization gamma_at is -1
# images: the grain in which threads divide the images, and in the update the inputs; 0
#     if they divide the units
# unit_at: where its units begin in arrays with one number per unit
# x, z, y: addresses of its inputs, of its activation's arguments and of its outputs;
#     dx, dz: of the loss's gradients with respect to x and z
# x_rounded, y_rounded, dz_rounded: the same in words of two bfloat16 numbers;
#     dz_twice: in words that hold one number twice; see `rounded`
# x_z: the previous layer's z; normalized: the products, normalized, before gamma
# x_apart: bytes from one thread's x to the next thread's; x_turn: bytes between the two
#     copies of x that blocks use alternately; x_stride, stride: numbers from one row to
#     the next, of x and of the other matrices
LAYER = _record(
    "number inputs outputs panels rows columns images weight_at bias_at gamma_at "
    "unit_at x dx x_z x_apart x_turn x_stride z normalized y dz batch stride "
    "x_rounded y_rounded dz_rounded dz_twice"
)

# A step, as one thread of a team sees it. rank, size: the thread's, and the team's
# number: steps that the run took before; random draws depend on it and on the seed
# first, whole: the first of the batch's images in the order, and their number
# top: the first of the batch's images that gradients are for; 0 except in shards
# row, batch: the first image of the current block in the batch, and the block's size
# turn: 0 and 1 alternately, from block to block
# clip: the factor of all gradients
STEP = _record("rank size number first whole top row batch turn", ("clip", np.float64))

# The numeric hyperparameters of a step, by their own names.
HYPER = np.dtype(
    [(k, np.float64) for k, v in Hyperparameters.__annotations__.items() if v is float],
    align=True,
)


def run_dtype(real: Any) -> np.dtype[Any]:
    """Return the dtype of the record that all steps and threads share.

    Arrays are given by their addresses. The parameters, and arrays with their layout,
    are flat.

    first_step: number of steps taken before those of the order; begin, steps: the first
        of the order's steps to take, as an index, and how many to take
    top, bottom: the range of a batch's images that gradients are computed for
    itemsize: bytes per number; size: length of the parameters, with padding
    rounded: weights in words of two rows' bfloat16 numbers, at the weights' places
    first, second: the optimizer's state
    units: units of all layers, with padding; means, variances, scales, squares: one
        number per unit: running statistics and scales of batch normalization, and the
        squares of the gradients' norms
    pixels: (n, inputs); order: (images,), the images of all steps in turn; labels,
        weights, losses, scores, logits: of these images; labels are integers for
        cross-entropy, and scores where right images are counted; otherwise both have
        one number per output, (images, outputs)
    scratch: each thread's working numbers, `apart` from thread to thread; masks: bytes
    epoch, height, width: of distorted images; tall, (height, height), padded to whole
        tiles, and broad, (width, columns): a Gaussian's weights; the other fields of
        `Distortion`: the amounts
    one: 1, in the type of all numbers
    """
    return _record(
        "first_step steps begin batch_size top bottom itemsize size parameters rounded "
        "gradients first second ema units means variances scales squares pixels "
        "labels weights order images losses scores logits scratch apart masks "
        "masks_apart marks marks_apart lists lists_apart class_weights "
        "epoch height width columns tall broad",
        *((name, np.float64) for name in Distortion._fields),
        ("seed", np.uint64),
        ("one", real),
    )


@inner_njit()
def vector(address, count, example):
    """Return an array of `count` numbers of the example's type at an address."""
    return carray(pointer_at(address, example), (count,))


@inner_njit()
def matrix(address, rows, columns, example):
    """Return the matrix of the example's type at an address."""
    return carray(pointer_at(address, example), (rows, columns))


@inner_njit()
def inputs_at(layer, step):
    """Return the address of a layer's inputs as this thread reads them."""
    return layer.x + step.rank * layer.x_apart + step.turn * layer.x_turn


@inner_njit()
def inputs(run, layer, step):
    """Return a layer's inputs, (batch, x_stride)."""
    return matrix(inputs_at(layer, step), layer.batch, layer.x_stride, run.one)


@inner_njit()
def of_units(run, layer, address):
    """Return a matrix that has one column per unit, (batch, stride)."""
    return matrix(address, layer.batch, layer.stride, run.one)


@inner_njit()
def part(run, address, at, count):
    """Return `count` numbers from a place of a flat array, such as the parameters."""
    return vector(address + at * run.itemsize, count, run.one)


@inner_njit()
def weight(run, address, layer):
    """Return a layer's panels of parameters or gradients, (panels, rows, columns)."""
    pointer = pointer_at(address + layer.weight_at * run.itemsize, run.one)
    return carray(pointer, (layer.panels, layer.rows, layer.columns))


@inner_njit()
def units(run, layer, address):
    """Return a layer's part of an array with one number per unit, (outputs,)."""
    return part(run, address, layer.unit_at, layer.outputs)


@inner_njit()
def biases(run, layer):
    """Return a layer's biases, (outputs,)."""
    return part(run, run.parameters, layer.bias_at, layer.outputs)


@inner_njit()
def units_gradient(run, layer, at):
    """Return the gradient of the biases or gammas at a place, (outputs,)."""
    return part(run, run.gradients, at, layer.outputs)


@inner_njit()
def scratch(run, step, rows, columns):
    """Return this thread's scratch memory, as a matrix."""
    address = run.scratch + step.rank * run.apart * run.itemsize
    return matrix(address, rows, columns, run.one)


@inner_njit()
def of_block(run, step, address, itemsize, example):
    """Return an array's entries for the images of the block, (batch,)."""
    first = step.first + step.row
    return vector(address + first * itemsize, step.batch, example)


@inner_njit()
def is_narrow(layer):
    """Return whether a layer is narrow: threads divide its images, not its units."""
    return layer.columns == 1


@inner_njit()
def own_panels(layer, step):
    """Return this thread's panels of a layer, first and last + 1."""
    return partition(layer.panels, 1, step)


@inner_njit()
def own_columns(layer, step):
    """Return the units of this thread's panels, first and last + 1."""
    panels = own_panels(layer, step)
    first, last = panels[0] * layer.columns, panels[1] * layer.columns
    return min(first, layer.outputs), min(last, layer.outputs)


@inner_njit()
def own_units(layer, step):
    """Return the units whose biases this thread updates, first and last + 1."""
    if is_narrow(layer):
        return 0, layer.outputs if step.rank == 0 else 0
    return own_columns(layer, step)


@inner_njit()
def own_outputs(layer, step):
    """Return the block of a layer's outputs that this thread computes."""
    if layer.images > 0:
        return block(partition(step.batch, layer.images, step), (0, layer.outputs))
    return block((0, step.batch), own_columns(layer, step))


@inner_njit()
def own_products(layer, step):
    """Return this thread's images and panels of the products of a wide layer."""
    if layer.images > 0:
        return partition(step.batch, layer.images, step), (0, layer.panels)
    return (0, step.batch), own_panels(layer, step)


@inner_njit()
def own_weights(layer, step):
    """Return the rows and panels of a wide layer's weight that this thread updates."""
    if layer.images > 0:
        return partition(layer.inputs, layer.images, step), (0, layer.panels)
    return (0, layer.inputs), own_panels(layer, step)


@inner_njit()
def own_inputs(layer, step):
    """Return the block of a layer's input gradient that this thread computes."""
    if is_narrow(layer):
        return block(partition(step.batch, IMAGES, step), (0, layer.inputs))
    return block((0, step.batch), partition(layer.inputs, DX_COLUMNS, step))


@inner_njit()
def pixel_parts(layer, step):
    """Return the three blocks of the images that this thread sets.

    The first holds the thread's own images. The others hold the columns that its part
    of a narrow layer's update reads of the images before and after them, whose outputs
    other threads compute; they are empty if all threads share one x.
    """
    rows, every = partition(step.batch, IMAGES, step), (0, layer.inputs)
    others = partition(layer.inputs, GRAIN, step) if layer.x_apart != 0 else (0, 0)
    return (
        block(rows, every),
        block((0, rows[0]), others),
        block((rows[1], step.batch), others),
    )
