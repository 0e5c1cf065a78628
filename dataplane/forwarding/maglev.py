"""Consistent hashing: a pool's table, and the hash that takes a flow to one of its slots.

The table is Maglev's (Eisenbud et al., NSDI 2016, section 3.4): every server walks the slots in an order of its own,
and takes the next free one when it is its turn. So shares differ by at most one slot at equal weights. Little moves
when a server comes or goes. Weights take turns in proportion. The table depends on the set of servers, their weights,
the seed and the number of slots alone: every service engine builds the same one.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from ctypes import c_char_p, c_uint32, c_void_p
from functools import lru_cache
from hashlib import blake2b
from typing import Protocol

from dataplane.native import library

NO_SERVER = 0xFFFF
"""What an empty table holds in every slot."""


class Owners(Protocol):
    """The owners of a table's slots: an array of 16-bit numbers ("H"), or a table that a driver keeps. Nobody changes
    them."""

    def __len__(self) -> int:
        """The number of slots."""

    def __getitem__(self, slot: int, /) -> int:
        """A slot's owner."""

    def tobytes(self) -> bytes:
        """All of them, two bytes each as the machine has them."""

    def buffer_info(self) -> tuple[int, int]:
        """Where they stand, and how many they are."""


Share = tuple[bytes, int]
"""A server's address and weight."""
Walk = tuple[int, int, int, int]
"""A server's walk over the slots: offset, skip (coprime to their number), weight, and its owner's number."""

_BUILD = c_char_p, c_void_p, c_void_p, c_uint32, c_char_p, c_void_p, c_void_p, c_uint32, c_void_p
_WALK = 20
"""Bytes of struct walk."""
_WORD = 2**64 - 1
_FACTOR, _SECOND_FACTOR = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93


def build_table(servers: Sequence[Share], slots: int, seed: int) -> array[int]:
    """The owner of every slot, as an index into `servers`; all NO_SERVER without servers.

    servers: (address, weight) pairs, addresses distinct, weights at least 1, in any order: the order changes the
    indices, never which address owns a slot. slots: a prime greater than the number of servers. Returns 16-bit
    unsigned integers, one a slot. It may be shared: nobody may change it.
    """
    if len(servers) < 2:
        return _one_owner(0 if servers else NO_SERVER, slots)
    addresses, weights = zip(*servers, strict=True)
    return _built(addresses, weights, range(len(servers)), slots, seed)


def build_table_for(servers: Sequence[tuple[int, bytes, int]], slots: int, seed: int) -> array[int]:
    """As `build_table`, for (owner, address, weight): the table holds owner numbers in place of indices."""
    if len(servers) < 2:
        return _one_owner(servers[0][0] if servers else NO_SERVER, slots)
    owners, addresses, weights = zip(*servers, strict=True)
    return _built(addresses, weights, owners, slots, seed)


def _built(
    addresses: Sequence[bytes], weights: Sequence[int], owners: Sequence[int], slots: int, seed: int
) -> array[int]:
    """A table of two servers or more. The native loops take IPv4 addresses alone."""
    native = library.function("maglev", "build", *_BUILD)
    joined, count = b"".join(addresses), len(addresses)
    if native is None or len(joined) != 4 * count:
        return fill(walks(addresses, weights, owners, slots, seed), slots)
    table, taken, room = array("H", [NO_SERVER]) * slots, bytearray(slots), bytearray(2 * _WALK * count)
    weighing, named = array("I", weights), array("I", owners)
    where = library.address
    servers = joined, where(weighing), where(named), count
    native(*servers, seed.to_bytes(8, "big"), where(room), where(table), slots, where(taken))
    return table


def walks(
    addresses: Sequence[bytes], weights: Sequence[int], owners: Sequence[int], slots: int, seed: int
) -> list[Walk]:
    """The servers' walks, in the order of their addresses."""
    ordered = sorted(zip(addresses, weights, owners, strict=True))
    return [(*_walk(address, slots, seed), weight, owner) for address, weight, owner in ordered]


@lru_cache(maxsize=64)
def _one_owner(owner: int, slots: int) -> array[int]:
    return array("H", [owner]) * slots


def _walk(address: bytes, slots: int, seed: int) -> tuple[int, int]:
    digest = blake2b(address, digest_size=16, key=seed.to_bytes(8, "big")).digest()
    return int.from_bytes(digest[:8], "big") % slots, int.from_bytes(digest[8:], "big") % (slots - 1) + 1


def fill(walks: Sequence[Walk], slots: int) -> array[int]:
    """The paper's "Populate": servers take turns, each takes the next free slot of its walk. Returns each slot's owner.

    A server with half the greatest weight has every second turn. The shipped native loop does it where this machine
    can run it: `fill_here` is the same loop, fifty times slower.
    """
    native = library.function("maglev", "fill", c_void_p, c_uint32, c_void_p, c_uint32, c_void_p)
    if native is None:
        return fill_here(walks, slots)
    table, taken = array("H", [NO_SERVER]) * slots, bytearray(slots)
    state = array("I", [n for offset, skip, weight, owner in walks for n in (offset, skip, weight, 0, owner)])
    where = library.address
    native(where(state), len(walks), where(table), slots, where(taken))
    return table


def fill_here(walks: Sequence[Walk], slots: int) -> array[int]:
    """`fill` in Python, for machines without the native loop."""
    heaviest = max(weight for _, _, weight, _ in walks)
    table = array("H", [NO_SERVER]) * slots
    state = [[offset, skip, owner, weight, 0] for offset, skip, weight, owner in walks]
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


def shares(table: Owners, servers: int) -> array[int]:
    """How many slots each of so many servers owns."""
    counts = array("I", bytes(4 * servers))
    native = library.function("maglev", "count", c_void_p, c_uint32, c_void_p, c_uint32)
    if native is None:
        return shares_here(table, servers)
    native(library.address(table), len(table), library.address(counts), servers)
    return counts


def shares_here(table: Owners, servers: int) -> array[int]:
    """`shares` in Python."""
    owned = Counter(array("H", table.tobytes()))
    return array("I", [owned[server] for server in range(servers)])


def flow_hash(address: int, port: int, seed: int) -> int:
    """Hash of a flow's key: two multiplications modulo 2^64 with a folding between them.

    address: the client's IPv4 address as a number; port: its port, or 0 where the key is the address alone; seed and
    result: 32 bits, unsigned. Every packet pays for it: it takes a fifth of the instructions of the kernel's jhash and
    spreads addresses and ports that count upwards no less evenly (tests/dataplane/test_maglev.py).
    """
    word = (address << 16 ^ port ^ seed << 32) * _FACTOR & _WORD
    word ^= word >> 32
    return (word * _SECOND_FACTOR & _WORD) >> 32


def slot_of(address: int, port: int, seed: int, slots: int) -> int:
    """The slot of a flow: its hash scaled to the table (multiply and shift; no division a packet)."""
    return flow_hash(address, port, seed) * slots >> 32
