"""Faults 23 to 26, of pictures, and how good pictures are read."""

import os
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import refusal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageDraw
from sklearn.datasets import load_digits

from nnx.data import picture
from nnx.data.dataset import Frame
from nnx.data.picture import Picture, read
from nnx.errors import InputError, OutOfMemoryError
from nnx.network import Network

MNIST = Frame(28, 28, 255, 20)
DIGITS = Frame(8, 8, 16, 8)
BLACK, WHITE = 0, 255


def seven(width: int = 120, height: int = 160) -> Image.Image:
    """Return a 7 in black on white: it fits no mirror image or rotation of itself."""
    image = Image.new("L", (width, height), WHITE)
    x, y = width / 12, height / 16
    strokes = [(3 * x, 3 * y), (9 * x, 3 * y), (5 * x, 12 * y)]
    ImageDraw.Draw(image).line(strokes, BLACK, max(1, round(x)), joint="curve")
    return image


@pytest.fixture
def reread(tmp_path: Path) -> Callable[..., Picture]:
    def save_and_read(
        image: Image.Image, suffix: str = "png", frame: Frame = MNIST, **options: Any
    ) -> Picture:
        path = tmp_path / f"picture.{suffix}"
        image.save(path, **options)
        return read(path, frame)

    return save_and_read


@pytest.fixture
def plain(reread: Callable[..., Picture]) -> Picture:
    return reread(seven())


def assert_alike(a: Picture, b: Picture, mean: float = 1.0) -> None:
    assert not a.blank
    assert abs(a.pixels.astype(int) - b.pixels).mean() <= mean


# What a good picture becomes


def test_a_digit_is_light_on_dark_in_its_box_and_centred_by_mass(
    plain: Picture,
) -> None:
    assert plain.pixels.shape == (28, 28)
    assert plain.pixels.dtype == np.uint8
    assert plain.pixels.max() == 255
    rows, columns = np.nonzero(plain.pixels)
    assert np.ptp(rows) + 1 == 20
    assert np.ptp(columns) + 1 < 20
    assert plain.pixels[[0, -1]].sum() == plain.pixels[:, [0, -1]].sum() == 0
    for axis in (0, 1):
        mass = plain.pixels.sum(axis=axis, dtype=float)
        assert mass @ np.arange(28) / mass.sum() == pytest.approx(14, abs=0.5)
    assert plain.steps[0] == "dark on light: inverted"
    assert plain.steps[1].endswith("into 14x20, centred by mass in 28x28")


@pytest.mark.parametrize("height", [28, 20])
def test_the_frame_s_own_size_is_taken_as_it_is(
    height: int, reread: Callable[..., Picture]
) -> None:
    pixels = np.zeros((height, 28), np.uint8)
    pixels[2:9, 20:25] = np.arange(200, 235).reshape(7, 5)
    as_it_is = f"already 28x{height}: used as it is"
    for image, steps in (
        (pixels, (as_it_is,)),
        (255 - pixels, ("dark on light: inverted", as_it_is)),
    ):
        result = reread(Image.fromarray(image), frame=Frame(height, 28, 255, 20))
        np.testing.assert_array_equal(result.pixels, pixels)
        assert result.steps == steps


def test_values_are_those_of_the_frame(reread: Callable[..., Picture]) -> None:
    image = load_digits().images[3]
    result = reread(Image.fromarray(np.uint8(image * 255 / 16)), frame=DIGITS)
    np.testing.assert_array_equal(result.pixels, image)


@pytest.mark.parametrize("maximum", [1, 2, 16, 255, 256, 1000, 2**31 - 1])
@pytest.mark.parametrize("pixels", ["unit", "raw"])
@pytest.mark.parametrize("factor", [1, 30])
def test_a_network_takes_a_picture_as_it_takes_its_arrays(
    maximum: int, pixels: str, factor: int, reread: Callable[..., Picture]
) -> None:
    """Of floats, maximum 1, and of numbers beyond a byte, pictures are floats."""
    frame = DIGITS._replace(maximum=maximum)
    network = Network((64, 10)).replace(frame=frame, pixels=pixels)
    image = load_digits().images[3] / 16
    large = np.kron(np.uint8(image * 255), np.ones((factor, factor), np.uint8))
    result = reread(Image.fromarray(large), frame=frame).pixels
    in_a_byte = 1 < maximum < 256
    assert result.dtype == (np.uint8 if in_a_byte else np.float32)
    network.predict(result[None])
    taken = result * network.pixel_scale(result.dtype)
    step = network.pixel_range / (maximum if in_a_byte else 255)
    np.testing.assert_allclose(taken, np.rint(taken / step) * step, rtol=1e-6)
    if factor == 1:
        as_array = image * network.pixel_range
        np.testing.assert_allclose(taken, as_array, rtol=0, atol=step)
    else:
        assert taken.max() == network.pixel_range


def test_a_blank_picture_is_of_the_frame_s_kind(reread: Callable[..., Picture]) -> None:
    for maximum, dtype in (255, np.uint8), (1, np.float32), (1000, np.float32):
        frame = MNIST._replace(maximum=maximum)
        assert reread(Image.new("L", (9, 9)), frame=frame).pixels.dtype == dtype


def test_a_frame_of_no_picture_is_refused(reread: Callable[..., Picture]) -> None:
    with pytest.raises(
        InputError, match="a box of 0 is not for pictures: give the side"
    ):
        reread(seven(), frame=MNIST._replace(box=0))


@pytest.mark.parametrize("resampling", ["NEAREST", "BILINEAR", "BICUBIC"])
def test_an_enlarged_print_of_a_digit_comes_back(
    resampling: str, reread: Callable[..., Picture]
) -> None:
    digits = load_digits()
    reads = []
    for original in digits.images[:200]:
        small = Image.fromarray(np.uint8(255 - original * 255 / 16))
        paper = Image.new("L", (260, 300), WHITE)
        paper.paste(small.resize((160, 160), Image.Resampling[resampling]), (40, 90))
        reads.append(reread(paper, "bmp", DIGITS).pixels.ravel())
    # The label of the nearest of the other digits stands for a trained network's.
    distances = np.linalg.norm(np.array(reads)[:, None] - digits.data[200:], axis=-1)
    found = digits.target[200:][distances.argmin(axis=1)]
    assert (found == digits.target[:200]).mean() >= 0.75


def test_grey_paper_uneven_light_and_noise_do_little(
    plain: Picture, reread: Callable[..., Picture]
) -> None:
    rng = np.random.default_rng(0)
    photo = 40 + np.asarray(seven()) * (190 / 255) + np.linspace(-20, 20, 120)
    photo += rng.normal(0, 4, photo.shape)
    result = reread(Image.fromarray(np.uint8(photo.clip(0, 255))), "jpg", quality=80)
    assert_alike(result, plain, 4)
    assert any(step.startswith("contrast stretched from") for step in result.steps)
    assert result.pixels[:3].max() < 20


def test_specks_do_not_stretch_the_box(
    plain: Picture, reread: Callable[..., Picture]
) -> None:
    image = seven()
    for corner in ((2, 2), (117, 3), (4, 155)):
        image.putpixel(corner, 60)
    assert_alike(reread(image), plain, 2)


# 23: not an image, truncated


def png(image: Image.Image) -> bytes:
    stream = BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"seven\n",
        b"SIMPLE  =                    T" + b" " * 2850,
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"%PDF-1.7\n",
        b"II*\x00\x08\x00\x00\x00" + b"\x00" * 40,
        png(seven())[:-300],
        png(seven())[:30],
        b"P5 100 100 255\n" + b"\x00" * 99,
    ],
    ids=["empty", "text", "FITS", "EPS", "PDF", "TIFF", "cut", "head", "cut PGM"],
)
def test_what_is_no_picture_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    message = refusal(read, path, MNIST)
    assert str(path) in message
    assert "PNG, JPEG, BMP, GIF or PNM" in message


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read(tmp_path / "none.png", MNIST)
    with pytest.raises(InputError, match="not a file"):
        read(tmp_path, MNIST)
    (tmp_path / "seven.png.GZ").write_bytes(b"\x1f\x8b\x08")
    with pytest.raises(InputError, match="seven.png.GZ: packed: unpack it"):
        read(tmp_path / "seven.png.GZ", MNIST)
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputError, match="not a file"):
        read(tmp_path / "pipe.png", MNIST)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    seven().save(path)
    path.chmod(0)
    with pytest.raises(InputError, match="Permission denied"):
        read(path, MNIST)


# 24: decompression bombs


def empty_png(width: int, height: int) -> bytes:
    """Return a PNG of this size, of which no pixels follow."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"")


@pytest.mark.parametrize(
    "size", [(8_000, 8_000), (60_000, 60_000), (1, 70_000), (50_000_000, 1)]
)
def test_size_is_looked_at_before_decoding(
    size: tuple[int, int], tmp_path: Path
) -> None:
    path = tmp_path / "bomb.png"
    # Decoding would find the file damaged, not too large.
    path.write_bytes(empty_png(*size))
    says = r"too large.*at most 50 million pixels, 65,535 a side"
    with pytest.raises(InputError, match=says):
        read(path, MNIST)


def test_a_file_of_too_many_bytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "long.png"
    path.write_bytes(png(seven()))
    os.truncate(path, picture.MAX_BYTES + 1)
    with pytest.raises(InputError, match="long.png: over 256 MiB; give a PNG"):
        read(path, MNIST)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "I;16"])
def test_a_large_picture_is_made_smaller_first(
    mode: str, plain: Picture, reread: Callable[..., Picture]
) -> None:
    large = seven().resize((2400, 3200), Image.Resampling.NEAREST)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(large, np.uint16) * 257)
    else:
        image = large.convert(mode)
    result = reread(image, compress_level=1)
    assert result.steps[0] == "2x2 pixels averaged to one"
    assert_alike(result, plain)


def test_a_picture_for_which_there_is_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **options: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(Image, "open", full)
    (tmp_path / "picture.png").touch()
    with pytest.raises(OutOfMemoryError, match="picture.png: out of memory: no room"):
        read(tmp_path / "picture.png", MNIST)


# 25: kinds of pixels


def drawn(colour: tuple[int, int, int]) -> Image.Image:
    """Return the 7 as the alpha of a picture that has only one colour."""
    image = Image.new("RGBA", seven().size, (*colour, 0))
    image.putalpha(seven().point(lambda level: 255 - level))
    return image


def shaded() -> Image.Image:
    """Return the 7 as the alpha of a picture whose color becomes lighter downwards."""
    shades = Image.linear_gradient("L").resize(seven().size)
    shades = shades.point(lambda level: level // 16)
    return Image.merge("RGBA", [shades] * 3 + [drawn((0, 0, 0)).getchannel("A")])


def on_a_card(paper: int, ink: int) -> Image.Image:
    """Return the 7 on an opaque card with a transparent margin."""
    card = seven().point(lambda level: paper if level else ink).convert("RGBA")
    image = Image.new("RGBA", (160, 200), (128, 128, 128, 0))
    image.paste(card, (20, 20))
    return image


@pytest.mark.parametrize(
    ("image", "step"),
    [
        (drawn((0, 0, 0)), "transparency laid on white"),
        (drawn((255, 255, 255)), "transparency laid on black"),
        (shaded(), "transparency laid on white"),
        (drawn((0, 0, 0)).convert("LA"), "transparency laid on white"),
        (on_a_card(paper=255, ink=0), "transparency laid on white"),
        (on_a_card(paper=0, ink=255), "transparency laid on black"),
        (on_a_card(paper=200, ink=10), "transparency laid on the shade of its paper"),
        (seven().point(lambda v: v or 20).convert("RGB"), "dark on light: inverted"),
        (Image.merge("RGB", [seven()] * 2 + [Image.new("L", (120, 160), 255)]),
         "color made gray"),
        (seven().convert("P"), "dark on light: inverted"),
        (seven().convert("1"), "dark on light: inverted"),
        (Image.fromarray(np.uint16(np.asarray(seven())) * 257),
         "more than 8 bits scaled to 8 by the range in use"),
        (Image.fromarray(np.uint16(np.asarray(seven())) * 16 + 900),
         "more than 8 bits scaled to 8 by the range in use"),
    ],
    ids=["black on none", "white on none", "shaded", "LA", "white card", "black card",
         "grey card", "RGB", "blue paper", "P", "1", "16 bits", "12 of 16 bits"],
)  # fmt: skip
def test_every_kind_of_pixel_gives_the_same_digit(
    image: Image.Image, step: str, plain: Picture, reread: Callable[..., Picture]
) -> None:
    result = reread(image)
    assert_alike(result, plain)
    assert step in result.steps


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("CMYK", "jpg"), ("L", "jpg"), ("P", "gif"), ("RGB", "bmp"), ("L", "pgm"),
     ("I", "pgm"), ("F", "pfm")],
)  # fmt: skip
def test_every_format_gives_the_same_digit(
    mode: str, suffix: str, plain: Picture, reread: Callable[..., Picture]
) -> None:
    assert_alike(reread(seven().convert(mode), suffix), plain, 2)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_pixel_that_is_no_number_changes_no_other(
    value: float, plain: Picture, reread: Callable[..., Picture]
) -> None:
    image = seven().convert("F")
    image.putpixel((2, 2), value)
    assert_alike(reread(image, "pfm"), plain, 2)


def test_a_palette_with_a_transparent_colour(
    plain: Picture, reread: Callable[..., Picture]
) -> None:
    image = seven().point(lambda level: int(level > 127))
    image = Image.frombytes("P", image.size, image.tobytes())
    image.putpalette([0, 0, 0, 0, 0, 0])
    result = reread(image, transparency=1)
    assert_alike(result, plain)
    assert result.steps[0] == "transparency laid on white"


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("times", [1, 20])
def test_a_photo_is_turned_upright(
    times: int, suffix: str, plain: Picture, reread: Callable[..., Picture]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    sideways = seven().transpose(Image.Transpose.ROTATE_90)
    sideways = sideways.resize([times * side for side in sideways.size])
    result = reread(sideways, suffix, exif=exif)
    assert_alike(result, plain, 2)
    assert result.steps[0] == "turned upright by its EXIF tag"


def test_the_first_frame_of_an_animation_is_read(
    plain: Picture, reread: Callable[..., Picture]
) -> None:
    second = Image.new("L", seven().size, WHITE)
    assert_alike(reread(seven(), "gif", save_all=True, append_images=[second]), plain)


# 26: sizes and blanks


@pytest.mark.parametrize("level", [BLACK, 128, WHITE])
@pytest.mark.parametrize("size", [(1, 1), (1, 90), (28, 28), (200, 200)])
def test_a_blank_picture_is_said_to_be_blank(
    size: tuple[int, int], level: int, reread: Callable[..., Picture]
) -> None:
    result = reread(Image.new("L", size, level))
    assert result.blank
    assert result.steps[-1] == "blank: no digit found"
    assert result.pixels.shape == (28, 28)
    assert not result.pixels.any()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_noise_alone_is_blank(dtype: type, reread: Callable[..., Picture]) -> None:
    noise = np.random.default_rng(0).normal(200, 5, (200, 200))
    assert reread(Image.fromarray(noise.astype(dtype))).blank


def test_nothing_seen_is_blank(reread: Callable[..., Picture]) -> None:
    assert reread(Image.new("RGBA", (40, 40), (0, 0, 0, 0))).blank


@pytest.mark.parametrize("size", [(10_000, 3), (3, 10_000)])
def test_a_line_stays_a_line(
    size: tuple[int, int], reread: Callable[..., Picture]
) -> None:
    image = Image.new("L", size, WHITE)
    ImageDraw.Draw(image).line([(1, 1), (size[0] - 2, size[1] - 2)], BLACK)
    result = reread(image)
    assert not result.blank
    rows, columns = np.nonzero(result.pixels)
    assert sorted((np.ptp(rows) + 1, np.ptp(columns) + 1)) == [1, 20]


def test_a_hairline_in_a_large_picture_is_seen(reread: Callable[..., Picture]) -> None:
    image = Image.new("L", (3000, 3000), WHITE)
    ImageDraw.Draw(image).line([(500, 500), (2500, 2500)], BLACK)
    result = reread(image)
    assert result.pixels.max() == 255
    assert (result.pixels > 100).sum() >= 20


# Any picture at all


MODES = {
    "1": (np.bool_, 0), "L": (np.uint8, 0), "I;16": (np.uint16, 0), "P": (np.uint8, 0),
    "LA": (np.uint8, 2), "RGB": (np.uint8, 3), "RGBA": (np.uint8, 4),
}  # fmt: skip


@given(data=st.data())
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_picture_fits_the_frame(data: st.DataObject, tmp_path: Path) -> None:
    mode = data.draw(st.sampled_from(sorted(MODES)))
    dtype, channels = MODES[mode]
    sides = st.integers(1, 60)
    shape = (data.draw(sides), data.draw(sides)) + ((channels,) if channels else ())
    pixels = data.draw(hnp.arrays(dtype, shape))
    frame = data.draw(st.sampled_from([MNIST, DIGITS]))
    image = Image.fromarray(pixels)
    if mode == "P":
        image = Image.frombytes("P", image.size, image.tobytes())
        image.putpalette(list(range(256)) * 3)
    path = tmp_path / "picture.png"
    image.save(path)
    result = read(path, frame)
    assert result.pixels.shape == (frame.height, frame.width)
    assert result.pixels.dtype == np.uint8
    assert result.pixels.max() <= frame.maximum
    assert result.blank == (not result.pixels.any())
    assert result.steps


@given(data=st.data())
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_broken_file_is_read_or_refused(data: st.DataObject, tmp_path: Path) -> None:
    kind = data.draw(st.sampled_from(picture.FORMATS))
    stream = BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 3
    options = {"exif": exif} if kind in ("PNG", "JPEG") else {}
    seven(24, 32).convert("RGB").save(stream, kind, **options)
    content = bytearray(stream.getvalue())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=6)):
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "picture"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with suppress(InputError):
        assert read(path, MNIST).pixels.shape == (28, 28)
