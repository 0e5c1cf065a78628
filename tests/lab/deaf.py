"""A program that does not end when it is asked to: `python -m tests.lab.deaf`. It says `deaf` when it is."""

from __future__ import annotations

import signal

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("deaf", flush=True)
    signal.pause()
