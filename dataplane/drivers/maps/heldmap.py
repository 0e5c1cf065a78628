"""A map as its writers see it: one of the kernel's (`dataplane.bpf.maps`) or one in memory that processes share
(`dataplane.native.decision.maps`)."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterator
from typing import Protocol

Bytes = bytes | ctypes.Array[ctypes.c_char]


class Array(Protocol):
    """An array that can be mapped."""

    def mapped(self) -> mmap.mmap:
        """Its memory. Raises DriverError."""

    def close(self) -> None:
        """Close it; what others hold of it lives on."""


class HeldMap(Protocol):
    """A map. Keys and values are bytes of the sizes that it was made with."""

    @property
    def key_size(self) -> int:
        """Bytes."""

    @property
    def max_entries(self) -> int:
        """How many it has room for."""

    @property
    def evicts_from(self) -> int:
        """From how many entries on a new one may take the place of another, in a map that evicts."""

    @property
    def copies(self) -> int:
        """Values of an entry, side by side: one for every processor or worker, or one."""

    def lookup(self, key: bytes) -> bytes | None:
        """The value of a key, with all its copies; or None."""

    def update(self, key: bytes, value: bytes) -> None:
        """Add or replace; ordered before whatever the caller stores afterwards. Raises DriverError, also when the map
        is full."""

    def delete(self, key: bytes) -> None:
        """Remove a key, if it is there."""

    def items(self, at_once: int = ...) -> Iterator[tuple[bytes, bytes]]:
        """All entries, read so many at once, of a map that nobody else changes meanwhile."""

    def batches(self, size: int = ...) -> Iterator[tuple[Bytes, Bytes, int]]:
        """All entries, so many at a time: keys, values, their number. A batch is overwritten by the next."""

    def update_all(self, keys: bytes, values: bytes) -> None:
        """Add or replace many, keys and values side by side. Raises DriverError."""

    def read(self, entries: int, first: int = ...) -> bytes:
        """So many elements of an array from one on."""

    def mapped(self) -> mmap.mmap:
        """The memory of an array. Raises DriverError."""

    def close(self) -> None:
        """Close it; what others hold of it lives on."""


class HeldSlabs(HeldMap, Protocol):
    """A map of arrays."""

    def inner(self, number: int) -> Array | None:
        """The array that stands at a place, or None."""

    def add_inner(self, first: int, number: int, value_size: int, entries: int) -> list[Array]:
        """Make arrays in the places from there on, and wait as `settle` does. Raises DriverError."""

    def settle(self) -> None:
        """Wait until packets are done that began before."""
