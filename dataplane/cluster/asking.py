"""Live queries between hosts, through etcd: a host asks engines of other hosts, and needs no port for it.

    /avi/CLUSTER/ask/ENGINE/ID        a question
    /avi/CLUSTER/answer/ID/ENGINE     its answer; of a large one what its parts are
    /avi/CLUSTER/answer/ID/ENGINE/N   512 KiB of a large answer
    /avi/CLUSTER/answer/ID/ENGINE/progress   how far an engine is that works on a long answer, in words

All these keys hang on a lease of the host that asks. It revokes the lease when all have answered or the time is over.
If it dies, the keys are gone after 60 s. Answers are JSON, compressed by zlib. An engine that says again how far it is
has more time; one of an older release says nothing of it.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple
from uuid import uuid4

from dataplane.client import Answers, late
from dataplane.cluster import operations as op
from dataplane.cluster.address import StoreAddress
from dataplane.cluster.etcd import Etcd
from dataplane.cluster.operations import KeyValue
from dataplane.errors import ClusterError, EngineError
from dataplane.foreign import jsontext
from dataplane.foreign.errors import ForeignError
from dataplane.foreign.text import harmless

ENGINES, ASK, ANSWER = "engine/", "ask/", "answer/"
"""Folders below the cluster's keys: the engines present, questions to each engine, answers to each question."""
LEASE = 60
"""Seconds after which etcd removes a question and its answers by itself."""
PART = 512 << 10
"""The most bytes in a part of an answer."""
MOST_PARTS = 32
"""The most parts of an answer."""
REQUESTS = ("status", "flow", "impact", "events", "drops", "table")
"""The requests that another host may make."""
_AT_ONCE = 60
"""The most engines in a transaction, two keys of each; etcd takes 128."""
_ATTEMPT = 1.0
"""Seconds that one member of etcd has to answer."""
_FIRST, _LATER = 0.01, 0.1
"""Seconds between two looks for answers: at first, and at most."""
_LARGEST = 256 << 20
"""The most bytes in an answer."""


class Question(NamedTuple):
    """A question to one engine."""

    line: bytes  # the request, as it would come to the engine's socket
    lease: int  # the lease that its answer hangs on, too


class Asking:
    """Asks engines of other hosts. Not thread-safe: each thread needs its own."""

    def __init__(self, address: StoreAddress) -> None:
        self.address = address
        self._etcd = Etcd(address, attempt=_ATTEMPT)
        self._prefix = f"/avi/{address.cluster}/"

    def close(self) -> None:
        """Close the connections to etcd."""
        self._etcd.close()

    def engines(self, seconds: float) -> list[str]:
        """The names of the engines present on all hosts, sorted. Raises ClusterError."""
        self._etcd.patience = seconds
        first = self._prefix + ENGINES
        return sorted(one.key.removeprefix(first) for one in self._etcd.get(first, op.following(first)))

    def ask(self, names: Collection[str], request: Mapping[str, Any], seconds: float) -> Answers:
        """Ask engines, all at once. seconds: in which each answers, or says again how far it is. Raises ClusterError if
        etcd does not answer."""
        self._etcd.patience = seconds
        lease, id_ = self._etcd.lease(LEASE), uuid4().hex
        question = json.dumps({"lease": lease, "request": request}).encode()
        told: dict[str, dict[str, Any]] = {}
        silent: dict[str, EngineError] = {}
        try:
            for some in _chunks(sorted(names)):
                self._etcd.txn((), [op.put(f"{self._prefix}{ASK}{name}/{id_}", question, lease=lease) for name in some])
            for name, answer in self._answers(sorted(names), f"{self._prefix}{ANSWER}{id_}/", lease, seconds):
                if "error" in answer:
                    silent[name] = EngineError(f"service engine {name}: {harmless(str(answer['error']))}")
                else:
                    told[name] = answer
        finally:
            with suppress(ClusterError):
                self._etcd.revoke(lease)
        for name in names:
            if name not in told:
                silent.setdefault(name, late(name, seconds))
        return Answers(dict(sorted(told.items())), silent)

    def _answers(
        self, names: Sequence[str], folder: str, lease: int, seconds: float
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Collect answers until all are there, or the others were silent for so long."""
        renewed, pause = time.monotonic(), _FIRST
        heard, said = dict.fromkeys(names, renewed), dict[str, int]()
        while heard:
            now = time.monotonic()
            self._etcd.patience = max(_ATTEMPT, max(heard.values()) + seconds - now)
            if now - renewed > LEASE / 3:
                self._etcd.keep_alive(lease)
                renewed = now
            for some in _chunks(list(heard)):
                asked = time.monotonic()
                keys = [key for name in some for key in (folder + name, _progress(folder + name))]
                found = self._etcd.txn((), [op.get(key) for key in keys]).found
                for name, head, words in zip(some, found[::2], found[1::2], strict=True):
                    if head:
                        del heard[name]
                        yield name, self._read(head[0])
                    elif words and words[0].changed != said.get(name):
                        heard[name], said[name] = asked, words[0].changed
                    elif asked - heard[name] >= seconds:
                        del heard[name]
            if heard:
                time.sleep(max(0.0, min(pause, min(heard.values()) + seconds - time.monotonic())))
                pause = min(2 * pause, _LATER)

    def _read(self, head: KeyValue) -> dict[str, Any]:
        try:
            line, _, packed = head.value.partition(b"\n")
            for part in range(int(jsontext.loads(line)["parts"])):
                packed += self._etcd.get(_part(head.key, part))[0].value
            engine = zlib.decompressobj()
            answer = jsontext.loads(engine.decompress(packed, _LARGEST))
            if engine.eof and isinstance(answer, dict):
                return answer
        except (ForeignError, ValueError, TypeError, LookupError, zlib.error):
            pass
        return {"error": "its answer is not understood"}


def read(value: bytes) -> Question:
    """Read a question from etcd's value. Raises ForeignError if it is none, or if another host may not ask it."""
    asked = jsontext.loads(value)
    request = asked.get("request") if isinstance(asked, dict) else None
    if not isinstance(request, dict) or type(asked.get("lease")) is not int:
        raise ForeignError("a question is an object with a request and a lease")
    if request.get("request") not in REQUESTS:
        raise ForeignError(f"from another host may be asked: {', '.join(REQUESTS)}")
    return Question(json.dumps(request).encode(), asked["lease"])


class Writing:
    """An answer that goes into etcd, packed as it is made. folder: the cluster's."""

    def __init__(self, folder: str, engine: str, id_: str) -> None:
        self._head = f"{folder}{ANSWER}{id_}/{engine}"
        self.progress = _progress(self._head)  # the key
        self._packer, self._packed, self._parts = zlib.compressobj(1), b"", 0

    @property
    def is_too_large(self) -> bool:
        """Whether it has more than may be written: the rest of it is of no use."""
        return self._parts > MOST_PARTS

    def add(self, piece: bytes) -> list[tuple[str, bytes]]:
        """Take the next piece of JSON. Returns the keys and values that are to be written now."""
        self._packed += self._packer.compress(piece)
        return self._full()

    def end(self) -> list[tuple[str, bytes]]:
        """All pieces were taken. Returns the keys and values that are still to be written, in this order."""
        self._packed += self._packer.flush()
        last = self._full()
        if not self._parts:
            return [(self._head, _head(0) + self._packed)]
        last.append(self._part(self._packed))
        if self.is_too_large:
            why = f"its answer has more than {MOST_PARTS * PART >> 20} MiB, and is told on its own host alone"
            return [(self._head, _head(0) + zlib.compress(json.dumps({"error": why}).encode()))]
        return [*last, (self._head, _head(self._parts))]

    def _full(self) -> list[tuple[str, bytes]]:
        found = []
        while len(self._packed) > PART:
            found.append(self._part(self._packed[:PART]))
            self._packed = self._packed[PART:]
        return found

    def _part(self, value: bytes) -> tuple[str, bytes]:
        self._parts += 1
        return _part(self._head, self._parts - 1), value


def _head(parts: int) -> bytes:
    return json.dumps({"parts": parts}).encode() + b"\n"


def _progress(head: str) -> str:
    return f"{head}/progress"


def _part(head: str, index: int) -> str:
    return f"{head}/{index:03}"


def _chunks(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[at : at + _AT_ONCE] for at in range(0, len(names), _AT_ONCE))
