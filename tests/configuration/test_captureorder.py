"""What debug settings ask engines to capture, field by field; and what of them no engine could do."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from avi_shell.configuration import captureorder
from avi_shell.configuration.document import Document
from avi_shell.errors import InvalidObject
from dataplane.daemon import questions

from .addresses import address, prefix
from .conftest import Site

FILTERS = "capture_filters."
NOTHING = {
    "packets": 0, "seconds": 0, "size": 128, "pcapng": True, "files": 2, "clients": [], "protocol": 0,
    "source": [0, 65535], "destination": [0, 65535], "tcp_flags": 0,
}  # fmt: skip


def traced(site: Site) -> str:
    site.save("virtualservice", name="a")
    return "a"


def only(first: str, last: str = "") -> dict[str, Any]:
    return {"clients": [[first, last or first]]}


def span(begin: str, end: str) -> Document:
    return {"begin": address(begin), "end": address(end)}


@pytest.mark.parametrize(
    ("settings", "asked"),
    [
        ({}, {}),
        ({"capture_params": {"num_pkts": 7}}, {"packets": 7}),
        ({"capture_params": {"duration": 2}}, {"seconds": 120}),
        ({"capture_params": {"pkt_size": 0, "file_count": 9}}, {"size": 0, "files": 9}),
        ({"capture_params": {"pcap_ng": False}}, {"pcapng": False}),
        ({"capture_filters": {"ip_proto": "IP_TYPE_TCP", "eth_proto": "ETH_TYPE_IPV4"}}, {"protocol": 6}),
        ({"capture_filters": {"src_port": 80}}, {"source": [80, 80]}),
        ({"capture_filters": {"src_port": 80, "src_port_range_end": 90}}, {"source": [80, 90]}),
        ({"capture_filters": {"dst_port_start": 80}}, {"destination": [80, 80]}),
        ({"capture_filters": {"dst_port_start": 80, "dst_port_end": 443}}, {"destination": [80, 443]}),
        ({"capture_filters": {"dst_port_end": 443}}, {"destination": [0, 443]}),
        ({"capture_filters": {"tcp_syn": True, "tcp_ack": True}}, {"tcp_flags": 0x12}),
        ({"capture_filters": {"tcp_fin": True, "tcp_push": True, "tcp_syn": False}}, {"tcp_flags": 0x09}),
        ({"debug_ip": {"addrs": [address("192.0.2.7")]}}, only("192.0.2.7")),
        ({"debug_ip": {"ranges": [span("192.0.2.7", "192.0.2.9")]}}, only("192.0.2.7", "192.0.2.9")),
        ({"debug_ip": {"prefixes": [prefix("192.0.2.77/24")]}}, only("192.0.2.0", "192.0.2.255")),
        ({"debug_ip": {"prefixes": [prefix("0.0.0.0/0")]}}, {}),
        (
            {"debug_ip": {"addrs": [address("192.0.2.7"), address("192.0.2.6")], "match_operation": "IS_NOT_IN"}},
            {"clients": [["0.0.0.0", "192.0.2.5"], ["192.0.2.8", "255.255.255.255"]]},
        ),
        (
            {
                "debug_ip": {"prefixes": [prefix("192.0.2.0/24")]},
                "capture_filters": {"capture_ip": {"addrs": [address("192.0.2.7")], "match_operation": "IS_NOT_IN"}},
            },
            {"clients": [["192.0.2.0", "192.0.2.6"], ["192.0.2.8", "192.0.2.255"]]},
        ),
    ],
)  # fmt: skip
def test_what_is_asked(site: Site, settings: Document, asked: dict[str, Any]) -> None:
    stored = site.save("debugvirtualservice", name=traced(site), **settings).document
    order = captureorder.order(stored)
    assert order == NOTHING | asked
    question = {"request": "capture", "of": "a", "virtualservice": "virtualservice-1", **order}
    read = questions.read(json.dumps(question).encode())
    assert dict(read.fields) | order == dict(read.fields)


@pytest.mark.parametrize(
    ("settings", "path", "told"),
    [
        ({"capture_filters": {"src_port": 65536}}, FILTERS + "src_port", "is 65536, out of range"),
        ({"capture_filters": {"dst_port_start": 90, "dst_port_end": 80}}, FILTERS + "dst_port_end", "is 80,"),
        ({"capture_filters": {"src_port": 2, "src_port_range_end": 1}}, FILTERS + "src_port_range_end", "is 1,"),
        ({"debug_ip": {"ranges": [span("10.0.0.2", "10.0.0.1")]}}, "debug_ip.ranges[1].end", "before the range"),
        ({"debug_ip": {"addrs": [address("2001:db8::1")]}}, "debug_ip", "leaves no IPv4 address"),
        ({"debug_ip": {"prefixes": [prefix("0.0.0.0/0")], "match_operation": "IS_NOT_IN"}}, "debug_ip", "leaves no"),
        ({"debug_ip": {"addrs": [address(f"10.0.0.{n}") for n in range(0, 66, 2)]}}, "debug_ip", "makes 33 ranges"),
    ],
)  # fmt: skip
def test_what_is_refused(site: Site, settings: Document, path: str, told: str) -> None:
    name = traced(site)
    with pytest.raises(InvalidObject, match=f"DebugVirtualService {name}: ") as refusal:
        site.save("debugvirtualservice", name=name, **settings)
    assert refusal.value.path == path
    assert told in refusal.value.what


def test_ranges_are_cut_as_sets_are() -> None:
    rnd = random.Random(3)
    for _ in range(300):
        one, other = ({rnd.randrange(40) for _ in range(rnd.randrange(20))} for _ in range(2))
        sets = [captureorder._merged((n, n) for n in numbers) for numbers in (one, other)]
        found = captureorder.intersected(*sets)
        assert {n for low, high in found for n in range(low, high + 1)} == one & other
        rest = captureorder._others(sets[0])
        assert {n for n in range(50) if any(low <= n <= high for low, high in rest)} == set(range(50)) - one
