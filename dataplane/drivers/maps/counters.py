"""Counters in the maps: a number for each service and each server. User space counts what it does in the program's
stead.

The program's are per processor, or per worker; user space has its own beside them, so that neither waits for the other.
Those of handshakes are of all processors together, for they are few.
"""

from __future__ import annotations

import struct
import threading
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

from dataplane.drivers.maps import layout
from dataplane.drivers.maps.allocators import Numbers
from dataplane.drivers.maps.heldmap import HeldMap
from dataplane.drivers.maps.layout import u32
from dataplane.forwarding.driver import HandshakeCounts
from dataplane.forwarding.dropreasons import DROP_REASONS
from dataplane.forwarding.values import Counters, HandshakeTally, ServiceKey, Tally

K = TypeVar("K")

_SERVICE_DROPS = "service_drops", "slow_service_drops"
_HANDSHAKE = struct.Struct("=4Q")
_HANDSHAKES = 2048
"""Tallies of handshakes that are read at once."""
_BATCH = 512
"""Drops by service that are read at once: each has a number for every processor."""
_FEW = 20
"""Services of which each drop reason is looked up."""
_NEAR = 16
"""How far numbers are from each other that are read together."""


class Counted(NamedTuple):
    """What was counted, by number."""

    tallies: dict[int, Tally]
    handshakes: dict[int, HandshakeTally]  # of those that sampled flows came for


class MapCounters:
    """Counters in the maps, given out and taken back.

    lock: held while user space counts, and while a counter begins anew.
    """

    def __init__(self, held: Mapping[str, HeldMap]) -> None:
        self._maps = held
        self._numbers = Numbers(held["counters"].max_entries, "services and servers together")
        self._of_former_services: set[int] = set()
        self._ready: list[int] = []  # begun from zero, and nobody's yet
        self.lock = threading.Lock()

    def start(self, used: Iterable[int]) -> None:
        """Go on where these are given out."""
        taken = set(used)
        self._numbers.start(taken)
        for name in _SERVICE_DROPS:
            for key, _ in list(self._maps[name].items()):
                if layout.read_service_drop(key)[0] not in taken:
                    self._maps[name].delete(key)

    def new(self, wanted: int) -> list[int]:
        """So many counters, from zero. Raises DriverError."""
        if wanted > len(self._ready):
            self._prepare(wanted - len(self._ready))
        at = len(self._ready) - wanted
        numbers, self._ready = self._ready[at:], self._ready[:at]
        return numbers

    def expect(self, wanted: int) -> None:
        """So many will be asked for, a few at a time: they are set to zero together, where there is room for all."""
        missing = wanted - len(self._ready)
        if 0 < missing <= self._numbers.room:
            self._prepare(missing)

    def _prepare(self, wanted: int) -> None:
        """Have so many more begin from zero. Raises DriverError."""
        with self.lock:
            numbers = self._numbers.take_some(wanted)
            keys = array("I", numbers).tobytes()
            for name, size in (("counters", 16), ("slow_counters", 16), ("handshakes", 32)):
                self._maps[name].update_all(keys, bytes(size * self._maps[name].copies * wanted))
            for number in self._of_former_services.intersection(numbers):
                self._forget_drops(number)
            self._of_former_services.difference_update(numbers)
        self._ready += numbers

    def give(self, number: int) -> None:
        """Take a server's counter back."""
        self._numbers.give(number)

    def hand_over(self, number: int, heir: int) -> None:
        """Add what was counted by one number to another's."""
        with self.lock:
            of_all = memoryview(self._maps["counters"].lookup(u32(number)) or b"").cast("Q")
            slow = memoryview(self._maps["slow_counters"].lookup(u32(number)) or bytes(16)).cast("Q")
            packets, size = sum(of_all[::2]) + slow[0], sum(of_all[1::2]) + slow[1]
            if packets:
                self._add("slow_counters", u32(heir), packets, size)
            handshakes = memoryview(self._maps["handshakes"].lookup(u32(number)) or bytes(32)).cast("Q")
            if any(handshakes):
                self._add("handshakes", u32(heir), *handshakes)

    def give_of_service(self, number: int) -> None:
        """Take a service's counter back. A packet may still count by it: its drops are cleared when it is given out
        again."""
        self._of_former_services.add(number)
        self._numbers.give(number)

    def events(self) -> Counters:
        """What belongs to no service and no server alone."""
        end, copies = layout.ANSWERED + 1, self._maps["events"].copies
        of_all = memoryview(self._maps["events"].read(end)).cast("Q")
        slow = memoryview(self._maps["slow_events"].read(end)).cast("Q")
        counted = [sum(of_all[at * copies : (at + 1) * copies]) + slow[at] for at in range(end)]
        return Counters(counted[layout.ANSWERED], dict(zip(DROP_REASONS, counted, strict=False)))

    def read(self, numbers: Iterable[int]) -> Counted:
        """What was counted by these numbers, and by some between them: processors are read one after the other."""
        found = Counted({}, {})
        for first, count in _spans(numbers):
            read = (self._maps[name].read(count, first) for name in ("counters", "slow_counters", "handshakes"))
            counters, slow, sampled = read
            packets, sizes = (_sums(counters, slow, self._maps["counters"].copies, word) for word in (0, 1))
            found.tallies.update(zip(range(first, first + count), map(Tally, packets, sizes), strict=True))
            found.handshakes.update(_sampled(sampled, first))
        return found

    def read_drops(self, services: Collection[int], found: dict[int, dict[str, int]]) -> Iterator[None]:
        """Read the drops of services, and maybe of others, into `found`, by their numbers and by reason: a piece at a
        time. What was never dropped is left out."""
        for name in _SERVICE_DROPS:
            for entries in self._drop_entries(name, services):
                for key, value in entries:
                    service, reason = layout.read_service_drop(key)
                    number = sum(memoryview(value).cast("Q"))
                    if number and reason < len(DROP_REASONS):
                        of_service = found.setdefault(service, {})
                        of_service[DROP_REASONS[reason]] = of_service.get(DROP_REASONS[reason], 0) + number
                yield

    def _drop_entries(self, name: str, services: Collection[int]) -> Iterator[list[tuple[bytes, bytes]]]:
        """In pieces. Of few services each entry is looked up that there may be; of many all entries are read."""
        held = self._maps[name]
        if len(services) <= _FEW:
            keys = [layout.service_drop(one, reason) for one in services for reason in range(len(DROP_REASONS))]
            yield [(key, value) for key in keys if (value := held.lookup(key)) is not None]
            return
        for all_keys, all_values, count in held.batches(_BATCH):
            size, room = held.key_size, 8 * held.copies
            some, values = bytes(all_keys), bytes(all_values)
            yield [(some[n * size : (n + 1) * size], values[n * room : (n + 1) * room]) for n in range(count)]

    def handshakes(
        self, services: Callable[[], Mapping[ServiceKey, int]], servers: Callable[[], Mapping[tuple[str, bytes], int]]
    ) -> HandshakeCounts:
        """What is counted of handshakes. Only where something is counted, it is asked who has which number, and before
        the counts are read. A number that has a new owner meanwhile counts from zero."""
        if next(self._handshakes(), None) is None:
            return HandshakeCounts({}, {})
        of_services, of_servers = services(), servers()
        counted = dict(self._handshakes())
        return HandshakeCounts(_whose(counted, of_services), _whose(counted, of_servers))

    def _handshakes(self) -> Iterator[tuple[int, HandshakeTally]]:
        """By number, of those that sampled flows came for. Read in pieces: all of them are megabytes."""
        first, end = 0, self._numbers.end
        for _, values, entries in self._maps["handshakes"].batches(_HANDSHAKES):
            yield from _sampled(bytes(values)[: entries * _HANDSHAKE.size], first)
            first += entries
            if first >= end:
                return

    def add(self, number: int, size: int) -> None:
        """Count a packet of `size` bytes that user space forwarded."""
        self._add("slow_counters", u32(number), 1, size)

    def add_event(self, number: int) -> None:
        """Count an event of user space."""
        self._add("slow_events", u32(number), 1)

    def add_drop(self, reason: int, service: int | None) -> None:
        """Count a packet that user space dropped. service: its counter, where the service is known."""
        self.add_event(reason)
        if service is not None:
            self._add("slow_service_drops", layout.service_drop(service, reason), 1)

    def _add(self, name: str, key: bytes, *numbers: int) -> None:
        held = self._maps[name].lookup(key) or bytes(8 * len(numbers))
        sums = (old + new for old, new in zip(memoryview(held).cast("Q"), numbers, strict=True))
        self._maps[name].update(key, b"".join(n.to_bytes(8, "little") for n in sums))

    def _forget_drops(self, number: int) -> None:
        for name in _SERVICE_DROPS:
            for reason in range(len(DROP_REASONS)):
                self._maps[name].delete(layout.service_drop(number, reason))


def _spans(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """First one and length of the spans that numbers are in: those that are near to each other are read together."""
    first = last = -1
    for number in sorted(numbers):
        if last < 0:
            first = number
        elif number - last > _NEAR:
            yield first, last + 1 - first
            first = number
        last = number
    if last >= 0:
        yield first, last + 1 - first


def _sampled(values: bytes, first: int) -> Iterator[tuple[int, HandshakeTally]]:
    """The tallies in a piece of `handshakes` that counted anything, by number. first: the first one's."""
    for number, counted in enumerate(_HANDSHAKE.iter_unpack(values), first) if values.strip(b"\0") else ():
        if any(counted):
            yield number, HandshakeTally(*counted)


def _sums(counters: bytes, slow: bytes, copies: int, word: int) -> list[int]:
    """One word of each pair, of all copies and of user space together. All of a piece at once: there are 100,000."""
    of_all = memoryview(counters).cast("Q")
    columns = [of_all[2 * copy + word :: 2 * copies].tolist() for copy in range(copies)]
    return list(map(sum, zip(*columns, memoryview(slow).cast("Q")[word::2].tolist(), strict=True)))


def _whose(counted: Mapping[int, HandshakeTally], numbers: Mapping[K, int]) -> dict[K, HandshakeTally]:
    """Tallies by owner, from tallies by number."""
    return {key: counted[number] for key, number in numbers.items() if number in counted}
