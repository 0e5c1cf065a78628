"""An object of the engine's in the kernel, and what its owner can do about it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple, Protocol

LINK, PIN, TABLE, RULE, ROUTE, SETTING = "XDP link", "pin", "nftables table", "rule", "route", "setting"
TRACE = "tracing link"
PROCESS, INTERFACE, FOLDER = "process", "interface", "folder"
"""Kinds of objects. All that the engine makes beside them (sockets, programs and maps without a pin) ends with it."""


class KernelObject(NamedTuple):
    """An object in the kernel."""

    kind: str  # one of those above
    # an interface, a path, a family and a table, a preference and a selector, a table's number, a key of sysctl(8) or
    # of `network.features`, a program, what a process does
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class Owner(Protocol):
    """A part of the engine that keeps objects in the kernel. Each of its functions returns fast."""

    def objects(self) -> Collection[KernelObject]:
        """All that is to be there now."""

    def missing(self) -> Collection[KernelObject]:
        """Those that are not there, or not as they are to be. One that is only suspected to be missing may be among
        them."""

    async def restore(self, missing: Collection[KernelObject]) -> Mapping[KernelObject, str]:
        """Put some back. Returns those that really were missing, each with the reason why it cannot be put back, ""
        where it is there again."""
