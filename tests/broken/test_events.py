"""What an engine tells of what really happens, in its file, in its log, and to the program that is run on events."""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from avi_shell.configuration.configuration import Configuration
from avi_shell.session.session import Session
from dataplane import plan
from dataplane.events import eventfile
from dataplane.events.model import Event
from tests.broken.world import PORT, VIP, World, built
from tests.polling import until

pytestmark = pytest.mark.root

PROGRAM = """#!/bin/sh
echo "$KIND $(cat)" >>"$(dirname "$0")/told"
"""


@pytest.fixture
def program() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="avi-events-", dir="/run"))
    folder.chmod(0o755)
    path, told = folder / "notify", folder / "told"
    path.write_text(PROGRAM)
    path.chmod(0o755)
    told.touch()
    told.chmod(0o666)
    yield path
    shutil.rmtree(folder)


def handed(program: Path) -> dict[str, Any]:
    """The events that the program was run on, by their kinds."""
    lines = [line.split(" ", 1) for line in (program.parent / "told").read_text().splitlines()]
    return {kind: json.loads(event) for kind, event in lines}


class Watched:
    """A world's events, as they come into the engine's file."""

    def __init__(self, world: World) -> None:
        self.world, self.seen = world, 0

    def all(self) -> list[Event]:
        return eventfile.read(self.world.folder / f"{self.world.name}.events")

    def told(self, *kinds: str) -> dict[str, Event]:
        """Wait until events of these kinds came since the last call. Returns each, by its kind."""

        def new() -> dict[str, Event]:
            return {event.kind: event for event in self.all() if event.number > self.seen}

        until(lambda: set(kinds) <= new().keys(), lambda: (kinds, new(), self.world.log()))
        found = new()
        self.seen = max(found[kind].number for kind in kinds)
        return found


def test_each_thing_that_happens_is_told_with_object_severity_and_commit(tmp_path: Path, program: Path) -> None:
    with built(tmp_path, "l2", "pcap", runs=False) as world:
        world.options = ["--log-format", "json", "--on-event", str(program), "--on-event-severity", "error"]
        world.start_engine()
        world.is_well()
        watched = Watched(world)
        found = watched.told("engine_started", "vip_announced", "server_up", "pool_up", "virtualservice_up")
        assert "engine_died" not in found
        about = found["server_up"].about
        assert (about.kind, about.tenant, about.uuid, about.pool) == ("server", "admin", "pool-1", "p1")

        world.stop("broken")
        gone = watched.told("server_down")["server_down"]
        assert (gone.about.name, gone.severity.word) == (f"{world.addresses['broken']}:{PORT}", "warning")
        assert "refused" in gone.text
        world.start("broken")
        watched.told("server_up")

        servers = [plan.Server(address, PORT) for address in world.addresses.values()]
        world.publish(servers=(replace(servers[0], enabled=False), servers[1]))
        found = watched.told("server_disabled", "configuration_applied")
        assert [found[kind].commit for kind in ("server_disabled", "configuration_applied")] == [world.version] * 2
        world.publish(enabled=False)
        found = watched.told("server_enabled", "virtualservice_disabled", "vip_withdrawn")
        assert found["virtualservice_disabled"].about.name == "vs1"
        assert {event.commit for event in found.values() if event.kind.startswith("v")} == {world.version}
        world.publish()
        world.is_well()

        mac = world.spaces["client"].link("eth0")[1].hex(":")
        world.sh("client", f"ip addr add {VIP}/32 dev eth0")
        claimed = watched.told("vip_claimed")["vip_claimed"]
        assert (claimed.about.name, claimed.severity.word) == (VIP, "error")
        assert mac in claimed.text
        world.sh("client", f"ip addr del {VIP}/32 dev eth0")
        watched.told("vip_released")

        world.sh("engine", "nft delete table netdev $(nft list tables netdev | sed 's/.* //')")
        watched.told("kernel_restored")
        world.sh("engine", "ip link set eth0 down")
        lost = watched.told("link_lost", "server_down", "pool_down", "virtualservice_down")
        assert lost["link_lost"].about[:2] == ("interface", "eth0")
        assert lost["link_lost"].text == "interface eth0 has lost its link: it is switched off"
        assert lost["virtualservice_down"].text.endswith(": 0 of 2 servers are up")
        world.sh("engine", "ip link set eth0 up")
        watched.told("link_back", "virtualservice_up")

        down = {"link_lost", "pool_down", "virtualservice_down"}
        until(lambda: down <= handed(program).keys(), lambda: (handed(program), world.log()))
        world.end_engine(signal.SIGKILL)
        session = Session(Configuration.in_memory(), world.folder)
        shown = session.run(f"show events serviceengine {world.name}")
        assert [event["number"] for event in shown.data] == [event.number for event in watched.all()]
        world.start_engine()
        watched.told("engine_died", "engine_started")
        world.end_engine()
        watched.told("engine_stopped")
        world.serves, number = ["none0"], len(watched.all())
        wrong, _ = world.refused()
        refused = watched.told("engine_not_started")["engine_not_started"]
        assert refused.text == f"it did not start: {wrong.removeprefix('avi-se: error: ').strip()}"
        assert len(watched.all()) == number + 1

        lines = [json.loads(line) for line in (world.folder / "engine.log").read_text().splitlines()]
        logged = {line["number"] for line in lines if "number" in line}
        assert logged == {event.number for event in watched.all() if event.kind != "engine_not_started"}
        errors = [event.kind for event in watched.all() if event.severity <= 3]
        assert set(errors) >= {"vip_claimed", "link_lost", "engine_not_started"}
        until(lambda: handed(program).keys() == set(errors), lambda: (handed(program), errors))
        assert all(event["kind"] == kind for kind, event in handed(program).items())
