"""How many inputs a property is tried on: few in the suite, more by `make properties`."""

from __future__ import annotations

import os

USUAL = 40
"""In the suite, of a property that does not say how many it needs."""
WANTED = int(os.environ.get("AVI_TEST_EXAMPLES", USUAL))


def examples(usual: int) -> int:
    """The inputs of a property that has so many in the suite."""
    return max(1, usual * WANTED // USUAL)
