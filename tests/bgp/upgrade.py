"""Engines of another release take over under traffic: `python -m tests.bgp.upgrade`."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests import earlier
from tests.polling import until

from .engine import Engine
from .events import DRIVERS, Event, report
from .world import ENGINES, World


def _by(code: Path, signum: int) -> Callable[[World, Engine], None]:
    """An engine ends by a signal, and goes on by another checkout."""

    def happen(world: World, engine: Engine) -> None:
        engine.end(signum)
        engine.code = code
        engine.start()
        until(lambda: engine.status().get("bgp"), engine.log, 60)
        world.hops(*ENGINES)

    return happen


def main() -> int:
    """Upgrade engines from a commit, and back."""
    parser = argparse.ArgumentParser(prog="python -m tests.bgp.upgrade", description=__doc__)
    parser.add_argument("--connections", type=int, default=1000, help="held to each of two VIPs (default: %(default)s)")
    parser.add_argument("--before", default=earlier.BEFORE, help="commit (default: %(default)s)")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="avi-fleet-")))
        before = earlier.checked_out(folder / "before", arguments.before)
        (folder / "world").mkdir()
        world = World(stack, folder / "world", DRIVERS, connections=arguments.connections, interval=0.001)
        for name in ("a", "c"):
            _by(before, signal.SIGTERM)(world, world.engines[name])
        events = [
            Event("SIGHUP, goes on by this release", "a", _by(earlier.ROOT, signal.SIGHUP)),
            Event("SIGTERM, goes back to the release before", "a", _by(before, signal.SIGTERM)),
            Event("kill -9, goes on by this release", "a", _by(earlier.ROOT, signal.SIGKILL)),
            Event("SIGTERM, goes on by this release", "c", _by(earlier.ROOT, signal.SIGTERM)),
        ]
        return 1 if report(world, events, f"{2 * arguments.connections} connections, one datagram a ms") else 0


if __name__ == "__main__":
    sys.exit(main())
