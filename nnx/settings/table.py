"""The one table of settings: name, type, default, what each may be, panel and help.

From it come the typed keywords of `nnx.train`, what a settings file may hold, the
options of `nnx train`, the suggestions for names that do not exist, and the reference
in the guide. A new setting is a new row.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypedDict, get_type_hints

from nnx.maths.activations import ACTIVATIONS
from nnx.maths.hyperparameters import CONSTANT, PRECISIONS, Distortion, Schedule
from nnx.settings import kinds, other_names
from nnx.settings.kinds import FRACTION, Row, integer, one_of
from nnx.settings.weights import CLASS_WEIGHTS

PIXELS = "unit", "raw"
OPTIMIZERS = "sgd", "nesterov", "adam", "rmsprop"
DTYPES = "float32", "float64"
TASKS = "classification", "multilabel", "regression"
MISSING = "refuse", "fill"
STANDARDIZE = "both", "columns", "targets", "none"
DATASET_HELP = (
    "A name from 'nnx data list', or a path: a folder of IDX files, a table, a CSV "
    "of pictures with a label column, an .npz, a folder of .npy files, or a folder of "
    "pictures a class."
)
DATA_DIR_HELP = (
    "A folder that already holds the files of mnist, fashion-mnist or kmnist; "
    "NNX_DATA_DIR is looked at too."
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
        "The column of a table that is learnt, or several, with commas; without it, a "
        "CSV is pictures and their label.")]
    task: Annotated[str, Row("auto", one_of(("auto", *TASKS)), DATA,
        "What is learnt of a table's target: classification, multilabel or regression; "
        "auto: text and few different whole numbers are classes, several columns of 0 "
        "and 1 labels, and others numbers.")]
    drop: Annotated[str | tuple[str, ...], Row((), kinds.COLUMNS, DATA,
        "Columns of a table to leave out, with commas.")]
    categorical: Annotated[str | tuple[str, ...], Row((), kinds.COLUMNS, DATA,
        "Columns of a table whose numbers are names of categories, with commas.")]
    missing: Annotated[str, Row("refuse", one_of(MISSING), DATA,
        "refuse a table's empty fields (also NA, N/A, NaN and null), or fill them with "
        "the column's median, or its most frequent category.")]
    standardize: Annotated[str, Row("both", one_of(STANDARDIZE), DATA,
        "Give a table's numbers mean 0 and deviation 1: both columns and a "
        "regression's targets, or one of them, or none.")]
    test_data: Annotated[str, Row("", kinds.text(
        "a path", "FILE", empty=True), DATA,
        "A table to test on; without it, a tenth of the rows is held out.")]
    validation_data: Annotated[str, Row("", kinds.text(
        "a path", "FILE", empty=True), DATA,
        "A table to choose by, in the place of --validation-fraction.")]
    hidden: Annotated[tuple[int, ...], Row((128,), kinds.WIDTHS, NETWORK,
        'Widths of the hidden layers: 128,64; "" is none.')]
    activation: Annotated[str | tuple[str, ...], Row(
        ("relu",), kinds.ACTIVATION, NETWORK,
        f"Of the hidden layers: {', '.join(ACTIVATIONS)}; or one for each: relu,tanh.")]
    init: Annotated[str | tuple[str, ...], Row(("auto",), kinds.INITIALIZER, NETWORK,
        "Initial weights: auto, he, glorot, lecun, normal:0.01 or zeros; auto suits "
        "the activation, and is glorot of a regression.")]
    dtype: Annotated[str, Row("float32", kinds.data_type(DTYPES), NETWORK,
        "float32 or float64.")]
    backend: Annotated[str, Row(
        "auto", kinds.text("the name of a backend", "NAME"), RUN,
        "What computes: see 'nnx info'. auto takes compiled kernels where they work "
        "and pay, and plain NumPy elsewhere; gpu a card, and where there is none what "
        "auto takes.")]
    precision: Annotated[str, Row("full", one_of(PRECISIONS), RUN,
        "full, or what the factors of float32 products are rounded to: tf32 with "
        "cupy (10 bits of fraction), bf16 with cupy, or numba on a processor that can "
        "(7).")]


class TrainingSettings(TypedDict, total=False):
    """How a network is trained: the keywords of `nnx.train`."""

    epochs: Annotated[int, Row(20, integer(1, 10**6), OPTIMIZATION,
        "Passes over the images.")]
    batch_size: Annotated[int | str, Row(32, kinds.BATCH_SIZE, OPTIMIZATION,
        "Images a step, or full.")]
    shards: Annotated[int, Row(1, integer(1, 4096), OPTIMIZATION,
        "Equal parts of a batch, whose gradients are added in one order, so that any "
        "number of processes that divides it trains to the same bits (with "
        "--distributed); 1 is one for each process.")]
    optimizer: Annotated[str, Row(
        "sgd", one_of(OPTIMIZERS, other_names.OPTIMIZERS), OPTIMIZATION,
        "sgd (with momentum, if there is any), nesterov, adam or rmsprop; adamw is "
        "adam, as decay is apart from the gradient in all.")]
    learning_rate: Annotated[float | str, Row("auto", kinds.RATE, OPTIMIZATION,
        "What the optimizer's direction is multiplied by; auto is 0.2 · (1 - momentum, "
        "where it begins or ends) for sgd and nesterov (of a regression 1 / (features "
        "+ widest layer) in place of 0.2), 0.001 for adam and rmsprop.")]
    schedule: Annotated[str | Schedule, Row(CONSTANT, kinds.schedule(), OPTIMIZATION,
        "The learning rate's course: constant, step:every=10,factor=0.5, "
        "exponential:factor=0.95, inverse:rate=0.1, linear, cosine, one-cycle, "
        "plateau:patience=5 (needs --validation-fraction); :warmup=2 in any (epochs).")]
    momentum: Annotated[float | str, Row("auto", kinds.FRACTION_OR_AUTO, OPTIMIZATION,
        "Share of its velocity that a step keeps, below 1; Adam's β₁. 0.9 is usual; "
        "auto is 0 for sgd and rmsprop, 0.9 otherwise.")]
    momentum_schedule: Annotated[str | Schedule, Row(
        CONSTANT, kinds.schedule("plateau"), OPTIMIZATION,
        "The momentum's course: linear:to=0.99,over=20, or dip:to=0.85 beside "
        "--schedule one-cycle.")]
    beta2: Annotated[float | str, Row("auto", kinds.FRACTION_OR_AUTO, OPTIMIZATION,
        "Share of their mean square that adam and rmsprop keep; auto is 0.999 and "
        "0.99.")]
    clip_norm: Annotated[float, Row(0.0, kinds.BOUND, OPTIMIZATION,
        "Upper bound on the gradient's norm, such as 1; 0 is no bound.")]
    ema_decay: Annotated[float, Row(0.0, FRACTION, OPTIMIZATION,
        "Use the weights' exponential moving average, of which a step keeps this "
        "share, such as 0.999; 0 uses the last weights.")]
    patience: Annotated[int, Row(0, integer(0, 10**6), OPTIMIZATION,
        "End after so many epochs without a better validation accuracy, or an equal "
        "one with less loss, with the best epoch's weights (needs "
        "--validation-fraction); 0 never does.")]
    batch_norm: Annotated[bool, Row(False, kinds.FLAG, NETWORK,
        "Normalize each hidden layer's units over the batch, before the activation.")]
    validation_fraction: Annotated[float, Row(0.0, FRACTION, DATA,
        "Fraction of the training images to hold out and choose by, such as 0.1; the "
        "test images are then left alone until the end.")]
    augment: Annotated[str | Distortion | None, Row(None, kinds.DISTORTION, DATA,
        "Distort training pictures anew in every epoch, by up to shift=2, rotation=15, "
        "scale=0.15, shear=0.1, elastic=34, sigma=4 (pixels, degrees, factors); give "
        "those wanted, with commas: shift=2,rotation=15.")]
    window: Annotated[int | str, Row("auto", kinds.WINDOW, DATA,
        "How many images are in memory at once, of a data set that need not fit: a "
        "file is read in windows of so many images in a row, in random order, and the "
        "images of each are shuffled; all, or auto: all, if half of the memory holds "
        "them.")]
    pixels: Annotated[str, Row("unit", one_of(PIXELS), DATA,
        "unit scales pixels to [0, 1]; raw leaves them.")]
    l1: Annotated[float, Row(0.0, FRACTION, REGULARIZATION,
        "Penalty l1 · Σ |weight|, such as 1e-5.")]
    l2: Annotated[float, Row(0.0, FRACTION, REGULARIZATION,
        "Penalty l2/2 · Σ weight², such as 1e-4.")]
    weight_decay: Annotated[float, Row(0.0, FRACTION, REGULARIZATION,
        "Share of the weights, times the learning rate, that a step takes off: 1e-4 "
        "for sgd, 0.01 for adam.")]
    max_norm: Annotated[float, Row(0.0, kinds.BOUND, REGULARIZATION,
        "Upper bound on the norm of each unit's weights, such as 2 to 4; 0 is no "
        "bound.")]
    input_noise: Annotated[float, Row(0.0, FRACTION, REGULARIZATION,
        "Standard deviation of Gaussian noise that is added to the pixels in each "
        "step, in units of their range, such as 0.1.")]
    input_dropout: Annotated[float, Row(0.0, kinds.DROPOUT, REGULARIZATION,
        "Share of pixels left out in each step, such as 0.2.")]
    dropout: Annotated[float, Row(0.0, kinds.DROPOUT, REGULARIZATION,
        "Share of hidden units left out in each step, such as 0.5.")]
    label_smoothing: Annotated[float, Row(0.0, FRACTION, REGULARIZATION,
        "Share of each label that is spread over all classes, such as 0.1.")]
    huber_delta: Annotated[float, Row(0.0, kinds.BOUND, REGULARIZATION,
        "Of a regression: the error, in standard deviations of the target where that "
        "is standardized, beyond which the loss is no longer its square but grows "
        "straight (Huber), such as 1.35; 0 is squared error throughout.")]
    class_weights: Annotated[str | Sequence[float] | Mapping[Any, float], Row(
        (), CLASS_WEIGHTS, REGULARIZATION,
        "What each class counts, as in 1,2,1; or some by name or number, as in "
        "cat=2,7=0.5, and the others 1; balanced: a rare one as much as any.")]
    seed: Annotated[int, Row(0, integer(0, 2**63 - 1), RUN,
        "Of weights, shuffles, dropout, noise and distortion.")]
    debug_nan: Annotated[bool, Row(False, kinds.FLAG, RUN,
        "Where training diverges, go back to where it was finite, and name the step, "
        "the layer and the operation.")]
    checkpoint_seconds: Annotated[float, Row(60.0, kinds.SECONDS, RUN,
        "Save the run at least so often, in the middle of an epoch too; where saving "
        "is quick beside training, each epoch's end is saved as well.")]
    checkpoint_steps: Annotated[int, Row(0, integer(0, 10**12), RUN,
        "Save it also whenever so many more steps are done, such as 1000; 0 is by time "
        "alone.")]
    keep_checkpoints: Annotated[int, Row(1, integer(1, 10**6), RUN,
        "How many checkpoints to keep: the latest, and those before it by their step.")]
# A word of Python's, which no class can have as a field.
Origin = TypedDict("Origin", {"from": Annotated[str, Row("", kinds.text(
    "a run's folder or a model file", "RUN", empty=True), NETWORK,
    "Begin with the weights of a trained network, a run's folder or a model file: a "
    "new run, and no --resume. Its sizes and activation come with it, and its data "
    "unless others are given.")]}, total=False)
# fmt: on


class Settings(NetworkSettings, TrainingSettings, Origin, total=False):
    """All settings of a run, as its config.toml holds them."""


def _rows(settings: type[Any]) -> dict[str, Row]:
    hints = get_type_hints(settings, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items()}


ROWS = _rows(Settings)
TRAINING = tuple(_rows(TrainingSettings))
