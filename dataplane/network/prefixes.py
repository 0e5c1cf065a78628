"""The IPv4 networks that interfaces are attached to, and which of them holds an address."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from operator import itemgetter

from dataplane.forwarding.values import Interface


def holds(network: bytes, length: int, address: bytes) -> bool:
    """Whether a network, given by any address in it and its prefix length, holds an address."""
    return (int.from_bytes(network, "big") ^ int.from_bytes(address, "big")) >> (32 - length) == 0


class Prefixes:
    """Finds the network that holds an address: the longest prefix wins, as in a routing table; of equal ones the
    first."""

    def __init__(self, networks: Iterable[tuple[Interface, bytes, int]]) -> None:
        """networks: an interface, the engine's own address there, and the prefix length."""
        self._longest_first = [
            (32 - length, int.from_bytes(own, "big") >> 32 - length, (interface, own))
            for interface, own, length in sorted(networks, key=itemgetter(2), reverse=True)
        ]

    def find(self, address: bytes) -> tuple[Interface, bytes] | None:
        """The interface whose network holds an address, and the engine's own address there."""
        return self.find_all((address,))[0]

    def find_all(self, addresses: Sequence[bytes]) -> list[tuple[Interface, bytes] | None]:
        """The same for many addresses."""
        numbers = struct.unpack(f"!{len(addresses)}I", b"".join(addresses))
        if len(self._longest_first) == 1:
            ((shift, prefix, found),) = self._longest_first
            return [found if number >> shift == prefix else None for number in numbers]
        return [
            next((found for shift, prefix, found in self._longest_first if number >> shift == prefix), None)
            for number in numbers
        ]
