"""What `avi-se status --json` tells of an engine: fields that have a past."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Set
from dataclasses import replace
from typing import Any

import pytest

from dataplane import plan
from dataplane.daemon import pieces, status, statustext
from dataplane.daemon.aspect import NONE, STATES, Aspect
from dataplane.engine.engine import Engine
from dataplane.events.model import Subject
from dataplane.forwarding import translate
from dataplane.forwarding.driver import Asked, HandshakeCounts
from dataplane.forwarding.values import Counters, HandshakeTally
from dataplane.health.probes.check import Check
from dataplane.metrics import snapshot
from dataplane.network.state import Network
from dataplane.runtime import turns
from dataplane.vip.gratuitous import GratuitousArp
from tests.netns import Namespace

from ..packets.world import ip
from .test_plan import SERVICE
from .test_refresh import Memory

pytestmark = pytest.mark.root

FAST, SLOW = plan.Monitor("fast", plan.MONITOR_TCP, 1), plan.Monitor("slow", plan.MONITOR_PING, 30)
SERVERS = (plan.Server("10.0.0.11", 80), plan.Server("10.0.0.12", 80))
PLANNED = replace(SERVICE, tenant="blue", mode=plan.L2, servers=SERVERS, monitors=(FAST, SLOW), enabled=True)
FIRST = ip("10.0.0.11")


class Site:
    """An engine that forwards one service, and what it reports."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.put(PLANNED)

    def put(self, *services: plan.Service) -> None:
        changes = {service.key: service for service in services}
        self.engine.apply(plan.Plan(self.engine.version + 1, changes, None))
        self.engine.refresh()

    def hear(self, server: bytes, passed: bool, *monitors: plan.Monitor) -> None:
        """A probe of each monitor ends."""
        for check in self.checks(server):
            mine = check.monitor.send_interval in [monitor.send_interval for monitor in monitors]
            if mine and self.engine.members.health.state(check).count(check.monitor, passed=passed):
                self.engine.members.check_changed(check)
        self.engine.refresh()

    def checks(self, server: bytes) -> tuple[Check, ...]:
        return self.engine.members.checks(PLANNED.pool_uuid, server)

    async def report(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """The service, its pool, and the pool's first server."""
        told = await status.report(self.engine)
        (service,), (pool,) = told["services"], told["pools"]
        return service, pool, pool["servers"][0]


def on_site(job: Callable[[Site], Awaitable[None]], driver: Memory | None = None) -> None:
    async def run() -> None:
        network = Network(lambda: None)
        await network.start()
        engine = Engine("se", ["eth0"], driver or Memory(), network, [GratuitousArp()])
        try:
            await job(Site(engine))
        finally:
            await engine.close(keep=False)
            await network.close()

    with Namespace() as there:
        there.sh("ip link add eth0 type veth peer name eth1; ip addr add 10.0.0.2/16 dev eth0; ip link set eth0 up")
        there.sh("ip link set eth1 up")
        there.run(lambda: asyncio.run(run()))


def test_the_engines_start_is_told() -> None:
    before = time.time()

    async def job(site: Site) -> None:
        told = await status.report(site.engine)
        assert before <= told["started"] <= time.time()

    on_site(job)


def test_of_services_and_pools_as_much_is_told_as_is_asked_for() -> None:
    other = replace(PLANNED, port=81, port_end=81, uuid="other", pool_uuid="others", pool="others", vip="10.0.9.9")

    async def job(site: Site) -> None:
        site.put(other)
        told = {
            about: await status.report(site.engine, Aspect(about)) for about in ("", NONE, STATES, "other", "others")
        }
        whole = told[""]
        assert (told[NONE]["services"], told[NONE]["pools"], told[NONE]["vips"]) == ([], [], whole["vips"])
        assert [len(whole["services"]), len(whole["pools"])] == [2, 2]
        for kind in ("services", "pools"):
            states = [(one["uuid"], one["state"]) for one in whole[kind]]
            assert [(one["uuid"], one["state"]) for one in told[STATES][kind]] == states
        assert told[STATES]["services"][0].keys() == {
            *("uuid", "state", "vip", "protocol", "port", "port_end", "pool", "pool_uuid")
        }
        servers = [server["state"] for server in whole["pools"][0]["servers"]]
        assert told[STATES]["pools"][0]["servers"] == [{"state": state} for state in servers]
        for about in ("other", "others"):
            assert told[about]["services"] == [one for one in whole["services"] if one["port"] == 81]
            assert [vip["address"] for vip in told[about]["vips"]] == ["10.0.9.9"]
            assert told[about]["pools"] == [one for one in whole["pools"] if one["uuid"] == "others"]

    on_site(job)


def test_a_long_report_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(PLANNED, port=81, port_end=81, uuid="other", pool_uuid="others", pool="others")
    monkeypatch.setattr(status, "TELLS_EVERY", 0.0)

    async def job(site: Site) -> None:
        site.put(other)
        told: list[str] = []
        await status.report(site.engine, tell=told.append)
        assert told == ["1 of 2 pools looked at", "2 of 2 pools looked at"]

    on_site(job)


def test_a_report_that_is_packed_meanwhile_is_the_same() -> None:
    async def job(site: Site) -> None:
        for about in ("", STATES):
            plain = await status.report(site.engine, Aspect(about))
            packed = await status.report(site.engine, Aspect(about), pack=pieces.Packed)
            line = b"".join([part async for part in pieces.parts(packed)])
            assert json.loads(line) == json.loads(json.dumps(plain))
            assert all(type(one) is pieces.Packed for pool in packed["pools"] for one in pool["servers"])

    on_site(job)


def test_a_pools_tenant_is_its_own_where_the_service_names_one_of_admin() -> None:
    async def job(site: Site) -> None:
        service, pool, _ = await site.report()
        assert (service["tenant"], pool["tenant"]) == ("blue", "blue")
        site.put(replace(PLANNED, pool_tenant="admin"))
        service, pool, _ = await site.report()
        assert (service["tenant"], pool["tenant"]) == ("blue", "admin")

    on_site(job)


def test_drops_are_told_of_the_service_that_they_belong_to() -> None:
    class Dropping(Memory):
        def counters(self) -> Counters:
            return Counters(service_drops={translate.key(PLANNED): {"no_server": 3, "no_next_hop": 1}})

    async def job(site: Site) -> None:
        service, _, _ = await site.report()
        assert service["dropped"] == {"no_server": 3, "no_next_hop": 1}
        site.put(replace(PLANNED, port=81, port_end=81))
        told = await status.report(site.engine)
        assert [service["dropped"] for service in told["services"] if service["port"] == 81] == [{}]

    on_site(job, Dropping())


def test_a_report_asks_for_the_counters_of_what_it_tells() -> None:
    other = replace(PLANNED, port=81, port_end=81, uuid="other", pool_uuid="others", pool="others")
    asked: list[Asked | None] = []

    class Asking(Memory):
        def counters_in_pieces(self, of: Asked | None = None) -> Iterator[Counters]:
            asked.append(of)
            return super().counters_in_pieces(of)

    async def job(site: Site) -> None:
        site.put(other)
        asked.clear()
        for about in ("", NONE, STATES, "other", "others"):
            await status.report(site.engine, Aspect(about))
        of_one = Asked([translate.key(other)], ["others"])
        assert asked == [None, Asked([], []), Asked(), of_one, of_one]

    on_site(job, Asking())


def test_others_have_the_loop_while_counters_are_read() -> None:
    """A fifth of a second in one go before: 100,000 servers."""

    class Many(Memory):
        def counters_in_pieces(self, asked: Asked | None = None) -> Iterator[Counters]:
            for _ in range(20):
                given.append(0)
                time.sleep(2 * turns.AT_LEAST)
                yield Counters()

    async def others() -> None:
        while True:
            given[-1] += 1
            await asyncio.sleep(0)

    async def job(site: Site) -> None:
        task = asyncio.create_task(others())
        for work in (status.report(site.engine), snapshot.Gatherer(site.engine).snapshot()):
            given[:] = [0]
            await work
            assert len(given) == 21
            assert sum(map(bool, given[1:])) >= 3
        task.cancel()

    given = [0]
    on_site(job, Many())


def test_a_server_whose_answers_arrive_nowhere_stays_up_and_says_so() -> None:
    uuid, second = PLANNED.pool_uuid, ip("10.0.0.12")
    silent, heard = HandshakeTally(31, 0, 30), HandshakeTally(90, 90)

    class Counting(Memory):
        def handshakes(self) -> HandshakeCounts:
            counted = self.counters()
            return HandshakeCounts(counted.service_handshakes, counted.server_handshakes)

        def counters(self) -> Counters:
            of_servers = {(uuid, FIRST): silent, (uuid, second): heard} if sent else {}
            return Counters(service_handshakes={translate.key(PLANNED): silent}, server_handshakes=of_servers)

        def unanswered_clients(self) -> Mapping[tuple[str, bytes], Set[bytes]]:
            return {(uuid, FIRST): {ip("192.0.2.7"), ip("192.0.2.8"), ip("192.0.2.9")}}

    async def job(site: Site) -> None:
        for address in (FIRST, second) * 2:
            site.hear(address, True, FAST, SLOW)
        for _ in range(2):
            site.engine.handshakes.take(site.engine.handshakes.look())
            sent.append(True)
        service, pool, server = await site.report()
        assert server["handshakes"] == {"sampled": 31, "answered": 0, "unanswered": 30, "share": 1.0}
        assert service["handshakes"] == {"sampled": 31, "answered": 0, "unanswered": 30, "share": None}
        assert (server["state"], service["state"], service["reason"]) == ("up", "up", "")
        assert server["reason"].startswith(
            "100 % of new TCP connections (30 of 30 looked at) get no answer at the client"
        )
        assert pool["servers"][1]["reason"] == ""
        assert [event.text.partition(":")[0] for event in site.engine.events.all()][-1] == "server 10.0.0.11"
        told = await status.report(site.engine)
        text = "\n".join(statustext.render([{**told, "pid": 1, "driver": {**told["driver"], "reason": ""}}], 80))
        assert re.search(r"10\.0\.0\.11 .* 100\.0 % ", text)
        assert re.search(r"10\.0\.0\.12 .* 0\.0 % ", text)

    sent: list[bool] = []
    on_site(job, Counting())


def test_engines_of_other_hosts_fit_a_terminal() -> None:
    other: dict[str, object] = {
        "name": "se2",
        "host": "lb2",
        "group": "Default-Group",
        "addresses": ["10.9.0.2", "192.168.1.2"],
    }
    other |= {"version": 15, "bgp": "1 of 1 peers established"}
    membership = {"state": "member", "cluster": "etcd://h/prod", "reason": "", "engines": [other]}
    lines = "\n".join(statustext._shared({"name": "se1", "membership": membership}, 80)).splitlines()
    assert max(map(len, lines)) <= 80, lines
    assert any("10.9.0.2," in line for line in lines)


def test_each_state_tells_since_when_it_is_so() -> None:
    async def job(site: Site) -> None:
        site.engine.changes._clock = lambda: clock[0]
        clock, found = [1000.0], []
        site.hear(FIRST, True, FAST, SLOW)
        site.hear(FIRST, True, FAST, SLOW)  # successful_checks
        found.append(await site.report())
        clock[0] = 2000.0
        site.hear(ip("10.0.0.12"), False, FAST)  # the pool is up as soon as all are heard of
        found.append(await site.report())
        clock[0] = 3000.0
        site.hear(FIRST, False, FAST)
        site.hear(FIRST, False, FAST)  # failed_checks
        found.append(await site.report())
        clock[0] = 4000.0
        site.put(replace(PLANNED, enabled=False))
        found.append(await site.report())
        words = [tuple(one["state"] for one in told) for told in found]
        assert words == [
            ("initializing", "initializing", "up"),
            ("up", "up", "up"),
            ("down", "down", "down"),
            ("disabled", "down", "down"),
        ]
        times = [tuple(one["changed"] for one in told) for told in found]
        assert times[0][2] == 1000.0
        assert times[1:] == [(2000.0, 2000.0, 1000.0), (3000.0, 3000.0, 3000.0), (4000.0, 3000.0, 3000.0)]
        assert all(abs(first - site.engine.started) < 60 for first in times[0][:2]), "since the plan came"

    on_site(job)


def test_a_server_without_monitors_changes_with_its_network() -> None:
    async def job(site: Site) -> None:
        site.put(replace(PLANNED, monitors=()))
        _, _, server = await site.report()
        assert (server["state"], server["failed_checks"], server["failed_by_monitor"]) == ("up", 0, {})
        down = time.time()
        subprocess.run(["ip", "link", "set", "eth0", "down"], check=True)
        async with asyncio.timeout(45):
            while server["state"] == "up":
                await asyncio.sleep(0.01)
                site.engine.refresh()
                _, _, server = await site.report()
        assert down <= server["changed"] <= time.time()
        told = [(event.kind, event.about) for event in site.engine.events.all() if event.about.kind == "server"]
        servers = [Subject("server", f"{one.address}:80", PLANNED.tenant, "pool-1", "p1") for one in PLANNED.servers]
        assert told[-2:] == [("server_down", one) for one in servers]
        assert "not checked yet" not in "".join(event.text for event in site.engine.events.all())

    on_site(job)


def test_failed_probes_are_counted_of_each_monitor() -> None:
    async def job(site: Site) -> None:
        for _ in range(3):
            site.hear(FIRST, False, FAST)
        site.hear(FIRST, False, SLOW)
        site.hear(FIRST, True, SLOW)
        _, pool, server = await site.report()
        assert (server["failed_checks"], server["failed_by_monitor"]) == (4, {"fast": 3, "slow": 1})
        assert (pool["servers"][1]["failed_checks"], pool["servers"][1]["failed_by_monitor"]) == (
            0,
            {"fast": 0, "slow": 0},
        )

    on_site(job)


def test_each_vip_tells_what_became_of_its_announcement() -> None:
    async def job(site: Site) -> None:
        site.put(replace(PLANNED, advertise_down=True))
        await asyncio.sleep(0)
        told = await status.report(site.engine)
        assert [(vip["announced"], vip["announcers"]) for vip in told["vips"]] == [
            (True, {"arp": {"state": "announced", "reason": ""}})
        ]

    on_site(job)
