"""Consistent hashing: a pool's table, and the hash that takes a flow to one of its slots.

The table is Maglev's (Eisenbud et al., NSDI 2016, section 3.4): every server walks the slots in an order of its own and
takes the next free one when it is its turn, so shares differ by at most one slot at equal weights and little moves when
a server comes or goes. Weights take turns in proportion. The table depends on the set of servers, their weights, the
seed and the number of slots alone: every service engine builds the same one.
"""

from __future__ import annotations

import ctypes
import platform
from array import array
from collections.abc import Callable, Sequence
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import cast

NO_SERVER = 0xFFFF
"""What an empty table holds in every slot."""

_MASK = 0xFFFFFFFF
_JHASH_INITVAL = 0xDEADBEEF


def build_table(servers: Sequence[tuple[bytes, int]], slots: int, seed: int) -> array[int]:
    """The owner of every slot, as an index into `servers`; all NO_SERVER without servers.

    servers: (address, weight) pairs, addresses distinct, weights at least 1, in any order: the order changes the
    indices, never which address owns a slot. slots: a prime greater than the number of servers. Returns 16-bit
    unsigned integers, one a slot.
    """
    if len(servers) < 2:
        return array("H", [0 if servers else NO_SERVER]) * slots
    order = sorted(range(len(servers)), key=lambda i: servers[i][0])
    table = fill([(*_walk(servers[i][0], slots, seed), servers[i][1]) for i in order], slots)
    return table if order == list(range(len(order))) else array("H", map(order.__getitem__, table))


def _walk(address: bytes, slots: int, seed: int) -> tuple[int, int]:
    digest = blake2b(address, digest_size=16, key=seed.to_bytes(8, "big")).digest()
    return int.from_bytes(digest[:8], "big") % slots, int.from_bytes(digest[8:], "big") % (slots - 1) + 1


def fill(walks: Sequence[tuple[int, int, int]], slots: int) -> array[int]:
    """The paper's "Populate": servers take turns, each takes the next free slot of its walk.

    walks: offset, skip (coprime to slots) and weight of each server. Returns the index of each slot's owner. A server
    with half the greatest weight has every second turn. The shipped native kernel does it where this machine can run
    it: `fill_here` is the same loop, twenty times slower.
    """
    kernel = _kernel()
    if kernel is None:
        return fill_here(walks, slots)
    table = array("H", [NO_SERVER]) * slots
    state = array("I", [word for offset, skip, weight in walks for word in (offset, skip, weight, 0)])
    kernel(state.buffer_info()[0], len(walks), table.buffer_info()[0], slots)
    return table


@cache
def _kernel() -> Callable[[int, int, int, int], None] | None:
    """The native loop of native/hashing.c; None where there is none for this machine."""
    path = Path(__file__).parent / "native" / f"hashing.{platform.machine()}.so"
    try:
        function = ctypes.CDLL(str(path)).fill
    except (OSError, AttributeError):
        return None
    function.argtypes = (ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint32)
    function.restype = None
    return cast("Callable[[int, int, int, int], None]", function)


def fill_here(walks: Sequence[tuple[int, int, int]], slots: int) -> array[int]:
    """`fill` in Python, for machines without the native kernel."""
    heaviest = max(weight for _, _, weight in walks)
    table = array("H", [NO_SERVER]) * slots
    state = [[offset, skip, index, weight, 0] for index, (offset, skip, weight) in enumerate(walks)]
    free = slots
    while True:
        for walk in state:
            walk[4] += walk[3]
            if walk[4] < heaviest:
                continue
            walk[4] -= heaviest
            position, skip = walk[0], walk[1]
            while table[position] != NO_SERVER:
                position += skip
                if position >= slots:
                    position -= slots
            table[position] = walk[2]
            free -= 1
            if not free:
                return table
            position += skip
            walk[0] = position - slots if position >= slots else position


def flow_hash(address: int, port: int, seed: int) -> int:
    """Bob Jenkins' hash of two 32-bit words, as `jhash_2words` of the kernel's `include/linux/jhash.h` computes it.

    address: the client's IPv4 address as a number; port: its port, or 0 where the key is the address alone; seed and
    result: 32 bits, unsigned.
    """
    start = (seed + _JHASH_INITVAL + (2 << 2)) & _MASK
    a, b, c = address + start & _MASK, port + start & _MASK, start
    c = (c ^ b) - (b << 14) - (b >> 18) & _MASK  # the two shifts are a rotation: they share no bit below 2**32
    a = (a ^ c) - (c << 11) - (c >> 21) & _MASK
    b = (b ^ a) - (a << 25) - (a >> 7) & _MASK
    c = (c ^ b) - (b << 16) - (b >> 16) & _MASK
    a = (a ^ c) - (c << 4) - (c >> 28) & _MASK
    b = (b ^ a) - (a << 14) - (a >> 18) & _MASK
    return (c ^ b) - (b << 24) - (b >> 8) & _MASK


def slot_of(address: int, port: int, seed: int, slots: int) -> int:
    """The slot of a flow: its hash scaled to the table (multiply and shift; no division a packet)."""
    return flow_hash(address, port, seed) * slots >> 32
