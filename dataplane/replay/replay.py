"""Replay: the forwarding decision on a capture file, with a plan and a network that are given instead of found.

    {"interfaces": [{"name": "eth0", "mac": "02:…", "ip": ["10.0.0.1/24"], "mtu": 1500}],
     "neighbours": [{"ip": "10.0.0.11", "mac": "02:…", "interface": "eth0"}],
     "routes": [{"prefix": "0.0.0.0/0", "via": "10.0.0.254", "interface": "eth0"}]}

Frames arrive on the first interface; every server counts as up. Nothing about the network is guessed. The clock is the
capture's.
"""

from __future__ import annotations

import ipaddress
import json
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from dataplane import plan
from dataplane.drivers import registry
from dataplane.drivers.registry import FIRST_INTERFACE, Replayer
from dataplane.errors import NetworkError, PlanError
from dataplane.forwarding import translate
from dataplane.forwarding.driver import Tables
from dataplane.forwarding.values import Counters, Interface, Tally, Vip

ETHERNET = 1
"""DLT_EN10MB, the only link type that can be replayed (pcap-linktype(7))."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The network of a replay."""

    interfaces: tuple[Interface, ...]  # frames arrive on the first
    networks: tuple[tuple[int, ipaddress.IPv4Interface], ...]  # interface index, an address of its own and the prefix
    macs: Mapping[tuple[int, bytes], bytes]  # by interface index and address
    # prefix, gateway, interface index; the longest prefix first
    routes: tuple[tuple[ipaddress.IPv4Network, ipaddress.IPv4Address, int], ...] = ()

    def attached(self, server: bytes) -> translate.NextHop:
        """The next hop towards a server on an attached network."""
        address = ipaddress.IPv4Address(server)
        for index, own in self.networks:
            if address in own.network:
                return translate.NextHop(index, self.macs.get((index, server)), own.ip.packed)
        return translate.NextHop()

    def next_hop(self, server: bytes) -> translate.NextHop:
        """The next hop towards a server that may be routers away: attached networks first, then the longest prefix."""
        direct = self.attached(server)
        if direct.interface is not None:
            return direct
        address = ipaddress.IPv4Address(server)
        for prefix, via, index in self.routes:
            if address in prefix:
                source = next(own.ip.packed for i, own in self.networks if i == index)
                return translate.NextHop(index, self.macs.get((index, via.packed)), source)
        return translate.NextHop()


def surroundings(path: Path) -> Surroundings:
    """Read a neighbours file. Raises NetworkError naming the file and what is wrong with it."""
    try:
        data = json.loads(path.read_text("utf-8"))
        entries = list(enumerate(data["interfaces"], start=FIRST_INTERFACE))
        interfaces = tuple(_interface(index, entry) for index, entry in entries)
        if not interfaces:
            raise ValueError("at least one interface is needed")
        by_name = {interface.name: interface.index for interface in interfaces}
        return Surroundings(
            interfaces,
            tuple((index, ipaddress.IPv4Interface(text)) for index, entry in entries for text in entry["ip"]),
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
    if not re.fullmatch("[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}", text):
        raise ValueError(f"{text!r} is not a MAC address")
    return bytes.fromhex(text.replace(":", ""))


def needs(planned: plan.Plan) -> str:
    """What a neighbours file must tell for a plan."""
    servers = sorted({s.address for service in planned.services.values() if service for s in service.servers})
    return (
        "replay needs --neighbours FILE.json: the interface that frames arrive on (name, mac, ip, mtu) and the MAC "
        f"addresses of the servers {', '.join(servers) or '(the plan has none)'}"
    )


def fill(values: Tables, planned: plan.Plan, around: Surroundings) -> None:
    """Put a plan's values, every server up. Raises NetworkError where the file leaves a server's MAC address out.

    Virtual services do not share pools here: each has its own, so that its servers are counted apart.
    """
    services = [service for service in planned.services.values() if service is not None]
    for interface in around.interfaces:
        values.put_interface(interface)
    values.put_addresses(frozenset(address for i in around.interfaces for address in i.addresses))
    for service in {_pool(s): s for s in services}.values():
        next_hop = around.attached if service.mode == plan.L2 else around.next_hop
        members = translate.members(service, lambda server: True, next_hop)
        missing = [m.server.address for m in members if m.hop.interface is not None and m.hop.mac is None]
        if missing:
            raise NetworkError(f"the neighbours file has no MAC address of the next hop towards {', '.join(missing)}")
        values.put_pool(replace(translate.pool(service, members), uuid=_pool(service)))
    for service in services:
        if service.enabled:
            values.put_service(replace(translate.service(service), pool=_pool(service)))
    for vip in sorted({s.vip for s in services}):
        mine = [s for s in services if s.vip == vip]
        value = translate.vip(
            socket.inet_aton(vip), mine, lambda s: s.pool_enabled and any(m.enabled for m in s.servers)
        )
        values.put_vip(Vip(value.address, value.up, value.owned))


def _pool(service: plan.Service) -> str:
    """The uuid of a service's pool here: as short as the XDP program's pools want it."""
    return blake2b(f"{service.pool_uuid} {service.uuid}".encode(), digest_size=16).hexdigest()


@contextmanager
def replayer(driver: str, planned: plan.Plan, around: Surroundings) -> Iterator[Replayer]:
    """A driver's decision on a plan. driver: its name. Raises DriverError, NetworkError."""
    with closing(registry.entry(driver).load().replayer()) as ready:
        fill(ready.tables, planned, around)
        yield ready


def replay(replayer: Replayer, planned: plan.Plan, source: Path, target: Path) -> dict[str, Any]:
    """Decide every frame of a capture, write what would have left, and sum up: see `summary`.

    Raises PlanError where the capture cannot be read or written, or is not of Ethernet frames; DriverError.
    """
    from scapy.error import Scapy_Exception
    from scapy.utils import RawPcapWriter

    frames = 0
    try:
        source.open("rb").close()  # before anything is written
        if target.exists() and target.samefile(source):
            raise PlanError(f"{target} is the capture itself: what leaves would take its place")
        with RawPcapWriter(str(target), linktype=ETHERNET, sync=False) as out:
            out.write_header(None)
            for frame, seconds, micros in _frames(source):
                frames += 1
                for leaving in replayer.decide(frame, (seconds * 1_000_000 + micros) * 1000):
                    out.write_packet(leaving, sec=seconds, usec=micros)
    except OSError as exc:
        raise PlanError(f"{exc.filename or source}: {exc.strerror}") from exc
    except (Scapy_Exception, EOFError) as exc:
        raise PlanError(f"{source}: not a capture file: {exc}") from exc
    return summary(planned, frames, replayer.counters())


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


def summary(planned: plan.Plan, frames: int, counters: Counters) -> dict[str, Any]:
    """{"frames", "forwarded", "answered", "host", "dropped": {reason: n}, "services": {name: {"packets", "bytes",
    "servers": {"ip:port": {"packets", "bytes"}}}}}"""
    services = [service for service in planned.services.values() if service is not None]
    told: dict[str, Any] = {s.virtualservice: {"packets": 0, "bytes": 0, "servers": {}} for s in services}
    for service in services:
        _add(told[service.virtualservice], counters.services.get(translate.key(service)))
    for service in {_pool(s): s for s in services}.values():
        servers = told[service.virtualservice]["servers"]
        for server in service.servers:
            tally = counters.servers.get((_pool(service), socket.inet_aton(server.address)))
            if tally is not None and tally.packets:
                name = f"{server.address}:{server.port}"
                _add(servers.setdefault(name, {"packets": 0, "bytes": 0}), tally)
    forwarded = sum(service["packets"] for service in told.values())
    dropped = {reason: n for reason, n in sorted(counters.dropped.items()) if n}
    return {
        "frames": frames,
        "forwarded": forwarded,
        "answered": counters.answered,
        "host": frames - forwarded - counters.answered - sum(dropped.values()),
        "dropped": dropped,
        "services": told,
    }


def _add(sums: dict[str, Any], tally: Tally | None) -> None:
    if tally is not None:
        sums["packets"] += tally.packets
        sums["bytes"] += tally.bytes
