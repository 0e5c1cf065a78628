"""Replay: the forwarding decision on a capture file, with a plan and a network that are given instead of found.

Every server counts as up. The clock is the capture's.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from dataplane import plan
from dataplane.drivers import registry
from dataplane.drivers.registry import Replayer
from dataplane.errors import NetworkError, PlanError
from dataplane.forwarding import translate
from dataplane.forwarding.driver import Tables
from dataplane.forwarding.values import Counters, Tally, Vip
from dataplane.replay.surroundings import Surroundings

ETHERNET = 1
"""DLT_EN10MB, the only link type that can be replayed (pcap-linktype(7))."""


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
        missing = [m.server.address for m in members if m.next_hop.interface is not None and m.next_hop.mac is None]
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
