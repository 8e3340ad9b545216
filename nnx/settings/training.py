"""The rows of the settings that say how a network is trained."""

from typing import Annotated, TypedDict

from nnx.maths.distortion import Distortion
from nnx.maths.hyperparameters import CONSTANT, Schedule
from nnx.settings import kinds
from nnx.settings.kinds import Row

PIXELS = "unit", "raw"
OPTIMIZERS = "sgd", "nesterov", "adam", "rmsprop"

_FRACTION = kinds.number("a number from 0 and below 1", lambda x: 0 <= x < 1)
_FRACTION_OR_AUTO = kinds.number(
    "a number from 0 and below 1", lambda x: 0 <= x < 1, "auto"
)
_DROPOUT = kinds.number("a number from 0 to 0.99", lambda x: 0 <= x <= 0.99)
_BOUND = kinds.number(
    "0, or a number from 0.000001 to 1000000", lambda x: x == 0 or 1e-6 <= x <= 1e6
)
_RATE = kinds.number("a number above 0 and up to 1000", lambda x: 0 < x <= 1000, "auto")


class TrainingSettings(TypedDict, total=False):
    """How a network is trained: the keywords of `nnx.train`."""

    epochs: Annotated[
        int,
        Row(20, kinds.integer(1, 10**6), "Optimization", "Passes over the images."),
    ]
    batch_size: Annotated[
        int | str,
        Row(32, kinds.batch_size(), "Optimization", "Images a step, or full."),
    ]
    optimizer: Annotated[
        str,
        Row(
            "sgd",
            kinds.one_of(OPTIMIZERS, adamw="adam"),
            "Optimization",
            "sgd (with momentum, if there is any), nesterov, adam or rmsprop; adamw is "
            "adam, as decay is apart from the gradient in all.",
        ),
    ]
    learning_rate: Annotated[
        float | str,
        Row(
            "auto",
            _RATE,
            "Optimization",
            "What the optimizer's direction is multiplied by; auto is 0.2 · (1 - "
            "momentum, where it begins or ends) for sgd and nesterov, 0.001 for adam "
            "and rmsprop.",
        ),
    ]
    schedule: Annotated[
        str | Schedule,
        Row(
            CONSTANT,
            kinds.schedule(),
            "Optimization",
            "The learning rate's course: constant, step:every=10,factor=0.5, "
            "exponential:factor=0.95, inverse:rate=0.1, linear, cosine, one-cycle, "
            "plateau:patience=5 (needs --validation-fraction); :warmup=2 in any "
            "(epochs).",
        ),
    ]
    momentum: Annotated[
        float | str,
        Row(
            "auto",
            _FRACTION_OR_AUTO,
            "Optimization",
            "Share of its velocity that a step keeps, below 1; Adam's β₁. 0.9 is "
            "usual; auto is 0 for sgd and rmsprop, 0.9 otherwise.",
        ),
    ]
    momentum_schedule: Annotated[
        str | Schedule,
        Row(
            CONSTANT,
            kinds.schedule("plateau"),
            "Optimization",
            "The momentum's course: linear:to=0.99,over=20, or dip:to=0.85 beside "
            "--schedule one-cycle.",
        ),
    ]
    beta2: Annotated[
        float | str,
        Row(
            "auto",
            _FRACTION_OR_AUTO,
            "Optimization",
            "Share of their mean square that adam and rmsprop keep; auto is 0.999 and "
            "0.99.",
        ),
    ]
    clip_norm: Annotated[
        float,
        Row(
            0.0,
            _BOUND,
            "Optimization",
            "Upper bound on the gradient's norm, such as 1; 0 is no bound.",
        ),
    ]
    ema_decay: Annotated[
        float,
        Row(
            0.0,
            _FRACTION,
            "Optimization",
            "Use the weights' exponential moving average, of which a step keeps this "
            "share, such as 0.999; 0 uses the last weights.",
        ),
    ]
    patience: Annotated[
        int,
        Row(
            0,
            kinds.integer(0, 10**6),
            "Optimization",
            "End after so many epochs without a better validation accuracy, or an "
            "equal one with less loss, with the best epoch's weights (needs "
            "--validation-fraction); 0 never does.",
        ),
    ]
    batch_norm: Annotated[
        bool,
        Row(
            False,
            kinds.flag(),
            "Network",
            "Normalize each hidden layer's units over the batch, before the "
            "activation.",
        ),
    ]
    validation_fraction: Annotated[
        float,
        Row(
            0.0,
            _FRACTION,
            "Data",
            "Fraction of the training images to hold out and choose by, such as 0.1; "
            "the test images are then left alone until the end.",
        ),
    ]
    augment: Annotated[
        str | Distortion | None,
        Row(
            None,
            kinds.distortion(),
            "Data",
            "Distort training pictures anew in every epoch, by up to shift=2, "
            "rotation=15, scale=0.15, shear=0.1, elastic=34, sigma=4 (pixels, degrees, "
            "factors); give those wanted, with commas: shift=2,rotation=15.",
        ),
    ]
    pixels: Annotated[
        str,
        Row(
            "unit",
            kinds.one_of(PIXELS),
            "Data",
            "unit scales pixels to [0, 1]; raw leaves them.",
        ),
    ]
    l1: Annotated[
        float,
        Row(0.0, _FRACTION, "Regularization", "Penalty l1 · Σ |weight|, such as 1e-5."),
    ]
    l2: Annotated[
        float,
        Row(
            0.0, _FRACTION, "Regularization", "Penalty l2/2 · Σ weight², such as 1e-4."
        ),
    ]
    weight_decay: Annotated[
        float,
        Row(
            0.0,
            _FRACTION,
            "Regularization",
            "Share of the weights, times the learning rate, that a step takes off: "
            "1e-4 for sgd, 0.01 for adam.",
        ),
    ]
    max_norm: Annotated[
        float,
        Row(
            0.0,
            _BOUND,
            "Regularization",
            "Upper bound on the norm of each unit's weights, such as 2 to 4; 0 is no "
            "bound.",
        ),
    ]
    input_dropout: Annotated[
        float,
        Row(
            0.0,
            _DROPOUT,
            "Regularization",
            "Share of pixels left out in each step, such as 0.2.",
        ),
    ]
    dropout: Annotated[
        float,
        Row(
            0.0,
            _DROPOUT,
            "Regularization",
            "Share of hidden units left out in each step, such as 0.5.",
        ),
    ]
    label_smoothing: Annotated[
        float,
        Row(
            0.0,
            _FRACTION,
            "Regularization",
            "Share of each label that is spread over all classes, such as 0.1.",
        ),
    ]
    class_weights: Annotated[
        str | tuple[float, ...],
        Row(
            (),
            kinds.class_weights(),
            "Regularization",
            "What each class counts, as in 1,2,1; balanced: a rare one as much as any.",
        ),
    ]
    seed: Annotated[
        int,
        Row(
            0,
            kinds.integer(0, 2**63 - 1),
            "Run",
            "Of weights, shuffles, dropout and distortion.",
        ),
    ]
