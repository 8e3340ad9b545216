"""A regression's scores, against scikit-learn's and worked by hand."""

import numpy as np
import pytest

import nnx
from nnx.cli import classes
from nnx.cli import values as printed
from nnx.data.dataset import Column, Dataset, Frame, Split, Target, in_units
from nnx.training import scores


def _data(targets: int = 2, n: int = 200) -> Dataset:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 5)).astype(np.float32)
    y = np.tanh(x @ rng.normal(size=(5, targets))).astype(np.float32)
    half = n // 2
    return Dataset(
        "table",
        Split(x[:half], y[:half]),
        Split(x[half:], y[half:]),
        (),
        Frame(1, 5, 1, 0),
        task="regression",
        columns=tuple(map(Column, "abcde")),
        targets=tuple(Target(f"t{i}", 50.0, 10.0**i) for i in range(targets)),
    )


@pytest.mark.parametrize("validation", [0.0, 0.2])
def test_errors_are_in_the_targets_own_units(validation: float) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    data, network = _data(), nnx.Network([5, 8, 2], seed=0)
    result = nnx.train(
        network, data, epochs=3, backend="numpy", validation_fraction=validation
    )
    true = in_units(data.test.labels, data.targets)
    predicted = result.network.predict(data.test.images)
    found = nnx.evaluate(result.network, data)
    each = metrics.root_mean_squared_error(true, predicted, multioutput="raw_values")
    assert found.rmse is not None
    assert found.r2 is not None
    assert result.test_rmse is not None
    np.testing.assert_allclose(found.rmse, each, rtol=1e-5)
    np.testing.assert_allclose(result.test_rmse, each, rtol=1e-5)
    r2 = metrics.r2_score(true, predicted, multioutput="raw_values")
    np.testing.assert_allclose(found.r2, r2, rtol=1e-5)
    assert found.score == pytest.approx(r2.mean(), rel=1e-4)
    assert result.test_score == pytest.approx(r2.mean(), rel=1e-4)
    assert "RMSE" in repr(result).splitlines()[-1]


def test_a_constant_is_one_whatever_rounding_says() -> None:
    # The mean of three times 0.1 is not 0.1.
    same = np.full((3, 1), 0.1)
    assert np.isnan(scores.about_mean(same)).all()
    assert scores.r2(np.array([0.5]), scores.about_mean(same)) == 0.0
    assert scores.r2(np.array([0.0]), scores.about_mean(same)) == 1.0


@pytest.mark.parametrize("scaled", ["both", "columns"])
def test_r2_is_a_number_whatever_the_unit(scaled: str) -> None:
    x, found = np.arange(60.0), []
    for size in 1.0, 1e-30, 1e-155, 1e-160:
        y = np.sin(x) * size
        data = nnx.dataset(
            x[:, None], y, scale="standard", standardize=scaled, task="regression"
        )
        result = nnx.train(nnx.Network([1, 4, 1]), data, epochs=2, backend="numpy")
        assert np.isfinite([row.test_score for row in result.log]).all()
        found.append(nnx.evaluate(result.network, data).score)
    if scaled == "both":
        assert found == pytest.approx([found[0]] * 4)
    else:
        assert np.isfinite(found).all()
        assert found[-1] == 0  # a constant, and not predicted exactly


def test_r2_of_a_picture_is_that_of_any_unit() -> None:
    true = np.array([[1.0], [2.0], [4.0]])
    given = true + np.array([[0.5], [0.0], [-0.25]])
    r2 = scores.r2_of(true, given)
    assert r2 == pytest.approx(1 - 0.3125 / np.sum((true - true.mean()) ** 2))
    np.testing.assert_array_equal(scores.r2_of(true * 2.0**-540, given * 2.0**-540), r2)
    same = np.ones((3, 1))
    assert scores.r2_of(same, same) == 1.0
    assert scores.r2_of(same, given) == 0.0


def test_what_is_printed_of_values(capsys: pytest.CaptureFixture[str]) -> None:
    data = _data()
    network = nnx.train(nnx.Network([5, 2], seed=0), data, epochs=1).network
    found = nnx.evaluate(network, data)
    assert found.rmse is not None
    assert classes.described(data.classes, found) == {}
    described = printed.described(data.targets, found)["targets"]
    assert [each["name"] for each in described] == ["t0", "t1"]
    assert described[1]["rmse"] == pytest.approx(found.rmse[1])
    printed.print_table(data.targets, found)
    _, heading, _, *rows = capsys.readouterr().out.splitlines()
    assert heading.split() == ["target", "R²", "RMSE"]
    r2, each = f"{described[1]['r2']:.4f}", [*map(scores.quantity, found.rmse)]
    assert rows[1].split() == ["t1", r2, each[1]]
    assert printed.rmse(data.targets, found.rmse) == f"RMSE t0 {each[0]}, t1 {each[1]}"
    assert printed.rmse(data.targets[:1], found.rmse[:1]) == f"RMSE {each[0]}"


def test_what_is_printed_of_labels(capsys: pytest.CaptureFixture[str]) -> None:
    part = Split(np.eye(4, dtype=np.float32), np.eye(4, 2, dtype=np.uint8))
    data = Dataset(
        "tags", part, part, ("cat", "dog"), Frame(1, 4, 1, 0),
        task="multilabel", columns=tuple(map(Column, "abcd")),
    )  # fmt: skip
    network = nnx.train(nnx.Network([4, 2], seed=0), data, epochs=1).network
    found = nnx.evaluate(network, data)
    right = network.predict(part.images) == part.labels
    assert found.accuracy == right.all(axis=1).mean()
    described = classes.described(data.classes, found)
    assert [each["images"] for each in described["classes"]] == [1, 1]
    assert "confusion" not in described
    assert printed.described(data.targets, found) == {}
    classes.print_tables(data, found)
    heading = capsys.readouterr().out.splitlines()[1]
    assert heading.split() == ["label", "precision", "recall", "rows"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.000"), (1.23456, "1.235"), (41234.5, "41,234"), (0.012345, "0.01235"),
        (999.96, "1,000.0"), (1e-7, "1.000e-07"), (-2.5e12, "-2.500e+12"),
        (-12.3456, "-12.35"),
    ],
)  # fmt: skip
def test_a_quantity_has_four_digits(value: float, text: str) -> None:
    assert scores.quantity(value) == text


@pytest.mark.parametrize("task", ["regression", "multilabel"])
def test_the_gradient_check_of_what_is_no_class(task: str) -> None:
    data = _data()
    if task == "multilabel":
        tags = [Split(x, (y > 0).astype(np.uint8)) for x, y in (data.train, data.test)]
        data = data._replace(
            train=tags[0], test=tags[1], task=task, targets=(), classes=("a", "b")
        )
    network = nnx.train(nnx.Network([5, 4, 2], seed=0), data, epochs=1).network
    for delta in (0.0, 0.5) if task == "regression" else (0.0,):
        rows = nnx.gradcheck(network, data, huber_delta=delta)
        assert all(row.within_bound and row.largest > 0 for row in rows)
