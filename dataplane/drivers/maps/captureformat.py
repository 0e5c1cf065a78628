"""Packs and unpacks a capture's structures in memory, those of dataplane/forwarding/program/capture.h."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import chain

from dataplane.drivers.maps.layout import ANSWERED as ANSWERED_EVENT
from dataplane.forwarding.capture import (
    MOST,
    MOST_CLIENTS,
    MOST_PORTS,
    MOST_VIPS,
    SLOW,
    Captured,
    Left,
    Wanted,
)
from dataplane.forwarding.decision import ANSWERED, DROPPED, FORWARDED, HOST
from dataplane.forwarding.dropreasons import DROP_REASONS

LEASE = 5_000_000_000
"""Nanoseconds for which a filter that is not renewed stays."""
_DROPS, _OTHER_CLIENTS, _WITH_PORTS = 1, 2, 4
_UNTIL = struct.Struct("=Q")
_FILTER = struct.Struct(
    f"=QIIIIII4HBB6x{4 * MOST_VIPS}s{2 * MOST_CLIENTS}I{4 * MOST_PORTS}H"  # struct capture_filter
)
_HEAD = struct.Struct("=QIIIIIBBxx")  # struct captured
_XDP_DROP, _XDP_PASS = 1, 2
FILTER_SIZE = _FILTER.size


def pack_until(until: int) -> bytes:
    """The beginning of a filter. until: nanoseconds of CLOCK_MONOTONIC; 0: nothing is captured."""
    return _UNTIL.pack(until)


def pack(wanted: Wanted, until: int) -> bytes:
    """Pack a filter. until: as in `pack_until`."""
    flags = (_DROPS if wanted.drops else 0) | (_OTHER_CLIENTS if wanted.other_clients else 0)
    flags |= _WITH_PORTS if wanted.with_ports else 0
    clients = [int.from_bytes(end, "big") for end in chain.from_iterable(wanted.clients)]
    ports = list(chain.from_iterable((*ports, 0) for ports in wanted.ports))
    return _FILTER.pack(
        until,
        0,
        min(wanted.most, MOST),
        flags,
        len(wanted.vips),
        len(wanted.clients),
        len(wanted.ports),
        *wanted.source,
        *wanted.destination,
        wanted.protocol,
        wanted.tcp_flags,
        b"".join(wanted.vips),
        *_filled(clients, 2 * MOST_CLIENTS),
        *_filled(ports, 4 * MOST_PORTS),
    )


def read(record: bytes | memoryview) -> Captured:
    """Unpack a record."""
    time, interface, size, kept, left_size, left_kept, action, event = _HEAD.unpack_from(record)
    frame = bytes(record[_HEAD.size : _HEAD.size + kept])
    if action == _XDP_PASS:
        return Captured(time, interface, frame, size, HOST)
    if action <= _XDP_DROP:
        known = event < len(DROP_REASONS)
        return Captured(time, interface, frame, size, DROPPED if known else SLOW, DROP_REASONS[event] if known else "")
    left = Left(bytes(record[_HEAD.size + kept : _HEAD.size + kept + left_kept]), left_size)
    return Captured(time, interface, frame, size, ANSWERED if event == ANSWERED_EVENT else FORWARDED, "", (left,))


def _filled(numbers: Sequence[int], count: int) -> list[int]:
    return [*numbers, *[0] * (count - len(numbers))]
