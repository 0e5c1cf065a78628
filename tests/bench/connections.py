"""Real TCP connections, opened one after another through real servers, beside the same client asking them directly.

Servers are nginx and keep no connection: each request is a connection of its own, made, used and closed. The client is
wrk. Through the balancer it asks the VIP, directly each server in turn at its own address, over the pair that has the
answers in either case (tests.bench.path). All of them share the processors: what forwarding takes, the others lack.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from dataplane.lab import nginx as web
from tests.netns import Namespace

from .measure import Effort, Samples, paired
from .path import PORT, VIP, balanced, direct, standing

SCRIPT = Path(__file__).parent / "connections.lua"
SERVERS = 3
SECONDS = 1
"""Of one repetition; wrk knows whole ones."""
AT_ONCE = 48
"""Connections that are open at a time."""
PATIENCE = 10.0


def opened(effort: Effort) -> Iterator[Samples]:
    """Line "XDP": connections a second through the balancer against those without it."""
    seconds = effort.times(SECONDS)
    with ExitStack() as stack:
        path = stack.enter_context(standing(balanced, SERVERS))
        for number, server in enumerate(path.servers):
            stack.enter_context(serving(server, number))
        through = partial(rate, path.client, [VIP], seconds)
        without = partial(rate, path.client, [direct(number) for number in range(SERVERS)], seconds)
        ours, theirs = paired(2 * effort.rounds, through, without)
    note = f"{SERVERS} nginx servers, wrk, {AT_ONCE} connections at a time"
    yield Samples("XDP", "connections/s", ours, theirs, note=note)


def rate(client: Namespace, hosts: Sequence[str], seconds: int) -> float:
    """Connections a second, made to each of the hosts in turn."""
    to = " ".join(f"{host}:{PORT}" for host in hosts)
    asked = f"wrk -t{SERVERS} -c{AT_ONCE} -d{seconds}s -s {SCRIPT} -H 'Connection: close' http://{hosts[0]}:{PORT}/"
    said = json.loads(client.sh(f"TO='{to}' exec {asked}").splitlines()[-1])
    assert said["errors"] == 0, f"{said['errors']} of {said['requests']} connections failed"
    return float(said["requests"] / said["microseconds"] * 1e6)


@contextmanager
def serving(server: Namespace, number: int) -> Iterator[None]:
    """nginx in a server's namespace, listening."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        configured = folder / "nginx.conf"
        configured.write_text(web.configuration(f"server{number}", folder, PORT))
        words = ["nginx", "-p", name, "-e", str(folder / "error.log"), "-c", str(configured)]
        process = subprocess.Popen(["nsenter", f"--net={server.path}", *words])
        try:
            until = time.monotonic() + PATIENCE
            while not server.sh(f"ss -Hltn sport = :{PORT}"):
                assert process.poll() is None, "nginx ended"
                assert time.monotonic() < until, "nginx does not listen"
                time.sleep(0.02)
            yield
        finally:
            process.kill()
            process.wait()
