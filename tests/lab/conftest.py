"""Laboratories for tests, on every driver."""

from collections.abc import Iterator

import pytest

from dataplane.lab.laboratory import Lab
from tests.drivers import COMMON
from tests.lab import plans


@pytest.fixture(params=COMMON)
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def lab(driver: str) -> Iterator[Lab]:
    """The layer-2 example, running."""
    with plans.new_lab("l2_dsr", driver) as there:
        plans.start(there)
        yield there
