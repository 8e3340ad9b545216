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
) -> tuple[Layers, OptimizeResult]:
    """Return the layers that minimize the penalized loss, and SciPy's result.

    layers: on the device, like those of the result
    options: of SciPy's method: maxiter, maxfun, gtol
    """
    shapes = [layer.weight.shape for layer in layers]
    packing = Packing(shapes, backend.to_numpy(layers[0].bias).dtype, backend)
    found = minimize(
        _objective(layers, samples, hyper, alpha, packing),
        packing.packed(layers),
        method="L-BFGS-B",
        jac=True,
        options=options,
    )
    return packing.unpacked(found.x), found


def _objective(
    layers: Layers,
    samples: Samples,
    hyper: Hyperparameters,
    alpha: float,
    packing: Packing,
) -> Callable[[Array], tuple[float, Array]]:
    """Return a function from a vector to the penalized mean loss and its gradient."""
    backend, n = packing.backend, samples.size
    whole = float(n) if samples.weights is None else float(np.sum(samples.weights))
    hyper = hyper._replace(batch_size=n, l2=alpha / whole if whole > 0.0 else 0.0)
    state = initial_state(layers, hyper, backend.ops)
    index = backend.from_numpy(np.arange(n))

    def objective(vector: Array) -> tuple[float, Array]:
        now = state._replace(layers=packing.unpacked(vector))
        result = batch_gradients(now, samples.images, index, hyper, backend.ops)
        penalty = 0.5 * hyper.l2 * squares(now.layers, backend) if alpha else 0.0
        loss = float(backend.to_numpy(result.loss_sum)) / n
        return loss + penalty, packing.packed(result.gradients)

    return objective
