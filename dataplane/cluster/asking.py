"""Live queries between hosts, through etcd: a host asks engines of other hosts, and needs no port for it.

    /avi/CLUSTER/ask/ENGINE/ID        a question
    /avi/CLUSTER/answer/ID/ENGINE     its answer; of a large one what its parts are
    /avi/CLUSTER/answer/ID/ENGINE/N   512 KiB of a large answer

All these keys hang on a lease of the host that asks. It revokes the lease when all have answered or the time is over.
If it dies, the keys are gone after 60 s. Answers are JSON, compressed by zlib.
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
_AT_ONCE = 100
"""The most keys in a transaction; etcd takes 128."""
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
        """Ask engines, all at once. seconds: the deadline for all of them. Raises ClusterError if etcd does not
        answer."""
        until = time.monotonic() + seconds
        self._etcd.patience = seconds
        lease, id_ = self._etcd.lease(LEASE), uuid4().hex
        question = json.dumps({"lease": lease, "request": request}).encode()
        told: dict[str, dict[str, Any]] = {}
        silent: dict[str, EngineError] = {}
        try:
            for some in _chunks(sorted(names)):
                self._etcd.txn((), [op.put(f"{self._prefix}{ASK}{name}/{id_}", question, lease=lease) for name in some])
            for name, answer in self._answers(sorted(names), f"{self._prefix}{ANSWER}{id_}/", until):
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

    def _answers(self, names: Sequence[str], folder: str, until: float) -> Iterator[tuple[str, dict[str, Any]]]:
        """Collect answers until all are there or the time is over."""
        waiting, pause = list(names), _FIRST
        while waiting:
            self._etcd.patience = max(_ATTEMPT, until - time.monotonic())
            for some in _chunks(waiting):
                answer = self._etcd.txn((), [op.get(folder + name) for name in some])
                for name, found in zip(some, answer.found, strict=True):
                    if found:
                        waiting.remove(name)
                        yield name, self._read(found[0])
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(pause, left))
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


def written(folder: str, engine: str, id_: str, answer: bytes) -> Iterator[tuple[str, bytes]]:
    """The keys and values of an answer, in the order in which to write them. folder: the cluster's; answer: JSON."""
    head, packed = f"{folder}{ANSWER}{id_}/{engine}", zlib.compress(answer, 1)
    parts = [packed[at : at + PART] for at in range(0, len(packed), PART)]
    if len(parts) == 1:
        yield head, _head(0) + packed
    elif len(parts) > MOST_PARTS:
        why = f"its answer has more than {MOST_PARTS * PART >> 20} MiB, and is told on its own host alone"
        yield head, _head(0) + zlib.compress(json.dumps({"error": why}).encode())
    else:
        yield from ((_part(head, index), part) for index, part in enumerate(parts))
        yield head, _head(len(parts))


def _head(parts: int) -> bytes:
    return json.dumps({"parts": parts}).encode() + b"\n"


def _part(head: str, index: int) -> str:
    return f"{head}/{index:03}"


def _chunks(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[at : at + _AT_ONCE] for at in range(0, len(names), _AT_ONCE))
