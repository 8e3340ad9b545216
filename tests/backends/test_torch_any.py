"""PyTorch's devices, its memory, and that nothing is kept for autograd."""

from dataclasses import replace

import numpy as np
import pytest

from nnx import Network, find, train
from nnx.backend import Backend
from nnx.data.dataset import Dataset
from nnx.errors import OutOfMemoryError, UnusableBackendError

torch = pytest.importorskip(
    "torch", reason="PyTorch is not installed: pip install nnx-mlp[torch]"
)


@pytest.fixture
def torch_cpu() -> Backend:
    return find("torch")


@pytest.mark.parametrize("device", ["abacus", "cuda:99", "meta", "cpu:x", "mps:7"])
def test_a_device_that_cannot_be_used(device: str) -> None:
    with pytest.raises(UnusableBackendError, match="use cpu") as refused:
        find("torch", device=device)
    assert repr(device) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 320


def test_the_device_in_words(torch_cpu: Backend) -> None:
    assert torch_cpu.device == "cpu"


def test_arrays_are_copied(torch_cpu: Backend) -> None:
    array = np.zeros(3)
    moved = torch_cpu.from_numpy(array)
    array[:] = 1
    assert torch_cpu.to_numpy(moved).tolist() == [0, 0, 0]


def test_nothing_is_kept_for_autograd(torch_cpu: Backend) -> None:
    x, weight = (torch_cpu.from_numpy(np.ones((2, 2))) for _ in range(2))
    bias = torch_cpu.from_numpy(np.zeros(2))
    assert not torch_cpu.ops.dense_forward(x, weight, bias).requires_grad


def test_out_of_memory_is_one_line(data: Dataset, torch_cpu: Backend) -> None:
    says = (
        "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity "
        "of 1.00 GiB of which 3.00 MiB is free. Of the allocated memory\n more words."
    )

    def full(*arguments: object, **options: object) -> None:
        raise torch.OutOfMemoryError(says)

    with pytest.raises(OutOfMemoryError) as refused:
        train(Network([25, 9, 3]), data, backend=replace(torch_cpu, own_steps=full))
    assert str(refused.value) == (
        "out of memory on cpu: Tried to allocate 20.00 MiB, GPU 0 has a total capacity "
        "of 1.00 GiB of which 3.00 MiB is free; try --batch-size 16 or a smaller "
        "--hidden"
    )
