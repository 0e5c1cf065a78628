"""The interface of whoever makes VIPs known, so that their packets come to this engine.

`gratuitous` tells the neighbours on the engine's segments, by ARP. A routing protocol that tells routers is another
implementation; an engine may have several, and each hears of every VIP.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple, Protocol

from dataplane.forwarding.values import Interface


class State(StrEnum):
    """What an announcer has done of a VIP."""

    ANNOUNCED = "announced"
    WITHDRAWN = "withdrawn"
    FAILED = "failed"


class Announcement(NamedTuple):
    """How far a VIP is known by an announcer."""

    state: State  # what the announcer has done
    reason: str = ""  # why it failed, or who else has the VIP, in words for an operator


class Announcer(Protocol):
    """Announces VIPs and withdraws them, on the engine's event loop. Calls return at once: what they ask for may take
    its time, and `state` tells what became of it."""

    name: str
    """How it announces, in one word."""

    def follow(self, interfaces: Iterable[Interface]) -> None:
        """The engine serves these interfaces from now on."""

    def announce(self, vip: bytes) -> None:
        """Make a VIP known. One that is announced already is made known anew, to those who forgot or were misled."""

    def withdraw(self, vip: bytes) -> None:
        """Make a VIP known no more. One that is not announced stays so."""

    def state(self, vip: bytes) -> Announcement:
        """What became of a VIP."""

    async def close(self) -> None:
        """End. What others know stays: the engine that ends withdraws first what is to be withdrawn."""
