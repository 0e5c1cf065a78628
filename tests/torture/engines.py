"""Engines that are killed, hung or flooded while a client asks: no request is lost, and the engine that comes next goes
on with what ran."""

from __future__ import annotations

import random
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

from dataplane import plan
from dataplane.lab.laboratory import Lab
from dataplane.lab.namespaces import stop
from dataplane.plan import sqlite
from tests.drivers import PREFERRED
from tests.lab import plans
from tests.polling import until
from tests.torture.flooding import KINDS
from tests.torture.parts import Run

ASKED = 40
"""Requests that a step makes, and the milliseconds in which they begin are eight times as many."""
FIRST_PORT, LAST_PORT = 20000, 60000


@contextmanager
def laboratory() -> Iterator[Lab]:
    """The example of layer 2 with the driver that outlives its engine."""
    with plans.new_lab("l2_dsr", PREFERRED) as lab:
        plans.start(lab)
        yield lab


def _ports(run: Run) -> range:
    first = FIRST_PORT + run.at * ASKED % (LAST_PORT - FIRST_PORT)
    return range(first, first + ASKED)


@contextmanager
def asking(lab: Lab, run: Run) -> Iterator[None]:
    """Requests begin before the block and end after it; every one is answered."""
    asked = lab.start_asking(_ports(run), "--interval", "0.008", "--timeout", "20")
    asked.until(1)
    yield
    answers = asked.finish()
    assert len(answers) == ASKED
    assert [answer for answer in answers if answer.error] == []


def _publish(lab: Lab, chance: random.Random) -> tuple[int, dict[str, int]]:
    """Commit other weights. Returns the version and the weight of each server."""
    service = plans.service(lab.topology)
    servers = tuple(replace(server, weight=chance.randint(1, 20)) for server in service.servers)
    with closing(sqlite3.connect(lab.state / "config.db")) as store, store:
        version = sqlite.newest(store) + 1
        sqlite.write(store, version, [replace(service, version=version, servers=servers)], plan.Common())
    return version, {server.address: server.weight for server in servers}


def _forwarded(lab: Lab) -> int:
    """Packets of the service since its driver was first there."""
    told = lab.status()
    assert told is not None
    return int(told["services"][0]["packets"])


def _follows(lab: Lab, version: int, weights: dict[str, int]) -> bool:
    told = lab.status()
    if told is None or told["version"] != version:
        return False
    found = {server["address"]: server["weight"] for server in told["pools"][0]["servers"]}
    return found == weights and set(lab.servers().values()) == {"up"}


def crashes(run: Run) -> None:
    """`kill -9` at any moment, mostly just after a change of the plan; then a new engine."""
    with laboratory() as lab:
        for chance in run.steps():
            before = _forwarded(lab)
            with asking(lab, run):
                version, weights = _publish(lab, chance)
                time.sleep(chance.random() * 0.1)
                lab.stop_engine(signal.SIGKILL)
                lab.start_engine()
            until(lambda v=version, w=weights: _follows(lab, v, w), lab.status)  # type: ignore[misc]
            assert _forwarded(lab) >= before + ASKED, "the new engine began anew"
            run.ended("killed and adopted")


def hangs(run: Run) -> None:
    """An engine that stands still: it goes on by itself, or is killed and another one comes.

    One that stands still while SQLite closes the store for it (some microseconds) has the store locked: a commit is
    refused until it goes on or ends.
    """
    with laboratory() as lab:
        for chance in run.steps():
            assert lab.engine is not None
            locked = False
            with asking(lab, run):
                lab.engine.send_signal(signal.SIGSTOP)
                try:
                    version, weights = _publish(lab, chance)
                except sqlite3.OperationalError as exc:
                    if exc.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                        raise
                    locked = True
                time.sleep(chance.random() * 0.2)
            if killed := run.at % 2 == 1:
                lab.stop_engine(signal.SIGKILL)
                lab.start_engine()
            else:
                lab.engine.send_signal(signal.SIGCONT)
            if locked:
                version, weights = _publish(lab, chance)
            until(lambda v=version, w=weights: _follows(lab, v, w), lab.status)  # type: ignore[misc]
            run.ended(f"{'killed' if killed else 'went on'}{', the store was locked' if locked else ''}")


def floods(run: Run) -> None:
    """Frames that nobody asked for, as fast as the client can send them."""
    with laboratory() as lab:
        client, engine = lab.hosts["client"], lab.topology.engine
        for _ in run.steps():
            kind = KINDS[run.at % len(KINDS)]
            words = [sys.executable, "-m", "tests.torture.flooding", kind, lab.topology.vip, engine.mac]
            flood = client.spawn(words, lab.log("flood"))
            try:
                with asking(lab, run):
                    assert flood.poll() is None, lab.tail("flood")
                assert flood.poll() is None, lab.tail("flood")
            finally:
                stop(flood)
            until(lambda: set(lab.servers().values()) == {"up"}, lab.status)
            assert lab.announced()
            run.ended(f"of {kind}")
