"""Processes with a card each: what they exchange from card to card."""

import subprocess
import sys
from pathlib import Path

import pytest
from distributed.mpi import MPIEXEC, needs_mpi

from nnx.model_file import MODEL_NAME

pytestmark = pytest.mark.gpu
PROGRAM = Path(__file__).with_name("nccl_by_mpi.py")


@needs_mpi
@pytest.mark.usefixtures("emulated")
def test_cards_of_two_processes_train_to_the_bits_of_one(tmp_path: Path) -> None:
    models, calls = [], []
    for processes in "1", "2":
        out = tmp_path / processes
        command = MPIEXEC, "-n", processes, sys.executable, PROGRAM, out
        calls.append(subprocess.check_output(command, text=True, timeout=100).split())
        models.append((out / MODEL_NAME).read_bytes())
    assert models[0] == models[1]
    assert calls[0] == ["0", "0"]
    sent, gathered = map(int, calls[1])
    # A batch's gradients are sent in pieces, and what is less is gathered at once.
    assert 0 < sent < gathered
