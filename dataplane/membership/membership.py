"""One engine among those of its cluster: what it says, and what it knows of the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from time import time
from typing import Any, TypeVar

from dataplane.cluster.address import StoreAddress
from dataplane.cluster.operations import KeyValue
from dataplane.membership import record
from dataplane.membership.answering import Answer, Answering
from dataplane.membership.link import Link, Standing, State
from dataplane.membership.record import EngineRecord

T = TypeVar("T")

_UNHEARD = {
    Standing.CUT: "the engines of other hosts do not hear of this one, and it not of them: ",
    Standing.REFUSED: "this engine is none of the cluster's: ",
}
"""What begins to be so with a state."""


@dataclass(frozen=True, slots=True)
class Known:
    """An engine that is registered."""

    record: EngineRecord
    revision: int  # of etcd, that wrote it last


class Membership:
    """Made and used on an event loop. name: the engine's; said: what it says of itself at first; tell: gets the text of
    an event; answer: answers what other hosts ask."""

    def __init__(
        self, address: StoreAddress, name: str, said: EngineRecord, tell: Callable[[str], None], answer: Answer
    ) -> None:
        self._address, self.name, self._said, self._tell = address, name, said, tell
        self._loop = asyncio.get_running_loop()
        self.engines: Mapping[str, Known] = {}
        self._read = False  # whether `engines` was read at all
        self.link = Link(address, f"{record.FOLDER}{name}", self._foreign, self._handed(self._moved))
        self.link.follow(record.FOLDER, self._handed(self._heard))
        answering = Answering(self.link, name, answer)
        self.link.follow(answering.folder, self._handed(answering.heard))

    def start(self) -> None:
        """Begin; whoever wants more of etcd has told the link so."""
        self.link.start(self._said.text())

    async def refusal(self, seconds: float) -> str:
        """Why this engine can be none of the cluster's, in words, as far as that is known within a time; else ""."""
        state = await asyncio.to_thread(self.link.settled, seconds)
        return state.reason if state.standing is Standing.REFUSED else ""

    def say(self, said: EngineRecord) -> None:
        """This is so of the engine from now on; the others hear of it where something is new."""
        if not said.same(self._said):
            self._said = replace(said, clock=time())
            self.link.say(self._said.text())

    def report(self) -> dict[str, Any]:
        """What there is to tell.

        {"cluster": URL of the store, "state": joining|member|refused|cut off, "reason": why it is not a member,
         "since": seconds since the epoch,
         "engines": [{"name", "identity", "host", "group", "addresses", "macs", "format", "version", "bgp", "clock"}] as
                    etcd had them last, this one among them}
        """
        state = self.link.state
        return {
            "cluster": self._address.url,
            "state": str(state.standing),
            "reason": state.reason,
            "since": state.since,
            "engines": [{"name": name, **asdict(known.record)} for name, known in sorted(self.engines.items())],
        }

    async def close(self, *, leave: bool) -> None:
        """End. leave: the others hear of it at once."""
        await asyncio.to_thread(self.link.close, leave=leave)

    def _foreign(self, value: bytes) -> str:
        found = record.read(value)
        if found is not None and found.identity == self._said.identity:
            return ""
        return f"an engine {self.name} runs already, on host {found.host if found else 'unknown'}"

    def _handed(self, take: Callable[[T], None]) -> Callable[[T], None]:
        """A function that a thread may call, for one of the loop's."""

        def hand(value: T) -> None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(take, value)

        return hand

    def _moved(self, state: State) -> None:
        if state.standing in _UNHEARD:
            self._tell(f"{_UNHEARD[state.standing]}{state.reason}")

    def _heard(self, found: Mapping[str, KeyValue]) -> None:
        records = {name: Known(made, one.changed) for name, one in found.items() if (made := record.read(one.value))}
        before, self.engines = self.engines, records
        if self._read:
            for name in sorted((records.keys() ^ before.keys()) - {self.name}):
                one = (records.get(name) or before[name]).record
                self._tell(f"service engine {name} of host {one.host} {'is there' if name in records else 'is gone'}")
        self._read = True
