"""What an engine has in its tables, and what it takes of its machine: one table a word."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dataplane import plan
from dataplane.engine.engine import Engine
from dataplane.forwarding import poolnames
from dataplane.forwarding.values import TRACKED, TRANSITION
from dataplane.network.neighbours import STATE_NAMES

MOST = 5000
"""Rows of a table that are told."""
_TICKS = os.sysconf("SC_CLK_TCK")
_RECEIVED, _SENT = ("bytes", "packets", "errors", "dropped"), 8
"""What /proc/net/dev has in its first columns, and where the same of what was sent begins (proc(5))."""

Row = dict[str, Any]


def report(engine: Engine, word: str) -> dict[str, Any]:
    """{"name": the engine's, "table": word, "rows": [one of the shape that its function here gives], "left_out": how
    many there are beyond}."""
    rows = list(TABLES[word](engine))
    return {"name": engine.name, "table": word, "rows": rows[:MOST], "left_out": max(0, len(rows) - MOST)}


def interfaces(engine: Engine) -> Iterator[Row]:
    """{"interface", "mode": how the driver takes its frames, "mac", "mtu", "up", "addresses", "lost", "fault", and of
    the kernel's counters "received_packets", "received_bytes", "received_errors", "received_dropped", and "sent_…"}."""
    counted, modes = _counted(), engine.driver.modes()
    for one in engine.interfaces.served():
        sending = engine.sending.of(one.index)
        yield {
            "interface": one.name,
            "mode": modes.get(one.name, ""),
            "mac": one.mac.hex(":"),
            "mtu": one.mtu,
            "up": engine.network.is_up(one.index),
            "addresses": [socket.inet_ntoa(address) for address in one.addresses],
            "lost": sending.lost,
            "fault": sending.fault,
            **counted.get(one.name, {}),
        }


def routes(engine: Engine) -> Iterator[Row]:
    """Where packets to servers go: {"server", "pool", "mode", "interface", "gateway": null on the segment, "source": of
    tunnels and probes, "mac": of the next hop, null where it is not known}."""
    names = {one.index: one.name for one in engine.interfaces.served()}
    for uuid in engine.index.pools:
        service = next(iter(engine.index.of_pool(uuid)))
        addresses = engine.index.members(uuid).addresses
        for address, hop in zip(addresses, engine.next_hops.of(addresses, service.mode), strict=True):
            route = engine.network.route_to(address) if service.mode != plan.L2 else None
            gateway = None if route is None or route.gateway == address else socket.inet_ntoa(route.gateway)
            yield {
                "server": socket.inet_ntoa(address),
                "pool": service.pool,
                "mode": service.mode,
                "interface": names.get(hop.interface or 0),
                "gateway": gateway,
                "source": socket.inet_ntoa(hop.source) if hop.source else None,
                "mac": hop.mac.hex(":") if hop.mac else None,
            }


def neighbours(engine: Engine) -> Iterator[Row]:
    """What ARP knows on the served interfaces: {"interface", "address", "mac", "state"}."""
    for one in engine.interfaces.served():
        for address, mac in sorted(engine.network.neighbours(one.index).items()):
            fixed = engine.network.is_permanent(one.index, address)
            yield {
                "interface": one.name,
                "address": socket.inet_ntoa(address),
                "mac": mac.hex(":"),
                "state": "permanent" if fixed else "known",
            }
        for (index, address), state in sorted(engine.network.unknown.items()):
            if index == one.index and state:
                told = STATE_NAMES.get(state, str(state))
                yield {"interface": one.name, "address": socket.inet_ntoa(address), "mac": None, "state": told}


def flows(engine: Engine) -> Iterator[Row]:
    """What is remembered of flows, of each of the driver's pools: {"pool", "vips": [those that have this table],
    "slots", "in_transition", "tracked": how many of these, "flows": that lived at the last look, of former servers,
    "servers": {address: those of it}, "room": how many flows of all pools can be remembered, "full_since":
    seconds since the epoch, null while there is room, "full": what that means, in words}. Flows of stable slots
    are remembered nowhere."""
    for name, value in sorted(engine.pools.values.items()):
        parts = poolnames.parts(name)
        services = [one for one in engine.index.of_pool(parts.uuid) if engine.pools.name(one) == name]
        counted = engine.flow_memory.of.get(name, {})  # to look anew takes seconds where there are many
        servers = {socket.inet_ntoa(address): count for address, count in counted.items()}
        yield {
            "pool": next((one.pool for one in services), parts.uuid),
            "vips": sorted({one.vip for one in services}),
            "slots": value.slots,
            "in_transition": value.phases.count(TRANSITION),
            "tracked": value.phases.count(TRACKED),
            "flows": sum(servers.values()),
            "servers": servers,
            "room": engine.flow_memory.size,
            "full_since": engine.flow_memory.since,
            "full": engine.flow_memory.words(),
        }


def processor(_engine: Engine) -> Iterator[Row]:
    """The processor time of the engine's process, by thread: {"thread", "user", "system": seconds, "since": seconds
    that it runs}. The first row is of all, those that have ended too."""
    mine, uptime = os.times(), time.clock_gettime(time.CLOCK_BOOTTIME)
    since = uptime - int(_stat(Path("/proc/self/stat"))[19]) / _TICKS
    yield {"thread": "all", "user": mine.user, "system": mine.system, "since": round(since, 1)}
    names = {one.native_id: one.name for one in threading.enumerate()} | {os.getpid(): "main"}
    for task in sorted(Path("/proc/self/task").iterdir(), key=lambda path: int(path.name)):
        with suppress(OSError):  # it has just ended
            told = _stat(task / "stat")
            began = uptime - int(told[19]) / _TICKS
            yield {
                "thread": names.get(int(task.name)) or (task / "comm").read_text().strip(),
                "user": int(told[11]) / _TICKS,
                "system": int(told[12]) / _TICKS,
                "since": round(began, 1),
            }


def memory(_engine: Engine) -> Iterator[Row]:
    """The memory of the engine's process: {"kind", "bytes"}."""
    kinds = {
        "VmRSS": "resident",
        "VmHWM": "resident, at most so far",
        "RssAnon": "its own",
        "RssFile": "of files",
        "RssShmem": "shared: maps",
        "VmSwap": "swapped out",
    }
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in kinds:
            yield {"kind": kinds[name], "bytes": int(value.split()[0]) * 1024}


def vnics(engine: Engine) -> Iterator[Row]:
    """Interfaces with the VIPs that are on their segments: {"interface", "index", "mac", "networks", "vips": [{"vip",
    "up", "announced"}]}. A VIP of no segment is on every interface."""
    attached = {one.index: engine.network.prefixes([one]) for one in engine.interfaces.served()}
    for one in engine.interfaces.served():
        vips = [
            {"vip": socket.inet_ntoa(vip.address), "up": vip.up, "announced": vip.owned}
            for vip in engine.vips.served()
            if attached[one.index].find_all([vip.address])[0] is not None
            or not any(networks.find_all([vip.address])[0] for networks in attached.values())
        ]
        addresses = [socket.inet_ntoa(address) for address in one.addresses]
        yield {"interface": one.name, "index": one.index, "mac": one.mac.hex(":"), "networks": addresses, "vips": vips}


TABLES: Mapping[str, Callable[[Engine], Iterator[Row]]] = {
    "interface": interfaces,
    "route": routes,
    "arptable": neighbours,
    "flowtable": flows,
    "cpu": processor,
    "memory": memory,
    "vnicdb": vnics,
}
"""By the word that operators type."""


def _stat(path: Path) -> list[str]:
    """The fields of a stat file behind the program's name (proc(5)): the third is the first."""
    return path.read_text().rpartition(")")[2].split()


def _counted() -> dict[str, dict[str, int]]:
    """The kernel's counters of this namespace's interfaces."""
    found = {}
    for line in Path("/proc/self/net/dev").read_text().splitlines()[2:]:
        name, _, numbers = line.partition(":")
        values = [int(number) for number in numbers.split()]
        found[name.strip()] = {
            f"{side}_{what}": values[first + at]
            for side, first in (("received", 0), ("sent", _SENT))
            for at, what in enumerate(_RECEIVED)
        }
    return found
