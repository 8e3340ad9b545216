"""Every setting has a row, and a refusal names the setting, the value and the rule."""

import tomllib
from typing import Any, get_type_hints

import numpy as np
import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

import nnx
from nnx.data.dataset import Dataset
from nnx.errors import InputError
from nnx.maths.activations import ACTIVATIONS
from nnx.maths.distortion import Distortion
from nnx.maths.hyperparameters import CONSTANT, Schedule
from nnx.maths.initializers import INITIALIZERS
from nnx.maths.schedules import SHAPES
from nnx.settings import (
    ROWS,
    Settings,
    TrainingSettings,
    as_text,
    complete,
    layered,
    notation,
)
from nnx.settings.kinds import PANELS
from nnx.settings.other_names import ALSO_CALLED, OPTIONS, RENAMED
from nnx.settings.table import OPTIMIZERS
from nnx.settings.values import AUTOMATIC, regression_rate, suggestion


def test_every_setting_has_a_row() -> None:
    assert list(ROWS) == list(get_type_hints(Settings))
    assert set(get_type_hints(TrainingSettings)) < set(ROWS)
    for name, row in ROWS.items():
        assert row.panel in PANELS, name
        assert row.help.endswith("."), name
        assert row.kind.allowed, name
        assert row.kind.read(row.default) == row.default, name


def test_defaults_are_allowed() -> None:
    defaults = {name: row.default for name, row in ROWS.items()}
    automatic = {"learning_rate": 0.2, "momentum": 0.0, "beta2": 0.0}
    assert complete({}) == defaults | automatic
    assert complete(defaults) == complete({})


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("epochs", [0, -1, 1.5, "3", True, 10**7]),
        ("batch_size", [0, -5, "half", 2.0, False]),
        ("learning_rate", [0, -0.1, float("nan"), float("inf"), 1e9, "0.1"]),
        ("learning_rate", [10**400, -(10**400)]),
        ("optimizer", ["Adam", "", None, 1]),
        ("momentum", [-0.1, 1, float("nan"), "0.9", None]),
        ("beta2", [1.0, True]),
        ("schedule", ["", "cos", "step:", "linear:to", "step:every=x", "step:rise=1"]),
        ("schedule", ["plateau:patience=0", "plateau:patience=1.5", "cosine:to=nan"]),
        ("schedule", ["cosine:to=1,to=1", 3, None, "constant:every=2"]),
        ("schedule", ["constant:warmup=-1", "step:every=0", "linear:over=-1"]),
        ("schedule", ["step:factor=0", "step:factor=2", "inverse:rate=-1"]),
        ("schedule", ["dip:rise=0", "dip:rise=1", "one-cycle:start=2"]),
        ("schedule", [Schedule("cos"), Schedule("cosine", to=-1.0), ("cosine",)]),
        ("schedule", [Schedule("cosine", to="0.1"), Schedule(["cosine"])]),
        ("schedule", [Schedule("plateau", patience=1.5), Distortion()]),
        ("momentum_schedule", ["", "cos", "linear:to", "linear:rate=1", 0.5, None]),
        ("l1", [-1e-9, 1, float("nan")]),
        ("l2", [-1e-9, 1, float("nan")]),
        ("weight_decay", [-1, 1]),
        ("clip_norm", [-1, 1e-7, float("inf"), 1e7]),
        ("max_norm", [-1, 1e-7, "3"]),
        ("dropout", [1, 0.999999, -0.1]),
        ("input_dropout", [1, 0.999999, -0.1]),
        ("input_noise", [1, -0.1, float("nan"), "0.1"]),
        ("batch_norm", [0, 1, "true", None]),
        ("label_smoothing", [1, -0.1]),
        ("class_weights", ["fair", [1, 0], [1, "2"], [True], [1, float("nan")], "1,x"]),
        ("ema_decay", [1, -0.1]),
        ("validation_fraction", [1, -0.1, "0.1"]),
        ("patience", [-1, 1.5, True]),
        ("augment", ["shift", "shift=x", "shfit=1", "shift=-1", "rotation=200"]),
        ("augment", ["shift=1,shift=2", "sigma=0", "scale=nan", "shift=1,", 1, "=1"]),
        ("augment", [Distortion(shift=-1.0), Distortion(sigma=0.0), Distortion("2")]),
        ("augment", [(2.0, 15.0), CONSTANT, Distortion(rotation=float("nan"))]),
        ("pixels", ["scaled", 1, None]),
        ("seed", [-1, 2**63, 0.5]),
        ("checkpoint_seconds", [0, 0.09, 1e7, "60s"]),
        ("checkpoint_steps", [-1, 0.5]),
        ("keep_checkpoints", [0, True]),
        ("shards", [0, 4097, True]),
        ("hidden", [[0], [1.5], 1.5, [10**6], "128,x", [True], True, ["128"]]),
        ("activation", ["gelu2", "", None, "relu,", "relu,gelu2"]),
        ("activation", [[], ["relu", 1], ["gelu2"], ["relu,tanh"], 1]),
        ("init", ["saxe", "normal:", "normal:0", "normal:x", 1, "he,", "he,saxe"]),
        ("init", [[], ["he", None], ["saxe"], "normal:inf", "normal:-1"]),
        ("dtype", ["float16", "double", np.float16, float, np.dtype("int64")]),
        ("precision", ["half", None, ""]),
        ("dataset", ["", 1]),
        ("backend", ["", None]),
        ("data_dir", [None, 1]),
    ],
)
def test_values_that_are_refused(name: str, values: list) -> None:
    for value in values:
        with pytest.raises(InputError, match=f"^run.toml: {name} must be .*, not "):
            complete({name: value}, "run.toml")


BOUNDS: dict[str, list[Any]] = {
    "epochs": [1, 10**6],
    "batch_size": [2, 2**31 - 1, "full"],
    "learning_rate": [1e-300, 1000, "auto"],
    "momentum": [0, 1 - 1e-16, "auto"],
    "ema_decay": [0, 0.9999],
    "patience": [0],
    "validation_fraction": [0, 0.999],
    "clip_norm": [0, 1e-6, 1e6],
    "max_norm": [0, 1e-6, 1e6],
    "l1": [0, 0.999],
    "l2": [0, 0.999],
    "weight_decay": [0, 0.999],
    "input_dropout": [0, 0.99],
    "input_noise": [0, 0.999],
    "dropout": [0, 0.99],
    "label_smoothing": [0, 0.999],
    "class_weights": ["balanced", [], [1e-6, 1e6], (1, 2)],
    "augment": ["", " ", None, "shift=0", "scale=0.95,sigma=0.1", "elastic=1000"],
    "schedule": [*(set(notation.SCHEDULES) - {"plateau"}), "step:every=0.01,factor=1"],
    "momentum_schedule": ["dip:to=0.85", "linear:to=0.99,over=20", "constant:warmup=0"],
    "seed": [0, 2**63 - 1],
    "checkpoint_seconds": [0.1, 1e6],
    "checkpoint_steps": [0, 10**12],
    "keep_checkpoints": [1, 10**6],
    "shards": [1, 4096],
    "hidden": [[], (), [1], [100_000]],
    "activation": [*ACTIVATIONS, "relu,tanh", ["relu", "tanh"], "relu, tanh"],
    "init": ["auto", "normal:0.01", "he,zeros", ("glorot", "lecun")],
}


@pytest.mark.parametrize("name", BOUNDS)
def test_values_at_the_bounds_are_allowed(name: str) -> None:
    for value in BOUNDS[name]:
        settings = complete({name: value})
        read = settings[name]
        assert complete({name: read})[name] == read


def test_a_setting_that_does_not_exist() -> None:
    with pytest.raises(
        InputError, match=r"run\.toml: no setting is called 'zzz'; .*l2"
    ):
        complete({"zzz": 0.1}, "run.toml")


@pytest.mark.parametrize("name", RENAMED)
def test_a_setting_that_was_renamed_is_told(name: str) -> None:
    says = f"^run.toml: {name} is now called {RENAMED[name]}$"
    with pytest.raises(InputError, match=says):
        complete({name: 0.1}, "run.toml")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        *ALSO_CALLED.items(),
        ("LR", "learning_rate"),
        ("learning-rate", "learning_rate"),
        ("dropuot", "dropout"),
        ("weight_decy", "weight_decay"),
        ("optimiser", "optimizer"),
    ],
)
def test_a_name_that_is_nearly_right(name: str, meant: str) -> None:
    assert suggestion(name) == meant
    if name not in RENAMED and meant not in OPTIONS:
        with pytest.raises(InputError, match=f"did you mean {meant}\\?"):
            complete({name: 1})


@pytest.mark.parametrize("name", ["threads", "require_accuracy", "preset", "verbose"])
def test_an_option_of_the_command_is_no_setting(name: str) -> None:
    option = "--" + ALSO_CALLED.get(name, name).replace("_", "-")
    with pytest.raises(
        InputError, match=f"{name}' is not a setting: give the command {option}"
    ):
        complete({name: 1})


def test_python_keywords_are_checked_too(data: Dataset) -> None:
    network = nnx.Network([25, 3])
    for options, says in (
        ({"learning_rate": -1}, r"^learning_rate must be a number above 0 .*, not -1"),
        ({"lr": 0.1}, "no setting is called 'lr'; did you mean learning_rate"),
        ({"hidden": [3]}, "nnx.train takes no hidden: give the widths to nnx.Network"),
    ):
        with pytest.raises(InputError, match=says):
            nnx.train(network, data, **options)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"patience": 3}, "patience needs a validation set: .*or give validation data"),
        ({"schedule": " plateau"}, "schedule plateau needs a validation set"),
        ({"schedule": "plateau"}, "schedule plateau needs a validation set"),
        ({"momentum_schedule": "plateau"}, "momentum_schedule cannot be plateau"),
        ({"momentum_schedule": "linear:to=1"}, "must end below 1, not at to=1"),
        ({"batch_norm": True, "batch_size": 1}, "batch_norm needs a batch_size of 2"),
        ({"beta2": 0.9}, "beta2 is for adam and rmsprop; sgd has none: leave out 0.9"),
    ],
)
def test_settings_that_do_not_go_together(settings: dict, says: str) -> None:
    with pytest.raises(InputError, match=says):
        complete(settings)
    with pytest.raises(InputError, match=f"^run.toml: .*{says}"):
        complete(settings, "run.toml")


@pytest.mark.parametrize(
    ("sizes", "rate"),
    [((2, 1), 0.2), ((10, 1), 0.1), ((4, 6, 9), 0.1), ((10, 30, 20, 1), 0.025)],
)
def test_the_rate_of_a_regression_depends_on_the_network(sizes, rate) -> None:
    assert regression_rate(sizes) == pytest.approx(rate)
    for settings, expected in (
        ({}, rate),
        ({"momentum": 0.5}, rate / 2),
        ({"learning_rate": 0.3}, 0.3),
        ({"optimizer": "adam"}, 0.001),
    ):
        own = complete(settings, rate=regression_rate(sizes))
        assert own["learning_rate"] == pytest.approx(expected)


def test_what_auto_is_is_said_for_every_optimizer() -> None:
    assert tuple(AUTOMATIC) == OPTIMIZERS
    for name, own in AUTOMATIC.items():
        assert name in ROWS["learning_rate"].help, name
        assert not own["beta2"] or name in ROWS["beta2"].help, name


def test_what_there_is_of_a_schedule_and_of_initial_weights_is_said() -> None:
    assert {*notation.SCHEDULES} == {*SHAPES}
    assert {*notation.BOUNDS} == {*Schedule._fields} - {"name"}
    courses = ROWS["schedule"].help + ROWS["momentum_schedule"].help
    assert not {name for name in SHAPES if name not in courses}
    weights = nnx.Network.__init__.__doc__ or ""
    assert not {name for name in INITIALIZERS if f'"{name}"' not in weights}


def test_what_auto_is() -> None:
    def rates(**settings: object) -> tuple:
        numbers = complete(settings)
        return numbers["learning_rate"], numbers["momentum"], numbers["beta2"]

    assert rates() == (0.2, 0.0, 0.0)
    assert rates(momentum=0.9) == (0.02, 0.9, 0.0)
    assert rates(momentum=1 - 1e-13)[0] == pytest.approx(2e-14, rel=1e-2)
    rising = {"momentum": 0.5, "momentum_schedule": "linear:to=0.99,over=2"}
    assert rates(**rising)[0] == 0.002
    assert rates(optimizer="nesterov") == (0.02, 0.9, 0.0)
    assert rates(optimizer="adam") == rates(optimizer="adamw") == (0.001, 0.9, 0.999)
    assert rates(optimizer="rmsprop") == (0.001, 0.0, 0.99)
    assert rates(optimizer="rmsprop", learning_rate=1) == (1.0, 0.0, 0.99)
    auto = dict.fromkeys(("learning_rate", "momentum", "beta2"), "auto")
    assert rates(optimizer="adam", **auto) == rates(optimizer="adam")


def test_integers_and_lists_are_what_they_stand_for() -> None:
    settings = complete(
        {"dropout": 0, "learning_rate": 1, "hidden": [9], "class_weights": [1, 2]}
    )
    assert settings == complete({}) | {
        "learning_rate": 1.0, "hidden": (9,), "class_weights": (1.0, 2.0),
    }  # fmt: skip
    assert type(settings["dropout"]) is type(settings["learning_rate"]) is float
    assert [type(weight) for weight in settings["class_weights"]] == [float, float]
    assert type(settings["hidden"]) is tuple


@pytest.mark.parametrize(
    ("name", "text", "same"),
    [
        ("hidden", "128,64", (128, 64)),
        ("hidden", " 9 ", (9,)),
        ("hidden", "", ()),
        ("hidden", 128, (128,)),
        ("class_weights", "1,2,0.5", (1, 2, 0.5)),
        ("class_weights", "3=2", {"3": 2.0}),
        ("class_weights", "cat=2,dog=0.5", {"cat": 2.0, "dog": 0.5}),
    ],
)
def test_a_file_and_python_may_write_lists_as_the_command_line(
    name: str, text: Any, same: Any
) -> None:
    assert complete({name: text}) == complete({name: same})


@pytest.mark.parametrize("value", [np.float64, np.dtype("float64"), "float64"])
def test_a_dtype_of_numpy_s_is_its_name(value: Any) -> None:
    assert complete({"dtype": value})["dtype"] == "float64"
    network = nnx.Network([4, 2], dtype=value)
    assert network.layers[0].weight.dtype == np.float64


def test_a_class_is_no_number() -> None:
    with pytest.raises(InputError, match="epochs must be .*, not <class 'numpy.int64'"):
        complete({"epochs": np.int64})


@pytest.mark.parametrize("value", ["normal", "normal:", "normal:0", "he,normal:x"])
def test_a_normal_distribution_wants_its_deviation(value: str) -> None:
    with pytest.raises(InputError, match=r"did you mean normal:σ\?$"):
        complete({"init": value})


def test_there_is_one_form_of_each_setting() -> None:
    spaced = complete(
        {"optimizer": "adamw", "schedule": " step : every = 5", "augment": "shift =1"}
    )
    assert spaced == complete(
        {"optimizer": "adam", "schedule": "step:every=5", "augment": "shift=1"}
    )
    adam = {"optimizer": "adam", "learning_rate": 0.01}
    assert layered(adam, {"optimizer": "adamw"})["learning_rate"] == 0.01
    assert complete({"activation": "relu, tanh"})["activation"] == ("relu", "tanh")
    assert complete({"activation": ["relu"]}) == complete({"activation": "relu"})
    assert complete({"augment": None}) == complete({"augment": " "}) == complete({})


def test_notations_are_records() -> None:
    settings = complete(
        {
            "schedule": "cosine:warmup=2,to=0.001",
            "momentum_schedule": "linear:to=0.9",
            "augment": "shift=2,rotation=15,elastic=34,sigma=3",
        }
    )
    assert settings["schedule"] == Schedule("cosine", warmup=2.0, to=0.001)
    assert settings["momentum_schedule"] == Schedule("linear", to=0.9)
    assert settings["augment"] == Distortion(2.0, 15.0, elastic=34.0, sigma=3.0)
    assert complete({})["schedule"] == CONSTANT


def test_a_record_is_what_its_notation_is() -> None:
    """Numbers that a schedule has no use for are not those of another run."""
    given_ = {
        "schedule": Schedule("cosine", to=1, every=77.0),
        "momentum_schedule": Schedule(to=3.0),
        "augment": Distortion(),
    }
    written = {
        "schedule": "cosine:to=1",
        "momentum_schedule": "constant",
        "augment": "shift=0",
    }
    assert complete(given_) == complete(written)
    assert as_text(complete(given_)) == as_text(complete({})) | written


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_numpy_s_scalars_in_a_record(kind: type) -> None:
    third = kind(1 / 3)
    given_ = {"schedule": Schedule("cosine", to=third), "augment": Distortion(third)}
    written = as_text(complete(given_))
    assert written["schedule"] == f"cosine:to={float(third)!r}"
    assert written["augment"] == f"shift={float(third)!r}"
    assert complete(written) == complete(given_)


def test_a_path_that_no_settings_file_can_hold() -> None:
    with pytest.raises(InputError, match="dataset must be .*surrogates not allowed"):
        complete({"dataset": "d\udcff.csv"})


def test_numpy_s_scalars_are_numbers() -> None:
    settings = complete(
        {
            "epochs": np.int64(3),
            "learning_rate": np.float32(0.5),
            "batch_norm": np.bool_(True),
            "seed": np.array(7),
        }
    )
    assert settings == complete(
        {"epochs": 3, "learning_rate": 0.5, "batch_norm": True, "seed": 7}
    )
    assert type(settings["epochs"]) is int
    with pytest.raises(InputError, match=r"learning_rate must be .*, not nan"):
        complete({"learning_rate": np.float64("nan")})


def test_another_optimizer_takes_its_own_rates_with_it() -> None:
    base = {"learning_rate": 0.3, "momentum": 0.5, "momentum_schedule": "linear:to=0.9"}
    assert layered(base, {"optimizer": "adam"}) == {"optimizer": "adam"}
    assert layered(base, {"optimizer": "sgd"}) == base | {"optimizer": "sgd"}
    with pytest.raises(InputError, match=r"^mine: no setting .*did you mean dropout\?"):
        layered(base, {"dropuot": 0.1}, "mine")


def test_settings_are_laid_over_others() -> None:
    """What is above is checked by itself, and what is below may come from a file."""
    base = {"optimizer": "adam", "learning_rate": 0.3, "beta2": 0.9, "epochs": 3}
    above = layered(base, {"epochs": 5, "schedule": "cosine"})
    assert above == base | {"epochs": 5, "schedule": Schedule("cosine")}
    assert layered(base, {}) == base
    assert layered(base, {"optimizer": "sgd"}) == {"optimizer": "sgd", "epochs": 3}
    assert layered(complete(base), {}) == complete(base)
    # Another optimizer than the whole run's settings name.
    assert complete(layered(complete(base), {"optimizer": "sgd"})) == complete(
        {"epochs": 3}
    )
    with pytest.raises(InputError, match=r"^run\.toml: epochs must be .*, not 0$"):
        layered(base, {"epochs": 0}, "run.toml")


@pytest.mark.parametrize(
    "text",
    [
        "step:every=10,factor=0.5",
        "exponential:factor=0.95",
        "inverse:rate=0.1",
        "one-cycle:rise=0.3,start=0.04,to=0",
        "dip:rise=0.3,to=0",
        "plateau:factor=0.5,patience=5",
    ],
)
def test_what_a_schedule_is_unless_told_otherwise(text: str) -> None:
    """As the guide and the setting's help have it."""
    assert notation.schedule(text) == notation.schedule(text.partition(":")[0])


def numbers(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, exclude_max=True)


@st.composite
def schedules(draw: Any, end: float, *without: str) -> Schedule:
    """Draw a schedule; end: what `to` stays below."""
    name = draw(st.sampled_from([n for n in notation.SCHEDULES if n not in without]))
    given_ = {}
    for key in ("warmup", *notation.SCHEDULES[name]):
        low, high = notation.BOUNDS[key]
        whole = st.integers(1, 10**6).map(float)
        drawn = (
            whole if key == "patience" else numbers(low, end if key == "to" else high)
        )
        given_[key] = draw(drawn)
    return Schedule(name, **given_)


def distortions() -> st.SearchStrategy[Distortion]:
    parts = {name: numbers(0, high) for name, high in notation.LIMITS._asdict().items()}
    parts["sigma"] = numbers(notation.LEAST_SIGMA, notation.LIMITS.sigma)
    return st.builds(Distortion, **parts)


several = st.lists(st.sampled_from(list(ACTIVATIONS)), min_size=1, max_size=3)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
fractions = numbers(0, 1)
columns = st.lists(texts, max_size=3) | st.just("") | st.just("price, size of lot")
DRAWN: dict[str, st.SearchStrategy[Any]] = {
    "dataset": texts,
    "data_dir": texts | st.just(""),
    "target": columns,
    "task": st.sampled_from(["auto", "classification", "multilabel", "regression"]),
    "drop": columns,
    "categorical": columns,
    "missing": st.sampled_from(["refuse", "fill"]),
    "standardize": st.sampled_from(["both", "columns", "none"]),
    "test_data": texts | st.just(""),
    "validation_data": st.just(""),  # one or the other
    "hidden": st.lists(st.integers(1, 100_000), max_size=3),
    "activation": several | several.map(",".join),
    "init": st.sampled_from(["he", "zeros,he", ["auto", "normal:0.01"]]),
    "dtype": st.sampled_from(["float32", "float64"]),
    "backend": texts,
    "precision": st.sampled_from(["full", "tf32", "bf16"]),
    "epochs": st.integers(1, 10**6),
    "batch_size": st.integers(2, 2**31 - 1) | st.just("full"),
    "optimizer": st.sampled_from([*OPTIMIZERS, "adamw"]),
    "learning_rate": st.floats(0, 1000, exclude_min=True) | st.just("auto"),
    "schedule": schedules(1000.0),
    "momentum": fractions | st.just("auto"),
    "momentum_schedule": schedules(1.0, "plateau"),
    "beta2": st.just("auto"),
    "clip_norm": st.just(0) | numbers(1e-6, 1e6),
    "ema_decay": fractions,
    "patience": st.integers(0, 10**6),
    "batch_norm": st.booleans(),
    "validation_fraction": st.floats(0, 1, exclude_min=True, exclude_max=True),
    "augment": st.none() | distortions(),
    "pixels": st.sampled_from(["unit", "raw"]),
    "window": st.integers(1, 2**31 - 1) | st.sampled_from(["auto", "all"]),
    "l1": fractions,
    "l2": fractions,
    "weight_decay": fractions,
    "max_norm": st.just(0) | numbers(1e-6, 1e6),
    "huber_delta": st.just(0) | numbers(1e-6, 1e6),
    "input_dropout": numbers(0, 0.99),
    "input_noise": fractions,
    "dropout": numbers(0, 0.99),
    "label_smoothing": fractions,
    "class_weights": st.lists(numbers(1e-6, 1e6), max_size=4) | st.just("balanced"),
    "seed": st.integers(0, 2**63 - 1),
    "checkpoint_seconds": numbers(0.1, 1e6),
    "debug_nan": st.booleans(),
    "checkpoint_steps": st.integers(0, 10**12),
    "keep_checkpoints": st.integers(1, 10**6),
    "shards": st.integers(1, 4096),
    "from": st.text(),
}
# There is one always, as much of the rest needs it.
CHOOSE_BY = "validation_fraction"


@given(
    st.fixed_dictionaries(
        {CHOOSE_BY: DRAWN[CHOOSE_BY]},
        optional={name: drawn for name, drawn in DRAWN.items() if name != CHOOSE_BY},
    )
)
def test_settings_that_are_written_are_read_as_they_were(values: dict) -> None:
    """As a settings file has them, and as they are worked with."""
    settings = complete(values)
    written = tomli_w.dumps(as_text(settings))
    assert complete(tomllib.loads(written)) == settings
    assert complete(settings) == settings
    assert as_text(complete(as_text(settings))) == as_text(settings)


def test_every_setting_is_drawn() -> None:
    assert not {*DRAWN} ^ {*ROWS}, "DRAWN"
