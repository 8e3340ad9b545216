"""What kernels are given: records of numbers and addresses, and what lies there."""

from typing import Any, NamedTuple

import numpy as np
from numba import carray, njit

from nnx.maths.hyperparameters import Hyperparameters
from nnx_backends.numba_cpu.team import partition
from nnx_backends.numba_cpu.vectors import pointer_at

GRAIN = 16  # units: a cache line of float32
IMAGES = 4  # images: the height of a tile


class Block(NamedTuple):
    """Rows [top, bottom) and columns [left, right) of a matrix, four unsigned numbers.

    An index that could be negative would mean, as in Python, one from the end, and
    checking for that keeps a loop from becoming vector code.
    """

    top: Any
    bottom: Any
    left: Any
    right: Any


@njit(nogil=True)
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
# unit_at: the place of its units in arrays that have a number for each unit
# x, z, y: addresses of its inputs, of what its activation is of, and of its outputs;
#     dx, dz: of the loss's gradients with respect to x and z
# x_z: z of the layer before; normalized: its products, after batch normalization
# x_apart: bytes from one thread's x to the next one's; x_stride, stride: numbers from
#     one row of x, and of the others, to the next
LAYER = _record(
    "number inputs outputs panels rows columns weight_at bias_at gamma_at unit_at "
    "x dx x_z x_apart x_stride z normalized y dz batch stride"
)

# A step, as one of a team of so many threads sees it.
# number: how many the run took before; with the seed, what random draws depend on
# first: of its images in the order; whole: their count
# row, batch: of the block of them that is computed at a time, the first and the count
# clip: what gradients are multiplied by
STEP = _record("rank size number first whole row batch", ("clip", np.float64))

# A step's hyperparameters, those that are numbers, by their own names.
HYPER = np.dtype(
    [(k, np.float64) for k, v in Hyperparameters.__annotations__.items() if v is float],
    align=True,
)


def run_dtype(real: Any) -> np.dtype[Any]:
    """Return the dtype of what all steps and threads have in common.

    Arrays are their addresses. Parameters, and what lies as they do, are flat.

    itemsize: bytes of a number; size: of all parameters
    first, second: the optimizer's state
    units: of all layers, with the padding; means, variances: running ones, like scales
        of batch normalization, and squares of the gradients' norms: a number a unit
    pixels: (n, inputs); order: (images,), those of all steps, in turn; labels, losses,
        correct and logits: theirs
    scratch: numbers for each thread's use, so many apart; masks: bytes
    one: 1, in the type of all numbers
    """
    return _record(
        "first_step steps batch_size itemsize size parameters gradients first second "
        "ema units means variances scales squares pixels labels order images losses "
        "correct logits scratch apart masks masks_apart class_weights",
        ("seed", np.uint64),
        ("one", real),
    )


@njit(nogil=True)
def vector(address, count, example):
    """Return so many numbers of the example's type, as an array."""
    return carray(pointer_at(address, example), (count,))


@njit(nogil=True)
def matrix(address, rows, columns, example):
    """Return a matrix of the example's type."""
    return carray(pointer_at(address, example), (rows, columns))


@njit(nogil=True)
def inputs(run, layer, step):
    """Return a layer's inputs, (batch, x_stride); the first one's are each thread's."""
    address = layer.x + step.rank * layer.x_apart
    return matrix(address, layer.batch, layer.x_stride, run.one)


@njit(nogil=True)
def of_units(run, layer, address):
    """Return one of the matrices that have a column for each unit, (batch, stride)."""
    return matrix(address, layer.batch, layer.stride, run.one)


@njit(nogil=True)
def part(run, address, at, count):
    """Return so many numbers from a place of an array, such as the parameters."""
    return vector(address + at * run.itemsize, count, run.one)


@njit(nogil=True)
def weight(run, address, layer):
    """Return a layer's panels of parameters or gradients, (panels, rows, columns)."""
    pointer = pointer_at(address + layer.weight_at * run.itemsize, run.one)
    return carray(pointer, (layer.panels, layer.rows, layer.columns))


@njit(nogil=True)
def units(run, layer, address):
    """Return an array of a number for each of the layer's units, (outputs,)."""
    return part(run, address, layer.unit_at, layer.outputs)


@njit(nogil=True)
def biases(run, layer):
    """Return a layer's biases, (outputs,)."""
    return part(run, run.parameters, layer.bias_at, layer.outputs)


@njit(nogil=True)
def units_gradient(run, layer, at):
    """Return the gradient of biases or gammas, which are at a place; (outputs,)."""
    return part(run, run.gradients, at, layer.outputs)


@njit(nogil=True)
def scratch(run, step, rows, columns):
    """Return a matrix that is this thread's own."""
    address = run.scratch + step.rank * run.apart * run.itemsize
    return matrix(address, rows, columns, run.one)


@njit(nogil=True)
def of_block(run, step, address, itemsize, example):
    """Return what an array has for the images of the block, (batch,)."""
    first = step.first + step.row
    return vector(address + first * itemsize, step.batch, example)


@njit(nogil=True)
def is_narrow(layer):
    """Return whether a layer is shared out by images, and not by units."""
    return layer.columns == 1


@njit(nogil=True)
def own_panels(layer, step):
    """Return this thread's panels of a layer, first and last + 1."""
    return partition(layer.panels, 1, step)


@njit(nogil=True)
def own_columns(layer, step):
    """Return the units of this thread's panels, first and last + 1."""
    panels = own_panels(layer, step)
    first, last = panels[0] * layer.columns, panels[1] * layer.columns
    return min(first, layer.outputs), min(last, layer.outputs)


@njit(nogil=True)
def own_units(layer, step):
    """Return the units whose biases are this thread's to update, first and last + 1."""
    if is_narrow(layer):
        return 0, layer.outputs if step.rank == 0 else 0
    return own_columns(layer, step)


@njit(nogil=True)
def own_outputs(layer, step):
    """Return the block of a layer's outputs that is this thread's to compute."""
    if is_narrow(layer):
        return block(partition(step.batch, IMAGES, step), (0, layer.outputs))
    return block((0, step.batch), own_columns(layer, step))


@njit(nogil=True)
def own_inputs(layer, step):
    """Return the block of its inputs' gradient that is this thread's to compute."""
    if is_narrow(layer):
        return block(partition(step.batch, IMAGES, step), (0, layer.inputs))
    return block((0, step.batch), partition(layer.inputs, GRAIN, step))


@njit(nogil=True)
def pixel_parts(layer, step):
    """Return three blocks of the images, what this thread reads of the batch.

    Its own images, and what the update needs of those before and after them, whose
    outputs are other threads' to compute.
    """
    rows, every = partition(step.batch, IMAGES, step), (0, layer.inputs)
    others = partition(layer.inputs, GRAIN, step) if is_narrow(layer) else every
    return (
        block(rows, every),
        block((0, rows[0]), others),
        block((rows[1], step.batch), others),
    )
