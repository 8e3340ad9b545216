"""The networks and options with which gradients and backends are checked.

A new option gets a line in `ADDED` if the gradient depends on it, otherwise in `STEPS`.
"""

from itertools import cycle, product
from math import isqrt
from typing import Any, NamedTuple

import numpy as np

from nnx.maths import losses
from nnx.maths.activations import ACTIVATIONS
from nnx.maths.arrays import Array
from nnx.maths.hyperparameters import Distortion, Hyperparameters, Schedule


class Case(NamedTuple):
    """A network, its batch, and how it is trained.

    sizes: as for `Network`
    activation: of the hidden layers
    batch: images in the batch
    options: of `Hyperparameters`, as pairs
    weighted: whether images have different weights
    """

    sizes: tuple[int, ...]
    activation: str
    batch: int
    options: tuple[tuple[str, Any], ...] = ()
    weighted: bool = False

    @property
    def name(self) -> str:
        """The case's name, such as 784-10-10 relu, or 64-48-32-10 tanh momentum."""
        words = ["-".join(map(str, self.sizes)), self.activation]
        named = "optimizer", "loss"
        words += [str(v) if k in named else k for k, v in self.options if v]
        words += ["weighted"] * self.weighted + ["batch of one"] * (self.batch == 1)
        return " ".join(words)

    def labels(self, n: int, rng: np.random.Generator) -> tuple[Array, Array | None]:
        """Return random labels or targets for the loss, and weights or None.

        A few targets are outliers, for which the Huber loss is linear.
        """
        outputs, loss = self.sizes[-1], self.hyper.loss
        labels: Array
        if losses.LOSSES[loss].of_classes:
            labels = rng.integers(0, outputs, n)
        elif loss == "binary_cross_entropy":
            labels = rng.integers(0, 2, (n, outputs)).astype(np.float64)
        elif loss == "poisson":
            labels = rng.poisson(1.5, (n, outputs)).astype(np.float64)
        else:
            labels = rng.standard_t(2, (n, outputs))
        return labels, rng.uniform(0.5, 2.0, n) if self.weighted else None

    @property
    def hyper(self) -> Hyperparameters:
        """The hyperparameters, with rates that differ in every step."""
        features = self.sizes[0]
        height = max(d for d in range(1, isqrt(features) + 1) if features % d == 0)
        plain = Hyperparameters(
            activations=(self.activation,) * (len(self.sizes) - 2) + ("identity",),
            pixel_scale=1 / 255,
            batch_size=self.batch,
            image_shape=(height, features // height),
            epochs=4,
            learning_rate=0.2,
            momentum=0.95,
            schedule=Schedule("cosine"),
            momentum_schedule=Schedule("linear", to=0.75),
            seed=3,
        )
        return plain._replace(**dict(self.options))


# Options that the gradient depends on. The gradient check takes COMBINED in every
# combination, and each of ADDED alone and with all of COMBINED. Parity takes each
# option alone, and all together.
COMBINED: tuple[dict[str, Any], ...] = (
    {"label_smoothing": 0.1},
    {"class_weights": (0.5, 1.0, 2.0)},
    {"input_dropout": 0.2, "dropout": 0.3},
    {"l1": 0.1},
    {"l2": 0.1},
    {"batch_norm": True},
)
LOSSES: tuple[dict[str, Any], ...] = (
    {"loss": "binary_cross_entropy"},
    {"loss": "squared_error"},
    {"loss": "huber", "huber_delta": 1.35},
    {"loss": "poisson"},
)
COMBINED_LABELS: dict[str, Any] = {**COMBINED[0], **COMBINED[1]}
ADDED: tuple[dict[str, Any], ...] = (
    {"input_noise": 0.1},
    {"augment": Distortion(shift=0.7, rotation=20, scale=0.2, shear=0.2, elastic=2)},
)
# Options that change only the step made from a gradient.
STEPS: tuple[dict[str, Any], ...] = (
    {"optimizer": "momentum"},
    {"optimizer": "nesterov"},
    {"weight_decay": 0.3},
    {"ema_decay": 0.9},
    {"max_norm": 1.0},
    {"optimizer": "nesterov", "clip_norm": 0.1},
    {"clip_norm": 0.1},
)

# Shards change no gradient, as sums are over all shards of a batch. A batch of 6 gives
# four shards of one or two images, a batch of 23 four of five or six.
SHARDED: tuple[dict[str, Any], ...] = (
    {"shards": 4},
    {**COMBINED[2], **COMBINED[4], "batch_norm": True, "shards": 4},
)


def union(*options: dict[str, Any]) -> dict[str, Any]:
    """Return all of these options in one dictionary."""
    return {name: value for each in options for name, value in each.items()}


def gradient_cases() -> list[Case]:
    """Return the small networks whose gradients are compared with differences."""
    chosen = [
        union(*(each for each, taken in zip(COMBINED, which, strict=True) if taken))
        for which in product((False, True), repeat=len(COMBINED))
    ]
    chosen += [each for option in ADDED for each in (option, union(*COMBINED, option))]
    cases = [
        *product(ACTIVATIONS, (3,), chosen, (6,)),
        *product(ACTIVATIONS, (1, 2, 3, 4), ({}, {"l2": 0.1}), (6,)),
        *product(ACTIVATIONS, (2, 3), ({"batch_norm": True},), (1,)),
        *product(("tanh",), (3,), SHARDED, (6,)),
    ]
    plain = [
        Case((5, *[4] * (depth - 1), 3), name, batch, tuple(options.items()))
        for name, depth, options, batch in cases
    ]
    return list(dict.fromkeys(plain + _other_losses()))


def _other_losses() -> list[Case]:
    """Return the cases of losses other than cross-entropy, and of weighted images."""
    regular = {"dropout": 0.3, "l1": 0.1, "l2": 0.1}
    return [
        Case((5, 4, 3), "tanh", 6, tuple(union(loss, options).items()), weighted)
        for loss in ({}, *LOSSES)
        for options in ({}, {"batch_norm": True}, regular)
        for weighted in (False, True)
    ] + [
        Case((5, 4, 3), "tanh", 6, tuple(COMBINED_LABELS.items()), weighted=True),
        Case((5, 4, 1), "relu", 6, tuple(LOSSES[1].items())),
    ]


def _with(activation: str, **options: Any) -> Case:
    """Return a case with some options and two hidden layers, one wide, one narrow."""
    return Case((45, 70, 12, 3), activation, 23, tuple(options.items()))


L2 = (("l2", 0.01),)
EVERYTHING = union(*COMBINED, *ADDED, *STEPS, {"optimizer": "momentum"})
# Adam and RMSprop divide a gradient by its own size. If the terms of a gradient nearly
# cancel, the rest is rounding error, and so is the step: results then depend on the
# order of summation. Their networks are small, so that no gradient nearly cancels.
PARITY_CASES = (
    Case((784, 10), "identity", 128),
    Case((784, 10, 10), "relu", 128),
    Case((784, 25, 25, 10), "relu", 128, L2),
    Case((784, 128, 10), "tanh", 64),
    Case((784, 1000, 10), "tanh", 64, L2),
    Case((784, 800, 800, 10), "relu", 64),
    Case((784, 100, 50, 10), "identity", 64),
    Case((784, 100, 50, 10), "leaky_relu", 64, L2),
    Case((64, 48, 32, 16, 10), "elu", 64),
    Case((64, 48, 32, 16, 10), "sigmoid", 64, L2),
    Case((64, 48, 32, 16, 10), "softplus", 64),
    Case((64, 30, 10), "relu", 1500, L2),
    Case((64, 30, 10), "tanh", 1500, (("dropout", 0.3), ("label_smoothing", 0.1))),
    Case((37, 13, 7, 5), "relu", 17),
    Case((37, 13, 7, 5), "tanh", 17, L2),
    Case((1, 1, 2), "tanh", 1),
    Case((8, 36, 3), "tanh", 64, (("optimizer", "adam"), ("beta2", 0.99))),
    Case(
        (8, 36, 3),
        "tanh",
        64,
        (("optimizer", "adam"), ("epsilon", 0.01), ("early_epsilon", True)),
    ),
    Case((8, 36, 3), "tanh", 64, (("optimizer", "rmsprop"), ("beta2", 0.9))),
    *(
        _with(activation, **options)
        for each in (COMBINED + ADDED, STEPS)
        for activation, options in zip(cycle(("relu", "tanh")), each)
    ),
    _with("tanh", dropout=0.5),
    _with("tanh", **union(*COMBINED[:2])),
    _with("gelu", batch_norm=True, dropout=0.3, optimizer="momentum"),
    _with("silu", optimizer="nesterov", weight_decay=0.3, l1=0.01, max_norm=1.0),
    *(
        _with(activation, **loss, **more)._replace(weighted=bool(more))
        for loss in LOSSES
        for activation, more in (("relu", {}), ("tanh", {"dropout": 0.3, "l2": 0.01}))
    ),
    _with("tanh", **COMBINED_LABELS)._replace(weighted=True),
    Case((45, 12, 1), "tanh", 1500, tuple(LOSSES[1].items()), weighted=True),
    *(_with("relu", **options) for options in SHARDED),
    _with("tanh", **EVERYTHING),
    _with("tanh", **EVERYTHING | {"batch_norm": False}),
)
