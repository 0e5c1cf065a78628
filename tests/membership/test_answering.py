"""What other hosts ask an engine is answered through etcd as it is made, and meanwhile it says how far it is."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import Future
from typing import Any

import pytest

from dataplane.cluster import asking
from dataplane.cluster.operations import KeyValue
from dataplane.membership import answering
from dataplane.membership.answering import Answering
from dataplane.membership.link import Link


class Written(Link):
    """In place of etcd: what was put, in order."""

    def __init__(self) -> None:
        self.puts: list[tuple[str, bytes]] = []

    def key(self, name: str) -> str:
        return f"/avi/c/{name}"

    def do(self, job: Callable[[Any, int], Any]) -> Future[Any]:
        job(self, 0)
        done: Future[Any] = Future()
        done.set_result(None)
        return done

    def put(self, key: str, value: bytes, *, lease: int) -> None:
        assert lease == 7
        self.puts.append((key.removeprefix("/avi/c/answer/id/e"), value))


def answered(pieces: Iterable[bytes], words: list[str]) -> list[tuple[str, bytes]]:
    """What an engine writes that says something, and has an answer of these pieces."""

    async def made(line: bytes, tell: Callable[[str], None]) -> AsyncIterator[bytes]:
        assert json.loads(line) == {"request": "status"}
        for text in words:
            tell(text)
        for piece in pieces:
            yield piece

    async def work() -> list[tuple[str, bytes]]:
        link = Written()
        engine = Answering(link, "e", made)
        question = json.dumps({"lease": 7, "request": {"request": "status"}}).encode()
        engine.heard({"id": KeyValue("ask/e/id", question, 1, 1, 7)})
        await asyncio.gather(*engine._work.values())
        return link.puts

    return asyncio.run(work())


def test_words_about_progress_stand_before_the_answer() -> None:
    *told, (key, _) = answered([b"{", b"}"], ["1 of 2 pools looked at", "2 of 2 pools looked at"])
    assert told == [("/progress", b"1 of 2 pools looked at"), ("/progress", b"2 of 2 pools looked at")]
    assert key == ""


def test_an_engine_says_how_much_of_an_answer_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "TELLS_EVERY", 0.0)
    told = [value for key, value in answered([b'{"a":', b"1}"], []) if key == "/progress"]
    assert told == [b"5 bytes of its answer are made", b"7 bytes of its answer are made"]


def test_an_answer_that_is_too_large_is_not_made_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "PART", 4)
    monkeypatch.setattr(asking, "MOST_PARTS", 1)
    rest = iter([b"%d" % n * 100 for n in range(100_000)])
    told = answered(rest, [])
    assert told[-1][0] == ""
    assert next(rest, b"") != b""
