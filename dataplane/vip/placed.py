"""What an engine must know of other engines that have its VIPs, too: who makes a VIP known, and who they are."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Share(NamedTuple):
    """An engine's share in making a VIP known while it is up."""

    answers: bool = True  # it answers ARP for it
    tells: bool = True  # it tells routers of it


class Placed(Protocol):
    """Tells the engine's share in each VIP, and who the other engines are."""

    def share(self, vip: bytes) -> Share | None:
        """The engine's share in a VIP; None: the same as before, and no share in a new VIP."""

    def addresses(self) -> frozenset[bytes]:
        """The IPv4 addresses of the other engines."""

    def macs(self) -> frozenset[bytes]:
        """The MAC addresses of the other engines."""


class Alone:
    """An engine that has all VIPs for itself."""

    def share(self, vip: bytes) -> Share | None:
        """The whole VIP."""
        return Share()

    def addresses(self) -> frozenset[bytes]:
        """Empty: there are no other engines."""
        return frozenset()

    def macs(self) -> frozenset[bytes]:
        """Empty: there are no other engines."""
        return frozenset()
