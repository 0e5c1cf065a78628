"""Conflicts over the VIPs that this engine owns: told, and answered by announcing the VIP again.

RFC 5227 section 2.4 (c): the engine keeps its address and defends it, but not more often than every DEFEND_INTERVAL, so
that two who both insist do not flood their segment.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Collection

from dataplane.events import kinds
from dataplane.events.model import Subject, Tell
from dataplane.vip.conflicts import Conflict

DEFEND_INTERVAL = 10.0
"""Seconds between two defences of one VIP at least (RFC 5227 section 1.1)."""


class Defence:
    """Events and defence of owned VIPs. tell: hears of events; announce: sends a VIP's announcements."""

    def __init__(self, tell: Tell, announce: Callable[[bytes], None]) -> None:
        self._tell = tell
        self._announce = announce
        self._conflicts: dict[bytes, frozenset[bytes]] = {}
        self._defended: dict[bytes, float] = {}

    def heard(self, vip: bytes, strangers: Collection[Conflict], *, owned: bool) -> None:
        """Tell that other strangers claim a VIP than before, and defend it."""
        now = frozenset(conflict.mac for conflict in strangers) if owned else frozenset()
        before = self._conflicts.pop(vip, frozenset())
        if now:
            self._conflicts[vip] = now
        address = socket.inet_ntoa(vip)
        about = Subject("vip", address)
        for mac in sorted(now - before):
            self._tell(kinds.VIP_CLAIMED, about, f"{mac.hex(':')} also announces VIP {address}")
        for mac in sorted(before - now):
            self._tell(kinds.VIP_RELEASED, about, f"{mac.hex(':')} no longer announces VIP {address}")
        if now != before:
            self._defend(vip, owned=owned)

    def heard_again(self, vip: bytes, *, owned: bool) -> None:
        """Defend a VIP that a stranger claims once more: whoever heard him needs to hear us, too."""
        if vip in self._conflicts:
            self._defend(vip, owned=owned)

    def _defend(self, vip: bytes, *, owned: bool) -> None:
        if owned and time.monotonic() - self._defended.get(vip, float("-inf")) >= DEFEND_INTERVAL:
            self._defended[vip] = time.monotonic()
            self._announce(vip)


def words(vip: str, strangers: Collection[Conflict]) -> str:
    """The conflicts over a VIP, in words for an operator; "" where there are none."""
    macs = sorted({conflict.mac.hex(":") for conflict in strangers})
    verb = "announces" if len(macs) == 1 else "announce"
    return f"{', '.join(macs)} also {verb} VIP {vip}" if macs else ""
