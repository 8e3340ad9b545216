"""Damaged files of every kind: they load, or an error of one line says why not.

`fuzzing.py` does it for longer, in processes of a gigabyte.
"""

import random
import subprocess
import sys
import warnings
from pathlib import Path

import fuzzing
import pytest
from parsers import PARSERS

from nnx.data.read_table import KINDS, TEXTS
from nnx.errors import InputError

LIBRARIES = {
    "parquet-table": "pyarrow",
    "parquet-rows": "pyarrow",
    "pytorch-pt": "torch",
}
COUNT = 40


@pytest.mark.parametrize("name", PARSERS)
def test_damaged_files(tmp_path: Path, name: str) -> None:
    pytest.importorskip(LIBRARIES.get(name, "numpy"))
    parser = PARSERS[name]
    path = tmp_path / f"file{parser.ending}"
    for content in parser.seeds():
        path.write_bytes(content)
        parser.read(path)
    with warnings.catch_warnings(action="ignore"):
        for i in range(COUNT):
            content = parser.damaged(random.Random(f"test {name} {i}"))
            path.write_bytes(content)
            done, what = fuzzing.fault_of(parser.read, path, 30.0)
            assert done != "fault", (i, what)


def test_every_kind_of_table_is_trained_on_and_predicted() -> None:
    """Its module has both `read` and `read_blocks`."""
    kinds = {kind.strip(".") for kind in {*KINDS} - {*TEXTS}} | {"csv"}
    wanted = {f"{kind}-{use}" for kind in kinds for use in ("table", "rows")}
    assert not wanted - {*PARSERS}, "tests/fuzz/parsers.py"


@pytest.mark.parametrize("name", ["idx-images-gz", "idx-labels", "npz"])
def test_every_truncation_is_refused(tmp_path: Path, name: str) -> None:
    parser, path = PARSERS[name], tmp_path / f"file{PARSERS[name].ending}"
    content = parser.seeds()[0]
    for length in range(0, len(content), max(1, len(content) // 60)):
        path.write_bytes(content[:length])
        with pytest.raises(InputError):
            parser.read(path)


def _raising(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (ValueError("of others"), "ValueError: of others"),
        (InputError("no name"), "says 'no name'"),
        (InputError("/x: is none"), ""),
    ],
    ids=lambda value: str(value)[:9],
)
def test_what_a_fault_is(error: Exception, what: str) -> None:
    done, found = fuzzing.fault_of(lambda path: _raising(error), Path("/x"))
    assert done == ("fault" if what else "refused")
    assert found.startswith(what)


def test_the_long_run(tmp_path: Path) -> None:
    words = [sys.executable, fuzzing.__file__, "--count", "20", "--only", "idx-labels"]
    ran = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("idx-labels: 20 inputs, 0 faults ")
    assert not [*tmp_path.iterdir()]
