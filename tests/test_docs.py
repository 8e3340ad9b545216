"""Every Python example in the documentation runs, and says what it says."""

import doctest
import re
from pathlib import Path

import pytest

import nnx

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "backends" / "README.md"]
PAGES += sorted((ROOT / "docs").glob("*.md"))


def _examples(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.S | re.M)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for example in _examples(page):
        exec(compile(example, page.name, "exec"), names)


def test_the_readme_has_an_example() -> None:
    assert _examples(PAGES[0])


def test_the_package_s_own_example() -> None:
    assert doctest.testmod(nnx).failed == 0


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
