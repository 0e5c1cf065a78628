"""What pexpect knows of a program at a pseudo-terminal, of a program that is forked (`forked.py`)."""

from __future__ import annotations

import os
import pty
import termios
from collections.abc import Mapping, Sequence

from pexpect.pty_spawn import ptyprocess

from tests import forked


class ForkedTerminal(ptyprocess.PtyProcess):  # type: ignore[misc]  # has no types
    """A program at a terminal. It is no child of this process: its end is asked for by `forked`."""

    def __init__(
        self, words: Sequence[str], folder: str, environment: Mapping[str, str], size: tuple[int, int]
    ) -> None:
        ours, its = pty.openpty()
        try:
            termios.tcsetwinsize(its, size)
            self._process = forked.popen(
                words, stdin=its, stdout=its, stderr=its, cwd=folder, env=dict(environment), start_new_session=True
            )
        finally:
            os.close(its)
        super().__init__(self._process.pid, ours)

    def isalive(self) -> bool:
        """Whether it runs; where its terminal is closed on its side, it is about to end."""
        status = self._process.wait() if self.flag_eof else self._process.poll()
        self.terminated = status is not None
        if status is not None:
            self.exitstatus: int | None = status if status >= 0 else None
            self.signalstatus: int | None = -status if status < 0 else None
        return status is None

    def wait(self) -> int | None:
        """Its exit status, once it has ended; None where a signal ended it."""
        self._process.wait()
        self.isalive()
        return self.exitstatus
