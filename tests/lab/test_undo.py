"""Undo, and a client that sees it: what nobody confirmed is forwarded as before, whoever is killed meanwhile."""

from __future__ import annotations

import signal
import sqlite3
import sys
import time
from contextlib import closing
from typing import Any

import pytest

from avi_shell.configuration.configuration import Configuration
from avi_shell.session.session import Session
from dataplane import client
from dataplane.lab.laboratory import Lab
from tests import forked
from tests.drivers import REFERENCE
from tests.lab import plans
from tests.polling import until

DISABLE = ("configure virtualservice echo-vs enabled false", "save confirm 1")


def shell(lab: Lab, *lines: str) -> str:
    words = [word for line in lines for word in ("-c", line)]
    command = [sys.executable, "-m", "avi_shell", "--state", str(lab.state), "--wait", "20", *words]
    run = forked.run(command, capture_output=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return run.stdout


def hasten(lab: Lab, seconds: float) -> None:
    """What waits has so many seconds from now on: minutes are for operators."""
    with closing(sqlite3.connect(lab.state / "config.db")) as store, store:
        done = store.execute("UPDATE unconfirmed SET deadline = ?, seconds = ?", (time.time() + seconds, seconds))
        assert done.rowcount


def answers(lab: Lab) -> bool:
    return not any(answer.error for answer in lab.ask(range(20001, 20004), "--timeout", "0.3"))


def report(lab: Lab) -> Any:
    return client.ask(lab.state, lab.topology.engine_name, "status")


def comments(lab: Lab) -> list[str]:
    with closing(sqlite3.connect(lab.state / "config.db")) as store:
        return [text for (text,) in store.execute("SELECT comment FROM history ORDER BY number")]


@pytest.mark.root
def test_forwarding_follows_a_rollback_and_comes_back_where_nobody_confirms() -> None:
    with plans.new_lab("udp_echo", REFERENCE) as lab:
        lab.configure()
        lab.start_servers()
        lab.start_engine()
        lab.wait_ready()
        good = len(comments(lab))
        assert answers(lab)
        shell(lab, "configure virtualservice echo-vs enabled false", "save")
        assert not answers(lab)
        shell(lab, f"rollback {good}")
        until(lambda: answers(lab))

        # the shell has gone, the engine has it undone
        shell(lab, *DISABLE)
        assert not answers(lab)
        assert report(lab)["unconfirmed"]["commits"] == [good + 3]
        hasten(lab, 0.5)
        until(lambda: answers(lab))
        assert comments(lab)[good + 2 :] == ["", f"not confirmed: back to {good + 2}"]
        until(lambda: report(lab)["unconfirmed"] is None)
        until(lambda: any("was not confirmed: it is undone" in event["text"] for event in report(lab)["events"]))

        # the engine is killed, too; the next one has it undone as soon as it runs
        shell(lab, *DISABLE)
        lab.stop_engine(signal.SIGKILL)
        hasten(lab, 0)
        lab.start_engine()
        until(lambda: answers(lab))
        assert comments(lab)[-1] == f"not confirmed: back to {good + 4}"

        # what is confirmed stays
        shell(lab, *DISABLE)
        # by a shell that is there already: one that has yet to start may come too late on a busy machine. One that
        # stands still for a second or two is in time.
        with closing(Configuration.open(lab.state)) as configuration:
            confirms = Session(configuration, lab.state)
            hasten(lab, 5)
            assert confirms.run("confirm").ok
        over = time.monotonic() + 5.5
        until(lambda: time.monotonic() > over)
        assert not answers(lab)
        assert comments(lab)[-1] == ""
