"""A page of plain NumPy, as one would write it with that library alone.

Images are already floats in memory; weights are updated in place.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from nnx.data.dataset import Array
from nnx.maths.state import Layer, Layers
from nnx_benchmarks.trainer import Implementation
from nnx_benchmarks.workloads import Problem

Function: TypeAlias = Callable[[Array], Array]
# Each with its derivative, from what it returned.
ACTIVATIONS: dict[str, tuple[Function, Function]] = {
    "relu": (lambda z: np.maximum(z, 0), lambda y: y > 0),
    "tanh": (np.tanh, lambda y: 1 - y * y),
}


class PlainTrainer:
    """The page, as a trainer.

    accuracy: on the last epoch's images, each before the step with its batch
    """

    accuracy = 0.0

    def __init__(self, problem: Problem) -> None:
        self.problem = problem

    def load(self, layers: Layers) -> None:
        """Take a copy of these weights."""
        self.trained = [Layer(w.copy(), b.copy()) for w, b in layers]

    def epoch(self, order: Array, learning_rate: float) -> float:
        """Train on these images; return their mean loss."""
        (_, activation, batch_size, *_), _, images, labels = self.problem
        function, derivative = ACTIVATIONS[activation]
        layers = self.trained
        loss = correct = 0.0
        for start in range(0, len(order), batch_size):
            index = order[start : start + batch_size]
            x, y = images[index], labels[index]
            rows = np.arange(len(y))

            outputs = [x]
            for weight, bias in layers[:-1]:
                outputs.append(function(outputs[-1] @ weight + bias))
            weight, bias = layers[-1]
            logits = outputs[-1] @ weight + bias

            exps = np.exp(logits - logits.max(axis=1, keepdims=True))
            probabilities = exps / exps.sum(axis=1, keepdims=True)
            loss -= np.log(probabilities[rows, y]).sum()
            correct += (logits.argmax(axis=1) == y).sum()

            dz = probabilities
            dz[rows, y] -= 1
            dz /= len(y)
            for i in reversed(range(len(layers))):
                weight, bias = layers[i]
                dweight, dbias = outputs[i].T @ dz, dz.sum(axis=0)
                if i > 0:
                    dz = (dz @ weight.T) * derivative(outputs[i])
                weight -= learning_rate * dweight
                bias -= learning_rate * dbias
        self.accuracy = correct / len(order)
        return float(loss / len(order))

    def layers(self) -> Layers:
        """Return the weights as they are now."""
        return self.trained


IMPLEMENTATIONS = [
    Implementation("plain NumPy", PlainTrainer, ("float32", "float64"), plain=True)
]
