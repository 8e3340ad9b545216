"""A bound on the norm of each unit's weights; see `nnx.maths.regularization`."""

import numpy as np

from nnx_backends.numba_cpu.cache import inner_njit
from nnx_backends.numba_cpu.elementary import LOOP, like
from nnx_backends.numba_cpu.kernel import Kernel
from nnx_backends.numba_cpu.records import matrix, own_panels, scratch, weight


def _bound_wide(run, layer, step, hyper):
    """Scale down this thread's units whose norm is above the largest allowed."""
    w = weight(run, run.parameters, layer)
    norms = scratch(run, step, 1, layer.columns)[0]
    _bound_panels(w, own_panels(layer, step), like(hyper.max_norm, run.one), norms)


def _bound_narrow(run, layer, step, hyper):
    """Do the same with a narrow layer."""
    at = run.parameters + layer.weight_at * run.itemsize
    w = matrix(at, layer.outputs, layer.inputs, run.one)
    _bound_units(w, own_panels(layer, step), like(hyper.max_norm, run.one))


WIDE, NARROW = Kernel(_bound_wide), Kernel(_bound_narrow)


@inner_njit(fastmath=LOOP, error_model="numpy")
def _bound_panels(w, panels, max_norm, norms):
    """Scale down the columns of panels whose norm is above the largest allowed.

    norms: (at least a panel's columns,), scratch
    """
    rows, columns = np.uint64(w.shape[1]), np.uint64(w.shape[2])
    one = like(1.0, max_norm)
    for p in range(panels[0], panels[1]):
        panel, above = w[p], False
        for j in range(columns):
            norms[j] = like(0.0, max_norm)
        for k in range(rows):
            for j in range(columns):
                norms[j] += panel[k, j] * panel[k, j]
        for j in range(columns):
            norm = np.sqrt(norms[j])
            above |= norm > max_norm
            norms[j] = max_norm / norm if norm > max_norm else one
        if above:
            for k in range(rows):
                for j in range(columns):
                    panel[k, j] *= norms[j]


@inner_njit(fastmath=LOOP, error_model="numpy")
def _bound_units(w, units, max_norm):
    """Scale down the weights of units whose norm is above the largest allowed."""
    for u in range(units[0], units[1]):
        total = like(0.0, max_norm)
        for k in range(np.uint64(w.shape[1])):
            total += w[u, k] * w[u, k]
        norm = np.sqrt(total)
        if norm > max_norm:
            scale = max_norm / norm
            for k in range(np.uint64(w.shape[1])):
                w[u, k] *= scale
