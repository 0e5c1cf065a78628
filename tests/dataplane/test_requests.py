"""The engine's socket: every request is answered, whoever is silent keeps nobody out, and nobody works for the gone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from dataplane.daemon import pieces, requests, status
from dataplane.daemon.requests import Requests
from dataplane.runtime.turns import Turns
from tests.torture.requests import EmptyEngine, ask

WAIT = b'{"request":"wait",'


def served(folder: Path, work: Callable[[Path], Awaitable[None]]) -> None:
    """Do something while an engine that has nothing answers on a socket."""

    async def both() -> None:
        path = folder / "se.sock"
        async with Requests(EmptyEngine(), "", lambda: None).listening(path):
            async with asyncio.timeout(45):
                await work(path)

    asyncio.run(both())


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (b'{"request":"wait"}', "wait: version is missing; it must be a whole number from 0 to"),
        (WAIT + b'"version":null,"timeout":1}', "wait: version must be a whole number from 0 to"),
        (WAIT + b'"version":true,"timeout":1}', "not True"),
        (WAIT + b'"version":1,"timeout":-1}', "wait: timeout must be a number of seconds from 0 to 86400, not -1"),
        (WAIT + b'"version":1,"timeout":1e400}', "1e400 is larger than a number can be"),
        (WAIT + b'"version":1,"timeout":NaN}', "NaN is no JSON number"),
        (b'{"request":"diagnose"}', "diagnose: pool is missing; it must be text of at most 1024 characters"),
        (b'{"request":"diagnose","pool":["x"]}', "diagnose: pool must be text of at most 1024 characters, not ['x']"),
        (b'{"request":"diagnose","pool":"x"}', "it forwards no virtual service of this pool"),
        (b'{"request":"drops","look":3}', "drops: look must be a number of seconds from 0 to 2.0, not 3"),
        (b'{"request":"impact","pools":"x"}', "impact: pools must be a list of at most 500 texts, not 'x'"),
        (b'{"request":"impact","servers":[["10.0.0.1","l4","10.0.0.2"]]}', "lists of VIP, mode (l2, l3-ipip, l3-gre)"),
        (b'{"request":"impact","servers":[["10.0.0.1","l2"]]}', "impact: servers must be a list of at most 256 lists"),
        (
            b'{"request":["status"]}',
            "request must be one of status, addresses, notify, wait, diagnose, flow, table, drops, impact, events",
        ),
        (b'{"request":"capture","packets":-1}', "capture: packets must be a whole number from 0 to 4294967295, not -1"),
        (b'{"request":"capture","source":[9,1]}', "capture: source must be the first and the last port, each from 0"),
        (b'{"request":"capture","clients":[["10.0.0.2","10.0.0.1"]]}', "clients must be at most 32 ranges of IPv4"),
        (b'{"request":"capture","pcapng":1}', "capture: pcapng must be true or false, not 1"),
        (b'{"request":"captures"}', "this engine captures nothing"),
        (b'{"request":"\\u001b[2J"}', "unknown request '\\x1b[2J'; there are status"),
        (b"[" * 60_000, "it is nested deeper than 64 levels"),
        (b" " * 70_000, "a request is one line of at most 65536 bytes"),
        (b"\xff", "it is not UTF-8"),
        (b"7", "a request is one JSON object with the key 'request'"),
    ],
)
def test_what_is_wrong_with_a_request_is_answered(request_: bytes, told: str, tmp_path: Path) -> None:
    async def work(path: Path) -> None:
        answer = await ask(path, request_ + b"\n")
        assert told in answer["error"]
        assert await ask(path, b'{"request":"notify"}\n') == {"version": 3}

    served(tmp_path, work)


def test_a_mistake_of_ours_is_answered_too(tmp_path: Path) -> None:
    async def work(path: Path) -> None:  # the engine that has nothing has no driver either
        assert "the engine failed to answer: AttributeError" in (await ask(path, b'{"request":"status"}\n'))["error"]

    served(tmp_path, work)


def test_silent_clients_keep_nobody_out(tmp_path: Path) -> None:
    async def work(path: Path) -> None:
        silent = [await asyncio.open_unix_connection(str(path)) for _ in range(200)]
        begun = asyncio.get_running_loop().time()
        assert await ask(path, b'{"request":"notify"}\n') == {"version": 3}
        assert asyncio.get_running_loop().time() - begun < requests.ASKED_WITHIN / 2
        for _, writer in silent:
            writer.close()

    served(tmp_path, work)


def test_a_line_that_does_not_come_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "ASKED_WITHIN", 0.1)

    async def work(path: Path) -> None:
        assert "no whole line came" in (await ask(path, b'{"request":'))["error"]

    served(tmp_path, work)


@pytest.mark.parametrize("half", [False, True])
def test_work_stops_when_its_client_has_gone(half: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that only says no more (a shell's pipe into `nc -U`) still listens."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def long(*_: object, **_how: object) -> dict[str, Any]:
        begun.set()
        try:
            await asyncio.sleep(1 if half else 60)
        finally:
            ended.set()
        return {"driver": {}}

    monkeypatch.setattr(status, "report", long)

    async def work(path: Path) -> None:
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b'{"request":"status"}\n')
        await begun.wait()
        if half:
            writer.write_eof()
            assert "pid" in json.loads(await reader.readline())
        writer.close()
        await ended.wait()

    served(tmp_path, work)


async def joined(answer: dict[str, Any]) -> bytes:
    """An answer's line, from its parts."""
    return b"".join([part async for part in pieces.parts(answer)])


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"pools": [], "bgp": None, "text": 'a "b"\n\u2028é', "dropped": {}},
        {"pools": [{"servers": [{"a": [1, {"b": [[], {}]}]}, {}], "of": {1: True}}], "share": 0.25},
    ],
)
def test_an_answer_in_pieces_is_the_same_as_in_one(answer: dict[str, Any]) -> None:
    assert asyncio.run(joined(answer)) == json.dumps(answer).encode() + b"\n"


def test_a_long_answer_comes_as_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for one hears something all the time."""
    read = asyncio.Event()

    async def parts(answer: dict[str, Any]) -> AsyncIterator[bytes]:
        yield b'{"version": '
        await read.wait()
        yield b"3}\n"

    monkeypatch.setattr(pieces, "parts", parts)

    async def work(path: Path) -> None:
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b'{"request":"notify"}\n')
        assert await reader.read(100) == b'{"version": '
        read.set()
        assert await reader.readline() == b"3}\n"
        writer.close()

    served(tmp_path, work)


def test_others_have_the_loop_while_a_long_answer_is_written() -> None:
    """Half a second of work in one go before: 40,000 servers."""
    answer = {"pools": [{"servers": [{"address": str(n), "state": "up"} for n in range(100)]} for _ in range(400)]}

    async def work() -> int:
        given = 0

        async def others() -> None:
            nonlocal given
            while True:
                given += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(others())
        await joined(answer)
        task.cancel()
        return given

    assert asyncio.run(work()) >= 3


def test_a_report_has_the_loop_for_half_of_the_time_at_least_where_probes_want_all_of_it() -> None:
    """Others want 30 ms each time they are given the loop: work of 300 ms takes about twice as long, not ten times."""

    async def work() -> float:
        now, given = 0.0, 0.0

        def others() -> None:
            nonlocal now, given
            now += 0.03
            given += 0.03
            asyncio.get_running_loop().call_soon(others)

        asyncio.get_running_loop().call_soon(others)
        turns = Turns(lambda: now)
        for _ in range(3000):
            now += 0.0001
            await turns.give()
        return given

    assert 0 < asyncio.run(work()) < 0.45
