"""Measures a row in a process of its own: one row's threads, memory and faults are not the next one's.

That process is `python -m tests.bench.runner MODULE:FUNCTION ROUNDS SCALE`: it prints each Samples as one line of JSON.
"""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import IO

from . import machine
from .measure import Effort, Measure, Unmeasurable
from .report import Result, decode, encode

PATIENCE = 600.0
"""Seconds that a row may take; more means that it hangs. Beside programs that take a processor each, the longest takes
five times as long as alone."""
MERCY = 15.0
"""Seconds that a row which is told to end has for its clearing up."""
UNMEASURABLE = 3


def find(measure: str) -> Measure:
    """The function named "module:function". Raises ImportError, AttributeError."""
    module, _, function = measure.partition(":")
    found: Measure = getattr(importlib.import_module(f"{__package__}.{module}"), function)
    return found


def environment(root: Path) -> dict[str, str]:
    """Where Python finds this checkout's packages first, wherever another one is installed. Modules are compiled once,
    as in an installation, and not at every start, whatever the shell says in which this runs."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    compiled = machine.ROOT / "build" / "bench" / "compiled"
    return {**kept, "PYTHONPATH": str(root), "PYTHONPYCACHEPREFIX": str(compiled)}


def run(
    result: Result,
    effort: Effort,
    show: Callable[[], None] = lambda: None,
    patience: float = PATIENCE,
    root: Path = machine.ROOT,
) -> None:
    """Fill a result; show is called at each line that comes. root: the checkout whose bench measures."""
    show()
    begun = monotonic()
    command = [sys.executable, "-m", __spec__.name, result.row.measure, str(effort.rounds), str(effort.scale)]
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command, cwd=root, env=environment(root), stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        late = threading.Timer(patience, _end, (process,))
        late.start()
        try:
            _read(process, result, show)
        except BaseException:
            _end(process)
            raise
        finally:
            late.cancel()
        status = process.wait()
        if late.finished.is_set() and monotonic() - begun >= patience:
            result.failure = f"not done after {patience:.0f} s"
        elif status:
            result.failure = _reason(errors, status)
    result.seconds = monotonic() - begun
    result.close()


def _read(process: subprocess.Popen[str], result: Result, show: Callable[[], None]) -> None:
    assert process.stdout
    for line in process.stdout:
        result.samples.append(decode(line))
        show()


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(MERCY)
    except subprocess.TimeoutExpired:
        process.kill()


def _reason(errors: IO[str], status: int) -> str:
    """The last words of a process: an exception's text is its last line."""
    errors.seek(0)
    told = errors.read()
    if status != UNMEASURABLE:
        sys.stderr.write(told)
    return next((line for line in reversed(told.splitlines()) if line.strip()), f"ended with status {status}")


def main() -> int:
    measure, rounds, scale = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that `finally` is gone through
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a program that takes part prints is not a result
    try:
        for samples in find(measure)(Effort(int(rounds), float(scale))):
            print(encode(samples), file=lines)
    except Unmeasurable as exc:
        print(exc, file=sys.stderr)
        return UNMEASURABLE
    return 0


if __name__ == "__main__":
    sys.exit(main())
