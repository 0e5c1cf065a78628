"""The registered drivers, for tests that run on several: a driver that is added is tested with the others."""

from __future__ import annotations

import os
from collections.abc import Iterable

import pytest

from dataplane.drivers.registry import DRIVERS, FALLBACK, Entry

PREFERRED = DRIVERS[0].name
"""The driver that an engine takes where it can have any."""
REFERENCE = FALLBACK.name
"""The driver that can be had everywhere, for tests to which it does not matter."""


def _named(entries: Iterable[Entry]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("driver", [entry.name for entry in entries])


SELDOM = () if os.environ.get("AVI_TEST_EVERY_DRIVER") else ("dpdk",)
"""Drivers that are left out where a test is about what stands above them: DPDK's tables and decision are those of XDP,
its process and ports have tests of their own. `make test-dpdk` leaves nothing out."""
COMMON = tuple(entry.name for entry in DRIVERS if entry.name not in SELDOM)
every_driver = _named(DRIVERS)
shipped_drivers = _named(entry for entry in DRIVERS if entry.name != "dpdk")
"""Those of a wheel: DPDK's forwarder is built on the machine where it is to run."""
common_drivers = _named(entry for entry in DRIVERS if entry.name in COMMON)
drivers_that_outlive = _named(entry for entry in DRIVERS if entry.outlives_process)
"""Those whose forwarding goes on when the process of their engine ends."""
