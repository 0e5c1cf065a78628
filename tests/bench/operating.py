"""What an operator waits for: the state of many servers as a table, and TAB among many names."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

from avi_shell.configuration import transfer
from avi_shell.configuration.configuration import Configuration
from avi_shell.session.session import Session

from .importing import export
from .measure import Effort, Samples, paired
from .site import Site, many

POOLS, SERVERS = 100, 100
FEW, NAMES = 10, 10_000
KEYS = 20
"""Keys pressed in a round."""


def status(effort: Effort) -> Iterator[Samples]:
    """Line "10,000 servers": seconds of `avi-se status`, against the same with --json."""
    pools = effort.times(POOLS)
    with Site(pools * SERVERS) as site:
        site.publish(many(pools, SERVERS))
        with site.process():

            def asked(*more: str) -> float:
                began = time.perf_counter()
                words = [sys.executable, "-m", "dataplane", "status", "--state", str(site.state)]
                done = subprocess.run([*words, *more], cwd=Path(__file__).parents[2], capture_output=True, check=True)
                assert more or len(done.stdout.splitlines()) > pools * SERVERS
                return time.perf_counter() - began

            table, data = paired(effort.rounds, asked, lambda: asked("--json"))
    yield Samples("10,000 servers", "s", table, data, "--json", f"{pools} pools")


def completion(effort: Effort) -> Iterator[Samples]:
    """Line "10,000 names": milliseconds of processor time of TAB after `show pool p`, against that with 10."""
    with ExitStack() as stack:
        sessions = []
        for count in (effort.times(NAMES), FEW):
            stored = stack.enter_context(closing(Configuration.in_memory()))
            transfer.import_(stored, {"Pool": export(count)["Pool"]})
            sessions.append(Session(stored, Path("/nonexistent")))

        def pressed(session: Session) -> float:
            began = time.process_time()
            for _ in range(KEYS):
                assert session.offer("show pool p").candidates
            return (time.process_time() - began) * 1000 / KEYS

        ours, few = paired(effort.rounds + 1, lambda: pressed(sessions[0]), lambda: pressed(sessions[1]))
    yield Samples("10,000 names", "ms", ours[1:], few[1:], f"{FEW} names", "processor time")
