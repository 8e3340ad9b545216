"""Hyperparameters: the numbers that determine how a network is trained."""

from enum import IntEnum, unique
from typing import NamedTuple


class Schedule(NamedTuple):
    """How a value changes during a run; the name decides which fields are used.

    name: in `schedules.SHAPES`; "plateau" depends on the log, see `schedules.plateaus`
    warmup: epochs of linear increase from 0
    every: epochs between steps
    factor: the factor applied at each step, per epoch, or at each plateau
    rate: increase of the divisor of "inverse" per epoch
    to: the final value, or the lowest one of a dip
    over: epochs of the whole change; 0: all epochs
    patience: epochs without improvement that make a plateau
    rise: the fraction of a one-cycle run in which the value rises, or of a dip, falls
    start: the fraction of the base value that a one-cycle run starts from
    """

    name: str = "constant"
    warmup: float = 0.0
    every: float = 10.0
    factor: float = 0.5
    rate: float = 0.1
    to: float = 0.0
    over: float = 0.0
    patience: int = 5
    rise: float = 0.3
    start: float = 0.04


CONSTANT = Schedule()
# Formats to which a backend may round the factors of float32 products, where the
# hardware supports them.
PRECISIONS = "full", "tf32", "bf16"


class Distortion(NamedTuple):
    """Upper bounds of random distortion; an amount of 0 disables its distortion.

    shift: pixels, vertically and horizontally, in either direction
    rotation: degrees, in either direction
    scale: height and width are each scaled by a factor in [1 - scale, 1 + scale]
    shear: pixels sideways per pixel of height, in either direction
    elastic: factor of the smoothed field of numbers in (-1, 1), in pixels
    sigma: standard deviation of the Gaussian that smooths the field, in pixels
    """

    shift: float = 0.0
    rotation: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    elastic: float = 0.0
    sigma: float = 4.0


@unique
class Stream(IntEnum):
    """The purpose of a draw; draws for different purposes never share a counter."""

    WEIGHTS = 0
    SHUFFLE = 1
    DISTORTION = 2
    DROPOUT = 3
    NOISE = 4
    WINDOWS = 5


class Hyperparameters(NamedTuple):
    """How a network is trained; 0, False, None or an empty value disables an option.

    activations: a name in `activations.ACTIVATIONS` for each layer
    pixel_scale: the factor for pixels
    loss: a name in `losses.LOSSES`
    huber_delta: the residual beyond which "huber" is linear
    pixel_range: the value of the brightest pixel after scaling
    image_shape: height and width, for distortion
    batch_size: images per step; the last batch of an epoch may be short
    shards: equal parts of a batch, whose gradients are added along a binary tree
    epochs: of the whole run, for schedules
    optimizer: a name in `optimizers.OPTIMIZERS`
    learning_rate: the factor of the optimizer's direction
    momentum: share of the velocity that a step keeps; Adam's β₁
    beta2: share of the mean square that a step of Adam or RMSprop keeps
    epsilon: added to the root of that mean square
    early_epsilon: whether Adam adds epsilon before the mean square is corrected, the
        form that Kingma and Ba give at the end of their second section
    schedule, momentum_schedule: how learning rate and momentum change over the steps
    l1, l2: strengths of the penalties l1 · Σ |weight| and l2/2 · Σ weight²
    weight_decay: share of the weights, times the learning rate, that a step subtracts
    clip_norm: upper bound on the norm of the gradient of all parameters together
    max_norm: upper bound on the norm of each unit's weights
    input_noise: standard deviation of Gaussian noise on pixels, in units of pixel_range
    input_dropout, dropout: probability that a pixel, or a hidden unit, is left out
    batch_norm: whether hidden layers are normalized over the batch
    label_smoothing, class_weights: arguments of `losses.cross_entropy`
    ema_decay: share of the weights' moving average that a step keeps
    augment: bounds of random distortion, which is drawn afresh in every epoch
    seed: of shuffles, dropout, noise and distortion
    mean_correction, square_correction: factors that correct Adam's two averages for
        their start at 0: 1 / (1 - β₁ᵗ) and 1 / (1 - β₂ᵗ) in step t = 1, 2, …; if β₁
        changes, β₁ᵗ is the product of all β₁ so far

    `schedules.at_steps` fills in the values of a step: its learning rate, momentum,
    ema_decay, corrections, and epsilon if it is added early.
    """

    activations: tuple[str, ...]
    pixel_scale: float
    batch_size: int
    pixel_range: float = 1.0
    loss: str = "cross_entropy"
    huber_delta: float = 1.0
    image_shape: tuple[int, int] = (1, 1)
    shards: int = 1
    epochs: int = 1
    optimizer: str = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.0
    beta2: float = 0.0
    epsilon: float = 1e-8
    early_epsilon: bool = False
    schedule: Schedule = CONSTANT
    momentum_schedule: Schedule = CONSTANT
    l1: float = 0.0
    l2: float = 0.0
    weight_decay: float = 0.0
    clip_norm: float = 0.0
    max_norm: float = 0.0
    input_noise: float = 0.0
    input_dropout: float = 0.0
    dropout: float = 0.0
    batch_norm: bool = False
    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] = ()
    ema_decay: float = 0.0
    augment: Distortion | None = None
    seed: int = 0
    mean_correction: float = 1.0
    square_correction: float = 1.0
