"""Starting a service engine beside the shell: `avi-shell --engine IF`."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from dataplane import client

from .errors import Refused

PATIENCE = 20.0
"""Seconds that an engine has to answer."""


def start(state: Path, interfaces: Sequence[str]) -> bool:
    """Start `avi-se run` as a process of its own, unless an engine runs. Returns whether one was started.

    Returns once it answers. Raises Refused with the last line of its log where it ends or does not answer.
    """
    if client.engines(state):
        return False
    folder = state / "run"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = folder / "avi-se.log"
    command = [sys.executable, "-m", "dataplane", "run", "--state", str(state)]
    for interface in interfaces:
        command += ["--interface", interface]
    with log.open("ab") as stream:
        log.chmod(0o600)
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True
        )
    deadline = time.monotonic() + PATIENCE
    while not client.engines(state):
        if process.poll() is not None or time.monotonic() > deadline:
            process.terminate()
            lines = log.read_text("utf-8", "replace").strip().splitlines()
            last = lines[-1] if lines else f"see {log}"
            raise Refused(f"the service engine did not start: {last}", hint=" ".join(["avi-se", *command[3:]]))
        time.sleep(0.05)
    return True
