"""What kernels are given: records of numbers and addresses, and what lies there."""

from typing import Any, NamedTuple

import numpy as np
from numba import carray

from nnx.maths.hyperparameters import Distortion, Hyperparameters
from nnx_backends.numba_cpu.cache import inner_njit
from nnx_backends.numba_cpu.team import partition
from nnx_backends.numba_cpu.tiles import DX_COLUMNS, LOW
from nnx_backends.numba_cpu.vectors import pointer_at

GRAIN = 16  # units: a cache line of float32
IMAGES = LOW  # images: the height of a narrow layer's tiles


class Block(NamedTuple):
    """Rows [top, bottom) and columns [left, right) of a matrix, four unsigned numbers.

    An index that could be negative would mean, as in Python, one from the end, and
    checking for that keeps a loop from becoming vector code.
    """

    top: Any
    bottom: Any
    left: Any
    right: Any


@inner_njit()
def block(rows, columns):
    """Return the block of these rows and columns, each first and last + 1."""
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


# Where a layer is, and its shape. Its weight lies in panels, (panels, rows, columns),
# with the padding; a panel of a narrow layer has one column, and no padding.
# weight_at, bias_at, gamma_at: its parameters' places in flat arrays; no gamma: -1
# images: how many are taken together where threads share out images, and inputs in
#     the update; 0 where they share out units
# unit_at: the place of its units in arrays that have a number for each unit
# x, z, y: addresses of its inputs, of what its activation is of, and of its outputs;
#     dx, dz: of the loss's gradients with respect to x and z
# x_rounded, y_rounded, dx_rounded, dz_rounded: the same in words of two bfloat16
#     numbers; dx_twice, dz_twice: in words of one number twice; see `rounded`
# x_z: z of the layer before; normalized: its products, after batch normalization
# x_apart: bytes from one thread's x to the next one's; x_turn: from one block's to the
#     next one's, which lies there in turn with it; x_stride, stride: numbers from one
#     row of x, and of the others, to the next
LAYER = _record(
    "number inputs outputs panels rows columns images weight_at bias_at gamma_at "
    "unit_at x dx x_z x_apart x_turn x_stride z normalized y dz batch stride "
    "x_rounded y_rounded dx_rounded dz_rounded dx_twice dz_twice"
)

# A step, as one of a team of so many threads sees it.
# number: how many the run took before; with the seed, what random draws depend on
# first: of its images in the order; whole: their count
# top: the first of them that the gradients are of, which are all but in shards
# row, batch: of the block of them that is computed at a time, the first and the count
# turn: 0 and 1, one block after another
# clip: what gradients are multiplied by
STEP = _record("rank size number first whole top row batch turn", ("clip", np.float64))

# A step's hyperparameters, those that are numbers, by their own names.
HYPER = np.dtype(
    [(k, np.float64) for k, v in Hyperparameters.__annotations__.items() if v is float],
    align=True,
)


def run_dtype(real: Any) -> np.dtype[Any]:
    """Return the dtype of what all steps and threads have in common.

    Arrays are their addresses. Parameters, and what lies as they do, are flat.

    begin: the step of the order that is the first; top, bottom: of a batch's images,
        those that gradients are of
    itemsize: bytes of a number; size: of all parameters
    rounded: weights in words of two rows' bfloat16 numbers, each at its place
    first, second: the optimizer's state
    units: of all layers, with the padding; means, variances: running ones, like scales
        of batch normalization, and squares of the gradients' norms: a number a unit
    pixels: (n, inputs); order: (images,), those of all steps, in turn; labels, weights,
        losses, scores and logits: theirs; labels and scores are integers where classes
        are told apart, and numbers for each output, (images, outputs), elsewhere
    scratch: numbers for each thread's use, so many apart; masks: bytes
    epoch, height, width: of what is distorted; tall: (height, height), padded to whole
        tiles, and broad: (width, columns), a Gaussian's weights; the rest: the amounts
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
    """Return so many numbers of the example's type, as an array."""
    return carray(pointer_at(address, example), (count,))


@inner_njit()
def matrix(address, rows, columns, example):
    """Return a matrix of the example's type."""
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
    """Return one of the matrices that have a column for each unit, (batch, stride)."""
    return matrix(address, layer.batch, layer.stride, run.one)


@inner_njit()
def part(run, address, at, count):
    """Return so many numbers from a place of an array, such as the parameters."""
    return vector(address + at * run.itemsize, count, run.one)


@inner_njit()
def weight(run, address, layer):
    """Return a layer's panels of parameters or gradients, (panels, rows, columns)."""
    pointer = pointer_at(address + layer.weight_at * run.itemsize, run.one)
    return carray(pointer, (layer.panels, layer.rows, layer.columns))


@inner_njit()
def units(run, layer, address):
    """Return an array of a number for each of the layer's units, (outputs,)."""
    return part(run, address, layer.unit_at, layer.outputs)


@inner_njit()
def biases(run, layer):
    """Return a layer's biases, (outputs,)."""
    return part(run, run.parameters, layer.bias_at, layer.outputs)


@inner_njit()
def units_gradient(run, layer, at):
    """Return the gradient of biases or gammas, which are at a place; (outputs,)."""
    return part(run, run.gradients, at, layer.outputs)


@inner_njit()
def scratch(run, step, rows, columns):
    """Return a matrix that is this thread's own."""
    address = run.scratch + step.rank * run.apart * run.itemsize
    return matrix(address, rows, columns, run.one)


@inner_njit()
def of_block(run, step, address, itemsize, example):
    """Return what an array has for the images of the block, (batch,)."""
    first = step.first + step.row
    return vector(address + first * itemsize, step.batch, example)


@inner_njit()
def is_narrow(layer):
    """Return whether a layer is shared out by images, and not by units."""
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
    """Return the units whose biases are this thread's to update, first and last + 1."""
    if is_narrow(layer):
        return 0, layer.outputs if step.rank == 0 else 0
    return own_columns(layer, step)


@inner_njit()
def own_outputs(layer, step):
    """Return the block of a layer's outputs that is this thread's to compute."""
    if layer.images > 0:
        return block(partition(step.batch, layer.images, step), (0, layer.outputs))
    return block((0, step.batch), own_columns(layer, step))


@inner_njit()
def own_products(layer, step):
    """Return this thread's images and panels of a wide layer's products."""
    if layer.images > 0:
        return partition(step.batch, layer.images, step), (0, layer.panels)
    return (0, step.batch), own_panels(layer, step)


@inner_njit()
def own_weights(layer, step):
    """Return this thread's rows and panels of a wide layer's weight, to be updated."""
    if layer.images > 0:
        return partition(layer.inputs, layer.images, step), (0, layer.panels)
    return (0, layer.inputs), own_panels(layer, step)


@inner_njit()
def own_inputs(layer, step):
    """Return the block of its inputs' gradient that is this thread's to compute."""
    if is_narrow(layer):
        return block(partition(step.batch, IMAGES, step), (0, layer.inputs))
    return block((0, step.batch), partition(layer.inputs, DX_COLUMNS, step))


@inner_njit()
def pixel_parts(layer, step):
    """Return three blocks of the images, those that this thread is to set.

    Its own images, and what a narrow layer's update reads of those before and after
    them, whose outputs are other threads' to compute; nothing where all have one x.
    """
    rows, every = partition(step.batch, IMAGES, step), (0, layer.inputs)
    others = partition(layer.inputs, GRAIN, step) if layer.x_apart != 0 else (0, 0)
    return (
        block(rows, every),
        block((0, rows[0]), others),
        block((rows[1], step.batch), others),
    )
