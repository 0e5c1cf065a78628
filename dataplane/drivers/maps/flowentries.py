"""What is remembered of flows, read from the maps."""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from typing import NamedTuple

from dataplane.drivers.maps.heldmap import HeldMap
from dataplane.drivers.maps.layout import LIFE
from dataplane.drivers.maps.poolrecord import family, pool_id
from dataplane.forwarding.handshakes import Opening, TcpFlow
from dataplane.forwarding.lookup import LookupTables
from dataplane.forwarding.maglev import slot_of
from dataplane.forwarding.tracking import SECOND, Entry, Flow, MemberId
from dataplane.forwarding.values import Lingering, Pool

_FLOW = struct.Struct("=4s4s2s2sB3x")
_ENTRY = struct.Struct("=16sQ")
_VALUE = struct.Struct(f"{LIFE.format}Q")
"""An entry, taken apart in one go."""
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


class _Place(NamedTuple):
    """What the flows of a VIP, protocol and port have in common."""

    pool: Pool
    family: bytes  # of the pool's id
    oldest: int  # when the last packet of a flow that lives came at the earliest
    by_port: bool  # the clients' ports are hashed too
    lives: Mapping[tuple[bytes, int], tuple[bytes, int]]  # members that serve, by address and generation
    found: list[tuple[int, tuple[bytes, int], int]] | None  # where the flows go; None: nobody asks for the pool


def lingering(elder: HeldMap, values: LookupTables, wanted: Collection[str], now: int) -> Lingering:
    """Driver.lingering, over the map `elder`. now: nanoseconds of the system's monotonic clock.

    The map may hold 262,144 flows: what they have in common is looked up once for each VIP, protocol and port."""
    found: dict[str, list[tuple[int, tuple[bytes, int], int]]] = {name: [] for name in wanted}
    families = {family(pool_id(name)) for name in wanted}
    places: dict[tuple[bytes, bytes, int], _Place | None] = {}
    over: list[tuple[bytes, bytes]] = []
    for keys, entries, count in elder.batches() if families else ():
        flows = _FLOW.iter_unpack(memoryview(keys)[: count * _FLOW.size])
        told = _VALUE.iter_unpack(memoryview(entries)[: count * _VALUE.size])
        for (client, vip, client_port, port, protocol), (id, address, generation, seen) in zip(
            flows, told, strict=True
        ):
            if id[4:] not in families:
                continue
            to = vip, port, protocol
            if to not in places:
                places[to] = _place(values, *to, now, found)
            place = places[to]
            life = place.lives.get((address, generation)) if place is not None and seen >= place.oldest else None
            if place is None or life is None or id[4:] != place.family:
                key = _FLOW.pack(client, vip, client_port, port, protocol)
                over.append((key, _VALUE.pack(id, address, generation, seen)))
            elif place.found is not None:
                hashed = int.from_bytes(client_port, "big") if place.by_port else 0
                slot = slot_of(int.from_bytes(client, "big"), hashed, place.pool.seed, len(place.pool.table))
                place.found.append((slot, life, seen))
    for key, value in over:
        if elder.lookup(key) == value:  # no packet came meanwhile
            elder.delete(key)
    return found


def _place(
    values: LookupTables,
    vip: bytes,
    port: bytes,
    protocol: int,
    now: int,
    found: Mapping[str, list[tuple[int, tuple[bytes, int], int]]],
) -> _Place | None:
    """None: no service is there, or it has no pool."""
    service = values.service(vip, protocol, int.from_bytes(port, "big"))
    pool = values.pools.get(service.pool) if service is not None else None
    if service is None or pool is None:
        return None
    members = {target.address: target for target in reversed(pool.targets)}  # the first of an address, as find_member
    lives = [(target.address, target.generation) for target in members.values() if target.serves]
    oldest = now - service.idle_timeout * SECOND if service.idle_timeout else 0
    return _Place(
        pool,
        family(pool_id(pool.uuid)),
        oldest,
        service.by_port,
        dict(zip(lives, lives, strict=True)),
        found.get(pool.uuid),
    )
