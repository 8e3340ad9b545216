"""Tables, and samples in memory, that are read as those of a network."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from data_files import refusal

import nnx
from nnx.data.digest import digest


def write(path: Path, rows: int, seed: int = 0) -> Path:
    """Write a table of numbers and text, with rare categories and a rare class."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=rows)
    with open(path, "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["id", "a", "city", "zip", "kind", "code", "price", "on", "off"])
        for i, number in enumerate(numbers):
            rare = i % 100 == 37
            city = (
                f"rare {i}" if rare else "Oslo" if number > 0 else ("Bern", "")[i % 2]
            )
            kind = "odd" if rare else ("b", "c")[i % 2]
            code, price = (1, 2, 10)[i % 3], 2 * number + i % 2
            labels = i % 2, int(number > 0)
            row = i, number.round(3), city, 7000 + i % 3, kind, code, price, *labels
            out.writerow(row)
    return path


LOADED: list[dict[str, Any]] = [
    {"target": "kind", "drop": "id"},
    {"target": "code", "categorical": "zip", "task": "classification"},
    {"target": "price", "standardize": "none"},
    {"target": ["price", "a"], "standardize": "columns"},
    {"target": ["on", "off"], "drop": ["id", "code"]},
    {"target": "kind", "test_data": "test.csv", "validation_data": "chosen.csv"},
]


@pytest.mark.parametrize("options", LOADED, ids=lambda each: str(each)[:40])
def test_a_table_that_is_read_like_itself_is_the_same(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In all its parts, so that a run can be resumed and tested from its network."""
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "t.csv", 300)
    write(tmp_path / "test.csv", 30)
    write(tmp_path / "chosen.csv", 20)
    data = nnx.load(path, missing="fill", **options)
    network = nnx.Network([data.train.images.shape[1], data.outputs])
    network = nnx.train(network, data, epochs=1, learning_rate=1e-9).network
    same = "target", "test_data", "validation_data"
    options = {name: value for name, value in options.items() if name in same}
    for like in data, network:
        again = nnx.load(path, like=like, **options)
        assert len(again.parts) == len(data.parts)
        assert digest(again) == digest(data)
        assert [part.labels.dtype for part in again.parts] == [
            part.labels.dtype for part in data.parts
        ]
        assert again.options.target == data.options.target
        assert (again.frame, again.source) == (data.frame, data.source)


def test_another_table_has_the_scales_categories_and_classes_of_the_first(
    tmp_path: Path,
) -> None:
    """Its own rows determine none of them."""
    first = nnx.load(write(tmp_path / "t.csv", 300), target="kind", missing="fill")
    other = tmp_path / "other.csv"
    other.write_text(
        "kind,zip,city,a,id,off,on,price,code,more\n"
        + "c,7001,Oslo,100,3,0,1,2.5,1,x\n" * 12
    )
    data = nnx.load(other, like=first)
    assert (data.classes, data.columns) == (first.classes, first.columns)
    assert [len(part.labels) for part in data.parts] == [11, 1]
    assert {*data.train.labels} == {first.classes.index("c")}
    [column] = [column for column in data.columns if column.name == "a"]
    at = [column.name for column in data.columns].index("a")
    scaled = (100 - column.mean) / column.scale
    assert data.train.images[:, at] == pytest.approx(scaled)
    assert "columns, scales, categories and classes" in str(data.notes)
    result = nnx.train(nnx.Network([data.train.images.shape[1], 3]), data, epochs=1)
    assert result.network.columns == first.columns


def test_what_is_not_like_it_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", 60)
    data = nnx.load(path, target="kind", missing="fill")
    network = nnx.Network([data.train.images.shape[1], 3])
    trained = nnx.train(network, data, epochs=1).network
    refusals: list[tuple[dict[str, Any], str]] = [
        ({"like": network}, "like must be a network that was trained on a table"),
        ({"like": "t.csv"}, "like must be a network that was trained on a table"),
        ({"like": trained}, "the column of classes is not known: give it as target"),
        ({"like": data, "target": "code"}, "the network predicts kind, not code"),
        (
            {"like": data, "drop": "a"},
            "drop comes with the columns of like: leave drop",
        ),
    ]
    for options, words in refusals:
        assert words in refusal(nnx.load, path, **options)
    lines = path.read_text("utf-8")
    path.write_text(lines.replace("Oslo", "Rome", 1), "utf-8")
    assert "'Rome' is in no training row" in refusal(nnx.load, path, like=data)
    path.write_text(lines.replace(",city,", ",town,"), "utf-8")
    assert "no column is called 'city'" in refusal(nnx.load, path, like=data)


def test_samples_in_memory_are_read_like_those_before() -> None:
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame({"a": rng.normal(5, 3, 60), "b": rng.normal(size=60)})
    frame["kind"] = np.where(frame["a"] > 5, "high", "low")
    first = nnx.dataset(frame, "kind")
    trained = nnx.train(nnx.Network([2, 4, 2]), first, epochs=2).network
    more = frame[frame["a"] > 5][["kind", "b", "a"]]
    for like in first, trained:
        data = nnx.dataset(more, "kind", like=like, validation=(frame, "kind"))
        assert (data.classes, data.columns) == (first.classes, first.columns)
        count = len(more) // 10
        assert [len(p.labels) for p in data.parts] == [len(more) - count, count, 60]
        assert {*data.train.labels} == {0}  # "high", though there is no other
        tested = nnx.dataset(more, "kind", more, "kind", like=like)
        assert len(tested.test.labels) == len(tested.train.labels) == len(more)
        assert np.array_equal(tested.test.images, trained.features(more))
    assert nnx.train(trained, data, epochs=1).network.columns == first.columns


def test_pixels_and_targets_in_memory_are_read_like_those_before() -> None:
    pixels = np.random.default_rng(0).integers(0, 17, (40, 4, 4), np.uint8)
    values = pixels.mean(axis=(1, 2)) + 0.25
    first = nnx.dataset(pixels, values, scale=16)
    again = nnx.dataset(pixels, values, like=first)
    assert digest(again) == digest(first)
    assert (again.frame, again.targets) == (first.frame, first.targets)
    few = nnx.dataset(pixels[:9], values[:9], like=first)
    assert [len(part.labels) for part in few.parts] == [9, 9]
    for options, words in (
        ({"like": 16}, "like must be a trained network, or a data set, not 16"),
        ({"like": first, "scale": 8}, "scale comes with like: leave one of them out"),
        ({"like": first, "task": "regression"}, "task comes with like: leave one"),
    ):
        assert words in refusal(nnx.dataset, pixels, values, **options)
