"""On a real card, by `pytest -m gpu`: what neither a stand-in nor one test can show.

With the `backend` fixture, all other tests of the maths and of training run there too.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from usable import usable

import nnx
from nnx.backend import Backend

pytestmark = pytest.mark.gpu
Run = Callable[..., Any]
TRAIN = "train", "--backend", "cupy", "--epochs", 3, "--quiet"
WIDE = "--hidden", "4096,4096"


@pytest.fixture
def card() -> Backend:
    return usable("cupy")


@pytest.mark.sweep
def test_parity(card: Backend) -> None:
    assert all(row.within_bound for row in nnx.parity(card))


@pytest.mark.sweep
def test_gradients(card: Backend) -> None:
    assert max(check.max_relative_error for check in nnx.gradcheck(card)) < 1e-6


def test_two_processes_give_the_same_bits(card: Backend, done: Run, cwd: Path) -> None:
    for name in "ab":
        done(*TRAIN, "--out", name)
    one, other = ((cwd / name / "model.safetensors").read_bytes() for name in "ab")
    assert one == other


def test_a_limit_on_memory(card: Backend, done: Run, run: Run, cwd: Path) -> None:
    """8 MB hold the set, and not 67 MB of weights; the run before is whole."""
    done(*TRAIN, "--out", "a")
    before = (cwd / "a" / "model.safetensors").read_bytes()
    limit = {"CUPY_GPU_MEMORY_LIMIT": "8000000"}
    ran = run(*TRAIN, *WIDE, "--out", "b", env=limit)
    assert ran.returncode == 4
    assert "needs 64.0 MiB, free " in ran.stderr
    assert "of a limit of 7.6 MiB; try --batch-size 16" in ran.stderr
    assert (cwd / "a" / "model.safetensors").read_bytes() == before


def test_a_device_that_is_not_there(card: Backend, refused: Callable[..., str]) -> None:
    says = ("no device 99; there are",)
    refused(*TRAIN, "--device", "99", "--out", "a", says=says)


def test_a_folder_that_kernels_cannot_be_kept_in(
    card: Backend, refused: Callable[..., str], cwd: Path
) -> None:
    (cwd / "file").write_text("")
    folder = {"CUPY_CACHE_DIR": str(cwd / "file" / "kernels")}
    refused(*TRAIN, "--out", "a", env=folder, says=("set CUPY_CACHE_DIR",))


def test_tf32_is_less_exact_and_full_is_not(card: Backend) -> None:
    """In TF32, 1 + 2⁻¹² is 1."""
    tf32 = usable("cupy", precision="tf32")
    x = np.full((128, 128), 1 + 2**-12, np.float32)
    for backend, exact in ((card, True), (tf32, False), (card, True)):
        with backend.scope():
            moved = backend.from_numpy(x)
            got = backend.to_numpy(moved @ moved)
        assert bool(np.allclose(got, 128 * (1 + 2**-12) ** 2, rtol=1e-6)) == exact


def test_a_run_is_on_the_card_and_says_so(card: Backend, done: Run) -> None:
    ran = done(*TRAIN, "--device", "cuda:0", "--json", "--out", "a")
    found = json.loads(ran.stdout)
    assert (found["backend"], found["precision"]) == ("cupy", "full")
    assert found["device"] == card.device
    assert found["test_accuracy"] > 0.9
