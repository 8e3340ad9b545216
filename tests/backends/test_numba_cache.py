"""Compiled kernels on disk: found again, kept apart, and compiled by two processes."""

import os
import shutil
from pathlib import Path

import nnx_backends
import pytest
from own_process import printed

import nnx
from nnx import cores

pytest.importorskip("numba")


UNWRITABLE = """
from numba.core import caching
def refuse(locator):
    raise PermissionError(13, "no folder can be written")
caching._CacheLocator.ensure_cache_path = refuse
"""
FULL = """
from numba.core import caching
def refuse(file, path):
    raise OSError(28, "No space left on device")
caching.IndexDataCacheFile._open_for_write = refuse
"""
USE = """
import nnx
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.state import Images, initial_state
import numpy as np
network, backend = nnx.Network((2, 3)), nnx.find("numba")
hyper = Hyperparameters(network.activation, 1.0, 2)
start = initial_state(network.layers, hyper, backend.ops)
images = Images(np.ones((4, 2), np.uint8), np.arange(4) % 2)
backend.run_steps(start, images, np.arange(4), 2, hyper)
from nnx_backends.numba_cpu import steps
print(sum(steps.train.stats.cache_hits.values()), backend.first_run.note)
"""


MULTIPLIES = """
import sys
assert "scipy.linalg" not in sys.modules
from numba import njit
assert njit(lambda a: np.dot(a, a))(np.eye(2)).tolist() == [[1, 0], [0, 1]]
assert "scipy.linalg" in sys.modules
"""


def _use(cache: Path, first: str = "", path: str = "", last: str = "") -> str:
    """Use a kernel in a process that has its own cache; return hits and the note.

    first, last: what the process does before and after
    path: where Python looks for modules first
    """
    code = first + USE + last
    return printed(code, NUMBA_CACHE_DIR=str(cache), PYTHONPATH=path)


@pytest.mark.sweep
def test_no_folder_for_the_kernels(tmp_path: Path) -> None:
    said = _use(tmp_path, UNWRITABLE)
    assert "in every run" in said
    assert "set NUMBA_CACHE_DIR" in said
    assert list(tmp_path.iterdir()) == []


HELPED = """
import sys
sys.executable = sys.argv[1] or sys.executable
import numpy as np
from nnx import Network, find
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.state import Images, initial_state
network, backend = Network((6, 40, 3)), find("numba", threads=2)
hyper = Hyperparameters(network.activation, 1.0, 2, optimizer="adam")
start = initial_state(network.layers, hyper, backend.ops)
images = Images(np.ones((4, 6), np.uint8), np.arange(4) % 3)
shares = list(backend.first_run.compile(start, images, hyper))
assert shares == sorted(shares) and 0 <= shares[0] <= shares[-1] <= 1, shares
backend.run_steps(start, images, np.arange(4), 2, hyper)
from nnx_backends.numba_cpu import loss, narrow
kernels = loss.PLAIN, loss.LOGITS, narrow.optimize("adam")
print(sum(sum(kernel._compiled.stats.cache_hits.values()) for kernel in kernels))
"""


@pytest.mark.sweep
@pytest.mark.skipif(cores.available() == 1, reason="a helper needs a core of its own")
@pytest.mark.parametrize("python", ["", "/no/such/program"])
def test_a_helper_compiles_the_last_kernels(tmp_path: Path, python: str) -> None:
    hits = int(printed(HELPED, python, NUMBA_CACHE_DIR=str(tmp_path)))
    assert (hits > 0) == (python == "")


def test_there_is_no_helper_whose_pipe_would_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As every pipe does on Windows before Python 3.12."""
    first_run = pytest.importorskip("nnx_backends.numba_cpu.first_run")
    monkeypatch.delattr(os, "set_blocking")
    monkeypatch.setattr(cores, "available", lambda: 2)
    monkeypatch.setattr(first_run.subprocess, "Popen", None)
    with first_run._helper((list, "float32")) as its:
        assert its() == 0


@pytest.mark.sweep
def test_no_space_for_the_kernels(tmp_path: Path) -> None:
    _use(tmp_path, FULL)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.sweep
def test_kernels_damaged_or_of_parts_that_changed_are_compiled_again(
    tmp_path: Path,
) -> None:
    """An index, what it points to, a module; each time the cache is whole again.

    A module of the kernels', and one of the maths, whose constants are in them.
    """
    cache = tmp_path / "cache"
    for package in nnx, nnx_backends:
        folder = Path(package.__file__).parent
        shutil.copytree(folder, tmp_path / folder.name)

    def use() -> str:
        return _use(cache, path=str(tmp_path))

    assert use().startswith("0 compiling the kernels, once")
    assert use().startswith("1 ")
    for kind in ("nbi", "nbc"):
        for path in cache.rglob(f"*.{kind}"):
            path.write_bytes(path.read_bytes()[:20])
        assert use().startswith("0 ")
        assert use().startswith("1 ")
    for part in "nnx_backends/numba_cpu/elementary.py", "nnx/maths/batch_norm.py":
        with open(tmp_path / part, "a") as source:
            source.write("# changed\n")
        assert use().startswith("0 ")
        assert use().startswith("1 ")


AGREES = """
import sys
import numpy as np
from nnx import Network, find
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.state import Images, initial_state
*activations, dtype = sys.argv[1:]
sizes, rng = (6, *len(activations) * [7], 3), np.random.default_rng(0)
network = Network(sizes, ",".join(activations), seed=0, dtype=dtype)
images = Images(rng.integers(0, 256, (8, 6), np.uint8), rng.integers(0, 3, 8))
hyper = Hyperparameters(network.activation, 1 / 255, 4, learning_rate=1.0)
start = initial_state(network.layers, hyper, find("numpy").ops)
one, other = (
    find(name).run_steps(start, images, np.arange(8), 2, hyper).layers
    for name in ("numpy", "numba")
)
for a, b in zip(one, other, strict=True):
    np.testing.assert_allclose(a.weight, b.weight, rtol=0, atol=1e-6)
"""


def _agree(cache: Path, *words: str) -> None:
    """Compare a step with NumPy's in a process of its own, all with one seed of hashes.

    Each numbers its functions; with one seed of its hashes also names them alike.
    """
    printed(AGREES, *words, NUMBA_CACHE_DIR=str(cache), PYTHONHASHSEED="0")


@pytest.mark.sweep
def test_kernels_of_two_processes_and_of_two_types_keep_apart(tmp_path: Path) -> None:
    """Other kernels in one folder, and another type's in the files of one."""
    tanh, sigmoid, wide = (tmp_path / name for name in ("tanh", "sigmoid", "wide"))
    _agree(tanh, "tanh", "float32")
    _agree(sigmoid, "sigmoid", "float32")
    _agree(wide, "tanh", "float64")
    merged = shutil.copytree(tanh, tmp_path / "merged")
    shutil.copytree(sigmoid, merged, dirs_exist_ok=True)
    _agree(merged, "tanh", "sigmoid", "float32")
    for path in wide.rglob("*.nbc"):
        shutil.copy(path, tanh / path.relative_to(wide))
    _agree(tanh, "tanh", "float32")


TRAINS = """
import numpy as np
from nnx import Network, find
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.state import Images, initial_state
rng = np.random.default_rng(0)
network, backend = Network((6, 40, 3), seed=0), find("numba", threads=1)
images = Images(rng.integers(0, 256, (512, 6), np.uint8), rng.integers(0, 3, 512))
options = {"optimizer": "momentum", "momentum": 0.9, "learning_rate": 0.1}
hyper = Hyperparameters(network.activation, 1 / 255, 128, **options)
state = initial_state(network.layers, hyper, backend.ops)
for _ in range(4):
    state = backend.run_steps(state, images, np.arange(512), 4, hyper)
print(*(layer.weight.tobytes().hex() for layer in state.layers))
"""


@pytest.mark.sweep
def test_compiled_and_loaded_kernels_give_the_same_bits(tmp_path: Path) -> None:
    """What kernels have in common, momentum's step of a few numbers, is each's own."""
    first, second = (printed(TRAINS, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2))
    assert first == second != ""


@pytest.mark.sweep
def test_scipy_is_not_loaded_until_a_function_needs_it(tmp_path: Path) -> None:
    """It takes a tenth of a second, and no kernel uses it."""
    pytest.importorskip("scipy", reason="SciPy is not installed: it is in [sklearn]")
    _use(tmp_path, last=MULTIPLIES)
