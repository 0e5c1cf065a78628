"""The values of a plan that are about BGP: how routers are told of a VIP, and which routers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Route:
    """How routers are told of a VIP (route health injection)."""

    labels: tuple[str, ...] = ()  # of the peers that are told; none: all are
    communities: tuple[str, ...] = ()  # two numbers up to 65535 each, as "65000:100" (RFC 1997)
    local_preference: int | None = None  # sent to peers of the own autonomous system
    prepend: int = 0  # how often the own autonomous system stands in the path before it is sent, 0–10


@dataclass(frozen=True, slots=True)
class Peer:
    """A router that learns the VIPs. Times are in seconds."""

    address: str  # dotted IPv4
    local_as: int  # the engine's autonomous system towards it
    remote_as: int  # its own
    subnet: str = ""  # engines with an interface in it have this peer ("10.0.0.0/24"); "": all have
    label: str = ""  # that routes name it by
    secret: str = ""  # of TCP's MD5 signature (RFC 2385), "" = none
    bfd: bool = True  # BFD watches it
    advertise: bool = True  # it is told of VIPs
    shutdown: bool = False  # no session with it
    connect_timer: int = 10  # between two tries to connect
    keepalive: int = 60  # between two keep-alives
    hold_time: int = 180  # of silence after which it is lost
    multihop: int = 0  # router hops to it at most, 0 = it is a neighbour


@dataclass(frozen=True, slots=True)
class Bgp:
    """The BGP speakers of a group's engines."""

    local_as: int  # the autonomous system of the engines
    peers: tuple[Peer, ...] = ()
    # BFD (RFC 5880): packets lost in a row that mean that a peer is gone, and milliseconds between two at least
    bfd_multiplier: int = 3
    bfd_transmit: int = 1000
    bfd_receive: int = 1000
