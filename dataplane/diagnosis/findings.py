"""What is wrong with a pool member, judged from what the engine sees of it from outside, and what mends it: pure.

`Facts` are what the probes found (`examination`); a `Finding` says what that means and carries the commands, exactly as
they are to be run, with the host to run them on. Guesses say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dataplane.plan import L2, L3_GRE

SERVER, ENGINE = "server", "engine"
"""The hosts that commands are run on."""

OPEN, CLOSED, SILENT = "open", "closed", "silent"
"""What a TCP port does."""

REPLIES, EXPIRES, REFUSED = "replies", "expires", "refused"
"""What comes back of an echo request, besides SILENT: the answer; that its TTL ran out; another ICMP error."""

FAR = "192.0.2.1"
"""Stands for a client beyond every network of a server (RFC 5737)."""

MISSING = "server answers, VIP does not: VIP missing on its loopback?"


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found of one member for one VIP. MAC addresses are text, as `ip neigh` prints them.

    mode: a plan.MODE; port: where its monitors knock; engine: the engine's own address towards it; interface: the
    egress interface, mtu its MTU. way: why there is no way to it, "" where there is. neighbour: the MAC address that
    the kernel sends to, "" = none; permanent: somebody wrote it down by hand. on_link: it is on the engine's own
    segment, only then ARP asks: for its address from the engine's own (answers), from nobody's (unsigned), as a far
    client (far); owners: who answers for the VIP; others: servers' addresses by their MAC addresses. host, host_port:
    its own address, by ping and TCP. echo, last: the VIP, by an ordinary ping on the data's path, and by one whose TTL
    ends at the server; vip_port by TCP. inner: its own address, asked inside the tunnel. refusal: what was said against
    the tunnel. fits: bytes of the largest packet that arrives uncut, 0 = not to be told; full: of the largest that
    should. told: what routers reported of the path. tcp: the ports were asked. failing: the reasons of the monitors
    that fail now.
    """

    server: str
    vip: str
    mode: str
    port: int
    engine: str = ""
    interface: str = ""
    mtu: int = 1500
    way: str = ""
    neighbour: str = ""
    permanent: bool = False
    on_link: bool = True
    answers: frozenset[str] = frozenset()
    unsigned: frozenset[str] = frozenset()
    far: frozenset[str] = frozenset()
    owners: frozenset[str] = frozenset()
    others: Mapping[str, str] = field(default_factory=dict)
    host: bool = False
    host_port: str = SILENT
    echo: str = SILENT
    last: str = SILENT
    vip_port: str = SILENT
    inner: str = SILENT
    refusal: str = ""
    full: int = 0
    fits: int = 0
    told: int = 0
    tcp: bool = True
    failing: tuple[str, ...] = ()

    @property
    def macs(self) -> frozenset[str]:
        """The server's own MAC addresses, as far as they are known."""
        known = {self.neighbour} if self.neighbour and self.on_link else set()
        return frozenset(known | self.answers | self.unsigned)

    @property
    def reached(self) -> bool:
        """Whether it answers on its own address."""
        return self.host or self.host_port != SILENT

    @property
    def served(self) -> bool:
        """Whether anything at all comes back from the VIP there: not what another host answers, to whom it forwards."""
        return self.last != EXPIRES and (self.echo == REPLIES or self.vip_port != SILENT)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, or (grave = False) worth to know. host: SERVER or ENGINE; commands: as they are to be
    run there, in that order; because: how that is known; advice: what a person must do or find out where no command
    can."""

    what: str
    host: str = SERVER
    commands: tuple[str, ...] = ()
    because: str = ""
    advice: str = ""
    grave: bool = True

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "what": self.what,
            "host": self.host,
            "commands": list(self.commands),
            "because": self.because,
            "advice": self.advice,
            "grave": self.grave,
        }


def findings(facts: Facts) -> list[Finding]:
    """Everything that is wrong, what must be mended first at the front."""
    if facts.way:
        advice = "its address must be on a network of an interface that the engine serves; or use DSR_TYPE_L3"
        if facts.mode != L2:
            advice = f"add a route on the engine's host: ip route add {facts.server}/32 via GATEWAY"
        return [Finding(facts.way, ENGINE, advice=advice)]
    found = [*_neighbour(facts), *_claims(facts)]
    if not facts.reached and not facts.served:
        return [*found, *([] if any(f.grave for f in found) else _unreached(facts))]
    if not facts.served:
        return [*found, *_silent_vip(facts)]
    return [*found, *_service(facts), *_size(facts), *_far(facts)]


def cause(facts: Facts) -> str:
    """Why a VIP is silent, in one line, where the probes tell more than that it is."""
    grave = [finding.what for finding in findings(facts) if finding.grave]
    return grave[0] if grave else ""


def _neighbour(facts: Facts) -> list[Finding]:
    """Who answers ARP for the server's own address."""
    if not facts.on_link:
        return []
    server, engine = facts.server, facts.engine
    if not facts.answers and facts.unsigned:
        what = f"server answers ARP, but drops what comes from {engine}: rp_filter? Its way back leaves elsewhere"
        advice = f"if it stays down: `ip route get {engine}` on it must lead back to this segment"
        return [Finding(what, commands=(_loose(),), advice=advice)]
    if not facts.answers and not facts.reached:
        advice = f"is it switched on, its cable and switch port in this VLAN, and {server} its address?"
        return [Finding(f"server does not answer: no reply to ARP for {server} on {facts.interface}", advice=advice)]
    found = []
    if facts.neighbour and facts.answers and facts.neighbour not in facts.answers:
        now = ", ".join(sorted(facts.answers))
        what = f"server's MAC address changed from {facts.neighbour} to {now}"
        what += ": the neighbour entry is fixed by hand" if facts.permanent else ": the kernel learns it now"
        commands = (f"ip neigh del {server} dev {facts.interface}",) if facts.permanent else ()
        found.append(Finding(what, ENGINE, commands))
    if len(facts.answers) > 1 and not facts.owners & facts.macs:  # else: the same setting, named below
        what = f"{len(facts.answers)} MAC addresses answer ARP for {server}: {', '.join(sorted(facts.answers))}"
        advice = "if they are not two cards of this server, two hosts have its address"
        found.append(Finding(what, commands=("sysctl -w net.ipv4.conf.all.arp_ignore=1",), advice=advice))
    return found


def _claims(facts: Facts) -> list[Finding]:
    """Who answers ARP for the VIP."""
    found = []
    if facts.owners & facts.macs:
        what = f"server answers ARP for the VIP {facts.vip}: clients go past the engine"
        advice = f"if it still answers: the VIP is on one of its cards (`ip addr show to {facts.vip}`), not on lo alone"
        found.append(Finding(what, commands=silent_arp(), advice=advice))
    for mac in sorted(facts.owners - facts.macs - facts.others.keys()):  # another server's is told of that one
        what = f"a stranger, {mac}, answers ARP for the VIP {facts.vip}"
        advice = "find its switch port; whoever it is must give the address up"
        found.append(Finding(what, ENGINE, advice=advice, grave=False))
    return found


def _unreached(facts: Facts) -> list[Finding]:
    """Somebody is there, or behind a router, and nothing comes back."""
    if facts.refusal:
        return [Finding(facts.refusal, ENGINE, advice=f"`ip route get {facts.server}` on the routers in between")]
    if facts.on_link:
        advice = f"a firewall on it? `nft list ruleset`, `ip route get {facts.engine}` there"
        return [Finding("server answers ARP, and neither ping nor TCP on its own address", advice=advice)]
    advice = f"is it switched on? `ip route get {facts.engine}` on it, a firewall, the routers in between"
    return [Finding("server does not answer", advice=advice)]


def _silent_vip(facts: Facts) -> list[Finding]:
    """The host answers, its VIP does not."""
    # Silence first: a VIP that is answered for by ARP even for a moment takes the engine's clients away.
    address = (*silent_arp(), f"ip addr replace {facts.vip}/32 dev lo")
    if facts.last == EXPIRES:
        return [Finding(MISSING, commands=address, because=f"it forwards packets for {facts.vip} instead")]
    if facts.mode == L2:
        advice = "if it stays down: a firewall on it that drops packets for the VIP"
        return [Finding(MISSING, commands=address, advice=advice)]
    tunnel = "GRE" if facts.mode == L3_GRE else "IP-in-IP"
    if facts.refusal:
        mend = (f"avi-server apply --vip {facts.vip} --mode l3 --interface {facts.server}",)
        return [Finding(f"server answers, VIP does not: {facts.refusal}", commands=mend)]
    if facts.inner == REPLIES:
        because = "packets for its own address it does take out of the tunnel"
        return [Finding(MISSING, commands=address, because=because)]
    what = f"server answers, VIP does not: rp_filter drops what comes out of the {tunnel} tunnel, or VIP missing there?"
    advice = f"if it stays down: `avi-server check --vip {facts.vip} --mode l3 --interface {facts.server}` on it"
    return [Finding(what, commands=(_loose(), *address), advice=advice)]


def _service(facts: Facts) -> list[Finding]:
    """Something comes back from the VIP, and monitors fail all the same."""
    look = f"`ss -ltnp 'sport = :{facts.port}'`"
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
    """Whether packets of full size arrive."""
    if not facts.fits or facts.fits >= facts.full:
        return []
    what = f"full-size packets do not arrive: of {facts.full} bytes; the largest that does has {facts.fits}"
    if facts.mode != L2:
        note = f"{what}: the engine makes do with it and tells clients"
        return [Finding(note, ENGINE, advice="find the link with the smaller MTU", grave=False)]
    card = f"$(ip -o -4 addr show to {facts.server} | awk '{{print $2; exit}}')"
    advice = f"if its card has {facts.mtu} already: a switch or bridge in between has less"
    return [Finding(what, commands=(f"ip link set dev {card} mtu {facts.mtu}",), advice=advice)]


def _far(facts: Facts) -> list[Finding]:
    """Whether it would drop clients that are not on its own networks, which no probe of the engine's is."""
    if not facts.on_link or not facts.answers or facts.far:
        return []
    what = f"it may not answer clients beyond its own networks? It was silent for one (asked as {FAR})"
    advice = (
        f"no matter where this segment has no router or all clients are near; else see `ip route get {FAR}` on it: "
        f"unreachable = it lacks a route to the clients (ip route add default via GATEWAY), by another interface = "
        f"its rp_filter is strict ({_loose()})"
    )
    return [Finding(what, advice=advice, grave=False)]


def silent_arp() -> tuple[str, ...]:
    """The commands after which an address on the loopback is neither answered for nor named by ARP."""
    return ("sysctl -w net.ipv4.conf.all.arp_ignore=1", "sysctl -w net.ipv4.conf.all.arp_announce=2")


def _loose() -> str:
    """Of `all` and of an interface the kernel goes by the larger (ip-sysctl): no need to know its name."""
    return "sysctl -w net.ipv4.conf.all.rp_filter=2"
