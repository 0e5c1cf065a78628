"""XDP programs on interfaces: the links of a driver's program, their modes and pins, and programs that others attached.

One interface has one XDP program. Somebody else's is named and left alone.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from dataplane.bpf import links, programs
from dataplane.bpf.links import Attached, Link
from dataplane.bpf.programs import Program
from dataplane.drivers.xdp import pins
from dataplane.drivers.xdp.pins import LINK, Holder
from dataplane.errors import DriverError, command
from dataplane.network import ethtool, xdpfeatures

log = logging.getLogger("avi-se")

NATIVE, GENERIC = "native", "generic"
_FLAGS = {NATIVE: links.XDP_FLAGS_DRV_MODE, GENERIC: links.XDP_FLAGS_SKB_MODE}
_OFF = {NATIVE: "xdp", GENERIC: "xdpgeneric", "offloaded": "xdpoffload"}
"""What ip-link(8) calls the modes."""
_NO_NATIVE = (errno.EOPNOTSUPP, errno.EINVAL, errno.ERANGE, errno.ENOMEM, errno.ENOSPC, errno.E2BIG)
"""What network drivers answer when they cannot run XDP themselves: at all, with this MTU, with these offloads, with
these queues."""

_ONE_PIECE = 3506
"""The largest MTU whose frames a page holds, beside the room in front and what the kernel keeps behind."""
_VLAN = "802.1Q VLAN Support"


class Attachments:
    """The links that attach one program to interfaces, by interface index. folder: where they are pinned."""

    def __init__(self, program: Program, folder: Path) -> None:
        self._program, self._folder = program, folder
        self._links: dict[int, Link] = {}
        self._modes: dict[int, str] = {}
        self._names: dict[int, str] = {}

    def __iter__(self) -> Iterator[int]:
        """The indices of the interfaces that run the program."""
        return iter(list(self._links))

    def __contains__(self, index: int) -> bool:
        return index in self._links

    def mode(self, index: int) -> str:
        """How an attached interface runs the program: "native" or "generic"."""
        return self._modes[index]

    def name(self, index: int) -> str:
        """An attached interface's name as it was told last."""
        return self._names[index]

    def rename(self, index: int, name: str) -> None:
        """An attached interface has this name now."""
        self._names[index] = name

    def path(self, index: int) -> Path:
        """Where the link of an attached interface is pinned."""
        return self._folder / f"{LINK}{index}"

    def is_intact(self, index: int) -> bool:
        """Whether an attached interface runs the program, as far as it is there."""
        link = self._links[index]
        try:
            return link.interface == index and link.program_id == self._program.id or not _exists(index)
        except DriverError:
            return False

    def mend(self, index: int) -> None:
        """Have an interface run the program again, in its mode, where somebody else detached or replaced it. Raises
        DriverError."""
        if self._links[index].interface == index:
            self._links[index].update(self._program)
            return
        name, mode = self._names[index], self._modes[index]
        there = links.attached(index)
        if there is not None:
            raise _occupied(name, index, there)
        try:
            link = Link.create(self._program, index, _FLAGS[mode])
        except OSError as exc:
            raise _refused(name, exc) from exc
        self._links[index].close()
        self._links[index] = link
        with suppress(OSError, DriverError):  # a pin that is missing then is looked for by itself
            self.path(index).unlink(missing_ok=True)
            link.pin(self.path(index))

    def pin(self, path: Path) -> None:
        """Pin the link again whose pin this was. Raises DriverError."""
        for index, link in self._links.items():
            if self.path(index) == path:
                link.pin(path)

    def adopt(self) -> None:
        """Take over the links that a former run pinned; where they run another program, this one replaces it."""
        for path in pins.links(self._folder):
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
            self._names[index] = _name(index)
            self._modes[index] = (links.attached(index) or Attached(0, NATIVE)).mode

    def attach(self, name: str, index: int) -> None:
        """Run the program on an interface: native where its network driver can. Raises DriverError.

        Native XDP cannot send to an interface that has none: all become generic with the first that is.
        """
        there = links.attached(index)
        if there is not None:
            raise _occupied(name, index, there)
        self._names[index] = name
        if GENERIC not in self._modes.values():
            try:
                self._link(index, NATIVE)
                if not _loses_pieces(name, index, ethtool.mtu(name)):
                    return
                self.detach(index)
            except OSError as exc:
                if exc.errno not in _NO_NATIVE:
                    raise _refused(name, exc) from exc
                log.info("%s has no native XDP (%s): generic", name, exc.strerror)
        try:
            self._link(index, GENERIC)
        except OSError as exc:
            raise _refused(name, exc) from exc
        self._make_generic()

    def follow_mtu(self, index: int, mtu: int) -> None:
        """An attached interface has this MTU now: all become generic where a native program would lose its largest
        frames. Raises DriverError."""
        if self._modes[index] == NATIVE and _loses_pieces(self._names[index], index, mtu):
            self._make_generic()

    def detach(self, index: int) -> None:
        """End the program on an interface, if it runs there."""
        link = self._links.pop(index, None)
        if link is None:
            return
        with suppress(DriverError):  # the interface is gone
            link.detach()
        with suppress(FileNotFoundError):
            self.path(index).unlink()
        link.close()
        self._modes.pop(index, None)

    def update(self, program: Program) -> None:
        """Have every interface run another program of the same maps from now on. Raises DriverError."""
        self._program = program
        for link in list(self._links.values()):  # interfaces may come and go meanwhile
            if link.interface:
                link.update(program)

    def close(self) -> None:
        """Let go of the links: those that are still pinned stay."""
        for link in self._links.values():
            link.close()
        self._links.clear()

    def _make_generic(self) -> None:
        """Raises DriverError."""
        for index, mode in list(self._modes.items()):
            if mode == NATIVE:
                self.detach(index)
                try:
                    self._link(index, GENERIC)
                except OSError as exc:
                    raise _refused(self._names[index], exc) from exc

    def _link(self, index: int, mode: str) -> None:
        """Raises OSError with the kernel's reason."""
        link = Link.create(self._program, index, _FLAGS[mode])
        path = self.path(index)
        with suppress(FileNotFoundError):
            path.unlink()
        link.pin(path)
        self._links[index], self._modes[index] = link, mode


def attach_pass(interface: str) -> None:
    """Have an interface of the calling thread's namespace pass every frame through XDP.

    A veth takes frames that its peer's XDP program sends (XDP_TX, redirect) only while it has a program itself. It
    stays until the interface is gone. Raises DriverError.
    """
    try:
        index = socket.if_nametoindex(interface)
    except OSError as exc:
        raise DriverError(f"no interface {interface!r}") from exc
    if links.attached(index) is None:
        with programs.pass_program() as program:
            links.attach(program, index, links.XDP_FLAGS_DRV_MODE)


def occupied(instance: str, interfaces: Mapping[str, int]) -> DriverError | None:
    """The error for the first of these interfaces (index by name) that is a VLAN's, or that has an XDP program not of
    this instance; None: there is none."""
    for name in interfaces:
        if ethtool.network_driver(name) == _VLAN:
            return DriverError(
                f"{name} is a VLAN interface: network cards run XDP on the interface under it alone, and generic XDP "
                "drops what is not cut yet (segmentation offload, GRO)",
                remedy="--driver pcap, or --interface with one to which this VLAN comes without tags",
            )
    own = pins.own_programs(instance)
    for name, index in interfaces.items():
        there = links.attached(index)
        if there is not None and there.program not in own:
            return _occupied(name, index, there)
    return None


def holder(instance: str, index: int) -> Holder | None:
    """The other engine of ours that forwards on an interface, if one does."""
    there = links.attached(index)
    if there is None or there.program in pins.own_programs(instance):
        return None
    return pins.holder(there.program)


def _loses_pieces(name: str, index: int, mtu: int) -> bool:
    """Whether frames as large as an interface's MTU come in several pieces, and a native program could not send such:
    Linux before 6.3 redirects none, and tells nothing of an interface; later it is the network driver's matter."""
    if mtu <= _ONE_PIECE:
        return False
    told = xdpfeatures.told(index)
    if told is not None and told & (xdpfeatures.SENDS | xdpfeatures.SENDS_PIECES) != xdpfeatures.SENDS:
        return False
    log.info("%s cannot send frames as large as its MTU from native XDP: generic", name)
    return True


def _name(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return f"interface {index}"


def _exists(index: int) -> bool:
    try:
        return bool(socket.if_indextoname(index))
    except OSError:
        return False


def _occupied(name: str, index: int, there: Attached) -> DriverError:
    engine = pins.holder(there.program)
    if engine is not None:
        return DriverError(f"interface {name} is held by {engine} ({there.mode} XDP)", remedy=engine.remedy)
    try:
        with Program.by_id(there.program) as program:
            what = f"{program.name!r}, id {there.program}"
    except DriverError:
        what = f"id {there.program}"
    link = Link.of(there.program, index)  # what a link holds, only that lets go
    if link is None:
        off = command("ip link set dev {} {} off", name, _OFF[there.mode])
    else:
        off = command("bpftool link detach id {}", link)
    return DriverError(
        f"interface {name} has an XDP program already ({what}, {there.mode}): it is left alone", remedy=off
    )


def _refused(name: str, exc: OSError) -> DriverError:
    return DriverError(f"no XDP program can be attached to interface {name}: {exc.strerror}")
