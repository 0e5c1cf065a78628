"""Checks what two captures prove about direct server return. Pure functions over frames, and a reader of capture files.

Each check is a sentence that can be false: an OK or FAILED line for people, an assertion for tests.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from socket import IPPROTO_GRE, IPPROTO_IPIP, IPPROTO_TCP, IPPROTO_UDP, inet_ntoa
from typing import NamedTuple

from dataplane.lab.topology import Node, Topology
from dataplane.wording import counted

ETHERNET = 14
"""Bytes of an Ethernet header."""
ETHERTYPE = b"\x08\x00"
IPV4 = struct.Struct("!BxH4xBB2x4s4s")
"""IPv4: version and header length, total length, TTL, protocol, source, destination."""
PORTS = struct.Struct("!HH")
PROTOCOLS = {"tcp": IPPROTO_TCP, "udp": IPPROTO_UDP}
TUNNELS = {IPPROTO_IPIP: 0, IPPROTO_GRE: 4}
"""Bytes between outer and inner header (RFC 2003, RFC 2784)."""

Flow = tuple[str, int]
"""A client's address and source port."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One IPv4 frame of a service."""

    source_mac: str
    target_mac: str
    source: str  # address, dotted
    target: str  # address, dotted
    source_port: int
    target_port: int
    ttl: int
    packet: bytes  # the client's or server's IP packet, without the frame's padding
    tunnel: tuple[str, str] | None = None  # source and destination of the outer header, if it came in a tunnel


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about what was seen, and whether it holds."""

    claim: str  # the sentence
    holds: bool
    seen: str  # the facts behind it


@dataclass(frozen=True, slots=True)
class Seen:
    """The frames of the service, sorted by wire and direction."""

    to_engine: Sequence[Frame]  # on the engine's wire: requests that it received
    from_engine: Sequence[Frame]  # on the engine's wire: requests that it sent
    answers_at_engine: Sequence[Frame]  # on the engine's wire: frames from the VIP, received or sent
    answers: Sequence[Frame]  # on the client's wire: frames from the VIP


def read(path: Path, topology: Topology) -> list[Frame]:
    """Read the frames between client and service from a capture file, in order."""
    from scapy.utils import RawPcapReader

    protocol = PROTOCOLS[topology.protocol]
    with RawPcapReader(str(path)) as frames:
        found = [frame for data, _ in frames if (frame := dissect(data, protocol)) is not None]
    ends = {topology.client.address, topology.vip}
    return [f for f in found if {f.source, f.target} == ends and topology.port in (f.source_port, f.target_port)]


def dissect(data: bytes, protocol: int) -> Frame | None:
    """Read a captured frame; None if it does not carry this IP protocol over IPv4, in a tunnel or not (RFC 791). scapy
    would need a minute for tens of thousands of frames."""
    if data[12:14] != ETHERTYPE:
        return None
    at, tunnel = ETHERNET, None
    found = _ip(data, at)
    if found is not None and found.protocol in TUNNELS:
        tunnel = found.source, found.target
        at += found.header + TUNNELS[found.protocol]
        found = _ip(data, at)
    if found is None or found.protocol != protocol:
        return None
    packet = data[at : at + found.length]
    if len(packet) < found.header + PORTS.size:
        return None
    source_port, target_port = PORTS.unpack_from(packet, found.header)
    return Frame(
        source_mac=data[6:12].hex(":"),
        target_mac=data[:6].hex(":"),
        source=found.source,
        target=found.target,
        source_port=source_port,
        target_port=target_port,
        ttl=found.ttl,
        packet=packet,
        tunnel=tunnel,
    )


class _Header(NamedTuple):
    """An IPv4 header."""

    header: int  # its bytes
    length: int  # bytes of the packet
    ttl: int
    protocol: int
    source: str  # address, dotted
    target: str  # address, dotted


def _ip(data: bytes, at: int) -> _Header | None:
    if len(data) < at + IPV4.size:
        return None
    first, length, ttl, protocol, source, target = IPV4.unpack_from(data, at)
    return _Header((first & 0x0F) * 4, length, ttl, protocol, inet_ntoa(source), inet_ntoa(target))


def sort(at_engine: Iterable[Frame], at_client: Iterable[Frame], topology: Topology) -> Seen:
    """Sort the frames of both captures by wire and direction."""
    at_engine = list(at_engine)
    requests = [frame for frame in at_engine if frame.target == topology.vip]
    engines = {node.mac for node in topology.forwarders}
    return Seen(
        [frame for frame in requests if frame.source_mac not in engines],
        [frame for frame in requests if frame.source_mac in engines],
        [frame for frame in at_engine if frame.source == topology.vip],
        [frame for frame in at_client if frame.source == topology.vip],
    )


def joined(seen_at: Sequence[Seen]) -> Seen:
    """Join the frames at several engines, which share the client's capture."""
    return Seen(
        [frame for seen in seen_at for frame in seen.to_engine],
        [frame for seen in seen_at for frame in seen.from_engine],
        [frame for seen in seen_at for frame in seen.answers_at_engine],
        seen_at[0].answers,
    )


def findings(seen: Seen, answered: Mapping[Flow, str], asked: int, topology: Topology) -> list[Finding]:
    """Everything that captures and answers must prove. answered: by flow, the name of the server that answered; asked:
    how many requests were made, each a flow."""
    l2 = topology.mode == "l2"
    servers = {node.mac if l2 else node.address: node for node in topology.servers}
    checks: tuple[Callable[[], Finding], ...] = (
        lambda: _all_answered(answered, asked),
        lambda: _shared(answered, asked, topology.servers),
        lambda: _all_forwarded(seen, asked, topology),
        lambda: _no_answers(seen, topology),
        lambda: _before(seen, topology),
        lambda: _after(seen, topology, servers) if l2 else _in_tunnel(seen, topology, servers),
        lambda: _unchanged(seen),
        lambda: _one_server_a_flow(seen, answered, servers),
        lambda: _by_router(seen, topology) if topology.exit else _direct(seen, answered, servers),
    )
    return [check() for check in checks]


def _all_answered(answered: Mapping[Flow, str], asked: int) -> Finding:
    return Finding("every request was answered", len(answered) == asked > 0, f"{len(answered)} of {asked}")


def _shared(answered: Mapping[Flow, str], asked: int, servers: Sequence[Node]) -> Finding:
    used = Counter(answered.values())
    least = min(2, asked, len(servers))
    seen = ", ".join(f"{name} {used[name]}" for name in sorted(used)) or "none"
    return Finding(f"at least {counted(least, 'server')} answered", len(used) >= least, seen)


def _all_forwarded(seen: Seen, asked: int, topology: Topology) -> Finding:
    who = "the engines" if len(topology.forwarders) > 1 else "the engine"
    flows = {(frame.source, frame.source_port) for frame in seen.from_engine}
    facts = f"{counted(len(seen.to_engine), 'frame')} in, {len(seen.from_engine)} out, of {len(flows)} flows"
    holds = len(seen.to_engine) == len(seen.from_engine) > 0 and len(flows) == asked
    return Finding(f"{who} forwarded every frame of every request, once", holds, facts)


def _no_answers(seen: Seen, topology: Topology) -> Finding:
    through = sum(len(frame.packet) for frame in seen.answers_at_engine)
    passed = sum(len(frame.packet) for frame in seen.answers)
    return Finding(
        f"not one byte of the answers passed {'an' if len(topology.forwarders) > 1 else 'the'} engine",
        through == 0 and passed > 0,
        f"{through} B at the engine{'s' if len(topology.forwarders) > 1 else ''}, {passed} B at the client",
    )


def _before(seen: Seen, topology: Topology) -> Finding:
    pairs = {(frame.source_mac, frame.target_mac) for frame in seen.to_engine}
    engines = {node.mac for node in topology.forwarders}
    holds = bool(pairs) and {source for source, _ in pairs} == {topology.entry.mac} and {t for _, t in pairs} <= engines
    claim = f"requests arrive with the {topology.entry.name}'s and {_engines(topology)} MAC address"
    return Finding(claim, holds, _pairs(pairs))


def _after(seen: Seen, topology: Topology, servers: Mapping[str, Node]) -> Finding:
    pairs = {(frame.source_mac, frame.target_mac) for frame in seen.from_engine}
    engines = {node.mac for node in topology.forwarders}
    holds = bool(pairs) and all(source in engines and target in servers for source, target in pairs)
    return Finding(f"requests leave with {_engines(topology)} and a server's MAC address", holds, _pairs(pairs))


def _engines(topology: Topology) -> str:
    return "an engine's" if len(topology.forwarders) > 1 else "the engine's"


def _in_tunnel(seen: Seen, topology: Topology, servers: Mapping[str, Node]) -> Finding:
    assert topology.router is not None
    macs = {(frame.source_mac, frame.target_mac) for frame in seen.from_engine}
    tunnels = {frame.tunnel or ("none", "none") for frame in seen.from_engine}
    holds = macs == {(topology.engine.mac, topology.router.near.mac)} and all(
        source == topology.engine.address and target in servers for source, target in tunnels
    )
    return Finding(
        "requests leave by the router in a tunnel from the engine's address to a server's", holds, _pairs(tunnels)
    )


def _unchanged(seen: Seen) -> Finding:
    before = Counter(frame.packet for frame in seen.to_engine)
    after = Counter(frame.packet for frame in seen.from_engine)
    addresses = {(frame.source, frame.target) for frame in seen.from_engine}
    facts = f"{_pairs(addresses)}, TTL {_ttls(seen.to_engine)} before and {_ttls(seen.from_engine)} after"
    return Finding("IP addresses, TTL and every other byte of the packets are unchanged", before == after != {}, facts)


def _one_server_a_flow(seen: Seen, answered: Mapping[Flow, str], servers: Mapping[str, Node]) -> Finding:
    targets: dict[Flow, set[str]] = {}
    for frame in seen.from_engine:
        target = frame.tunnel[1] if frame.tunnel else frame.target_mac
        targets.setdefault((frame.source, frame.source_port), set()).add(target)
    wrong = sum(
        targets.get(flow) != {key for key, node in servers.items() if node.name == name}
        for flow, name in answered.items()
    )
    return Finding(
        "all frames of a flow went to one server, and that server answered",
        bool(answered) and not wrong,
        f"{len(answered) - wrong} of {len(answered)} flows",
    )


def _direct(seen: Seen, answered: Mapping[Flow, str], servers: Mapping[str, Node]) -> Finding:
    strangers = {frame.source_mac for frame in seen.answers} - servers.keys()
    wrong = strangers | {
        frame.source_mac
        for frame in seen.answers
        if frame.source_mac in servers
        and answered.get((frame.target, frame.target_port)) != servers[frame.source_mac].name
    }
    pairs = {(frame.source_mac, frame.source) for frame in seen.answers}
    return Finding(
        "answers reach the client from the server's MAC address, with the VIP as their source",
        bool(seen.answers) and not wrong,
        _pairs(pairs),
    )


def _by_router(seen: Seen, topology: Topology) -> Finding:
    assert topology.exit is not None
    pairs = {(frame.source_mac, frame.source) for frame in seen.answers}
    claim = "answers reach the client from the router's MAC address, with the VIP as their source and no tunnel"
    holds = pairs == {(topology.exit.mac, topology.vip)} and not any(frame.tunnel for frame in seen.answers)
    return Finding(claim, holds, f"{_pairs(pairs)}, TTL {_ttls(seen.answers)}")


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{a} → {b}" for a, b in sorted(pairs)) or "none"


def _ttls(frames: Iterable[Frame]) -> str:
    return ", ".join(str(ttl) for ttl in sorted({frame.ttl for frame in frames})) or "none"
