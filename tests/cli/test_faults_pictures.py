"""Pictures to predict: bad ones are named, and the others are read all the same."""

import json
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import nnx

Run = Callable[..., Any]


def png(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    Image.fromarray(pixels.astype(np.uint8)).save(path, "PNG", **options)
    return path


def stroke(height: int = 40, width: int = 30) -> np.ndarray:
    """A white upright stroke on black."""
    pixels = np.zeros((height, width))
    pixels[height // 5 : -height // 5, width // 2 - 2 : width // 2 + 2] = 255
    return pixels


def bomb() -> bytes:
    """A PNG of some bytes that says it has 60000 x 60000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return (
            struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))
        )

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(100_000))
    parts = chunk(b"IHDR", header), chunk(b"IDAT", data), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_23_and_24_bad_pictures_among_good_ones(
    run: Run, old_run: Path, cwd: Path
) -> None:
    first, last = png(cwd / "first.png", stroke()), png(cwd / "[red] ü.png", stroke())
    bad = {
        "text.png": (b"no picture", "not a known kind of picture"),
        "empty.png": (b"", "not a known kind of picture"),
        "cut.png": (first.read_bytes()[:-40], "damaged or cut short"),
        "bomb.png": (bomb(), "too large"),
        "fits.png": (b"SIMPLE  =                    T".ljust(2880), "not a known kind"),
        "eps.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a kn"),
        "pdf.png": (b"%PDF-1.7\n1 0 obj\n<< >>\nendobj\n", "not a known kind"),
    }
    for name, (content, _) in bad.items():
        (cwd / name).write_bytes(content)
    nowhere = {"gone.png": "No such file", "squares": "not a file"}
    ran = run("predict", old_run, first, *bad, *nowhere, last, "--json")
    assert ran.returncode == 1
    found = json.loads(ran.stdout.splitlines()[-1])["predictions"]
    assert [row["file"] for row in found] == [str(first), str(last)]
    assert found[0] | {"file": ""} == found[1] | {"file": ""}
    complaints = [line for line in ran.stderr.splitlines() if line.startswith("nnx: ")]
    wanted = {name: words for name, (_, words) in bad.items()} | nowhere
    assert len(complaints) == len(wanted)
    for line, (name, words) in zip(complaints, wanted.items(), strict=True):
        assert line.startswith(f"nnx: {name}: ")
        assert words in line
        # Which kinds are read is no help where there is no picture.
        of_kinds = "give a PNG, JPEG, BMP, GIF or PNM picture" in line
        assert of_kinds == (name not in nowhere)
    assert "Traceback" not in ran.stderr


def test_25_what_was_done_to_a_picture_is_printed(
    run: Run, old_run: Path, cwd: Path
) -> None:
    ink = np.dstack([255 - stroke()] * 2 + [np.full((40, 30), 250)])
    png(cwd / "blue.png", ink)
    png(cwd / "clear.png", np.dstack([np.zeros((40, 30, 3)), stroke()]))
    grey = Image.fromarray((stroke() * 100).astype(np.uint16))
    grey.save(cwd / "deep.png")
    turned = Image.Exif()
    turned[0x112] = 6
    png(cwd / "turned.png", stroke(), exif=turned)
    Image.fromarray(stroke().astype(np.uint8)).convert("P").save(cwd / "palette.png")
    says = {
        "blue.png": "color made gray; dark on light: inverted",
        "clear.png": "transparency laid on",
        "deep.png": "more than 8 bits scaled to 8",
        "turned.png": "turned upright by its EXIF tag",
        "palette.png": "centred by mass in 4x4",
    }
    ran = run("predict", old_run, *says)
    assert ran.returncode in (0, 5), ran.stderr  # a small network may be unsure
    lines = ran.stderr.splitlines()
    for name, words in says.items():
        assert any(line.startswith(f"{name}: ") and words in line for line in lines)
    assert all(name in ran.stdout for name in says)


def test_a_folder_s_pictures_are_predicted(run: Run, old_run: Path, cwd: Path) -> None:
    (cwd / "mine" / "more").mkdir(parents=True)
    (cwd / "empty").mkdir()
    for name in "b.png", "a.png", ".hidden.png":
        png(cwd / "mine" / name, stroke())
    png(cwd / "c.png", stroke())
    (cwd / "mine" / "notes.txt").touch()
    ran = run("predict", old_run, "mine", "c.png", "--json")
    predictions = json.loads(ran.stdout)["predictions"]
    assert [row["file"] for row in predictions] == ["mine/a.png", "mine/b.png", "c.png"]
    assert run("predict", old_run, "mine", "none.png").returncode == 1
    long = "n" * 300 + ".png"
    ran = run("predict", old_run, "empty", long, "c.png")
    assert ran.returncode == 1
    empty, named = [s for s in ran.stderr.splitlines() if s.startswith("nnx: ")]
    assert empty.startswith("nnx: empty: not a file, but a folder without pictures; ")
    assert named.endswith(".png: File name too long")
    assert "c.png" in ran.stdout


def test_26_odd_sizes_are_read_and_a_blank_one_is_doubted(
    run: Run, old_run: Path, cwd: Path
) -> None:
    png(cwd / "dot.png", np.zeros((1, 1)))
    png(cwd / "wide.png", stroke(3, 10_000))
    png(cwd / "black.png", np.zeros((28, 28)))
    ran = run("predict", old_run, "dot.png", "wide.png", "black.png")
    assert ran.returncode == 5, ran.stderr
    lines = ran.stderr.splitlines()
    header, _, dot, _, black = ran.stdout.splitlines()[-5:]
    assert header.endswith("doubt")
    for name, row in ("dot.png", dot), ("black.png", black):
        assert f"{name}: blank: no digit found" in lines
        assert row.startswith(name)
        assert row.endswith("blank")


def test_doubts_are_in_json_and_others_are_predicted_all_the_same(
    run: Run, old_run: Path, cwd: Path
) -> None:
    png(cwd / "black.png", np.zeros((28, 28)))
    noise = np.random.default_rng(0).integers(0, 256, (60, 60))
    png(cwd / "noise.png", noise)
    two = np.hstack([stroke(), stroke()])
    png(cwd / "two.png", two)
    names = "black.png", "noise.png", "two.png"
    for more, status in ((), 5), (("none.png",), 1):
        ran = run("predict", old_run, *names, *more, "--json")
        assert ran.returncode == status
        found = json.loads(ran.stdout.splitlines()[-1])["predictions"]
        assert [row["doubt"] for row in found] == ["blank", "noise", "two shapes"]
        assert all("label" in row for row in found)


@pytest.mark.parametrize("one_more", [0, 1])
@pytest.mark.parametrize(
    ("count", "length", "doubted"), [(10, 1, ()), (4, 12, ()), (9, 1, ("black.png",))]
)
def test_each_class_s_probability_is_shown_where_it_has_room(
    run: Run, cwd: Path, count: int, length: int, doubted: tuple[str], one_more: int
) -> None:
    png(cwd / "bar.png", stroke())
    png(cwd / "black.png", np.zeros((9, 9)))
    classes = tuple(f"{i:0{length}x}" for i in range(count + one_more))
    network = nnx.Network((16, len(classes)), seed=0).replace(classes=classes)
    network.layers[0].bias[1] = 5
    network.save(cwd / "m")
    ran = run("predict", "m", "bar.png", *doubted)
    assert ran.returncode == (5 if doubted else 0)
    lines = ran.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    ran = run("predict", "m", "bar.png", *doubted, "--json")
    bar, *_ = json.loads(ran.stdout)["predictions"]
    chances, label = bar["probabilities"], classes[1]
    assert (bar["label"], bar["confidence"]) == (label, max(chances))
    if one_more:
        columns, shown = ["confidence"], [f"{100 * max(chances):.2f}", "%"]
    else:
        assert lines.pop(0) == "probability of each class in %"
        columns, shown = [*classes], [f"{100 * chance:.1f}" for chance in chances]
    heading, _, line = lines[:3]
    assert heading.split() == ["file", "label", *columns, *["doubt" for _ in doubted]]
    assert line.split() == ["bar.png", label, *shown]


def test_a_table_takes_no_pictures(
    refused: Callable[..., str], old_table: Path, cwd: Path
) -> None:
    png(cwd / "a.png", stroke())
    says = ("old table: takes 3 features that are not a picture",)
    refused("predict", old_table, "a.png", says=says)


def test_pictures_that_a_run_has_not_seen_are_all_tested(
    done: Callable[..., Any], cwd: Path
) -> None:
    """Of its own pictures, under whatever name, those alone that it held out."""
    for kind, pixels in ("bar", stroke()), ("dash", stroke().T):
        (cwd / "mine" / kind).mkdir(parents=True)
        for i in range(5):
            png(cwd / "mine" / kind / f"{i}.png", pixels * (1 - i / 20))
    done("train", "mine", "--out", "run", "--no-plots", "--epochs", 1)
    shutil.copytree(cwd / "mine", cwd / "copy")
    shutil.copytree(cwd / "mine" / "bar", cwd / "others" / "bar")
    says = "the run was trained on these pictures; tested on its 1 test pictures alone"
    shutil.copytree(cwd / "mine", cwd / "redrawn")
    png(cwd / "redrawn" / "bar" / "0.png", stroke().T)
    for name, count in ("mine", 1), ("copy", 1), ("others", 5), ("redrawn", 10):
        ran = done("evaluate", "run", "--dataset", name, "--json")
        assert json.loads(ran.stdout)["images"] == count
        assert (f"{name}: {says}" in ran.stderr) == (count == 1)
    (cwd / "copy" / ".DS_Store").touch()  # as macOS adds them
    (cwd / "link").mkdir()
    for kind in "bar", "dash":
        (cwd / "link" / kind).symlink_to(cwd / "mine" / kind)
    for name in "copy", "link":
        assert says in done("evaluate", "run", "--dataset", name).stderr
    png(cwd / "mine" / "bar" / "5.png", stroke())
    differs = "mine: differs from what the run was trained on, so it may be tested on"
    for more, count in ((), 1), (("--dataset", "mine"), 11):
        ran = done("evaluate", "run", *more, "--json")
        assert json.loads(ran.stdout)["images"] == count
        assert f"{differs} images that it was trained on" in ran.stderr
    (cwd / "mine" / "bar" / "5.png").unlink()
    (cwd / "mine").rename(cwd / "moved")
    assert says in done("evaluate", "run", "--dataset", "moved").stderr
    (cwd / "run" / "checkpoint.safetensors").unlink()
    assert says not in done("evaluate", "run", "--dataset", "moved").stderr


def test_a_target_is_for_a_network_of_a_table(
    refused: Callable[..., str], old_run: Path
) -> None:
    says = ("old run: was not trained on a table's columns: leave out --target",)
    for command in ("evaluate",), ("export", "--card", "card.md"):
        refused(*command, old_run, "--dataset", "squares", "--target", "y", says=says)
