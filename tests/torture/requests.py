"""Random requests to an engine's socket: each is answered with one line of JSON, and the engine answers on."""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

from dataplane.daemon import questions, status
from dataplane.daemon.aspect import Aspect
from dataplane.daemon.requests import Requests
from dataplane.engine.engine import Engine
from dataplane.events.events import Events
from dataplane.plan import Mark
from dataplane.plan.index import ServiceIndex
from tests.torture.parts import Run

_ODD: tuple[Callable[[random.Random], Any], ...] = (
    lambda c: None,
    lambda c: c.choice((True, False)),
    lambda c: c.choice((0, -1, 1, 2**63, 2**64, 10**400)),
    lambda c: c.choice((0.5, -0.0, 1e308, float("nan"), float("inf"))),
    lambda c: c.choice(("", "status", "\x1b[2J", "\ud800", "é" * c.randrange(2000), "a" * c.randrange(3000))),
    lambda c: [],
    lambda c: {"request": "status"},
    lambda c: [[[[{}]]]],
)


_WELL: dict[str, Any] = {
    "version": 3,
    "timeout": 0.001,
    "pool": "p1",
    "server": "10.1.1.10",
    "identity": "",
    "epoch": 0,
    "pools": ["p1"],
    "servers": [],
}
"""Fields of requests, as they may be."""


class EmptyEngine(Engine):
    """An engine that has nothing yet and follows no network: types of what requests ask of it are an engine's."""

    def __init__(self) -> None:
        self.name, self.events = "se-1", Events("se-1")
        self.mark = Mark(3)
        self.index = ServiceIndex()
        self.interfaces = cast(Any, SimpleNamespace(served=list))
        self.kernel = cast(Any, SimpleNamespace(objects=list))


async def _status(_engine: Engine, _aspect: Aspect, **_how: object) -> dict[str, Any]:
    return {"driver": {}}


def line(chance: random.Random) -> bytes:
    """One request: well-formed, with something changed, or bytes of any kind."""
    kind = chance.randrange(10)
    if kind == 0:
        return chance.randbytes(chance.randrange(1, 300)).replace(b"\n", b"") + b"\n"
    if kind == 1:
        return chance.choice((b"[", b'{"a":', b"1e", b'"')) * chance.randrange(1, 30_000) + b"\n"
    if kind == 2:
        return b"{" + b" " * chance.randrange(100_000) + b"}\n"
    asked: dict[str, Any] = {"request": chance.choice((*questions.REQUESTS, "nothing"))}
    for name, well in _WELL.items():
        if chance.random() < 0.7:
            asked[name] = chance.choice(_ODD)(chance) if chance.random() < 0.3 else well
    if chance.random() < 0.1:
        asked["request"] = chance.choice(_ODD)(chance)
    if isinstance(asked.get("timeout"), int | float) and asked["timeout"] == asked["timeout"]:
        asked["timeout"] = chance.choice((-1, 0, 0.001, True))  # nobody waits for a day
    text = json.dumps(asked).encode()
    if chance.random() < 0.2:
        at = chance.randrange(len(text))
        text = text[:at] + chance.randbytes(1).replace(b"\n", b" ") + text[at + chance.randrange(3) :]
    return text + b"\n"


async def ask(path: Path, request: bytes) -> dict[str, Any]:
    """An engine's answer to these bytes."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        writer.write(request)
        answer = await asyncio.wait_for(reader.readline(), 10)
    finally:
        writer.close()
    told = json.loads(answer)
    assert isinstance(told, dict)
    return told


def run(run: Run) -> None:
    """One request a step."""
    asyncio.run(_run(run))


async def _run(run: Run) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "se.sock"
        requests = Requests(EmptyEngine(), "", lambda: None)
        with patch.object(status, "report", _status):
            async with requests.listening(path):
                for chance in run.steps():
                    told = await ask(path, line(chance))
                    run.ended("refused" if "error" in told else "answered")
                    if "error" in told:
                        assert told["error"].isprintable(), told
                        assert "failed" not in told["error"], told
