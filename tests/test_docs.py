"""Every Python example in the documentation runs, and prints what is shown there."""

import doctest
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image

import nnx
from nnx.cli.main import app
from nnx.settings import complete
from nnx.settings.notation import SCHEDULES
from nnx.settings.table import OPTIMIZERS
from nnx.training import presets
from nnx.training.folder import PICTURES

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "backends" / "README.md"]
PAGES += sorted((ROOT / "docs").glob("*.md"))
# Their examples train, and check every gradient.
LONG = ("guide.md",)
# Their examples are of other libraries too, and of other processes: test_coming_from.py
# and cli/test_mpi.py.
ELSEWHERE = "coming-from.md", "distributed.md"


def _examples(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.S | re.M)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(
            page,
            marks=pytest.mark.sweep if page.name in LONG else (),
            id=str(page.relative_to(ROOT)),
        )
        for page in PAGES
        if page.name not in ELSEWHERE
    ],
)
def test_examples_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for example in _examples(page):
        exec(compile(example, page.name, "exec"), names)


def test_settings_in_the_guide_are_settings() -> None:
    text = (ROOT / "docs" / "guide.md").read_text("utf-8")
    examples = re.findall(r"^```toml\n(.*?)^```", text, re.S | re.M)
    assert examples
    for example in examples:
        complete(tomllib.loads(example))


def test_the_guide_s_tables_are_complete() -> None:
    rows = re.findall(r"^\| `(.*?)`", (ROOT / "docs" / "guide.md").read_text(), re.M)
    readme = re.findall(r"^\| `(.*?)`", (ROOT / "README.md").read_text(), re.M)
    missing = {*SCHEDULES, *OPTIMIZERS, *PICTURES} - {*rows}
    assert not missing, f"docs/guide.md: no row of {missing}"
    missing = set(presets.names()) - {*rows} - {*readme}
    assert not missing, f"README.md, docs/guide.md: no row of the presets {missing}"


def test_the_readme_has_an_example() -> None:
    assert _examples(PAGES[0])


def test_the_package_s_own_example() -> None:
    assert doctest.testmod(nnx).failed == 0


def _commands(command: Any, name: str) -> Iterator[str]:
    """Yield a command with all words before it, and those that it has."""
    yield name
    for own, each in getattr(command, "commands", {}).items():
        yield from _commands(each, f"{name} {own}")


def test_every_command_is_described() -> None:
    said = "".join(page.read_text("utf-8") for page in PAGES)
    for name in _commands(typer.main.get_command(app), "nnx"):
        assert re.search(rf"{name}\b", said), f"docs/guide.md: no {name}"


def _options(command: Any) -> set[str]:
    """Return every option of a command and of those that it has."""
    found = {name for param in command.params for name in param.opts}
    return found.union(*map(_options, getattr(command, "commands", {}).values()))


@pytest.mark.parametrize(
    "page",
    [
        *(ROOT / name for name in ("README.md", "CHANGELOG.md", "docs/faults.md")),
        *sorted((ROOT / "nnx" / "training" / "presets").glob("*.toml")),
    ],
    ids=lambda page: page.name,
)
def test_options_that_are_named_are_there(page: Path) -> None:
    named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", page.read_text("utf-8")))
    assert named <= _options(typer.main.get_command(app))


def test_every_picture_is_shown() -> None:
    shown = "".join(page.read_text("utf-8") for page in PAGES)
    for picture in (ROOT / "docs" / "pictures").iterdir():
        assert f"pictures/{picture.name})" in shown, picture.name


def test_the_scale_of_the_weights_goes_from_orange_to_violet() -> None:
    with Image.open(ROOT / "docs" / "pictures" / "weights.png") as picture:
        across = round(0.943 * picture.width)
        scale = picture.convert("RGB").crop((across, 60, across + 1, 270))
    reds, _, blues = zip(*[scale.getpixel((0, y)) for y in range(210)], strict=True)
    redder = [red - blue for red, blue in zip(reds, blues, strict=True)]
    assert min(redder[:60]) > 100
    assert max(redder[-60:]) < -20


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
