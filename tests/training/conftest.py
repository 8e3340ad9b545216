"""A network for the small data set."""

import pytest

from nnx import Network


@pytest.fixture
def network() -> Network:
    return Network([25, 7, 3], "tanh", seed=2)
