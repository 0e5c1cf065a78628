"""`avi-shell follow`: applies what other hosts commit as soon as it is committed, and wakes this host's engines.

One process does it for a state directory, others wait until it ends. It goes on while etcd does not answer. One of a
cluster's hosts, by a lease, has etcd forget once an hour what keys held more than an hour ago: etcd never does so by
itself, and would be full one day.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from avi_shell.configuration.shared import SharedConfiguration
from avi_shell.errors import Refused, StoreError
from avi_shell.fronts import storeoptions
from avi_shell.session.audit import Audit
from dataplane import client, statedir
from dataplane.client import default_state
from dataplane.cluster.address import FORM, StoreAddress
from dataplane.cluster.answers import Compacted
from dataplane.cluster.housekeeping import Housekeeping
from dataplane.errors import ClusterError, StateError

_IDLE = 10.0
"""Seconds without news after which etcd is asked, whether or not the watch still lives."""
_AGAIN = 1.0
"""Seconds between two tries to reach etcd."""


def parser() -> argparse.ArgumentParser:
    """Of the words behind `follow`."""
    parser = argparse.ArgumentParser(
        prog="avi-shell follow", description="Apply what other hosts commit as soon as it is committed."
    )
    parser.add_argument("--state", type=Path, default=default_state(), help="state directory (default: %(default)s)")
    parser.add_argument("--while-input", action="store_true", help="end when standard input does")
    storeoptions.add(parser)
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Follow until a signal ends it. Raises ShellError, UsageError."""
    if storeoptions.address(arguments) is None:
        raise Refused(f"{arguments.state} belongs to no cluster", hint=f"--store {FORM} names one")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if arguments.while_input:
        threading.Thread(target=_end_with_input, daemon=True).start()
    with _alone(arguments.state):
        faults = _Faults()
        while (address := storeoptions.address(arguments)) is not None:
            try:
                _follow(arguments.state, address, faults)
                arguments.store = None
            except (StoreError, ClusterError) as exc:
                faults.tell(f"{exc.what}; {exc.hint}" if isinstance(exc, StoreError) and exc.hint else exc.what)
            time.sleep(_AGAIN)


class _Faults:
    """Reports faults that keep it from following: each fault once, until it is gone."""

    def __init__(self) -> None:
        self.last = ""

    def tell(self, what: str) -> None:
        """Report a fault, unless it was reported already."""
        if what != self.last:
            print(f"avi-shell: error: {what}", file=sys.stderr, flush=True)
        self.last = what


def _follow(directory: Path, address: StoreAddress, faults: _Faults) -> None:
    """Follow until something fails, or the state directory belongs to the cluster no more."""
    with closing(SharedConfiguration.join(directory, address)) as configuration:
        faults.last = ""
        print(f"following {address.url}", flush=True)
        audit = Audit(directory, configuration)
        client.notify(directory)
        keeping = Housekeeping(configuration.log.etcd)

        def apply() -> None:
            if configuration.catch_up():
                client.notify(directory)
                audit.settle()

        try:
            while True:
                # One watch for as long as it lives: etcd looks after one that begins in the past every 100 ms only.
                with suppress(Compacted):
                    for _ in configuration.log.wait(_IDLE):
                        if not (directory / statedir.SHARED).exists():
                            return
                        apply()
                        keeping.due(configuration.log.revision)
                apply()
        finally:
            audit.close()


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Hold the lock of those who follow for a state directory; wait for it."""
    try:
        statedir.prepare(directory / "run")
        folder = os.open(directory / "run", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (OSError, StateError) as exc:
        raise StoreError(f"{directory}: {exc}") from exc
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _end_with_input() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
