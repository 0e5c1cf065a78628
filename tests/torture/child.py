"""A child process that does part of a step: it may be killed, or have less room than its parent."""

from __future__ import annotations

import json
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.torture import site

Say = Callable[[object], None]


class Child:
    """A forked process, and what it says: one JSON value a line."""

    def __init__(self, work: Callable[[Say], None]) -> None:
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid:
            os.close(writing)
            self._told = os.fdopen(reading)
            return
        status = 1
        try:
            os.close(reading)
            work(lambda value: _say(writing, value))
            status = 0
        except BaseException:
            _say(writing, {"raised": traceback.format_exc()})
        finally:
            os._exit(status)

    def hear(self) -> object:
        """The next thing it says; None at its end. Raises AssertionError with what it raised."""
        line = self._told.readline()
        value: object = json.loads(line) if line.endswith("\n") else None
        assert not (isinstance(value, dict) and "raised" in value), value["raised"]
        return value

    def everything(self) -> list[object]:
        """All that it still says, up to its end."""
        return list(iter(self.hear, None))

    def kill(self) -> None:
        """End it as a power cut would."""
        os.kill(self.pid, signal.SIGKILL)

    def close(self) -> int:
        """Wait for its end. Returns its status."""
        self._told.close()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def _say(writing: int, value: object) -> None:
    os.write(writing, json.dumps(value).encode() + b"\n")


@contextmanager
def filled_state() -> Iterator[Path]:
    """A state directory with the site's store."""
    with TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        state.mkdir(0o700)
        (state / "config.db").write_bytes(site.database())
        (state / "config.db").chmod(0o600)
        yield state
