"""What the shell says of a change before it is stored, and what became of the kernel's tables and the servers then."""

from __future__ import annotations

import socket
from array import array
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from avi_shell.configuration.configuration import Configuration
from avi_shell.output.result import Result
from avi_shell.session.session import Session
from avi_shell.views import impact
from dataplane.bpf import bpffs
from dataplane.bpf.maps import Map
from dataplane.drivers.maps import layout, poolrecord, tablerecord
from dataplane.drivers.maps.heldmap import HeldSlabs
from dataplane.drivers.maps.layout import DETAIL_SIZE, TARGET_SIZE
from dataplane.drivers.maps.memory import State
from dataplane.drivers.maps.slabs import Slabs
from dataplane.server import record
from tests.broken import world as network
from tests.broken.views import Views
from tests.broken.world import HOSTS, VIP, World
from tests.drivers import PREFERRED
from tests.netns import Namespace
from tests.polling import until

pytestmark = pytest.mark.root

NEW = "10.9.0.200"
OTHERS = {"third": 13, "bare": 14}
PROFILES = {"l2": "dsr_type dsr_type_l2", "l3": "dsr_type dsr_type_l3"}
SESSION = """
configure networkprofile dsr
profile tcp_fast_path_profile dsr_profile {profile}
save
save
configure healthmonitor ping type health_monitor_ping send_interval 1 receive_timeout 1
successful_checks 1 failed_checks 1
save
configure pool p1 lb_algorithm lb_algorithm_consistent_hash health_monitor_refs ping
servers ip {broken} port 80
save
servers ip {healthy} port 80
save
save
configure vsvip v1 vip ip_address {vip}
save
save
configure virtualservice vs1 vsvip_ref v1 pool_ref p1 network_profile_ref dsr
application_profile_ref System-L4-Application
services port 80
save
save
"""


@contextmanager
def laid(folder: Path, mode: str) -> Iterator[World]:
    """The network with two servers more, `third` and `bare`, of whom the latter is not prepared. No engine runs."""
    with ExitStack() as stack:
        names = ("switch", "engine", "client", *HOSTS, *OTHERS, *(("router",) if mode == "l3" else ()))
        spaces = {name: stack.enter_context(Namespace()) for name in names}
        world = World(folder, mode, {name: space for name, space in spaces.items() if name not in OTHERS}, PREFERRED)
        stack.callback(world.close)
        network._wire(world, napi=True)
        world.spaces = spaces
        bridge = "br0" if mode == "l2" else "br1"
        for name, number in OTHERS.items():
            world.addresses[name] = f"{network.NETWORKS[mode]}.{number}"
            network._plug(spaces, name, bridge, f"{world.addresses[name]}/24")
            if mode == "l3":
                spaces[name].sh("ip route add default via 10.8.0.254")
        for name in (*HOSTS, "third"):
            stack.callback(record.forget, spaces[name].path.stat().st_ino)
            world.prepare(name)
        yield world


class Operator:
    """A shell on the world's state directory, whose commits say what they do."""

    def __enter__(self) -> Operator:
        return self

    def __exit__(self, *error: object) -> None:
        self.configuration.close()

    def __init__(self, world: World) -> None:
        self.configuration = Configuration.open(world.folder)
        self.session = Session(self.configuration, world.folder)
        self.session.foresees = True

    def type(self, *lines: str) -> Result:
        """Run lines that are taken. Returns the last one's result."""
        for line in lines:
            result = self.session.run(line)
            assert result.ok, (line, result.error)
        return result

    @property
    def told(self) -> dict[str, Any]:
        """What `show impact` says now, for programs."""
        found: dict[str, Any] = self.type("show impact").data
        return found


def tables(world: World) -> list[str]:
    """Who owns each slot of the pool's table, as the kernel has it now."""
    found: list[str] = []
    until(lambda: found.extend(read_tables(world)) or found, world.log)  # type: ignore[func-returns-value]
    return found


def read_tables(world: World) -> list[str]:
    """The same; empty while the engine changes it."""
    root = next(one for one in bpffs.file_system().glob("avi-se/*") if (one / "state").resolve() == world.folder)
    with ExitStack() as stack:
        maps = {
            name: stack.enter_context(closing(Map.pinned(root / f"v{layout.LAYOUT}" / name)))
            for name in ("bss", "data", "details", "slabs")
        }
        state = stack.enter_context(closing(State(maps["bss"], maps["data"])))
        slabs = stack.enter_context(closing(Slabs(cast(HeldSlabs, maps["slabs"]))))
        details = stack.enter_context(closing(maps["details"].mapped()))
        words = list(filter(None, state.pools.tolist()))
        if len(words) != 1:
            return []
        (word,) = words
        table, formers, first = poolrecord.read_word(word)
        with memoryview(details) as read:
            head = poolrecord.read_head(read, first)
            if head is None:
                return []
            targets = poolrecord.TargetReader().read(
                state.targets[first * TARGET_SIZE : (first + head.targets) * TARGET_SIZE],
                read[first * DETAIL_SIZE : (first + head.targets) * DETAIL_SIZE],
            )
        kept = slabs.kept(table, head.slots)
        owners = tablerecord.unpacked(kept, slabs.kept(formers, head.slots))[0] if formers else kept
        slots = array("H", owners.tobytes())
        if list(filter(None, state.pools.tolist())) != words or max(slots) >= len(targets):
            return []
        return [socket.inet_ntoa(targets[owner].address) for owner in slots]


def moved(before: list[str], after: list[str]) -> int:
    return sum(one != other for one, other in zip(before, after, strict=True))


def prepared(told: dict[str, Any], vip: str = VIP) -> dict[str, bool | None]:
    return {one["server"]: one["prepared"] for one in told["preparation"] if one["vip"] == vip}


@pytest.mark.parametrize("mode", PROFILES)
def test_what_is_said_before_a_commit_is_what_becomes_of_it(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(impact, "DEADLINE", 1.0)  # this machine may be busy
    with laid(tmp_path, mode) as world, Operator(world) as operator:
        broken, healthy, third, bare = world.addresses.values()
        lines = SESSION.format(profile=PROFILES[mode], broken=broken, healthy=healthy, vip=VIP).strip().splitlines()
        first = operator.type(*lines)
        assert (first.impact["vips_appear"], first.impact["pools"][0]["change"]) == ((VIP,), "new")
        assert set(prepared(first.impact).values()) == {None}  # no engine runs yet

        world.start_engine()
        world.reports("up", "", "broken")
        world.reports("up", "", "healthy")
        before, rules = tables(world), world.spaces["engine"].sh("ip rule")

        # Two servers come, one of whom was left unprepared.
        operator.type("configure pool p1", f"servers ip {third} port 80", "save", f"servers ip {bare} port 80", "save")
        told = operator.told
        assert world.spaces["engine"].sh("ip rule") == rules  # it was asked, and nothing of it is left
        assert prepared(told) == {third: True, bare: False}
        (pool,) = told["pools"]
        assert (pool["begin"], pool["stop"], pool["ended_slots"]) == ((third,), (), 0)
        saved = operator.type("save")
        assert saved.impact == told
        assert f"{bare} is not prepared for VIP {VIP} by " in saved.foretold
        world.reports("up", "", "third")
        world.reports("down", "", "bare")
        until(lambda: third in tables(world), world.log)
        after = tables(world)
        assert moved(before, after) == pool["moved"] > 0

        Views(world, operator.session, [broken, healthy, third], pool["moved"]).all_tell_the_truth()

        # One goes: its connections end, and no others.
        gone = operator.type("configure pool p1", f"no servers ip {broken} port 80", "save").impact["pools"][0]
        until(lambda: broken not in tables(world), world.log)
        assert moved(after, tables(world)) == gone["moved"]
        assert (gone["stop"], gone["ended_slots"], gone["ended_servers"]) == ((broken,), after.count(broken), (broken,))

        # A second VIP, which one server has already.
        world.prepare("healthy", NEW)
        told = operator.type("configure vsvip v1 vip ip_address " + NEW, "save", "show impact").data
        assert (told["vips_appear"], told["pools"]) == ((NEW,), ())
        assert prepared(told, NEW) == {healthy: True, third: False, bare: False}
        operator.type("cancel")
        assert operator.type("delete virtualservice vs1").impact["vips_vanish"] == (VIP,)
