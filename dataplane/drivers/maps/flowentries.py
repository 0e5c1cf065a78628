"""What is remembered of flows, read from the maps."""

from __future__ import annotations

import struct
from collections.abc import Collection
from typing import NamedTuple

from dataplane.drivers.maps.heldmap import HeldMap
from dataplane.drivers.maps.layout import LIFE
from dataplane.drivers.maps.poolrecord import family, pool_id
from dataplane.forwarding.handshakes import Opening, TcpFlow
from dataplane.forwarding.lookup import LookupTables
from dataplane.forwarding.tracking import SECOND, Entry, Flow, MemberId, find_member, slot_for
from dataplane.forwarding.values import Lingering, Pool, Service

_FLOW = struct.Struct("=4s4s2s2sB3x")
_ENTRY = struct.Struct("=16sQ")
_OPENING = struct.Struct("=Q4s4sI4x")
_ID = 8
"""Bytes of a pool's id, which an entry begins with."""


class FlowEntry(NamedTuple):
    """An entry of `elder` or `young`."""

    flow: Flow
    pool: bytes  # its id
    address: bytes  # of the member
    generation: int  # of the member
    seen: int  # nanoseconds of the system's monotonic clock


def read(key: bytes, value: bytes) -> FlowEntry:
    """An entry of `elder` or `young`."""
    client, vip, client_port, port, protocol = _FLOW.unpack(key)
    where, seen = _ENTRY.unpack(value)
    pool, address, generation = LIFE.unpack(where)
    flow = Flow(client, vip, protocol, int.from_bytes(client_port, "big"), int.from_bytes(port, "big"))
    return FlowEntry(flow, pool, address, generation, seen)


def key_of(flow: Flow) -> bytes:
    """A flow's key in `elder` and `young`."""
    ports = flow.client_port.to_bytes(2, "big"), flow.port.to_bytes(2, "big")
    return _FLOW.pack(flow.client, flow.vip, *ports, flow.protocol)


def remembered(held: HeldMap, flow: Flow, values: LookupTables) -> Entry | None:
    """What `elder` or `young` holds of a flow, where it is of the flow's pool."""
    value = held.lookup(key_of(flow))
    service = values.service(flow.vip, flow.protocol, flow.port)
    pool = values.pools.get(service.pool) if service is not None else None
    if value is None or pool is None or family(value[:_ID]) != family(pool_id(pool.uuid)):
        return None
    entry = read(key_of(flow), value)
    return Entry(MemberId(pool.uuid, entry.address, entry.generation), entry.seen)


def read_opening(key: bytes, value: bytes) -> tuple[TcpFlow, Opening]:
    """An entry of `openings`."""
    client, vip, client_port, port, _ = _FLOW.unpack(key)
    seen, server, sequence, syns = _OPENING.unpack(value)
    return TcpFlow(client, vip, client_port + port), Opening(server, sequence, syns, seen)


def lingering(elder: HeldMap, values: LookupTables, wanted: Collection[str], now: int) -> Lingering:
    """Driver.lingering, over the map `elder`. now: nanoseconds of the system's monotonic clock."""
    found: dict[str, list[tuple[int, tuple[bytes, int], int]]] = {name: [] for name in wanted}
    families = {family(pool_id(name)) for name in wanted}
    for key, value in elder.items() if families else ():
        if family(value[:_ID]) not in families:
            continue
        entry = read(key, value)
        service = values.service(entry.flow.vip, entry.flow.protocol, entry.flow.port)
        pool = values.pools.get(service.pool) if service is not None else None
        if service is not None and pool is not None and _lives(entry, service, pool, now):
            if pool.uuid in found:
                member = entry.address, entry.generation
                found[pool.uuid].append((slot_for(entry.flow, service, pool), member, entry.seen))
        elif elder.lookup(key) == value:  # no packet came meanwhile
            elder.delete(key)
    return found


def _lives(entry: FlowEntry, service: Service, pool: Pool, now: int) -> bool:
    if service.idle_timeout and now - entry.seen > service.idle_timeout * SECOND:
        return False
    if family(entry.pool) != family(pool_id(pool.uuid)):
        return False
    target = find_member(pool, MemberId(pool.uuid, entry.address, entry.generation))
    return target is not None and target.serves
