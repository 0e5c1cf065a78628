"""ARP for IPv4 on Ethernet (RFC 826): requests and replies as frames, and what frames say. Pure."""

from __future__ import annotations

import struct
from typing import NamedTuple

ETH_P_ARP = 0x0806
BROADCAST = b"\xff" * 6
NOBODY = bytes(4)
"""The sender of a probe, which claims nothing (RFC 5227 section 1.1)."""
REQUEST, REPLY = 1, 2

_HEADER = struct.pack("!HHBB", 1, 0x0800, 6, 4)
_BODY = struct.Struct("!H6s4s6s4s")
_START = 14


class Packet(NamedTuple):
    """What an ARP frame says. Addresses are 4 bytes, MAC addresses 6."""

    operation: int  # REQUEST or REPLY
    mac: bytes  # the sender's
    sender: bytes  # its address
    target: bytes  # the address that is asked for, or of whom is told


def request(mac: bytes, sender: bytes, target: bytes, to: bytes = BROADCAST) -> bytes:
    """The frame that asks who has `target` (42 bytes)."""
    return _ethernet(to, mac) + _BODY.pack(REQUEST, mac, sender, bytes(6), target)


def reply(mac: bytes, sender: bytes, target_mac: bytes, target: bytes) -> bytes:
    """The frame that tells `target`, at a MAC address, that `sender` is at `mac` (42 bytes)."""
    return _ethernet(target_mac, mac) + _BODY.pack(REPLY, mac, sender, target_mac, target)


def parse(frame: bytes) -> Packet | None:
    """What a frame says; None where it is no ARP for IPv4 on Ethernet. The kernel has taken its tag off."""
    if len(frame) < _START + 28 or frame[12:14] != b"\x08\x06" or frame[_START : _START + 6] != _HEADER:
        return None
    operation, mac, sender, _, target = _BODY.unpack_from(frame, _START + 6)
    return Packet(operation, mac, sender, target) if operation in (REQUEST, REPLY) else None


def _ethernet(to: bytes, mac: bytes) -> bytes:
    return to + mac + struct.pack("!H", ETH_P_ARP) + _HEADER
