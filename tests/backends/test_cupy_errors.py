"""What CUDA's errors become; no card is needed to read them."""

import pytest
from nnx_backends.cupy_gpu.errors import explained


@pytest.mark.parametrize(
    "code", ["cudaErrorLaunchTimeout", "CUDA_ERROR_LAUNCH_TIMEOUT"]
)
def test_a_launch_that_the_system_ended_is_no_fault_of_the_card(code: str) -> None:
    """The next launch may tell of it, or the next result that is read back."""

    class CUDAError(RuntimeError):
        __module__ = "cupy_backends.cuda"

    explanation = explained(CUDAError(f"{code}: the launch timed out"), None, 0)
    assert str(explanation).endswith("at once: take a smaller --batch-size")
