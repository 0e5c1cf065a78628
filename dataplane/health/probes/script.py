"""The EXTERNAL monitor: the operator's script checks the server.

As in the appliance, any output on its standard output means that the server is up, none that it is down. What it writes
to its standard error is the reason that the operator reads.

Its arguments are the VIP, the port and the words of `command_parameters`. Its environment holds IP and PORT (the same),
HM_NAME, SERVER (the server's own address) and what `command_variables` names. It runs as a user without any rights,
whose number is the mark of the server's route: a rule leads what that user sends to the server (`probepaths`). So the
script's own probes of the VIP take the data's path like all others.

It runs in a box (`sandbox`) that ends with it: when its time is over, when the script has ended, when the engine ends.
"""

from __future__ import annotations

import asyncio
import ctypes
import hashlib
import os
import shlex
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dataplane.foreign.text import harmless
from dataplane.health.probes import sandbox
from dataplane.health.probes.check import Check, Done, ProbeFailed
from dataplane.plan import variables
from dataplane.runtime import locks

AT_A_TIME = 16
"""Scripts that run at a time. Those beyond wait; their time to answer begins when they do."""
GROUP = 0x41560000
"""The group of all scripts' users; it may read the scripts."""
FOLDER = Path("/run")
"""Where scripts lie: their own /tmp hides the host's."""
_PREFIX = "avi-se-monitors-"


def clear() -> list[str]:
    """Remove the scripts that killed engines left. Those of engines that run stay. Returns the paths of folders."""
    removed = []
    for folder in sorted(FOLDER.glob(f"{_PREFIX}*")):
        with suppress(OSError):
            held = locks.hold(folder, os.O_RDONLY | os.O_DIRECTORY)
            if held is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(held)
                removed.append(str(folder))
    return removed


class ScriptRunner:
    """Runs scripts, from a folder that is locked while it is used (flock(2)), and removed at the end."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._lock = -1
        self._written: set[str] = set()
        self._turns = asyncio.Semaphore(AT_A_TIME)

    def probe(self, check: Check) -> ScriptProbe:
        """The script probe of a check."""
        return ScriptProbe(self, check)

    async def run(self, check: Check, mark: int) -> bool:
        """Run a check's script. Returns True. Raises ProbeFailed."""
        async with self._turns:
            if lacking := sandbox.lacking():
                raise ProbeFailed(f"its script cannot be run: the engine lacks {', '.join(lacking)}")
            try:
                process = sandbox.start(self._words(check), mark, GROUP, environment(check))
            except (OSError, ValueError) as exc:
                raise ProbeFailed(f"its script cannot be run: {exc}") from exc
            ended, output, errors = await sandbox.watch(process, check.monitor.receive_timeout)
        said = errors.strip().splitlines()
        reason = f": {harmless(said[-1])}" if said else ""
        if not ended:
            raise ProbeFailed(f"its script has not ended within {check.monitor.receive_timeout} s{reason}")
        if not output:
            raise ProbeFailed(f"its script wrote nothing to its standard output{reason or _status(process)}")
        return True

    def close(self) -> None:
        """Remove the scripts."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            os.close(self._lock)
            self._folder = None
            self._written.clear()

    def _words(self, check: Check) -> list[str]:
        code = check.monitor.script
        words = [socket.inet_ntoa(check.vip), str(check.port), *shlex.split(check.monitor.parameters)]
        return [*interpreter(code), str(self._file(code)), *words]

    def _file(self, code: str) -> Path:
        if self._folder is None:
            clear()
            self._folder, self._lock = _new_folder()
            self._folder.chmod(0o710)
        name = hashlib.sha256(code.encode()).hexdigest()
        path = self._folder / name
        if name not in self._written:
            with _as_group():
                path.write_text(code, "utf-8")
            path.chmod(0o640)
            self._written.add(name)
        return path


def _new_folder() -> tuple[Path, int]:
    """A folder, and the descriptor that holds its lock. Raises OSError."""
    while True:
        with _as_group():
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=FOLDER))
        with suppress(FileNotFoundError):  # whoever clears may find it before it is locked
            held = locks.hold(folder, os.O_RDONLY | os.O_DIRECTORY)
            if held is not None:
                return folder, held


@contextmanager
def _as_group() -> Iterator[None]:
    """What this thread makes meanwhile is the scripts' group's (setfsgid(2)): giving a file away would need one
    capability more."""
    libc = ctypes.CDLL(None)
    before = libc.setfsgid(GROUP)
    try:
        yield
    finally:
        libc.setfsgid(before)


class ScriptProbe:
    """The script probe of a check. Each run is a task: compared to a process it costs nothing."""

    def __init__(self, scripts: ScriptRunner, check: Check) -> None:
        self._scripts = scripts
        self._check = check

    def start(self, mark: int, _source: bytes, done: Done) -> asyncio.Task[bool]:
        """Run the script once."""

        def ended(task: asyncio.Task[bool]) -> None:
            if task.cancelled():
                return
            failed = task.exception()
            if failed is None or isinstance(failed, ProbeFailed):
                done(failed or task.result())
            else:
                done(ProbeFailed(f"its script cannot be run: {failed}"))

        task = asyncio.get_running_loop().create_task(self._scripts.run(self._check, mark))
        task.add_done_callback(ended)
        return task


def interpreter(code: str) -> list[str]:
    """The command that runs a script: what its first line names, else the shell. (Its folder may be mounted noexec.)"""
    first = code.partition("\n")[0]
    if not first.startswith("#!"):
        return ["/bin/sh"]
    program, *argument = first[2:].strip().split(None, 1)
    return [program, *argument]


def environment(check: Check) -> dict[str, str]:
    """A script's environment. Raises ValueError for variables that are no words NAME=VALUE."""
    own = {"IP": socket.inet_ntoa(check.vip), "PORT": str(check.port), "HM_NAME": check.monitor.name}
    return own | {"SERVER": socket.inet_ntoa(check.server)} | variables.parse(check.monitor.variables)


def _status(process: subprocess.Popen[bytes]) -> str:
    return f", and ended with {process.returncode}" if process.returncode else ""
