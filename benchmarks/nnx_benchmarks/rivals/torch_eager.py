"""PyTorch as it is usually written for speed, eager and compiled.

Images are on the device as float32 and batches gathered there by index_select; the
loss is summed on the device and read once an epoch; nothing is counted. Compiled:
the network and its loss, and with them the gradients, by `torch.compile`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from nnx.cores import available
from nnx.data.dataset import Array
from nnx.maths.state import Layer, Layers
from nnx_benchmarks.trainer import Implementation
from nnx_benchmarks.workloads import Problem, Workload

ACTIVATIONS: dict[str, Callable[[], Any]] = {"relu": nn.ReLU, "tanh": nn.Tanh}


class TorchTrainer:
    """A Sequential of Linear layers, and SGD as PyTorch does it by default."""

    def __init__(self, problem: Problem, device: str, compiled: bool) -> None:
        torch.set_num_threads(available())
        self.device, self.batch_size = device, problem.workload.batch_size
        self.images = torch.from_numpy(problem.floats).to(device)
        self.labels = torch.from_numpy(problem.labels).to(device)
        self.network = network(problem.workload).to(device, self.images.dtype)
        self.loss = self._loss
        if compiled:
            # One graph for each of the two sizes of a batch, and none from before.
            torch.compiler.reset()
            self.loss = torch.compile(self._loss, dynamic=False)
        parameters = self.network.parameters()
        self.optimizer = torch.optim.SGD(parameters, lr=problem.workload.learning_rate)

    def _loss(self, x: Any, labels: Any) -> Any:
        return cross_entropy(self.network(x), labels)

    def load(self, layers: Layers) -> None:
        """Take a copy of these weights; PyTorch has them as (out, in)."""
        with torch.no_grad():
            for module, (weight, bias) in zip(self._linear(), layers, strict=True):
                module.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight.T)))
                module.bias.copy_(torch.from_numpy(bias))

    def epoch(self, order: Array, learning_rate: float) -> float:
        """Train on these images; return their mean loss."""
        self.optimizer.param_groups[0]["lr"] = learning_rate
        total = torch.zeros((), dtype=self.images.dtype, device=self.device)
        for index in torch.from_numpy(order).to(self.device).split(self.batch_size):
            x = self.images.index_select(0, index)
            loss = self.loss(x, self.labels.index_select(0, index))
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            total += loss.detach() * len(index)
        return float(total.item()) / len(order)

    def layers(self) -> Layers:
        """Return the weights as they are now."""
        return [
            Layer(*(p.detach().cpu().numpy().copy() for p in (m.weight.T, m.bias)))
            for m in self._linear()
        ]

    def _linear(self) -> list[Any]:
        return [module for module in self.network if isinstance(module, nn.Linear)]


def network(workload: Workload) -> Any:
    """Return a workload's network; its weights are yet to be loaded."""
    modules: list[Any] = []
    for inputs, outputs in zip(workload.sizes, workload.sizes[1:], strict=False):
        modules += [nn.Linear(inputs, outputs), ACTIVATIONS[workload.activation]()]
    return nn.Sequential(*modules[:-1])


def _implementations() -> list[Implementation]:
    """Return both ways on the processor, and on a CUDA device where there is one."""
    devices = {"": "cpu"} | ({", CUDA": "cuda"} if torch.cuda.is_available() else {})
    return [
        Implementation(
            f"PyTorch {name}{where}",
            partial(TorchTrainer, device=device, compiled=compiled),
            ("float32",) if compiled else ("float32", "float64"),
        )
        for where, device in devices.items()
        for name, compiled in [("eager", False), ("compiled", True)]
    ]


IMPLEMENTATIONS = _implementations()
