"""The numbers that say how a network is trained."""

from enum import IntEnum
from typing import NamedTuple


class Schedule(NamedTuple):
    """How a number changes in a run; which of these count depends on the name.

    name: in `schedules.SHAPES`; "plateau" is a function of the log, see
        `schedules.plateaus`
    warmup: epochs in which it rises from nothing, straight
    every: epochs from step to step
    factor: what it is multiplied by at each step, in each epoch, or on a plateau
    rate: what an epoch adds to the divisor of "inverse"
    to: where it ends
    over: epochs until it is there; 0 is all there are
    patience: epochs without anything better that are a plateau
    rise, start: the part of a one-cycle run in which it rises, and from what share
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
# What factors of float32 products are rounded to, where a backend and a machine can.
PRECISIONS = "full", "tf32", "bf16"


class Distortion(NamedTuple):
    """How far images are distorted at most; what is 0 leaves them as they are.

    shift: pixels, up or down and left or right
    rotation: degrees, either way
    scale: of height and of width, each drawn from 1 - scale to 1 + scale
    shear: pixels to the side for each pixel up, either way
    elastic: what the smoothed field, of numbers in (-1, 1), is multiplied by, pixels
    sigma: of the Gaussian that smooths it, pixels
    """

    shift: float = 0.0
    rotation: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    elastic: float = 0.0
    sigma: float = 4.0


class Stream(IntEnum):
    """What a draw is for; draws for different ends never share a counter."""

    WEIGHTS = 0
    SHUFFLE = 1
    DISTORTION = 2
    DROPOUT = 3
    NOISE = 4
    WINDOWS = 5


class Hyperparameters(NamedTuple):
    """How a network is trained; what is 0, False, None or empty changes nothing.

    activations: a name in `activations.ACTIVATIONS` for each layer
    pixel_scale: what pixels are multiplied by
    loss: a name in `losses.LOSSES`
    huber_delta: the residual from which "huber" is straight
    pixel_range: what the brightest pixel is then
    image_shape: height and width, for distortion
    batch_size: images in a step; the last batch of an epoch may be short
    shards: equal parts of a batch, whose gradients are added along a binary tree
    epochs: of the whole run, for schedules
    optimizer: a name in `optimizers.OPTIMIZERS`
    learning_rate: what the optimizer's direction is multiplied by
    momentum: share of its velocity that a step keeps; Adam's β₁
    beta2: share of their mean square that Adam and RMSprop keep
    epsilon: what they add to its root
    early_epsilon: whether Adam adds it before the mean square is corrected, in the form
        that Kingma and Ba give at the end of their second section
    schedule, momentum_schedule: how the two change from step to step
    l1, l2: strengths of the penalties l1 · Σ |weight| and l2/2 · Σ weight²
    weight_decay: share of the weights, times the learning rate, that a step takes off
    clip_norm: upper bound on the norm of the gradient, all parameters as one
    max_norm: upper bound on the norm of each unit's weights
    input_noise: standard deviation of Gaussian noise on pixels, in units of pixel_range
    input_dropout, dropout: probability that a pixel, or a hidden unit, is left out
    batch_norm: whether hidden layers are normalized over the batch
    label_smoothing, class_weights: of `losses.cross_entropy`
    ema_decay: share of the weights' moving average that a step keeps
    augment: how far images are distorted, anew in every epoch
    seed: of shuffles, dropout, noise and distortion
    mean_correction, square_correction: what Adam's two averages are multiplied by, as
        they begin at 0: 1 / (1 - β₁ᵗ) and 1 / (1 - β₂ᵗ) in step t = 1, 2, …, where β₁ᵗ
        is the product of all β₁ so far if they differ

    `schedules.at_steps` gives those of a step: its learning rate, momentum, ema_decay,
    corrections, and epsilon where it is added early.
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
