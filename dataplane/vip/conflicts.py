"""Finds who else claims the VIPs: the engine asks its segments, as a client would, and listens to all ARP there.

A pool member that answers takes the engine's clients away; so does anybody else. The engine does not hear its own
answers: it listens to what comes in alone.

Each interface has one socket, and each VIP one request in a turn, whatever the number of servers.
"""

from __future__ import annotations

import asyncio
import heapq
import socket
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from dataplane.forwarding.values import Interface
from dataplane.runtime import tasks
from dataplane.vip import arp

RATE = 100
"""Requests a second, of all VIPs together: many VIPs are asked for less often."""
SHORTEST = 1.0
"""Seconds between two requests for one VIP at least."""
ANSWERED, UNANSWERED = 2, 2
"""Requests in a row after which an answer is a conflict, and silence ends it."""
REMEMBERED = 60.0
"""Seconds for which a conflict counts that came unasked."""
WAIT = 0.3
"""Seconds to answer a question outside the turns, which is sent twice in them."""
MOST = 1024
"""Conflicts of one VIP that are remembered: more is a flood of forged MAC addresses, and would fill the memory."""
_BURST = 64
_NOT_SERVED = "the interface is not served"


class Kind(StrEnum):
    """How somebody claims an address: he answers for it; he calls it out; his own requests name it as their sender."""

    ANSWER = "answer"
    ANNOUNCEMENT = "announcement"
    REQUEST = "request"


@dataclass(frozen=True, slots=True)
class Conflict:
    """Somebody else's claim to a VIP."""

    vip: bytes  # the address
    mac: bytes  # the claimant's
    interface: int  # the index of ours that it was heard on
    kind: Kind  # how he claims it


@dataclass(slots=True)
class _Heard:
    """What was heard of one claimant."""

    asked: int = 0  # the number of the VIP's request that he answered last
    streak: int = 0  # how many he answered in a row
    when: float = 0.0  # the loop's time of his last word
    counts: bool = False  # it is a conflict: not a single stray answer


class ConflictWatch:
    """Asks and listens; made and used on one event loop.

    changed: gets a VIP whose conflicts changed; repeated: gets a known conflict that was heard again.
    """

    def __init__(
        self, changed: Callable[[bytes], None], repeated: Callable[[Conflict], None] = lambda conflict: None
    ) -> None:
        self._changed = changed
        self._repeated = repeated
        self._vips: dict[bytes, float] = {}
        self._asked: dict[bytes, int] = {}
        self._heard: dict[bytes, dict[Conflict, _Heard]] = {}
        self._wires: dict[int, tuple[Interface, socket.socket]] = {}
        self._due: list[tuple[float, bytes]] = []
        self._queued: set[bytes] = set()
        """The VIPs that stand in `_due`. A VIP that went and came back must not stand there twice: it would be asked
        for twice as often."""
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._waiting: dict[tuple[int, bytes, bytes], list[set[bytes]]] = {}

    def follow(self, vips: Mapping[bytes, float], interfaces: Iterable[Interface]) -> None:
        """Ask for these VIPs (each with the seconds between two requests) on these interfaces from now on."""
        self._follow_interfaces(list(interfaces))
        for vip in self._vips.keys() - vips.keys():
            del self._vips[vip], self._asked[vip]
            self._heard.pop(vip, None)
        now = asyncio.get_running_loop().time()
        for vip in vips.keys() - self._vips.keys():
            self._asked[vip] = 0
            if vip not in self._queued:
                self._queued.add(vip)
                heapq.heappush(self._due, (now, vip))
                self._wake.set()
        self._vips = dict(vips)
        if self._vips and self._task is None:
            self._task = tasks.forever(self._ask_for_ever())

    def of(self, vip: bytes) -> tuple[Conflict, ...]:
        """Who claims a VIP now."""
        return tuple(conflict for conflict, heard in self._heard.get(vip, {}).items() if heard.counts)

    def forget(self, macs: Collection[bytes]) -> None:
        """Forget what these claimed: who still claims it is heard again."""
        for heard in self._heard.values() if macs else ():
            for conflict in [one for one in heard if one.mac in macs]:
                del heard[conflict]

    async def macs(self, interface: int, address: bytes, sender: bytes | None = None) -> frozenset[bytes]:
        """Everybody who answers for an address on an interface's segment, asked now. sender: whom the request is from,
        None for the engine's own address there. Raises OSError where the interface is not served or down."""
        if interface not in self._wires:
            raise OSError(_NOT_SERVED)
        answers: set[bytes] = set()
        by = _address(self._wires[interface][0]) if sender is None else sender
        waiting = self._waiting.setdefault((interface, address, by), [])
        waiting.append(answers)
        try:
            for _ in range(2):
                self._ask(interface, address, by)
                await asyncio.sleep(WAIT / 2)
        finally:
            waiting[:] = [others for others in waiting if others is not answers]
            if not waiting:
                self._waiting.pop((interface, address, by), None)
        return frozenset(answers)

    async def holders(self, address: bytes) -> frozenset[tuple[int, bytes]]:
        """Everybody who answers two ARP probes (RFC 5227 section 2.1.1) for an address, on all interfaces: the index of
        ours, and his MAC address. An interface that is down is passed over."""
        asked = list(self._wires)
        answers = await asyncio.gather(
            *(self.macs(index, address, arp.NOBODY) for index in asked), return_exceptions=True
        )
        return frozenset(
            (index, mac)
            for index, macs in zip(asked, answers, strict=True)
            if not isinstance(macs, BaseException)
            for mac in macs
        )

    async def close(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._follow_interfaces([])

    def _follow_interfaces(self, interfaces: list[Interface]) -> None:
        wanted = {interface.index: interface for interface in interfaces}
        for index in self._wires.keys() - wanted.keys():
            _, wire = self._wires.pop(index)
            asyncio.get_running_loop().remove_reader(wire)
            wire.close()
        for index, interface in wanted.items():
            if index in self._wires:
                self._wires[index] = interface, self._wires[index][1]
                continue
            with suppress(OSError):  # it vanished; the next change of the network tells again
                self._wires[index] = interface, self._listen(interface)

    def _listen(self, interface: Interface) -> socket.socket:
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        try:
            wire.bind((interface.name, arp.ETH_P_ARP))
        except OSError:
            wire.close()
            raise
        asyncio.get_running_loop().add_reader(wire, self._receive, interface.index, wire)
        return wire

    async def _ask_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while self._due and self._due[0][0] <= loop.time():
                due, vip = heapq.heappop(self._due)
                if vip not in self._vips:
                    self._queued.discard(vip)
                else:
                    self._turn(vip)
                    pause = max(self._vips[vip], SHORTEST, len(self._vips) / RATE)
                    heapq.heappush(self._due, (max(due + pause, loop.time()), vip))
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._due[0][0] if self._due else None):
                    await self._wake.wait()

    def _turn(self, vip: bytes) -> None:
        """See who has been silent since the last request, and ask again."""
        now = asyncio.get_running_loop().time()
        heard = self._heard.get(vip, {})
        ended = [
            conflict
            for conflict, known in heard.items()
            if (
                self._asked[vip] - known.asked >= UNANSWERED
                if conflict.kind is Kind.ANSWER
                else now - known.when > REMEMBERED
            )
        ]
        told = [conflict for conflict in ended if heard.pop(conflict).counts]
        self._asked[vip] += 1
        for index in self._wires:
            with suppress(OSError):  # down: it is asked again at the next turn
                self._ask(index, vip, _address(self._wires[index][0]))
        if told:
            self._changed(vip)

    def _ask(self, index: int, address: bytes, sender: bytes) -> None:
        if index not in self._wires:  # it went while somebody waited for answers
            raise OSError(_NOT_SERVED)
        interface, wire = self._wires[index]
        wire.send(arp.request(interface.mac, sender, address))

    def _receive(self, index: int, wire: socket.socket) -> None:
        for _ in range(_BURST):
            try:
                frame, (_, _, kind, _, _) = wire.recvfrom(128)
            except OSError:
                return
            packet = arp.parse(frame) if kind != socket.PACKET_OUTGOING else None
            if packet is not None and all(packet.mac != interface.mac for interface, _ in self._wires.values()):
                self._take(index, packet)

    def _take(self, index: int, packet: arp.Packet) -> None:
        if packet.operation == arp.REPLY:
            for answers in self._waiting.get((index, packet.sender, packet.target), ()):
                answers.add(packet.mac)
        if packet.sender not in self._vips:
            return
        kind = Kind.REQUEST if packet.operation == arp.REQUEST else Kind.ANSWER
        if packet.sender == packet.target:
            kind = Kind.ANNOUNCEMENT
        vip = packet.sender
        heard, conflict = self._heard.setdefault(vip, {}), Conflict(vip, packet.mac, index, kind)
        if conflict not in heard and len(heard) >= MOST:
            return
        known = heard.setdefault(conflict, _Heard())
        known.when = asyncio.get_running_loop().time()
        if kind is Kind.ANSWER:
            number = self._asked[vip]
            if number != known.asked:
                known.streak = known.streak + 1 if number == known.asked + 1 else 1
            known.asked = number
        if known.counts:
            self._repeated(conflict)
        elif kind is not Kind.ANSWER or known.streak >= ANSWERED:
            known.counts = True
            self._changed(vip)


def _address(interface: Interface) -> bytes:
    """The engine's own address on an interface, as far as it has one."""
    return interface.addresses[0] if interface.addresses else arp.NOBODY
