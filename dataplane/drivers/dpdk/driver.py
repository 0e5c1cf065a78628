"""The DPDK driver: maps in files, which this process writes and the forwarder reads, and the forwarder's ports.

The forwarder outlives this process: it forwards on, and the next driver of the same instance takes it over. Maps of
another layout, and a forwarder of other sources, are not taken over; forwarding begins anew.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from dataplane.drivers.dpdk import ports, twin
from dataplane.drivers.dpdk.folder import Folder
from dataplane.drivers.dpdk.process import Forwarder
from dataplane.drivers.dpdk.program import Options
from dataplane.drivers.dpdk.steering import Steering
from dataplane.drivers.maps import layout
from dataplane.drivers.maps.holder import MapHolder
from dataplane.drivers.maps.ringcapture import RingCapture
from dataplane.drivers.maps.slowcapture import SlowCapture
from dataplane.drivers.maps.slowframes import SlowFrames
from dataplane.drivers.maps.tables import MapTables
from dataplane.drivers.pcap import hostguard
from dataplane.drivers.pcap.hostguard import HostGuard
from dataplane.drivers.xdp import pins
from dataplane.drivers.xdp.pins import Pins
from dataplane.drivers.xdp.slowpath import Sender
from dataplane.errors import DriverError
from dataplane.forwarding import decision
from dataplane.forwarding.capture import Capture, Wanted
from dataplane.forwarding.devices import AF_PACKET, AF_XDP, PCI, Device
from dataplane.forwarding.driver import RECENT, Asked, OffloadingSender, Sending, Trace
from dataplane.forwarding.dropreasons import OVERRUN
from dataplane.forwarding.tracking import Flow
from dataplane.forwarding.values import Counters, Interface, Vip
from dataplane.kernel.objects import Owner
from dataplane.native.decision.maps import SharedMaps

MOST = 16
"""Threads that move frames, and queues of an interface (MAX_LOOPS, MAX_QUEUES of forwarder.h)."""


class DpdkDriver(MapHolder):
    """A Driver in a process of its own. instance names the engine among all on this machine; state: its directory;
    devices: by interface; workers: 0 for one; queues: of an interface. Raises DriverError, also where another process
    is this instance's driver."""

    name = "dpdk"
    sees_stripped_tags = False

    def __init__(
        self, instance: str, state: Path | None, devices: Mapping[str, Device], workers: int = 0, queues: int = 1
    ) -> None:
        if max(workers, queues) > MOST:
            raise DriverError(f"{workers} threads and {queues} queues are wanted, expected at most {MOST} of each")
        ports.check(devices.values())
        self._devices, self._queues = dict(devices), max(1, queues)
        self._of_index: dict[int, Device] = {}
        mtus = [ports.mtu(device.where) for device in devices.values() if device.kind != PCI]
        cards = [device.where for device in devices.values() if device.kind == PCI]
        self._options = Options(instance, max(1, workers), frame=ports.frame_for(mtus), cards=cards)
        self._folder = Folder(instance)
        self._closing: list[Callable[[], object]] = [self._folder.close]
        try:
            self._begin(instance, state)
        except BaseException:
            for close in reversed(self._closing):
                close()
            raise

    def _begin(self, instance: str, state: Path | None) -> None:
        self._folder.make()
        self._maps = self._opened()
        self._closing.append(self._maps.close)
        self._tables = MapTables(self._maps)
        self._closing.append(self._tables.close)
        kinds = {device.kind for device in self._devices.values() if not device.whole}
        found = self._tables.interfaces if kinds else {}
        _remove_other_kinds(instance, kinds)
        self._steering = Steering(Pins(pins.steering(instance), state)) if AF_XDP in kinds else None
        if self._steering is not None:
            self._closing.append(partial(self._steering.close, keep=True))
        self._guard = _guard(instance, found.values(), self._tables.values.vips) if AF_PACKET in kinds else None
        if self._guard is not None:
            self._closing.append(partial(self._guard.close, keep=True))
        self._sender = Sender()
        self._closing.append(self._sender.close)
        self._slow = SlowFrames(self._tables, self._sender)
        self._faults: list[str] = []
        self._failed: dict[int, deque[tuple[float, int]]] = {}
        self.forwarder = Forwarder(
            self._folder.maps, self._options, self._take_slow, self._link, self._maps.workers_ended
        )

    def _opened(self) -> SharedMaps:
        """The maps that are there, or new ones where those cannot be adopted. Raises DriverError."""
        try:
            return SharedMaps(self._folder.maps, workers=self._options.workers)
        except DriverError:
            self._folder.clear()
            self._folder.make()
            return SharedMaps(self._folder.maps, workers=self._options.workers)

    def put_interface(self, interface: Interface) -> None:
        """Forward frames of this interface. Raises DriverError."""
        self._tables.put_interface(interface)
        try:
            self._put_port(interface, self._device(interface))
        except DriverError:
            self._tables.remove_interface(interface.index)
            raise

    def remove_interface(self, index: int) -> None:
        """Leave this interface alone again."""
        self._of_index.pop(index, None)
        self.forwarder.remove(index)
        if self._steering is not None:
            self._steering.remove_interface(index)
        if self._guard is not None:
            self._guard.remove_interface(index)
        self._tables.remove_interface(index)

    def put_vip(self, vip: Vip) -> None:
        """Add or replace a VIP. Raises DriverError."""
        self._tables.put_vip(vip)
        if self._steering is not None:
            self._steering.put_vip(vip)
        if self._guard is not None:
            self._guard.put_vips(self._tables.values.vips)

    def remove_vip(self, address: bytes) -> None:
        """Remove a VIP: its packets are the host's again."""
        if self._steering is not None:
            self._steering.remove_vip(address)
        self._tables.remove_vip(address)
        if self._guard is not None:
            self._guard.put_vips(self._tables.values.vips)

    def modes(self) -> Mapping[str, str]:
        """DPDK's driver of every interface."""
        told = self.forwarder.ports()
        fault = f" ({self._guard.fault})" if self._guard is not None and self._guard.fault else ""
        return {
            interface.name: str(told[index].get("pmd") or "starting") + fault if index in told else "no port"
            for index, interface in self._tables.interfaces.items()
        }

    def details(self) -> Mapping[str, Any]:
        """The forwarder, and what it could not take or send."""
        counted, hello = self.forwarder.statistics(), self.forwarder.hello
        return {
            "process": self.forwarder.process,
            "workers": hello["workers"],
            "huge pages": bool(hello["huge"]),
            "missed": sum(port["missed"] for port in counted["ports"]) + counted["unsuitable"],
            "failed": sum(port["failed"] for port in counted["ports"]),
            "not handed on to the host": counted["limited"],
            "restarts": self.forwarder.restarts,
        }

    def trace(self, frame: bytes, interface: int, flow: Flow) -> Trace:
        """What the reference says of the values and of what is remembered."""
        known, values = self._tables.remembered(flow), self._tables.values
        verdict = decision.trial(frame, values.interfaces[interface], values, flow, known, time.monotonic_ns())
        return Trace(verdict.action, verdict.reason, verdict.frames, known, "the reference")

    def capture(self, wanted: Wanted) -> Capture:
        """By the forwarder, through the maps. Raises DriverError."""
        return SlowCapture(wanted, RingCapture(wanted, self._maps), self._slow)

    def prune(self) -> None:
        """Drop what was adopted and not put again."""
        self._tables.prune()
        if self._steering is not None:
            self._steering.keep_vips(list(self._tables.values.vips))
        for index in self.forwarder.ports().keys() - self._tables.interfaces.keys():
            self.forwarder.remove(index)

    def counters_in_pieces(self, asked: Asked | None = None) -> Iterator[Counters]:
        """The counters, with the frames that came while there was no room for them."""
        statistics = self.forwarder.statistics()
        lost = sum(port["missed"] for port in statistics["ports"]) + statistics["unsuitable"]
        for counted in self._tables.counters_in_pieces(asked):
            if lost:
                counted.dropped[OVERRUN] = lost
            yield counted

    def sending(self) -> Mapping[int, Sending]:
        """What ports did not take."""
        now, found = time.monotonic(), {}
        for port in self.forwarder.statistics()["ports"]:
            if not port["to_host"]:
                seen = self._failed.setdefault(port["index"], deque())
                seen.append((now, port["failed"]))
                while seen[0][0] < now - RECENT:
                    seen.popleft()
                found[port["index"]] = Sending(port["failed"], max(0, port["failed"] - seen[0][1]))
        return found

    def offloading_senders(self) -> list[OffloadingSender]:
        """Empty: DPDK tells of none."""
        return []

    def notes(self) -> list[str]:
        """None."""
        return []

    def ends_with_process(self) -> str:
        """The forwarder forwards on."""
        return ""

    def faults(self) -> list[str]:
        """What the forwarder and the slow path met. Raises DriverError when there is no forwarder any more."""
        told, self._faults = self._faults, []
        return told + self.forwarder.faults()

    def kept(self, wake: Callable[[], None]) -> Sequence[Owner]:
        """The steering program's links and pins, and the table that keeps the host off VIPs."""
        owners: list[Owner] = []
        if self._steering is not None:
            owners.append(self._steering.owner())
        if self._guard is not None:
            self._guard.wake = wake
            owners.append(self._guard)
        return owners

    def close(self, *, keep: bool) -> None:
        """End. keep: the forwarder goes on; else it ends, and interfaces are as they were."""
        twins = [name for name, device in self._devices.items() if device.whole]
        self.forwarder.close(keep=keep)
        if self._steering is not None:
            self._steering.close(keep=keep)
        if self._guard is not None:
            self._guard.close(keep=keep)
        for name in twins if not keep else ():
            twin.remove(name)
        self._sender.close()
        self._tables.close()
        self._maps.close()
        if not keep:
            self._folder.remove()
        self._folder.close()

    def _device(self, interface: Interface) -> Device:
        """The device of an interface. An interface is known by its index: a renamed one keeps its device."""
        known = self._of_index.get(interface.index) or self._devices.get(interface.name)
        known = known or Device(AF_XDP, interface.name, interface.name)
        if not known.whole:
            known = replace(known, where=interface.name, name=interface.name)
        self._of_index[interface.index] = known
        return known

    def _put_port(self, interface: Interface, device: Device) -> None:
        port = ports.port(interface, device, self._queues, self._options.frame)
        if device.whole:
            told = self.forwarder.add(port)
            twin.set_mac(interface.name, told.get("mac", interface.mac.hex(":")))
            return
        if device.kind == AF_XDP and self._steering is not None:
            place = self._steering.put_interface(interface)
            port = replace(port, xsks=str(self._steering.sockets), first=place)
        elif self._steering is not None:  # a former run's: without a socket it would drop what is for VIPs
            self._steering.remove_interface(interface.index)
        if device.kind == AF_PACKET and self._guard is not None:
            self._guard.put_interface(interface)
        self.forwarder.add(port)

    def _link(self, index: int, up: bool) -> None:
        """A device's link changed: the host's veth follows."""
        device = self._of_index.get(index)
        if device is not None and device.whole:
            twin.set_link(device.name, up=up)

    def _take_slow(self, sample: bytes) -> None:
        try:
            self._slow.forward(layout.read_slow(sample))
        except Exception as exc:  # the others are forwarded
            self._faults.append(f"a frame was not cut up for its tunnel: {exc!r}")


def _remove_other_kinds(instance: str, kinds: Collection[str]) -> None:
    """End what a former run kept for sockets of kinds that this one has none of: its steering drops what is for VIPs
    where no socket takes it. Raises DriverError."""
    if AF_XDP not in kinds:
        pins.remove(pins.steering(instance))
    if AF_PACKET not in kinds:
        with suppress(DriverError):  # without nftables there is no table
            hostguard.remove(pins.steering(instance))


def _guard(instance: str, found: Iterable[Interface], vips: Collection[bytes]) -> HostGuard:
    """Keeps the host off VIPs; what a former engine left goes on doing so meanwhile. Raises DriverError."""
    named = []
    for interface in found:
        with suppress(OSError):
            named.append(replace(interface, name=socket.if_indextoname(interface.index)))
    return HostGuard(pins.steering(instance), named, vips)
