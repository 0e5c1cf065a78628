"""Laboratories for tests, on every driver."""

from collections.abc import Iterator

import pytest

from dataplane.lab import asking, demo, grouplaboratory, laboratory, namespaces
from dataplane.lab.laboratory import Lab
from tests import forked
from tests.drivers import COMMON
from tests.lab import plans


@pytest.fixture(params=COMMON)
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def _forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs of a laboratory that a test's own process builds are forked; those of `avi-lab` are started."""
    for module in (asking, demo, grouplaboratory, laboratory, namespaces):
        monkeypatch.setattr(module, "subprocess", forked.LIBRARY)


@pytest.fixture
def lab(driver: str) -> Iterator[Lab]:
    """The layer-2 example, running."""
    with plans.new_lab("l2_dsr", driver) as there:
        plans.start(there)
        yield there
