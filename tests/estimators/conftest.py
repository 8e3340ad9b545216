"""What the estimators' tests have in common."""

from collections.abc import Iterator

import array_api_strict
import pytest


@pytest.fixture(autouse=True)
def _whole_standard() -> Iterator[None]:
    """Let scikit-learn index by masks, which the backend "strict" forbids."""
    flags = array_api_strict.ArrayAPIStrictFlags(
        boolean_indexing=True,
        data_dependent_shapes=True,
        enabled_extensions=("linalg", "fft"),
    )
    with flags:
        yield
