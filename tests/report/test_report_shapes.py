"""Pictures of any shape, of many classes and with long names can be read."""

from itertools import pairwise

import numpy as np
import pytest
from made import fitting, made
from matplotlib.colors import to_hex

from nnx.data.dataset import Frame
from nnx.report import layers, predictions, style


@pytest.mark.parametrize(("frame", "across"), [((7, 7), 20), ((4, 16), 10)])
def test_units_are_as_large_whatever_their_pictures_shape(
    frame: tuple[int, int], across: int
) -> None:
    data = made(features=49 if frame == (7, 7) else 64)
    network = fitting(data, (data.train.images.shape[1], 100, 3))
    network = network.replace(frame=Frame(*frame, 255, 4))
    figure = layers.weights(network)
    panel, bar = figure.axes
    [frames] = panel.collections
    left = {path.vertices[:, 0].min() for path in frames.get_paths()}
    assert len(left) == across
    style.encoded(figure, "png")
    draw = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    of_bar = bar.get_tightbbox(draw)
    assert panel.get_window_extent(draw).x1 < of_bar.x0 < of_bar.x1 < figure.bbox.x1


def test_images_beside_their_units_keep_their_shape_and_colours_have_a_scale() -> None:
    for frame in (16, 4), (4, 16), (8, 8):
        data = made(features=64)
        network = fitting(data, (64, 9, 1, 3)).replace(frame=Frame(*frame, 255, 4))
        figure = layers.activations(network, data.test.images)
        first, *panels = figure.axes
        style.encoded(figure, "png")
        assert len(first.images) == layers.SAMPLES
        extents = [image.get_extent() for image in first.images]
        assert all(upper[2] <= lower[3] for upper, lower in pairwise(extents))
        for i, image in enumerate(first.images):
            left, right, bottom, top = image.get_extent()
            (x0, y0), (x1, y1) = first.transData.transform(
                [(left, top), (right, bottom)]
            )
            assert abs((y0 - y1) / (x1 - x0)) == pytest.approx(frame[0] / frame[1])
            # Beside its line.
            at = first.transData.transform((left, (top + bottom) / 2))[1]
            line = panels[0].transData.transform((0, i))[1]
            assert at == pytest.approx(line, abs=1)
        titles = [panel.get_title(loc="left") for panel in panels]
        assert titles[:2] == ["layer 1: 9 units", "layer 2: 1 unit"]
        assert [tick for tick in panels[1].get_xticks() if -0.5 <= tick <= 0.5] == [0]
        hidden = network.activations(data.test.images[: layers.SAMPLES])
        for panel, bar, units in zip(panels[:2], panels[2:], hidden, strict=True):
            [image] = panel.images
            np.testing.assert_allclose(image.get_array(), units, rtol=1e-6)
            assert bar.get_xlim() == image.get_clim()
            assert image.get_clim()[1] == pytest.approx(abs(units).max())


@pytest.mark.parametrize(("frame", "lines"), [((8, 8), 4), ((4, 16), 4), ((32, 2), 1)])
def test_of_tall_pictures_fewer_lines_are_shown(
    frame: tuple[int, int], lines: int
) -> None:
    data = made(features=64)
    network = fitting(data, (64, 3)).replace(frame=Frame(*frame, 255, 2))
    shares = np.eye(3)[[0] * 40]
    figure = predictions.samples(network, data.test, shares)
    assert len(figure.axes[0].texts) == 8 * lines
    [image] = figure.axes[0].get_images()
    first = np.asarray(image.get_array())[: frame[0], : frame[1]]
    np.testing.assert_array_equal(first, data.test.images[0].reshape(frame))
    split = data.test._replace(labels=np.ones(40, int))
    figure = predictions.mistakes(network, split, shares)
    assert len(figure.axes[0].texts) == 8 * lines


@pytest.mark.parametrize("k", [40, 41, 1000])
def test_confusion_of_many_classes(k: int) -> None:
    """Has a scale where numbers have no room, and shows what is right."""
    labels = np.repeat(np.arange(k), 2)
    labels[labels == 5] = 4
    predicted = np.where(np.arange(2 * k) == 6, 7, labels)
    names = [f"class {i}" for i in range(k)]
    figure = predictions.confusion(labels, predicted, names)
    panel, *bars = figure.axes
    style.encoded(figure, "png")
    if k == 40:
        assert bars == []
        said = {t.get_position()[::-1]: t.get_text() for t in panel.texts}
        assert (said[3, 3], said[3, 7], said[4, 4]) == ("1", "1", "4")
    else:
        [bar] = bars
        assert bar.get_ylim() == (0, 1)
        right = panel.images[1].get_array()
        assert (right[3, 3], right[4, 4]) == (0.5, 1.0)
        assert right.mask[3, 7]
    draw = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    words = [text.get_window_extent(draw) for text in panel.get_yticklabels()]
    assert all(upper.y0 >= lower.y1 for upper, lower in pairwise(words))
    words = [text.get_window_extent(draw) for text in panel.get_xticklabels()]
    assert all(left.x1 <= right.x0 for left, right in pairwise(words))


def test_panels_have_the_margins_and_the_space_asked_for() -> None:
    figure = style.new(8.0, "title", 10.0)
    margins = {"left": 1.0, "right": 0.5, "bottom": 0.75, "top": 1.25}
    made = style.panels(figure, [1.0, 2.0, 4.0], **margins, apart=0.75, lines=2)
    size = figure.get_size_inches()
    places = [panel.get_position().get_points() * size for panel in made]
    rows = [(4.125, 6.75), (0.75, 3.375)]
    columns = [(1.0, 2.0), (2.75, 4.75), (5.5, 9.5)]
    expected = [np.transpose([column, row]) for row in rows for column in columns]
    np.testing.assert_allclose(places, expected)


@pytest.mark.parametrize("caption", ["word", "two\nlines"])
def test_captions_are_below_their_pictures_and_marked_ones_are_framed(
    caption: str,
) -> None:
    pictures, marked = np.zeros((5, 4, 6)), [False, True]
    figure, _ = style.mosaic(pictures, 3, "title", [caption] * 5, marked)
    style.encoded(figure, "png")
    draw = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    [panel] = figure.axes
    [frames] = panel.collections
    boxes = [path.get_extents(panel.transData) for path in frames.get_paths()]
    words = [text.get_window_extent(draw) for text in panel.texts]
    for box, word in zip(boxes, words, strict=True):
        assert (box.width / 6, box.x0 + box.x1) == pytest.approx(
            (box.height / 4, word.x0 + word.x1), abs=1
        )
        assert 0 <= box.y0 - word.y1 < box.height / 4
        assert not any(word.overlaps(other) for other in boxes)
    assert max(box.x1 for box in boxes) < figure.bbox.x1
    framed = [to_hex(colour) == style.ORANGE for colour in frames.get_edgecolors()]
    assert framed == [False, True, False, False, False]


def test_names_cut_short_are_told_apart() -> None:
    """By their ends as by their beginnings; and by numbers where both are alike."""
    alike = [f"a class of pictures {i}" for i in range(3)]
    assert style.shortened(alike, 11) == [f"a cla…res {i}" for i in range(3)]
    middle = [f"beginning {i} and end" for i in range(3)]
    assert style.shortened([*middle, "a$"], 11) == [
        "0: begi…end", "1: begi…end", "2: begi…end", r"a\$",
    ]  # fmt: skip
    assert style.shortened(["short", "x" * 12], 12) == ["short", "x" * 12]
    assert max(map(len, style.shortened(["x" * 99] * 2000, 11))) == 11


def test_long_names_are_shortened_and_captions_in_two_lines() -> None:
    data, names = made(classes=3), ("Ankle boot", "T-shirt/top", "x" * 2000)
    network, shares = (
        fitting(data, (16, 3)).replace(classes=names),
        np.eye(3)[[2, 0] * 20],
    )
    split = data.test._replace(labels=np.zeros(40, int))
    figure = predictions.samples(network, split, shares)
    words = [text.get_text() for text in figure.axes[0].texts[:2]]
    assert words == ["xxxxx…xxxxx: 100%\nis Ankle boot", "Ankle boot: 100%"]
    labels = np.array([0, 1, 2])
    width, height = predictions.confusion(labels, labels, names).get_size_inches()
    assert max(width, height) < 7
