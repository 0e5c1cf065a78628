"""Answers what other hosts ask this engine through etcd."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from dataplane.cluster import asking
from dataplane.cluster.etcd import Etcd
from dataplane.cluster.operations import KeyValue
from dataplane.errors import ClusterError
from dataplane.foreign.errors import ForeignError
from dataplane.membership.link import Link

Answer = Callable[[bytes], Awaitable[bytes]]
"""The answer to a request, as it would come to the engine's socket: a line of JSON."""


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
        answer = await self._answer(question.line)
        keys = await asyncio.to_thread(lambda: list(asking.written(self._link.key(""), self._name, id_, answer)))
        for key, part in keys:

            def put(etcd: Etcd, _: int, key: str = key, part: bytes = part) -> None:
                etcd.put(key, part, lease=question.lease)

            try:
                await asyncio.wrap_future(self._link.do(put))
            except ClusterError:
                return  # nobody asks any more, or etcd does not answer: who asks says so
