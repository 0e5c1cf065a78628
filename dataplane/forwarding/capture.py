"""Captures: which frames are captured, and what is recorded of each.

`is_wanted` is the definition; `program/capture.h` is the same in C.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from dataplane.forwarding.decision import DROPPED, ETH_HLEN, ETH_P_8021Q, ETH_P_IP, IP_HLEN, VLAN_HLEN, Verdict
from dataplane.forwarding.values import TCP, UDP

MOST = 4095
"""Bytes that are kept of a frame, at most."""
MOST_VIPS, MOST_CLIENTS, MOST_PORTS = 8, 32, 32
ANY_PORT = (0, 0xFFFF)
ROOM = 1 << 16
"""Frames decided on in user space that nobody has taken yet, at most."""
SLOW = "slow"
"""The action of a frame that was handed to user space, which has not decided on it yet."""
_PORTS_AND_FLAGS = 14
"""Bytes of layer 4 that are looked at."""
_OFFSET = 0x1FFF


class Ports(NamedTuple):
    """A port, or a range of them."""

    protocol: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """A capture's filter: a frame is captured if all of this is true of it."""

    vips: tuple[bytes, ...] = ()  # destinations, at most MOST_VIPS; empty: any
    ports: tuple[Ports, ...] = ()  # of destinations, at most MOST_PORTS; empty: any
    clients: tuple[tuple[bytes, bytes], ...] = ()  # ranges of sources, at most MOST_CLIENTS; empty: any
    other_clients: bool = False  # frames from outside these ranges are wanted instead
    protocol: int = 0  # 0: any
    source: tuple[int, int] = ANY_PORT  # the first and the last
    destination: tuple[int, int] = ANY_PORT
    tcp_flags: int = 0  # that must be set
    drops: bool = False  # only what is dropped
    most: int = 128  # bytes that are kept of a frame, up to MOST

    @property
    def with_ports(self) -> bool:
        """Whether only packets with ports are wanted: no ICMP, no later fragments."""
        return bool(self.tcp_flags) or (self.source, self.destination) != (ANY_PORT, ANY_PORT)


class Left(NamedTuple):
    """A frame that left."""

    frame: bytes  # as much as is kept of it
    size: int  # bytes of the whole


class Captured(NamedTuple):
    """A frame in front of and behind the decision."""

    nanoseconds: int  # of CLOCK_MONOTONIC
    interface: int  # index of the one that it came by
    frame: bytes  # as much as is kept of it
    size: int  # bytes of the whole
    action: str  # as `decision.Verdict` has it, or SLOW
    reason: str = ""  # of a drop
    left: tuple[Left, ...] = ()


class Capture(Protocol):
    """A capture that runs in a driver. Its methods are called one at a time, from any thread."""

    def take(self) -> list[Captured]:
        """The frames that came since the last call, those of a processor or worker in their order. It is called at
        least every second; a driver captures no more when it is not."""

    def lost(self) -> int:
        """How many frames found no room since the capture began."""

    def close(self) -> None:
        """End it: frames cost again what they cost before."""


class Noted:
    """The wanted ones of the frames that user space decides on. `note` is called by the thread that decides, `take` by
    another."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._kept: deque[Captured] = deque()
        self.lost = 0  # frames that found no room

    def note(self, frame: bytes, interface: int, verdict: Verdict, now: int) -> None:
        """A frame was decided on. interface: index of the one that it came by; now: nanoseconds."""
        wanted = self._wanted
        if not is_wanted(frame, wanted) or (wanted.drops and verdict.action != DROPPED):
            return
        if len(self._kept) >= ROOM:
            self.lost += 1
            return
        self._kept.append(told(frame, interface, verdict, wanted, now))

    def take(self) -> list[Captured]:
        """Capture.take."""
        return [self._kept.popleft() for _ in range(len(self._kept))]


def told(frame: bytes, interface: int, verdict: Verdict, wanted: Wanted, now: int) -> Captured:
    """A frame and its verdict, as a capture records them. interface: index of the one that it came by; now:
    nanoseconds."""
    left = tuple(Left(one[: wanted.most], len(one)) for one in verdict.frames)
    return Captured(now, interface, frame[: wanted.most], len(frame), verdict.action, verdict.reason, left)


def is_wanted(frame: bytes, wanted: Wanted) -> bool:
    """Whether a frame is captured. Of `drops` nothing is known before the decision."""
    at, kind = ETH_HLEN, frame[12:14]
    if kind == ETH_P_8021Q:
        at, kind = at + VLAN_HLEN, frame[16:18]
    if kind != ETH_P_IP or len(frame) < at + IP_HLEN:
        return False
    protocol, source, destination = frame[at + 9], frame[at + 12 : at + 16], frame[at + 16 : at + 20]
    if wanted.vips and destination not in wanted.vips:
        return False
    if wanted.clients and any(a <= source <= b for a, b in wanted.clients) == wanted.other_clients:
        return False
    if wanted.protocol and protocol != wanted.protocol:
        return False
    header = (frame[at] & 0x0F) * 4
    later = int.from_bytes(frame[at + 6 : at + 8], "big") & _OFFSET
    if protocol not in (TCP, UDP) or later or header < IP_HLEN or len(frame) < at + header + _PORTS_AND_FLAGS:
        return not wanted.with_ports
    at += header
    by, to = int.from_bytes(frame[at : at + 2], "big"), int.from_bytes(frame[at + 2 : at + 4], "big")
    if not (wanted.source[0] <= by <= wanted.source[1] and wanted.destination[0] <= to <= wanted.destination[1]):
        return False
    if wanted.ports and not any(p.protocol == protocol and p.first <= to <= p.last for p in wanted.ports):
        return False
    if not wanted.tcp_flags:
        return True
    return protocol == TCP and frame[at + 13] & wanted.tcp_flags == wanted.tcp_flags
