"""Class weights by name, by number, as an array, a dictionary, a table, a text."""

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w

import nnx
from nnx.data.dataset import Dataset
from nnx.errors import InputError
from nnx.model_file import load as load_model
from nnx.report.document import document
from nnx.settings import ROWS, as_text, complete
from nnx.training.class_weights import class_weights
from nnx.training.folder import load_settings

PARSE = ROWS["class_weights"].kind.parse


def of(value: Any, data: Dataset) -> tuple[float, ...]:
    return class_weights(data, complete({"class_weights": value}))


@pytest.mark.parametrize(
    ("value", "weights"),
    [
        ({"b": 2}, (1.0, 2.0, 1.0)),
        ({1: 2}, (1.0, 2.0, 1.0)),
        ({"1": 2, "c": 0.5}, (1.0, 2.0, 0.5)),
        ({np.int64(2): np.float32(0.25), np.str_("a"): np.int8(3)}, (3.0, 1.0, 0.25)),
        (PARSE("b=2, c = 0.5"), (1.0, 2.0, 0.5)),
        (PARSE("1,2,0.5"), (1.0, 2.0, 0.5)),
        (np.array([1, 2, 1]), (1.0, 2.0, 1.0)),
        ([1, 2, 1], (1.0, 2.0, 1.0)),
        ({}, ()),
        ("balanced", (1.0, 1.0, 1.0)),
    ],
)
def test_what_each_class_counts(
    value: Any, weights: tuple[float, ...], data: Dataset
) -> None:
    settings = complete({"class_weights": value})
    assert class_weights(data, settings) == weights
    # As a settings file, and a checkpoint's JSON, have it.
    for written in (
        tomllib.loads(tomli_w.dumps(as_text(settings))),
        json.loads(json.dumps(as_text(settings))),
    ):
        assert complete(written) == settings


def test_a_class_s_name_goes_before_its_number(data: Dataset) -> None:
    fives = data._replace(classes=("5", "1", "0"))
    assert of({"0": 2.0}, fives) == (1.0, 1.0, 2.0)
    assert of({0: 2.0}, fives) == (1.0, 1.0, 2.0)
    assert of({2: 2.0}, fives) == (1.0, 1.0, 2.0)
    equations = data._replace(classes=("a=b", "c", "d"))
    assert of(PARSE("a=b=2"), equations) == (2.0, 1.0, 1.0)


def test_a_series_of_pandas_is_by_its_index(data: Dataset) -> None:
    series = pytest.importorskip("pandas", reason="needs pandas").Series
    # As 1 / y.value_counts() has them: the most frequent class comes first.
    assert of(series({"c": 1.0, "a": 3.0, "b": 2.0}), data) == (3.0, 2.0, 1.0)
    assert of(series([3.0, 1.0], index=[2, 0]), data) == (1.0, 1.0, 3.0)
    assert of(series([3.0, 2.0, 1.0]), data) == (3.0, 2.0, 1.0)
    # The classes of floats that are whole, and of booleans.
    assert of(series([3.0, 1.0], index=[2.0, 0.0]), data) == (1.0, 1.0, 3.0)
    two = data._replace(classes=("False", "True"))
    assert of(series([3.0, 1.0], index=[True, False]), two) == (1.0, 3.0)
    with pytest.raises(InputError, match="hidden must be"):
        complete({"hidden": series({"a": 3})})


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"d": 2}, "blobs has no class 'd'; it has 'a', 'b', 'c'$"),
        ({3: 2}, "blobs has no class '3'; it has 'a', 'b', 'c'$"),
        ({-1: 2}, "blobs has no class '-1'; it has"),
        ({"²": 2}, "blobs has no class '²'; it has"),
        ({"a": 1, 0: 2}, "class_weights has two numbers for class 'a'"),
        ({"0": 1, 0: 2}, "class_weights must be .*: class 0 is given twice"),
        ({"a": 0}, "class_weights must be a number from 0.000001 to .*not {'a': 0}"),
        ({"a": "2"}, "class_weights must be .*cat=2,dog=0.5, or balanced, not {'a'"),
        ({0.5: 2}, "class_weights must be "),
        ({"": 2}, "class_weights must be "),
        (PARSE("a=1,a=2"), "class_weights must be .* not 'a=1,a=2'"),
        (PARSE("a=1,b"), "class_weights must be "),
        (PARSE("a=x"), "class_weights must be .*, not {'a': 'x'}"),
        ([1, 2], "class_weights has 2 numbers; blobs has 3 classes"),
        (np.ones((3, 3)), "class_weights must be "),
    ],
)
def test_what_is_refused(value: Any, says: str, data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says) as refused:
        nnx.train(nnx.Network([25, 3]), data, class_weights=value, out=tmp_path / "run")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_many_classes_are_not_all_named(data: Dataset) -> None:
    many = data._replace(classes=tuple(f"class {i}" for i in range(500)))
    with pytest.raises(InputError, match="no class 'x'; it has .* …$") as refused:
        of({"x": 1}, many)
    assert len(str(refused.value)) < 250


def test_a_run_by_names_is_that_by_numbers_and_goes_on(
    network: nnx.Network, data: Dataset, tmp_path: Path
) -> None:
    how: dict[str, Any] = {"epochs": 2, "backend": "numpy"}
    ours = nnx.train(network, data, class_weights=(1, 4, 1), **how)
    named = nnx.train(
        network, data, class_weights={"b": 4}, out=tmp_path, **how | {"epochs": 1}
    )
    assert named.train_loss != ours.train_loss
    assert load_settings(tmp_path)["class_weights"] == {"b": 4.0}
    on = nnx.train(network, data, out=tmp_path, resume=True, **how)
    assert on.train_loss == ours.train_loss
    extra = load_model(tmp_path / "checkpoint.safetensors").extra
    assert extra["settings"]["class_weights"] == {"b": 4.0}
    test = nnx.evaluate(on.network, data)
    settings = load_settings(tmp_path)
    assert b"class_weights" in document(on.network, "x", settings, on.log, test, [])
