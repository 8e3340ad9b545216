"""The example of `backends/README.md`, as a package of its own."""

import os
import re
import tomllib
from pathlib import Path

import pytest
from own_process import printed

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "backends" / "README.md").read_text("utf-8")

CHECK = """
import sys
import nnx
from nnx.verify.cases import PARITY_CASES
from nnx.verify.compare import BOUNDS
name, *_ = sys.argv[1:]
assert name in nnx.backends()
rows = nnx.parity(name)
assert {row.backend for row in rows} == {name}
assert len(rows) == len(BOUNDS) * len(PARITY_CASES)
print(*sorted({row.dtype for row in rows if not row.within_bound}))
"""
TRAIN = """
import sys
import numpy as np
import nnx
data, network = nnx.load("digits"), nnx.Network([64, 20, 10], seed=0)
one, other = (
    nnx.train(network, data, backend=name, epochs=2, batch_size=50).network.layers
    for name in (sys.argv[1], "numpy")
)
assert not np.array_equal(one[0].weight, network.layers[0].weight)
for a, b in zip(one, other, strict=True):
    np.testing.assert_array_equal(a.weight, b.weight)
    np.testing.assert_array_equal(a.bias, b.bias)
"""
WRONG_GRADIENT = """

def wrong():
    from dataclasses import replace
    own = load()

    def run_steps(state, *args):
        after = own.run_steps(state, *args)
        layers = [
            new._replace(weight=old.weight + 1.0001 * (new.weight - old.weight))
            for old, new in zip(state.layers, after.layers)
        ]
        return after._replace(layers=layers)

    return replace(own, name="wrong", own_steps=run_steps)
"""


def _example(language: str) -> str:
    """Return the page's one example in a language."""
    (example,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.S | re.M)
    return str(example)


PYPROJECT = tomllib.loads(_example("toml"))


def _install(module: str, points: dict[str, str], site: Path) -> None:
    """Leave in a folder what pip leaves of a package: its module and its metadata.

    By hand, as an environment for tests need not have what builds packages.
    """
    project = PYPROJECT["project"]
    package, version = project["name"].replace("-", "_"), project["version"]
    (site / f"{package}.py").write_text(module)
    metadata = site / f"{package}-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {version}\n"
    )
    lines = (f"{name} = {place}\n" for name, place in points.items())
    (metadata / "entry_points.txt").write_text("[nnx.backends]\n" + "".join(lines))


def _printed(code: str, name: str, site: Path) -> str:
    paths = [str(site), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return printed(code, name, PYTHONPATH=os.pathsep.join(filter(None, paths)))


def test_the_example_is_found_agrees_and_trains(tmp_path: Path) -> None:
    points = PYPROJECT["project"]["entry-points"]["nnx.backends"]
    _install(_example("python"), points, tmp_path)
    (name,) = points
    assert _printed(CHECK, name, tmp_path) == "\n"
    _printed(TRAIN, name, tmp_path)


@pytest.mark.parametrize(
    ("module", "name", "function"),
    [
        (_example("python") + WRONG_GRADIENT, "wrong", "wrong"),
        (_example("python").replace("+= bias", "-= bias"), "inplace", "load"),
    ],
    ids=["gradient", "forward"],
)
def test_an_example_gone_wrong_is_seen(
    module: str, name: str, function: str, tmp_path: Path
) -> None:
    _install(module, {name: f"nnx_inplace:{function}"}, tmp_path)
    assert _printed(CHECK, name, tmp_path) == "float32 float64\n"


def test_the_example_is_built_like_this_repository() -> None:
    own = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert PYPROJECT["build-system"] == own["build-system"]
    assert PYPROJECT["project"]["dependencies"] == [own["project"]["name"]]
