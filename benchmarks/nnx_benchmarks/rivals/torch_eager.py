"""PyTorch as it is usually written for speed, eager and compiled.

Images are on the device as float32, and batches are gathered there by index_select. The
loss is summed on the device and read once per epoch; correct predictions are not
counted. Compiled: the network and its loss, and with them the gradients, by
`torch.compile`. In bfloat16: either of these under `autocast`, which takes products and
their results in bfloat16.
"""

import os
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from itertools import pairwise, product
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from nnx.cores import available
from nnx.data.dataset import Array
from nnx.maths import batch_norm
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.state import Layer, Layers, NormalizedLayer, RunningStats
from nnx_benchmarks.trainer import Implementation
from nnx_benchmarks.workloads import Problem, Workload

ACTIVATIONS: dict[str, Callable[[], Any]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "gelu": partial(nn.GELU, approximate="tanh"),
    "silu": nn.SiLU,
}


NO_COMPILING = "TORCHDYNAMO_DISABLE"  # a variable of PyTorch's


class TorchTrainer:
    """A Sequential of layers, each a Sequential, and one of PyTorch's optimizers."""

    def __init__(
        self, problem: Problem, device: str, compiled: bool, bfloat16: bool = False
    ) -> None:
        self.autocast: Callable[[], Any] = nullcontext
        if bfloat16:
            self.autocast = partial(torch.autocast, device, torch.bfloat16)
        torch.set_num_threads(available())
        self.device, self.hyper = device, problem.workload.hyper
        self.images = torch.from_numpy(problem.floats).to(device)
        self.labels = torch.from_numpy(problem.labels).to(device)
        self.network = network(problem.workload).to(device, self.images.dtype)
        self.loss = self._loss
        if compiled:
            # One graph for each of the two sizes of a batch; none of earlier trainers.
            torch.compiler.reset()
            self.loss = torch.compile(self._loss, dynamic=False)

    def _loss(self, x: Any, labels: Any) -> Any:
        with self.autocast():
            return cross_entropy(self.network(x), labels)

    def load(self, layers: Layers) -> None:
        """Restart training from a copy of these weights."""
        self.copy(layers)
        self.optimizer = optimizer(self.network, self.hyper)

    def copy(self, layers: Layers) -> None:
        """Copy these weights; PyTorch stores them as (out, in)."""
        with torch.no_grad():
            for (linear, *others), layer in zip(self.network, layers, strict=True):
                weight = np.ascontiguousarray(layer.weight.T)
                linear.weight.copy_(torch.from_numpy(weight))
                shift = linear if linear.bias is not None else others[0]
                if shift is not linear:
                    shift.reset_parameters()
                shift.bias.copy_(torch.from_numpy(layer.bias))

    def epoch(self, order: Array, learning_rate: float) -> float:
        """Train on these images; return their mean loss."""
        self.set_rate(learning_rate)
        total = torch.zeros((), dtype=self.images.dtype, device=self.device)
        for index in self.batches(order):
            total += self.step(index)
        return float(total.item()) / len(order)

    def set_rate(self, learning_rate: float) -> None:
        """Set the optimizer's learning rate."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate

    def batches(self, order: Array) -> Any:
        """Return the epoch's batches, of indices on the device."""
        return torch.from_numpy(order).to(self.device).split(self.hyper.batch_size)

    def step(self, index: Any) -> Any:
        """Take a step on these images; return the sum of their losses."""
        x = self.images.index_select(0, index)
        loss = self.loss(x, self.labels.index_select(0, index))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if bound := self.hyper.clip_norm:
            nn.utils.clip_grad_norm_(self.network.parameters(), bound)
        self.optimizer.step()
        return loss.detach() * len(index)

    def layers(self) -> Layers:
        """Return the layers for inference."""
        return [_layer(*modules) for modules in self.network]


def _layer(linear: Any, *others: Any) -> Layer:
    def moved(*tensors: Any) -> list[Array]:
        return [tensor.detach().cpu().numpy().copy() for tensor in tensors]

    if linear.bias is not None:
        return Layer(*moved(linear.weight.T, linear.bias))
    norm = others[0]
    layer = NormalizedLayer(*moved(linear.weight.T, norm.bias, norm.weight))
    stats = RunningStats(*moved(norm.running_mean, norm.running_var))
    return batch_norm.fold(layer, stats, xp=np)


def network(workload: Workload) -> Any:
    """Return a workload's network; its weights are yet to be loaded.

    With batch normalization, its shift is the layer's only bias.
    """
    hyper, layers = workload.hyper, []
    *hidden, (inputs, outputs) = pairwise(workload.sizes)
    for a, b in hidden:
        modules = [nn.Linear(a, b, bias=not hyper.batch_norm)]
        modules += [nn.BatchNorm1d(b)] if hyper.batch_norm else []
        modules += [ACTIVATIONS[workload.activation]()]
        modules += [nn.Dropout(hyper.dropout)] if hyper.dropout else []
        layers.append(nn.Sequential(*modules))
    return nn.Sequential(*layers, nn.Sequential(nn.Linear(inputs, outputs)))


def optimizer(network: Any, hyper: Hyperparameters, capturable: bool = False) -> Any:
    """Return the network's optimizer; only weights decay.

    Fused optimizers were faster, except for plain SGD, which keeps its default.
    """
    if hyper.optimizer != "adam":
        parameters, momentum = network.parameters(), hyper.momentum
        fused = momentum > 0 or None
        return torch.optim.SGD(parameters, hyper.learning_rate, momentum, fused=fused)
    weights = [modules[0].weight for modules in network]
    others = [p for p in network.parameters() if p.ndim == 1]
    groups = [
        {"params": weights, "weight_decay": hyper.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    betas = hyper.momentum, hyper.beta2
    return torch.optim.AdamW(
        groups, hyper.learning_rate, betas, fused=True, capturable=capturable
    )


def implementations() -> list[Implementation]:
    """Return both ways on the processor, and on a CUDA device if there is one.

    If TORCHDYNAMO_DISABLE forbids compiling, there are only eager ones.
    """
    devices = {"": "cpu"} | ({", CUDA": "cuda"} if torch.cuda.is_available() else {})
    ways = {"eager": False} | (
        {} if os.environ.get(NO_COMPILING) else {"compiled": True}
    )
    return [
        Implementation(
            f"PyTorch {name}{where}{' bf16' if rounds else ''}",
            partial(TorchTrainer, device=device, compiled=compiled, bfloat16=rounds),
            ("float32",) if compiled or rounds else ("float32", "float64"),
            card=device == "cuda",
            bfloat16=rounds,
        )
        for where, device in devices.items()
        for (name, compiled), rounds in product(ways.items(), [False, True])
    ]
