"""The audit log: one JSON line for every command that a session ran, in `audit.jsonl` of the state directory.

The line of a command that commits is stored with the commit (`configuration.outbox`) and moved from there to the log:
by the session that made it or, where that was killed, by the next one that opens the store. A log that has grown large
becomes `audit.jsonl.1`, that one `audit.jsonl.2` and so on; the oldest goes.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from avi_shell.configuration import outbox
from avi_shell.configuration.configuration import DATABASE, Configuration
from avi_shell.configuration.document import SECRET
from avi_shell.configuration.record import Author
from avi_shell.errors import ShellError
from avi_shell.output.result import Result
from dataplane import statedir

LARGEST = 16 << 20
"""Bytes from which on the log is continued in a new file."""
_PATIENCE = 5.0
"""Seconds to wait for another shell that writes to the log."""


class Audit:
    """Appends to the log of a state directory, whose files are created with mode 0600. A command does not depend on it:
    where it cannot be written, that is told once, and what was committed meanwhile is written down later."""

    def __init__(self, directory: Path, configuration: Configuration) -> None:
        self._paths = [directory / name for name in statedir.AUDIT]
        self._configuration = configuration
        self._file: int | None = None
        self._commits = configuration.commits  # made here, whose lines were moved
        self._applied = configuration.applied  # of other hosts, whose lines were moved
        self._behind = True  # lines of others may wait
        self._moved = (0, 0, 0)  # the log's device, inode and size when the outbox was last empty
        self._fault = ""  # why it cannot be written; told already once `_told` is set
        self._told = False
        self._write([])

    def record(self, result: Result, by: Author, tenant: str) -> None:
        """Write down a command: when, by whom, where, and whether it was accepted. Secrets are left out."""
        lines = []
        if self._configuration.commits == self._commits:  # a commit's line waits in the store
            command = SECRET if result.secret else result.command.strip()
            lines.append(outbox.entry(by, time.time(), tenant, command, result.mode, result.ok))
        self._write(lines)
        if self._fault and not self._told:
            self._told = True
            result.warnings.append(f"commands are not written down: {self._paths[0]}: {self._fault}")

    def settle(self) -> None:
        """Write down commits that no command made."""
        self._write([])

    def close(self) -> None:
        """Write down the rest, and close the file."""
        self._write([])
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write(self, lines: Sequence[str]) -> None:
        """Move what waits in the store, then append lines."""
        commits, applied = self._configuration.commits, self._configuration.applied
        try:
            with self._held():
                if self._behind or (commits, applied) != (self._commits, self._applied):
                    self._commits, self._applied, self._behind = commits, applied, True
                    self._move()
                if lines:
                    self._append([line.encode() for line in lines])
        except OSError as exc:
            self._fault = exc.strerror or str(exc)

    def _move(self) -> None:
        """Move the lines that wait in the store, each once, whoever was killed between writing it here and taking it
        out there: one that stands in the log already is not written again."""
        try:
            with self._configuration.snapshot() as store:
                waiting = store.outbox.waiting()
        except ShellError:
            return  # whatever is wrong with the store, the commands that need it say so
        known = self._known({line.encode() for _, line in waiting}) if waiting else set()
        self._append([line.encode() for _, line in waiting if line.encode() not in known])
        if not waiting or self._configuration.audited(waiting):
            self._behind = False
            self._moved = self._state()

    def _known(self, lines: set[bytes]) -> set[bytes]:
        """Those of some lines that stand in the log: behind what it held when the outbox was last empty."""
        known: set[bytes] = set()
        for path in self._paths:
            with suppress(FileNotFoundError), open(_reading(path), "rb") as file:
                device, inode, size = self._moved
                found = os.fstat(file.fileno())
                here = (device, inode) == (found.st_dev, found.st_ino) and size <= found.st_size
                file.seek(size if here else 0)
                known |= {text for text in (line.rstrip(b"\n") for line in file) if text in lines}
                if here:
                    break
        return known

    def _append(self, lines: Sequence[bytes]) -> None:
        """Append lines whole: what has room only in part is not written."""
        if not lines:
            return
        data = b"".join(line + b"\n" for line in lines)
        size = self._state()[2]
        if size and size + len(data) > LARGEST:
            self._rotate()
            self._hold()
            size = self._state()[2]
        assert self._file is not None
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            data = b"\n" + data
        if os.write(self._file, data) != len(data):
            os.ftruncate(self._file, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _rotate(self) -> None:
        """Give every file of the log the name of the next older one."""
        for older, newer in zip(self._paths[:0:-1], self._paths[-2::-1], strict=True):
            with suppress(FileNotFoundError):
                os.replace(newer, older)

    def _state(self) -> tuple[int, int, int]:
        assert self._file is not None
        found = os.fstat(self._file)
        return found.st_dev, found.st_ino, found.st_size

    @contextmanager
    def _held(self) -> Iterator[None]:
        """The log, held against other shells."""
        self._hold()
        try:
            yield
        finally:
            if self._file is not None:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def _hold(self) -> None:
        """Lock the file that has the log's name now; the one before is let go."""
        while True:
            if self._file is None:
                flags = os.O_CREAT | os.O_APPEND | os.O_RDWR
                self._file = statedir.open_file(self._paths[0], flags)
            _lock(self._file)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(self._file), os.lstat(self._paths[0])):
                    return
            os.close(self._file)
            self._file = None


def catch_up(directory: Path) -> None:
    """Write down what waits in a state directory's store, if there is one that can be opened."""
    if (directory / DATABASE).exists():
        with suppress(ShellError), closing(Configuration.open(directory)) as configuration:
            Audit(directory, configuration).close()


def _lock(file: int) -> None:
    """Lock a file; raises OSError where another process holds it for long, as one that was stopped."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise OSError(errno.EBUSY, f"another process has held it for {_PATIENCE:.0f} s") from None
            time.sleep(0.002)


def _reading(path: Path) -> int:
    return statedir.open_file(path, os.O_RDONLY | os.O_NONBLOCK)
