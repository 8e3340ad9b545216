"""The options of `nnx train` that are settings: one for each, from one table."""

import inspect
from collections.abc import Callable
from copy import copy
from dataclasses import fields
from functools import wraps
from typing import Annotated, Any, NamedTuple, get_args, get_origin

import typer

from nnx.cli.options import expanded
from nnx.maths.activations import ACTIVATIONS
from nnx.settings import Config


def _text(text: str) -> str:
    return text


def _folder(text: str) -> str:
    return str(expanded(text).absolute())


def _number(text: str) -> float | str:
    """Return a number, or the text itself, which the setting's rule then refuses."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _numbers(text: str) -> tuple[float | str, ...] | str:
    """Return '128,64' as (128, 64), '' as no number, and a word as it is."""
    found = tuple(_number(part) for part in text.split(",") if part.strip())
    return text.strip() if any(isinstance(part, str) for part in found) else found


class Setting(NamedTuple):
    """An option's help, which its default is added to, and how its text is read."""

    help: str
    metavar: str = "N"
    read: Callable[[str], Any] = _number


PANELS = {
    "Data": {
        "dataset": Setting(
            "A name from 'nnx data list', or a path: a folder of IDX files, a CSV "
            "with a label column, an .npz, or a folder of pictures a class.",
            "NAME|PATH",
            _text,
        ),
        "data_dir": Setting(
            "A folder that already holds the files of mnist, fashion-mnist or kmnist; "
            "NNX_DATA_DIR is looked at too.",
            "DIR",
            _folder,
        ),
        "validation": Setting(
            "Share of the training images to hold out and choose by, such as 0.1; the "
            "test images are then left alone until the end.",
            "X",
        ),
        "augment": Setting(
            "Distort training pictures anew in every epoch, at most by some of "
            "shift=2, rotation=15, scale=0.15, shear=0.1, elastic=34, sigma=4 (pixels, "
            "degrees, factors), written with commas: shift=2,rotation=15.",
            "AMOUNTS",
            _text,
        ),
        "pixels": Setting(
            "unit scales pixels to [0, 1]; raw leaves them.", "NAME", _text
        ),
    },
    "Network": {
        "hidden": Setting(
            'Widths of the hidden layers: 128,64; "" is none.', "WIDTHS", _numbers
        ),
        "activation": Setting(
            f"Of the hidden layers: {', '.join(ACTIVATIONS)}; or one for each: "
            "relu,tanh.",
            "NAMES",
            _text,
        ),
        "batch_norm": Setting(
            "Normalize each hidden layer's units over the batch, before the activation."
        ),
        "init": Setting(
            "Initial weights: auto, he, glorot, lecun, normal:0.01 or zeros; auto "
            "suits the activation.",
            "NAMES",
            _text,
        ),
        "dtype": Setting("float32 or float64.", "NAME", _text),
    },
    "Optimization": {
        "optimizer": Setting(
            "sgd (with momentum, if there is any), nesterov, adam or rmsprop; adamw is "
            "adam, as decay is apart from the gradient in all.",
            "NAME",
            _text,
        ),
        "epochs": Setting("Passes over the images."),
        "batch_size": Setting("Images a step, or full."),
        "learning_rate": Setting(
            "What the optimizer's direction is multiplied by; auto is 0.2 · (1 - "
            "momentum, where it begins or ends) for sgd and nesterov, 0.001 for adam "
            "and rmsprop.",
            "X",
        ),
        "schedule": Setting(
            "The learning rate's course: constant, step:every=10,factor=0.5, "
            "exponential:factor=0.95, inverse:rate=0.1, linear, cosine, one-cycle, "
            "plateau:patience=5 (needs --validation); :warmup=2 in any (epochs).",
            "COURSE",
            _text,
        ),
        "momentum": Setting(
            "Share of its velocity that a step keeps, below 1; Adam's β₁. 0.9 is "
            "usual; auto is 0 for sgd and rmsprop, 0.9 otherwise.",
            "X",
        ),
        "momentum_schedule": Setting(
            "The momentum's course: linear:to=0.99,over=20, or dip:to=0.85 beside "
            "--schedule one-cycle.",
            "COURSE",
            _text,
        ),
        "beta2": Setting(
            "Share of their mean square that adam and rmsprop keep; auto is 0.999 and "
            "0.99.",
            "X",
        ),
        "clip_norm": Setting(
            "The most that the gradient's norm may be, such as 1; 0 is no bound.", "X"
        ),
        "averaging": Setting(
            "Use the weights' moving average, of which a step keeps this share, such "
            "as 0.999; 0 uses the last weights.",
            "X",
        ),
        "early_stopping": Setting(
            "End after so many epochs without a better validation accuracy, or an "
            "equal one with less loss, with the best epoch's weights (needs "
            "--validation); 0 never does."
        ),
    },
    "Regularization": {
        "l1": Setting("Penalty l1 · Σ |weight|, such as 1e-5.", "X"),
        "l2": Setting("Penalty l2/2 · Σ weight², such as 1e-4.", "X"),
        "weight_decay": Setting(
            "Share of the weights, times the learning rate, that a step takes off: "
            "1e-4 for sgd, 0.01 for adam.",
            "X",
        ),
        "max_norm": Setting(
            "The most that the norm of a unit's weights may be, such as 2 to 4; 0 is "
            "no bound.",
            "X",
        ),
        "input_dropout": Setting(
            "Share of pixels left out in each step, such as 0.2.", "X"
        ),
        "dropout": Setting(
            "Share of hidden units left out in each step, such as 0.5.", "X"
        ),
        "label_smoothing": Setting(
            "Share of each label that is spread over all classes, such as 0.1.", "X"
        ),
        "class_weights": Setting(
            "What each class counts, as in 1,2,1; balanced: a rare one as much as any.",
            "WEIGHTS",
            _numbers,
        ),
    },
    "Run": {
        "seed": Setting("Of weights, shuffles, dropout and distortion."),
        "backend": Setting(
            "What computes: see 'nnx info'. auto takes numba where it works and pays, "
            "and numpy elsewhere.",
            "NAME",
            _text,
        ),
        "precision": Setting(
            "full, or tf32: lets a GPU round the factors of float32 products to 10 "
            "bits.",
            "NAME",
            _text,
        ),
    },
}


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command with an option for each setting.

    command: called with those that were given, as `given`; its own options are in the
        help's last panel where they name no other
    """

    @wraps(command)
    def called(**options: Any) -> None:
        names = [name for settings in PANELS.values() for name in settings]
        found = {name: options.pop(name) for name in names}
        given = {name: v for name, v in found.items() if v is not None}
        command(given, **options)

    _, *own = inspect.signature(command).parameters.values()
    first = [p for p in map(_in_a_panel, own) if _info(p).rich_help_panel != "Run"]
    last = [p for p in map(_in_a_panel, own) if _info(p).rich_help_panel == "Run"]
    settings = [
        _parameter(name, setting, panel)
        for panel, settings in PANELS.items()
        for name, setting in settings.items()
    ]
    signature = inspect.Signature([*first, *settings, *last])
    called.__signature__ = signature  # type: ignore[attr-defined]
    return called


def _info(parameter: inspect.Parameter) -> Any:
    """Return what Typer is told of a parameter."""
    assert get_origin(parameter.annotation) is Annotated
    return get_args(parameter.annotation)[1]


def _in_a_panel(parameter: inspect.Parameter) -> inspect.Parameter:
    """Return the parameter, in the panel Run if it is in none."""
    kind, info = get_args(parameter.annotation)[0], copy(_info(parameter))
    info.rich_help_panel = info.rich_help_panel or "Run"
    return parameter.replace(
        annotation=Annotated[kind, info], kind=inspect.Parameter.KEYWORD_ONLY
    )


def _parameter(name: str, setting: Setting, panel: str) -> inspect.Parameter:
    default = {field.name: field.default for field in fields(Config)}[name]
    option, words = "--" + name.replace("_", "-"), _words(default)
    help = setting.help.removesuffix(".") + (f" (default {words})." if words else ".")
    if isinstance(default, bool):
        decided = typer.Option(
            f"{option}/--no-{option[2:]}", help=help, rich_help_panel=panel
        )
        annotation: Any = Annotated[bool | None, decided]
    else:
        read = typer.Option(
            option,
            help=help,
            metavar=setting.metavar,
            parser=setting.read,
            rich_help_panel=panel,
        )
        annotation = Annotated[str | None, read]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def _words(default: Any) -> str:
    """Return a default as it would be written on the command line."""
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    if isinstance(default, bool):
        return "on" if default else "off"
    return f"{default:g}" if isinstance(default, float) else str(default)
