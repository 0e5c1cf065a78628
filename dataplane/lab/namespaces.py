"""Network namespaces: made, entered, emptied, removed.

They are entered by nsenter(1), never by `ip netns exec`, which replaces the mount namespace as well: BPF pins would not
be seen there.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from dataplane.errors import LabError

FOLDER = Path("/run/netns")
PATIENCE = 20.0
"""Seconds that a process has to end when asked."""

CLONE_NEWNET = 0x40000000  # linux/sched.h

T = TypeVar("T")


class Namespace:
    """One network namespace, by name."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def path(self) -> Path:
        """The namespace's file."""
        return FOLDER / self.name

    def create(self) -> None:
        """Make the namespace, with only a loopback in it. Raises LabError."""
        call("ip", "netns", "add", self.name)

    def remove(self) -> None:
        """Kill what runs in the namespace and remove it, if it exists."""
        if not self.path.exists():
            return
        end(self.processes(), signal.SIGKILL)
        call("ip", "netns", "del", self.name)

    def command(self, *words: str) -> list[str]:
        """The command line that runs a program in the namespace."""
        return ["nsenter", f"--net={self.path}", *words]

    def call(self, *words: str, text: str | None = None) -> str:
        """Run a program in the namespace to its end. Returns its standard output. Raises LabError with its output."""
        return call(*self.command(*words), text=text)

    def spawn(self, words: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        """Start a program in the namespace, out of reach of the terminal's signals. Its output goes to a file."""
        with log.open("ab") as sink:
            return subprocess.Popen(
                self.command(*words), stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True
            )

    def processes(self) -> list[int]:
        """The processes in the namespace."""
        try:
            wanted = self.path.stat().st_ino
        except FileNotFoundError:
            return []
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if (entry / "ns/net").stat().st_ino == wanted:
                        found.append(int(entry.name))
                except OSError:  # it ended
                    continue
        return [pid for pid in found if pid != os.getpid()]


def inside(space: Namespace, function: Callable[[], T]) -> T:
    """Call a function in a thread that lives in a namespace. Raises what it raises."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_entered, space.path, function).result()


def _entered(path: Path, function: Callable[[], T]) -> T:
    with path.open("rb") as handle:
        if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), CLONE_NEWNET):
            raise LabError(f"cannot enter {path}: {os.strerror(ctypes.get_errno())}")
    return function()


def existing(prefix: str) -> list[Namespace]:
    """The namespaces whose names start with a prefix."""
    return [Namespace(path.name) for path in sorted(FOLDER.glob(f"{prefix}*"))]


def end(pids: Iterable[int], signum: int = signal.SIGTERM) -> None:
    """Send a signal and wait until the processes are gone; kill those that stay."""
    waiting = _signal(pids, signum)
    deadline = time.monotonic() + PATIENCE
    while waiting and time.monotonic() < deadline:
        waiting = [pid for pid in waiting if alive(pid)]
        if waiting:
            time.sleep(0.01)
    _signal(waiting, signal.SIGKILL)


def stop(process: subprocess.Popen[bytes], signum: int = signal.SIGTERM) -> int:
    """Ask a child to end and wait for it; kill it when it does not. Returns its exit status."""
    if process.poll() is None:
        process.send_signal(signum)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    return started(pid) is not None


def started(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None: it is gone. Process number and start together are
    unique."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


def call(*words: str, text: str | None = None) -> str:
    """Run a program to its end. Returns its standard output. Raises LabError with its output."""
    try:
        run = subprocess.run(words, input=text, capture_output=True, text=True)
    except FileNotFoundError:
        raise LabError(f"{words[0]} is not here", remedy=".ci/install demo") from None
    if run.returncode:
        raise LabError(f"{' '.join(words)}: {(run.stderr or run.stdout).strip()}")
    return run.stdout


def _signal(pids: Iterable[int], signum: int) -> list[int]:
    sent = []
    for pid in pids:
        try:
            os.kill(pid, signum)
            sent.append(pid)
        except ProcessLookupError:
            continue
    return sent
