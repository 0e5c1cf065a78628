"""An engine that is told to end at any moment of its start leaves nothing in the kernel, not even what a killed run of
it had left there: compared with all that others see of the network namespace."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from dataplane import client, plan
from dataplane.drivers import selection
from dataplane.drivers.registry import NAMES
from dataplane.lab import topology
from dataplane.plan import sqlite
from tests import kernelstate
from tests.lab import plans
from tests.netns import Namespace
from tests.polling import until
from tests.torture.parts import Run

LONGEST = 1.2
"""Seconds after its first handler at which an engine is told to end, at most: it has started by then."""


def run(run: Run) -> None:
    """Start, signal, compare; every other step begins with a run that was killed."""
    with TemporaryDirectory() as folder, Namespace() as there:
        there.sh(
            "ip link add eth0 type veth peer name peer0; ip addr add 10.10.10.2/24 dev eth0\n"
            "sysctl -qw net.ipv6.conf.all.disable_ipv6=1; ip link set eth0 up; ip link set peer0 up\n"
            "ip route add default via 10.10.10.254"
        )
        there.run(lambda: selection.prepare_peer(None, "peer0"))
        state = Path(folder)
        _publish(state)
        name = f"start-{os.getpid()}"
        before = kernelstate.seen(there, name)
        for chance in run.steps():
            words = ["run", "--state", folder, "--name", name, "--interface", "eth0", "--driver", chance.choice(NAMES)]
            killed = chance.random() < 0.5
            if killed:
                with _started(there, words) as process:
                    until(lambda: client.engines(state) == [name], process.poll)
                    process.kill()
            signum = chance.choice((signal.SIGTERM, signal.SIGINT))
            with _started(there, words) as process:
                until(lambda: _handles(process) or process.poll() is not None)
                time.sleep(chance.random() * LONGEST)
                process.send_signal(signum)
                _, said = process.communicate(timeout=20)
            left = kernelstate.changed(before, kernelstate.seen(there, name))
            files = sorted(path.name for path in (state / "run").iterdir()) if (state / "run").is_dir() else []
            assert (process.returncode, left) == (0, set()), f"{words} {signum}: {process.returncode} {left}\n{said}"
            assert set(files) <= {f"{name}.sock"}, files
            run.ended(f"{'while starting' if 'stopped while starting' in said else 'after the start'}"
                      f"{', after a kill' if killed else ''}")  # fmt: skip


def _publish(state: Path) -> None:
    """A service of layer 2 and one of layer 3, so that there are probes of both."""
    near = plans.service(topology.load(topology.find("l2_dsr")))
    servers = (plan.Server("192.0.2.11", near.port),)
    far = replace(
        near, virtualservice="vs2", uuid="virtualservice-2", vip="10.10.10.101", mode=plan.L3_IPIP, pool="p2",
        pool_uuid="pool-2", servers=servers,
    )  # fmt: skip
    with closing(sqlite3.connect(state / "config.db")) as store, store:
        store.executescript(sqlite.SCHEMA)
        sqlite.write(store, 1, [near, far], plan.Common())


def _started(there: Namespace, words: list[str]) -> subprocess.Popen[str]:
    argv = ["nsenter", f"--net={there.path}", sys.executable, "-m", "dataplane", *words]
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def _handles(process: subprocess.Popen[str]) -> bool:
    """Whether it has a handler for SIGTERM (proc(5), SigCgt): before, it has made nothing."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return False
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)
