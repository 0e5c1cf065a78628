"""The socket of a service engine: requests come in, one JSON line each, and are answered (`dataplane.client` asks)."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import select
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from dataplane.client import short_path
from dataplane.daemon import pieces, questions, status, undoing
from dataplane.daemon.aspect import Aspect
from dataplane.daemon.capturing import Capturing
from dataplane.daemon.enginerates import EngineRates
from dataplane.engine.engine import Engine
from dataplane.errors import EngineError
from dataplane.foreign.errors import ForeignError
from dataplane.foreign.text import harmless
from dataplane.plan import Mark
from dataplane.plan.unconfirmed import Unconfirmed

log = logging.getLogger("avi-se")

LONGEST = 65536
"""Bytes of a request."""
ASKED_WITHIN = 5.0
"""Seconds in which a client's request comes."""
TAKEN_WITHIN = 60.0
"""Seconds in which a client takes a part of its answer."""
MOST_CLIENTS = 64
"""Clients at a time. One more takes the place of the one that has been silent longest."""
BACKLOG = 1024
"""Connections that wait to be taken."""
LOOK_EVERY = 0.1
"""Seconds between two looks whether a client that waits is still there."""


class _Client:
    """One connection."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.asked = False  # its request has come

    async def gone(self) -> None:
        """Ends when the client has closed its end; one that only says no more still listens (POLLHUP, poll(2))."""
        poller = select.poll()
        there = self.writer.get_extra_info("socket").fileno()
        if there >= 0:
            poller.register(there, select.POLLHUP)
        while not self.writer.is_closing() and not poller.poll(0):
            await asyncio.sleep(LOOK_EVERY)


class _Clients:
    """Those that are connected, the longest first."""

    def __init__(self) -> None:
        self._there: dict[_Client, None] = {}

    def enter(self, client: _Client) -> bool:
        """Take one in. Returns whether there is room, which one that has asked nothing yet makes."""
        if len(self._there) >= MOST_CLIENTS:
            silent = next((one for one in self._there if not one.asked), None)
            if silent is None:
                return False
            self.leave(silent)
            silent.writer.transport.abort()
        self._there[client] = None
        return True

    def leave(self, client: _Client) -> None:
        """It is gone."""
        self._there.pop(client, None)


class Requests:
    """Answers for an engine that has started.

    chosen: why the driver was chosen; look: has the plan looked at now; waiting: what waits to be confirmed; beside:
    what the status tells of what stands beside the engine; capturing: its captures; rates: what comes in a second.
    """

    def __init__(
        self,
        engine: Engine,
        chosen: str,
        look: Callable[[], None],
        waiting: Callable[[], Unconfirmed | None] = lambda: None,
        beside: Callable[[], dict[str, Any]] = dict,
        capturing: Capturing | None = None,
        rates: EngineRates | None = None,
    ) -> None:
        self._engine, self._chosen, self._look, self._waiting, self._beside = engine, chosen, look, waiting, beside
        self._capturing, self._rates = capturing, rates
        self._applied = asyncio.Condition()
        self._clients = _Clients()

    @asynccontextmanager
    async def listening(self, path: Path) -> AsyncIterator[None]:
        """Answer on a Unix socket meanwhile. The socket is gone afterwards."""
        with short_path(path) as name:
            Path(name).unlink(missing_ok=True)
            server = await asyncio.start_unix_server(self._serve, name, limit=LONGEST, backlog=BACKLOG)
            os.chmod(name, 0o600)
            try:
                async with server:
                    yield
            finally:
                Path(name).unlink(missing_ok=True)

    async def applied(self) -> None:
        """The engine applied a version of the plan. Wake those who wait for it."""
        async with self._applied:
            self._applied.notify_all()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _Client(writer)
        if not self._clients.enter(client):
            writer.write(_line({"error": f"{MOST_CLIENTS} clients are being answered already; ask again"}))
            writer.close()
            return
        try:
            line, refusal = await _question(reader)
            if refusal:
                writer.write(_line({"error": refusal}))
                async with asyncio.timeout(TAKEN_WITHIN):
                    await writer.drain()
            elif line:
                client.asked = True
                await self._work(line, client)
        except (OSError, TimeoutError) as exc:
            log.debug("a client went away: %s", exc)
        finally:
            self._clients.leave(client)
            writer.close()

    async def _work(self, line: bytes, client: _Client) -> None:
        """Answer a client, as long as it is there."""
        work = asyncio.create_task(self._written(line, client.writer))
        gone = asyncio.create_task(client.gone())
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
        finally:
            for task in (work, gone):
                task.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)

    async def _written(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        """Write the answer to a request as it is made: who waits for a long one hears something all the time."""

        def tell(text: str) -> None:
            if not writer.is_closing():
                writer.write(_line({"progress": text}))

        async for part in self.answer(line, tell):
            writer.write(part)
            async with asyncio.timeout(TAKEN_WITHIN):
                await writer.drain()

    async def answer(self, line: bytes, tell: Callable[[str], None]) -> AsyncIterator[bytes]:
        """The answer to a request, or its error: a line, piece by piece. tell: hears how far it is before."""
        async for part in pieces.parts(await self._told(line, tell)):
            yield part

    async def _told(self, line: bytes, tell: Callable[[str], None]) -> dict[str, Any]:
        """The answer to a request, or its error. tell: hears about the progress of the work."""
        try:
            return await self._answered(questions.read(line), tell)
        except (ForeignError, EngineError) as exc:
            return {"error": exc.what if isinstance(exc, EngineError) else str(exc)}
        except Exception as exc:  # a mistake of ours: whoever asks hears of it, too
            log.exception("a request was not answered")
            return {"error": harmless(f"the engine failed to answer: {type(exc).__name__}: {exc}")}

    async def _answered(self, asked: questions.Question, tell: Callable[[str], None]) -> dict[str, Any]:
        engine, fields = self._engine, asked.fields
        match asked.request:
            case "status":
                aspect = Aspect(fields["about"])
                told = await status.report(engine, aspect, tell=tell, pack=pieces.Packed)
                told["rates"] = None if self._rates is None else await self._rates.report(engine, aspect)
                told["pid"] = os.getpid()
                told["unconfirmed"] = undoing.report(self._waiting())
                told["driver"]["reason"] = self._chosen
                return told | self._beside()
            case "addresses":
                own = [address for interface in engine.interfaces.served() for address in interface.addresses]
                return {"addresses": sorted(map(socket.inet_ntoa, own))}
            case "notify":
                self._look()
                return {"version": engine.version}
            case "wait":
                wanted = Mark(fields["version"], fields["identity"], fields["epoch"])
                return {"applied": await self._wait(wanted, fields["timeout"])}
            case "diagnose":
                from dataplane.daemon import diagnose  # late, as other modules of single questions: not for a start

                return await diagnose.diagnose(engine, fields["pool"], fields["server"], tell)
            case "flow":
                from dataplane.engine import flowquery

                told = await flowquery.explain(engine, fields["virtualservice"], fields["client"], fields["port"])
                return {"name": engine.name} | told
            case "table":
                from dataplane.daemon import enginetables

                return enginetables.report(engine, fields["word"])
            case "drops":
                if self._capturing is None:
                    raise EngineError("this engine captures nothing")
                return await self._capturing.drops(fields["virtualservice"], fields["look"])
            case "impact":
                from dataplane.daemon import impact

                return await impact.known(engine, fields["pools"], fields["servers"], fields["within"])
            case "capture":
                return {"name": engine.name} | await self._captures().begin(fields)
            case "capture_end":
                return {"name": engine.name} | await self._captures().end(fields["of"])
            case "captures":
                return {"name": engine.name, "captures": self._captures().report(fields["of"])}
            case "events":
                return {"name": engine.name, "events": [event.data() for event in engine.events.all()]}
            case _:
                return {"objects": [list(one) for one in engine.kernel.objects()]}

    def _captures(self) -> Capturing:
        if self._capturing is None:
            raise EngineError("this engine captures nothing")
        return self._capturing

    async def _wait(self, wanted: Mark, timeout: float) -> bool:
        """Whether the engine applies a version within a time, of that very store and epoch where one is named."""

        def applied() -> bool:
            mark = self._engine.mark
            same = not wanted.identity or (mark.identity, mark.epoch) == (wanted.identity, wanted.epoch)
            return same and mark.version >= wanted.version

        self._look()
        try:
            async with asyncio.timeout(timeout), self._applied:
                await self._applied.wait_for(applied)
        except TimeoutError:
            return False
        return True


async def _question(reader: asyncio.StreamReader) -> tuple[bytes, str]:
    """A client's first line, empty for one that said nothing or went away; and why it is none, or ""."""
    try:
        async with asyncio.timeout(ASKED_WITHIN):
            return await reader.readline(), ""
    except TimeoutError:
        return b"", f"no whole line came within {ASKED_WITHIN:.0f} s"
    except ValueError:
        return b"", f"a request is one line of at most {LONGEST} bytes"


def _line(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer).encode() + b"\n"
