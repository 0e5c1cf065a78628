"""Frames without end: `python -m tests.torture.flooding KIND VIP ENGINE_MAC`, from eth0 and from strangers' addresses.

arp: who has the VIP. icmp: pings, and errors that quote nothing of ours. fragments: first ones and later ones, of
packets that never become whole.
"""

from __future__ import annotations

import random
import socket
import struct
import sys
from contextlib import suppress

from dataplane.forwarding.rewrite import checksum
from tests.field.raw import ETH_P_IP, arp_request

KINDS = ("arp", "icmp", "fragments")
MORE = 0x2000
AT_ONCE = 512
"""Different frames, sent over and over."""


def frame(kind: str, vip: bytes, engine: bytes, chance: random.Random) -> bytes:
    """One of them."""
    source = bytes((10, 10, 10, chance.randrange(100, 250)))
    mac = b"\x02\x99" + chance.randbytes(4)
    if kind == "arp":
        return arp_request(mac, source, vip)
    if kind == "icmp":
        body = bytes((*chance.choice(((8, 0), (3, 4), (11, 0))), 0, 0)) + chance.randbytes(chance.randrange(4, 60))
        packet = _packet(socket.IPPROTO_ICMP, source, vip, 0, body[:2] + _summed(body) + body[4:], chance)
    else:
        offset = chance.choice((0, 0, chance.randrange(1, 8000)))
        packet = _packet(socket.IPPROTO_UDP, source, vip, offset | MORE, chance.randbytes(64), chance)
    return engine + mac + struct.pack("!H", ETH_P_IP) + packet


def _packet(protocol: int, source: bytes, target: bytes, fragment: int, body: bytes, chance: random.Random) -> bytes:
    identification, size = chance.randrange(1 << 16), 20 + len(body)
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, size, identification, fragment, 64, protocol, 0, source, target)
    return head[:10] + _summed(head) + head[12:] + body


def _summed(data: bytes) -> bytes:
    return struct.pack("!H", checksum(data))


if __name__ == "__main__":
    some = random.Random(0)
    vip, engine = socket.inet_aton(sys.argv[2]), bytes.fromhex(sys.argv[3].replace(":", ""))
    frames = [frame(sys.argv[1], vip, engine, some) for _ in range(AT_ONCE)]
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind(("eth0", 0))
        while True:
            for one in frames:
                with suppress(OSError):
                    wire.send(one)
