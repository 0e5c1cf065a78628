"""`kill -9` in commits: what was told as committed is there, nothing is there by half, and the plan is the
configuration's."""

from __future__ import annotations

import random
import select
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from avi_shell.configuration import transfer
from avi_shell.configuration.configuration import Configuration
from avi_shell.session.session import Session
from dataplane import plan
from tests.torture.child import Child, Say, filled_state
from tests.torture.parts import Run

LONGEST = 0.03
"""Seconds from the first commit to the kill, at most: several commits."""


def _commits(state: Path, chance: random.Random, say: Say) -> None:
    session = Session(Configuration.open(state), Path("/nonexistent"))
    for number in range(1, 10_000):
        last = chance.randrange(101, 250)
        ports = f"services port {chance.randrange(1, 60000)}"
        for line in (
            *("configure pool p1", f"description {number}", "no servers", f"servers ip 10.1.1.{last} port 80"),
            *("save", "save", "configure virtualservice vs1", "no services", ports, "save", "save"),
        ):
            told = session.run(line)
            assert told.ok, (line, told.error)
        say(number)


def run(run: Run) -> None:
    """One kill a step."""
    for chance in run.steps():
        with filled_state() as state:
            child = Child(lambda say, state=state, chance=chance: _commits(state, chance, say))  # type: ignore[misc]
            told = child.hear()
            select.select([], [], [], chance.random() * LONGEST)
            child.kill()
            told = [told, *child.everything()][-1]
            assert child.close() == -9
            assert isinstance(told, int)
            run.ended(_check(state, told))


def _check(state: Path, told: int) -> str:
    with closing(Configuration.open(state)) as configuration:
        assert configuration.damage() is None
        pool = configuration.find("pool", "p1", "admin")
        assert pool is not None
        found = int(pool["description"])
        assert found in (told, told + 1), f"{told} was told as committed, {found} is there"
        stored, compiled = _plan(configuration), _plan(_again(configuration))
        assert stored == compiled
        commits = [commit.number for commit in configuration.history(1 << 20)]
        assert commits == list(range(1, len(commits) + 1))
    return "with what was told" if found == told else "with one commit more than was told"


def _again(configuration: Configuration) -> Configuration:
    fresh = Configuration.in_memory()
    transfer.import_(fresh, transfer.export(configuration), keep_uuid=True)
    return fresh


def _plan(configuration: Configuration) -> dict[str, plan.Service]:
    """The plan without what depends on how it came about."""
    with configuration.snapshot() as store:
        found = store.whole_plan().services
    return {
        key: replace(service, version=0, former=(), servers=tuple(replace(s, generation=0) for s in service.servers))
        for key, service in found.items()
        if service is not None
    }
