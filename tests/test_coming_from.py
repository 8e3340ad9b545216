"""The page for those who come from another library: both sides of each example."""

import re
from pathlib import Path
from typing import Any

import pytest

from nnx.maths.activations import ACTIVATIONS
from nnx.maths.initializers import INITIALIZERS
from nnx.settings import ROWS
from nnx.settings.other_names import OF_TRAIN
from nnx.settings.values import suggestion

PAGE = Path(__file__).parents[1] / "docs" / "coming-from.md"
BLOCK = re.compile(r"^```python ?(\S*)\n(.*?)^```", re.S | re.M)
# What each example ends with; they end with 0.96 to 0.98.
LEAST = 0.94


def blocks(library: str) -> list[str]:
    return [
        code for name, code in BLOCK.findall(PAGE.read_text("utf-8")) if name == library
    ]


def run(*codes: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    for code in codes:
        exec(compile(code, PAGE.name, "exec"), names)
    return names


# Scikit-learn says that 20 epochs are not enough for its tolerance.
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("library", ["sklearn", "nnx.sklearn", "torch"])
def test_their_side(library: str) -> None:
    needs = library.removeprefix("nnx.")
    pytest.importorskip(needs, reason=f"{needs} is not installed: nnx-mlp[rivals]")
    [example] = blocks(library)
    assert run(blocks("")[0], example)["accuracy"] > LEAST


def test_our_side() -> None:
    data, torch, keras, more = blocks("")
    assert run(data, torch)["accuracy"] > LEAST
    assert run(data, keras, more)["accuracy"] > LEAST


def test_keras_s_side_compiles() -> None:
    """It is installed nowhere that these tests run; more is not known of it."""
    [example] = blocks("keras")
    compile(example, PAGE.name, "exec")


def test_the_names_are_settings_and_their_values() -> None:
    """Those of the last column."""
    text = PAGE.read_text("utf-8")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    header, *rows = rows
    assert [cell.strip("| ") for cell in header][3] == "nnx"
    ours = " ".join(row[3] for row in rows)
    for name in re.findall(r"`(\w+)=", ours):
        assert name in ROWS or name in ("progress", "out"), name
    for name in re.findall(r"`([a-z_0-9]+)`", ours):
        assert name in ROWS or name in {**ACTIVATIONS, **INITIALIZERS}, name


def test_a_name_of_theirs_is_told_which_setting_of_ours_it_is() -> None:
    functions = {"fit", "random_split", "set_random_seed"}
    rows = [line.split(" | ") for line in PAGE.read_text("utf-8").splitlines()]
    told = set()
    for row in (row for row in rows if len(row) == 4):
        ours = {name for name in re.findall(r"\w+", row[3]) if name in ROWS}
        names = {*re.findall(r"`([a-z]\w*)(?:=[^`]*)?`", " ".join(row[:3]))}
        for name in names - functions - {*ROWS, *OF_TRAIN} if ours else ():
            assert suggestion(name) in ours, name
            told.add(name)
    assert {"hidden_layer_sizes", "manual_seed", "ema_momentum", "nesterov"} <= told
