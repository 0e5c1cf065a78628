"""A pseudo-terminal into which a whole text is pasted at once, and what the shell behind it sends."""

from __future__ import annotations

import os
import pty
import select
import sys
import termios
import time
from pathlib import Path
from types import TracebackType

from tests import forked
from tests.shell.conftest import ROOT

PROMPT = b"[admin:10-1-1-1]: > "


class Paster:
    """`avi-shell` at a pseudo-terminal. As a context it is ended with it."""

    def __init__(self, state: Path, *arguments: str, term: str | None = "xterm", columns: int = 0) -> None:
        self._ours, self._its = pty.openpty()
        termios.tcsetwinsize(self._its, (24, columns))  # 0: it does not tell
        self.before = termios.tcgetattr(self._its)
        environment = {name: value for name, value in os.environ.items() if name != "TERM"}
        environment |= {"PYTHONPATH": str(ROOT)} | ({} if term is None else {"TERM": term})
        self._process = forked.popen(
            [sys.executable, "-m", "avi_shell", "--state", str(state), *arguments],
            stdin=self._its,
            stdout=self._its,
            stderr=self._its,
            env=environment,
            start_new_session=True,
        )
        os.set_blocking(self._ours, False)
        self.sent = b""  # by the shell, so far

    def __enter__(self) -> Paster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._ours)
        os.close(self._its)

    def attributes(self) -> list[int | list[bytes | int]]:
        """The terminal's attributes as they are now."""
        return termios.tcgetattr(self._its)

    def until(self, wanted: bytes, *, paste: bytes = b"", seconds: float = 60.0) -> bytes:
        """Paste a text, as fast as it is taken, and read until something was sent since. Returns what was."""
        begin, looked, deadline = len(self.sent), len(self.sent), time.monotonic() + seconds
        found = False
        while paste or not found:
            assert time.monotonic() < deadline, f"{wanted!r} did not come: …{self.sent[-300:]!r}"
            readable, writable, _ = select.select([self._ours], [self._ours] if paste else [], [], 0.5)
            if readable:
                self.sent += os.read(self._ours, 1 << 16)
                found = found or self.sent.find(wanted, looked) >= 0
                looked = max(begin, len(self.sent) - len(wanted))
            if writable:
                paste = paste[os.write(self._ours, paste[: 1 << 12]) :]
        return self.sent[begin:]

    def send_signal(self, signum: int) -> None:
        """Send the shell a signal."""
        self._process.send_signal(signum)

    def finish(self) -> int:
        """The exit status, once the program has ended."""
        deadline = time.monotonic() + 60
        while self._process.poll() is None:
            assert time.monotonic() < deadline
            if select.select([self._ours], [], [], 0.1)[0]:
                self.sent += os.read(self._ours, 1 << 16)
        while select.select([self._ours], [], [], 0)[0]:
            self.sent += os.read(self._ours, 1 << 16)
        return self._process.returncode
