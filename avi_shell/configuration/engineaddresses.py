"""The own addresses of the engines that run on a state directory: no VIP may be one of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

_FRESH = 5.0
"""Seconds for which the answers are reused."""


class EngineAddresses:
    """The own addresses of the engines that run on a state directory, asked for now and then."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._until = 0.0
        self._known: frozenset[str] = frozenset()

    def __call__(self) -> frozenset[str]:
        """The addresses of all engines that answer."""
        if not (self._directory / "run").is_dir():
            return frozenset()
        if time.monotonic() >= self._until:
            self._known = frozenset(self._ask())
            self._until = time.monotonic() + _FRESH
        return self._known

    def _ask(self) -> Iterator[str]:
        from dataplane import client  # sockets are slow to import, and few commits need them
        from dataplane.errors import EngineError

        try:
            yield from client.addresses(self._directory)
        except EngineError:
            return  # what an engine does not tell cannot be checked here; it refuses such a VIP itself
