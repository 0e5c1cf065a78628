"""The program that is run on events: what it is given, one at a time, and what is told when it fails."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from dataplane.daemon import eventhook
from dataplane.daemon.eventhook import Hook, Wanted, hooked, refusal
from dataplane.errors import EngineError
from dataplane.events import kinds, model
from dataplane.events.events import Events
from dataplane.events.model import Severity, Subject
from dataplane.health.probes import sandbox

VIP = Subject("vip", "10.0.0.100")
SERVER = Subject("server", "10.0.0.11:80", "admin", "pool-1", "web")
PROGRAM = """#!/bin/sh
case "$TEXT" in
  *hang*) sleep 60 ;;
  *fail*) echo "cannot tell anybody" >&2; exit 3 ;;
esac
printf '%s ' "$SEVERITY" "$KIND" "$OBJECT" "$NAME" "$ENGINE" "$(id -u)" "$(cat)" >>"$(dirname "$0")/told"
"""


@pytest.fixture
def program() -> Iterator[Path]:
    """Where a user without rights sees it: the box hides /tmp."""
    folder = Path(tempfile.mkdtemp(prefix="avi-hook-", dir="/run"))
    folder.chmod(0o755)
    path = folder / "notify"
    path.write_text(PROGRAM)
    path.chmod(0o755)
    (folder / "told").touch()
    (folder / "told").chmod(0o666)
    yield path
    shutil.rmtree(folder)


def told(program: Path) -> list[str]:
    return (program.parent / "told").read_text().splitlines()


@pytest.mark.root
def test_it_gets_each_event_of_its_severity_and_its_failures_are_told(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eventhook, "LIMIT", 4.0)
    events = Events("se-1", lambda: 1764400106.5)

    async def run() -> None:
        async with hooked(events, Wanted(program)):
            events.tell(kinds.VIP_ANNOUNCED, VIP, "a notice, which is less than a warning")
            events.tell(kinds.VIP_CLAIMED, VIP, "02:00 also announces it: \"$(touch /run/x)\" `id` \\\\ 'end'\nend")
            await asyncio.sleep(0)
            events.tell(kinds.SERVER_DOWN, SERVER, "hang")
            for _ in range(3):
                events.tell(kinds.POOL_DOWN, SERVER, "fail")
            until = time.monotonic() + 60
            while time.monotonic() < until and sum(one.kind == "hook_failed" for one in events.all()) < 2:
                await asyncio.sleep(0.02)

    asyncio.run(run())
    (line,) = told(program)
    severity, kind, about, name, engine, user, event = line.split(" ", 6)
    assert (severity, kind, about, name, engine, user) == (
        "error", "vip_claimed", "vip", "10.0.0.100", "se-1", str(eventhook.USER)
    )  # fmt: skip
    assert model.read(json.loads(event)) == next(one for one in events.all() if one.kind == "vip_claimed")
    given = json.loads(event)
    for name in ("at", "last"):
        assert datetime.fromisoformat(given[f"{name}_time"]).timestamp() == given[name]
    failed = [one.text.removeprefix(f"{program} ") for one in events.all() if one.kind == "hook_failed"]
    assert failed == [
        "failed on an event of kind server_down: it has not ended within 4 s",
        "failed on an event of kind pool_down: it ended with 3: cannot tell anybody",
    ], "of the three that waited, the newest is handed on; on its own failures it is not run"


def test_what_waits_is_bounded_and_what_is_lost_is_told() -> None:
    events = Events("se-1")
    hook = Hook(Wanted(Path("/x"), Severity.INFO), events)
    events.heard.append(hook.hear)
    ran: list[str] = []

    async def seen(event: model.Event) -> str:
        ran.append(event.text)
        return ""

    hook._run = seen  # type: ignore[method-assign]

    async def run() -> None:
        for number in range(eventhook.WAITING + 5):
            events.tell(kinds.VIP_ANNOUNCED, VIP._replace(name=f"{number}"), f"{number}")
        events.tell(kinds.VIP_ANNOUNCED, VIP._replace(name="7"), "7 again")
        job = asyncio.create_task(hook.run())
        await hook.done()
        job.cancel()

    asyncio.run(run())
    assert ran == [*(f"{n}" for n in range(eventhook.WAITING) if n != 7), "7 again"]
    assert events.all()[-1].text == "/x takes longer than events come: 5 of them it has not seen"


@pytest.mark.root
def test_a_program_that_cannot_be_run_is_refused_with_what_mends_it(program: Path, tmp_path: Path) -> None:
    assert refusal(program) == ""
    assert "whole path" in refusal(Path("notify"))
    assert "in /tmp" in refusal(Path("/tmp/notify"))
    assert refusal(program.parent / "none") == "No such file or directory"
    assert refusal(program.parent) == "it is no file"
    program.chmod(0o700)
    assert refusal(program).endswith(f"chmod o+rx {program}")
    program.chmod(0o757)
    assert refusal(program).endswith(f"chmod o-w {program}")
    program.chmod(0o755)
    program.parent.chmod(0o700)
    assert refusal(program).endswith(f"chmod o+x {program.parent}")

    async def run() -> None:
        async with hooked(Events(), Wanted(program)):
            pytest.fail("it was taken")

    with pytest.raises(EngineError, match="--on-event: .* cannot be run: a user without rights does not get into"):
        asyncio.run(run())
    assert os.path.exists("/run/x") is False
    assert sandbox.lacking() == []
