"""The pcap driver: the decision on packet sockets, for where XDP cannot be had.

One thread receives, decides and sends, by a mover; the engine's thread puts values. What the sender's stack left undone
(checksum, segmentation) is carried from the one socket to the other, so that real TCP arrives whole. Into a tunnel
nothing undone may go: it is done here first.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from typing import Any

from dataplane.drivers.pcap import hostguard, socketfilter
from dataplane.drivers.pcap.mover import Mover
from dataplane.drivers.pcap.nativemover import NativeMover
from dataplane.drivers.pcap.packetsocket import PacketSocket
from dataplane.drivers.pcap.pythonmover import PythonMover
from dataplane.errors import DriverError
from dataplane.forwarding import decision
from dataplane.forwarding.capture import Capture, Wanted
from dataplane.forwarding.driver import (
    NOTHING_FOUND,
    Asked,
    FlowRoom,
    Found,
    HandshakeCounts,
    OffloadingSender,
    Sending,
    Trace,
)
from dataplane.forwarding.dropreasons import MISTAKEN, OVERRUN
from dataplane.forwarding.tracking import Flow
from dataplane.forwarding.values import Counters, Interface, Lingering, Pool, Service, ServiceKey, Vip
from dataplane.kernel.objects import Owner
from dataplane.plan import L2
from dataplane.runtime.worker import Worker

log = logging.getLogger("avi-se")

QUIET = 0.02
"""Seconds without a change of VIPs after which the sockets' filters follow."""
LONGEST = 1.0
"""Seconds of a turn at most, while there is nothing to do but to move frames."""
SLOWER = 6
"""How many times slower frames are moved in Python, about."""


class PcapDriver:
    """A Driver on packet sockets. instance names the engine among all on this machine; native: move frames natively,
    where that can be had. Raises DriverError, also where another process is this instance's driver."""

    name = "pcap"
    sees_stripped_tags = True

    def __init__(self, instance: str, *, native: bool = True) -> None:
        self._claim = hostguard.claim(instance)
        self._ports: dict[int, PacketSocket] = {}
        self._lost = 0
        self._filters = threading.Lock()
        self._unfiltered: float | None = None
        self._changing = 0  # VIPs that are becoming known, for which the filters are to take all
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK)
        self._worker = Worker("the pcap driver", self._turn)
        self._mover = self._made_mover(native)
        self._tables = self._mover.tables
        self._guard = hostguard.HostGuard(instance)
        self._worker.start()

    def put_interface(self, interface: Interface) -> None:
        """Forward frames of this interface. Raises DriverError."""
        opened = None if interface.index in self._ports else PacketSocket(interface)
        try:
            self._tables.put_interface(interface)
        except DriverError:
            if opened is not None:
                opened.close()
            raise
        if opened is not None:
            self._do(lambda: self._add(interface.index, opened))
        self._take_all()
        self._guard.put_interface(interface)

    def remove_interface(self, index: int) -> None:
        """Leave this interface alone again."""
        self._guard.remove_interface(index)
        self._tables.remove_interface(index)
        self._do(lambda: self._drop(index))

    def put_addresses(self, addresses: frozenset[bytes]) -> None:
        """The engines' own addresses."""
        self._tables.put_addresses(addresses)

    def put_pool(self, pool: Pool) -> None:
        """Add or replace a pool."""
        self.put_pools([pool])

    def put_pools(self, pools: Iterable[Pool]) -> list[Pool]:
        """Add or replace several pools."""
        several = list(pools)
        if any(pool.mode != L2 for pool in several):  # before the first frame goes into one
            self._mover.expect_tunnels(True)
        held = self._tables.put_pools(several)
        self._mover.expect_tunnels(any(pool.mode != L2 for pool in self._mover.values.pools.values()))
        return held

    def remove_pool(self, uuid: str, heir: str = "") -> None:
        """Remove a pool and its counters."""
        self._tables.remove_pool(uuid, heir)

    def put_service(self, service: Service) -> None:
        """Add or replace a service."""
        self._tables.put_service(service)

    def remove_service(self, key: ServiceKey) -> None:
        """Remove a service and its counters."""
        self._tables.remove_service(key)

    def put_vip(self, vip: Vip) -> None:
        """Add or replace a VIP."""
        if vip.address in self._mover.values.vips:
            self._tables.put_vip(vip)
        else:
            with self._taking_all():
                self._tables.put_vip(vip)
        self._guard.put_vips(self._mover.values.vips)

    def remove_vip(self, address: bytes) -> None:
        """Remove a VIP: its packets are the host's again."""
        self._tables.remove_vip(address)
        self._take_all()
        self._guard.put_vips(self._mover.values.vips)

    def answer_until(self, time: int) -> None:
        """Answer ARP for owned VIPs until then."""
        self._tables.answer_until(time)

    def modes(self) -> Mapping[str, str]:
        """AF_PACKET for every interface, with the fault where the host's stack could not be kept off."""
        mode = "AF_PACKET" if not self._guard.fault else f"AF_PACKET ({self._guard.fault})"
        return {interface.name: mode for interface in self._mover.values.interfaces.values()}

    def details(self) -> Mapping[str, object]:
        """None."""
        return {}

    def adopted(self) -> Found:
        """Nothing: this driver's forwarding ends with its process."""
        return NOTHING_FOUND

    @property
    def flow_room(self) -> FlowRoom:
        """How many flows `elder` has room for."""
        return self._mover.flow_room

    def lingering(self, pools: Collection[str]) -> Lingering:
        """The flows that live in `elder`."""
        return self._mover.lingering(pools)

    def trace(self, frame: bytes, interface: int, flow: Flow) -> Trace:
        """What the reference says of the values and of what is remembered."""
        known, values = self._mover.remembered(flow), self._mover.values
        verdict = decision.trial(frame, values.interfaces[interface], values, flow, known, time.monotonic_ns())
        return Trace(verdict.action, verdict.reason, verdict.frames, known, "the reference")

    def capture(self, wanted: Wanted) -> Capture:
        """By the mover. Raises DriverError."""
        return self._mover.capture(wanted)

    def prune(self) -> None:
        """Nothing is left over from a former run: its table was replaced at the start."""

    def counters_in_pieces(self, asked: Asked | None = None) -> Iterator[Counters]:
        """The counters, with what the kernel dropped in front of the sockets."""
        lost = self._lost + self._mover.lost() + sum(port.lost() for port in list(self._ports.values()))
        for counted in self._mover.counters_in_pieces(asked):
            if lost:
                counted.dropped[OVERRUN] = lost
            if self._mover.mistaken:
                counted.dropped[MISTAKEN] = self._mover.mistaken
            yield counted

    def handshakes(self) -> HandshakeCounts:
        """A snapshot."""
        return self._mover.handshakes()

    def unanswered_clients(self) -> Mapping[tuple[str, bytes], Set[bytes]]:
        """Of the flows that are remembered."""
        return self._mover.unanswered_clients()

    def sending(self) -> Mapping[int, Sending]:
        """Empty: what an interface does not take is dropped, and the counters tell of it."""
        return {}

    def offloading_senders(self) -> list[OffloadingSender]:
        """Empty: what they left undone is done here, or handed on to be done."""
        return []

    def notes(self) -> list[str]:
        """Why it is slow."""
        return [self._mover.note] if self._mover.note else []

    def ends_with_process(self) -> str:
        """Frames pass through this process."""
        return "the pcap driver forwards in this process"

    def faults(self) -> list[str]:
        """Unexpected errors, each told once. Raises DriverError when the thread has ended."""
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
        self._mover.close()
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
        self._mover.add(index, port)

    def _drop(self, index: int) -> None:
        port = self._ports.pop(index, None)
        if port is not None:
            self._mover.drop(index)
            port.close()
            self._lost += port.lost()

    def _take_all(self) -> None:
        """Have the filters take what is new; what they take too much does no harm."""
        with self._taking_all():
            pass

    @contextmanager
    def _taking_all(self) -> Iterator[None]:
        """Have the filters take all frames while a VIP becomes known, however long that takes. The other thread makes
        no filter meanwhile: it would lack the VIP."""
        with self._filters:
            self._filter(None)
            self._changing += 1
        try:
            yield
        finally:
            with self._filters:
                self._changing -= 1
                self._unfiltered = time.monotonic()
            os.eventfd_write(self._wake, 1)

    def _filter(self, vips: Iterable[bytes] | None) -> None:
        for index, port in list(self._ports.items()):
            interface = self._mover.values.interfaces.get(index)
            if interface is not None:
                try:
                    port.attach(socketfilter.program(interface.mac, vips))
                except OSError as exc:  # many VIPs, and little net.core.optmem_max: all is taken
                    log.debug("no filter on %s: %s", interface.name, exc)

    def _take_what_is_wanted(self) -> float | None:
        """Once VIPs and interfaces are quiet, have the kernel keep from the sockets what is the host's. Returns the
        seconds to wait for that, None when it is done."""
        with self._filters:
            if self._unfiltered is None or self._changing:
                return None
            left = self._unfiltered + QUIET - time.monotonic()
            if left > 0:
                return left
            self._unfiltered = None
            self._filter(tuple(self._mover.values.vips))
        return None

    def _turn(self) -> None:
        if self._mover.run(min(self._take_what_is_wanted() or LONGEST, LONGEST)):
            os.eventfd_read(self._wake)
            while not self._commands.empty():
                self._commands.get()()

    def _made_mover(self, native: bool) -> Mover:
        """A native mover where this processor has one, else one in Python."""
        if native:
            try:
                return NativeMover(self._wake, self._worker.fault)
            except DriverError as exc:
                note = f"frames are decided on in Python, about {SLOWER} times fewer a second: {exc.what}"
                return PythonMover(self._wake, self._do, self._worker.fault, note)
        return PythonMover(self._wake, self._do, self._worker.fault)
