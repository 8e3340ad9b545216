"""The CUDA source has a branch for each function of the maths."""

import re

import pytest
from nnx_backends.cupy_gpu import source

# What remains if no branch is taken.
LEFT = "identity", "sgd"
NAMES = [name for names in source.ENUMERATIONS for name in names if name not in LEFT]


@pytest.mark.parametrize("name", NAMES)
def test_every_function_has_a_branch(name: str) -> None:
    """Without one, an activation would be the identity, and an optimizer SGD."""
    assert re.search(rf"[=<] ?{name.upper()}\b", source.source(""))


def test_the_source_can_be_written_in_any_encoding() -> None:
    """CuPy writes it into a file in the system's own, as cp1252 on Windows."""
    assert all(source.source("").partition(name)[1] for name in ("tanh", "barrier"))
    assert source.source("").isascii()
