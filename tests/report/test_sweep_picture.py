"""The picture of a sweep: shares as bars, and the scores against two settings."""

from nnx.report import style
from nnx.report.sweep import mattered

VALUES = {
    "learning_rate": [0.01, 0.1, 1.0],
    "hidden": ["8", "16,8", "$8"],
    "epochs": [1, 2, 3],
}
SHARES = {"learning_rate": 0.7, "hidden": 0.2, "epochs": 0.1}


def test_shares_and_the_scores_against_the_foremost_two() -> None:
    figure = mattered(SHARES, VALUES, [0.5, 0.9, 0.2], "accuracy", {"learning_rate"})
    bars, rates, widths = figure.axes
    assert [bar.get_width() for bar in bars.patches] == [0.7, 0.2, 0.1]
    assert bars.yaxis_inverted()  # the largest on top
    assert (rates.get_xlabel(), rates.get_xscale()) == ("learning_rate", "log")
    others, best = (points.get_offsets().tolist() for points in rates.collections)
    assert (others, best) == ([[0.01, 0.5], [1.0, 0.2]], [[0.1, 0.9]])
    for panel in rates, widths:
        assert panel.get_title(loc="left") == "validation accuracy"
    for axis in bars.xaxis, rates.yaxis, widths.yaxis:
        assert axis.get_major_formatter()(0.5) == "50%"
    assert rates.xaxis.get_major_formatter()(0.1) == "0.1"
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["the best trial"]
    names = [label.get_text() for label in widths.get_xticklabels()]
    assert names == ["8", "16,8", r"\$8"]
    assert {label.get_rotation() for label in widths.get_xticklabels()} == {0.0}
    assert style.encoded(figure, "png").startswith(b"\x89PNG")


def test_many_settings_have_a_taller_figure_with_the_largest_shares() -> None:
    shares = {f"setting {i}": (13 - i) / 91 for i in range(13)}
    values, scores = {name: [1, 2, 3] for name in shares}, [0.5, 0.9, 0.2]
    figure = mattered(shares, values, scores, "r2")
    few = mattered(SHARES, VALUES, scores, "r2")
    assert figure.get_figheight() > few.get_figheight()
    assert len(figure.axes) == 3
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == [*shares][:12]


def test_choices_are_in_the_order_of_their_numbers_and_none_is_seen() -> None:
    values = {"hidden": ["128", "64", "", "128,16", "128,8", "tanh"]}
    figure = mattered({"hidden": 1.0}, values, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], "r2")
    names = [label.get_text() for label in figure.axes[1].get_xticklabels()]
    assert names == ['""', "64", "128", "128,8", "128,16", "tanh"]
    [others, best] = [p.get_offsets().tolist() for p in figure.axes[1].collections]
    assert (others[2], best) == ([0.0, 0.3], [[5.0, 0.6]])


def test_long_choices_are_told_apart_and_lie_apart() -> None:
    choices = [f"shift=1,rotation={i},scale=0.1" for i in (5, 10)] + [
        "elastic=34,sigma=4"
    ]
    values = {"augment": choices, "epochs": [1, 2, 3]}
    figure = mattered({"augment": 0.9, "epochs": 0.1}, values, [0.5, 0.9, 0.2], "r2")
    style.encoded(figure, "png")
    labels = figure.axes[1].get_xticklabels()
    assert len({label.get_text() for label in labels}) == 3
    assert {label.get_rotation() for label in labels} == {20.0}
    render = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    boxes = [label.get_window_extent(render) for label in labels]
    assert all(box.y0 >= 0 for box in boxes)


def test_one_setting_of_a_regression() -> None:
    values = {"epochs": VALUES["epochs"]}
    figure = mattered({"epochs": 1.0}, values, [-2.0, 0.4, 0.4], "r2")
    panel = figure.axes[1]
    assert panel.get_title(loc="left") == "validation R²"
    assert "%" not in panel.yaxis.get_major_formatter()(0.5)
    assert style.encoded(figure, "svg")
