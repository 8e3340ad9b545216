"""From the maths' arrays to the flat ones of the compiled steps, and back."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import c_char_p, c_void_p, py_object, pythonapi
from itertools import pairwise
from pathlib import Path
from threading import Barrier, Thread
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import cython_blas
from threadpoolctl import ThreadpoolController

from nnx.maths.kernels import Array, Namespace
from nnx.maths.network import Layer, Layers
from nnx.maths.steps import Images, Recipe, State
from nnx_backends.numba_kernels import activations
from nnx_backends.numba_kernels import steps as compiled

# Each thread calls BLAS for its own share, so BLAS itself may not start threads.
_BLAS_THREADS = ThreadpoolController()
LINE = 16  # numbers of 4 bytes in a cache line


def _address(name: str) -> int:
    """Return where a BLAS function of SciPy's is, by its Cython export."""
    capsule = cython_blas.__pyx_capi__[name]
    pythonapi.PyCapsule_GetName.restype = c_char_p
    pythonapi.PyCapsule_GetName.argtypes = [py_object]
    pythonapi.PyCapsule_GetPointer.restype = c_void_p
    pythonapi.PyCapsule_GetPointer.argtypes = [py_object, c_char_p]
    signature = pythonapi.PyCapsule_GetName(capsule)
    return int(pythonapi.PyCapsule_GetPointer(capsule, signature))


_GEMM = {"float32": _address("sgemm"), "float64": _address("dgemm")}


def is_compiled() -> bool:
    """Return whether an earlier run left the compiled steps in Numba's cache."""
    folder = Path(compiled.train.stats.cache_path)
    return any(folder.glob("steps.train-*.nbc"))


class Plan(NamedTuple):
    """Where everything is in the flat arrays; one entry a layer."""

    sizes: Array
    codes: Array
    param_at: Array
    y_at: Array


def run_steps(
    state: State,
    images: Images,
    order: Array,
    first: int,
    last: int,
    recipe: Recipe,
    threads: int,
) -> State:
    """Return the state after the steps; like `nnx.maths.steps.run_steps`."""
    real = state.layers[0].weight.dtype.type
    plan = _plan(state.layers, recipe)
    params = _packed(state.layers, plan)
    outputs = int(plan.y_at[-1] + recipe.batch_size * plan.sizes[-1])
    team = max(1, min(threads, recipe.batch_size // 4))
    losses = np.zeros((team, last - first), real)
    hits = np.zeros((team, LINE), np.int64)
    shared = (
        np.zeros(1, np.int64),
        _GEMM[np.dtype(real).name],
        _compilable(images.pixels),
        np.ascontiguousarray(images.labels, np.int64),
        np.ascontiguousarray(order, np.int64),
        first,
        last,
        recipe.batch_size,
        real(recipe.scale),
        real(recipe.learning_rate),
        real(1 - recipe.learning_rate * recipe.l2),
        plan.sizes,
        plan.codes,
        params,
        plan.param_at,
        _aligned(2 * _whole_lines(recipe.batch_size * plan.sizes[0]), real),
        _aligned(outputs, real),
        _aligned(outputs, real),
        plan.y_at,
        losses,
        hits,
    )
    _together(team, shared)
    # One after another, so that the sum does not depend on how a run is cut.
    summed = np.concatenate([np.reshape(state.loss_sum, 1), losses.sum(axis=0)])
    return State(
        _unpacked(params, plan), np.cumsum(summed)[-1], state.hits + hits[:, 0].sum()
    )


def _together(team: int, shared: tuple[Any, ...]) -> None:
    """Run a team, this thread among it.

    Its other threads are its own, so that two teams never wait for each other.
    """
    ready = Barrier(team)

    def run(rank: int, core: int | None) -> None:
        with _on_core(core):
            # Asleep until all are there: one that spins would keep the processor from
            # one that has not begun.
            ready.wait()
            compiled.train(rank, team, *shared)

    cores = _cores(team)
    others = [
        Thread(target=run, args=(rank, cores[rank]), daemon=True)
        for rank in range(1, team)
    ]
    with _BLAS_THREADS.limit(limits=1, user_api="blas"):
        for thread in others:
            thread.start()
        run(0, cores[0])
        for thread in others:
            thread.join()


def _cores(team: int) -> list[int | None]:
    """Return a core for each thread, this one's first; None where that is not known.

    Two that share a core take turns at every barrier, which looks like work to the
    scheduler: it leaves them there for as long as they run.
    """
    if not hasattr(os, "sched_setaffinity") or team == 1:
        return [None] * team
    here, usable = ctypes.CDLL(None).sched_getcpu(), os.sched_getaffinity(0)
    nearest = sorted(usable, key=lambda core: (core - here) % (max(usable) + 1))
    return list(nearest[:team]) if len(nearest) >= team else [None] * team


@contextmanager
def _on_core(core: int | None) -> Iterator[None]:
    """Keep this thread, and no other, on a core; where it may run is put back."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _plan(layers: Layers, recipe: Recipe) -> Plan:
    sizes = [layers[0].weight.shape[0], *(len(layer.bias) for layer in layers)]
    param_sizes = [_whole_lines((n + 1) * m) for n, m in pairwise(sizes)]
    y_sizes = [_whole_lines(recipe.batch_size * m) for m in sizes[1:]]
    return Plan(
        np.array(sizes),
        np.array([activations.NAMES.index(name) for name in recipe.activations]),
        np.cumsum([0, *param_sizes[:-1]]),
        np.cumsum([0, *y_sizes[:-1]]),
    )


def _compilable(pixels: Array) -> Array:
    """Return the pixels, contiguous and of a type that the kernels take."""
    known = pixels.dtype in (np.uint8, np.float32, np.float64)
    return np.ascontiguousarray(pixels, pixels.dtype if known else np.float32)


def _whole_lines(count: int) -> int:
    """Return so many numbers, or a few more that fill a last cache line."""
    return -(-count // LINE) * LINE


def _aligned(count: int, real: type) -> Array:
    """Return an array that begins with a cache line, its values not set.

    A vector that lies across two lines costs two loads: the narrow kernels take twice
    the time where all of them do.
    """
    size = count * np.dtype(real).itemsize
    raw = np.empty(size + 64, np.uint8)
    first = -raw.ctypes.data % 64
    return raw[first : first + size].view(real)


def _packed(layers: Layers, plan: Plan) -> Array:
    """Return all parameters in one array; narrow layers (out, in), wide (in, out)."""
    weight, bias = layers[-1]
    real = weight.dtype.type
    params = _aligned(int(plan.param_at[-1]) + weight.size + bias.size, real)
    for (weight, bias), at in zip(layers, plan.param_at, strict=True):
        stored = weight.T if len(bias) <= compiled.NARROW else weight
        end = at + weight.size
        params[at:end].reshape(stored.shape)[:] = stored
        params[end : end + bias.size] = bias
    return params


def _unpacked(params: Array, plan: Plan) -> Layers:
    layers = []
    for at, (n, m) in zip(plan.param_at, pairwise(plan.sizes), strict=True):
        weight, bias = params[at : at + n * m], params[at + n * m : at + n * m + m]
        if m <= compiled.NARROW:
            weight = np.ascontiguousarray(weight.reshape(m, n).T)
        layers.append(Layer(weight.reshape(n, m), bias))
    return layers


def dense_forward(
    x: Array, weight: Array, bias: Array, *, activation: str, xp: Namespace
) -> Array:
    """Return the layer's output: bias and activation in one pass over the product."""
    y = np.ascontiguousarray(x @ weight)
    code = activations.NAMES.index(activation)
    activations.whole_forward(code, y, np.ascontiguousarray(bias))
    return y


def dense_backward(
    dy: Array,
    x: Array,
    y: Array,
    weight: Array,
    *,
    activation: str,
    input_gradient: bool,
    xp: Namespace,
) -> tuple[Array | None, Array, Array]:
    """Return the gradients; like `nnx.maths.dense.backward`."""
    dz = np.array(dy, order="C")
    code = activations.NAMES.index(activation)
    activations.whole_backward(code, dz, np.ascontiguousarray(y))
    return dz @ weight.T if input_gradient else None, x.T @ dz, dz.sum(axis=0)
