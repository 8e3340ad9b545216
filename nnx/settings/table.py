"""The table of all settings: name, type, default, kind, panel and help of each.

It determines the typed keywords of `nnx.train`, the content of a settings file, the
options of `nnx train`, the suggestions for unknown names, and the reference in the
guide. A new setting is a new row.
"""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Annotated, Any, TypedDict, get_type_hints

from nnx.maths import optimizers
from nnx.maths.activations import ACTIVATIONS
from nnx.maths.hyperparameters import CONSTANT, PRECISIONS, Distortion, Schedule
from nnx.maths.initializers import INITIALIZERS
from nnx.settings import kinds, other_names
from nnx.settings.kinds import FRACTION, Row, integer, one_of
from nnx.settings.weights import CLASS_WEIGHTS

PIXELS = "unit", "raw"
OPTIMIZERS = tuple(
    name for name in optimizers.OPTIMIZERS if name not in other_names.OPTIMIZERS_INSTEAD
)
DTYPES = "float32", "float64"
# One class of many, any number of several labels, or numbers.
TASKS = "classification", "multilabel", "regression"
DATASET_HELP = (
    "Data set: a name from 'nnx data list', or a path: a table, a CSV of pictures "
    "with a label column, an .npz, or a folder of IDX files, of .npy files, or of "
    "pictures in one subfolder per class."
)
DATA_DIR_HELP = (
    "Folder that already holds the files of mnist, fashion-mnist or kmnist; without "
    "it, NNX_DATA_DIR names one."
)
# The options that `nnx train --help` shows; --help-all shows the rest too.
FIRST = (
    "preset", "dataset", "target", "validation_fraction", "hidden", "activation",
    "epochs", "batch_size", "optimizer", "learning_rate", "out",
)  # fmt: skip
DATA, NETWORK, OPTIMIZATION, REGULARIZATION, RUN = kinds.PANELS


# fmt: off
class NetworkSettings(TypedDict, total=False):
    """What is trained, on what data, and what computes it."""

    dataset: Annotated[str, Row("digits", kinds.text(
        "the name of a dataset or a path", "NAME|PATH"), DATA, DATASET_HELP)]
    data_dir: Annotated[str, Row("", kinds.text(
        "a path", "DIR", empty=True), DATA, DATA_DIR_HELP)]
    target: Annotated[str | tuple[str, ...], Row((), kinds.COLUMNS, DATA,
        "Column of a table to predict, or several, separated by commas; without it, a "
        "CSV is read as labeled pictures.")]
    task: Annotated[str, Row("auto", one_of(("auto", *TASKS)), DATA,
        "Task on a table's target: classification, multilabel or regression; auto "
        "takes text and few distinct whole numbers as classes, several columns of 0 "
        "and 1 as labels, and all else as numbers.")]
    drop: Annotated[str | tuple[str, ...], Row((), kinds.COLUMNS, DATA,
        "Columns of a table to leave out, separated by commas.")]
    categorical: Annotated[str | tuple[str, ...], Row((), kinds.COLUMNS, DATA,
        "Columns of a table whose numbers stand for categories, separated by commas.")]
    missing: Annotated[str, Row("refuse", one_of(("refuse", "fill")), DATA,
        "Empty fields of a table (also NA, N/A, NaN and null): refuse them, or fill "
        "in the column's median or most frequent category.")]
    standardize: Annotated[str, Row("both", one_of(
        ("both", "columns", "targets", "none")), DATA,
        "What of a table to scale to mean 0 and standard deviation 1: columns of "
        "numbers, a regression's targets, both or none.")]
    test_data: Annotated[str, Row("", kinds.text(
        "a path", "FILE", empty=True), DATA,
        "Table to test on; without it, a tenth of the rows is held out.")]
    validation_data: Annotated[str, Row("", kinds.text(
        "a path", "FILE", empty=True), DATA,
        "Table to validate on, in place of --validation-fraction.")]
    hidden: Annotated[tuple[int, ...], Row((128,), kinds.WIDTHS, NETWORK,
        'Widths of the hidden layers, such as 128,64; "" for none.')]
    activation: Annotated[str | tuple[str, ...], Row(
        ("relu",), kinds.ACTIVATION, NETWORK,
        f"Activation function of the hidden layers: {', '.join(ACTIVATIONS)}; or one "
        "per layer: relu,tanh. gelu is the tanh approximation.")]
    init: Annotated[str | tuple[str, ...], Row(("auto",), kinds.INITIALIZER, NETWORK,
        f"Initial weights: auto, {', '.join(INITIALIZERS)} or normal:0.01; auto suits "
        "the activation, and is glorot in a regression.")]
    dtype: Annotated[str, Row("float32", kinds.data_type(DTYPES), NETWORK,
        "Type of the network's numbers: float32 or float64.")]
    backend: Annotated[str, Row(
        "auto", kinds.text("the name of a backend", "NAME"), RUN,
        "Backend that computes (see 'nnx info'). auto takes compiled kernels where "
        "they work and pay off, and NumPy elsewhere; gpu takes an NVIDIA card, or "
        "without one what auto takes.")]
    precision: Annotated[str, Row("full", one_of(PRECISIONS), RUN,
        "Precision of the factors in float32 products: full, tf32 (10 fraction bits, "
        "with cupy) or bf16 (7, with cupy, or with numba on processors with "
        "AVX512-BF16).")]


class TrainingSettings(TypedDict, total=False):
    """How a network is trained: the keywords of `nnx.train`."""

    epochs: Annotated[int, Row(20, integer(1, 10**6), OPTIMIZATION,
        "Passes over the data.")]
    batch_size: Annotated[int | str, Row(32, kinds.BATCH_SIZE, OPTIMIZATION,
        "Images per step, or full for the whole training set.")]
    shards: Annotated[int, Row(1, integer(1, 4096), OPTIMIZATION,
        "With --distributed, equal parts of each batch, whose gradients are added in "
        "a fixed order: any number of processes that divides it trains to the same "
        "bits; 1 is one part per process.")]
    optimizer: Annotated[str, Row(
        "sgd",
        one_of(OPTIMIZERS, other_names.OPTIMIZERS | other_names.OPTIMIZERS_INSTEAD),
        OPTIMIZATION,
        f"Optimizer: {', '.join(OPTIMIZERS)} (sgd with --momentum, if set); "
        "adamw is adam, as weight decay is decoupled in all.")]
    learning_rate: Annotated[float | str, Row("auto", kinds.RATE, OPTIMIZATION,
        "Learning rate: step size of the optimizer; auto is 0.001 for adam and "
        "rmsprop, 0.2 · (1 - momentum) for sgd and nesterov (the higher end of a "
        "momentum schedule). A regression replaces 0.2 by 1 / (features + widest "
        "hidden layer), if that is less.")]
    schedule: Annotated[str | Schedule, Row(CONSTANT, kinds.schedule(), OPTIMIZATION,
        "Learning-rate schedule: constant, step:every=10,factor=0.5, "
        "exponential:factor=0.95, inverse:rate=0.1, linear, cosine, one-cycle, "
        "plateau:patience=5 (needs a validation set); any with warmup=2 (epochs).")]
    momentum: Annotated[float | str, Row("auto", kinds.FRACTION_OR_AUTO, OPTIMIZATION,
        "Momentum: share of the velocity that each step keeps, and Adam's β₁, such as "
        "0.9; auto is 0 for sgd and rmsprop, 0.9 otherwise.")]
    momentum_schedule: Annotated[str | Schedule, Row(
        CONSTANT, kinds.schedule("plateau"), OPTIMIZATION,
        "Momentum schedule, such as linear:to=0.99,over=20, or dip:to=0.85 with "
        "--schedule one-cycle.")]
    beta2: Annotated[float | str, Row("auto", kinds.FRACTION_OR_AUTO, OPTIMIZATION,
        "Share of the mean squared gradient that each step of adam (β₂) or rmsprop "
        "keeps; auto is 0.999 and 0.99.")]
    clip_norm: Annotated[float, Row(0.0, kinds.BOUND, OPTIMIZATION,
        "Upper bound on the gradient's norm, such as 1; 0 for none.")]
    ema_decay: Annotated[float, Row(0.0, FRACTION, OPTIMIZATION,
        "Use an exponential moving average of the weights, of which each step keeps "
        "this share, such as 0.999; 0 uses the last weights.")]
    patience: Annotated[int, Row(0, integer(0, 10**6), OPTIMIZATION,
        "Early stopping: end after so many epochs without a better validation score, "
        "or an equal one with less loss, and keep the best epoch's weights (needs a "
        "validation set); 0 for never.")]
    batch_norm: Annotated[bool, Row(False, kinds.FLAG, NETWORK,
        "Batch normalization of each hidden layer, before its activation.")]
    validation_fraction: Annotated[float, Row(0.0, FRACTION, DATA,
        "Fraction of the training images to hold out for validation, such as 0.1; the "
        "test images are then used only at the end.")]
    augment: Annotated[str | Distortion | None, Row(None, kinds.DISTORTION, DATA,
        "Distort training pictures anew in every epoch, by up to shift=2, "
        "rotation=15, scale=0.15, shear=0.1, elastic=34, sigma=4 (pixels, degrees, "
        "factors), or some of these: shift=2,rotation=15.")]
    window: Annotated[int | str, Row("auto", kinds.WINDOW, DATA,
        "Images in memory at once, for a data set that does not fit: its file is read "
        "in windows of so many consecutive images, in random order, each shuffled; "
        "all, or auto: all if they fit in half of the memory.")]
    pixels: Annotated[str, Row("unit", one_of(PIXELS), DATA,
        "Pixel values: unit scales them to [0, 1], raw leaves them as they are.")]
    l1: Annotated[float, Row(0.0, FRACTION, REGULARIZATION,
        "L1 penalty on the weights, l1 · Σ |weight|, such as 1e-5.")]
    l2: Annotated[float, Row(0.0, FRACTION, REGULARIZATION,
        "L2 penalty on the weights, l2/2 · Σ weight², such as 1e-4.")]
    weight_decay: Annotated[float, Row(0.0, FRACTION, REGULARIZATION,
        "Weight decay: each step shrinks the weights by this share times the learning "
        "rate, such as 1e-4 for sgd, 0.01 for adam.")]
    max_norm: Annotated[float, Row(0.0, kinds.BOUND, REGULARIZATION,
        "Upper bound on the norm of each unit's weights, such as 2 to 4; 0 for none.")]
    input_noise: Annotated[float, Row(0.0, FRACTION, REGULARIZATION,
        "Standard deviation of Gaussian noise added to the pixels in each step, in "
        "units of their range, such as 0.1.")]
    input_dropout: Annotated[float, Row(0.0, kinds.DROPOUT, REGULARIZATION,
        "Dropout of pixels: share left out in each step, such as 0.2.")]
    dropout: Annotated[float, Row(0.0, kinds.DROPOUT, REGULARIZATION,
        "Dropout of hidden units: share left out in each step, such as 0.5.")]
    label_smoothing: Annotated[float, Row(0.0, FRACTION, REGULARIZATION,
        "Label smoothing: share of each label spread over all classes, such as 0.1.")]
    huber_delta: Annotated[float, Row(0.0, kinds.BOUND, REGULARIZATION,
        "Huber loss of a regression: the error (in standard deviations, if the target "
        "is standardized) beyond which the loss grows linearly, such as 1.35; 0 is "
        "squared error throughout.")]
    class_weights: Annotated[str | Sequence[float] | Mapping[Any, float], Row(
        (), CLASS_WEIGHTS, REGULARIZATION,
        "Weight of each class in the loss, as in 1,2,1, or of some by name or number, "
        "as in cat=2,7=0.5 (others 1); balanced gives all classes the same share.")]
    seed: Annotated[int, Row(0, integer(0, 2**63 - 1), RUN,
        "Random seed for initial weights, shuffling, dropout, noise and distortion.")]
    debug_nan: Annotated[bool, Row(False, kinds.FLAG, RUN,
        "If training diverges, go back to where it was finite and name the step, "
        "layer and operation that was not.")]
    checkpoint_seconds: Annotated[float, Row(60.0, kinds.SECONDS, RUN,
        "Seconds between checkpoints, at most, within an epoch too; where saving is "
        "quick compared with training, each epoch's end is saved as well.")]
    checkpoint_steps: Annotated[int, Row(0, integer(0, 10**12), RUN,
        "Also save a checkpoint every so many steps, such as 1000; 0 saves by time "
        "alone.")]
    keep_checkpoints: Annotated[int, Row(1, integer(1, 10**6), RUN,
        "Number of checkpoints to keep: the latest, and earlier ones named by their "
        "step.")]
# `from` is a keyword of Python, so no class can declare it as a field.
Origin = TypedDict("Origin", {"from": Annotated[str, Row("", kinds.text(
    "a run's folder or a model file", "RUN", empty=True), NETWORK,
    "Start a new run from the weights of a trained network: a run's folder or a model "
    "file (--resume continues the run itself). Its sizes and activation apply, and "
    "its data unless others are given.")]}, total=False)
# fmt: on


class Settings(NetworkSettings, TrainingSettings, Origin, total=False):
    """All settings of a run, as its config.toml holds them."""


def _rows(settings: type[Any]) -> dict[str, Row]:
    hints = get_type_hints(settings, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items()}


ROWS = _rows(Settings)
TRAINING = tuple(_rows(TrainingSettings))


def _described(name: str) -> str:
    """Return a setting's entry in help(): name, default and help, in short lines."""
    row = ROWS[name]
    default = repr(row.kind.write(row.default)) if row.default != () else "none"
    return fill(f"{name} ({default}): {row.help}", 80, subsequent_indent="    ")


TrainingSettings.__doc__ = "\n\n".join(
    [
        f"{TrainingSettings.__doc__}",
        "\n".join(map(_described, TRAINING)),
        'The guide says what else each may be, under "All settings".',
    ]
)
