"""The CUDA source has a branch for each function of the maths."""

import re
from collections.abc import Iterable

import pytest
from nnx_backends.cupy_gpu import source

from nnx.maths.activations import ACTIVATIONS
from nnx.maths.optimizers import OPTIMIZERS

# What remains if no branch is taken.
LEFT = {"identity", "sgd"}
# A function, or "" for all of the source, and the names that it has branches for.
BRANCHES = [
    ("activate", ACTIVATIONS), ("slope", ACTIVATIONS), ("direction", OPTIMIZERS),
    *(("", names) for names in source.ENUMERATIONS),
]  # fmt: skip


@pytest.mark.parametrize(("function", "names"), BRANCHES)
def test_every_function_has_a_branch(function: str, names: Iterable[str]) -> None:
    """Without one, an activation would be the identity, and an optimizer SGD."""
    text = source.source("")
    if function:
        [text] = re.findall(
            rf"^__device__ [^\n]* {function}\(.*?^}}", text, re.S | re.M
        )
    branches = {name for name in names if re.search(rf"[=<] ?{name.upper()}\b", text)}
    missing = {*names} - branches - LEFT
    assert not missing, f"{function or 'cupy_gpu/*.cu'}: no branch for {missing}"


def test_the_source_can_be_written_in_any_encoding() -> None:
    """CuPy writes it into a file in the system's own, as cp1252 on Windows."""
    assert all(source.source("").partition(name)[1] for name in ("tanh", "barrier"))
    assert source.source("").isascii()
