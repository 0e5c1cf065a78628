"""Judges what is wrong with a pool member, by what the engine sees of it from outside, and what mends it: pure.

`Facts` are what the probes found (`examiner`). A `Finding` says what that means, and carries the commands to run, with
the host to run them on. What is only a guess ends with a question mark.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dataplane.errors import command
from dataplane.health.checkstate import VIP_MISSING
from dataplane.network import tunnels
from dataplane.network.reachability import NO_FAULT, Fault
from dataplane.plan import L2

SERVER, ENGINE = "server", "engine"
"""The hosts that commands are for."""

OPEN, CLOSED, SILENT = "open", "closed", "silent"
"""The states of a TCP port."""

REPLIES, EXPIRES, REFUSED = "replies", "expires", "refused"
"""What comes back of an echo request, if anything does: the reply; time exceeded; another ICMP error."""

FAR = "192.0.2.1"
"""The address of a client beyond every network of a server (RFC 5737)."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found out about one member and one VIP. MAC addresses are text, as `ip neigh` prints them."""

    server: str  # its own address
    vip: str  # dotted, as all addresses here
    mode: str  # one of plan.MODES
    port: int  # where its monitors probe
    engine: str = ""  # the engine's own address towards it
    interface: str = ""  # the egress interface
    mtu: int = 1500  # the egress interface's
    no_route: str = ""  # why it has no route, "" if it has one
    own: Fault = NO_FAULT  # what is wrong with the engine's own host
    own_advice: str = ""  # what a person finds out about that, if no command mends it
    neighbour: str = ""  # the MAC address that the kernel sends to, "" if there is none
    permanent: bool = False  # somebody entered that MAC address by hand
    on_link: bool = True  # it is on the engine's own segment: only then ARP asks for it
    answers: frozenset[str] = frozenset()  # who answers ARP for its address, asked from the engine's own
    unsigned: frozenset[str] = frozenset()  # the same, asked from no address
    far: frozenset[str] = frozenset()  # the same, asked from a far client's
    owners: frozenset[str] = frozenset()  # who answers ARP for the VIP
    others: Mapping[str, str] = field(default_factory=dict)  # all servers' addresses, by MAC address
    host: bool = False  # its own address answers ping
    host_port: str = SILENT  # its own address, by TCP
    echo: str = SILENT  # the VIP, by an ordinary ping on the data's path
    last: str = SILENT  # the VIP, by a ping whose TTL ends at the server
    vip_port: str = SILENT  # the VIP, by TCP
    inner: str = SILENT  # its own address, by a ping inside the tunnel
    next_hop: str = ""  # that the next hop of the engine's own route is silent, "" if it is not
    refusal: str = ""  # why the tunnel was refused, as ICMP reported it
    full: int = 0  # bytes of the largest packet that should arrive
    fits: int = 0  # bytes of the largest packet that does arrive uncut, 0 if that is not known
    tcp: bool = True  # the ports were asked
    failing: tuple[str, ...] = ()  # the reasons of the monitors that fail now

    @property
    def macs(self) -> frozenset[str]:
        """The server's own MAC addresses that are known."""
        known = {self.neighbour} if self.neighbour and self.on_link else set()
        return frozenset(known | self.answers | self.unsigned)

    @property
    def reached(self) -> bool:
        """Whether the server answers at its own address."""
        return self.host or self.host_port != SILENT

    @property
    def served(self) -> bool:
        """Whether the server answers for the VIP at all, itself and not another host that it forwards to."""
        return self.last != EXPIRES and not self.relayed and (self.echo == REPLIES or self.vip_port != SILENT)

    @property
    def relayed(self) -> bool:
        """Whether another host answers pings for the VIP, to which the server forwards: by layer 2 a ping whose TTL
        ends at the server, and TCP whose TTL does, stay without an answer. Time exceeded may be missing, since hosts
        send few of these messages."""
        return self.mode == L2 and self.echo == REPLIES and self.last != REPLIES and self.vip_port == SILENT


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, or worth knowing."""

    what: str  # in words for an operator
    host: str = SERVER  # or ENGINE: where the commands are to be run
    commands: tuple[str, ...] = ()  # what mends it, in that order
    because: str = ""  # how it is known
    advice: str = ""  # what a person must do or find out, if no command can
    grave: bool = True  # False: it is only worth knowing

    def document(self) -> dict[str, Any]:
        """The same as a JSON object."""
        return {
            "what": self.what,
            "host": self.host,
            "commands": list(self.commands),
            "because": self.because,
            "advice": self.advice,
            "grave": self.grave,
        }


def findings(facts: Facts) -> list[Finding]:
    """Everything that is wrong. What must be mended first comes first."""
    if facts.no_route:
        advice = "its address must be on a network of an interface that the engine serves; or use DSR_TYPE_L3"
        if facts.mode != L2:
            route = command("ip route add {}/32 via GATEWAY", facts.server)
            advice = f"add a route on the engine's host: {route}"
        return [Finding(facts.no_route, ENGINE, advice=advice)]
    if facts.own.reason:  # what is said of a server that this host does not hear, or does not speak to, is a guess
        commands = (facts.own.remedy,) if facts.own.remedy else ()
        return [Finding(facts.own.reason, ENGINE, commands, advice=facts.own_advice), *_vip_owners(facts)]
    found = [*_neighbour(facts), *_vip_owners(facts)]
    if not facts.reached and not facts.served:
        return [*found, *([] if any(f.grave for f in found) else _unreached(facts))]
    if not facts.served:
        return [*found, *_silent_vip(facts)]
    return [*found, *_service(facts), *_size(facts), *_far(facts)]


def cause(facts: Facts) -> Fault:
    """Why a VIP is silent, in one line, with what mends it on the engine's host; NO_FAULT if the probes do not tell."""
    first = next((finding for finding in findings(facts) if finding.grave), None)
    if first is None:
        return NO_FAULT
    return Fault(first.what, "; ".join(first.commands) if first.host == ENGINE else "")


def _neighbour(facts: Facts) -> list[Finding]:
    """Judge who answers ARP for the server's own address."""
    if not facts.on_link:
        return []
    server, engine = facts.server, facts.engine
    if not facts.answers and facts.unsigned:
        what = f"server answers ARP, but drops what comes from {engine}: rp_filter? Its route back leaves elsewhere"
        advice = f"if it stays down: `{_lookup(engine)}` on it must lead back to this segment"
        return [Finding(what, commands=(_loose(),), advice=advice)]
    if not facts.answers and not facts.reached:
        advice = f"is it switched on, its cable and switch port in this VLAN, and {server} its address?"
        return [Finding(f"server does not answer: no reply to ARP for {server} on {facts.interface}", advice=advice)]
    found = []
    if facts.neighbour and facts.answers and facts.neighbour not in facts.answers:
        now = ", ".join(sorted(facts.answers))
        what = f"server's MAC address changed from {facts.neighbour} to {now}"
        what += ": the neighbour entry is fixed by hand" if facts.permanent else ": the kernel learns it now"
        commands = (command("ip neigh del {} dev {}", server, facts.interface),) if facts.permanent else ()
        found.append(Finding(what, ENGINE, commands))
    if len(facts.answers) > 1 and not facts.owners & facts.macs:  # else `_vip_owners` names the same setting
        what = f"{len(facts.answers)} MAC addresses answer ARP for {server}: {', '.join(sorted(facts.answers))}"
        advice = "if they are not two cards of this server, two hosts have its address"
        found.append(Finding(what, commands=("sysctl -w net.ipv4.conf.all.arp_ignore=1",), advice=advice))
    return found


def _vip_owners(facts: Facts) -> list[Finding]:
    """Judge who answers ARP for the VIP."""
    found = []
    if facts.owners & facts.macs:
        what = f"server answers ARP for the VIP {facts.vip}: clients go past the engine"
        look = command("ip addr show to {}", facts.vip)
        advice = f"if it still answers: the VIP is on one of its cards (`{look}`), not on lo alone"
        found.append(Finding(what, commands=silent_arp(), advice=advice))
    for mac in sorted(facts.owners - facts.macs - facts.others.keys()):  # another server's is a finding of that one
        what = f"a stranger, {mac}, answers ARP for the VIP {facts.vip}"
        advice = "find its switch port; whoever it is must give the address up"
        found.append(Finding(what, ENGINE, advice=advice, grave=False))
    return found


def _unreached(facts: Facts) -> list[Finding]:
    """Judge a server that answers neither at its own address nor for the VIP."""
    if facts.next_hop:
        advice = "is that router switched on, in this VLAN, and is the route on the engine's host right?"
        return [Finding(facts.next_hop, ENGINE, advice=advice)]
    if facts.refusal:
        return [Finding(facts.refusal, ENGINE, advice=f"`{_lookup(facts.server)}` on the routers in between")]
    if facts.on_link:
        advice = f"a firewall on it? `nft list ruleset`, `{_lookup(facts.engine)}` there"
        return [Finding("server answers ARP, and neither ping nor TCP on its own address", advice=advice)]
    advice = f"is it switched on? `{_lookup(facts.engine)}` on it, a firewall, the routers in between"
    return [Finding("server does not answer", advice=advice)]


def _silent_vip(facts: Facts) -> list[Finding]:
    """Judge a server that answers at its own address, and not for the VIP."""
    # ARP is silenced first: a server that answers ARP for the VIP even for a moment takes the engine's clients away.
    address = (*silent_arp(), command("ip addr replace {}/32 dev lo", facts.vip))
    if facts.last == EXPIRES or facts.relayed:
        because = f"it forwards packets for {facts.vip} instead"
        because += ": another host answers them" if facts.echo == REPLIES else ""
        return [Finding(VIP_MISSING, commands=address, because=because)]
    if facts.mode == L2:
        advice = "if it stays down: a firewall on it that drops packets for the VIP"
        return [Finding(VIP_MISSING, commands=address, advice=advice)]
    tunnel = tunnels.NAMES[facts.mode]
    if facts.refusal:
        mend = command("avi-server apply --vip {} --mode l3 --interface {}", facts.vip, facts.server)
        return [Finding(f"server answers, VIP does not: {facts.refusal}", commands=(mend,))]
    if facts.inner == REPLIES:
        because = "packets for its own address it does take out of the tunnel"
        return [Finding(VIP_MISSING, commands=address, because=because)]
    what = f"server answers, VIP does not: rp_filter drops what comes out of the {tunnel} tunnel, or VIP missing there?"
    check = command("avi-server check --vip {} --mode l3 --interface {}", facts.vip, facts.server)
    advice = f"if it stays down: `{check}` on it"
    return [Finding(what, commands=(_loose(), *address), advice=advice)]


def _service(facts: Facts) -> list[Finding]:
    """Judge why monitors fail although the VIP answers."""
    listeners = command("ss -ltnp {}", f"sport = :{facts.port}")
    look = f"`{listeners}`"
    if facts.tcp and facts.vip_port == SILENT:
        what = f"the VIP answers ping, its port {facts.port} does not: a firewall, or its program takes no connections"
        return [Finding(what, advice=f"`nft list ruleset` on it; {look} shows the connections that wait")]
    if not facts.failing:
        return []
    what = "; ".join(facts.failing)
    if facts.vip_port == CLOSED and facts.host_port == OPEN:
        what = f"port {facts.port} is closed on the VIP and open on {facts.server}: its program listens on that alone"
        return [Finding(what, advice=f"have it listen on 0.0.0.0 or on {facts.vip} too; {look} shows where")]
    if facts.vip_port == CLOSED:
        what = f"port {facts.port} is closed on the VIP: no program listens there"
        return [Finding(what, advice=f"start the program; {look} shows nothing until it runs")]
    return [Finding(what, advice="its program is there and does not give the answer that the monitor wants")]


def _size(facts: Facts) -> list[Finding]:
    """Judge whether full-size packets arrive."""
    if not facts.fits or facts.fits >= facts.full:
        return []
    what = lost_on_the_path(facts.full, facts.fits)
    if facts.mode != L2:
        note = f"{what}: the engine makes do with it and tells clients"
        return [Finding(note, ENGINE, advice="find the link with the smaller MTU", grave=False)]
    mend = command(
        "ip link set dev \"$(ip -o -4 addr show to {} | awk '{{print $2; exit}}')\" mtu {}", facts.server, facts.mtu
    )
    advice = f"if its card has {facts.mtu} already: a switch or bridge in between has less"
    return [Finding(what, commands=(mend,), advice=advice)]


def _far(facts: Facts) -> list[Finding]:
    """Judge whether the server would drop clients beyond its own networks: no probe of the engine is one."""
    if not facts.on_link or not facts.answers or facts.far:
        return []
    what = f"it may not answer clients beyond its own networks? It was silent for one (asked as {FAR})"
    advice = (
        f"no matter where this segment has no router or all clients are near; else see `{_lookup(FAR)}` on it: "
        f"unreachable = it lacks a route to the clients (ip route add default via GATEWAY), by another interface = "
        f"its rp_filter is strict ({_loose()})"
    )
    return [Finding(what, advice=advice, grave=False)]


def _lookup(address: str) -> str:
    """The command that shows a host's route to an address."""
    return command("ip route get {}", address)


def lost_on_the_path(full: int, fits: int) -> str:
    """In words: full-size packets are lost. full, fits: bytes of those, and of the largest that arrive."""
    return f"packets of full size do not arrive: the largest that does has {fits} of {full} bytes"


def silent_arp() -> tuple[str, ...]:
    """The commands that keep ARP from answering for, and from naming, an address on the loopback."""
    return ("sysctl -w net.ipv4.conf.all.arp_ignore=1", "sysctl -w net.ipv4.conf.all.arp_announce=2")


def _loose() -> str:
    """The command for a loose rp_filter: the larger of `all` and the interface's counts (ip-sysctl), so `all` does."""
    return "sysctl -w net.ipv4.conf.all.rp_filter=2"
