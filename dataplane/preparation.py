"""What a pool member needs for DSR, and what of it is missing: pure functions.

Layer 2, after the document's "Configuring Server": the VIP on the loopback, silent for ARP, and kernel settings that
let the member take a packet for it and answer from it. What is wrong is a `Problem`; what mends it, a `Fix`, is data:
`check` prints it, `apply` does it and `undo` takes it back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from . import sysctl

LOOPBACK = "lo"

ARP_SILENT = frozenset({"1", "2", "8"})
"""Values of arp_ignore with which an address of `lo` is not answered for on another interface (ip-sysctl)."""


@dataclass(frozen=True, slots=True)
class SetAddress:
    """Put a VIP on the loopback, for itself alone: a wider prefix would make the whole network local."""

    vip: str

    @property
    def command(self) -> str:
        """The same as a command."""
        return f"ip addr add {self.vip}/32 dev {LOOPBACK}"


@dataclass(frozen=True, slots=True)
class SetKernel:
    """Set a kernel setting."""

    key: str
    value: str

    @property
    def command(self) -> str:
        """The same as a command."""
        return f"sysctl -w {self.key}={self.value}"


@dataclass(frozen=True, slots=True)
class SetUp:
    """Switch the loopback on."""

    @property
    def command(self) -> str:
        """The same as a command."""
        return f"ip link set {LOOPBACK} up"


@dataclass(frozen=True, slots=True)
class Advice:
    """Something that only the operator can decide: it is named and not done."""

    command: str


Fix = SetAddress | SetKernel | SetUp | Advice


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and what mends it."""

    what: str
    fix: Fix


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a member is prepared for. interface: where the packets of the service engine arrive; clients: addresses that
    must be reachable for the answers."""

    vips: tuple[str, ...]
    interface: str
    clients: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Host:
    """What was found. addresses: (interface, address, prefix length); settings: by sysctl name, of the keys of
    `needed_settings`; routes: for each client, the interface that its answers leave by, None where there is none."""

    loopback_up: bool
    addresses: Sequence[tuple[str, str, int]]
    settings: Mapping[str, str]
    routes: Mapping[str, str | None]


def needed_settings(interface: str) -> tuple[str, ...]:
    """The keys that `problems` looks at."""
    pairs = (("arp_ignore", "arp_announce", "rp_filter"), ("all", interface))
    return (*(sysctl.conf(where, name) for name in pairs[0] for where in pairs[1]), "net.ipv4.ip_forward")


def problems(wanted: Wanted, host: Host) -> list[Problem]:
    """Everything that keeps a member from answering for its VIPs, in the order in which it is to be mended.

    The kernel settings come before the address: a VIP that is answered for by ARP even for a moment takes the service
    engine's traffic away.
    """
    found = [*_settings(wanted.interface, host.settings)]
    if not host.loopback_up:
        found.append(Problem(f"{LOOPBACK} is down", SetUp()))
    for vip in wanted.vips:
        found += _vip(vip, host.addresses)
    for client in wanted.clients:
        way = host.routes.get(client)
        if way is None:
            found.append(
                Problem(f"no route for answers to client {client}", Advice(f"ip route add {client}/32 via GATEWAY"))
            )
        elif way == LOOPBACK:
            found.append(
                Problem(
                    f"client {client} is an address of this host: its answers never leave",
                    Advice(f"ip addr del {client}"),
                )
            )
    return found


def _vip(vip: str, addresses: Sequence[tuple[str, str, int]]) -> list[Problem]:
    found = []
    present = False
    for interface, address, length in addresses:
        if address != vip:
            continue
        remedy = Advice(f"ip addr del {vip}/{length} dev {interface}")
        if interface != LOOPBACK:
            found.append(Problem(f"{interface} has the VIP {vip}: this host answers ARP requests for it", remedy))
        elif length != 32:
            found.append(
                Problem(f"{LOOPBACK} has {vip}/{length}: the whole network becomes this host; expected /32", remedy)
            )
        else:
            present = True
    if not present and not found:
        found.append(Problem(f"{LOOPBACK} does not have the VIP {vip}", SetAddress(vip)))
    return found


def _settings(interface: str, settings: Mapping[str, str]) -> list[Problem]:
    found = []
    every, own = _values(interface, settings, "arp_ignore")
    effective = max(every, own, key=int)
    if effective not in ARP_SILENT:
        where = interface if own == effective != every else "all"
        found.append(
            Problem(
                f"arp_ignore is {effective}: this host answers ARP requests for a VIP on {LOOPBACK}; expected 1",
                SetKernel(sysctl.conf(where, "arp_ignore"), "1"),
            )
        )
    effective = max(_values(interface, settings, "arp_announce"), key=int)
    if effective != "2":
        found.append(
            Problem(
                f"arp_announce is {effective}: this host's own ARP requests name the VIP as theirs; expected 2",
                SetKernel(sysctl.conf("all", "arp_announce"), "2"),
            )
        )
    every, own = _values(interface, settings, "rp_filter")
    if own != "2" and every != "2":
        strict = max(every, own, key=int) == "1"
        effect = "clients whose answers leave elsewhere are dropped" if strict else "packets' sources are not checked"
        found.append(
            Problem(
                f"rp_filter of {interface} is {max(every, own, key=int)}: {effect}; expected 2",
                SetKernel(sysctl.conf(interface, "rp_filter"), "2"),
            )
        )
    if settings["net.ipv4.ip_forward"] != "1":
        found.append(Problem("ip_forward is 0; expected 1", SetKernel("net.ipv4.ip_forward", "1")))
    return found


def _values(interface: str, settings: Mapping[str, str], name: str) -> tuple[str, str]:
    """Of `all` and of the interface; the kernel goes by the larger."""
    return settings[sysctl.conf("all", name)], settings[sysctl.conf(interface, name)]
