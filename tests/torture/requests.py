"""Random requests to an engine's socket: each is answered with one line of JSON, and the engine answers on."""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

from dataplane.daemon import questions, status
from dataplane.daemon.requests import Requests
from dataplane.engine.engine import Engine
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


class EmptyEngine:
    """What requests need of an engine that has nothing yet."""

    def __init__(self) -> None:
        self.version = 3
        self.services: dict[str, Any] = {}
        self.interfaces = self
        self.kernel = self

    def served(self) -> list[Any]:
        """No interface."""
        return []

    def objects(self) -> list[Any]:
        """Nothing in the kernel."""
        return []


async def _status(_engine: Engine) -> dict[str, Any]:
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
    for name in ("version", "timeout", "pool", "server", "request"):
        if chance.random() < (0.2 if name == "request" else 0.6):
            asked[name] = chance.choice(_ODD)(chance)
    if isinstance(asked.get("timeout"), int | float) and asked["timeout"] == asked["timeout"]:
        asked["timeout"] = chance.choice((-1, 0, 0.001, True))  # nobody waits for a day
    text = json.dumps(asked).encode()
    if chance.random() < 0.3:
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
        requests = Requests(cast(Engine, EmptyEngine()), "", lambda: None)
        with patch.object(status, "report", _status):
            async with requests.listening(path):
                for chance in run.steps():
                    told = await ask(path, line(chance))
                    run.ended("refused" if "error" in told else "answered")
                    if "error" in told:
                        assert told["error"].isprintable(), told
                        assert "failed" not in told["error"], told
