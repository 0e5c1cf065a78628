"""What the balancer adds to one request at a time, beside a bridge in its place.

Three copies of one path (tests.bench.path): with the XDP driver in the middle, with a bridge of the same two
interfaces, and, to compare with, without a middle. Client and server are one small C program on one processor, so that
no other one's waking up is in the time. Both run before all others' programs there (SCHED_FIFO, sched(7)): else the
slowest requests would tell who else wanted the processor.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median

from tests.netns import Namespace

from .measure import Effort, Samples, interleaved
from .path import CLIENT, PORT, VIP, balanced, bridged, standing

SOURCE = Path(__file__).parent / "pingpong.c"
REQUESTS, WARMUP = 20_000, 500
"""Of one round of one path."""
CPU = 0
FIRST = "chrt", "--fifo", "1", "taskset", "--cpu-list", str(CPU)


def ping_pong(effort: Effort) -> Iterator[Samples]:
    """Lines "p50" and "p99": microseconds of a round trip through the driver against those through the bridge."""
    requests = effort.times(REQUESTS, 100)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        program = Path(folder) / "pingpong"
        subprocess.run(["clang", "-O2", "-o", str(program), str(SOURCE)], check=True)
        clients: dict[str, Namespace] = {}
        for name, middle in (("xdp", balanced), ("bridge", bridged), ("direct", None)):
            path = stack.enter_context(standing(middle))
            stack.enter_context(serving(path.servers[0], program))
            clients[name] = path.client
        rounds: dict[str, list[list[int]]] = {name: [] for name in clients}

        def once(name: str) -> float:
            rounds[name].append(asked(clients[name], program, requests))
            return 0.0

        interleaved(effort.rounds, **{name: partial(once, name) for name in clients})
    for name, part in (("p50", 0.5), ("p99", 0.99)):
        took = {path: [quantile(times, part) for times in each] for path, each in rounds.items()}
        adds = {path: median(took[path]) - median(took["direct"]) for path in ("xdp", "bridge")}
        note = f"UDP; direct {median(took['direct']):.2f} µs: adds {adds['xdp']:.2f}, the bridge {adds['bridge']:.2f}"
        yield Samples(
            name, "µs", took["xdp"], took["bridge"], "", note, {"direct": took["direct"], "requests": requests}
        )


def quantile(times: list[int], part: float) -> float:
    """Of nanoseconds, in microseconds."""
    return sorted(times)[int(len(times) * part)] / 1000


def asked(client: Namespace, program: Path, requests: int) -> list[int]:
    """Nanoseconds of each of so many requests."""
    ask = f"{program} ask {CLIENT} {VIP} {PORT} {min(WARMUP, requests)} {requests}"
    times = [int(line) for line in client.sh(f"exec {' '.join(FIRST)} {ask}").split()]
    assert len(times) == requests, f"{len(times)} of {requests} requests were made"
    assert 0 not in times, f"{times.count(0)} of {requests} requests got no answer"
    return times


@contextmanager
def serving(server: Namespace, program: Path) -> Iterator[None]:
    """The program that answers, in a server's namespace."""
    serve = ["nsenter", f"--net={server.path}", *FIRST, str(program), "serve", VIP, str(PORT)]
    process = subprocess.Popen(serve)
    try:
        yield
    finally:
        process.kill()
        process.wait()
