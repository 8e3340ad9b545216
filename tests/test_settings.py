"""Every setting has a rule, and a refusal names the setting, the value and the rule."""

from dataclasses import fields

import pytest

from nnx.errors import InputError
from nnx.rules import RULES
from nnx.settings import Config, Training, config_from


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
        ("l2", [-1e-9, 1, float("nan")]),
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
    with pytest.raises(InputError, match=r"run\.toml: no setting is called 'lr'; .*l2"):
        config_from({"lr": 0.1}, "run.toml")


def test_python_keywords_are_checked_too() -> None:
    with pytest.raises(InputError, match=r"learning_rate must be a number above 0"):
        Training(learning_rate=-1)
