"""Replay: the forwarding decision on a capture file, with a plan and a network that are given instead of found.

    {"interfaces": [{"name": "eth0", "mac": "02:…", "ip": ["10.0.0.1/24"], "mtu": 1500}],
     "neighbours": [{"ip": "10.0.0.11", "mac": "02:…", "interface": "eth0"}],
     "routes": [{"prefix": "0.0.0.0/0", "via": "10.0.0.254", "interface": "eth0"}]}

Frames arrive on the first interface; every server counts as up. Nothing about the network is guessed.
"""

from __future__ import annotations

import ipaddress
import json
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import decision, plan, tables
from .errors import DriverError, NetworkError, PlanError
from .flows import Flows
from .forwarding import Interface, ServiceKey, Tables, Vip

Decider = Callable[[bytes, int], decision.Verdict]
"""A frame and its time in nanoseconds → what becomes of it."""

ETHERNET = 1
"""DLT_EN10MB, the only link type that can be replayed (pcap-linktype(7))."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The network of a replay. networks: per interface index its own addresses with their prefixes; macs: by interface
    index and address; routes: prefix, gateway, interface index, longest prefix first."""

    interfaces: tuple[Interface, ...]
    networks: tuple[tuple[int, ipaddress.IPv4Interface], ...]
    macs: Mapping[tuple[int, bytes], bytes]
    routes: tuple[tuple[ipaddress.IPv4Network, ipaddress.IPv4Address, int], ...] = ()

    def hop(self, server: bytes) -> tables.Hop:
        """The way to a server on an attached network."""
        address = ipaddress.IPv4Address(server)
        for index, own in self.networks:
            if address in own.network:
                return tables.Hop(index, self.macs.get((index, server)), own.ip.packed)
        return tables.Hop()

    def next_hop(self, server: bytes) -> tables.Hop:
        """The way to a server that may be routers away: attached networks first, then the longest prefix."""
        direct = self.hop(server)
        if direct.interface is not None:
            return direct
        address = ipaddress.IPv4Address(server)
        for prefix, via, index in self.routes:
            if address in prefix:
                source = next(own.ip.packed for i, own in self.networks if i == index)
                return tables.Hop(index, self.macs.get((index, via.packed)), source)
        return tables.Hop()


def surroundings(path: Path) -> Surroundings:
    """Read a neighbours file. Raises NetworkError naming the file and what is wrong with it."""
    try:
        data = json.loads(path.read_text("utf-8"))
        interfaces = tuple(_interface(index, entry) for index, entry in enumerate(data["interfaces"], start=1))
        if not interfaces:
            raise ValueError("at least one interface is needed")
        by_name = {interface.name: interface.index for interface in interfaces}
        return Surroundings(
            interfaces,
            tuple(
                (index, ipaddress.IPv4Interface(text))
                for index, entry in enumerate(data["interfaces"], start=1)
                for text in entry["ip"]
            ),
            {(by_name[n["interface"]], socket.inet_aton(n["ip"])): _mac(n["mac"]) for n in data.get("neighbours", ())},
            tuple(sorted((_route(by_name, r) for r in data.get("routes", ())), key=lambda r: -r[0].prefixlen)),
        )
    except OSError as exc:
        raise NetworkError(f"{path}: {exc.strerror or exc}") from exc
    except KeyError as exc:
        raise NetworkError(f"{path}: {exc} is missing or names no interface of the file") from exc
    except (ValueError, TypeError, AttributeError) as exc:
        raise NetworkError(f"{path}: not a neighbours file: {exc}") from exc


def _interface(index: int, entry: dict[str, Any]) -> Interface:
    addresses = tuple(ipaddress.IPv4Interface(text).ip.packed for text in entry["ip"])
    return Interface(index, entry["name"], _mac(entry["mac"]), int(entry.get("mtu", 1500)), addresses)


def _route(
    by_name: Mapping[str, int], entry: dict[str, Any]
) -> tuple[ipaddress.IPv4Network, ipaddress.IPv4Address, int]:
    via = ipaddress.IPv4Address(entry["via"])
    return ipaddress.IPv4Network(entry["prefix"]), via, by_name[entry["interface"]]


def _mac(text: str) -> bytes:
    mac = bytes.fromhex(text.replace(":", ""))
    if len(mac) != 6:
        raise ValueError(f"{text!r} is not a MAC address")
    return mac


def needs(planned: plan.Plan) -> str:
    """What a neighbours file must tell for a plan."""
    servers = sorted({s.address for service in planned.services.values() if service for s in service.servers})
    return (
        "replay needs --neighbours FILE.json: the interface that frames arrive on (name, mac, ip, mtu) and the MAC "
        f"addresses of the servers {', '.join(servers) or '(the plan has none)'}"
    )


def fill(values: Tables, planned: plan.Plan, around: Surroundings) -> None:
    """Put a plan's values, every server up. Raises NetworkError where the file leaves a server's MAC address out."""
    services = [service for service in planned.services.values() if service is not None]
    for interface in around.interfaces:
        values.put_interface(interface)
    values.put_addresses(frozenset(address for i in around.interfaces for address in i.addresses))
    for service in {s.pool_uuid: s for s in services}.values():
        way = around.hop if service.mode == plan.L2 else around.next_hop
        members = tables.members(service, lambda server: True, way)
        missing = [m.server.address for m in members if m.hop.interface is not None and m.hop.mac is None]
        if missing:
            raise NetworkError(f"the neighbours file has no MAC address on the way to {', '.join(missing)}")
        values.put_pool(tables.pool(service, members))
    for service in services:
        if service.enabled:
            values.put_service(tables.service(service))
    for vip in sorted({s.vip for s in services}):
        mine = [s for s in services if s.vip == vip]
        value = tables.vip(socket.inet_aton(vip), mine, lambda s: s.pool_enabled and any(m.enabled for m in s.servers))
        values.put_vip(Vip(value.address, value.up, value.owned))


@contextmanager
def decider(driver: str, planned: plan.Plan, around: Surroundings) -> Iterator[Decider]:
    """A driver's decision, ready for frames of the first interface. driver: "pcap" or "xdp". Raises DriverError."""
    if driver == "xdp":
        raise DriverError("replay on the XDP program is not there yet", remedy="--driver pcap decides the same")
    yield reference(planned, around)


def reference(planned: plan.Plan, around: Surroundings) -> Decider:
    """The reference decision, ready for frames of the first interface."""
    values = decision.Values()
    fill(values, planned, around)
    first = around.interfaces[0]
    flows = Flows()
    return lambda frame, now: decision.decide(frame, first, values, flows, now)


def replay(decide: Decider, planned: plan.Plan, source: Path, target: Path) -> dict[str, Any]:
    """Decide every frame of a capture, write what would have left, and sum up (the shape is in the README).

    Raises PlanError where the capture cannot be read or written, or is not of Ethernet frames.
    """
    from scapy.error import Scapy_Exception
    from scapy.utils import RawPcapWriter

    summary = Summary(planned)
    try:
        with RawPcapWriter(str(target), linktype=ETHERNET, sync=False) as out:
            out.write_header(None)
            for frame, seconds, micros in _frames(source):
                verdict = decide(frame, (seconds * 1_000_000 + micros) * 1000)
                summary.add(verdict)
                for leaving in verdict.frames:
                    out.write_packet(leaving, sec=seconds, usec=micros)
    except OSError as exc:
        raise PlanError(f"{exc.filename or source}: {exc.strerror}") from exc
    except (Scapy_Exception, EOFError) as exc:
        raise PlanError(f"{source}: not a capture file: {exc}") from exc
    return summary.told()


def _frames(source: Path) -> Iterator[tuple[bytes, int, int]]:
    from scapy.utils import RawPcapNgReader, RawPcapReader

    with RawPcapReader(str(source)) as reader:
        for frame, about in reader:
            if isinstance(reader, RawPcapNgReader):
                link, ticks = about.linktype, (about.tshigh << 32) + (about.tslow or 0) if about.tshigh else 0
                seconds, rest = divmod(ticks, about.tsresol) if ticks else (0, 0)
                micros = rest * 1_000_000 // about.tsresol if ticks else 0
            else:
                link, seconds, micros = reader.linktype, about.sec, about.usec // (1000 if reader.nano else 1)
            if link != ETHERNET:
                raise PlanError(f"{source}: link type {link}; only Ethernet ({ETHERNET}) can be replayed")
            yield frame, seconds, micros


class Summary:
    """Counts verdicts by action, drop reason, virtual service and server."""

    def __init__(self, planned: plan.Plan) -> None:
        services = [s for s in planned.services.values() if s is not None]
        self._names: dict[ServiceKey, str] = {tables.key(s): s.virtualservice for s in services}
        self._ports = {
            (tables.key(s), socket.inet_aton(server.address)): server.port for s in services for server in s.servers
        }
        self._actions: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._services: dict[str, dict[str, Any]] = {
            s.virtualservice: {"packets": 0, "bytes": 0, "servers": {}} for s in services
        }

    def add(self, verdict: decision.Verdict) -> None:
        """Count one."""
        self._actions[verdict.action] += 1
        if verdict.action == decision.DROPPED:
            self._dropped[verdict.reason] += 1
        if verdict.action != decision.FORWARDED or verdict.service is None:
            return
        service = self._services[self._names[verdict.service]]
        port = self._ports[verdict.service, verdict.server]
        name = f"{socket.inet_ntoa(verdict.server)}:{port}"
        server = service["servers"].setdefault(name, {"packets": 0, "bytes": 0})
        for tally in (service, server):
            tally["packets"] += 1
            tally["bytes"] += verdict.size

    def told(self) -> dict[str, Any]:
        """{"frames", "forwarded", "answered", "host", "dropped": {reason: n}, "services": {name: {"packets", "bytes",
        "servers": {"ip:port": {"packets", "bytes"}}}}}"""
        return {
            "frames": self._actions.total(),
            "forwarded": self._actions[decision.FORWARDED],
            "answered": self._actions[decision.ANSWERED],
            "host": self._actions[decision.HOST],
            "dropped": dict(sorted(self._dropped.items())),
            "services": self._services,
        }
