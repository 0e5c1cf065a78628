"""The fuzzer on a native decision that is built with AddressSanitizer and UndefinedBehaviorSanitizer.

Every frame stands in a block of its own size; the first access beyond it, or the first thing that C does not define,
ends the run.

python -m tests.xdp.checked [--frames N] [--seconds S] [--seed X]
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from dataplane.native.decision.library import FOLDER

_RUNTIME = "libclang_rt.asan-x86_64.so"


def fuzz(folder: Path, frames: int, seed: int, seconds: float) -> subprocess.CompletedProcess[str]:
    """Build the library in a folder and run the fuzzer on it."""
    subprocess.run(["make", "-s", "-C", FOLDER, "checked", f"OUT={folder}"], check=True)
    found = subprocess.run(["clang", f"-print-file-name={_RUNTIME}"], check=True, capture_output=True, text=True)
    # The interpreter's own memory stands in blocks of malloc's, too; what it keeps at its end is no leak of ours.
    watched = {
        "LD_PRELOAD": found.stdout.strip(),
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",
    }
    words = ["--frames", str(frames), "--seconds", str(seconds), "--seed", str(seed), "--decider", "native"]
    return subprocess.run(
        [sys.executable, "-m", "tests.xdp.fuzz", *words, "--library", folder / "decision.checked.so"],
        env=os.environ | watched, capture_output=True, text=True,
    )  # fmt: skip


Fuzz = Callable[[Path, int, int, float], "subprocess.CompletedProcess[str]"]
"""Builds a library in a folder and runs so many frames of a seed through it, for so many seconds at most."""


def run(module: str, what: str, fuzz: Fuzz, frames: int) -> int:
    """The command line of a fuzzer on a library of its own. frames: as many as are run unless it says otherwise."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=what)
    parser.add_argument("--frames", type=int, default=frames)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        done = fuzz(Path(folder), options.frames, options.seed, options.seconds)
    print(done.stdout, end="")
    print(done.stderr, end="", file=sys.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(run("tests.xdp.checked", __doc__.split("\n")[0], fuzz, 200_000))
