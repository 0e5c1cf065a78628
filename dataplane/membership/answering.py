"""Answers what other hosts ask this engine through etcd."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import Future

from dataplane.cluster import asking
from dataplane.cluster.operations import KeyValue
from dataplane.errors import ClusterError
from dataplane.foreign.errors import ForeignError
from dataplane.membership.link import Link
from dataplane.wording import counted

Tell = Callable[[str], None]
Answer = Callable[[bytes, Tell], AsyncIterator[bytes]]
"""The answer to a request, piece by piece, as it would come to the engine's socket: a line of JSON. Tell: hears how far
it is before."""
TELLS_EVERY = 1.0
"""Seconds between two words about how much of an answer is made."""


class Answering:
    """Used on an event loop. link: to etcd; name: the engine's."""

    def __init__(self, link: Link, name: str, answer: Answer) -> None:
        self._link, self._name, self._answer = link, name, answer
        self.folder = f"{asking.ASK}{name}/"
        self._work: dict[str, asyncio.Task[None]] = {}  # by question, as long as it is asked

    def heard(self, found: Mapping[str, KeyValue]) -> None:
        """These requests stand in etcd now. New ones are answered; work on those that are gone is given up."""
        for id_ in self._work.keys() - found.keys():
            self._work.pop(id_).cancel()
        for id_, one in found.items():
            if id_ not in self._work:
                self._work[id_] = asyncio.get_running_loop().create_task(self._answered(id_, one.value))

    async def _answered(self, id_: str, value: bytes) -> None:
        try:
            question = asking.read(value)
        except ForeignError:
            return  # nobody waits who can be answered
        writing = asking.Writing(self._link.key(""), self._name, id_)
        telling, size, told_at = list[Future[None]](), 0, time.monotonic()

        def put(key: str, part: bytes) -> Future[None]:
            return self._link.do(lambda etcd, _: etcd.put(key, part, lease=question.lease))

        def tell(text: str) -> None:
            if all(one.done() for one in telling):  # else etcd is slow: who asks hears of the former words first
                telling[:] = [put(writing.progress, text.encode())]

        async def write(keys: Iterable[tuple[str, bytes]]) -> None:
            for key, part in keys:
                await asyncio.wrap_future(put(key, part))

        try:
            async for piece in self._answer(question.line, tell):
                await write(await asyncio.to_thread(writing.add, piece))
                size += len(piece)
                if writing.is_too_large:
                    break
                if time.monotonic() - told_at >= TELLS_EVERY:
                    told_at = time.monotonic()
                    tell(f"{counted(size, 'byte')} of its answer are made")
            await write(writing.end())
        except ClusterError:
            return  # nobody asks any more, or etcd does not answer: who asks says so
