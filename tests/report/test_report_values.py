"""Pictures of a regression and of several labels show what the network has done."""

from itertools import pairwise

import numpy as np
import pytest

from nnx import Network
from nnx.data.dataset import Column, Dataset, Frame, Split, Target
from nnx.errors import InputError
from nnx.maths.state import Layer
from nnx.report import predictions, style, values
from nnx.report.document import document
from nnx.report.pictures import pictures
from nnx.settings import complete
from nnx.training.evaluate import Evaluation, evaluate
from nnx.training.folder import PICTURES
from nnx.training.log import Row

TRUE = np.array([[1.0, 100.0], [2.0, 300.0], [4.0, 200.0]])
OFF = TRUE + np.array([[0.5, 0.0], [0.0, -10.0], [-0.5, 10.0]])
NAMES = "size", "price"


def test_predictions_lie_where_they_are_and_the_diagonal_is_drawn() -> None:
    figure = values.predictions(TRUE, OFF, NAMES)
    for i, panel in enumerate(figure.axes):
        [points] = panel.collections
        np.testing.assert_array_equal(
            np.asarray(points.get_offsets()), np.column_stack((TRUE, OFF))[:, i::2]
        )
        low, high = panel.get_xlim()
        assert low < points.get_offsets().min() < points.get_offsets().max() < high
        [diagonal] = panel.get_lines()
        np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())
        assert panel.get_xlim() == panel.get_ylim()
        assert (panel.get_xlabel(), panel.get_ylabel()) == ("true", "predicted")
    r2 = 1 - 0.5 / np.sum((TRUE[:, 0] - TRUE[:, 0].mean()) ** 2)
    titles = [panel.get_title(loc="left") for panel in figure.axes]
    assert titles[0] == f"size: R² {r2:.4f}"
    assert titles[1].startswith("price: R² 0.99")


def test_residuals_are_predicted_less_true() -> None:
    [panel, _] = values.residuals(TRUE, OFF, NAMES).axes
    [points] = panel.collections
    expected = np.column_stack((OFF[:, 0], [0.5, 0.0, -0.5]))
    np.testing.assert_allclose(np.asarray(points.get_offsets()), expected)
    assert panel.get_title(loc="left") == f"size: RMSE {np.sqrt(0.5 / 3):.4g}"
    labels = panel.get_xlabel(), panel.get_ylabel()
    assert labels == ("predicted", "predicted - true")
    [zero] = panel.get_lines()
    assert list(zero.get_ydata()) == [0, 0]
    bytes_ = TRUE[:, 0].astype(np.uint8)
    [panel] = values.residuals(bytes_, bytes_ - 1).axes
    low, high = panel.get_ylim()
    assert -low == high > 1


@pytest.mark.parametrize("draw", [values.predictions, values.residuals])
@pytest.mark.parametrize("targets", [1, 2, 3])
def test_long_names_of_targets_are_on_the_picture(draw: object, targets: int) -> None:
    names = [f"MEDIAN OF SOMETHING MEASURED, No {i}" for i in range(targets)]
    true = np.linspace(0, 1e-5, 30)[:, None] * np.ones(targets)
    figure = draw(true, true + 1.234e-7, names)  # type: ignore[operator]
    style.encoded(figure, "png")
    render = figure.canvas.get_renderer()
    ends = [panel._left_title.get_window_extent(render) for panel in figure.axes]
    assert all(end.x1 <= figure.bbox.x1 for end in ends)


@pytest.mark.parametrize("draw", [values.predictions, values.residuals])
def test_one_target_needs_no_second_axis(draw: object) -> None:
    for true in TRUE[:, 0], TRUE[:, :1], TRUE[:, 0].astype(int):
        [panel] = draw(true, OFF[:, 0]).axes  # type: ignore[operator]
        assert np.shape(panel.collections[0].get_offsets()) == (3, 2)


@pytest.mark.parametrize("size", [3e4, 3e6, -3e4])
def test_large_values_are_written_out(size: float) -> None:
    """As they are in tables, and not in powers of ten at the end of an axis."""
    true = np.linspace(0.1, 1, 7) * size
    for draw in values.predictions, values.residuals:
        figure = draw(true, true[::-1])
        figure.draw_without_rendering()
        [panel] = figure.axes
        for axis in panel.xaxis, panel.yaxis:
            assert not axis.get_offset_text().get_text()
            words = [label.get_text() for label in axis.get_ticklabels()]
            assert all(len(word) < 5 or "," in word for word in words)
    size = np.sqrt(np.mean((true - true[::-1]) ** 2))
    assert panel.get_title(loc="left") == f"value: RMSE {size:,.0f}"


@pytest.mark.parametrize("value", [0.0, 0.1, -1e9])
def test_a_constant_that_is_predicted_exactly_can_be_drawn(value: float) -> None:
    same = np.full(3, value)
    [panel] = values.predictions(same, same).axes
    assert panel.get_title(loc="left") == "value: R² 1.0000"
    low, high = panel.get_xlim()
    assert high - low > 1e-3 * max(1, abs(value))
    [panel] = values.residuals(same, same).axes
    assert panel.get_title(loc="left") == "value: RMSE 0.000"


def test_many_rows_and_targets_are_drawn_in_part_and_it_is_said() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(size=(5000, 11))
    names = [f"t{i}" for i in range(11)]
    for draw, title in (
        (values.predictions, "Predicted against true values"),
        (values.residuals, "Residuals: predicted - true"),
    ):
        figure = draw(true, true + 1, names)
        in_part = ": 2,000 of 5,000 rows, the first 9 of 11 targets"
        assert figure.get_suptitle() == title + in_part
        drawn = [panel for panel in figure.axes if panel.collections]
        assert len(drawn) == 9
        points = np.asarray(drawn[0].collections[0].get_offsets())
        assert points.shape == (2000, 2)
        assert true[-1, 0] + 1 in points[-1]
        figure = draw(true[:, :4], true[:, :4], names[:4])
        assert [panel.axison for panel in figure.axes] == [True] * 4 + [False] * 2


@pytest.mark.parametrize(
    ("true", "predicted"),
    [
        (TRUE, OFF[:2]), (TRUE[:, 0], OFF[:, 0]), (TRUE[:0], OFF[:0]),
        (TRUE, OFF * np.nan), (TRUE, np.array([["a", "b"]] * 3)), (1.0, 1.0),
    ],
)  # fmt: skip
def test_arrays_that_do_not_belong_together(true: object, predicted: object) -> None:
    for draw in values.predictions, values.residuals:
        with pytest.raises(InputError, match="true and predicted values"):
            draw(true, predicted, NAMES)


def test_bars_of_each_label() -> None:
    counts = np.array([[3, 0], [4, 0], [6, 2]])
    [panel] = predictions.labels(counts, ("cat", "dog")).axes
    widths = [[bar.get_width() for bar in group] for group in panel.containers]
    assert widths == [[0.75, 0.0], [0.5, 0.0]]
    ends = [(bar.get_y(), bar.get_y() + 0.36) for of in panel.containers for bar in of]
    assert all(one[1] < next_[0] for one, next_ in pairwise(sorted(ends)))
    assert panel.get_xlim() == (0, 1)
    assert panel.xaxis.get_major_formatter()(0.5).endswith("%")
    bottom, top = panel.get_ylim()
    assert bottom > top  # the first label is on top
    assert [t.get_text() for t in panel.get_yticklabels()] == ["cat (6)", "dog (2)"]
    with pytest.raises(InputError, match=r"shape \(3, 3\)"):
        predictions.labels(counts, ("cat", "dog", "cow"))


def test_of_many_labels_the_most_frequent() -> None:
    counts = np.tile(np.arange(40), (3, 1))
    counts[:2] = 40 - counts[:2]
    figure = predictions.labels(counts, [f"l{i}" for i in range(40)])
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert names == [f"l{i} ({i})" for i in range(10, 40)]
    assert "30 most frequent labels" in figure.get_suptitle()


def _exact() -> tuple[Network, Dataset]:
    """Return a network that adds its two features, and what it is to predict."""
    x = np.array([[1, 2], [3, 4], [0, 1]], np.float32)
    # Standardized by a mean of 10 and a scale of 2; off by 1 in the last row alone.
    y = np.array([[3], [7], [2]], np.float32)
    part = Split(x, y)
    targets = (Target("sum", 10.0, 2.0),)
    columns = Column("a"), Column("b")
    data = Dataset(
        "adds", part, part, (), Frame(1, 2, 1, 0),
        task="regression", columns=columns, targets=targets,
    )  # fmt: skip
    layers = [Layer(np.ones((2, 1), np.float32), np.zeros(1, np.float32))]
    network = Network((2, 1)).replace(
        layers=layers, frame=data.frame, task="regression", classes=(),
        columns=columns, targets=targets,
    )  # fmt: skip
    return network, data


def test_what_a_run_of_values_is_shown_by() -> None:
    network, data = _exact()
    drawn = dict(pictures(network, data, complete({"dataset": "digits"}), ()))
    assert list(drawn) == ["predictions", "residuals"]
    assert set(drawn) <= set(PICTURES)
    [panel] = drawn["predictions"].axes
    points = np.asarray(panel.collections[0].get_offsets())
    np.testing.assert_allclose(points, [[16, 16], [24, 24], [14, 12]])
    assert panel.get_title(loc="left").startswith("sum: R² ")


def test_the_report_has_the_error_in_the_target_s_unit() -> None:
    network, data = _exact()
    found = evaluate(network, data)
    page = document(network, "adds", complete({"dataset": "digits"}), (), found, [])
    assert "test RMSE of sum" in page.decode()
    assert f"{2 / np.sqrt(3):.4g}" in page.decode()


def test_a_table_s_report_is_not_of_images() -> None:
    network, _ = _exact()
    log = [Row(1, 0.75, 0.25, None, None, 0.5, 0.2, 0.1, "r2")]
    settings, test = complete({"dataset": "digits"}), Evaluation(0.5, 0.2, "r2", 9)
    drawn = [("curves", "png", b"")]
    text = document(network, "adds", settings, log, test, drawn).decode()
    assert ">train R²</th>" in text
    assert ">0.2500, loss 0.7500 (running mean)</td>" in text
    assert "images" not in text


def test_what_a_run_of_several_labels_is_shown_by() -> None:
    part = Split(np.eye(4, dtype=np.uint8), np.eye(4, 2, dtype=np.uint8))
    network = Network((4, 2)).replace(task="multilabel", frame=Frame(2, 2, 1, 2))
    data = Dataset("d", part, part, ("0", "1"), Frame(2, 2, 1, 2), task="multilabel")
    drawn = dict(pictures(network, data, complete({"dataset": "digits"}), ()))
    assert list(drawn) == ["labels", "weights"]
    names = [text.get_text() for text in drawn["labels"].axes[0].get_yticklabels()]
    assert names == ["0 (1)", "1 (1)"]
