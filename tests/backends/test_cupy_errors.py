"""What CUDA's errors become; no card is needed to read them."""

import pytest
from nnx_backends.cupy_gpu.errors import explained

from nnx.errors import NnxError


def of_cuda(kind: str, says: str) -> NnxError | None:
    """Return what becomes of an error of CuPy's or CUDA's."""
    raised = type(kind, (Exception,), {"__module__": "cupy_backends.cuda"})
    return explained(raised(says), None, 0)


@pytest.mark.parametrize(
    "code", ["cudaErrorLaunchTimeout", "CUDA_ERROR_LAUNCH_TIMEOUT"]
)
def test_a_launch_that_the_system_ended_is_no_fault_of_the_card(code: str) -> None:
    """The next launch may tell of it, or the next result that is read back."""
    explanation = of_cuda("CUDAError", f"{code}: the launch timed out")
    assert str(explanation).endswith("at once: take a smaller --batch-size")


@pytest.mark.parametrize(
    ("kind", "says", "words"),
    [
        (
            "CUDADriverError",
            "CUDA_ERROR_OUT_OF_MEMORY: full",
            "out of memory on cuda:0",
        ),
        ("CUBLASError", "CUBLAS_STATUS_ALLOC_FAILED", "out of memory on cuda:0"),
        ("DynamicLibNotFoundError", "Failure finding nvrtc", "lacks a part of CUDA"),
        (
            "NVRTCError",
            f"NVRTC_ERROR_COMPILATION {'x ' * 499}",
            "cannot compile a kern",
        ),
    ],
)
def test_an_error_is_known_by_its_code_or_class(
    kind: str, says: str, words: str
) -> None:
    explanation = str(of_cuda(kind, says))
    assert words in explanation
    assert len(explanation) < 500


def test_an_error_of_cupy_s_caller_is_left_as_it_is() -> None:
    with pytest.raises(ValueError, match="no such axis") as raised:
        exec("raise ValueError('no such axis')", {"__name__": "cupy.core"})
    assert explained(raised.value, None, 0) is None
