import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest
from PIL import Image

from nnx import Network, dataset, evaluate, load, read_picture, train
from nnx.backend import Backend, find
from nnx.data.dataset import Dataset
from nnx.errors import InputError
from nnx.maths.network import forward
from nnx.maths.ops import Ops


def test_it_is_what_training_ended_with(
    data: Dataset, backend: Backend, tmp_path: Path
) -> None:
    network = Network([25, 7, 3], dtype="float64")
    result = train(network, data, epochs=3, out=tmp_path)
    evaluated = evaluate(Network.load(tmp_path), data, backend=backend)
    assert evaluated.images == 60
    assert evaluated.accuracy == result.test_accuracy
    assert evaluated.loss == pytest.approx(result.test_loss, rel=1e-12)


def test_logits_are_computed_once(data: Dataset) -> None:
    asked = []

    def logits(layers, pixels, activations, scale):  # type: ignore[no-untyped-def]
        asked.append(len(pixels))
        x = pixels.astype(np.float32) * scale
        return forward(layers, x, activations, Ops(np)).logits

    counting = replace(find("numpy"), ops=Ops(np, logits=logits))
    network = train(Network([25, 3]), data, epochs=1).network
    found = evaluate(network, data, backend=counting)
    assert found.loss == evaluate(network, data).loss
    assert asked == [60]


def test_data_that_does_not_fit(data: Dataset) -> None:
    network = train(Network([25, 3]), data, epochs=1).network
    for other in (
        data._replace(classes=("a", "b", "d")),
        data._replace(frame=data.frame._replace(maximum=16)),
    ):
        with pytest.raises(InputError, match=r"blobs does not fit the network"):
            evaluate(network, other)


def test_a_network_before_training_on_digits() -> None:
    """Its frame is MNIST's until it is trained; the error has the call that helps."""
    network, data = Network([64, 10], seed=0), load("digits")
    with pytest.raises(InputError, match=r"network\.replace\(frame=data\.frame\)"):
        evaluate(network, data)
    found = evaluate(network.replace(frame=data.frame), data)
    scaled = data.test.images / 16, data.test.labels
    assert found.loss == pytest.approx(evaluate(network, scaled).loss)


def test_another_table_by_its_path(tmp_path: Path) -> None:
    """As the command tests on one: scaled as the network has it, all of its rows."""
    rng = np.random.default_rng(0)
    x = rng.normal([30, 400], [9, 80], (300, 2))
    names = np.array(["cat", "dog"])[(x[:, 0] / 9 + x[:, 1] / 80 > 8.3).astype(int)]

    def table(name: str, rows: slice) -> Path:
        lines = [
            f"{b},{i},{a},{y}"
            for i, ((a, b), y) in enumerate(zip(x[rows], names[rows], strict=True))
        ]
        path = tmp_path / name
        path.write_text("\n".join(["b,id,a,kind", *lines]))
        return path

    how = {"target": "kind", "drop": "id"}
    data = load(table("one.csv", slice(0, 200)), **how)
    network = train(Network([2, 8, 2]), data, epochs=60).network
    other = table("other.csv", slice(200, 300))
    found = evaluate(network, other, target="kind")
    assert (found.images, found.accuracy > 0.9) == (100, True)
    right = np.array(network.classes)[network.predict(network.features(x[200:, ::-1]))]
    assert found.accuracy == np.mean(right == names[200:])
    with pytest.raises(
        InputError, match="the column of classes is not known: give it as target"
    ):
        evaluate(network, other)
    with pytest.raises(InputError, match="scaled by its own rows, .*like=network"):
        evaluate(network, load(other, **how))
    for given in data, "digits":
        alone = Network([64, 10]) if given == "digits" else network
        with pytest.raises(InputError, match="target is for a table given by"):
            evaluate(alone, given, target="kind")  # type: ignore[arg-type]


def _frame() -> pandas.DataFrame:
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(
        rng.normal([30, 400], [9, 80], (300, 2)), columns=["a", "b"]
    )
    frame["kind"] = np.where(frame.a / 9 + frame.b / 80 > 8.3, "cat", "dog")
    return frame.assign(sum=frame.a * 20 + frame.b, less=frame.a - frame.b / 9)


def test_rows_of_a_frame_are_scaled_as_in_training() -> None:
    frame = _frame()
    old, new = frame[:200], frame[200:]
    data = dataset(old[["a", "b", "kind"]], "kind")
    network = train(Network([2, 8, 2]), data, epochs=60).network
    x = new[["b", "a"]]
    right = np.mean(np.array(network.classes)[network.predict(x)] == new.kind)
    as_array = new[["a", "b"]].to_numpy()
    for pair in (
        (x, new.kind), (x, new.kind.to_numpy()), (new, "kind"), (new, ["kind"]),
        (as_array, new.kind), (as_array.tolist(), list(new.kind)),
        (as_array.astype(np.float32), new.kind),
    ):  # fmt: skip
        found = evaluate(network, pair)
        assert (found.images, found.accuracy) == (100, right)
    assert right > 0.9
    with pytest.raises(InputError, match="x has 3 columns, not 2"):
        evaluate(network, (np.c_[as_array, as_array[:, 0]], new.kind))
    with pytest.raises(InputError, match="scaled already, as by network.features"):
        evaluate(network, (network.features(x), new.kind))


def test_columns_that_are_not_needed_may_be_of_any_kind() -> None:
    """Of a table in a file, too, they are not read: dates, lists, names."""
    rows = [[i] for i in range(300)]
    frame = _frame().assign(when=pandas.Timestamp(0), parts=rows)
    with pytest.raises(InputError, match="'when': is datetime64.*: leave it out"):
        dataset(frame, "kind")
    x_test = frame[200:].drop(columns="when"), frame.kind[200:]
    drop = ["when", "parts", "sum", "less"]
    data = dataset(frame[:200], "kind", drop=drop, validation=(frame[200:], "kind"))
    beside = dataset(
        frame[:200].drop(columns="kind"), frame.kind[:200], *x_test, drop=drop
    )
    assert len(data.columns) == len(beside.columns) == 2
    network = train(Network([2, 8, 2]), data, epochs=5).network
    assert network.predict(frame).shape == (300,)
    assert evaluate(network, (frame, "kind")) is not None
    assert evaluate(network, (frame, frame.kind)).images == 300
    for call in (
        lambda: dataset(frame, "kind", drop=["When"]),
        lambda: network.predict(frame.drop(columns="a")),
    ):
        with pytest.raises(
            InputError, match="no column is called .*; there are .*when"
        ):
            call()


def test_rows_of_an_array_with_text_are_those_of_its_frame() -> None:
    frame = _frame().assign(kind=["Oslo", "Bern", "Rome"] * 100)[["kind", "a", "sum"]]
    data = dataset(frame[:200], "sum")
    x, y = frame[200:].drop(columns="sum"), frame["sum"][200:]
    network = train(Network([4, 8, 1], init="glorot"), data, epochs=20).network
    found = evaluate(network, (x, y))
    assert evaluate(network, (x.to_numpy(), y.to_numpy())).score == found.score
    chosen_by = x.to_numpy(), y.to_numpy()
    by_array = train(network, data, validation=chosen_by, epochs=1)
    by_frame = train(network, data, validation=(x, y), epochs=1)
    assert by_array.validation_score == by_frame.validation_score


def test_rows_of_arrays_are_scaled_as_in_training() -> None:
    frame = _frame()
    x, y = frame[["a", "b"]].to_numpy(), frame[["sum", "less"]]
    data = dataset(x[:200], y[:200], scale="standard")
    network = train(Network([2, 8, 2], init="glorot"), data, epochs=20).network
    x, y = x[200:], y[200:]
    errors = network.predict(network.features(x)) - y
    for targets in y, y[["less", "sum"]], y.to_numpy():
        found = evaluate(network, (x, targets))
        np.testing.assert_allclose(found.rmse, (errors**2).mean() ** 0.5, rtol=1e-5)
    named = frame.rename(columns={"a": "x0", "b": "x1"})
    for given, says in (
        ((frame, y), "x: no column is called 'x0'; there are 'a', 'b', 'kind', 'sum'"),
        ((named, "sum"), "y names sum; what is predicted is sum, less"),
        ((x, y["sum"]), "y, column|y has 1 columns, not 2"),
        ((x[:5], y), "x has 5 rows, and y 100"),
        (data._replace(targets=data.targets[::-1]), "its targets are not those"),
        ((x, y, x), r"data must be a pair \(x, y\), not .*, or a data set"),
        (data.test, r"a part of a data set does not tell its scale: .*_replace\(test="),
    ):
        with pytest.raises(InputError, match=says):
            evaluate(network, given)


@pytest.mark.parametrize("below", ["", "test"])
def test_a_folder_of_pictures_is_tested_whole(tmp_path: Path, below: str) -> None:
    """In the network's size; it may lack classes that the network has."""
    network = train(Network([64, 10], seed=0), load("digits"), epochs=1).network
    rng, labels = np.random.default_rng(0), [3] * 4 + [7] * 3
    for i, label in enumerate(labels):
        folder = tmp_path / below / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        grey = Image.fromarray(rng.integers(0, 256, (9, 9)).astype(np.uint8))
        grey.resize((60, 50)).save(folder / f"{i}.png")
    if below:
        (tmp_path / "train" / "5").mkdir(parents=True)
        shutil.copy(tmp_path / below / "3" / "0.png", tmp_path / "train" / "5")
    paths = sorted((tmp_path / below).glob("[37]/*"))
    pixels = [read_picture(path, network.frame).pixels.ravel() for path in paths]
    found = evaluate(network, tmp_path)
    assert found.loss == evaluate(network, (np.array(pixels), labels)).loss
    assert found.confusion.sum(axis=1).tolist() == [0, 0, 0, 4, 0, 0, 0, 3, 0, 0]
    (tmp_path / below / "three").mkdir()
    with pytest.raises(InputError, match=r"three: the network has no class of .* '0',"):
        evaluate(network, tmp_path)


def test_pixels_in_memory(data: Dataset) -> None:
    network = train(Network([25, 7, 3]), data, epochs=1).network
    images, labels = data.test
    names = np.array(network.classes)[labels]
    loss = evaluate(network, data).loss
    assert evaluate(network, (images, names)).loss == loss
    assert evaluate(network, (images / 255, names)).loss == pytest.approx(loss)
    for dtype in np.int64, ">i2", np.uint16:
        assert evaluate(network, (images.astype(dtype), names)).loss == loss
    lit = images > 99
    by_hand = evaluate(network, (lit / 1.0, names))
    assert evaluate(network, (lit, names)).loss == by_hand.loss
    right = np.array(network.classes)[network.predict(lit)] == names
    assert by_hand.accuracy == np.mean(right)
    for pair, says in (
        ((images * 2 + np.int64(300), names), r"x\[0, \d+\]: .* is outside 0-255"),
        ((images[:, 1:], names), "in memory does not fit the network: features, .* 24"),
        ((images[1:], names), "label for each of 59 images, got .* shape .60,"),
        ((images[:1], ["owl"]), "class 'owl' is in no training row"),
        ((images * 1.0, names), "^x is float64 from .*scale: give uint8 up to 255"),
    ):
        with pytest.raises(InputError, match=says):
            evaluate(network, pair)


def test_confusion_precision_and_recall_are_scikit_learn_s(
    data: Dataset, backend: Backend
) -> None:
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 60)  # none of the third class
    hard = data._replace(test=data.test._replace(labels=labels))
    network = Network([25, 7, 3], "relu", dtype="float64", seed=3).replace(
        classes=data.classes, frame=data.frame
    )
    found = evaluate(network, hard, backend=backend)
    predicted = network.predict_proba(hard.test.images).argmax(axis=1)
    assert found.confusion.dtype == np.int64
    expected = confusion_matrix(labels, predicted, labels=range(3))
    np.testing.assert_array_equal(found.confusion, expected)
    assert np.trace(found.confusion) / 60 == found.accuracy
    precision, recall, _, _ = precision_recall_fscore_support(
        labels, predicted, labels=range(3), zero_division=np.nan
    )
    np.testing.assert_allclose(found.precision, precision)
    np.testing.assert_allclose(found.recall, recall)
    assert np.isnan(found.recall[2])
