"""What was dropped, by reason, and what it looked like: the last frame of each reason that somebody looked at."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterable
from typing import Any

from dataplane.forwarding.capture import Captured
from dataplane.forwarding.decision import DROPPED, ETH_HLEN, ETH_P_8021Q, ETH_P_IP, ICMP, IP_HLEN, VLAN_HLEN
from dataplane.forwarding.values import TCP, UDP

KEPT = 96
"""Bytes of a frame that are looked at."""
_PROTOCOLS = {TCP: "tcp", UDP: "udp", ICMP: "icmp"}
_FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG")
_FRAGMENT = 0x3FFF


class LastDrops:
    """The last dropped frame of each reason, of those that were captured."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, Captured]] = {}

    def note(self, taken: Iterable[Captured]) -> None:
        """These frames were captured."""
        now = time.monotonic_ns()
        for one in taken:
            if one.action == DROPPED and one.reason:
                at = time.time() - (now - one.nanoseconds) / 1e9
                self._last[one.reason] = at, one

    def report(self, interfaces: dict[int, str], vips: frozenset[bytes] = frozenset()) -> list[dict[str, Any]]:
        """A sample a reason, by its name. vips: of frames to these alone; none: to all.

        [{"reason", "at": seconds since the epoch, "interface", "size": bytes of the frame, "source_mac",
          "source", "destination", "protocol": a name or its number, "source_port", "destination_port": null where there
          are none, "flags": of TCP, "ttl", "fragment": whether it is one, "header": the frame's first bytes, in hex}]
        """
        found = [
            {"reason": reason, "at": round(at, 3), **described(one, interfaces)}
            for reason, (at, one) in sorted(self._last.items())
        ]
        named = {socket.inet_ntoa(vip) for vip in vips}
        return [one for one in found if not named or one["destination"] in named]


def described(one: Captured, interfaces: dict[int, str]) -> dict[str, Any]:
    """The header of a captured frame, as `LastDrops.report` has it."""
    frame = one.frame
    told: dict[str, Any] = {
        "interface": interfaces.get(one.interface, str(one.interface)),
        "size": one.size,
        "source_mac": frame[6:12].hex(":"),
        **dict.fromkeys(("source", "destination", "protocol", "source_port", "destination_port", "ttl")),
        "flags": [],
        "fragment": False,
        "header": frame[:KEPT].hex(),
    }
    at, kind = ETH_HLEN, frame[12:14]
    if kind == ETH_P_8021Q:
        at, kind = at + VLAN_HLEN, frame[16:18]
    if kind != ETH_P_IP or len(frame) < at + IP_HLEN:
        return told
    packet = frame[at:]
    fragment = struct.unpack_from("!H", packet, 6)[0] & _FRAGMENT
    protocol, header = packet[9], (packet[0] & 0x0F) * 4
    told |= {
        "source": socket.inet_ntoa(packet[12:16]),
        "destination": socket.inet_ntoa(packet[16:20]),
        "protocol": _PROTOCOLS.get(protocol, str(protocol)),
        "ttl": packet[8],
        "fragment": bool(fragment),
    }
    if protocol in (TCP, UDP) and not fragment & 0x1FFF and header >= IP_HLEN and len(packet) >= header + 4:
        told["source_port"], told["destination_port"] = struct.unpack_from("!HH", packet, header)
        if protocol == TCP and len(packet) > header + 13:
            told["flags"] = [name for bit, name in enumerate(_FLAGS) if packet[header + 13] >> bit & 1]
    return told
