"""What an engine makes of a request for a capture: whose packets, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dataplane import plan
from dataplane.daemon import capturing, questions
from dataplane.engine.engine import Engine
from dataplane.errors import EngineError
from dataplane.forwarding import capture
from dataplane.forwarding.capture import Ports, Wanted
from dataplane.forwarding.values import TCP, UDP
from dataplane.plan.index import ServiceIndex
from tests.packets.world import ip

from .test_status import PLANNED

FIRST, SECOND = "10.0.0.100", "10.0.0.101"


def engine(*services: plan.Service) -> Engine:
    index = ServiceIndex()
    for number, one in enumerate(services):
        index.replace(str(number), one)
    return cast(Engine, SimpleNamespace(index=index, services=index.services))


def service(uuid: str, vip: str, port: int, protocol: str = "tcp", port_end: int = 0) -> plan.Service:
    return replace(PLANNED, uuid=uuid, vip=vip, protocol=protocol, port=port, port_end=port_end or port)


def wanted(there: Engine, **fields: Any) -> Wanted:
    question = {"request": "capture", "of": "web", "virtualservice": "web", **fields}
    return capturing._wanted(there, questions.read(json.dumps(question).encode()).fields)


WEB = service("web", FIRST, 80), service("web", SECOND, 80)


def test_a_service_of_its_own_vips_is_captured_whole() -> None:
    there = engine(*WEB, service("other", "10.0.0.102", 80))
    assert wanted(there) == Wanted(vips=(ip(FIRST), ip(SECOND)))


def test_of_shared_vips_its_own_ports_are() -> None:
    there = engine(*WEB, service("web", FIRST, 5000, "udp", 5010), service("other", SECOND, 443))
    ports = Ports(TCP, 80, 80), Ports(UDP, 5000, 5010)
    assert wanted(there) == Wanted(vips=(ip(FIRST), ip(SECOND)), ports=ports)


def test_filters_are_handed_on_and_drops_are_of_all_vips() -> None:
    filters = {"clients": [["192.0.2.1", "192.0.2.9"]], "protocol": 6, "source": [1, 2], "destination": [3, 4],
               "tcp_flags": 2, "size": 0}  # fmt: skip
    asked = Wanted(
        clients=((ip("192.0.2.1"), ip("192.0.2.9")),),
        protocol=6,
        source=(1, 2),
        destination=(3, 4),
        tcp_flags=2,
        most=capture.MOST,
    )
    assert wanted(engine(*WEB), **filters) == replace(asked, vips=(ip(FIRST), ip(SECOND)))
    assert wanted(engine(), of="", **filters) == replace(asked, drops=True)


@pytest.mark.parametrize(
    ("services", "told"),
    [
        ((), "forwards nothing of that virtual service"),
        ([service("web", f"10.0.0.{n}", 80) for n in range(1, 10)], "it has 9 VIPs; of at most 8 packets can"),
        (
            [*(service("web", FIRST, n) for n in range(1, 34)), service("other", FIRST, 99)],
            "shares a VIP with another virtual service, and has 33 ports; packets to at most 32",
        ),
    ],
)
def test_what_cannot_be_told_apart_is_refused(services: list[plan.Service], told: str) -> None:
    with pytest.raises(EngineError, match=told):
        wanted(engine(*services))
