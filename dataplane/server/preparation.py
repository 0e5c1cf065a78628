"""What a host must have to be a pool member for DSR, and what of it is missing: pure functions.

Layer 2, as in the appliance's manual: the VIP on the loopback, silent for ARP, and kernel settings that let the host
take packets for it and answer from it. Layer 3 needs two things more: something that takes packets out of their tunnel
(the kernel's tunnel devices, or the program of `decapsulation`), and answers from the VIP that announce a segment size
which fits the tunnel.

What is wrong is a `Problem`. What mends it is a `Fix`, which is data: `check` prints it, `apply` does it, `undo` takes
it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from dataplane import plan
from dataplane.errors import command
from dataplane.network import sysctl, tunnels

LOOPBACK = "lo"
L2, L3 = "l2", "l3"
IPIP, GRE = "ipip", "gre"
"""The two kinds of tunnel, as the kernel names their devices."""
OWN_TUNNELS = {IPIP: "avi-ipip", GRE: "avi-gre"}
"""The tunnel devices that `apply` makes."""

_TUNNEL_NAMES = {IPIP: tunnels.NAMES[plan.L3_IPIP], GRE: tunnels.NAMES[plan.L3_GRE]}
_TCP_OVERHEAD = 40
_TUNNEL_OVERHEAD = 24
"""Bytes in front of the client's packet with GRE, the longer kind: a member does not know which kind it will get."""

ARP_SILENT = frozenset({"1", "2", "8"})
"""Values of arp_ignore with which no other interface answers ARP for an address of `lo` (ip-sysctl)."""


@dataclass(frozen=True, slots=True)
class SetAddress:
    """Put a VIP on the loopback, as a /32: a wider prefix would make the whole network local.

    Or on a tunnel device: loose rp_filter drops what arrives on a device without any address (__fib_validate_source in
    net/ipv4/fib_frontend.c).
    """

    vip: str  # dotted
    interface: str = LOOPBACK  # or a tunnel device

    @property
    def command(self) -> str:
        """The same as a command."""
        return command("ip addr add {}/32 dev {}", self.vip, self.interface)


@dataclass(frozen=True, slots=True)
class SetKernel:
    """Set a kernel setting."""

    key: str  # by its sysctl(8) name
    value: str  # what it must be

    @property
    def command(self) -> str:
        """The same as a command."""
        return sysctl.command(self.key, self.value)


@dataclass(frozen=True, slots=True)
class SetUp:
    """Switch an interface on."""

    interface: str = LOOPBACK  # or a tunnel device of ours

    @property
    def command(self) -> str:
        """The same as a command."""
        return command("ip link set {} up", self.interface)


@dataclass(frozen=True, slots=True)
class Decapsulate:
    """Take packets for VIPs out of their tunnel."""

    vips: tuple[str, ...]  # whose packets
    interface: str  # where they arrive

    @property
    def command(self) -> str:
        """What does it."""
        return _apply(self.vips, self.interface)


@dataclass(frozen=True, slots=True)
class LimitSegments:
    """Limit the segment size that is announced from a VIP."""

    vip: str  # dotted
    size: int  # bytes
    interface: str  # whose MTU the size follows from

    @property
    def command(self) -> str:
        """What does it."""
        return _apply((self.vip,), self.interface)


@dataclass(frozen=True, slots=True)
class Advice:
    """Something that only the operator can decide: it is named, not done."""

    command: str  # or a sentence


Fix = SetAddress | SetKernel | SetUp | Decapsulate | LimitSegments | Advice


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong."""

    what: str  # in words for an operator
    fix: Fix  # what mends it


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a member is to be prepared for."""

    vips: tuple[str, ...]  # dotted
    interface: str  # where the service engine's packets arrive
    clients: tuple[str, ...] = ()  # addresses that answers must be able to reach
    mode: str = L2  # or L3


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A tunnel device of the kernel that takes packets from anybody."""

    name: str  # the device's
    kind: str  # IPIP or GRE
    up: bool = True  # it is switched on


class BadHop(NamedTuple):
    """A next hop that answers do not reach."""

    address: str
    entered: str = ""  # the MAC address that somebody entered for it by hand; "": it does not answer ARP
    answers: str = ""  # the MAC address that it answers ARP from


@dataclass(frozen=True, slots=True)
class Host:
    """What was found on a host."""

    loopback_up: bool  # it is switched on
    addresses: Sequence[tuple[str, str, int]]  # interface, address, prefix length
    settings: Mapping[str, str]  # the values of `needed_settings`, by key
    routes: Mapping[str, str | None]  # by client, the interface that answers leave by; None: there is no route
    mtu: int = 1500  # bytes, of the interface that packets arrive on
    # The rest is only for layer 3.
    tunnels: Sequence[Tunnel] = ()  # ours, and others that are up
    decapsulated: frozenset[str] | None = None  # VIPs that the program decapsulates for; None: it is not there
    limits: Mapping[str, int] = field(default_factory=dict)  # bytes of the largest segments announced, by VIP
    bad_hops: Mapping[str, BadHop] = field(default_factory=dict)  # by client, the next hop that answers do not reach


def needed_settings(interface: str, devices: Iterable[Tunnel] = ()) -> tuple[str, ...]:
    """The kernel settings that `problems` looks at, by key. devices: the tunnel devices."""
    pairs = (("arp_ignore", "arp_announce", "rp_filter"), ("all", interface))
    own = (sysctl.conf(where, name) for name in pairs[0] for where in pairs[1])
    return (*own, *(sysctl.conf(tunnel.name, "rp_filter") for tunnel in devices), "net.ipv4.ip_forward")


def problems(wanted: Wanted, host: Host) -> list[Problem]:
    """Find everything that keeps a member from answering for its VIPs, in the order in which to mend it.

    The kernel settings come before the address: a host that answers ARP for the VIP even for a moment takes the service
    engine's traffic away.
    """
    found = [*_settings(wanted.interface, host.settings)]
    if not host.loopback_up:
        found.append(Problem(f"{LOOPBACK} is down", SetUp()))
    if wanted.mode == L3:
        found += _tunnels(wanted, host)
    for vip in wanted.vips:
        found += _vip(vip, host.addresses, {tunnel.name for tunnel in host.tunnels})
    for client in wanted.clients:
        egress = host.routes.get(client)
        if egress is None:
            found.append(Problem(f"no route for answers to client {client}", Advice(_route("add", client))))
        elif egress == LOOPBACK:
            found.append(
                Problem(
                    f"client {client} is an address of this host: its answers never leave",
                    Advice("--client names a host that is to be answered, not this one"),
                )
            )
        elif client in host.bad_hops and host.bad_hops[client].entered:
            hop, entered, answers = host.bad_hops[client]
            found.append(
                Problem(
                    f"answers to client {client} leave by {egress} for {hop} at {entered}, which was entered by hand: "
                    f"{hop} is at {answers}",
                    Advice(command("ip neigh del {} dev {}", hop, egress)),
                )
            )
        elif client in host.bad_hops:
            hop = host.bad_hops[client].address
            found.append(
                Problem(
                    f"answers to client {client} leave by {egress} for {hop}, which does not answer ARP",
                    Advice(
                        f"{_route('replace', client)}, or the host's default gateway is to be another"
                        if hop != client
                        else f"{client} is switched off, or on another segment: {_route('add', client)}"
                    ),
                )
            )
    return found


def segment_size(mtu: int) -> int:
    """Bytes of the largest segment that fits both kinds of tunnel (RFC 9293 section 3.7.1: no headers are counted)."""
    return mtu - _TCP_OVERHEAD - _TUNNEL_OVERHEAD


def _apply(vips: Iterable[str], interface: str) -> str:
    named = tuple(vips)
    return command(f"avi-server apply{' --vip {}' * len(named)} --mode {{}} --interface {{}}", *named, L3, interface)


def _route(verb: str, client: str) -> str:
    """The command for a route to a client. verb: add or replace."""
    return command("ip route {} {}/32 via GATEWAY", verb, client)


def _tunnels(wanted: Wanted, host: Host) -> list[Problem]:
    """What keeps packets for the VIPs from coming out of their tunnels, of either kind."""
    found = []
    if host.decapsulated is None or not host.decapsulated.issuperset(wanted.vips):
        there = {tunnel.kind for tunnel in host.tunnels}
        missing = [name for kind, name in _TUNNEL_NAMES.items() if kind not in there]
        vips = [vip for vip in wanted.vips if vip not in (host.decapsulated or ())]
        if missing:
            found.append(
                Problem(
                    f"nothing takes packets for {', '.join(vips)} out of {' and '.join(missing)} tunnels on "
                    f"{wanted.interface}",
                    Decapsulate(tuple(vips), wanted.interface),
                )
            )
        for tunnel in host.tunnels:
            found += _tunnel(tunnel, vips[0], host)
    size = segment_size(host.mtu)
    for vip in wanted.vips:
        limit = host.limits.get(vip)
        if limit is None or limit > size:
            announced = "no limit" if limit is None else f"a limit of {limit}"
            found.append(
                Problem(
                    f"answers from {vip} announce a segment size with {announced}: clients' packets do not fit the "
                    f"tunnel; expected {size} for the MTU {host.mtu} of {wanted.interface}",
                    LimitSegments(vip, size, wanted.interface),
                )
            )
    return found


def _tunnel(tunnel: Tunnel, vip: str, host: Host) -> list[Problem]:
    found = []
    if not tunnel.up:
        found.append(Problem(f"{tunnel.name} is down", SetUp(tunnel.name)))
    every, own = _values(tunnel.name, host.settings, "rp_filter")
    if own != "2" and every != "2":
        found.append(
            Problem(
                f"rp_filter of {tunnel.name} is {max(every, own, key=int)}; expected 2",
                SetKernel(sysctl.conf(tunnel.name, "rp_filter"), "2"),
            )
        )
    if not any(interface == tunnel.name for interface, _, _ in host.addresses):
        found.append(
            Problem(
                f"{tunnel.name} has no address: with rp_filter what it decapsulates is dropped",
                SetAddress(vip, tunnel.name),
            )
        )
    return found


def _vip(vip: str, addresses: Sequence[tuple[str, str, int]], devices: set[str]) -> list[Problem]:
    """What is wrong with the addresses for a VIP. devices: tunnel devices, which do not answer ARP and may have it."""
    found = []
    present = False
    for interface, address, length in addresses:
        if address != vip:
            continue
        remedy = Advice(command("ip addr del {}/{} dev {}", vip, length, interface))
        if interface in devices and length == 32:
            continue
        if interface != LOOPBACK:
            found.append(_on_card(vip, length, interface, addresses))
        elif length != 32:
            found.append(
                Problem(f"{LOOPBACK} has {vip}/{length}: the whole network becomes this host; expected /32", remedy)
            )
        else:
            present = True
    if not present and not found:
        found.append(Problem(f"{LOOPBACK} does not have the VIP {vip}", SetAddress(vip)))
    return found


def _on_card(vip: str, length: int, interface: str, addresses: Sequence[tuple[str, str, int]]) -> Problem:
    """The problem of a VIP on an interface that answers ARP requests.

    It may be the host's own address, named by mistake. Removing an interface's only address would cut the host off; so
    would removing the first of a network, which takes the others with it.
    """
    network = ip_network(f"{vip}/{length}", strict=False)
    mine = [(address, prefix) for name, address, prefix in addresses if name == interface]
    if len(mine) == 1:
        what = f"{vip} is the only address of {interface}: this host's own, or else it answers ARP requests for the VIP"
        advice = f"--vip names the virtual service's address; or give {interface} another one before this one goes"
        return Problem(what, Advice(advice))
    same = [address for address, prefix in mine if prefix == length and ip_address(address) in network]
    remove = command("ip addr del {}/{} dev {}", vip, length, interface)
    if same[0] == vip and len(same) > 1:
        remove = f"{sysctl.command(sysctl.conf(interface, 'promote_secondaries'), '1')} && {remove}"
    return Problem(f"{interface} has the VIP {vip}: this host answers ARP requests for it", Advice(remove))


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
    """A setting's values for `all` and for the interface. The kernel uses the larger."""
    return settings[sysctl.conf("all", name)], settings[sysctl.conf(interface, name)]
