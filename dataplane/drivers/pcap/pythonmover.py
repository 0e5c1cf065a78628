"""Frames moved in Python: the reference decision on packet sockets, behind a cache of flows.

What the sender's stack left undone (checksum, segmentation) is carried from the one socket to the other, so that real
TCP arrives whole. Into a tunnel nothing undone may go: it is done here first.
"""

from __future__ import annotations

import logging
import os
import select
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from copy import copy
from typing import Any, TypeVar

from dataplane.drivers.pcap import offload
from dataplane.drivers.pcap.flowcache import FlowCache
from dataplane.drivers.pcap.packetsocket import BATCH, NOTHING_UNDONE, ROOM, PacketSocket
from dataplane.drivers.pcap.pythoncapture import PythonCapture
from dataplane.forwarding import decision, handshakes
from dataplane.forwarding.capture import Capture, Wanted
from dataplane.forwarding.driver import Asked, FlowRoom, HandshakeCounts
from dataplane.forwarding.handshakes import Opening, TcpFlow
from dataplane.forwarding.lookup import LookupTables
from dataplane.forwarding.tracking import Flow, Flows, Remembered
from dataplane.forwarding.values import Counters, HandshakeTally, Interface, Lingering, ServiceKey, Tally

K = TypeVar("K")
T = TypeVar("T", Tally, HandshakeTally)

log = logging.getLogger("avi-se")

BURST = BATCH
"""Frames taken from one socket before they are sent and the next has its turn."""
_NOT_SENT = "transmit_failed"


class PythonMover(LookupTables):
    """Holds the values, and moves frames by them. wake: an eventfd that ends a turn; do: has the driver's thread do
    something between two bursts; fault: told of mistakes."""

    def __init__(
        self, wake: int, do: Callable[[Callable[[], Any]], None], fault: Callable[[Exception], None], note: str = ""
    ) -> None:
        super().__init__()
        self._wake, self._do, self._fault = wake, do, fault
        self.note = note
        self.mistaken = 0
        self._flows = Flows()
        self._cache = FlowCache(self, self._flows)
        self._tunnels = False
        self._counters = Counters()
        self._ports: dict[int, PacketSocket] = {}
        self._waiting: defaultdict[int, list[decision.Verdict]] = defaultdict(list)
        self._poll = select.epoll()
        self._poll.register(wake, select.EPOLLIN)

    @property
    def tables(self) -> PythonMover:
        """This."""
        return self

    @property
    def values(self) -> LookupTables:
        """This."""
        return self

    def remove_pool(self, uuid: str, heir: str = "") -> None:
        """Remove a pool and its counters."""
        super().remove_pool(uuid, heir)
        self._do(lambda: self._forget_pool(uuid, heir))

    def remove_service(self, key: ServiceKey) -> None:
        """Remove a service and its counters."""
        super().remove_service(key)
        self._do(lambda: self._forget_service(key))

    def expect_tunnels(self, tunnels: bool) -> None:
        """Mover.expect_tunnels."""
        self._tunnels = tunnels

    def add(self, index: int, port: PacketSocket) -> None:
        """Mover.add."""
        self._ports[index] = port
        self._poll.register(port, select.EPOLLIN)

    def drop(self, index: int) -> None:
        """Mover.drop."""
        self._poll.unregister(self._ports.pop(index))

    def run(self, patience: float) -> bool:
        """Mover.run."""
        woken = False
        for fd, events in self._poll.poll(patience):
            if fd == self._wake:
                woken = True
                continue
            for index, port in self._ports.items():
                if port.fileno() == fd:
                    self._receive(index, port, events)
                    break
        return woken

    def lost(self) -> int:
        """Mover.lost."""
        return 0

    def counters_in_pieces(self, asked: Asked | None) -> Iterator[Counters]:
        """Mover.counters_in_pieces, in one: whoever has few packets has few that were counted for anybody."""
        now = self._counters
        drops = {key: dict(of_service) for key, of_service in list(now.service_drops.items())}
        openings = _copied(now.service_handshakes), _copied(now.server_handshakes)
        yield Counters(now.answered, dict(now.dropped), _copied(now.services), _copied(now.servers), drops, *openings)

    def handshakes(self) -> HandshakeCounts:
        """Mover.handshakes."""
        now = self._counters
        return HandshakeCounts(_copied(now.service_handshakes), _copied(now.server_handshakes))

    def unanswered_clients(self) -> Mapping[tuple[str, bytes], set[bytes]]:
        """Mover.unanswered_clients."""
        openings: list[tuple[TcpFlow, Opening]] = []
        self._do(lambda: openings.extend(self._flows.handshakes.openings.items()))
        return handshakes.unanswered_clients(openings, self)

    @property
    def flow_room(self) -> FlowRoom:
        """Mover.flow_room."""
        return FlowRoom(self._flows.elder.size, self._flows.elder.size)

    def lingering(self, pools: Collection[str]) -> Lingering:
        """Mover.lingering."""
        found: list[Lingering] = []
        now = time.monotonic_ns()
        self._do(lambda: found.append(self._flows.lingering(self.service, self.pools, pools, now)))
        return found[0]

    def remembered(self, flow: Flow) -> Remembered:
        """Mover.remembered."""
        return self._flows.remembered(flow)

    def capture(self, wanted: Wanted) -> Capture:
        """Mover.capture. Raises DriverError."""
        plain = self._cache

        def swap(cache: FlowCache | None) -> None:
            self._do(lambda: setattr(self, "_cache", cache or plain))

        return PythonCapture(wanted, plain, swap)

    def close(self) -> None:
        """Mover.close."""
        self._poll.close()

    def _forget_service(self, key: ServiceKey) -> None:
        self._counters.services.pop(key, None)
        self._counters.service_drops.pop(key, None)
        self._counters.service_handshakes.pop(key, None)

    def _forget_pool(self, uuid: str, heir: str) -> None:
        _hand_over(self._counters.servers, uuid, heir)
        _hand_over(self._counters.server_handshakes, uuid, heir)

    def _receive(self, index: int, port: PacketSocket, events: int) -> None:
        if events & select.EPOLLERR:  # the link went down or away; the engine hears it from rtnetlink
            log.debug("receiving on interface %d: %s", index, os.strerror(port.fault()))
        interface = self.interfaces.get(index)
        now = time.monotonic_ns()
        for frame, tag, undone in port.received(BURST):
            if interface is None or len(frame) < decision.ETH_HLEN:
                continue
            try:
                if tag or undone != NOTHING_UNDONE:
                    self._forward_unfinished(frame, tag, undone, interface, now)
                else:
                    self._leave(self._cache.decide(frame, interface, now), NOTHING_UNDONE)
            except Exception as exc:  # the others of this burst, and all that follow, are forwarded
                self.mistaken += 1
                self._fault(exc)
        for egress, waiting in self._waiting.items():
            self._flush(egress, waiting)

    def _forward_unfinished(self, frame: bytes, tag: bytes, undone: bytes, interface: Interface, now: int) -> None:
        """Forward a frame whose tag the kernel took off, or which the sender's stack left something to do with."""
        whole = frame[:12] + tag + frame[12:]
        left = offload.read(undone)
        if left.checksum and self._tunnels:
            for finished in offload.finished(whole, left):
                self._leave(self._cache.decide(finished, interface, now), NOTHING_UNDONE)
            return
        segment = offload.segment_size(frame, left)
        verdict = self._cache.decide(whole, interface, now, segment)
        if verdict.action != decision.FORWARDED:  # what is answered is made here, whole
            self._leave(verdict, NOTHING_UNDONE)
            return
        tagged = frame[12:14] == decision.ETH_P_8021Q
        self._leave(verdict, offload.carried_on(left, decision.VLAN_HLEN if tagged else 0))

    def _leave(self, verdict: decision.Verdict, undone: bytes) -> None:
        """Put what leaves into its interface's batch. It is counted when it is sent. undone: the virtio_net_hdr."""
        if verdict.action == decision.HOST:
            return
        port = self._ports.get(verdict.interface)
        if not verdict.frames or port is None:
            decision.count(decision.dropped(_NOT_SENT, verdict.service) if verdict.frames else verdict, self._counters)
            return
        ready = undone + verdict.frames[0]
        if len(ready) > ROOM or len(verdict.frames) > 1:
            self._send(verdict, undone, port)
            return
        waiting = self._waiting[verdict.interface]
        waiting.append(verdict)
        port.put(ready)
        if len(waiting) == BATCH:
            self._flush(verdict.interface, waiting)

    def _send(self, verdict: decision.Verdict, undone: bytes, port: PacketSocket) -> None:
        """Send what is large or more than one frame, behind what waits for the same interface."""
        self._flush(verdict.interface, self._waiting[verdict.interface])
        try:
            for frame in verdict.frames:
                port.send(undone + frame)
        except OSError as exc:
            log.debug("sending on interface %d: %s", verdict.interface, exc)
            verdict = decision.dropped(_NOT_SENT, verdict.service)
        decision.count(verdict, self._counters)

    def _flush(self, index: int, waiting: list[decision.Verdict]) -> None:
        if not waiting:
            return
        for position in self._ports[index].flush():
            waiting[position] = decision.dropped(_NOT_SENT, waiting[position].service)
        for verdict in waiting:
            decision.count(verdict, self._counters)
        waiting.clear()


def _copied(tallies: Mapping[K, T]) -> dict[K, T]:
    """A copy; the receiving thread counts on."""
    return {key: copy(tally) for key, tally in list(tallies.items())}


def _hand_over(tallies: dict[tuple[str, bytes], T], pool: str, heir: str) -> None:
    """Forget what was counted for a pool's servers; the heir's go on from there."""
    for key in [key for key in tallies if key[0] == pool]:
        tally = tallies.pop(key)
        if heir and (heir, key[1]) in tallies:
            tallies[heir, key[1]].add(tally)
        elif heir:
            tallies[heir, key[1]] = tally
