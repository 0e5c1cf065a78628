"""Mixed traffic at full rate while the plan changes ten times a second: `python -m tests.lab.soak --seconds 60`.

Connections that are held open must live through every change, no program may say an error, and neither the engine's
memory nor its kernel maps may grow. Ends with status 0 only then, and prints what was measured.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from dataplane import plan
from dataplane.drivers.registry import NAMES
from dataplane.lab.laboratory import Lab
from dataplane.lab.namespaces import stop
from tests.drivers import PREFERRED

from .test_transitions import PORT, VIP, A, B, C, D, Scene, standing

CHANGE_EVERY = 0.1
HELD = 500
LOOKS = 20
PATIENCE = 10.0


@dataclass(frozen=True)
class Measured:
    """What a soak saw. memory: resident KiB of the engine after warming up and at the end; maps: kernel maps that it
    holds open at both times."""

    seconds: float
    changes: int
    applied: int
    packets: int
    connections: int
    broken: int
    datagram_failures: int
    memory: tuple[int, int]
    maps: tuple[int, int]
    errors: list[str]


class Traffic:
    """Programs in the client's namespace that send as fast as they can."""

    def __init__(self, lab: Lab) -> None:
        words = [sys.executable, "-m", "tests.lab.flood", VIP, str(PORT)]
        self.programs = [lab.hosts["client"].spawn([*words, kind], lab.log(f"flood-{kind}")) for kind in ("udp", "tcp")]

    def stop(self) -> None:
        for program in self.programs:
            stop(program)


def soak(driver: str, seconds: float) -> Measured:
    """Run it. Raises LabError where the laboratory cannot be built."""
    with standing(driver) as scene:
        scene.change(d=plan.Server(D, PORT))
        held = scene.open(HELD)
        traffic = Traffic(scene.lab)
        try:
            return _run(scene, held, seconds)
        finally:
            traffic.stop()


def _run(scene: Scene, held: dict[int, str], seconds: float) -> Measured:
    pid = scene.lab.engine.pid if scene.lab.engine else 0
    begun = time.monotonic()
    changes, failures = 0, 0
    before: tuple[int, int] | None = None
    while time.monotonic() - begun < seconds:
        _change(scene, changes)
        changes += 1
        if changes % 10 == 0:
            failures += sum(s.startswith("!") for s in scene.say("udp", 20_000, 50).values())
            assert scene.say("ping") == held, "a held connection broke"
        if before is None and time.monotonic() - begun > seconds / 3:
            scene.settle()
            before = _memory(pid), _maps(pid)
        time.sleep(max(0.0, begun + changes * CHANGE_EVERY - time.monotonic()))
    elapsed = time.monotonic() - begun
    scene.settle()
    after = scene.say("ping")
    told = scene.lab.status() or {}
    packets = sum(service["packets"] for service in told["services"])
    now = _memory(pid), _maps(pid)
    before = before or now
    events = [event["text"] for event in told["events"]]
    errors = [line for line in events if "not applied" in line or "not served" in line]
    errors += [line for line in scene.lab.log("engine").read_text().splitlines() if "Traceback" in line]
    broken = sum(after[port] != server for port, server in held.items())
    return Measured(
        round(elapsed, 1), changes, told["version"], packets, len(held), broken, failures,
        (before[0], now[0]), (before[1], now[1]), errors,
    )  # fmt: skip


def _change(scene: Scene, number: int) -> None:
    """Weights, graceful leaves and returns of servers, in turn; nobody who has a connection is removed."""
    graceful = plan.Server(C, PORT, enabled=False, serve_until=time.time() + 3600)
    scene.pool.commit(
        **(
            {"a": plan.Server(A, PORT, weight=number % 5 + 1)},
            {"c": graceful},
            {"b": plan.Server(B, PORT, weight=number % 3 + 1), "d": plan.Server(D, PORT, weight=number % 7 + 1)},
            {"c": plan.Server(C, PORT)},
        )[number % 4]
    )


def _memory(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def _maps(pid: int) -> int:
    """The least of several looks: while a pool is being put, its new table is one more for a moment."""
    folder = Path(f"/proc/{pid}/fd")
    return min(sum("bpf-map" in _target(entry) for entry in folder.iterdir()) for _ in range(LOOKS))


def _target(entry: Path) -> str:
    try:
        return str(entry.readlink())
    except OSError:
        return ""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--driver", choices=NAMES, default=PREFERRED)
    arguments = parser.parse_args()
    measured = soak(arguments.driver, arguments.seconds)
    print(json.dumps(asdict(measured), indent=1))
    return int(bool(measured.broken or measured.errors or measured.datagram_failures))


if __name__ == "__main__":
    sys.exit(main())
