"""Plan, health and network in; the values a driver forwards by out."""

from __future__ import annotations

import dataclasses
from array import array
from collections.abc import Callable

import pytest

from dataplane import plan
from dataplane.forwarding import maglev, translate, values

from .test_plan import SERVICE

MAC = b"\x02\0\0\0\0\x11"
UP: Callable[[bytes], bool] = lambda server: True  # noqa: E731
DOWN: Callable[[bytes], bool] = lambda server: False  # noqa: E731
HOP: Callable[[bytes], translate.NextHop] = lambda server: translate.NextHop(2, MAC)  # noqa: E731

THREE = dataclasses.replace(SERVICE, servers=tuple(plan.Server(f"10.0.0.{n}", 80) for n in (12, 11, 13)))


def slots(pool: values.Pool) -> array[int]:
    """The owners of a pool's slots."""
    return array("H", pool.table.tobytes())


def owners(service: plan.Service, is_up: Callable[[bytes], bool]) -> set[str]:
    value = translate.pool(service, translate.members(service, is_up, HOP))
    return {".".join(map(str, value.targets[i].address)) for i in set(slots(value)) if i != maglev.NO_SERVER}


def test_every_up_and_enabled_server_owns_slots() -> None:
    assert owners(THREE, UP) == {"10.0.0.11", "10.0.0.12", "10.0.0.13"}
    assert owners(SERVICE, UP) == {"10.0.0.11"}


def test_a_down_server_owns_none_but_stays_a_target() -> None:
    dead = b"\x0a\0\0\x0c"
    value = translate.pool(THREE, translate.members(THREE, lambda server: server != dead, HOP))
    assert owners(THREE, lambda server: server != dead) == {"10.0.0.11", "10.0.0.13"}
    assert values.Target(dead, False, MAC, 2, serves=False) in value.targets


def test_of_fewer_servers_than_a_pool_needs_none_serves() -> None:
    dead = b"\x0a\0\0\x0c"
    for needed, there in ((0, 2), (2, 2), (3, 0), (4, 0)):
        needs = dataclasses.replace(THREE, servers_needed=needed)
        assert len(owners(needs, lambda server: server != dead)) == there
        found = translate.members(needs, lambda server: server != dead, HOP)
        assert (sum(member.serves for member in found), sum(member.up for member in found)) == (there, 2)


def test_a_server_that_leaves_moves_few_flows_of_the_others() -> None:
    dead = b"\x0a\0\0\x0c"
    before = translate.pool(THREE, translate.members(THREE, UP, HOP))
    after = translate.pool(THREE, translate.members(THREE, lambda server: server != dead, HOP))
    moved = sum(
        1
        for a, b in zip(slots(before), slots(after), strict=True)
        if before.targets[a].address != after.targets[b].address and before.targets[a].address != dead
    )
    assert moved / before.slots < 0.01


@pytest.mark.parametrize(
    "service", [dataclasses.replace(THREE, pool_enabled=False), dataclasses.replace(THREE, servers=())]
)
def test_a_pool_that_is_disabled_or_empty_has_an_empty_table(service: plan.Service) -> None:
    assert set(slots(translate.pool(service, translate.members(service, UP, HOP)))) == {maglev.NO_SERVER}


@pytest.mark.parametrize(
    ("services", "is_up", "expected"),
    [
        ([SERVICE], True, (True, True)),
        ([SERVICE], False, (False, False)),
        ([dataclasses.replace(SERVICE, advertise_down=True)], False, (False, True)),
        ([dataclasses.replace(SERVICE, enabled=False)], True, (False, False)),
        ([dataclasses.replace(SERVICE, enabled=False, advertise_down=True)], True, (False, False)),
        ([dataclasses.replace(SERVICE, enabled=False), SERVICE], True, (True, True)),
    ],
)
def test_a_vip_is_up_and_announced_as_its_services_are(
    services: list[plan.Service], is_up: bool, expected: tuple[bool, bool]
) -> None:
    value = translate.vip(b"\x0a\0\0\x64", services, lambda service: is_up)
    assert (value.up, value.owned) == expected


ROUTED = dataclasses.replace(SERVICE, route=plan.Route(("a",), ("1:1",), 5, 3))
BETTER = dataclasses.replace(SERVICE, port=81, port_end=81, route=plan.Route(("b", "a"), ("1:2",), None, 1))


@pytest.mark.parametrize(
    ("services", "is_up", "expected"),
    [
        ([SERVICE], True, None),
        ([ROUTED], True, ROUTED.route),
        ([ROUTED], False, None),
        ([dataclasses.replace(ROUTED, advertise_down=True)], False, ROUTED.route),
        ([dataclasses.replace(ROUTED, enabled=False)], True, None),
        ([SERVICE, ROUTED], True, ROUTED.route),
        ([ROUTED, BETTER], True, plan.Route(("a", "b"), ("1:1", "1:2"), 5, 1)),
        ([ROUTED, dataclasses.replace(BETTER, route=plan.Route())], True, plan.Route((), ("1:1",), 5, 0)),
    ],
)
def test_routers_are_told_of_a_vip_as_its_services_are(
    services: list[plan.Service], is_up: bool, expected: plan.Route | None
) -> None:
    assert translate.route(services, lambda service: is_up) == expected
    routed = any(one.route for one in services if one.enabled)
    for on_segment in (True, False):
        value = translate.vip(b"\x0a\0\0\x64", services, lambda service: is_up, on_segment=on_segment)
        here = translate.vip(b"\x0a\0\0\x64", services, lambda service: is_up)
        assert value.owned == (here.owned and (on_segment or not routed))


def test_a_service_is_keyed_as_frames_show_it() -> None:
    value = translate.service(dataclasses.replace(SERVICE, protocol="udp", port_end=90))
    assert value == values.Service(
        values.ServiceKey(b"\x0a\0\0\x64", values.UDP, 80, 90), "vs1", "pool-1", by_port=True
    )
