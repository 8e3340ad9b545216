"""Backends whose libraries or devices need not be there."""

import pytest

from nnx.backend import Backend, find
from nnx.errors import BackendError


def usable(name: str, **options: str | bool) -> Backend:
    """Return a backend; where it cannot be used, skip the test and say why."""
    try:
        return find(name, **options)
    except BackendError as error:
        pytest.skip(str(error))
