"""Training on all samples at once, by SciPy's L-BFGS with the gradient of the maths."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import OptimizeResult, minimize

from nnx.backend import Backend
from nnx.maths.arrays import Array
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.state import Layer, Layers, Parameters, initial_state
from nnx.maths.steps import batch_gradients
from nnx.sklearn.stochastic import Samples, squares


class Packing(NamedTuple):
    """Packs layers into one vector on the host, each layer's weight before its bias.

    shapes: of the weights
    dtype: of the layers; the vector is float64, as SciPy requires
    """

    shapes: list[tuple[int, int]]
    dtype: Any
    backend: Backend

    def packed(self, layers: Parameters) -> Array:
        """Return the vector of layers, or of their gradients."""
        arrays = [self.backend.to_numpy(array) for layer in layers for array in layer]
        flat = [np.reshape(array, -1) for array in arrays]
        return np.concatenate(flat).astype(np.float64)

    def unpacked(self, vector: Array) -> Layers:
        """Return the layers of a vector, on the device."""
        sizes = [size for inputs, outputs in self.shapes for size in
                 (inputs * outputs, outputs)]  # fmt: skip
        parts = np.split(vector.astype(self.dtype), np.cumsum(sizes)[:-1])
        move = self.backend.from_numpy
        return [
            Layer(move(np.reshape(weight, shape)), move(bias))
            for weight, bias, shape in zip(
                parts[::2], parts[1::2], self.shapes, strict=True
            )
        ]


def minimized(
    layers: Layers,
    samples: Samples,
    hyper: Hyperparameters,
    alpha: float,
    backend: Backend,
    **options: Any,
) -> tuple[Layers, OptimizeResult, float]:
    """Return the layers that minimize the penalized loss, SciPy's result, the penalty.

    layers: on the device, like those of the result
    options: of SciPy's method: maxiter, maxfun, gtol
    """
    n, weights = samples.size, samples.weights
    whole = float(n) if weights is None else float(np.sum(weights))
    hyper = hyper._replace(batch_size=n, l2=alpha / whole if whole > 0.0 else 0.0)
    shapes = [layer.weight.shape for layer in layers]
    packing = Packing(shapes, backend.to_numpy(layers[0].bias).dtype, backend)
    found = minimize(
        _objective(layers, samples, hyper, packing),
        packing.packed(layers),
        method="L-BFGS-B",
        jac=True,
        options=options,
    )
    layers = packing.unpacked(found.x)
    return layers, found, _penalty(layers, hyper, backend)


def _objective(
    layers: Layers,
    samples: Samples,
    hyper: Hyperparameters,
    packing: Packing,
) -> Callable[[Array], tuple[float, Array]]:
    """Return a function from a vector to the penalized mean loss and its gradient."""
    backend, n = packing.backend, samples.size
    state = initial_state(layers, hyper, backend.ops)
    index = backend.from_numpy(np.arange(n))

    def objective(vector: Array) -> tuple[float, Array]:
        now = state._replace(layers=packing.unpacked(vector))
        result = batch_gradients(now, samples.images, index, hyper, backend.ops)
        loss = float(backend.to_numpy(result.loss_sum)) / n
        penalty = _penalty(now.layers, hyper, backend)
        return loss + penalty, packing.packed(result.gradients)

    return objective


def _penalty(layers: Parameters, hyper: Hyperparameters, backend: Backend) -> float:
    return 0.5 * hyper.l2 * squares(layers, backend) if hyper.l2 else 0.0
