"""The drivers: what each can do, and the module that has its functions.

A driver is added by a module that is a `Registration`, and an entry here. Its module is imported when the driver is
asked for something, never sooner.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from dataplane.errors import DriverError
from dataplane.forwarding.devices import How

if TYPE_CHECKING:
    from dataplane.forwarding.driver import Driver, Tables
    from dataplane.forwarding.values import Counters
    from dataplane.kernel.objects import KernelObject

AUTO = "auto"
"""The word for the first driver that can be had."""
FIRST_INTERFACE = 1
"""Index of the interface that a replay's frames arrive on."""


class Holder(Protocol):
    """Another engine of ours that forwards on an interface; its text names it."""

    @property
    def remedy(self) -> str:
        """What gives the interface to another engine without harm."""


class Replayer(Protocol):
    """A driver's decision on frames in memory; they arrive on the interface FIRST_INTERFACE."""

    @property
    def largest(self) -> int:
        """Bytes of the largest frame that it can be tried on."""

    @property
    def tables(self) -> Tables:
        """Where the values are put that it decides by."""

    def decide(self, frame: bytes, now: int) -> tuple[bytes, ...]:
        """The frames that leave because of a frame. now: nanoseconds, its time. Raises DriverError."""

    def counters(self) -> Counters:
        """What became of the frames so far."""

    def close(self) -> None:
        """End."""


class Registration(Protocol):
    """What a driver's module has. instance names an engine among all on this machine; interfaces: index by name; how:
    they are driven."""

    def supported(self) -> DriverError | None:
        """What this machine lacks for the driver, with its remedy; None: nothing."""

    def prepare(self, instance: str, how: How) -> Sequence[str]:
        """Make the host's interfaces that stand for devices. Returns the names of those that were not there. Raises
        DriverError."""

    def unprepare(self, names: Sequence[str]) -> None:
        """Take such interfaces away again."""

    def runs(self, instance: str) -> bool:
        """Whether the driver forwards for an instance already, so that this machine most likely supports it."""

    def occupied(self, instance: str, interfaces: Mapping[str, int], how: How) -> DriverError | None:
        """What keeps the driver from one of these interfaces, with its remedy; None: nothing."""

    def start(
        self, instance: str, state: Path, interfaces: Mapping[str, int], clear: Callable[[], object], how: How
    ) -> Driver:
        """The driver. state: the engine's state directory; clear: ends what other drivers of the instance left, called
        when this one can be had and before it takes frames. Raises DriverError, also where one of the interfaces would
        lose what the driver sends, and where another process is this instance's driver; and what clear raises."""

    def remove(self, instance: str) -> Sequence[KernelObject]:
        """Remove what a driver of this instance left behind. Returns what was there. Raises DriverError where it
        runs."""

    def holder(self, instance: str, interface: int) -> Holder | None:
        """Another engine that forwards on an interface by this driver, if one does. Raises DriverError."""

    def prepare_peer(self, interface: str) -> None:
        """Have the far end of an engine's veth, in the calling thread's namespace, take the frames that the driver
        sends. Raises DriverError."""

    def replayer(self) -> Replayer:
        """The driver's decision on frames in memory. Raises DriverError."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One driver."""

    name: str  # as `--driver` and the status name it
    title: str  # as a sentence names it
    about: str  # what it does, for the help
    outlives_process: bool  # forwards on when its process ends, and the next one takes over
    slower: int  # how many times, beside the fastest driver
    takes_devices: bool  # takes interfaces by devices of DPDK's, too
    completes_offloads: bool  # does what a sender's stack left to its card: checksum and segmentation
    capabilities: tuple[str, ...]  # capabilities(7) it needs beside CAP_NET_ADMIN and CAP_NET_RAW
    load: Callable[[], Registration]  # imports its module


def _xdp() -> Registration:
    from dataplane.drivers.xdp import registration

    return registration


def _dpdk() -> Registration:
    from dataplane.drivers.dpdk import registration

    return registration


def _pcap() -> Registration:
    from dataplane.drivers.pcap import registration

    return registration


DRIVERS = (
    Entry(
        name="xdp",
        title="XDP",
        about="the compiled decision in the kernel",
        outlives_process=True,
        slower=1,
        takes_devices=False,
        completes_offloads=False,
        capabilities=("CAP_BPF", "CAP_PERFMON"),
        load=_xdp,
    ),
    Entry(
        name="dpdk",
        title="DPDK",
        about="the compiled decision in a process of its own (make dpdk), for network cards that DPDK drives well and "
        "the kernel runs no XDP on; elsewhere XDP is faster",
        outlives_process=True,
        slower=6,
        takes_devices=True,
        completes_offloads=False,
        capabilities=("CAP_BPF", "CAP_IPC_LOCK"),
        load=_dpdk,
    ),
    Entry(
        name="pcap",
        title="pcap",
        about="the compiled decision on packet sockets",
        outlives_process=False,
        slower=6,
        takes_devices=False,
        completes_offloads=True,
        capabilities=(),
        load=_pcap,
    ),
)
"""In the order in which they are tried where several will do."""

NAMES = tuple(entry.name for entry in DRIVERS)
CHOICES = (AUTO, *NAMES)


def entry(name: str) -> Entry:
    """A driver by its name. Raises DriverError naming those there are."""
    for each in DRIVERS:
        if each.name == name:
            return each
    raise DriverError(f"no driver {name!r}; there are {', '.join(NAMES)}")


AUTOMATIC, USE, AVOID = 0, 1, 2
"""Values of `se_use_dpdk`, and of `se_dpdk_pmd` (whose drivers DPDK uses: its own or none)."""


class Wanted(NamedTuple):
    """Drivers, in the order in which they are tried."""

    entries: tuple[Entry, ...]
    reason: str = ""  # why one that might be among them is not


def numbered(use: int, pmd: int = AUTOMATIC, *, cards: bool = False) -> Wanted:
    """The drivers that values of `se_use_dpdk` and `se_dpdk_pmd` choose from. cards: the interfaces are given as
    network cards that DPDK is to drive: no driver takes one from the kernel unasked."""
    xdp, dpdk, pcap = map(entry, ("xdp", "dpdk", "pcap"))
    if use == USE:
        if pmd == USE or (pmd == AUTOMATIC and cards):
            return Wanted((dpdk,))
        return Wanted((xdp,))
    if use == AVOID:
        return Wanted((pcap,))
    if pmd == USE:
        return Wanted((dpdk, xdp, pcap)) if cards else Wanted((xdp, pcap), NO_CARD)
    return Wanted((xdp, pcap))


NO_CARD = "DPDK is for network cards, and no interface is given as one (--interface pci:ADDRESS=NAME)"


def candidates(choice: str) -> Wanted:
    """The drivers that one of CHOICES chooses from. Raises DriverError."""
    return numbered(AUTOMATIC) if choice == AUTO else Wanted((entry(choice),))


FALLBACK = DRIVERS[-1]
"""The driver that `auto` takes where no other can be had; its decision is the reference."""


def explained() -> str:
    """All choices in words, for the help of a command line."""
    order = ", else ".join(each.name for each in numbered(AUTOMATIC).entries)
    return "; ".join([f"{AUTO}: {order}", *(f"{each.name}: {each.about}" for each in DRIVERS)])


def capabilities() -> str:
    """The capabilities that the drivers need, in words."""
    more = [f"for {each.title} also {' and '.join(each.capabilities)}" for each in DRIVERS if each.capabilities]
    return "; ".join(["CAP_NET_ADMIN, CAP_NET_RAW", *more])
