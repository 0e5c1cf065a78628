"""Hundreds of servers behind a real engine: every one is probed and judged, no port is used up, and nothing of it is
counted as a client's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dataplane import plan
from dataplane.engine.operstate import DOWN, UP
from tests.bench import monitors
from tests.bench.measure import TINY
from tests.drivers import PREFERRED, common_drivers
from tests.health.crowd import Crowd, crowd, quick, set_neighbours, times_wait, vip
from tests.polling import until

SERVERS = 100
NOBODY = "02:00:00:00:00:99"
"""A MAC address that none has: servers with it are as if their hosts were gone."""
PATIENT = {"receive_timeout": 4}
"""As a monitor has it where nothing is said. One program answers for all servers, and on a busy machine it takes its
time."""
MONITORS = (
    quick("TCP", **PATIENT),
    quick("TCP", half_open=True, **PATIENT),
    quick("TCP", request=r"GET / HTTP/1.0\r\n\r\n", response="200 OK", **PATIENT),
    quick("HTTP", request="GET / HTTP/1.0", **PATIENT),
    quick("UDP", request="ping", response="ping", **PATIENT),
    quick("UDP", request="ping"),  # good when nothing is heard for a second
    quick("PING", **PATIENT),
)
ROUNDS = 3
"""Probes of every check, at least, that are watched."""


def waited(condition: Callable[[], bool], there: Crowd) -> None:
    until(condition, lambda: f"{there.status()}\n{there.log()}", 40)


def tallies(told: dict[str, Any]) -> set[tuple[int, int]]:
    """Packets and bytes of every service and server."""
    counted = [*told["services"], *(server for pool in told["pools"] for server in pool["servers"])]
    return {(one["packets"], one["bytes"]) for one in counted}


@pytest.mark.root
@pytest.mark.alone  # 700 probes a second, of which none may fail: they take a processor
@pytest.mark.parametrize("mode", [plan.L2, plan.L3_IPIP])
@common_drivers
def test_probes_use_up_no_ports_and_count_as_nobodys_traffic(driver: str, mode: str, tmp_path: Path) -> None:
    with crowd(tmp_path / "state", SERVERS, kind="http", mode=mode) as there:
        there.publish(there.services(MONITORS, mode=mode))
        there.start(driver)
        waited(lambda: set(there.states().values()) == {"up"}, there)
        before = there.told()["monitors"]["probes"]
        most = 0

        def probed() -> bool:
            nonlocal most
            most = max(most, times_wait(there.engine))
            return bool(there.told()["monitors"]["probes"] - before >= ROUNDS * SERVERS * len(MONITORS))

        waited(probed, there)
        told = there.told()
        assert most == 0, "a probe ends with RST: nothing waits for its port"
        assert told["monitors"]["checks"] == SERVERS * len(MONITORS)
        assert 0 <= told["monitors"]["late"]["median"] <= told["monitors"]["late"]["p99"]
        assert len([server for pool in told["pools"] for server in pool["servers"]]) == SERVERS
        assert tallies(told) == {(0, 0)}
        assert told["dropped"] == {}
        # Nothing but what came up is told.
        up = {f"{of}_up" for of in ("server", "pool", "virtualservice")}
        kinds = {event["kind"]: event["text"] for event in told["events"]}
        assert kinds.keys() <= {*up, "vip_silent", "vip_announced", "engine_started"}, kinds


@pytest.mark.root
def test_exactly_those_that_fall_silent_are_taken_out_and_back(tmp_path: Path) -> None:
    with crowd(tmp_path / "state", SERVERS) as there:
        there.publish(there.services([quick("TCP", failed_checks=2)]))
        there.start(PREFERRED)
        waited(lambda: set(there.states().values()) == {"up"}, there)
        dead = there.addresses[::2]
        set_neighbours(there, dead, NOBODY)
        expected = {address: "down" if address in dead else "up" for address in there.addresses}
        waited(lambda: there.states() == expected, there)
        set_neighbours(there, dead, there.mac)
        waited(lambda: set(there.states().values()) == {"up"}, there)


@pytest.mark.root
@common_drivers
def test_servers_of_many_pools_come_up_and_leave_their_tables(driver: str, tmp_path: Path) -> None:
    """Pools of two: of those that fall silent, some leave their pool to the other, some take it down."""
    pools = SERVERS
    with crowd(tmp_path / "state", 2 * pools, vips=pools) as there:
        there.publish(there.services([quick("TCP")], pools=pools))
        there.start(driver)
        waited(lambda: set(there.states().values()) == {"up"}, there)
        dead = {*there.addresses[:20], *there.addresses[pools : pools + 10]}
        set_neighbours(there, sorted(dead), NOBODY)

        def left() -> bool:
            told = there.told()
            held = {s["address"] for pool in told["pools"] for s in pool["servers"] if s["in_table"]}
            down = {one["address"] for one in told["vips"] if not one["up"]}
            return held == set(there.addresses) - dead and down == {vip(number) for number in range(10)}

        waited(left, there)


@pytest.mark.root
@common_drivers
def test_a_silent_servers_flow_goes_to_another(driver: str) -> None:
    """As the bench measures it, by the frames on the wire: what the driver forwards by, not what the engine says."""
    (measured,) = monitors.failing(TINY, 20, 1, driver=driver)
    assert len(measured.more["all"]) == 2  # type: ignore[arg-type]


@pytest.mark.root
@common_drivers
def test_a_pool_with_fewer_servers_up_than_it_needs_is_down(driver: str, tmp_path: Path) -> None:
    with crowd(tmp_path / "state", 3) as there:
        first, second, third = there.addresses
        (service,) = there.services([quick("TCP")])
        there.publish([replace(service, servers_needed=2)])
        there.start(driver)

        def told(held: set[str], reason: str) -> Callable[[], bool]:
            def reached() -> bool:
                said = there.told()
                (pool,), (vip_,), (one,) = said["pools"], said["vips"], said["services"]
                in_table = {server["address"] for server in pool["servers"] if server["in_table"]}
                up = bool(held)
                return (
                    in_table == held
                    and (vip_["up"], vip_["announced"]) == (up, up)
                    and (pool["state"], one["state"]) == ((UP, UP) if up else (DOWN, DOWN))
                    and reason in pool["reason"]
                    and reason in one["reason"]
                )

            return reached

        waited(told({first, second, third}, ""), there)
        set_neighbours(there, [first], NOBODY)
        waited(told({second, third}, ""), there)
        set_neighbours(there, [first, second], NOBODY)
        waited(told(set(), f"1 up, min_servers_up needs 2: {first}, {second} "), there)
        assert there.states()[third] == UP
        set_neighbours(there, [second], there.mac)
        waited(told({second, third}, ""), there)
        set_neighbours(there, there.addresses, NOBODY)
        waited(told(set(), "is up: "), there)
