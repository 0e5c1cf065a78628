"""Starting a service engine beside the shell: `avi-shell --engine IF`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from avi_shell.errors import Refused
from dataplane import client, statedir
from dataplane.errors import command

_ERROR, _TRY = "avi-se: error: ", "avi-se: try: "
PATIENCE = 20.0
"""Seconds that an engine has to answer."""


def start(directory: Path, interfaces: Sequence[str]) -> int | None:
    """Start `avi-se run` as a process of its own, unless an engine runs. Returns its number, None where none was
    started. It stays when the shell ends.

    Returns once it answers. Raises Refused with what it said last in its log where it ends or does not answer.
    """
    if client.engines(directory):
        return None
    folder = directory / "run"
    statedir.prepare(folder)
    log = folder / "avi-se.log"
    words = ["--state", str(directory), *(word for interface in interfaces for word in ("--interface", interface))]
    with open(statedir.open_file(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY), "ab") as stream:
        before = log.stat().st_size
        argv = [sys.executable, "-m", "dataplane", "run", *words]
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True)
    deadline = time.monotonic() + PATIENCE
    while not client.engines(directory):
        if process.poll() is not None or time.monotonic() > deadline:
            process.terminate()
            lines = log.read_bytes()[before:].decode("utf-8", "replace").strip().splitlines()
            said = [line.removeprefix(_ERROR) for line in lines if line.startswith(_ERROR)][-1:] or lines[-1:]
            tries = [line.removeprefix(_TRY) for line in lines[-1:] if line.startswith(_TRY)]
            hint = f"try: {tries[0]}" if tries else command(f"avi-se run{' {}' * len(words)}", *words)
            raise Refused(f"the service engine did not start: {said[0] if said else f'see {log}'}", hint=hint)
        time.sleep(0.05)
    return process.pid


def started(process: int) -> str:
    """What a person is told of an engine that was started. process: its number."""
    stop = command("kill {}", process)
    return f"A service engine runs now, as process {process}. It stays when this shell ends; to stop it: {stop}"
