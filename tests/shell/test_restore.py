"""A store that is restored, or replaced by another file, under a running engine: the engine follows at once, and
`--wait` is true for the store that is there."""

from __future__ import annotations

import os
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from avi_shell.__main__ import main
from avi_shell.configuration.configuration import Configuration
from dataplane import client
from tests.polling import until
from tests.shell.conftest import VIRTUAL_SERVICE
from tests.shell.test_live import Place
from tests.shell.test_live import place as place  # the fixture

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="root: network namespaces"),
]


def run(state: Path, *lines: str) -> int:
    """Lines of a shell, and a commit that plans nothing, for which the engine is waited."""
    words = [word for line in (*lines, "configure tenant t1", f"description {os.urandom(4).hex()}", "save")
             for word in ("-c", line)]  # fmt: skip
    return main(["--state", str(state), "--wait", "5", *words])


def ports(state: Path) -> list[tuple[str, int]]:
    """What the engine forwards."""
    (report,) = client.status(state)
    return [(service["vip"], service["port"]) for service in report["services"]]


def put_away(state: Path) -> None:
    """Wait until nobody reads the store and all is in its file: the engine does for a moment after each commit."""
    until(lambda: not (state / "config.db-wal").exists())


def to_port(port: int) -> tuple[str, ...]:
    return "configure virtualservice vs1", "no services", f"services port {port}", "save", "save"


def test_the_engine_follows_a_restore_in_place_by_mv_and_of_another_hosts_store(place: Place, tmp_path: Path) -> None:
    state, kept, moved = place.state, tmp_path / "kept.db", tmp_path / "moved.db"
    assert place.shell("--engine", "avi0", "--wait", "30", stdin=VIRTUAL_SERVICE).returncode == 0
    assert ports(state) == [("10.1.1.100", 80)]
    assert main(["backup", str(kept), "--state", str(state)]) == 0
    put_away(state)
    shutil.copy(state / "config.db", moved)
    assert run(state, *to_port(81)) == 0
    assert ports(state) == [("10.1.1.100", 81)]

    assert main(["restore", str(kept), "--state", str(state)]) == 0
    assert run(state) == 0
    assert ports(state) == [("10.1.1.100", 80)]
    assert run(state, *to_port(82)) == 0
    assert ports(state) == [("10.1.1.100", 82)]

    put_away(state)
    moved.replace(state / "config.db")  # an older state of the same store, of an older epoch
    assert run(state) == 0
    assert ports(state) == [("10.1.1.100", 80)]

    other = tmp_path / "other"  # of another host, which has made fewer commits
    with closing(Configuration.open(other)) as configuration:
        configuration.save("pool", {"name": "alone"}, "admin")
    assert main(["backup", str(kept), "--state", str(other)]) == 0
    assert main(["restore", str(kept), "--state", str(state)]) == 0
    assert run(state) == 0
    assert ports(state) == []

    (tmp_path / "lines").write_text(VIRTUAL_SERVICE.replace("services port 80", "services port 83"))
    assert main(["--state", str(other), "-f", str(tmp_path / "lines")]) == 0
    shutil.copy(other / "config.db", moved)  # what was copied from there as a file
    put_away(state)
    moved.replace(state / "config.db")
    assert run(state) == 0
    assert ports(state) == [("10.1.1.100", 83)]
    assert run(state, *to_port(84)) == 0
    assert ports(state) == [("10.1.1.100", 84)]
    (report,) = client.status(state)
    with closing(Configuration.open(state)) as configuration, configuration.snapshot() as store:
        assert (report["store"]["identity"], report["store"]["epoch"]) == store.identity()
    replaced = [event["text"] for event in report["events"] if event["kind"] == "configuration_replaced"]
    assert any("its whole plan is taken over" in text for text in replaced)
