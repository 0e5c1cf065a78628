"""The compiled decision where it runs: in the kernel, and natively. What is tested of both is written once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .decider import KernelDecider
from .nativedecider import NativeDecider

Decider = KernelDecider | NativeDecider
Make = Callable[..., Decider]

MAKERS: dict[str, Make] = {"xdp": KernelDecider, "native": NativeDecider}
EVERY = [pytest.param(KernelDecider, id="xdp", marks=pytest.mark.root), pytest.param(NativeDecider, id="native")]
"""Parameters of a test or a fixture, each of which makes a decider."""
