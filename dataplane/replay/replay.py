"""Replays a capture file through the forwarding decision. Plan and network are given, not discovered.

Every server counts as up. The clock is the capture's.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Any

from dataplane import plan
from dataplane.drivers import registry
from dataplane.drivers.registry import Replayer
from dataplane.errors import NetworkError, PlanError
from dataplane.foreign import capture
from dataplane.foreign.errors import ForeignError
from dataplane.forwarding import translate
from dataplane.forwarding.decision import ETH_HLEN, ETH_P_8021Q, ETH_P_IP, VLAN_HLEN
from dataplane.forwarding.driver import Tables
from dataplane.forwarding.values import Counters, Tally, Vip
from dataplane.replay.surroundings import Surroundings


def fill(values: Tables, planned: plan.Plan, around: Surroundings) -> None:
    """Fill a driver's tables from a plan, with every server up. Raises NetworkError if the file lacks a server's MAC
    address.

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
    """The uuid of a service's pool here, short enough for the XDP program's pools."""
    return blake2b(f"{service.pool_uuid} {service.uuid}".encode(), digest_size=16).hexdigest()


@contextmanager
def replayer(driver: str, planned: plan.Plan, around: Surroundings) -> Iterator[Replayer]:
    """A driver's decision on a plan. driver: its name. Raises DriverError, NetworkError."""
    with closing(registry.entry(driver).load().replayer()) as ready:
        fill(ready.tables, planned, around)
        yield ready


@dataclass(slots=True)
class Seen:
    """Facts about a capture itself, apart from the verdicts on its frames."""

    frames: int = 0
    cut: int = 0  # frames whose end was not captured
    unfilled: int = 0  # IPv4 headers whose checksum the sender left to its network card
    left_out: list[dict[str, int]] = field(default_factory=list)  # frames that are too large for the driver


def replay(replayer: Replayer, planned: plan.Plan, source: Path, target: Path) -> dict[str, Any]:
    """Decide about every frame of a capture, write the frames that would have left, and return `summary`.

    Raises PlanError where the capture cannot be read or written, or is not of Ethernet frames; DriverError.
    """
    seen, frames = Seen(), capture.frames(source)
    try:
        first = next(frames, None)  # before anything is written
        if target.exists() and target.samefile(source):
            raise PlanError(f"{target} is the capture itself: what leaves would take its place")
        with target.open("wb") as stream:
            out = capture.Writer(stream)
            for frame in chain(() if first is None else (first,), frames):
                seen.frames = frame.number
                seen.cut += frame.cut
                seen.unfilled += _unfilled(frame.data)
                if len(frame.data) > replayer.largest:
                    seen.left_out.append({"frame": frame.number, "bytes": len(frame.data)})
                    continue
                for leaving in replayer.decide(frame.data, frame.nanoseconds):
                    out.write(leaving, frame.nanoseconds)
    except OSError as exc:
        raise PlanError(f"{exc.filename or source}: {exc.strerror}") from exc
    except ForeignError as exc:
        raise PlanError(f"{source}: not a capture that can be replayed: {exc}") from exc
    return summary(planned, seen, replayer.counters())


def _unfilled(frame: bytes) -> bool:
    """Whether an IPv4 header has the checksum 0: a sender's stack leaves it to the card, which fills it in behind the
    place where the sender's own captures are taken."""
    start = ETH_HLEN + VLAN_HLEN if frame[12:14] == ETH_P_8021Q else ETH_HLEN
    return frame[start - 2 : start] == ETH_P_IP and frame[start + 10 : start + 12] == b"\0\0"


def summary(planned: plan.Plan, seen: Seen, counters: Counters) -> dict[str, Any]:
    """{"frames", "forwarded", "answered", "host", "dropped": {reason: n}, "services": {name: {"packets", "bytes",
    "servers": {"ip:port": {"packets", "bytes"}}}}, "cut": frames whose end was not captured, which are decided with
    zeros in its place, "unfilled_checksums": IPv4 headers with checksum 0, "left_out": [{"frame": number, "bytes"}]}"""
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
        "frames": seen.frames,
        "forwarded": forwarded,
        "answered": counters.answered,
        "host": seen.frames - len(seen.left_out) - forwarded - counters.answered - sum(dropped.values()),
        "dropped": dropped,
        "services": told,
        "cut": seen.cut,
        "unfilled_checksums": seen.unfilled,
        "left_out": seen.left_out,
    }


def _add(sums: dict[str, Any], tally: Tally | None) -> None:
    if tally is not None:
        sums["packets"] += tally.packets
        sums["bytes"] += tally.bytes
