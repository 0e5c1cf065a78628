"""The engine's side of its keeper: found or started, told every second that the engine lives, started again."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dataplane.bgp import birdcontrol, keeper
from dataplane.client import short_path
from dataplane.events import kinds
from dataplane.events.model import THIS_ENGINE, Tell
from dataplane.runtime import locks, tasks

_BEGINS_WITHIN = 10.0
"""Seconds that a keeper has until it listens."""
_AGAIN, _AGAIN_AT_MOST = 0.02, 2.0
"""Seconds until the engine looks for a keeper again: at first; and at most, as they double while none says anything."""
_ENDS_WITHIN = 10.0
"""Seconds that a keeper has to end when it is told to."""


class Keeping:
    """Holds a connection to the keeper of a folder while the engine runs. forwards_on: the kernel goes on forwarding
    when the engine's process has ended; prepare: writes BIRD's files for a keeper that was just found; heard: called
    with what the keeper says; tell: called with events."""

    def __init__(
        self,
        folder: Path,
        *,
        forwards_on: bool,
        prepare: Callable[[], Awaitable[None]],
        heard: Callable[[Mapping[str, Any]], None],
        tell: Tell,
        patience: keeper.Patience | None = None,
    ) -> None:
        self._folder, self._forwards_on, self._tell = folder, forwards_on, tell
        self._prepare, self._heard = prepare, heard
        self._patience = patience or keeper.Patience()
        self._writer: asyncio.StreamWriter | None = None
        self._jobs: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin."""
        self._jobs = [tasks.forever(job) for job in (self._follow(), self._live())]

    async def close(self, *, ending: bool) -> None:
        """Leave the keeper. ending: it ends, and BIRD with it; else it waits for the next engine."""
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        if ending:
            await asyncio.to_thread(end, self._folder)
        if self._writer is not None:
            self._writer.close()
            with suppress(OSError):
                await self._writer.wait_closed()

    async def _follow(self) -> None:
        """Keep a connection for ever. A keeper that is being killed may still accept one, but says nothing."""
        met, pause = False, _AGAIN
        while True:
            with suppress(OSError):
                reader = await self._connected()
                await self._prepare()
                self._say({"forwards_on": self._forwards_on})
                heard = False
                while (line := await reader.readline()).endswith(b"\n"):  # of one that was killed the last is cut off
                    if met and not heard:
                        text = "the keeper of BIRD ended, and was started again"
                        self._tell(kinds.BGP_RESTARTED, THIS_ENGINE, text)
                    met, heard, pause = True, True, _AGAIN
                    self._heard(json.loads(line))
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            await asyncio.sleep(pause)
            pause = min(2 * pause, _AGAIN_AT_MOST)

    async def _connected(self) -> asyncio.StreamReader:
        """Connect to the keeper that runs, or start one. Raises OSError."""
        try:
            return await self._connect()
        except OSError:
            await asyncio.to_thread(self._spawn)
        deadline = time.monotonic() + _BEGINS_WITHIN
        while True:
            try:
                return await self._connect()
            except OSError as exc:
                if time.monotonic() > deadline:
                    said = (self._folder / keeper.LOG).read_text("utf-8", "replace").strip().rpartition("\n")[2]
                    self._heard({"fault": f"the keeper of BIRD does not start: {said or exc}"})
                    raise
                await asyncio.sleep(0.01)

    async def _connect(self) -> asyncio.StreamReader:
        with short_path(self._folder / keeper.SOCKET) as name:
            reader, self._writer = await asyncio.open_unix_connection(name)
        return reader

    def _spawn(self) -> None:
        self._folder.mkdir(0o700, exist_ok=True)
        argv = [sys.executable, "-m", "dataplane.bgp.keeper", *map(str, self._patience)]
        with (self._folder / keeper.LOG).open("ab") as log:
            subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,
                check=False,
            )

    async def _live(self) -> None:
        """Tell the keeper every second that the engine lives."""
        while True:
            self._say({})
            await asyncio.sleep(keeper.HEARD_EVERY)

    def _say(self, what: Mapping[str, Any]) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(json.dumps(what).encode() + b"\n")


def end(folder: Path) -> list[str]:
    """Withdraw and end the keeper and BIRD that an ended engine left. Returns what was there, in words."""
    found = []
    pid = birdcontrol.process(folder)
    if _told_to_end(folder):
        found.append("ended the keeper of BIRD")
        _wait_until_gone(folder)
    if pid:
        birdcontrol.end(pid)
        found.append(f"ended BIRD, process {pid}")
    return found


def _told_to_end(folder: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection, suppress(OSError):
        with short_path(folder / keeper.SOCKET) as name:
            connection.connect(name)
        connection.sendall(b'{"end": true}\n')
        connection.settimeout(_ENDS_WITHIN)
        while connection.recv(1 << 16):
            pass
        return True
    return False


def _wait_until_gone(folder: Path) -> None:
    """Wait until the keeper has released its lock, or the time is over."""
    deadline = time.monotonic() + _ENDS_WITHIN
    while time.monotonic() < deadline:
        with suppress(OSError):
            held = locks.hold(folder / keeper.LOCK, os.O_RDWR | os.O_CREAT)
            if held is not None:
                os.close(held)
                return
        time.sleep(0.01)
