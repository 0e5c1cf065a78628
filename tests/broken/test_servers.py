"""Each way to break a server, for real: the engine says which it is, the healthy one beside it stays up, and the
printed commands mend it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.broken.case import Case
from tests.broken.server_cases import CASES
from tests.broken.world import built

pytestmark = pytest.mark.root


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.mode}: {case.title}")
def test_a_broken_server(case: Case, tmp_path: Path) -> None:
    with built(tmp_path, case.mode) as world:
        assert world.sh("broken", "cat /proc/sys/net/ipv4/ip_forward").strip() == "1"
        case.breaks(world)
        world.reports(case.state, case.reason)
        assert world.server("healthy")["state"] == "up"
        found = [finding for finding in world.diagnose()["findings"] if finding["grave"]]
        assert not case.told or any(case.told in finding["what"] for finding in found), found
        commands = [(finding["host"], command) for finding in found for command in finding["commands"]]
        assert len(commands) == case.mends, commands
        for host, command in commands:
            world.sh("broken" if host == "server" else "engine", command)
        case.restores(world)
        world.is_well()
