"""The socket of a service engine: requests come in, one JSON line each, and are answered (`dataplane.client` asks)."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from dataplane.client import short_path
from dataplane.daemon import diagnose, status
from dataplane.engine.engine import Engine
from dataplane.errors import EngineError

log = logging.getLogger("avi-se")


class Requests:
    """Answers for an engine that has started.

    chosen: why the driver was chosen; look: has the plan looked at now.
    """

    def __init__(self, engine: Engine, chosen: str, look: Callable[[], None]) -> None:
        self._engine, self._chosen, self._look = engine, chosen, look
        self._applied = asyncio.Condition()

    @asynccontextmanager
    async def listening(self, path: Path) -> AsyncIterator[None]:
        """Answer on a Unix socket; it is gone afterwards."""
        with short_path(path) as name:
            Path(name).unlink(missing_ok=True)
            server = await asyncio.start_unix_server(self._serve, name)
            os.chmod(name, 0o600)
            try:
                async with server:
                    yield
            finally:
                Path(name).unlink(missing_ok=True)

    async def applied(self) -> None:
        """The engine applied a version of the plan: tell those who wait for one."""
        async with self._applied:
            self._applied.notify_all()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readline()
            if line:
                answer = await self._answer(line, lambda text: _write(writer, {"progress": text}))
                _write(writer, answer)
                await writer.drain()
        except (ConnectionError, ValueError) as exc:
            log.debug("a client went away: %s", exc)
        finally:
            writer.close()

    async def _answer(self, line: bytes, tell: Callable[[str], None]) -> dict[str, Any]:
        """The answer to a request. tell: writes a line of its own about what goes on meanwhile."""
        engine = self._engine
        try:
            asked = json.loads(line)
            request = asked["request"]
        except (ValueError, KeyError, TypeError):
            return {"error": "a request is one JSON object with the key 'request'"}
        if request == "status":
            told = await status.report(engine)
            told["pid"] = os.getpid()
            told["driver"]["reason"] = self._chosen
            return told
        if request == "addresses":
            own = [address for interface in engine.interfaces.served() for address in interface.addresses]
            return {"addresses": sorted(map(socket.inet_ntoa, own))}
        if request == "notify":
            self._look()
            return {"version": engine.version}
        if request == "wait":
            return {"applied": await self._wait(int(asked["version"]), float(asked["timeout"]))}
        if request == "diagnose":
            try:
                return await diagnose.diagnose(engine, str(asked["pool"]), str(asked.get("server", "")), tell)
            except EngineError as exc:
                return {"error": exc.what}
        if request == "kernel":
            return {"objects": [list(one) for one in engine.kernel.objects()]}
        return {"error": f"unknown request {request!r}; there are status, addresses, notify, wait, diagnose, kernel"}

    async def _wait(self, version: int, timeout: float) -> bool:
        self._look()
        try:
            async with asyncio.timeout(timeout), self._applied:
                await self._applied.wait_for(lambda: self._engine.version >= version)
        except TimeoutError:
            return False
        return True


def _write(writer: asyncio.StreamWriter, answer: dict[str, Any]) -> None:
    """One line to a client; one that went away hears nothing."""
    if not writer.is_closing():
        writer.write(json.dumps(answer).encode() + b"\n")
