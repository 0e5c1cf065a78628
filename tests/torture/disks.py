"""Disks that are full at some byte: every line is answered or refused, what is told is what is stored, nothing else.

A file may grow up to a size drawn by chance (RLIMIT_FSIZE): the store's, its log's, and that of the commands' record.
"""

from __future__ import annotations

import resource
import signal
from contextlib import closing
from pathlib import Path

from avi_shell.configuration.configuration import Configuration
from avi_shell.errors import ShellError
from avi_shell.session.audit import Audit
from avi_shell.session.session import Session
from tests.torture.child import Child, Say, filled_state
from tests.torture.parts import Run

POOLS = 12


def _work(state: Path, room: int, say: Say) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    try:
        configuration = Configuration.open(state)
    except ShellError:
        say("not opened")
        return
    session = Session(configuration, state, audit=Audit(state, configuration))
    warnings: list[str] = []
    for number in range(POOLS):
        session.run(f"configure pool q{number} description {'x' * 3000}")
        saved = session.run("save")
        if not saved.ok:
            warnings += session.run("cancel").warnings
        listed = session.run("show pool")
        assert listed.ok, listed.error
        names = [pool["name"] for pool in listed.data]
        warnings += saved.warnings + listed.warnings
        say([number, saved.ok, f"q{number}" in names])
    assert len(warnings) <= 1, warnings
    assert session.run(f"export configuration file {state}/export.json") is not None


def run(run: Run) -> None:
    """One size of a disk a step."""
    for chance in run.steps():
        with filled_state() as state:
            room = chance.choice([chance.randrange(4096), chance.randrange(100_000), chance.randrange(400_000)])
            child = Child(lambda say, state=state, room=room: _work(state, room, say))  # type: ignore[misc]
            told = child.everything()
            assert child.close() == 0
            assert not (state / "export.json").exists() or (state / "export.json").read_text().endswith("}\n")
            with closing(Configuration.open(state)) as configuration:
                assert configuration.damage() is None
                names = configuration.names("pool", "admin")
            if told == ["not opened"]:
                run.ended("not opened")
                continue
            saved = 0
            for entry in told:
                assert isinstance(entry, list)
                number, ok, seen = entry
                assert ok == seen == (f"q{number}" in names), f"{room} bytes: {entry}, {names}"
                saved += ok
            run.ended("all stored" if saved == POOLS else "some stored" if saved else "none stored, read all the same")
