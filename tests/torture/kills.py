"""`kill -9` in commits, a configuration session's too: what was told as committed is there, nothing is there by half,
the plan is the configuration's, the history tells every change, and each commit has one line in the audit log."""

from __future__ import annotations

import json
import random
import select
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from avi_shell.configuration import outbox, transfer
from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.document import Document
from avi_shell.session import audit
from avi_shell.session.session import Session
from dataplane import plan, statedir
from tests.torture.child import Child, Say, filled_state
from tests.torture.parts import Run

LONGEST = 0.03
"""Seconds from the first commit to the kill, at most: several commits."""
SIZES = (6_000, audit.LARGEST)
"""Bytes of a file of the audit log; the smaller ones hold what a step writes, in several files."""


def _commits(state: Path, chance: random.Random, say: Say) -> None:
    audit.LARGEST = chance.choice(SIZES)
    configuration = Configuration.open(state)
    if chance.random() < 0.5:
        _linger(configuration)
    session = Session(configuration, Path("/nonexistent"), audit=audit.Audit(state, configuration))
    together = chance.random() < 0.5
    for number in range(1, 10_000):
        last = chance.randrange(101, 250)
        ports = f"services port {chance.randrange(1, 60000)}"
        lines = [
            *("configure pool p1", f"description {number}", "no servers", f"servers ip 10.1.1.{last} port 80"),
            *("save", "save", "configure virtualservice vs1", "no services", ports, "save", "save"),
        ]
        if together:
            other = ("configure pool other", f"description {number}", "save")
            lines = ["configure session", *lines, *other, "commit session"]
        for line in lines:
            told = session.run(line)
            assert told.ok, (line, told.error)
        say([number, together])


def _linger(configuration: Configuration) -> None:
    """Make the moment long in which a line stands in the audit log and in the store: the kill finds it."""
    real = configuration.audited

    def audited(lines: Sequence[outbox.Waiting]) -> bool:
        select.select([], [], [], LONGEST / 2)
        return real(lines)

    configuration.audited = audited  # type: ignore[method-assign]


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
            assert isinstance(told, list)
            run.ended(_check(state, *told))


def _check(state: Path, told: int, together: bool) -> str:
    with closing(Configuration.open(state)) as configuration:
        assert configuration.damage() is None
        pool = configuration.find("pool", "p1", "admin")
        assert pool is not None
        found = int(pool["description"])
        assert found in (told, told + 1), f"{told} was told as committed, {found} is there"
        other = configuration.find("pool", "other", "admin")
        assert (int(other["description"]) if other else None) == (found if together else None)
        stored, compiled = _plan(configuration), _plan(_again(configuration))
        assert stored == compiled
        commits = [commit.number for commit in configuration.history(1 << 20)]
        assert commits == list(range(1, len(commits) + 1))
        _check_history(configuration)
        with configuration.snapshot() as store:
            waiting = [number for number, _ in store.outbox.waiting()]
        begun = [number for number in waiting if number in audited(state)]
        for _ in range(2):
            audit.Audit(state, configuration).close()
            assert audited(state) == commits
    left = "with what was told" if found == told else "with one commit more than was told"
    left = f"sessions, {left}" if together else left
    return left + (" (its line half moved)" if begun else " (its line to be moved)" if waiting else "")


def _check_history(configuration: Configuration) -> None:
    """Each change begins with what the one before left, the last one left what is stored, and the configurations before
    and after a commit differ by what it changed."""
    with configuration.snapshot() as store:
        left: dict[int, object] = {}
        numbers = [commit.number for commit in store.history(1 << 20)]
        for number in numbers:
            for change in store.changes(number):
                assert left.setdefault(change.row, change.before) == change.before, (number, change.name)
                left[change.row] = change.after
        for row, after in left.items():
            assert store.by_id(row).document == after
        for number in numbers[-3:]:
            before, after = ([d for kind in store.at(n).objects.values() for d in kind] for n in (number - 1, number))
            changes = store.changes(number)
            assert _ordered(d for d in before if d not in after) == _ordered(c.before for c in changes if c.before)
            assert _ordered(d for d in after if d not in before) == _ordered(c.after for c in changes if c.after)


def _ordered(documents: Iterable[Document]) -> list[Document]:
    return sorted(documents, key=lambda one: str(one["uuid"]))


def audited(state: Path) -> list[int]:
    """The commits of the audit log, in its order."""
    files = [state / name for name in reversed(statedir.AUDIT)]
    entries = [json.loads(line) for file in files if file.exists() for line in file.read_text().splitlines()]
    return [entry["committed"] for entry in entries if entry["committed"] is not None]


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
