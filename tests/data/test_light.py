"""Light on a page, and shapes in a picture."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps
from test_picture import MNIST, seven

from nnx.data.picture import Picture, read
from nnx.data.shapes import doubt

Y, X = np.mgrid[0:160, 0:120]
LIGHTS = {
    "gradient of 40": 230 - X / 3,
    "gradient of 150": 240 - 150 * Y / 160,
    "soft shadow": 220 - 110 / (1 + np.exp(-(X + Y / 2 - 90) / 6)),
    "vignette": 230 - 60 * ((X / 60 - 1) ** 2 + (Y / 80 - 1) ** 2),
}


def read_from(image: Image.Image, folder: Path) -> Picture:
    image.save(folder / "picture.png")
    return read(folder / "picture.png", MNIST)


@pytest.mark.parametrize("light", LIGHTS)
def test_a_digit_in_uneven_light_is_that_in_even_light(
    light: str, tmp_path: Path
) -> None:
    ink = 1 - np.asarray(seven()) / 255
    grey = LIGHTS[light] * (1 - 0.6 * ink)
    result = read_from(Image.fromarray(np.uint8(grey)), tmp_path)
    assert result.doubt is None
    assert result.steps[:2] == ("uneven light evened", "dark on light: inverted")
    even = read_from(seven(), tmp_path).pixels.astype(int)
    assert abs(even - result.pixels).mean() < 4


def test_light_ink_on_an_unevenly_lit_dark_ground(tmp_path: Path) -> None:
    ink = 1 - np.asarray(seven()) / 255
    grey = (LIGHTS["gradient of 150"] - 80) / 2 + 120 * ink
    result = read_from(Image.fromarray(np.uint8(grey)), tmp_path)
    assert result.steps[0] == "uneven light evened"
    assert "dark on light: inverted" not in result.steps
    even = read_from(seven(), tmp_path).pixels.astype(int)
    assert abs(even - result.pixels).mean() < 4


@pytest.mark.parametrize("light", LIGHTS)
def test_an_empty_page_in_uneven_light_is_blank(light: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 3, X.shape)
    grey = (LIGHTS[light] + noise).clip(0, 255)
    assert read_from(Image.fromarray(np.uint8(grey)), tmp_path).doubt == "blank"


def test_even_light_is_left_alone(tmp_path: Path) -> None:
    """A page where ink reaches the border too: its light is even all the same."""
    image = seven()
    ImageDraw.Draw(image).line([(0, 80), (60, 80)], 0, 8)
    noise = np.random.default_rng(0).normal(0, 2, X.shape)
    for drawn in image, ImageOps.invert(image):
        photo = 20 + np.asarray(drawn) * (215 / 255) + noise
        for page in drawn, Image.fromarray(np.uint8(photo)):
            assert "uneven light evened" not in read_from(page, tmp_path).steps


def test_a_drawing_s_broad_bar_is_no_shadow(tmp_path: Path) -> None:
    image = seven()
    ImageDraw.Draw(image).rectangle([(0, 0), (25, 160)], 0)
    assert "uneven light evened" not in read_from(image, tmp_path).steps


@pytest.mark.parametrize("shape", [(1, 2000), (2000, 2)])
def test_a_strip_of_noise_is_blank(shape: tuple[int, int], tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(200, 3, shape)
    assert read_from(Image.fromarray(np.uint8(noise)), tmp_path).blank


def test_a_digit_in_much_noise_is_read(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 25, (320, 240))
    grey = 60 + np.asarray(seven(240, 320)) / 2 + noise
    result = read_from(Image.fromarray(np.uint8(grey.clip(0, 255))), tmp_path)
    assert "noise smoothed" in result.steps
    assert result.doubt is None
    even = read_from(seven(240, 320), tmp_path).pixels.astype(int)
    assert abs(even - result.pixels).mean() < 6


@pytest.mark.parametrize(("sigma", "ink"), [(3, 0.7), (5, 0.3), (8, 0.3), (11, 0.3)])
def test_a_small_digit_in_some_noise_and_uneven_light_is_read(
    sigma: float, ink: float, tmp_path: Path
) -> None:
    """Specks of it, dark as ink once the light is evened, made the page the digit."""
    rng = np.random.default_rng(0)
    page = Image.new("L", (480, 400), 255)
    page.paste(seven(), (180, 120))
    light = 230 - np.mgrid[0:400, 0:480][1] / 6
    grey = light * (ink + (1 - ink) * np.asarray(page) / 255)
    grey += rng.normal(0, sigma, grey.shape)
    result = read_from(Image.fromarray(np.uint8(grey.clip(0, 255))), tmp_path)
    assert result.doubt is None
    even = read_from(seven(), tmp_path).pixels.astype(int)
    assert abs(even - result.pixels).mean() < 12


def drawn(*lines: list[tuple[int, int]]) -> Image.Image:
    image = Image.new("L", (100, 100))
    for line in lines:
        ImageDraw.Draw(image).line(line, 255, 6)
    return image


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([[(20, 5), (20, 95)], [(80, 5), (80, 95)]], "two shapes"),
        ([[(5, 20), (95, 20)], [(5, 80), (95, 80)]], "two shapes"),
        ([[(20, 5), (20, 95)], [(80, 5), (80, 65)]], "two shapes"),
        ([[(x, 5), (x, 95)] for x in (10, 50, 90)], "two shapes"),
        ([[(20, 5), (20, 95), (80, 95)]], None),
        # A loose stroke: the top of a 5.
        ([[(20, 5), (20, 95), (80, 95)], [(40, 5), (70, 5)]], None),
        # A pen that has skipped.
        ([[(20, 5), (20, 45)], [(20, 49), (20, 95)]], None),
        ([[(x, y), (x + 4, y)] for x in (5, 45, 85) for y in (5, 45, 85)], "noise"),
        # A digit among specks.
        (
            [[(15, 5), (15, 95), (95, 95)]]
            + [[(x, y), (x + 2, y)] for x in (40, 60, 80) for y in (5, 35, 65)],
            None,
        ),
    ],
    ids=[
        "beside",
        "above",
        "shorter",
        "three",
        "one",
        "loose",
        "skipped",
        "many",
        "specks",
    ],
)
def test_shapes_are_counted(lines: list, expected: str | None) -> None:
    assert doubt(drawn(*lines)) == expected
