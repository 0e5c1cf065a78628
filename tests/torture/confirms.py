"""Commits that wait to be confirmed, while whoever confirms or undoes them is killed: they are kept or undone, once and
whole, and nobody who said `confirm` loses them. A run of all steps begins with one true minute."""

from __future__ import annotations

import random
import select
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from avi_shell.configuration import confirming
from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.record import Author
from avi_shell.errors import Refused
from avi_shell.session import audit
from avi_shell.session.session import Session
from dataplane.plan.unconfirmed import Watch
from tests.torture.child import Child, Say, filled_state
from tests.torture.kills import audited
from tests.torture.parts import Run

LONGEST = 0.1
"""Seconds to the deadline, and to the last kill, at most: stores are opened, and commits made."""
_MINUTE = 20
"""Steps of a run from which on one is a true minute."""


def run(run: Run) -> None:
    """One deadline a step."""
    for chance in run.steps():
        with filled_state() as state:
            if run.at == 0 and run.count >= _MINUTE:
                run.ended(_minute(state))
            else:
                run.ended(_step(state, chance))


def _step(state: Path, chance: random.Random) -> str:
    with closing(Configuration.open(state)) as configuration:
        before = _description(configuration)
        _save(configuration, chance.random() * LONGEST)
        last = configuration.version()
        found = confirming.waiting(configuration)
        assert found is not None
        if others := chance.random() < 0.5:
            configuration.save("pool", {"name": "other"}, "admin")
        keeps = chance.random() < 0.3
        works = [lambda say: _undo(state, say)] * 3 + [lambda say: _confirm(state, say)] * keeps
        children = [Child(work) for work in works]
        for child in chance.sample(children, len(children) - 1):
            select.select([], [], [], chance.random() * LONGEST / len(children))
            child.kill()
        said = [word for child in children for word in child.everything()]
        for child in children:
            assert child.close() in (0, -9)
        done = confirming.undo_over(configuration, found.deadline)
        assert confirming.waiting(configuration) is None
        assert configuration.damage() is None
        undone = [one for one in configuration.history() if one.comment.startswith("not confirmed: back to")]
        kept = _description(configuration) == "unconfirmed"
        assert len(undone) == (not kept)
        assert _description(configuration) in (before, "unconfirmed")
        assert "confirmed" not in said or kept
        assert (configuration.find("pool", "other", "admin") is not None) == others
        assert configuration.version() == last + others + (not kept)
        for _ in range(2):
            audit.Audit(state, configuration).close()
            numbers = audited(state)
            assert numbers == list(range(1, configuration.version() + 1))
    who = "confirmed" if kept else "undone at last" if done else "undone"
    return f"{who}, others kept" if others else who


def _minute(state: Path) -> str:
    """`save confirm 1` in a shell that is killed; the next one comes in time."""
    with closing(Configuration.open(state)) as configuration:
        before = _description(configuration)
        command = [sys.executable, "-m", "avi_shell", "--state", str(state)]
        shell = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert shell.stdin is not None
        assert shell.stdout is not None
        shell.stdin.write("configure pool p1 description unconfirmed\nsave confirm 1\n")
        shell.stdin.flush()
        begun = time.monotonic()
        while "unless confirm is typed" not in shell.stdout.readline():
            assert shell.poll() is None
        shell.kill()
        shell.communicate()
        session = Session(configuration, state)
        while _description(configuration) != before:
            assert time.monotonic() < begun + 90
            select.select([], [], [], 0.5)
            session.undo_overdue()
        assert time.monotonic() > begun + 58
    return "a true minute"


def _save(configuration: Configuration, seconds: float) -> None:
    pool = configuration.find("pool", "p1", "admin")
    assert pool is not None
    by = Author(confirm=seconds, line="save confirm 1")
    configuration.save("pool", {**pool, "description": "unconfirmed"}, "admin", by)


def _undo(state: Path, say: Say) -> None:
    with closing(Configuration.open(state)) as configuration:
        watch = Watch()
        while (found := confirming.waiting(configuration)) is not None:
            if watch.over(found) and confirming.undo_over(configuration, found.deadline) is not None:
                say("undone")


def _confirm(state: Path, say: Say) -> None:
    with closing(Configuration.open(state)) as configuration:
        try:
            confirming.confirm(configuration)
        except Refused:  # too late
            return
        say("confirmed")


def _description(configuration: Configuration) -> object:
    pool = configuration.find("pool", "p1", "admin")
    assert pool is not None
    return pool.get("description")
