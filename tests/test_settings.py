"""Every setting has a rule, and a refusal names the setting, the value and the rule."""

from dataclasses import fields

import numpy as np
import pytest

from nnx.errors import InputError
from nnx.notation import schedule_from
from nnx.rules import RULES
from nnx.settings import Config, Training, config_from, layered


def test_every_setting_has_a_rule() -> None:
    assert set(RULES) == {field.name for field in fields(Config)}


def test_defaults_are_allowed() -> None:
    assert config_from({}) == Config()


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
        ("l1", [-1e-9, 1, float("nan")]),
        ("l2", [-1e-9, 1, float("nan")]),
        ("weight_decay", [-1, 1]),
        ("clip_norm", [-1, 1e-7, float("inf"), 1e7]),
        ("max_norm", [-1, 1e-7, "3"]),
        ("dropout", [1, 0.999999, -0.1]),
        ("input_dropout", [1, 0.999999, -0.1]),
        ("batch_norm", [0, 1, "true", None]),
        ("label_smoothing", [1, -0.1]),
        ("class_weights", ["fair", [1, 0], [1, "2"], [True], [1, float("nan")], 1]),
        ("averaging", [1, -0.1]),
        ("validation", [1, -0.1, "0.1"]),
        ("early_stopping", [-1, 1.5, True]),
        ("augment", ["shift", "shift=x", "shfit=1", "shift=-1", "rotation=200", None]),
        ("augment", ["shift=1,shift=2", "sigma=0", "scale=nan", "shift=1,", 1, "=1"]),
        ("pixels", ["scaled", 1, None]),
        ("seed", [-1, 2**63, 0.5]),
        ("hidden", [[0], [1.5], 128, [10**6], "128", [True]]),
        ("activation", ["gelu2", "", None, ["relu"], "relu,", "relu,gelu2"]),
        ("init", ["xavier", "normal:", "normal:0", "normal:x", 1, "he,", "he,xavier"]),
        ("dtype", ["float16", "double"]),
        ("dataset", ["", 1]),
        ("backend", ["", None]),
        ("data_dir", [None, 1]),
    ],
)
def test_values_that_are_refused(name: str, values: list) -> None:
    for value in values:
        with pytest.raises(InputError, match=f"^run.toml: {name} must be .*, not "):
            config_from({name: value}, "run.toml")


def test_a_setting_that_does_not_exist() -> None:
    with pytest.raises(
        InputError, match=r"run\.toml: no setting is called 'zzz'; .*l2"
    ):
        config_from({"zzz": 0.1}, "run.toml")


def test_python_keywords_are_checked_too() -> None:
    with pytest.raises(InputError, match=r"learning_rate must be a number above 0"):
        Training(learning_rate=-1)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"early_stopping": 3}, "early_stopping needs images to choose by"),
        ({"schedule": " plateau"}, "schedule plateau needs images to choose by"),
        ({"schedule": "plateau"}, "schedule plateau needs images to choose by"),
        ({"momentum_schedule": "plateau"}, "momentum_schedule cannot be plateau"),
        ({"momentum_schedule": "linear:to=1"}, "must end below 1, not at to=1"),
        ({"batch_norm": True, "batch_size": 1}, "batch_norm needs a batch_size of 2"),
        ({"beta2": 0.9}, "beta2 is for adam and rmsprop; sgd has none, not 0.9"),
    ],
)
def test_settings_that_do_not_go_together(settings: dict, says: str) -> None:
    with pytest.raises(InputError, match=says):
        Training(**settings)


def test_what_auto_is() -> None:
    def rates(**settings: object) -> tuple:
        training = Training(**settings)
        return training.learning_rate, training.momentum, training.beta2

    assert rates() == (0.2, 0.0, 0.0)
    assert rates(momentum=0.9) == (0.02, 0.9, 0.0)
    assert rates(momentum=1 - 1e-13)[0] == pytest.approx(2e-14, rel=1e-2)
    rising = {"momentum": 0.5, "momentum_schedule": "linear:to=0.99,over=2"}
    assert rates(**rising)[0] == 0.002
    assert rates(optimizer="nesterov") == (0.02, 0.9, 0.0)
    assert rates(optimizer="adam") == rates(optimizer="adamw") == (0.001, 0.9, 0.999)
    assert rates(optimizer="rmsprop", learning_rate=1) == (1.0, 0.0, 0.99)


def test_integers_and_lists_are_what_they_stand_for() -> None:
    config = config_from(
        {"dropout": 0, "learning_rate": 1, "hidden": [9], "class_weights": [1, 2]}
    )
    assert config == Config(learning_rate=1.0, hidden=(9,), class_weights=(1, 2))
    assert type(config.dropout) is type(config.learning_rate) is float


def test_one_form_of_each_setting_is_kept() -> None:
    spaced = Training(
        optimizer="adamw", schedule=" step : every = 5", augment="shift =1"
    )
    assert spaced == Training(
        optimizer="adam", schedule="step:every=5", augment="shift=1"
    )
    adam = {"optimizer": "adam", "learning_rate": 0.01}
    assert layered(adam, {"optimizer": "adamw"})["learning_rate"] == 0.01


def test_a_path_that_no_settings_file_can_hold() -> None:
    with pytest.raises(InputError, match="dataset must be .*surrogates not allowed"):
        config_from({"dataset": "d\udcff.csv"})


def test_numpy_s_scalars_are_numbers() -> None:
    training = Training(
        epochs=np.int64(3), learning_rate=np.float32(0.5), batch_norm=np.bool_(True)
    )
    assert training == Training(epochs=3, learning_rate=0.5, batch_norm=True)
    assert type(training.epochs) is int
    with pytest.raises(InputError, match=r"learning_rate must be .*, not nan"):
        Training(learning_rate=np.float64("nan"))


def test_another_optimizer_takes_its_own_rates_with_it() -> None:
    base = {"learning_rate": 0.3, "momentum": 0.5, "momentum_schedule": "linear:to=0.9"}
    assert layered(base, {"optimizer": "adam"}) == {"optimizer": "adam"}
    assert layered(base, {"optimizer": "sgd"}) == base | {"optimizer": "sgd"}
    with pytest.raises(InputError, match=r"^mine: no setting .*did you mean dropout\?"):
        layered(base, {"dropuot": 0.1}, "mine")


def test_an_exponential_schedule_falls_slowly_unless_told_otherwise() -> None:
    assert schedule_from("exponential").factor == 0.95
    assert schedule_from("exponential:factor=0.5").factor == 0.5
    assert schedule_from("step").factor == 0.5
