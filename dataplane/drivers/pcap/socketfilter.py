"""What a packet socket need not take at all: a classic BPF program that the kernel runs on each frame.

It takes IPv4 for the interface's MAC address and a VIP, and ARP about a VIP: every frame that the decision does not
leave to the host because of its addresses, and few others. A tag has been taken off before it runs.

Source: the kernel's Documentation/networking/filter.rst, linux/bpf_common.h, linux/filter.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

_LOAD_WORD, _LOAD_HALF = 0x20, 0x28  # BPF_LD | BPF_ABS | BPF_W, BPF_H: beyond the frame's end they end with "not taken"
_EQUAL, _AT_LEAST, _JUMP, _RETURN = 0x15, 0x35, 0x05, 0x06  # BPF_JMP | BPF_JEQ, BPF_JGE, BPF_JA; BPF_RET
_ALL = 0xFFFFFFFF
_IPV4, _ARP = 0x0800, 0x0806
_TYPE, _MAC, _DESTINATION, _ASKED = 12, 0, 30, 38  # where they stand: the ARP target address is the last
_LEAF = 8
"""Addresses compared one by one at the end of the search."""
MOST = 2000
"""VIPs that are searched for; the kernel takes programs of 4,096 instructions. Beyond that every address is taken."""


def program(mac: bytes, vips: Iterable[bytes] | None) -> Sequence[bytes]:
    """The instructions, 8 bytes each. mac: the interface's; vips: 4 bytes each, None: every address."""
    known = None if vips is None else sorted(int.from_bytes(vip, "big") for vip in vips)
    search = [_do(_RETURN, _ALL)] if known is None or len(known) > MOST else _search(known)
    return [
        _do(_LOAD_HALF, _TYPE),
        _do(_EQUAL, _ARP, 6, 0),  # to the load of the address asked for
        _do(_EQUAL, _IPV4, 0, 4),
        _do(_LOAD_WORD, _MAC),
        _do(_EQUAL, int.from_bytes(mac[:4], "big"), 0, 2),
        _do(_LOAD_HALF, _MAC + 4),
        _do(_EQUAL, int.from_bytes(mac[4:], "big"), 3, 0),  # to the load of the destination
        _do(_RETURN, 0),
        _do(_LOAD_WORD, _ASKED),
        _do(_JUMP, 1),
        _do(_LOAD_WORD, _DESTINATION),
        *search,
    ]


def _search(known: Sequence[int]) -> list[bytes]:
    """Take the frame if the loaded word is one of these, in ascending order."""
    if len(known) <= _LEAF:
        left = [_do(_EQUAL, address, len(known) - n, 0) for n, address in enumerate(known)]
        return [*left, _do(_RETURN, 0), _do(_RETURN, _ALL)]
    middle = len(known) // 2
    below, above = _search(known[:middle]), _search(known[middle:])
    return [_do(_AT_LEAST, known[middle], 0, 1), _do(_JUMP, len(below)), *below, *above]


def _do(code: int, value: int, true: int = 0, false: int = 0) -> bytes:
    """struct sock_filter; true, false: instructions to skip."""
    return struct.pack("=HBBI", code, true, false, value)
