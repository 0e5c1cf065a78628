"""Probes' time stands still while the event loop is blocked."""

import asyncio
import socket
import time

import pytest

from dataplane.health.probes.poller import EDGE, READABLE, Poller


def test_no_time_passes_for_a_probe_while_the_loop_stands_still() -> None:
    """What came meanwhile is heard before anybody's time is over; who stays silent is given up all the same."""
    told: list[str] = []

    async def run() -> None:
        poller, (ours, theirs) = Poller(), socket.socketpair()
        over = asyncio.Event()
        with ours, theirs:

            def heard(_events: int) -> None:
                told.append(ours.recv(10).decode())
                answered.cancel()

            answered = poller.after(0.2, lambda: told.append("given up"))
            poller.watch(ours.fileno(), READABLE, heard)
            time.sleep(0.5)  # the engine is busy
            poller.after(0.2, over.set)
            asyncio.get_running_loop().call_later(0.05, theirs.send, b"answered")
            async with asyncio.timeout(45):
                await over.wait()
            poller.forget(ours.fileno())
        poller.close()

    asyncio.run(run())
    assert told == ["answered"]


def test_time_passes_for_a_probe_though_the_loop_always_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> int:
        clock, told, turns = [0.0], [False], 0
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: clock[0])
        poller = Poller()
        poller.after(1.0, lambda: told.__setitem__(0, True))
        while not told[0] and turns < 1000:
            clock[0] += 2.0  # each turn of the loop takes so long
            poller._wake()
            turns += 1
        monkeypatch.undo()
        poller.close()
        return turns

    assert asyncio.run(run()) < 20


def test_what_was_there_for_a_paused_file_is_not_told_to_whoever_watches_it_next() -> None:
    """Two files are ready at once; the first one told pauses the other, and somebody else watches that."""
    told: list[str] = []

    async def run() -> None:
        poller, pairs = Poller(), [socket.socketpair() for _ in range(2)]

        def first(_events: int) -> None:
            told.append("first")
            for ours, _ in pairs:
                poller.pause(ours.fileno())
                poller.watch(ours.fileno(), READABLE | EDGE, lambda _: told.append("next"))

        for ours, theirs in pairs:
            poller.watch(ours.fileno(), READABLE | EDGE, first)
            theirs.send(b"x")
        for _ in range(3):
            await asyncio.sleep(0)
        assert told == ["first"]
        pairs[1][1].send(b"y")
        async with asyncio.timeout(45):
            while told != ["first", "next"]:
                await asyncio.sleep(0)
        poller.close()
        for ours, theirs in pairs:
            ours.close()
            theirs.close()

    asyncio.run(run())
