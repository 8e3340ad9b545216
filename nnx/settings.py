"""The records that hold every setting; `nnx.rules` says what each may be."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

from nnx.errors import InputError
from nnx.maths import schedules
from nnx.notation import schedule_from
from nnx.rules import check

# What "auto" is, by the optimizer; SGD's rate is multiplied by 1 - momentum, as its
# velocity is the sum of so many gradients.
AUTOMATIC = {
    "sgd": {"learning_rate": 0.2, "momentum": 0.0, "beta2": 0.0},
    "nesterov": {"learning_rate": 0.2, "momentum": 0.9, "beta2": 0.0},
    "adam": {"learning_rate": 0.001, "momentum": 0.9, "beta2": 0.999},
    "rmsprop": {"learning_rate": 0.001, "momentum": 0.0, "beta2": 0.99},
}
# What is written in a notation of its own.
NOTATIONS = {"schedule", "momentum_schedule", "augment", "activation", "init"}
# What a command is told beside settings.
OPTIONS = {
    "config", "preset", "out", "resume", "overwrite", "threads", "device", "json",
    "quiet", "require_accuracy",
}  # fmt: skip
# What others call settings, where no nearest name tells.
ALSO_CALLED = {
    "lr": "learning_rate",
    "wd": "weight_decay",
    "batch": "batch_size",
    "bs": "batch_size",
    "layers": "hidden",
    "ema": "averaging",
    "patience": "early_stopping",
}


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    epochs: passes over the training images
    batch_size: images a step, or "full" for all of them
    optimizer: "sgd", "nesterov", "adam" or "rmsprop"; "adamw" is adam
    learning_rate: what the optimizer's direction is multiplied by; "auto" is 0.001 for
        adam and rmsprop, and 0.2 times 1 - momentum for sgd, where its course ends if
        that is higher
    momentum: of SGD and RMSprop, and Adam's β₁; "auto" is 0.9 for nesterov and adam
    beta2: how much of their mean square Adam and RMSprop keep
    schedule, momentum_schedule: how the two change; see `nnx.maths.schedules`
    l1, l2: the strengths of the penalties l1 · Σ |weight| and l2/2 · Σ weight²
    weight_decay: what share of the weights, times the learning rate, a step takes off
    clip_norm: the most that the gradient's norm may be; 0 is no bound
    max_norm: the most that the norm of a unit's weights may be; 0 is no bound
    input_dropout, dropout: the share of pixels, and of hidden units, that is left out
    batch_norm: whether hidden layers are normalized batch by batch
    label_smoothing: the share of each label that is spread over all classes
    class_weights: what each class counts; "balanced": as much as any other
    averaging: how much of the weights' moving average, which is then what is used,
        a step keeps; 0 is no average
    validation: the share of the training images that is held out for choosing
    early_stopping: epochs without a better validation accuracy, or an equal one with
        less loss, after which training ends with the best epoch's weights; 0 is never
    augment: how far training images are distorted, anew in every epoch: amounts of
        `nnx.maths.distortion.Distortion`, as in "shift=2,rotation=15"; "" is not at all
    pixels: "unit" scales them to [0, 1]; "raw" leaves them as they are
    seed: for shuffles, dropout and distortion
    """

    epochs: int = 20
    batch_size: int | str = 32
    optimizer: str = "sgd"
    learning_rate: float | str = "auto"
    momentum: float | str = "auto"
    beta2: float | str = "auto"
    schedule: str = "constant"
    momentum_schedule: str = "constant"
    l1: float = 0.0
    l2: float = 0.0
    weight_decay: float = 0.0
    clip_norm: float = 0.0
    max_norm: float = 0.0
    input_dropout: float = 0.0
    dropout: float = 0.0
    batch_norm: bool = False
    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] | str = ()
    averaging: float = 0.0
    validation: float = 0.0
    early_stopping: int = 0
    augment: str = ""
    pixels: str = "unit"
    seed: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = _tidied(field.name, getattr(self, field.name))
            check(field.name, value)
            self._set(field.name, _plain(value, field.default))
        automatic = self.learning_rate == "auto"
        for name, usual in AUTOMATIC[self.optimizer].items():
            if getattr(self, name) == "auto":
                self._set(name, usual)
        if automatic and self.optimizer in ("sgd", "nesterov"):
            rate = float(self.learning_rate) * (1.0 - self._highest_momentum())
            self._set("learning_rate", float(f"{rate:.12g}"))
        self._check_together()

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _highest_momentum(self) -> float:
        """Return the higher one of where the momentum begins and where it ends."""
        begins, course = float(self.momentum), schedule_from(self.momentum_schedule)
        return max(begins, schedules.value(begins, self.epochs, course, self.epochs))

    def _check_together(self) -> None:
        """Refuse settings that make no sense beside each other."""
        plateau = schedule_from(self.schedule).name == "plateau"
        choosing = self.early_stopping > 0 or plateau
        if choosing and self.validation == 0.0:
            name = "early_stopping" if self.early_stopping else "schedule plateau"
            raise InputError(
                f"{name} needs images to choose by: set validation, such as 0.1"
            )
        course = schedule_from(self.momentum_schedule)
        if course.name == "plateau":
            raise InputError("momentum_schedule cannot be plateau; the schedule can")
        if course.to >= 1.0:
            raise InputError(
                f"momentum_schedule must end below 1, not at to={course.to:g}"
            )
        if self.beta2 and not AUTOMATIC[self.optimizer]["beta2"]:
            raise InputError(
                f"beta2 is for adam and rmsprop; {self.optimizer} has none, not "
                f"{self.beta2}"
            )
        if self.batch_norm and self.batch_size == 1:
            raise InputError("batch_norm needs a batch_size of 2 or more, not 1")


def _tidied(name: str, value: Any) -> Any:
    """Return a value in the one form that is kept and compared.

    NumPy's scalars are the numbers that they are, spaces in a notation stand for
    nothing, and adamw is adam.
    """
    if name in NOTATIONS and isinstance(value, str):
        return value.replace(" ", "")
    if name == "optimizer" and isinstance(value, str):
        return "adam" if value == "adamw" else value
    return value.item() if getattr(value, "ndim", None) == 0 else value


def _plain(value: Any, default: Any) -> Any:
    """Return an integer as the number that a setting is, and a list as a tuple."""
    if isinstance(value, list | tuple):
        return tuple(value)
    if type(value) is int and not isinstance(default, int):
        return float(value)
    return value


@dataclass(frozen=True)
class Config(Training):
    """A whole run: how it is trained, of what, on what and where.

    dataset: a name or a path
    data_dir: a folder that holds the dataset's files; "" looks where it usually is
    hidden: the widths of the hidden layers; none for a linear classifier
    activation: of all hidden layers, or of one after another: "relu,tanh"
    init: how weights are drawn, in all layers or one after another; "auto" suits
        the activation
    precision: "tf32" lets a backend that can round the factors of float32 products
    """

    dataset: str = "digits"
    data_dir: str = ""
    hidden: tuple[int, ...] = (128,)
    activation: str = "relu"
    init: str = "auto"
    dtype: str = "float32"
    backend: str = "auto"
    precision: str = "full"

    def training(self) -> dict[str, Any]:
        """Return the settings of training alone."""
        return {field.name: getattr(self, field.name) for field in fields(Training)}


def config_from(values: Mapping[str, Any], source: str = "") -> Config:
    """Return the run that these settings describe, defaults for those not given.

    source: the file they come from, for the error's words
    Refused: a setting that does not exist, or may not have this value.
    """
    with _naming(source):
        _check_each(values)
        return Config(**values)


def layered(
    base: Mapping[str, Any], values: Mapping[str, Any], source: str = ""
) -> dict[str, Any]:
    """Return settings with others over them, which are refused by themselves.

    Another optimizer takes its own rates with it, as the old one's do not suit it.
    """
    with _naming(source):
        _check_each(values)
    before = _tidied("optimizer", base.get("optimizer", Config.optimizer))
    if _tidied("optimizer", values.get("optimizer", before)) != before:
        own = {*AUTOMATIC[before], "momentum_schedule"}
        base = {name: value for name, value in base.items() if name not in own}
    return {**base, **values}


@contextmanager
def _naming(source: str) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise InputError(f"{source}: {error}" if source else str(error)) from None


def _nearest(name: str, known: list[str]) -> str | None:
    near = get_close_matches(name, known, n=1)
    return ALSO_CALLED.get(name) or (near[0] if near else None)


def _check_each(values: Mapping[str, Any]) -> None:
    known = [field.name for field in fields(Config)]
    all_names = ", ".join(known)
    for name, value in values.items():
        if name not in known:
            if name in OPTIONS:
                option = "--" + name.replace("_", "-")
                raise InputError(
                    f"{name!r} is no setting: give {option} to the command"
                )
            near = _nearest(name.lower().replace("-", "_"), known)
            hint = f"did you mean {near}?" if near else f"there are {all_names}"
            raise InputError(f"no setting is called {name!r}; {hint}")
        check(name, _tidied(name, value))
