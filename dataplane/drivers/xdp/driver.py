"""The XDP driver: the program of dsr.c on the engine's interfaces, its maps and links pinned (`pins`).

What is pinned outlives the process: the kernel forwards on, and the next driver of the same instance adopts it, with a
newer program if it brings one. Pins of another layout are removed, and forwarding begins anew.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dataplane.bpf import bpffs, memory
from dataplane.bpf.bpffs import BPFFS
from dataplane.bpf.libbpf import LITTLE_MEMORY
from dataplane.bpf.maps import Map
from dataplane.bpf.objects import Object
from dataplane.bpf.programs import Program
from dataplane.drivers.maps import layout
from dataplane.drivers.maps.holder import MapHolder
from dataplane.drivers.maps.layout import NAMES, PINNED, RENEWABLE
from dataplane.drivers.maps.tables import MapTables
from dataplane.drivers.xdp import fitness
from dataplane.drivers.xdp.attachment import Attachments
from dataplane.drivers.xdp.keeper import XdpKeeper
from dataplane.drivers.xdp.pins import Pins
from dataplane.drivers.xdp.senders import SenderSamples
from dataplane.drivers.xdp.sending import SendingWatch
from dataplane.drivers.xdp.slowpath import Sender, SlowPath
from dataplane.drivers.xdp.tracing import TracingLinks
from dataplane.errors import DriverError
from dataplane.forwarding.driver import Asked, OffloadingSender, Sending, Trace
from dataplane.forwarding.dropreasons import TX_LOST
from dataplane.forwarding.program import DSR
from dataplane.forwarding.tracking import Flow
from dataplane.forwarding.values import Counters, Interface, Vip
from dataplane.kernel.objects import Owner

if TYPE_CHECKING:
    from dataplane.drivers.xdp.asking import Asking
    from dataplane.forwarding.capture import Capture, Wanted

log = logging.getLogger("avi-se")

OBJECT = DSR
PROGRAM = "dsr"
HOSTS_BPFFS = (
    f"start it with the host's {BPFFS}: nsenter --net=/run/netns/NAME in place of ip netns exec NAME; "
    f"in a container, mount it from the host (-v {BPFFS}:{BPFFS})"
)
SPARE = 16 << 20
"""Bytes that the process needs beside its maps: for loading the program, and for what it is to do then."""
SLOW = "slow"
"""The map by which the program hands frames over."""


def supported() -> DriverError | None:
    """None where this machine can load the program, else what is missing, with its remedy."""
    try:
        bpffs.file_system()
        with Object(OBJECT) as trial:
            for name in NAMES:
                if trial.shape(name).max_entries > 64:
                    trial.resize(name, 64)
            trial.load()
    except DriverError as exc:
        return exc
    return None


class XdpDriver(MapHolder):
    """A Driver in the kernel. instance names the engine among all on this machine; state: its directory, for
    whoever finds its program. Raises DriverError, also where another process is this instance's driver."""

    name = "xdp"
    sees_stripped_tags = False

    def __init__(self, instance: str, state: Path | None = None) -> None:
        self._held = Pins(instance, state)
        try:
            self._begin()
        except BaseException:
            if not self._held.hold_links():
                self._held.remove()
            self._held.close()
            raise

    def _begin(self) -> None:
        self._pins = self._held.root / f"v{layout.LAYOUT}"
        self._program, maps, handed_over = self._load()
        self._maps, self._asked = maps, threading.Lock()
        self._of_program = {**maps, SLOW: handed_over}
        self._asking: Asking | None = None
        self._tables = MapTables(maps)
        self._sender = Sender()
        self._slow = SlowPath(handed_over, self._tables, self._sender)
        self._slow.start()
        self.attachments = Attachments(self._program, self._pins)
        self.attachments.adopt()
        self._keeper = XdpKeeper(self.attachments, self._held, self._pins, {name: maps[name] for name in PINNED})
        self._tracing = TracingLinks()
        self._sending = SendingWatch(self._tracing)
        self._samples, self._unsampled = _samples(self._tracing)

    def try_interfaces(self, interfaces: Mapping[str, int]) -> None:
        """Run the program on interfaces, index by name; until they are put it lets every frame pass. Raises DriverError
        where a new one would lose frames; those that were adopted run on (`sending` tells)."""
        new = {name: index for name, index in interfaces.items() if index not in self.attachments}
        for name, index in new.items():
            self.attachments.attach(name, index)
        for name, index in new.items():
            refused = fitness.unfit(self._sending, name, index, self.attachments.mode(index))
            if refused is not None:
                raise refused

    def put_interface(self, interface: Interface) -> None:
        """Forward frames of this interface. Raises DriverError."""
        self._tables.put_interface(interface)
        if interface.index in self.attachments:
            self.attachments.rename(interface.index, interface.name)
            self.attachments.follow_mtu(interface.index, interface.mtu)
            return
        try:
            self.attachments.attach(interface.name, interface.index)
        except DriverError:
            self._tables.remove_interface(interface.index)
            raise

    def remove_interface(self, index: int) -> None:
        """Leave this interface alone again."""
        self.attachments.detach(index)
        self._tables.remove_interface(index)

    def put_vip(self, vip: Vip) -> None:
        """Add or replace a VIP."""
        self._tables.put_vip(vip)

    def remove_vip(self, address: bytes) -> None:
        """Remove a VIP: its packets are the host's again."""
        self._tables.remove_vip(address)

    def modes(self) -> Mapping[str, str]:
        """ "native" or "generic", by interface name."""
        served = self._tables.interfaces
        return {served[index].name: self.attachments.mode(index) for index in self.attachments if index in served}

    def details(self) -> Mapping[str, object]:
        """None."""
        return {}

    def trace(self, frame: bytes, interface: int, flow: Flow) -> Trace:
        """What the program says. Its first call loads it once more."""
        from dataplane.drivers.xdp.asking import Asking  # late: a start does without

        with self._asked:
            if self._asking is None:
                self._asking = Asking(self._maps)
        return Trace(*self._asking.ask(frame, interface, flow), self._tables.remembered(flow), "the program")

    def capture(self, wanted: Wanted) -> Capture:
        """By a program that takes the other's place. Raises DriverError."""
        from dataplane.drivers.maps.slowcapture import SlowCapture  # late: a start does without
        from dataplane.drivers.xdp.capture import XdpCapture

        running = XdpCapture(wanted, self._of_program, lambda one: self.attachments.update(one or self._program))
        return SlowCapture(wanted, running, self._slow.frames)

    def prune(self) -> None:
        """Drop what was found at the start and not put again."""
        self._tables.prune()
        for index in set(self.attachments) - self._tables.interfaces.keys():
            self.attachments.detach(index)

    def counters_in_pieces(self, asked: Asked | None = None) -> Iterator[Counters]:
        """The counters, with what network drivers lost since this process looks."""
        lost = self._sending.lost()
        for counted in self._tables.counters_in_pieces(asked):
            if lost:
                counted.dropped[TX_LOST] = lost
            yield counted

    def sending(self) -> Mapping[int, Sending]:
        """How the interfaces send, as far as the kernel tells."""
        modes = {index: self.attachments.mode(index) for index in self.attachments}
        return self._sending.look(self._tables.interfaces, modes)

    def offloading_senders(self) -> list[OffloadingSender]:
        """Those that samples found."""
        if self._samples is None:
            return []
        try:
            return self._samples.look(self._tables.interfaces.values(), self._tables.values.vips)
        except DriverError as exc:
            self._unsampled = exc.what
            return []

    def notes(self) -> list[str]:
        """What the kernel does not tell, and what a crash would cost."""
        told = []
        if ends := self.ends_with_process():
            told.append(f"a crash or SIGHUP ends forwarding: {ends}; {HOSTS_BPFFS}")
        if unseen := self._sending.unseen:
            told.append(f"losses of network drivers after the program's verdict are not seen: {unseen}")
        if self._unsampled:
            told.append(f"senders that leave checksums and VLAN tags to their cards are not found: {self._unsampled}")
        return told

    def ends_with_process(self) -> str:
        """Why what is pinned does not outlive the process."""
        return f"{BPFFS} is of this mount namespace alone, and so are the pins" if bpffs.is_private() else ""

    def faults(self) -> list[str]:
        """Unexpected errors of the slow path. Raises DriverError when its thread has ended."""
        return self._slow.faults()

    def kept(self, wake: Callable[[], None]) -> Sequence[Owner]:
        """The links and the pins; what is at tracepoints."""
        return (self._keeper, self._tracing)

    def close(self, *, keep: bool) -> None:
        """End. keep: the kernel forwards on; else program, links, maps and pins go."""
        if not keep:
            for index in self.attachments:
                self.attachments.detach(index)
            self._held.remove()
        self.attachments.close()
        self._sending.close()
        if self._samples is not None:
            self._samples.close()
        self._slow.close()
        self._sender.close()
        if self._asking is not None:
            self._asking.close()
        self._tables.close()
        self._program.close()
        self._held.close()

    def _load(self) -> tuple[Program, dict[str, Map], Map]:
        """The program, with the maps that are pinned, or with new ones that are pinned now; and the map by which it
        hands frames over."""
        with Object(OBJECT) as loaded:
            found = self._pinned_maps(loaded)
            if found is None:
                self._held.clear()
                _check_memory(loaded.memory())
                self._pins.mkdir(mode=0o700)
            for name, one in (found or {}).items():
                loaded.reuse(name, one)
                one.close()
            loaded.load()
            maps = {name: loaded.map(name) for name in NAMES}
            for name in PINNED:
                if name not in (found or {}):
                    (self._pins / name).unlink(missing_ok=True)
                    maps[name].pin(self._pins / name)
            return loaded.program(PROGRAM), maps, loaded.map(SLOW)

    def _pinned_maps(self, loaded: Object) -> dict[str, Map] | None:
        """The maps of a former run, or None when those that are needed are not all there in the right shapes."""
        if not self._pins.is_dir():
            return None
        found: dict[str, Map] = {}
        try:
            for name in PINNED:
                if name in RENEWABLE and not (self._pins / name).exists():
                    continue
                found[name] = Map.pinned(self._pins / name)
                if found[name].shape == loaded.shape(name):
                    continue
                if name not in RENEWABLE:
                    raise DriverError(f"{name} has another shape")
                found.pop(name).close()
        except DriverError as exc:
            log.warning("what was left in %s cannot be adopted: %s", self._pins, exc)
            for one in found.values():
                one.close()
            return None
        return found


def _check_memory(needed: int) -> None:
    """Raises DriverError where this process's control groups leave no room for maps of so many bytes and itself."""
    room = memory.room()
    if room is not None and room < needed + SPARE:
        what = f"XDP's maps take {needed >> 20} MiB, and the engine {SPARE >> 20} beside them"
        raise DriverError(f"{what}: its control group allows {max(room, 0) >> 20} more", remedy=LITTLE_MEMORY)


def _samples(tracing: TracingLinks) -> tuple[SenderSamples | None, str]:
    """What looks for senders that leave checksums to their cards, or why nothing does."""
    try:
        return SenderSamples(tracing), ""
    except DriverError as exc:
        return None, exc.what.partition("\n")[0]
