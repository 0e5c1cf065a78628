"""What an engine is to know of the others that have its VIPs, too: whose a VIP is, and who they are."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Share(NamedTuple):
    """An engine's share in making a VIP known while it is up."""

    answers: bool = True  # it answers ARP for it
    tells: bool = True  # it tells routers of it


class Placed(Protocol):
    """Whoever says so."""

    def share(self, vip: bytes) -> Share | None:
        """The engine's share in a VIP; None: the same as before, and of a new one none."""

    def addresses(self) -> frozenset[bytes]:
        """The IPv4 addresses of the other engines."""

    def macs(self) -> frozenset[bytes]:
        """The MAC addresses of the other engines."""


class Alone:
    """An engine that has all VIPs for itself."""

    def share(self, vip: bytes) -> Share | None:
        """All."""
        return Share()

    def addresses(self) -> frozenset[bytes]:
        """None."""
        return frozenset()

    def macs(self) -> frozenset[bytes]:
        """None."""
        return frozenset()
