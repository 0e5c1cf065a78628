"""Turns the debug settings of a virtual service into a request for a capture. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from avi_shell.configuration.document import Document
from avi_shell.errors import InvalidObject

MOST_CLIENTS = 32
"""The most ranges of clients' addresses that an engine can distinguish."""
_LAST = 0xFFFFFFFF
_LAST_PORT = 0xFFFF
_TCP = 6
_FLAGS = {"tcp_fin": 0x01, "tcp_syn": 0x02, "tcp_push": 0x08, "tcp_ack": 0x10}
_PAIRS = (("src_port", "src_port_range_end"), ("dst_port_start", "dst_port_end"))

Range = tuple[int, int]
"""The first and the last."""


def is_wanted(document: Document) -> bool:
    """Whether the settings of a debugvirtualservice ask for a capture."""
    return bool(document.get("capture"))


def order(document: Document) -> dict[str, Any]:
    """The fields of the request for a debugvirtualservice's capture (`dataplane.daemon.questions`); the engine knows
    the VIPs. Raises InvalidObject for addresses that no engine can distinguish, as in `faults`."""
    params, filters = document.get("capture_params") or {}, document.get("capture_filters") or {}
    clients = intersected(_addresses(document.get("debug_ip")), _addresses(filters.get("capture_ip")))
    if not clients:
        raise _refused("debug_ip", "leaves no IPv4 address of a client")
    if len(clients) > MOST_CLIENTS:
        raise _refused("debug_ip", f"makes {len(clients)} ranges of addresses; at most {MOST_CLIENTS} are possible")
    source, destination = (_ports(filters, *pair) for pair in _PAIRS)
    flags = sum(bit for name, bit in _FLAGS.items() if filters.get(name))
    return {
        "packets": params.get("num_pkts", 0),
        "seconds": 60 * params.get("duration", 0),
        "size": params.get("pkt_size", 128),
        "pcapng": params.get("pcap_ng", True),
        "files": params.get("file_count", 2),
        "clients": [] if clients == [(0, _LAST)] else [[str(IPv4Address(end)) for end in one] for one in clients],
        "protocol": _TCP if filters.get("ip_proto") == "IP_TYPE_TCP" else 0,
        "source": source,
        "destination": destination,
        "tcp_flags": flags,
    }


def faults(document: Document) -> list[InvalidObject]:
    """The faults of a debugvirtualservice's settings, used or not. Its fields must have their types."""
    found = [*_port_faults(document.get("capture_filters") or {}), *_range_faults(document)]
    if not found:
        try:
            order(document)
        except InvalidObject as exc:
            found.append(exc)
    for fault in found:
        fault.what = f"DebugVirtualService {document['name']}: {fault.what}"
        fault.args = (fault.what,)
    return found


def _port_faults(filters: Mapping[str, Any]) -> Iterator[InvalidObject]:
    for first, last in _PAIRS:
        for name in (first, last):
            if filters.get(name, 0) > _LAST_PORT:
                yield _refused(f"capture_filters.{name}", f"is {filters[name]}, out of range", "<0-65535>")
        if last in filters and filters.get(first, 0) > filters[last]:
            yield _refused(f"capture_filters.{last}", f"is {filters[last]}, before the first port {filters[first]}")


def _range_faults(document: Document) -> Iterator[InvalidObject]:
    filters = document.get("capture_filters") or {}
    places = {"debug_ip": document.get("debug_ip"), "capture_filters.capture_ip": filters.get("capture_ip")}
    for place, held in places.items():
        for index, one in enumerate((held or {}).get("ranges", ()), 1):
            begin, end = _address(one.get("begin")), _address(one.get("end"))
            if begin is not None and end is not None and begin > end:
                yield _refused(f"{place}.ranges[{index}].end", f"is before the range's begin {one['begin']['addr']}")


def intersected(one: list[Range], other: list[Range]) -> list[Range]:
    """The intersection of two lists of ranges. Both are sorted and their ranges do not touch; so is the result."""
    found = ((max(a, c), min(b, d)) for a, b in one for c, d in other)
    return [(low, high) for low, high in found if low <= high]


def _addresses(held: Mapping[str, Any] | None) -> list[Range]:
    """The IPv4 addresses that a DebugIpAddr means; all if it names none."""
    held = held or {}
    named: list[Range] = []
    for one in held.get("addrs", ()):
        if (address := _address(one)) is not None:
            named.append((address, address))
    for one in held.get("ranges", ()):
        begin, end = _address(one.get("begin")), _address(one.get("end"))
        if begin is not None and end is not None:
            named.append((begin, end))
    for one in held.get("prefixes", ()):
        if _address(one.get("ip_addr")) is not None:
            network = IPv4Network((one["ip_addr"]["addr"], one["mask"]), strict=False)
            named.append((int(network.network_address), int(network.broadcast_address)))
    if not any(held.get(name) for name in ("addrs", "ranges", "prefixes")):
        return [(0, _LAST)]
    merged = _merged(named)
    return _others(merged) if held.get("match_operation") == "IS_NOT_IN" else merged


def _merged(ranges: Iterable[Range]) -> list[Range]:
    merged: list[Range] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(high, merged[-1][1])
        else:
            merged.append((low, high))
    return merged


def _others(ranges: Iterable[Range]) -> list[Range]:
    """All addresses that are in none of the ranges."""
    found, at = [], 0
    for low, high in ranges:
        if at < low:
            found.append((at, low - 1))
        at = high + 1
    return [*found, (at, _LAST)] if at <= _LAST else found


def _address(held: Any) -> int | None:
    """An IPv4 address as a number; None for any other."""
    if not isinstance(held, dict) or held.get("type") != "V4":
        return None
    return int(IPv4Address(held["addr"]))


def _ports(filters: Mapping[str, Any], first: str, last: str) -> list[int]:
    if first not in filters and last not in filters:
        return [0, _LAST_PORT]
    begin = filters.get(first, 0)
    return [begin, filters.get(last, begin)]


def _refused(path: str, rule: str, hint: str = "") -> InvalidObject:
    return InvalidObject(f"{path} {rule}", path=path, hint=hint)
