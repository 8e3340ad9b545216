"""Every Python example in the documentation runs, and says what it says."""

import doctest
import re
import tomllib
from pathlib import Path

import pytest

import nnx
from nnx.settings import complete
from nnx.settings.notation import SCHEDULES
from nnx.settings.table import OPTIMIZERS
from nnx.training import presets

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
    assert set(SCHEDULES) | set(OPTIMIZERS) <= set(rows)
    assert set(presets.names()) <= set(rows) | set(readme)


def test_the_readme_has_an_example() -> None:
    assert _examples(PAGES[0])


def test_the_package_s_own_example() -> None:
    assert doctest.testmod(nnx).failed == 0


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
