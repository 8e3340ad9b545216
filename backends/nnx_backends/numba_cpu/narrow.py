"""Products of narrow layers, tiled in registers; BLAS is slow for few columns.

A narrow layer's weight is stored as (out_features, in_features), so that every inner
loop runs along contiguous inputs. Bounds are unsigned; see `records.Block`.
"""

from functools import cache
from typing import Any

import numpy as np

from nnx_backends.numba_cpu import optimizers
from nnx_backends.numba_cpu.cache import inner_njit
from nnx_backends.numba_cpu.elementary import LOOP, like, muladd
from nnx_backends.numba_cpu.kernel import Kernel
from nnx_backends.numba_cpu.records import (
    GRAIN,
    IMAGES,
    inputs,
    matrix,
    of_units,
    scratch,
    units_gradient,
)
from nnx_backends.numba_cpu.team import partition
from nnx_backends.numba_cpu.tiles import LOW, moved, tile_product
from nnx_backends.numba_cpu.vectors import VECTOR, WIDEST, Matrix, pointer

# A layer with at most so many units is narrow. Measured; see docs/performance.md.
UNITS = 32
# Columns at a time in the update: images and sums stay in the L1 cache. A row has 25
# lines, an odd number, so that rows do not map to the same sets of the cache.
STRIP = 400


@inner_njit(fastmath=LOOP, error_model="numpy")
def _tile(x, w, y, i, u):
    """Set y[i:i+4, u:u+5] to products of four images and five units.

    The twenty sums stay in registers; nine loads feed twenty multiplications.
    """
    zero = like(0.0, x[0, 0])
    a0 = a1 = a2 = a3 = a4 = zero
    b0 = b1 = b2 = b3 = b4 = zero
    c0 = c1 = c2 = c3 = c4 = zero
    d0 = d1 = d2 = d3 = d4 = zero
    for k in range(np.uint64(w.shape[1])):
        a, b, c, d = x[i, k], x[i + 1, k], x[i + 2, k], x[i + 3, k]
        v = w[u, k]
        a0 += a * v
        b0 += b * v
        c0 += c * v
        d0 += d * v
        v = w[u + 1, k]
        a1 += a * v
        b1 += b * v
        c1 += c * v
        d1 += d * v
        v = w[u + 2, k]
        a2 += a * v
        b2 += b * v
        c2 += c * v
        d2 += d * v
        v = w[u + 3, k]
        a3 += a * v
        b3 += b * v
        c3 += c * v
        d3 += d * v
        v = w[u + 4, k]
        a4 += a * v
        b4 += b * v
        c4 += c * v
        d4 += d * v
    y[i, u], y[i, u + 1], y[i, u + 2], y[i, u + 3], y[i, u + 4] = a0, a1, a2, a3, a4
    i += 1
    y[i, u], y[i, u + 1], y[i, u + 2], y[i, u + 3], y[i, u + 4] = b0, b1, b2, b3, b4
    i += 1
    y[i, u], y[i, u + 1], y[i, u + 2], y[i, u + 3], y[i, u + 4] = c0, c1, c2, c3, c4
    i += 1
    y[i, u], y[i, u + 1], y[i, u + 2], y[i, u + 3], y[i, u + 4] = d0, d1, d2, d3, d4


@inner_njit(fastmath=LOOP, error_model="numpy")
def _one(x, w, i, u):
    """Return the product of one image and one unit."""
    total = like(0.0, x[0, 0])
    for k in range(np.uint64(w.shape[1])):
        total += x[i, k] * w[u, k]
    return total


@inner_njit()
def rows_product(x, w, y, rows):
    """Set rows of y to x @ weight.

    w: (out_features, in_features); x, y: with at least the rows and columns needed
    rows: first and last + 1
    """
    top, bottom = rows
    m = w.shape[0]
    whole, units = bottom - (bottom - top) % 4, m - m % 5
    for u in range(0, units, 5):
        for i in range(top, whole, 4):
            _tile(x, w, y, i, u)
    for i in range(top, bottom):
        for u in range(units if i < whole else 0, m):
            y[i, u] = _one(x, w, i, u)


@inner_njit(fastmath=LOOP, error_model="numpy")
def _input_gradient_rows(dz, w, dx, rows, first):
    """Set rows of dx, from column `first` on, to dz @ weight.T; shapes as above."""
    m, n = w.shape[0], np.uint64(w.shape[1])
    units, first = m - m % 5, np.uint64(first)
    for i in range(rows[0], rows[1]):
        for k in range(first, n):
            dx[i, k] = like(0.0, dx[0, 0])
        for u in range(0, units, 5):
            a, b, c = dz[i, u], dz[i, u + 1], dz[i, u + 2]
            d, e = dz[i, u + 3], dz[i, u + 4]
            for k in range(first, n):
                left = a * w[u, k] + b * w[u + 1, k] + c * w[u + 2, k]
                dx[i, k] += left + d * w[u + 3, k] + e * w[u + 4, k]
        for u in range(units, m):
            a = dz[i, u]
            for k in range(first, n):
                dx[i, k] += a * w[u, k]


@inner_njit(fastmath=LOOP, error_model="numpy")
def _add_eight(x, dz, sums, i, m, first, width):
    """Add dz.T @ x of eight images to sums, (out_features, width).

    One unit at a time: LLVM does not vectorize a loop that needs more than eight checks
    for overlapping arrays.
    """
    for u in range(m):
        a, b, c, d = dz[i, u], dz[i + 1, u], dz[i + 2, u], dz[i + 3, u]
        e, f, g, h = dz[i + 4, u], dz[i + 5, u], dz[i + 6, u], dz[i + 7, u]
        for k in range(width):
            j = first + k
            sums[u, k] += (
                a * x[i, j] + b * x[i + 1, j] + c * x[i + 2, j] + d * x[i + 3, j]
            ) + (e * x[i + 4, j] + f * x[i + 5, j] + g * x[i + 6, j] + h * x[i + 7, j])


@inner_njit(fastmath=LOOP, error_model="numpy")
def _sum_up(x, dz, sums, m, batch, first, width):
    """Set sums, (out_features, width), to columns of (x.T @ dz).T."""
    whole = batch - batch % 8
    for u in range(m):
        for k in range(width):
            sums[u, k] = like(0.0, x[0, 0])
    for i in range(0, whole, 8):
        _add_eight(x, dz, sums, i, m, first, width)
    for i in range(whole, batch):
        for u in range(m):
            a = dz[i, u]
            for k in range(width):
                sums[u, k] += a * x[i, first + k]


@inner_njit()
def _weight(run, address, layer):
    """Return a narrow layer's weight, or its gradient; (out_features, in_features)."""
    at = address + layer.weight_at * run.itemsize
    return matrix(at, layer.outputs, layer.inputs, run.one)


@inner_njit(fastmath=LOOP, error_model="numpy")
def _add_gradient(run, layer, step, address, factor, keep):
    """Set this thread's columns of a weight to keep · weight + factor · (x.T @ dz).T.

    The gradient of a strip is summed first: added to the weight a few images at a time,
    it would be rounded to the weight's precision each time.

    address: of the weights, or of their gradients
    """
    x, dz = inputs(run, layer, step), of_units(run, layer, layer.dz)
    w, sums = _weight(run, address, layer), scratch(run, step, UNITS, STRIP)
    (left, right), m = partition(layer.inputs, GRAIN, step), layer.outputs
    for begin in range(left, right, STRIP):
        first, width = np.uint64(begin), np.uint64(min(STRIP, right - begin))
        _sum_up(x, dz, sums, m, step.batch, first, width)
        for u in range(m):
            for k in range(width):
                j = first + k
                w[u, j] = muladd(factor, sums[u, k], keep * w[u, j])


def _product(run, layer, step, hyper):
    """Set this thread's rows of y to x @ weight."""
    w, y = _weight(run, run.parameters, layer), of_units(run, layer, layer.y)
    rows_product(inputs(run, layer, step), w, y, partition(step.batch, IMAGES, step))


def _input_gradient(run, layer, step, hyper):
    """Set this thread's rows of dx to dz @ weight.T."""
    dz, w = of_units(run, layer, layer.dz), _weight(run, run.parameters, layer)
    dx = matrix(layer.dx, layer.batch, layer.x_stride, run.one)
    rows, columns = partition(step.batch, IMAGES, step), WIDEST * VECTOR // run.itemsize
    tiled, one = layer.inputs - layer.inputs % columns, run.one
    b = Matrix(pointer(w), 0, layer.inputs, 1)
    for k in range(0, tiled, columns):
        for i in range(rows[0], rows[1], LOW):
            a = Matrix(pointer(dz), i * layer.stride, layer.stride, 1)
            c = Matrix(pointer(dx), i * layer.x_stride + k, layer.x_stride, 1)
            tile(a, moved(b, k), c, layer.outputs, one, like(0.0, one))
    if tiled < layer.inputs:
        _input_gradient_rows(dz, w, dx, rows, tiled)


def _descend(run, layer, step, hyper):
    """Take a step of SGD on this thread's columns of the weight."""
    rate, keep = optimizers.rate_and_keep(hyper, run.one)
    _add_gradient(run, layer, step, run.parameters, -rate, keep)


def _optimize(run, layer, step, hyper):
    """Take another optimizer's step on this thread's columns of the weight."""
    x, dz = inputs(run, layer, step), of_units(run, layer, layer.dz)
    optimizer = optimizers.of_step(run, step, hyper)
    sums = scratch(run, step, UNITS, STRIP)
    left, right = partition(layer.inputs, GRAIN, step)
    for begin in range(left, right, STRIP):
        first, width = np.uint64(begin), np.uint64(min(STRIP, right - begin))
        _sum_up(x, dz, sums, layer.outputs, step.batch, first, width)
        for u in range(layer.outputs):
            at = np.uint64(layer.weight_at + u * layer.inputs) + first
            take_step(optimizer, pointer(sums[u]), at, width, optimizer.penalty)


def _store(run, layer, step, hyper):
    """Set this thread's columns of the weight's gradient, or add to them."""
    keep = like(step.row > step.top, run.one)
    _add_gradient(run, layer, step, run.gradients, run.one, keep)


def _sum_biases(run, layer, step, hyper):
    """Set the gradient of the biases to sums over the batch, or add them to it."""
    if step.rank == 0:
        dz = of_units(run, layer, layer.dz)
        sums = units_gradient(run, layer, layer.bias_at)
        _sum_columns(dz, step.batch, layer.outputs, sums, step.row > step.top)


PRODUCT = Kernel(_product, "narrow")
INPUT_GRADIENT = Kernel(_input_gradient, "narrow", tile=tile_product(WIDEST, rows=LOW))
DESCEND, STORE = Kernel(_descend, "narrow"), Kernel(_store, "narrow")
SUM_BIASES = Kernel(_sum_biases, "narrow")

# Set for each kernel.
take_step: Any = None
tile: Any = None


@cache
def optimize(name: str) -> Kernel:
    """Return the kernel of an optimizer's step."""
    return Kernel(_optimize, f"narrow_{name}", take_step=optimizers.LOOPS[name])


@inner_njit(fastmath=LOOP, error_model="numpy")
def _sum_columns(dz, batch, m, sums, add):
    """Set sums to the sums of dz, (batch, m), over the batch, or add them.

    Subtracted from the bias image by image, dz would be rounded to its precision.
    """
    for j in range(np.uint64(m)):
        total = like(0.0, dz[0, 0])
        for i in range(np.uint64(batch)):
            total += dz[i, j]
        sums[j] = total + sums[j] if add else total
