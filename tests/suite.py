"""`make test`: lint, types and every test, side by side; prints at its end what the run took."""

from __future__ import annotations

import argparse
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
LINT = ("ruff check .", "ruff format --check .", "mypy")
WORKERS = 4
"""Processes that run tests. Tests wait for two thirds of their time: twice as many as there are processors."""
OURS = ("--max-worker-restart", "0")
"""A process that dies ends the run: its successor would wait for tests that nobody hands out."""


def main() -> int:
    """Run everything. Returns 1 where anything failed."""
    parser = argparse.ArgumentParser(prog="make test", description=__doc__)
    parser.add_argument("--workers", type=int, default=WORKERS, help="processes that run tests")
    parser.add_argument("rest", nargs="*", help="arguments of pytest")
    wanted = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryFile("w+") as told:
        lint = subprocess.Popen(["sh", "-c", _all(LINT)], cwd=ROOT, stdout=told, stderr=subprocess.STDOUT)
        try:
            tests = _ended(subprocess.Popen(pytest(wanted.workers, wanted.rest), cwd=ROOT))
            linted = lint.wait()
        finally:
            lint.kill()
            lint.wait()
        told.seek(0)
        print(told.read(), end="")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    verdict = "passed" if not tests and not linted else "FAILED"
    spent = f"{time.monotonic() - begun:.0f} s of wall time, {used.ru_utime + used.ru_stime:.0f} s of processor time"
    print(f"lint {_word(linted)}, tests {_word(tests)}: {verdict} after {spent}")
    return int(bool(tests or linted))


def pytest(workers: int, rest: Sequence[str]) -> list[str]:
    """The command that runs the tests."""
    return [str(BIN / "pytest"), "-n", str(workers), *OURS, *rest]


def _all(commands: Sequence[str]) -> str:
    """A script that runs them all and ends with 1 where one failed."""
    return (
        "failed=0; "
        + "; ".join(f"{shlex.quote(str(BIN))}/{command} || failed=1" for command in commands)
        + "; exit $failed"
    )


def _ended(process: subprocess.Popen[bytes]) -> int:
    """The status of a process that clears up by itself when ^C is typed, which reaches it too."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def _word(status: int) -> str:
    return "failed" if status else "good"


if __name__ == "__main__":
    sys.exit(main())
