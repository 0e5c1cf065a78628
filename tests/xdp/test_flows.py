"""Tracking on the compiled decision: the very tests of the reference's memory, their packets sent as frames."""

from __future__ import annotations

import inspect
from array import array
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP

from dataplane.drivers.maps import poolrecord
from dataplane.forwarding import decision, values
from dataplane.forwarding.tracking import REPLIES_A_SECOND, SECOND, Entry, Flow, MemberId
from dataplane.forwarding.values import Interface, Pool, Service, Target, Vip
from dataplane.plan import L3_IPIP
from tests.packets import test_tracking
from tests.packets.cases import frame
from tests.packets.world import ip, mac, service

from .decider import LOOPBACK, KernelDecider, Ran
from .deciders import EVERY, Decider, Make

START = 1000
"""Seconds on the program's clock when the tests' begins."""
NOT_FOR_FRAMES = {
    "test_a_flood_of_syns_pushes_out_no_connection_that_lives",  # below: the kernel's tables drop only about the oldest
    "test_fragments_are_forgotten_after_their_time",  # below
    "test_too_big_messages_are_limited_a_second",  # below
}
ROWS = {
    name: test
    for name, test in vars(test_tracking).items()
    if name.startswith("test_") and callable(test) and name not in NOT_FOR_FRAMES
}


class DeciderFlows:
    """flows.Flows as far as the tests use it."""

    def __init__(self, decider: Decider) -> None:
        self._decider = decider
        decider.tables.put_interface(Interface(LOOPBACK, "lo", mac(1), 1500))

    def server(self, flow: Flow, service: Service, pool: Pool, now: int, *, syn: bool) -> Target | None:
        layer4 = UDP() if flow.protocol == values.UDP else TCP(flags="S" if syn else "A")
        layer4.sport, layer4.dport = flow.client_port, flow.port
        return self._send(_ip(flow.client, flow.vip) / layer4, service, pool, now)

    def owner(self, flow: Flow, service: Service, pool: Pool, now: int) -> Target | None:
        quoted = _ip(flow.vip, flow.client) / TCP(sport=flow.port, dport=flow.client_port)
        return self._send(_ip(ip("198.51.100.1"), flow.vip) / ICMP(type=3, code=4) / quoted, service, pool, now)

    def _send(self, packet: Any, service: Service, pool: Pool, now: int) -> Target | None:
        by_mac = {mac(n): target for n, target in enumerate(pool.targets, 0x10)}
        targets = tuple(replace(target, mac=m, interface=LOOPBACK) for m, target in by_mac.items())
        tables = self._decider.tables
        tables.put_pool(replace(pool, targets=targets))
        tables.put_service(replace(service, key=service.key._replace(protocol=_protocol(packet, service))))
        tables.put_vip(Vip(service.key.vip, True, True))
        self._decider.set_clock(now + START * SECOND)
        ran = self._decider.run(frame(packet))
        assert ran.action == ("sent" if ran.frames else decision.DROPPED)
        return by_mac[ran.frames[0][:6]] if ran.frames else None

    @property
    def elder(self) -> dict[Flow, Entry]:
        return self._entries(0)

    @property
    def young(self) -> dict[Flow, Entry]:
        return self._entries(1)

    def _entries(self, which: int) -> dict[Flow, Entry]:
        found = self._decider.remembered()[which]
        assert all(entry.pool == poolrecord.pool_id("pool") for entry in found.values())
        return {f: Entry(MemberId("pool", e.address, e.generation), e.seen) for f, e in found.items()}


def _ip(source: bytes, destination: bytes) -> Any:
    return IP(src=".".join(map(str, source)), dst=".".join(map(str, destination)))


def _protocol(packet: Any, service: Service) -> int:
    return values.UDP if UDP in packet else service.key.protocol


@pytest.fixture(scope="module", params=EVERY)
def decider(request: pytest.FixtureRequest) -> Iterator[Decider]:
    decider: Decider = request.param()
    yield decider
    decider.close()


def arguments(test: Callable[..., None]) -> list[dict[str, bool]]:
    """What a test is called with: each kind of packet that there can be, where it asks for that."""
    return [{"syn": True}, {"syn": False}] if inspect.signature(test).parameters else [{}]


@pytest.mark.parametrize("name", ROWS)
def test_row(name: str, decider: Decider, monkeypatch: pytest.MonkeyPatch) -> None:
    for given in arguments(ROWS[name]):
        decider.forget()
        monkeypatch.setattr(test_tracking, "Flows", lambda: DeciderFlows(decider))
        ROWS[name](**given)


@pytest.mark.parametrize("make", EVERY)
def test_a_flood_of_syns_pushes_out_no_connection_that_lives(make: Make) -> None:
    decider = make(flows=512)
    try:
        flows = DeciderFlows(decider)
        pool = test_tracking.pool(values.TRANSITION)
        assert test_tracking.send(flows, pool, syn=False) == "old"  # type: ignore[arg-type]
        for n in range(2000):
            flow = test_tracking.FLOW._replace(client_port=10_000 + n)
            assert test_tracking.send(flows, pool, syn=True, flow=flow) == "new"  # type: ignore[arg-type]
        assert len(flows.young) <= 512
        assert list(flows.elder) == [test_tracking.FLOW]
        assert test_tracking.send(flows, test_tracking.pool(values.TRACKED), syn=False) == "old"  # type: ignore[arg-type]
    finally:
        decider.close()


def tunnel(decider: Decider) -> None:
    """A UDP service whose one server takes 1,500 bytes, tunnel and all."""
    far = Target(ip("172.16.0.1"), True, mac(0x11), LOOPBACK, ip("10.0.0.1"))
    decider.tables.put_interface(Interface(LOOPBACK, "lo", mac(1), 1500))
    decider.tables.put_pool(Pool("pool-far", 1, array("H", [0]), (far,), L3_IPIP))
    decider.tables.put_service(service("far", values.UDP, 53))
    decider.tables.put_vip(Vip(ip("10.0.0.100"), True, True))


def large(flags: str) -> bytes:
    """One byte more than fits."""
    return frame(IP(src="192.0.2.1", dst="10.0.0.100", flags=flags) / UDP(sport=1, dport=53) / bytes(1453))


def test_fragments_are_forgotten_after_their_time(decider: Decider) -> None:
    tunnel(decider)
    decider.forget()
    first, later = (
        frame(IP(src="192.0.2.1", dst="10.0.0.100", id=5, proto=17, flags=flags, frag=at) / bytes([0, 9, 0, 53] * 6))
        for flags, at in (("MF", 0), (0, 3))
    )
    for seconds, action in ((0, decision.DROPPED), (1, "sent"), (30, "sent"), (31, decision.DROPPED)):
        if seconds == 1:
            decider.set_clock(START * SECOND)
            assert decider.run(first).action == "sent"
        decider.set_clock((START + seconds) * SECOND)
        assert decider.run(later).action == action, seconds


def test_too_big_messages_are_limited_a_second(decider: Decider) -> None:
    tunnel(decider)
    decider.forget()
    decider.set_clock(START * SECOND)
    asked = REPLIES_A_SECOND + 50
    assert sum(decider.run(large("DF")).action == "sent" for _ in range(asked)) == REPLIES_A_SECOND
    assert decider.tables.counters().dropped["too_big_rate_limited"] == 50
    drops = decider.tables.counters().service_drops.values()
    assert [of_service["too_big_rate_limited"] for of_service in drops if "too_big_rate_limited" in of_service] == [50]
    decider.set_clock((START + 1) * SECOND)
    assert decider.run(large("DF")).action == "sent"


def test_what_is_too_big_is_cut_up(decider: Decider) -> None:
    tunnel(decider)
    ran, counted = decider.counted(large(""))
    assert ran.slow
    assert len(ran.frames) == 2
    assert counted.dropped == {}
    assert [tally.packets for tally in counted.services.values()] == [1]


@pytest.mark.parametrize("make", EVERY)
def test_what_nobody_cuts_up_is_counted(make: Make) -> None:
    decider = make()
    try:
        tunnel(decider)
        decider.deafen()
        ran, counted = decider.counted(large(""))
        assert ran == Ran(decision.DROPPED)
        assert counted.dropped == {"encap_failed": 1}
        assert list(counted.service_drops.values()) == [{"encap_failed": 1}]
    finally:
        decider.close()


@pytest.mark.root
def test_a_mistake_in_user_space_is_counted_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    decider = KernelDecider()
    try:
        tunnel(decider)
        with monkeypatch.context() as patched:
            patched.setattr(decision, "decide", lambda *_: 1 / 0)
            _, counted = decider.counted(large(""))
            assert counted.dropped == {"encap_failed": 1}
            assert list(counted.service_drops.values()) == [{"encap_failed": 1}]
        (told,) = decider._slow.faults()
        assert "ZeroDivisionError" in told
        ran, counted = decider.counted(large(""))
        assert (len(ran.frames), counted.dropped) == (2, {})
    finally:
        decider.close()
