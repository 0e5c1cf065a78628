"""An engine's name in its state directory. One process has a name, and only engines of one host share a directory."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dataplane.errors import EngineError
from dataplane.network.namespace import boot
from dataplane.runtime import locks

SUFFIX = ".pid"
"""Of the file `run/NAME.pid`, which a running engine holds locked: its process, its host, and the boot of that."""


@contextmanager
def held(run: Path, name: str) -> Iterator[None]:
    """Holds the engine's name meanwhile: its file exists and is locked while the process runs. Raises EngineError where
    another process has the name."""
    path = run / f"{name}{SUFFIX}"

    def former() -> int:
        pid, _ = _read(path)
        return int(pid) if pid.isdecimal() else 0

    descriptor = locks.hold_after(path, os.O_RDWR | os.O_CREAT, former)
    if descriptor is None:
        raise EngineError(
            f"service engine {name} runs already, as process {former()}", remedy="--name gives another one a name"
        )
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n{boot()} {platform.node()}\n".encode())
        yield
    finally:
        if locks.names(path, descriptor):
            path.unlink()
        os.close(descriptor)


def only_this_host(run: Path) -> None:
    """See that no engine of another host runs on this state directory, which a network file system may show to both:
    both would answer ARP for all VIPs, and SQLite's locks do not hold between hosts. Raises EngineError.

    A host is known by its boot (random(4)): its containers share it. Its lock says whether the other engine runs: NFS
    and clustered file systems pass locks on (flock(2)).
    """
    for path in sorted(run.glob(f"*{SUFFIX}")):
        pid, where = _read(path)
        booted, _, host = where.partition(" ")
        if booted not in ("", boot()) and locks.is_held(path):
            raise EngineError(
                f"service engine {path.stem} runs on this state directory on another host: {host}, process {pid}",
                remedy="--state names a directory of this host alone; --store etcd://… shares a configuration",
            )


def _read(path: Path) -> tuple[str, str]:
    """The process, and the boot and the name of its host; "" where a file does not say."""
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    pid, where = (*lines, "", "")[:2]
    return pid, where
