"""scikit-learn's MLPClassifier, by `partial_fit`, which loops over the batches.

It takes images in the order in which they are in memory, and so they are first copied
into the epoch's order. Its time includes this copy, and its checks of its input. It
sums the loss along with the gradients, and does not count correct predictions.
"""

import numpy as np
from sklearn.neural_network import MLPClassifier

from nnx.data.dataset import Array
from nnx.maths.state import Layer, Layers
from nnx_benchmarks.trainer import Implementation
from nnx_benchmarks.workloads import Problem


class SklearnTrainer:
    """A classifier whose weights are set and read through its public attributes."""

    def __init__(self, problem: Problem) -> None:
        workload = problem.workload
        self.problem, self.batch_size = problem, workload.batch_size
        self.shuffled = np.empty_like(problem.floats)
        self.classifier = MLPClassifier(
            hidden_layer_sizes=workload.sizes[1:-1],
            activation=workload.activation,
            solver="sgd",
            alpha=0,
            momentum=0,
            nesterovs_momentum=False,
            shuffle=False,
            batch_size=1,
        )
        # This makes the arrays that `load` fills.
        classes = np.arange(workload.sizes[-1])
        self.classifier.partial_fit(
            problem.floats[:1], problem.labels[:1], classes=classes
        )

    def load(self, layers: Layers) -> None:
        """Copy these weights in place, as the optimizer holds the same arrays."""
        own = zip(self.classifier.coefs_, self.classifier.intercepts_, strict=True)
        for (weight, bias), layer in zip(own, layers, strict=True):
            weight[...], bias[...] = layer

    def epoch(self, order: Array, learning_rate: float) -> float:
        """Train on these images; return their mean loss."""
        x = self.shuffled[: len(order)]
        np.take(self.problem.floats, order, axis=0, out=x, mode="clip")
        self.classifier.batch_size = min(self.batch_size, len(order))
        self.classifier._optimizer.learning_rate = learning_rate
        self.classifier.partial_fit(x, self.problem.labels[order])
        return float(self.classifier.loss_)

    def layers(self) -> Layers:
        """Return the weights as they are now."""
        own = zip(self.classifier.coefs_, self.classifier.intercepts_, strict=True)
        return [Layer(weight.copy(), bias.copy()) for weight, bias in own]


IMPLEMENTATIONS = [Implementation("scikit-learn", SklearnTrainer, plain=True)]
