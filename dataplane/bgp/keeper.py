"""The process that holds a BIRD for an engine, and outlives it: `python -m dataplane.bgp.keeper`.

While the engine is there, the keeper starts a BIRD that ended again. When the engine's process ends and the kernel
forwards on, the routes stay for a while, since the engine may be started again; without the kernel (packet sockets)
they go at once. When the engine stands still, they go too: it would not notice dead servers.

The engine is there while its connection to the keeper's socket is: the kernel closes that with its process. It says
something every second, so that the keeper notices an engine that stands still. (Blocking on the engine's lock would
only tell of its end, and would take the lock from the next engine.) Both sides send lines of JSON:

    engine: {"forwards_on": bool}                what its end means, and that BIRD's files are there; the first line
            {}                                   it lives
            {"end": true}                        everything is withdrawn: end BIRD, and yourself
    keeper: {"bird": its process, "why": ""}     it runs; why: what ended the one before
            {"fault": why it does not run}
            {"withdrawn": why}                   the engine stood still, and tells routers anew now that it does not
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from dataplane.bgp import birdconfig, birdcontrol, port
from dataplane.errors import EngineError
from dataplane.runtime import locks

SOCKET, LOCK, LOG = "keeper.sock", "keeper.lock", "keeper.log"
"""Files in the folder that the keeper works in, beside BIRD's."""
HEARD_EVERY = 1.0
"""Seconds between two lines from an engine."""
SPREAD = 0.5
"""Seconds that routers get to follow: a route, before another engine withdraws its own; a withdrawal, before BIRD or
the engine ends."""
_BEGINS_WITHIN = 5.0
"""Seconds that a BIRD has to answer."""
_ENDS_WITHIN = 8.0
"""Seconds that the keeper before this one has to end."""
_AGAIN, _AGAIN_AT_MOST = 0.1, 10.0
"""Seconds until a BIRD that ended is started again: at first; and at most, as they double each time it ends again
soon."""
_SOON = 10.0
_FOLDER = Path()
"""The current folder, which is the keeper's: a socket's path must be short, however deep the folder lies."""


class Patience(NamedTuple):
    """How long routes stay, in seconds."""

    gone: float = 30.0  # for which routes stay when an engine's process has ended and the kernel forwards on
    silent: float = 10.0  # for which routes stay when the engine says nothing


class Keeper:
    """Keeps a BIRD running, in its folder. It ends by a signal, or when its engine ends or says so."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        Path(SOCKET).unlink(missing_ok=True)
        self._listener.bind(SOCKET)
        self._listener.listen(8)
        self._engine: socket.socket | None = None
        self._buffer = b""
        self._forwards_on: bool | None = None  # what the engine said; None: none was there yet
        self._heard = time.monotonic()  # the engine's last word
        self._gone: float | None = time.monotonic()  # since when there is none
        self._withdrawn = ""
        self._bird: int | None = None  # a descriptor of its process
        self._child: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._start_at = 0.0  # when one is started, of those that are to run
        self._begun, self._pause = 0.0, _AGAIN
        self._why, self._fault = "", ""

    def run(self) -> None:
        """Keep, until the engine has ended, or says so."""
        while True:
            now = time.monotonic()
            if self._engine is None and self._gone is not None and now >= self._gone + self._leave():
                return self._finish("the engine is gone")
            if self._engine is not None and not self._withdrawn and now >= self._heard + self._patience.silent:
                self._withdraw(f"the engine stood still for {self._patience.silent:.0f} s")
            if self._is_to_start and now >= self._start_at:
                self._start()
            watched: list[Any] = [self._listener]
            watched += [one for one in (self._engine, self._bird) if one is not None]
            for ready in select.select(watched, [], [], self._wait(time.monotonic()))[0]:
                if ready is self._listener:
                    self._accept()
                elif ready == self._bird:
                    self._ended()
                elif ready is self._engine and self._listen():
                    return self._finish("the engine has ended")

    @property
    def _is_to_start(self) -> bool:
        """Whether BIRD is to run, and does not. Before an engine has come its files are those of nobody."""
        return self._bird is None and self._forwards_on is not None

    def _leave(self) -> float:
        """Seconds for which routes stay without an engine. The last engine said what its end means."""
        if self._forwards_on is None:
            return _BEGINS_WITHIN
        return self._patience.gone if self._forwards_on else 0.0

    def _wait(self, now: float) -> float:
        due = [now + 60.0]
        if self._engine is None and self._gone is not None:
            due.append(self._gone + self._leave())
        if self._engine is not None and not self._withdrawn:
            due.append(self._heard + self._patience.silent)
        if self._is_to_start:
            due.append(self._start_at)
        return max(0.0, min(due) - now)

    def _accept(self) -> None:
        """Accept an engine; it takes the place of an earlier one."""
        connection, _ = self._listener.accept()
        if self._engine is not None:
            self._engine.close()
        self._engine, self._buffer, self._gone, self._heard = connection, b"", None, time.monotonic()
        self._tell()

    def _listen(self) -> bool:
        """Read the engine's lines. Returns whether it says to end."""
        assert self._engine is not None
        try:
            more = self._engine.recv(1 << 16)
        except OSError:
            more = b""
        if not more:
            self._engine.close()
            self._engine, self._gone = None, time.monotonic()
            return False
        self._heard = time.monotonic()
        *lines, self._buffer = (self._buffer + more).split(b"\n")
        for line in lines:
            told = json.loads(line)
            self._forwards_on = told.get("forwards_on", self._forwards_on)
            if told.get("end"):
                return True
        if self._withdrawn:
            why, self._withdrawn = self._withdrawn, ""
            self._say({"withdrawn": why})
        return False

    def _say(self, what: dict[str, Any]) -> None:
        if self._engine is not None:
            with suppress(OSError):  # that it has gone is met where it is read
                self._engine.sendall(json.dumps(what).encode() + b"\n")

    def _tell(self) -> None:
        """Tell the engine about BIRD."""
        if self._pid:
            self._say({"bird": self._pid, "why": self._why})
            self._why = "" if self._engine is not None else self._why
        elif self._fault:
            self._say({"fault": self._fault})

    def _start(self) -> None:
        """Take over a BIRD that runs already, or start one."""
        self._fault, self._begun = "", time.monotonic()
        if pid := birdcontrol.process(_FOLDER):
            self._keep(pid)
            return
        if owner := port.taken():
            self._fail(
                f"TCP port {port.PORT} belongs to another BGP speaker here ({owner}): stop that one, or, if it is a "
                f'BIRD, have it announce the VIPs: include "{Path(birdconfig.ROUTES).absolute()}" in a protocol static '
                "of it"
            )
            return
        argv = ["bird", "-f", "-c", birdconfig.SPEAKER, "-s", birdcontrol.SOCKET]
        path = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
        with open("bird.err", "wb") as errors:
            try:
                self._child = subprocess.Popen(
                    argv, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, env={**os.environ, "PATH": path}
                )
            except OSError:
                self._fail("BIRD is not installed: apt-get install bird2, and systemctl disable --now bird")
                return
        while self._child.poll() is None and time.monotonic() < self._begun + _BEGINS_WITHIN:
            if birdcontrol.process(_FOLDER) == self._child.pid:
                self._keep(self._child.pid)
                return
            time.sleep(0.01)
        self._child.kill()
        self._child.wait()
        self._fail(f"BIRD ended at once: {Path('bird.err').read_text('utf-8', 'replace').strip()[-300:]}")

    def _keep(self, pid: int) -> None:
        try:
            self._bird = os.pidfd_open(pid)
        except OSError:  # it ended meanwhile
            self._fail("BIRD ended at once")
            return
        self._pid = pid
        self._tell()

    def _fail(self, fault: str) -> None:
        self._fault = fault
        self._later()
        self._tell()

    def _ended(self) -> None:
        """Note that BIRD has ended, and why; plan its next start."""
        assert self._bird is not None
        os.close(self._bird)
        how = ""
        if self._child is not None:
            status = self._child.wait()
            how = f", by signal {-status}" if status < 0 else f", with status {status}"
        self._why = f"BIRD, process {self._pid}, ended{how}"
        self._bird, self._child, self._pid = None, None, 0
        if time.monotonic() > self._begun + _SOON:
            self._pause = _AGAIN
        self._later()

    def _later(self) -> None:
        self._start_at = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, _AGAIN_AT_MOST)

    def _withdraw(self, why: str) -> None:
        self._withdrawn = why
        Path(birdconfig.ROUTES).write_text("", "ascii")
        with suppress(OSError, EngineError):
            birdcontrol.ask(_FOLDER, "configure")

    def _finish(self, why: str) -> None:
        """Withdraw, give routers the time to follow, end. An engine that comes meanwhile waits for another keeper."""
        Path(SOCKET).unlink(missing_ok=True)
        self._listener.close()
        there = Path(birdconfig.ROUTES)
        if self._pid and there.exists() and there.stat().st_size:
            self._withdraw(why)
            time.sleep(SPREAD)
        if self._pid:
            birdcontrol.end(self._pid)
        for name in (birdconfig.ROUTES, birdconfig.LABELS, birdconfig.SPEAKER):
            Path(name).unlink(missing_ok=True)


def main() -> int:
    """Keep in the current folder, as nobody's child: the engine may end first. Words: the seconds of `Patience`."""
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an operator's Ctrl-C is for the engine
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    deadline = time.monotonic() + _ENDS_WITHIN
    while locks.hold(Path(LOCK), os.O_RDWR | os.O_CREAT) is None:
        if time.monotonic() > deadline:
            return 1
        time.sleep(0.02)
    Keeper(Patience(*map(float, sys.argv[1:]))).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
