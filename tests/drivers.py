"""The registered drivers, for tests that run on several: a driver that is added is tested with the others."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from dataplane.drivers.registry import DRIVERS, FALLBACK, Entry

PREFERRED = DRIVERS[0].name
"""The driver that an engine takes where it can have any."""
REFERENCE = FALLBACK.name
"""The driver that can be had everywhere, for tests to which it does not matter."""


def _named(entries: Iterable[Entry]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("driver", [entry.name for entry in entries])


every_driver = _named(DRIVERS)
drivers_that_outlive = _named(entry for entry in DRIVERS if entry.outlives_process)
"""Those whose forwarding goes on when the process of their engine ends."""
