"""The XDP driver: the program of dsr.c on the engine's interfaces, its maps and links pinned (`xdppins`).

What is pinned outlives the process: the kernel forwards on, and the next driver of the same instance adopts it, with a
newer program if it brings one. Pins of another layout are removed, and forwarding begins anew.
"""

from __future__ import annotations

import errno
import logging
import socket
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from dataplane.bpf import objects as bpf
from dataplane.bpf.objects import Link, Map, Object, Program
from dataplane.drivers.maps import layout as xdplayout
from dataplane.drivers.maps.tables import NAMES, KernelTables
from dataplane.drivers.xdp import pins as xdppins
from dataplane.drivers.xdp.pins import LINK, Holder, Pins
from dataplane.drivers.xdp.slowpath import Sender, SlowPath
from dataplane.errors import DriverError
from dataplane.forwarding.program import DSR
from dataplane.forwarding.values import Counters, Interface, Lingering, Pool, Service, ServiceKey, Vip

log = logging.getLogger("avi-se")

OBJECT = DSR
PROGRAM = "dsr"
SLOW = "slow"
"""The map by which the program hands frames over."""

_FLAGS = {"native": bpf.XDP_FLAGS_DRV_MODE, "generic": bpf.XDP_FLAGS_SKB_MODE}
_NO_NATIVE = (errno.EOPNOTSUPP, errno.EINVAL, errno.ERANGE, errno.ENOMEM, errno.ENOSPC, errno.E2BIG)
"""What network drivers answer when they cannot run XDP themselves: at all, with this MTU, with these offloads, with
these queues."""


def supported() -> DriverError | None:
    """None where this machine can load the program, else what is missing, with its remedy."""
    try:
        bpf.file_system()
        with Object(OBJECT) as trial:
            for name in NAMES:
                if trial.shape(name).max_entries > 64:
                    trial.resize(name, 64)
            trial.load()
    except DriverError as exc:
        return exc
    return None


def runs(instance: str) -> bool:
    """Whether this machine runs a program of this layout for an instance, so that it can most likely load it."""
    try:
        return any(xdppins.links(xdppins.root(instance) / f"v{xdplayout.LAYOUT}"))
    except DriverError:
        return False


def attach_pass(interface: str) -> None:
    """Have an interface of the calling thread's namespace pass every frame through XDP.

    A veth takes frames that its peer's XDP program sends (XDP_TX, redirect) only while it has a program itself. It
    stays until the interface is gone. Raises DriverError.
    """
    index = _index(interface)
    if bpf.attached(index) is not None:
        return
    with bpf.pass_program() as program:
        bpf.attach(program, index, bpf.XDP_FLAGS_DRV_MODE)


def occupied(instance: str, interfaces: Mapping[str, int]) -> DriverError | None:
    """What refuses the first of these interfaces (index by name) that has an XDP program not of this instance."""
    own = xdppins.own_programs(instance)
    for name, index in interfaces.items():
        there = bpf.attached(index)
        if there is not None and there.program not in own:
            return _occupied(name, index, there)
    return None


def holder(instance: str, index: int) -> Holder | None:
    """The other engine of ours that forwards on an interface, if one does."""
    there = bpf.attached(index)
    if there is None or there.program in xdppins.own_programs(instance):
        return None
    return xdppins.holder(there.program)


class XdpDriver:
    """A forwarding.Driver in the kernel. instance names the engine among all on this machine; state: its directory, for
    whoever finds its program. Raises DriverError, also where another process is this instance's driver."""

    name = "xdp"

    def __init__(self, instance: str, state: Path | None = None) -> None:
        self._held = Pins(instance, state)
        try:
            self._begin()
        except BaseException:
            self._held.close()
            raise

    def _begin(self) -> None:
        self._pins = self._held.root / f"v{xdplayout.LAYOUT}"
        self._links: dict[int, Link] = {}
        self._modes: dict[int, str] = {}
        self._program, maps, handed_over = self._load()
        self._tables = KernelTables(maps)
        self._sender = Sender()
        self._slow = SlowPath(handed_over, self._tables, self._sender)
        self._slow.start()
        self._adopt_links()

    def put_interface(self, interface: Interface) -> None:
        """Forward frames of this interface. Raises DriverError."""
        self._tables.put_interface(interface)
        if interface.index in self._links:
            return
        try:
            self._attach(interface)
        except DriverError:
            self._tables.remove_interface(interface.index)
            raise

    def remove_interface(self, index: int) -> None:
        """Leave this interface alone again."""
        self._detach(index)
        self._tables.remove_interface(index)

    def put_addresses(self, addresses: frozenset[bytes]) -> None:
        """The engines' own addresses."""
        self._tables.put_addresses(addresses)

    def put_pool(self, pool: Pool) -> None:
        """Add or replace a pool, at once for every frame. Raises DriverError."""
        self._tables.put_pool(pool)

    def put_pools(self, pools: Iterable[Pool]) -> list[Pool]:
        """Add or replace several pools; tables of stable slots are kept in the kernel alone. Raises DriverError."""
        return self._tables.put_pools(pools)

    def remove_pool(self, uuid: str) -> None:
        """Remove a pool and its servers' counters."""
        self._tables.remove_pool(uuid)

    def put_service(self, service: Service) -> None:
        """Add or replace a service. Raises DriverError."""
        self._tables.put_service(service)

    def remove_service(self, key: ServiceKey) -> None:
        """Remove a service and its counters."""
        self._tables.remove_service(key)

    def put_vip(self, vip: Vip) -> None:
        """Add or replace a VIP."""
        self._tables.put_vip(vip)

    def remove_vip(self, address: bytes) -> None:
        """Remove a VIP: its packets are the host's again."""
        self._tables.remove_vip(address)

    def modes(self) -> Mapping[str, str]:
        """ "native" or "generic", by interface name."""
        return {i.name: self._modes[index] for index, i in self._tables.interfaces.items() if index in self._links}

    def adopted(self) -> Mapping[str, Pool]:
        """The pools that the kernel was found to forward by."""
        return self._tables.found

    def lingering(self, pools: Collection[str]) -> Lingering:
        """The flows that live in `elder`."""
        return self._tables.lingering(pools, time.monotonic_ns())

    def prune(self) -> None:
        """Drop what was found at the start and not put again."""
        self._tables.prune()
        for index in self._links.keys() - self._tables.interfaces.keys():
            self._detach(index)

    def counters(self) -> Counters:
        """A snapshot of the counters."""
        return self._tables.counters()

    def faults(self) -> list[str]:
        """What the slow path went round. Raises DriverError when its thread has ended."""
        return self._slow.faults()

    def close(self, *, keep: bool) -> None:
        """End. keep: the kernel forwards on; else program, links, maps and pins go."""
        if not keep:
            for index in list(self._links):
                self._detach(index)
            self._held.remove()
        for link in self._links.values():
            link.close()
        self._links.clear()
        self._slow.close()
        self._sender.close()
        self._tables.close()
        self._program.close()
        self._held.close()

    def _load(self) -> tuple[Program, dict[str, Map], Map]:
        """The program, with the maps that are pinned, or with new ones that are pinned now; and its way to user
        space."""
        with Object(OBJECT) as loaded:
            found = self._pinned_maps(loaded)
            if found is None:
                self._held.clear()
                self._pins.mkdir(mode=0o700)
            for name, one in (found or {}).items():
                loaded.reuse(name, one)
                one.close()
            loaded.load()
            maps = {name: loaded.map(name) for name in NAMES}
            if found is None:
                for name, one in maps.items():
                    one.pin(self._pins / name)
            return loaded.program(PROGRAM), maps, loaded.map(SLOW)

    def _pinned_maps(self, loaded: Object) -> dict[str, Map] | None:
        """All the maps of a former run, or None when they are not all there in the shapes that are needed."""
        if not self._pins.is_dir():
            return None
        found: dict[str, Map] = {}
        try:
            for name in NAMES:
                found[name] = Map.pinned(self._pins / name)
                if found[name].shape != loaded.shape(name):
                    raise DriverError(f"{name} has another shape")
        except DriverError as exc:
            log.warning("what was left in %s cannot be adopted: %s", self._pins, exc)
            for one in found.values():
                one.close()
            return None
        return found

    def _adopt_links(self) -> None:
        """Take over the links of a former run, with this program where it is another one."""
        for path in xdppins.links(self._pins):
            link = Link.pinned(path)
            index = link.interface
            if str(index) != path.name.removeprefix(LINK):  # the interface is gone: 0
                link.close()
                path.unlink()
                continue
            with Program.by_id(link.program_id) as running:
                if running.tag != self._program.tag:
                    log.info("interface %d: a newer program takes over from %s", index, running.tag)
                link.update(self._program)
            self._links[index] = link
            self._modes[index] = (bpf.attached(index) or bpf.Attached(0, "native")).mode

    def _attach(self, interface: Interface) -> None:
        there = bpf.attached(interface.index)
        if there is not None:
            raise _occupied(interface.name, interface.index, there)
        mode = "generic" if "generic" in self._modes.values() else "native"
        if mode == "native":
            try:
                self._link(interface, mode)
                return
            except OSError as exc:
                if exc.errno not in _NO_NATIVE:
                    raise _refused(interface.name, exc) from exc
                log.info("%s has no native XDP (%s): generic", interface.name, exc.strerror)
        self._link_generic(interface)

    def _link_generic(self, interface: Interface) -> None:
        """Native XDP cannot send to an interface that has none: all become generic with the first that is."""
        try:
            self._link(interface, "generic")
        except OSError as exc:
            raise _refused(interface.name, exc) from exc
        for index, mode in list(self._modes.items()):
            if mode == "native":
                self._detach(index)
                self._link(self._tables.interfaces[index], "generic")

    def _link(self, interface: Interface, mode: str) -> None:
        """Raises OSError with the kernel's reason."""
        link = Link.create(self._program, interface.index, _FLAGS[mode])
        path = self._pins / f"{LINK}{interface.index}"
        with suppress(FileNotFoundError):
            path.unlink()
        link.pin(path)
        self._links[interface.index], self._modes[interface.index] = link, mode

    def _detach(self, index: int) -> None:
        link = self._links.pop(index, None)
        if link is None:
            return
        with suppress(DriverError):  # the interface is gone
            link.detach()
        with suppress(FileNotFoundError):
            (self._pins / f"{LINK}{index}").unlink()
        link.close()
        self._modes.pop(index, None)


_OFF = {"native": "xdp", "generic": "xdpgeneric", "offloaded": "xdpoffload"}
"""What ip-link(8) calls the modes."""


def _occupied(name: str, index: int, there: bpf.Attached) -> DriverError:
    engine = xdppins.holder(there.program)
    if engine is not None:
        return DriverError(f"interface {name} is held by {engine} ({there.mode} XDP)", remedy=engine.remedy)
    try:
        with Program.by_id(there.program) as program:
            what = f"{program.name!r}, id {there.program}"
    except DriverError:
        what = f"id {there.program}"
    link = Link.of(there.program, index)  # what a link holds, only that lets go
    off = f"ip link set dev {name} {_OFF[there.mode]} off" if link is None else f"bpftool link detach id {link}"
    return DriverError(
        f"interface {name} has an XDP program already ({what}, {there.mode}): it is left alone", remedy=off
    )


def _refused(name: str, exc: OSError) -> DriverError:
    return DriverError(f"no XDP program can be attached to interface {name}: {exc.strerror}")


def _index(interface: str) -> int:
    try:
        return socket.if_nametoindex(interface)
    except OSError as exc:
        raise DriverError(f"no interface {interface!r}") from exc
