"""What tests of the emulation share."""

import pytest


@pytest.fixture
def emulated(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("emulated"):
        pytest.skip("of an emulated device: --emulated")
