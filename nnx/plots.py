"""Pictures of networks and of their training, as functions that return a figure.

A notebook shows the figure; `figure.savefig("file.png")` saves it.
"""

from nnx.report.curves import compared, curves
from nnx.report.layers import activations, weights
from nnx.report.predictions import confusion, labels, mistakes, samples
from nnx.report.values import predictions, residuals

__all__ = [
    "activations",
    "compared",
    "confusion",
    "curves",
    "labels",
    "mistakes",
    "predictions",
    "residuals",
    "samples",
    "weights",
]
