"""The networks on which speed is measured; an epoch is 60,000 MNIST images."""

from collections.abc import Mapping
from itertools import pairwise
from random import Random
from typing import Any, NamedTuple

import nnx
from nnx.data.dataset import Array
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.state import Layers


class Workload(NamedTuple):
    """A network and its training in float32, with images shuffled in each epoch.

    options: other hyperparameters by name; plain SGD has none
    """

    sizes: tuple[int, ...]
    activation: str
    batch_size: int
    learning_rate: float = 0.1
    options: Mapping[str, Any] = {}

    def __str__(self) -> str:
        sizes = "-".join(map(str, self.sizes))
        hidden = f", {self.activation}" if len(self.sizes) > 2 else ""
        options = "".join(f", {k} {v}" for k, v in self.options.items())
        words = options.replace("_", " ").replace("optimizer ", "").replace(" True", "")
        return f"{sizes}{hidden}, batch {self.batch_size}{words}"

    @property
    def hyper(self) -> Hyperparameters:
        """The workload's hyperparameters, in the form of the maths."""
        return Hyperparameters(
            activations=(self.activation,) * (len(self.sizes) - 2) + ("identity",),
            pixel_scale=1 / 255,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            **self.options,
        )

    @property
    def without_draws(self) -> "Workload":
        """The same without dropout, which no two libraries draw alike."""
        drawn = {"dropout": 0.0} if "dropout" in self.options else {}
        return self._replace(options={**self.options, **drawn})

    @property
    def flops(self) -> int:
        """The operations of an image's matrix products; a multiply-add is two.

        Forward, weight gradient, and input gradient of every layer but the first.
        """
        first, *others = [a * b for a, b in pairwise(self.sizes)]
        return 2 * (2 * first + 3 * sum(others))


class Problem(NamedTuple):
    """A workload and its images, on the host; each implementation moves them itself.

    pixels: (n, in_features), uint8
    floats: (n, in_features), the pixels in [0, 1]; their dtype is that of training
    labels: (n,), int64 in [0, 10)
    """

    workload: Workload
    pixels: Array
    floats: Array
    labels: Array


STANDARD = {
    "tiny": Workload((784, 10, 10), "relu", 64),
    "narrow": Workload((784, 25, 25, 10), "relu", 64),
    "classic": Workload((784, 128, 10), "tanh", 64),
    "wide": Workload((784, 1000, 10), "tanh", 128),
    "deep": Workload((784, 800, 800, 10), "relu", 128),
}
# Shapes that nobody tunes for: code that is fast only on the five is so by accident.
OTHER = {
    "other-linear": Workload((784, 10), "relu", 256),
    "other-batch-16": Workload((784, 48, 10), "tanh", 16),
    "other-odd": Workload((784, 333, 77, 10), "relu", 100),
    "other-4-layers": Workload((784, 60, 50, 40, 10), "tanh", 32),
    "other-batch-1024": Workload((784, 512, 10), "relu", 1024),
}
ADAM = {"optimizer": "adam", "momentum": 0.9, "beta2": 0.999}
MOMENTUM = {"optimizer": "momentum", "momentum": 0.9}
BATCH_NORM = {"batch_norm": True}
# Recipes that people use. Adam with weight decay apart from the gradient is AdamW.
RECIPES = {
    "bn-adam": Workload((784, 512, 512, 10), "relu", 128, 0.001, ADAM | BATCH_NORM),
    "dropout-adam": Workload(
        (784, 512, 512, 10), "relu", 128, 0.001, ADAM | {"dropout": 0.2}
    ),
    "bn-dropout": Workload(
        (784, 800, 800, 800, 10), "relu", 128, 0.02,
        MOMENTUM | BATCH_NORM | {"dropout": 0.2},
    ),
    "clip": Workload((784, 256, 10), "tanh", 64, 0.05, MOMENTUM | {"clip_norm": 1.0}),
    "gelu": Workload((784, 256, 256, 10), "gelu", 64, 0.001, ADAM),
    "silu": Workload(
        (784, 256, 256, 10), "silu", 64, 0.001, ADAM | {"weight_decay": 0.01}
    ),
    "large": Workload((784, 1000, 10), "relu", 1024),
}  # fmt: skip
PLAIN = STANDARD | OTHER
SEED, COUNT = 12, 10  # of the workloads drawn at random


def _drawn(seed: int) -> Workload:
    """Return a workload drawn at random: 1 to 5 odd widths, a batch of 8 to 2048."""
    draw = Random(seed)
    depth = draw.randint(1, 5)
    widths = [draw.randrange(17, 1000 // depth + 100, 2) for _ in range(depth)]
    batch = round(2 ** draw.uniform(3, 11))
    activation = draw.choice(["relu", "tanh", "gelu", "silu"])
    rate, optimizer = draw.choice([(0.05, {}), (0.02, MOMENTUM), (0.001, ADAM)])
    kinds: Any = {}, {}, BATCH_NORM, {"dropout": 0.2}, {"clip_norm": 1.0}
    options = {**optimizer, **draw.choice(kinds)}
    return Workload((784, *widths, 10), activation, batch, rate, options)


DRAWN = {f"drawn-{i}": _drawn(100 * SEED + i) for i in range(1, COUNT + 1)}
WORKLOADS = PLAIN | RECIPES | DRAWN
# What `nnx bench time-to` trains by default: the preset `quick`.
QUICK = Workload((784, 128, 10), "relu", 32, 0.3)


def initial_layers(workload: Workload) -> Layers:
    """Return the weights that every implementation starts from, in float32."""
    return nnx.Network(workload.sizes, workload.activation, seed=0).layers
