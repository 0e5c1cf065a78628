"""Random frames: mostly almost right, so that every step is reached."""

from __future__ import annotations

import random
import struct

from dataplane.forwarding import rewrite
from dataplane.forwarding.values import TCP, UDP, ServiceKey
from tests.packets.world import World

from .decider import CUTS, HEADERS
from .worlds import random_address, random_mac

ICMP = 1
SYN, SYN_ACK, ACK, FIN, RST = 0x02, 0x12, 0x10, 0x11, 0x04
LENGTHS = (0, 0, 5, 18, 500, 536, 556, 940, 960, 1240, 1432, 1440, 1460, 1461)
JUMBO = (3440, 4096, 8000, 8932, 8940, 8960, 8961)
"""Bytes of data: rare, since these frames are slow to compare."""


def random_frame(rnd: random.Random, world: World) -> bytes:
    kind = rnd.random()
    body = _arp(rnd, world) if kind < 0.05 else _ip(rnd, world) if kind < 0.98 else rnd.randbytes(rnd.randrange(100))
    ether = b"\x08\x06" if kind < 0.05 else b"\x08\x00"
    dst = world.interfaces[0].mac if rnd.random() < 0.95 else rnd.choice((b"\xff" * 6, random_mac(rnd)))
    if kind < 0.05 and rnd.random() < 0.7:
        dst = b"\xff" * 6
    tag = b""
    if rnd.random() < 0.15:
        priority, vlan = rnd.randrange(16) << 12, rnd.choice((0, 0, 0, 1, 256, rnd.randrange(4096)))
        tag = rnd.choice((b"\x81\x00",) * 6 + (b"\x88\xa8",)) + (priority | vlan).to_bytes(2, "big")
        if rnd.random() < 0.1:
            tag += b"\x81\x00" + rnd.randbytes(2)
    frame = bytearray(dst + random_mac(rnd) + tag + ether + body)
    if rnd.random() < 0.2:
        frame += rnd.randbytes(rnd.choice((1, 2, 6, 40) if rnd.random() < 0.98 else (3000, 5000)))
    if rnd.random() < 0.04:
        del frame[rnd.randrange(14, len(frame) + 1) :]
    if rnd.random() < 0.04 and len(frame) > 14:
        for _ in range(rnd.randrange(1, 4)):
            frame[rnd.randrange(len(frame))] = rnd.getrandbits(8)
    return bytes(frame.ljust(14, b"\0"))


def first_piece(rnd: random.Random, frame: bytes) -> int:
    """Bytes of a frame's first piece, 0: as the kernel cuts it. No card cuts right behind a packet that fits a usual
    frame, as if the padding were what is too much."""
    if not CUTS or len(frame) <= HEADERS or rnd.random() < 0.5:
        return 0
    first = rnd.choice((HEADERS, rnd.randrange(HEADERS, len(frame))))
    ends = {start + int.from_bytes(frame[start + 2 : start + 4], "big") for start in (14, 18)}
    return 0 if first in ends else first


def _arp(rnd: random.Random, world: World) -> bytes:
    sender, target = random_address(rnd), rnd.choice(world.vips).address if rnd.random() < 0.8 else random_address(rnd)
    operation = b"\x00\x01" if rnd.random() < 0.9 else b"\x00\x02"
    sender = target if rnd.random() < 0.1 else sender
    return b"\x00\x01\x08\x00\x06\x04" + operation + random_mac(rnd) + sender + rnd.randbytes(6) + target


def _ip(rnd: random.Random, world: World) -> bytes:
    service = rnd.choice(world.services).key
    destination = service.vip if rnd.random() < 0.97 else random_address(rnd)
    source = random_address(rnd) if rnd.random() < 0.97 else rnd.choice((b"\0" * 4, b"\xff" * 4, b"\x7f\0\0\1"))
    protocol = service.protocol if rnd.random() < 0.85 else rnd.choice((ICMP,) * 4 + (TCP, UDP, 47, rnd.randrange(256)))
    if protocol == ICMP:
        layer4 = _icmp(rnd, destination, service)
    else:
        layer4 = _layer4(rnd, protocol, _client_port(rnd), _port(rnd, service))
    options = _options(rnd)
    fragment = rnd.choice(
        (0,) * 8 + (0x4000,) * 6 + (0x8000, 0x2000, 0x2000, 0x2001, 0x0001, 0x0001, 0x4001, 0x1FFF, 0x6000)
    )
    if fragment & 0x1FFF and rnd.random() < 0.9:
        layer4 = rnd.randbytes(rnd.choice((1, 8, 555, 1400)))
    elif fragment & 0x2000 and rnd.random() < 0.1:
        layer4 = layer4[: rnd.randrange(1, 20)]
    size = 20 + len(options)
    total = size + len(layer4) + (rnd.choice((-1, 1, -20, -30, 100)) if rnd.random() < 0.04 else 0)
    first = 0x40 | size // 4 if rnd.random() < 0.98 else rnd.getrandbits(8)
    identification = rnd.randrange(4)
    tos = rnd.choice((0, 0, 0x10, rnd.getrandbits(8)))
    words = first, tos, max(0, total), identification, fragment, rnd.choice((1, 64, 255)), protocol, 0
    start = struct.pack("!BBHHHBBH4s4s", *words, source, destination)
    header = bytearray(start + options)
    right = rewrite.checksum(bytes(header))
    struct.pack_into("!H", header, 10, right if rnd.random() < 0.98 else rnd.getrandbits(16))
    return bytes(header) + layer4


def _options(rnd: random.Random) -> bytes:
    """Real ones, whose copied flag fragmenting looks at, and nonsense."""
    length = 4 * rnd.choice((0,) * 9 + (1, 2, 5, 8))
    if rnd.random() < 0.3:
        return rnd.randbytes(length)
    options = b""
    while len(options) < length:
        kind = rnd.choice((0, 1, 7, 68, 130, 131, 148))
        options += bytes([kind]) if kind < 2 else bytes([kind, size := rnd.choice((3, 4, 7))]) + rnd.randbytes(size - 2)
    return options[:length]


def _client_port(rnd: random.Random) -> int:
    return rnd.randrange(4) if rnd.random() < 0.9 else rnd.randrange(65536)


def _port(rnd: random.Random, service: ServiceKey) -> int:
    near = rnd.randint(service.port, min(service.port_end, service.port + 3))
    return near if rnd.random() < 0.9 else rnd.randrange(200)


def _layer4(rnd: random.Random, protocol: int, source: int, destination: int) -> bytes:
    data = rnd.randbytes(rnd.choice(LENGTHS if rnd.random() < 0.97 else JUMBO))
    if protocol == TCP:
        offset = rnd.choice((5,) * 20 + (6, 8, 4, 15)) << 4
        flags = rnd.choice((SYN, SYN, ACK, ACK, ACK, SYN_ACK, FIN, RST))
        sequence = 2 if len(data) == 5 else 1  # a SYN in 14 is another connection's
        return struct.pack("!HHIIBBHHH", source, destination, sequence, 2, offset, flags, 100, 0, 0) + data
    if protocol == UDP:
        length = 8 + len(data) + (rnd.randrange(-9, 3) if rnd.random() < 0.1 else 0)
        return struct.pack("!HHHH", source, destination, max(0, length), 0) + data
    return rnd.randbytes(rnd.choice((0, 7, 8, 30)))


def _icmp(rnd: random.Random, vip: bytes, service: ServiceKey) -> bytes:
    """Pings, errors that quote an answer from the VIP, and others."""
    kind = rnd.random()
    if kind < 0.4:
        return bytes((8, 0)) + rnd.randbytes(rnd.choice((6, 7, 30, 1000)))
    if kind < 0.5:
        return bytes((rnd.choice((0, 3, 4, 5, 8, 11, 13)), rnd.randrange(3))) + rnd.randbytes(rnd.choice((5, 6, 30)))
    options = _options(rnd)
    first = 0x40 | 5 + len(options) // 4 if rnd.random() < 0.95 else rnd.getrandbits(8)
    fragment = rnd.choice((0, 0, 0, 0x2000, 1))
    protocol = service.protocol if rnd.random() < 0.9 else rnd.randrange(256)
    source = vip if rnd.random() < 0.9 else random_address(rnd)
    words = first, 0, 100, 7, fragment, 64, protocol, 0
    quoted = struct.pack("!BBHHHBBH4s4s", *words, source, random_address(rnd)) + options
    quoted += struct.pack("!HHI", _port(rnd, service), _client_port(rnd), 1) + rnd.randbytes(
        rnd.choice((0, 12, 900, 1430))
    )
    if rnd.random() < 0.1:
        quoted = quoted[: rnd.randrange(len(quoted))]
    return bytes((rnd.choice((3, 3, 11, 12)), rnd.randrange(5))) + rnd.randbytes(6) + quoted
