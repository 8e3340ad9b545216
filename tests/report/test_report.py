"""A run's pictures show what the run has."""

from itertools import pairwise

import numpy as np
import pytest
from made import fitting, made
from matplotlib import rc_context, rcParams
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from nnx import Network
from nnx.data.dataset import Array, Dataset, Split
from nnx.errors import InputError
from nnx.maths.state import Layer
from nnx.report import curves, layers, predictions, style
from nnx.report.pictures import pictures, rates
from nnx.settings import Settings, complete
from nnx.training.folder import OF_CLASSES
from nnx.training.log import Row, as_csv, from_csv

LOG = tuple(
    Row(i, 1.0 / i, 1 - 0.5 / i, None, None, 1.1 / i, 1 - 0.6 / i, 0.1 * i)
    for i in (1, 2, 3)
)
HELD_OUT = {"validation_loss": 0.7, "validation_score": 0.8}
VALIDATED = tuple(
    row._replace(**HELD_OUT, test_loss=None, test_score=None) for row in LOG
)


def _settings(**given: object) -> Settings:
    return complete({"dataset": "digits", **given})


def _lines(figure: Figure) -> dict[str, list[tuple[float, float]]]:
    """Return each labelled line's points, by its panel's place and its label."""
    return {
        f"{i} {line.get_label()}": list(zip(*line.get_data(), strict=True))
        for i, panel in enumerate(figure.axes)
        for line in panel.get_lines()
    }


def test_curves_are_the_log_s() -> None:
    lines = _lines(curves.curves(LOG, [(0.0, 0.1), (2.5, 0.05)]))
    assert lines["0 training (running mean)"] == [(r.epoch, r.train_loss) for r in LOG]
    assert lines["0 test"] == [(r.epoch, r.test_loss) for r in LOG]
    assert lines["1 test"] == [(r.epoch, r.test_score) for r in LOG]
    assert [(0.0, 0.1), (2.5, 0.05)] in lines.values()


def test_curves_with_a_validation_set_leave_the_test_images_out() -> None:
    lines = _lines(curves.curves(VALIDATED, [(0.0, 0.1)]))
    assert [y for _, y in lines["1 validation"]] == [0.8] * 3
    assert not any("test" in name for name in lines)


def test_runs_compared() -> None:
    figure = curves.compared({"one": LOG, "two": VALIDATED[:1]})
    lines = _lines(figure)
    assert lines["0 one"] == [(r.epoch, r.test_loss) for r in LOG]
    assert lines["1 two"] == [(1, 0.8)]
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["one", "two"]
    for panel in figure.axes:
        colours = [line.get_color() for line in panel.get_lines()]
        assert colours == [style.BLUE, style.ORANGE]


@pytest.mark.parametrize("runs", [1, 2, 9])
def test_names_of_runs_are_below_all_else(runs: int) -> None:
    figure = curves.compared({f"run {i}": LOG for i in range(runs)})
    style.encoded(figure, "png")
    draw = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    names = figure.legends[0].get_window_extent(draw)
    assert names.y0 >= 0
    assert names.y1 <= min(panel.get_tightbbox(draw).y0 for panel in figure.axes)


@pytest.mark.parametrize(("metric", "unit"), [("accuracy", "nats"), ("r2", "")])
@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_axes_have_the_units_of_the_task(metric: str, unit: str, epochs: int) -> None:
    """Epochs are whole numbers, and a single point can be seen."""
    log = [row._replace(metric=metric) for row in LOG[:epochs]]
    for figure in curves.curves(log, [(0, 0.1), (1, 0.09)]), curves.compared({"": log}):
        figure.draw_without_rendering()
        loss, score, *rates = figure.axes
        assert (loss.get_ylabel(), score.get_ylabel()) == (unit, "")
        [half] = score.yaxis.get_major_formatter().format_ticks([0.5])
        assert half.endswith("%") == (metric == "accuracy")
        for panel in loss, score:
            assert all(tick == round(tick) for tick in panel.get_xticks())
            assert (panel.get_lines()[0].get_marker() == "o") == (epochs < 3)
        assert all(panel.get_ylim()[0] == 0 for panel in rates)


@pytest.mark.parametrize("log", [LOG, VALIDATED, ()])
def test_a_log_is_read_as_it_was_written(log: tuple[Row, ...]) -> None:
    assert from_csv(as_csv(log), "log.csv") == tuple(
        row._replace(seconds=round(row.seconds, 3)) for row in log
    )


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\xff\x00", b"epoch,loss\n1,2\n", as_csv(LOG)[:-20], as_csv(LOG[1:]),
        as_csv(LOG).replace(b"1.0", b"one"),
        as_csv([LOG[0]._replace(test_loss=None)]),
        as_csv([LOG[0]._replace(train_loss=None)]),  # type: ignore[arg-type]
        as_csv([LOG[0]._replace(train_score=None)]),  # type: ignore[arg-type]
        as_csv([LOG[0]._replace(test_score=None)]),
        as_csv([LOG[0]._replace(test_score=7.0)]),
        as_csv([LOG[0]._replace(train_loss=float("nan"))]),
        as_csv([LOG[0]._replace(seconds=float("inf"))]),
        as_csv([LOG[0]._replace(train_loss=-1.0)]),
    ],
)  # fmt: skip
def test_a_log_that_is_damaged(content: bytes) -> None:
    with pytest.raises(InputError, match=r"^here: no log of a run: "):
        from_csv(content, "here")


def _shown(figure: Figure, columns: int) -> list[Array]:
    """Return the 4x4 pictures of a mosaic, which has a gap of a pixel between them."""
    [image] = figure.axes[0].get_images()
    whole = np.pad(np.asarray(image.get_array()), ((0, 0), (0, 1)))
    cells = whole.reshape(-1, 5, columns, 5).transpose(0, 2, 1, 3)
    return list(cells.reshape(-1, 5, 5)[:, :4, :4])


def test_a_picture_of_each_unit_s_weights() -> None:
    network = fitting(made(), (16, 5, 3))
    figure = layers.weights(network)
    [image] = figure.axes[0].get_images()
    low, high = image.get_clim()
    assert (image.get_cmap(), low) == (style.SIGNED, -high)
    shown = _shown(figure, 10)
    for unit, picture in enumerate(shown[:5]):
        weight = network.layers[0].weight[:, unit]
        np.testing.assert_array_equal(picture, weight.reshape(4, 4))
    assert np.isnan(shown[5:]).all()


def test_zeros_negative_weights_and_few_images_can_be_drawn() -> None:
    data = made()
    network = fitting(data, (16, 5, 3))
    zero, below = (
        network.replace(
            layers=[
                Layer(by * abs(each.weight), 0 * each.bias) for each in network.layers
            ]
        )
        for by in (0, -1)
    )
    for figure in (
        layers.weights(zero),
        layers.activations(zero, 0 * data.test.images[:3]),
    ):
        ranges = [image.get_clim() for panel in figure.axes for image in panel.images]
        assert ranges
        assert all(low < high for low, high in ranges)
    assert len(figure.axes[0].images) == 3
    [image] = layers.weights(below).axes[0].images
    assert image.get_clim()[1] > 0.9 * abs(network.layers[0].weight).max()


def test_of_many_units_the_strongest_are_shown() -> None:
    network = fitting(made(), (16, 130, 3))
    weight = network.layers[0].weight
    weight[:, :40] *= 1e-3
    shown = _shown(layers.weights(network), 20)
    strongest = np.sort(np.argsort(-np.linalg.norm(weight, axis=0))[:100])
    assert strongest[10] >= 40
    for unit, picture in zip(strongest, shown, strict=True):
        np.testing.assert_array_equal(picture, weight[:, unit].reshape(4, 4))


def test_dead_units_are_counted() -> None:
    """Those that give 0 for every image; of a few images it cannot be told."""
    data = made(n=layers.ENOUGH)
    network = fitting(data, (16, 4, 2, 3))
    weight, bias = network.layers[0]
    bias = np.array([0, -1e6, 0, -1e6], np.float32)
    network = network.replace(layers=[Layer(abs(weight), bias), *network.layers[1:]])
    for images, words in (
        (data.test.images, "layer 1: 4 units, 50% dead"),
        (data.test.images[1:], "layer 1: 4 units"),
    ):
        figure = layers.activations(network, images)
        assert figure.axes[1].get_title(loc="left") == words


def test_a_unit_is_dead_if_no_image_moves_it() -> None:
    units = np.zeros((layers.ENOUGH, 3))
    units[7, 0], units[:, 1] = 1, -1
    for count, words in (2, "layer 1: 3 units, 33% dead"), (5, "1, 33% dead"), (9, "1"):
        assert layers._words(1, count, units) == words


def test_confusion_counts() -> None:
    labels, predicted = np.array([0, 0, 1, 2, 2]), np.array([0, 1, 1, 0, 0])
    figure = predictions.confusion(labels, predicted, ("a", "b", "c"))
    said = {t.get_position()[::-1]: t.get_text() for t in figure.axes[0].texts}
    assert said == {(0, 0): "1", (0, 1): "1", (1, 1): "1", (2, 0): "2"}
    assert figure.get_suptitle() == "Confusion matrix: 3 of 5 wrong"
    [image] = figure.axes[0].get_images()
    assert image.get_clim()[1] > 2  # a cell of two mistakes is darker than of one
    assert figure.axes[0].get_xlabel() == "predicted class"
    assert figure.axes[0].get_ylabel() == "true class"


def test_the_surest_mistakes_come_first() -> None:
    data, labels = made(n=4), np.array([0, 1, 2, 0])
    shares = np.array([[0.9, 0.1, 0], [0.6, 0.3, 0.1], [0, 0.996, 0.004], [1, 0, 0]])
    network, split = fitting(data, (16, 3)), Split(data.test.images, labels)
    figure = predictions.mistakes(network, split, shares)
    said = [text.get_text() for text in figure.axes[0].texts]
    assert said == ["b: >99%, is c", "a: 60%, is b"]
    right = predictions.mistakes(network, split._replace(labels=[0, 0, 1, 0]), shares)
    assert right.get_suptitle() == "No mistakes"
    every = predictions.samples(network, split, shares)
    said = [text.get_text() for text in every.axes[0].texts]
    assert said == ["a: 90%", "a: 60%, is b", "b: >99%, is c", "a: 100%"]
    [frames] = every.axes[0].collections
    framed = [to_hex(colour) == style.ORANGE for colour in frames.get_edgecolors()]
    assert framed == [False, True, True, False]
    as_floats = split._replace(images=split.images / 510)
    for given, brightest in (split, 255), (as_floats, 1):
        [image] = predictions.samples(network, given, shares).axes[0].get_images()
        assert image.get_clim() == (0, brightest)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, [0.1] * 4),
        ({"schedule": "step:every=2,factor=0.5"}, [0.1, 0.1, 0.05, 0.05]),
        (
            {"schedule": "plateau:patience=1,factor=0.1", "validation_fraction": 0.1},
            [0.1, 0.1, 0.01, 0.001],
        ),
    ],
)
def test_rates(given: dict[str, str], expected: list[float]) -> None:
    data = made()
    worse = [LOG[0]._replace(epoch=i, test_score=0.9 - 0.1 * i) for i in range(1, 5)]
    settings = _settings(learning_rate=0.1, epochs=4, batch_size=10, **given)
    found = dict(rates(fitting(data, (16, 3)), data, settings, tuple(worse)))
    assert [found[epoch] for epoch in range(4)] == pytest.approx(expected)


def _pictures(
    network: Network, data: Dataset, log: tuple[Row, ...] = LOG
) -> dict[str, Figure]:
    return dict(pictures(network, data, _settings(), log))


def test_pictures_that_a_run_has() -> None:
    data = made()
    every = _pictures(fitting(data, (16, 5, 3)), data)
    assert tuple(every) == OF_CLASSES
    linear = _pictures(fitting(data, (16, 3)), data, ())
    assert set(every) - set(linear) == {"curves", "activations"}
    table = made(features=7)
    assert set(_pictures(fitting(table, (7, 5, 3)), table)) == {"curves", "confusion"}


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_pictures_are_the_same_bytes_each_time_and_not_blank(kind: str) -> None:
    one, other = (
        style.encoded(curves.curves(LOG, [(0, 0.1), (3, 0.1)]), kind) for _ in range(2)
    )
    assert one == other
    assert one.startswith(b"\x89PNG" if kind == "png" else b"<?xml")
    assert len(one) > 5000


def test_no_word_lies_upon_another() -> None:
    """Captions of neighbours do not meet, and nothing is cut off."""
    data = made(features=64, n=32, classes=10)
    network = fitting(data, (64, 20, 10))
    for name, figure in _pictures(network, data).items():
        style.encoded(figure, "png")
        draw = figure.canvas.get_renderer()  # type: ignore[attr-defined]
        whole = figure.bbox
        words = [text for panel in figure.axes for text in panel.texts]
        words += [panel.xaxis.label for panel in figure.axes]
        boxes = [text.get_window_extent(draw) for text in words if text.get_text()]
        for box in boxes:
            assert whole.x0 <= box.x0 < box.x1 <= whole.x1, name
        for left, right in pairwise(boxes):
            if left.y0 == right.y0:
                assert left.x1 < right.x0, name


def test_names_are_no_formulas() -> None:
    """Nor are they hidden, as matplotlib does with labels that begin with _."""
    names = "a$x^$b", "_hidden", "数字"
    figure = curves.compared(dict.fromkeys(names, LOG))
    assert style.encoded(figure, "png")
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert shown == [r"a\$x^\$b", "_hidden", "数字"]
    labels = np.array([0, 1, 2])
    assert style.encoded(predictions.confusion(labels, labels, names), "png")
    network = fitting(made(), (16, 5, 3)).replace(classes=names)
    shares = np.eye(3)[np.zeros(40, int)]
    figure = predictions.samples(network, made().test, shares)
    assert style.encoded(figure, "png")


def test_no_two_of_many_runs_look_alike() -> None:
    assert len({style.line(number) for number in range(49)}) == 49


def test_what_cannot_be_drawn_is_refused() -> None:
    table, data = made(features=7), made()
    network, shares = fitting(table, (7, 5, 3)), np.eye(3)[[0] * 40]
    for draw in (
        lambda: layers.weights(network),
        lambda: layers.activations(network, table.test.images),
        lambda: predictions.samples(network, table.test, shares),
        lambda: predictions.confusion(np.array([0, -1]), np.array([0, 1]), ("a", "b")),
        lambda: curves.curves([]),
        lambda: curves.compared({}),
        lambda: curves.compared({"one": []}),
        lambda: curves.compared({"one": LOG, "two": [LOG[0]._replace(metric="r2")]}),
        lambda: layers.activations(fitting(data, (16, 3)), data.test.images),
    ):
        with pytest.raises(InputError):
            draw()


def test_a_matplotlibrc_changes_nothing() -> None:
    theirs = rc_context({"savefig.dpi": 30, "figure.facecolor": "black"})
    with theirs:
        with style.own_settings():
            one = style.encoded(curves.curves(LOG), "png")
        assert rcParams["savefig.dpi"] == 30
    with style.own_settings():
        assert one == style.encoded(curves.curves(LOG), "png")


@pytest.mark.parametrize("fall", [1.5, 100.0])
def test_words_beside_a_scale_are_on_the_picture(fall: float) -> None:
    log = [LOG[0], LOG[1]._replace(train_loss=1 / fall, test_loss=1.1 / fall)]
    figure = curves.curves(log)
    style.encoded(figure, "png")
    draw = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    assert figure.axes[0].yaxis.get_tightbbox(draw).x0 > 0


@pytest.mark.parametrize(("first", "last"), [(1.9, 0.15), (8.0, 0.11), (9e3, 2.0)])
def test_a_logarithmic_loss_has_numbers_enough_to_be_read(
    first: float, last: float
) -> None:
    """With powers of ten alone, some axes had a single one."""
    log = [LOG[0]._replace(train_loss=first, test_loss=first)]
    log += [LOG[1]._replace(train_loss=last, test_loss=last)]
    for figure in curves.curves(log), curves.compared({"one": log}):
        figure.draw_without_rendering()
        axis = figure.axes[0].yaxis
        low, high = sorted(axis.get_view_interval())
        ticks = axis.get_major_ticks() + axis.get_minor_ticks()
        shown = [t.label1.get_text() for t in ticks if low <= t.get_loc() <= high]
        assert figure.axes[0].get_yscale() == "log"
        assert 3 <= len([text for text in shown if text]) <= 8
