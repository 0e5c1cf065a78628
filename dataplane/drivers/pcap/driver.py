"""The pcap driver: the reference decision on packet sockets, for where XDP cannot be had.

One thread receives, decides and sends; the engine's thread puts values. What the sender's stack left undone (checksum,
segmentation) is carried from the one socket to the other, so that real TCP arrives whole. Into a tunnel nothing undone
may go: it is done here first.
"""

from __future__ import annotations

import logging
import os
import queue
import select
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from copy import copy
from typing import Any, TypeVar

from dataplane.drivers.pcap import hostguard, offload, socketfilter
from dataplane.drivers.pcap.flowcache import FlowCache
from dataplane.drivers.pcap.packetsocket import BATCH, NOTHING_UNDONE, ROOM, PacketSocket
from dataplane.forwarding import decision, handshakes
from dataplane.forwarding.driver import NOTHING_FOUND, Found, HandshakeCounts, OffloadingSender, Sending
from dataplane.forwarding.dropreasons import MISTAKEN, OVERRUN
from dataplane.forwarding.handshakes import Opening, TcpFlow
from dataplane.forwarding.lookup import LookupTables
from dataplane.forwarding.tracking import Flows
from dataplane.forwarding.values import (
    Counters,
    HandshakeTally,
    Interface,
    Lingering,
    Pool,
    Service,
    ServiceKey,
    Tally,
    Vip,
)
from dataplane.kernel.objects import Owner
from dataplane.plan import L2
from dataplane.runtime.worker import Worker

K = TypeVar("K")
T = TypeVar("T", Tally, HandshakeTally)

log = logging.getLogger("avi-se")

BURST = BATCH
"""Frames taken from one socket before they are sent and the next has its turn."""
QUIET = 0.02
"""Seconds without a change of VIPs after which the sockets' filters follow."""
_NOT_SENT = "transmit_failed"


class PcapDriver:
    """A Driver on packet sockets. instance names the engine among all on this machine. Raises DriverError,
    also where another process is this instance's driver."""

    name = "pcap"
    sees_stripped_tags = True

    def __init__(self, instance: str) -> None:
        self._claim = hostguard.claim(instance)
        self._values = LookupTables()
        self._flows = Flows()
        self._cache = FlowCache(self._values, self._flows)
        self._tunnels = False
        self._counters = Counters()
        self._ports: dict[int, PacketSocket] = {}
        self._waiting: defaultdict[int, list[decision.Verdict]] = defaultdict(list)
        self._lost = self._mistaken = 0
        self._filters = threading.Lock()
        self._unfiltered: float | None = None
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK)
        self._poll = select.epoll()
        self._poll.register(self._wake, select.EPOLLIN)
        self._guard = hostguard.HostGuard(instance)
        self._worker = Worker("the pcap driver", self._turn)
        self._worker.start()

    def put_interface(self, interface: Interface) -> None:
        """Forward frames of this interface. Raises DriverError."""
        opened = None if interface.index in self._ports else PacketSocket(interface)
        self._values.put_interface(interface)
        if opened is not None:
            self._do(lambda: self._add(interface.index, opened))
        self._take_all()
        self._guard.put_interface(interface)

    def remove_interface(self, index: int) -> None:
        """Leave this interface alone again."""
        self._guard.remove_interface(index)
        self._values.remove_interface(index)
        self._do(lambda: self._drop(index))

    def put_addresses(self, addresses: frozenset[bytes]) -> None:
        """The engines' own addresses."""
        self._values.put_addresses(addresses)

    def put_pool(self, pool: Pool) -> None:
        """Add or replace a pool."""
        self.put_pools([pool])

    def put_pools(self, pools: Iterable[Pool]) -> list[Pool]:
        """Add or replace several pools."""
        several = list(pools)
        self._tunnels |= any(pool.mode != L2 for pool in several)  # before the first frame goes into one
        held = self._values.put_pools(several)
        self._tunnels = any(pool.mode != L2 for pool in self._values.pools.values())
        return held

    def remove_pool(self, uuid: str, heir: str = "") -> None:
        """Remove a pool and its counters."""
        self._values.remove_pool(uuid)
        self._do(lambda: self._forget_pool(uuid, heir))

    def put_service(self, service: Service) -> None:
        """Add or replace a service."""
        self._values.put_service(service)

    def remove_service(self, key: ServiceKey) -> None:
        """Remove a service and its counters."""
        self._values.remove_service(key)
        self._do(lambda: self._forget_service(key))

    def put_vip(self, vip: Vip) -> None:
        """Add or replace a VIP."""
        if vip.address not in self._values.vips:
            self._take_all()
        self._values.put_vip(vip)
        self._guard.put_vips(self._values.vips)

    def remove_vip(self, address: bytes) -> None:
        """Remove a VIP: its packets are the host's again."""
        self._values.remove_vip(address)
        self._take_all()
        self._guard.put_vips(self._values.vips)

    def modes(self) -> Mapping[str, str]:
        """AF_PACKET for every interface, with the fault where the host's stack could not be kept off."""
        mode = "AF_PACKET" if not self._guard.fault else f"AF_PACKET ({self._guard.fault})"
        return {interface.name: mode for interface in self._values.interfaces.values()}

    def adopted(self) -> Found:
        """Nothing: this driver's forwarding ends with its process."""
        return NOTHING_FOUND

    def lingering(self, pools: Collection[str]) -> Lingering:
        """The flows that live in `elder`."""
        found: list[Lingering] = []
        values, now = self._values, time.monotonic_ns()
        self._do(lambda: found.append(self._flows.lingering(values.service, values.pools, pools, now)))
        return found[0]

    def prune(self) -> None:
        """Nothing is left over from a former run: its table was replaced at the start."""

    def counters(self) -> Counters:
        """A snapshot, with what the kernel dropped in front of the sockets."""
        now = self._counters
        dropped = dict(now.dropped)
        if lost := self._lost + sum(port.lost() for port in list(self._ports.values())):
            dropped[OVERRUN] = lost
        if self._mistaken:
            dropped[MISTAKEN] = self._mistaken
        drops = {key: dict(of_service) for key, of_service in list(now.service_drops.items())}
        openings = _copied(now.service_handshakes), _copied(now.server_handshakes)
        return Counters(now.answered, dropped, _copied(now.services), _copied(now.servers), drops, *openings)

    def handshakes(self) -> HandshakeCounts:
        """A snapshot."""
        now = self._counters
        return HandshakeCounts(_copied(now.service_handshakes), _copied(now.server_handshakes))

    def unanswered_clients(self) -> Mapping[tuple[str, bytes], set[bytes]]:
        """Of the flows that are remembered."""
        openings: list[tuple[TcpFlow, Opening]] = []
        self._do(lambda: openings.extend(self._flows.handshakes.openings.items()))
        return handshakes.unanswered_clients(openings, self._values)

    def sending(self) -> Mapping[int, Sending]:
        """Nothing beside the counters: what an interface does not take is dropped, and counted as that."""
        return {}

    def offloading_senders(self) -> list[OffloadingSender]:
        """None: what they left undone is done, or handed on to be done."""
        return []

    def notes(self) -> list[str]:
        """None."""
        return []

    def ends_with_process(self) -> str:
        """Frames pass through this process."""
        return "the pcap driver forwards in this process"

    def faults(self) -> list[str]:
        """What was gone round. Raises DriverError when the thread has ended."""
        return self._worker.faults()

    def kept(self, wake: Callable[[], None]) -> Sequence[Owner]:
        """The table that keeps the host off VIPs."""
        self._guard.wake = wake
        return (self._guard,)

    def close(self, *, keep: bool) -> None:
        """End; nothing can be kept."""
        self._worker.end(lambda: os.eventfd_write(self._wake, 1))
        for port in self._ports.values():
            port.close()
        self._poll.close()
        os.close(self._wake)
        self._guard.close()
        self._claim.close()

    def _do(self, command: Callable[[], Any]) -> None:
        """Have the receiving thread do something between two bursts; returns when it is done."""
        done = threading.Event()

        def run() -> None:
            try:
                command()
            finally:
                done.set()

        self._commands.put(run)
        os.eventfd_write(self._wake, 1)
        while not done.wait(1):
            if not self._worker.alive:  # nobody will: `faults` tells
                run()

    def _add(self, index: int, port: PacketSocket) -> None:
        self._ports[index] = port
        self._poll.register(port, select.EPOLLIN)

    def _drop(self, index: int) -> None:
        port = self._ports.pop(index, None)
        if port is not None:
            self._poll.unregister(port)
            port.close()
            self._lost += port.lost()

    def _forget_service(self, key: ServiceKey) -> None:
        self._counters.services.pop(key, None)
        self._counters.service_drops.pop(key, None)
        self._counters.service_handshakes.pop(key, None)

    def _forget_pool(self, uuid: str, heir: str) -> None:
        _hand_over(self._counters.servers, uuid, heir)
        _hand_over(self._counters.server_handshakes, uuid, heir)

    def _take_all(self) -> None:
        """Before a VIP or a MAC address is new the filters must take it; what they take too much does no harm."""
        with self._filters:
            self._filter(None)
            self._unfiltered = time.monotonic()
        os.eventfd_write(self._wake, 1)

    def _filter(self, vips: Iterable[bytes] | None) -> None:
        for index, port in list(self._ports.items()):
            interface = self._values.interfaces.get(index)
            if interface is not None:
                try:
                    port.attach(socketfilter.program(interface.mac, vips))
                except OSError as exc:  # many VIPs, and little net.core.optmem_max: all is taken
                    log.debug("no filter on %s: %s", interface.name, exc)

    def _take_what_is_wanted(self) -> float | None:
        """Once VIPs and interfaces are quiet, have the kernel keep from the sockets what is the host's. Returns the
        seconds to wait for that, None when it is done."""
        with self._filters:
            if self._unfiltered is None:
                return None
            left = self._unfiltered + QUIET - time.monotonic()
            if left > 0:
                return left
            self._unfiltered = None
            self._filter(tuple(self._values.vips))
        return None

    def _turn(self) -> None:
        for fd, events in self._poll.poll(self._take_what_is_wanted()):
            if fd == self._wake:
                os.eventfd_read(self._wake)
                while not self._commands.empty():
                    self._commands.get()()
                continue
            for index, port in self._ports.items():
                if port.fileno() == fd:
                    self._receive(index, port, events)
                    break

    def _receive(self, index: int, port: PacketSocket, events: int) -> None:
        if events & select.EPOLLERR:  # the link went down or away; the engine hears it from rtnetlink
            log.debug("receiving on interface %d: %s", index, os.strerror(port.fault()))
        interface = self._values.interfaces.get(index)
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
                self._mistaken += 1
                self._worker.fault(exc)
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
        """Put what leaves into its interface's batch, to be counted when it is sent. undone: the virtio_net_hdr."""
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
    """As they are now; the receiving thread counts on."""
    return {key: copy(tally) for key, tally in list(tallies.items())}


def _hand_over(tallies: dict[tuple[str, bytes], T], pool: str, heir: str) -> None:
    """Forget what was counted for a pool's servers; the heir's go on from there."""
    for key in [key for key in tallies if key[0] == pool]:
        tally = tallies.pop(key)
        if heir and (heir, key[1]) in tallies:
            tallies[heir, key[1]].add(tally)
        elif heir:
            tallies[heir, key[1]] = tally
