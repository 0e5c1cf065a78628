"""The interface of whoever makes VIPs known, so that their packets come to this engine.

`gratuitous` tells the neighbours on the engine's segments, by ARP; `dataplane.bgp` tells routers. An engine may have
several, and each says which VIPs it takes.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple, Protocol

from dataplane import plan
from dataplane.forwarding.values import Interface


class State(StrEnum):
    """What an announcer has done of a VIP."""

    ANNOUNCED = "announced"
    WITHDRAWN = "withdrawn"
    FAILED = "failed"


class Announcement(NamedTuple):
    """What an announcer has made of a VIP."""

    state: State  # what the announcer has done
    reason: str = ""  # why it failed, or who else has the VIP, in words for an operator


class Known(NamedTuple):
    """How a VIP is to be known."""

    address: bytes  # 4 bytes
    by_arp: bool  # the engine answers ARP for it
    route: plan.Route | None = None  # how routers are told of it, None: they are not


class Announcer(Protocol):
    """Announces VIPs and withdraws them, on the engine's event loop. Calls return at once: what they ask for may take
    its time, and `state` tells what became of it."""

    name: str
    """How it announces, in one word."""

    def follow(self, interfaces: Iterable[Interface]) -> None:
        """The engine serves these interfaces from now on."""

    def takes(self, vip: Known) -> bool:
        """Whether this announcer makes a VIP known."""

    def announce(self, vip: Known) -> None:
        """Make a VIP known. One that is announced already is announced again, as it is now: somebody may have forgotten
        it or been misled."""

    def withdraw(self, vip: bytes) -> None:
        """Make a VIP known no more. One that is not announced stays so."""

    def state(self, vip: bytes) -> Announcement:
        """What this announcer has made of a VIP."""

    async def retire(self) -> None:
        """Withdraw everything, and return when others have had the time to hear it."""

    async def close(self) -> None:
        """End. What others know stays, unless it was withdrawn."""
