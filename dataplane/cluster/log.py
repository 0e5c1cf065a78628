"""The log of commits in etcd: what every host applies to its own store, in order.

    /avi/CLUSTER/snapshot      the store after some commit: a host that is new or far behind begins with it
    /avi/CLUSTER/log/NUMBER    a commit, of 12 digits; created once
    /avi/CLUSTER/part/TX/N     512 KiB of a commit or snapshot that is larger
    /avi/CLUSTER/format        of the plans in commits: hosts that do not read it do not join

A value is a line of JSON (the transaction, and the SHA-256 of each part) and, where it has no parts, the content after
it. Content is compressed by zlib. Parts are written first, with a lease; the transaction that writes the value frees
them from it, so those of a commit that never was go away.

A commit is created only if the snapshot's key is as its author read it. So a change of that key keeps out every commit
that was sent before and has not arrived yet. A new snapshot changes the key, and so does an author who waited in vain
for an answer.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from dataplane.cluster import operations as op
from dataplane.cluster.answers import KEY_NOT_FOUND
from dataplane.cluster.etcd import Etcd
from dataplane.cluster.operations import KeyValue
from dataplane.errors import ClusterError
from dataplane.foreign.text import harmless

PART = 512 << 10
"""The most bytes in a part; three parts fit into one request to etcd."""
MOST_PARTS = 120
"""The most parts of a commit or snapshot; etcd takes 128 operations in a transaction."""
LEASE = 60
"""Seconds to write all parts and commit them: their lease."""
KEPT = 100
"""How many commits stay in the log after a snapshot holds them, so that a host a little behind needs no snapshot."""
_PAGE = 32
"""The most commits that one request reads."""
_TIMES = 3
"""How often to try to write parts whose lease ends too early, and to read a commit that lacks a part."""
_LARGEST = 1 << 30
"""The most bytes of content."""
_LEVEL = 3
"""The zlib level. It is low because a large import waits for the compression."""


@dataclass(frozen=True, slots=True)
class Head:
    """The content of the snapshot's key."""

    identity: str  # of the store
    epoch: int  # of the store: raised whenever it is seeded anew
    version: int  # the number of the commit after which the snapshot was taken
    transaction: str  # the transaction that wrote it
    parts: tuple[str, ...]  # SHA-256 of each part
    changed: int  # the revision of etcd that changed the key last


@dataclass(frozen=True, slots=True)
class Logged:
    """A commit in the log."""

    number: int  # from 1
    transaction: str  # who wrote it: unique
    content: bytes  # as it was given to `append`


class Log:
    """The log of one cluster. Methods raise ClusterError."""

    def __init__(self, etcd: Etcd) -> None:
        self.etcd = etcd
        self._prefix = f"/avi/{etcd.address.cluster}/"
        self._snapshot = f"{self._prefix}snapshot"
        self.revision = 0  # of etcd, when the log was read last
        self.reached = False  # whether the log still held the commit after which it was read last

    def head(self) -> Head | None:
        """Read the current head. None: nobody has seeded the cluster."""
        found = self.etcd.get(self._snapshot)
        return self._head(found[0]) if found else None

    def read(self, after: int) -> tuple[Head | None, list[Logged]]:
        """Read, in one transaction, the head and the next commits after a number; not always all of them. None: nobody
        has seeded the cluster. Linearizable: it sees whatever was committed before."""
        commits = op.get(self._log(after + 1), f"{self._prefix}log0", limit=_PAGE)
        known = op.last(self._log(after), self._log(after + 1))
        for _ in range(_TIMES):
            answer = self.etcd.txn((), [op.get(self._snapshot), commits, known])
            self.revision = answer.revision
            head = self._head(answer.found[0][0]) if answer.found[0] else None
            self.reached = bool(answer.found[2])
            logged = [self._logged(one) for one in answer.found[1]]
            found = [one for one in logged if one is not None]
            if len(found) == len(logged):
                return head, found
        raise ClusterError("a commit in etcd lacks a part")

    def last(self) -> int:
        """The number of the last commit in the log; 0: the log is empty, or only a snapshot holds that commit."""
        found = self.etcd.txn((), [op.last(self._log(0), f"{self._prefix}log0")]).found[0]
        return self._number(found[0]) if found else 0

    def append(self, number: int, content: bytes, head: Head) -> bool:
        """Append a commit after the last one. head: as `read` gave it. False: another host was faster.

        Raises ClusterError, `uncertain` where it is not known whether it was created.
        """
        compare = [op.absent(self._log(number)), op.unchanged(self._snapshot, head.changed)]
        if number - 1 > head.version:
            compare.append(op.present(self._log(number - 1)))

        def commit(transaction: str, value: bytes, kept: Sequence[op.Json]) -> bool:
            success = [op.put(self._log(number), value), *kept]
            try:
                done = self.etcd.txn(compare, success, [op.get(self._log(number))])
            except ClusterError as exc:
                if not exc.uncertain:
                    raise
                return self._resolved(number, transaction, exc)
            return done.succeeded or self._is(transaction, done.found[0])

        return self._written(f"{number:012}-{uuid4().hex}", content, commit, inline=True)

    def replace(self, head: Head | None, new: tuple[str, int, int], content: bytes, *, seed: bool = False) -> bool:
        """Replace the snapshot, and remove commits that the new one holds; with `seed` remove all commits. head: as
        `read` gave it; new: identity, epoch and version. False: another host was faster."""
        identity, epoch, version = new
        compare = [op.unchanged(self._snapshot, head.changed if head is not None else 0)]
        last = f"{version - KEPT + 1:012}" if version > KEPT else f"{0:012}"
        gone = [
            op.delete(self._log(0), f"{self._prefix}log0" if seed else f"{self._prefix}log/{last}"),
            op.delete(f"{self._prefix}part/0", f"{self._prefix}part/{':' if seed else last}"),
        ]
        if head is not None:
            parts = f"{self._prefix}part/{head.transaction}/"
            gone.append(op.delete(parts, op.following(parts)))

        def commit(transaction: str, value: bytes, kept: Sequence[op.Json]) -> bool:
            line, _, rest = value.partition(b"\n")
            told = {**json.loads(line), "identity": identity, "epoch": epoch, "version": version}
            put = op.put(self._snapshot, json.dumps(told).encode() + b"\n" + rest)
            done = self.etcd.txn(compare, [put, *kept, *gone], [op.get(self._snapshot)])
            return done.succeeded or self._is(transaction, done.found[0])

        return self._written(f"snapshot-{uuid4().hex}", content, commit, inline=False)

    def content(self, head: Head) -> bytes | None:
        """Read what a snapshot holds; None: another one has replaced it."""
        packed = self._parts(head.transaction, head.parts)
        return None if packed is None else _unpacked(packed, "the snapshot")

    def format(self) -> int:
        """The format of the plans that the hosts write; 1 if none is recorded."""
        found = self.etcd.get(f"{self._prefix}format")
        try:
            return int(found[0].value) if found else 1
        except ValueError as exc:
            raise ClusterError(f"{found[0].key} in etcd is not understood: {harmless(found[0].value, 60)}") from exc

    def set_format(self, number: int) -> None:
        """Record the format of the plans that the hosts write."""
        self.etcd.put(f"{self._prefix}format", str(number).encode())

    def wait(self, idle: float) -> Iterator[bool]:
        """Yield True when something is added to the log after it was last read, False when nothing is for `idle`
        seconds. When the generator ends, call it again. Raises Compacted if the log was read too long ago."""
        ranges = (f"{self._prefix}log/", f"{self._prefix}log0"), (self._snapshot, "")
        for keys in self.etcd.watch(ranges, self.revision + 1, idle):
            yield bool(keys)

    def _log(self, number: int) -> str:
        return f"{self._prefix}log/{number:012}"

    def _resolved(self, number: int, transaction: str, cause: ClusterError) -> bool:
        """Find out whether a commit whose answer never came was created. If not, make sure that it never will be."""
        try:
            fence = self.etcd.txn(
                [op.absent(self._log(number))], [op.keep(self._snapshot)], [op.get(self._log(number))]
            )
        except ClusterError:
            raise cause from None
        if fence.succeeded:
            raise ClusterError(cause.what) from cause
        return self._is(transaction, fence.found[0])

    def _is(self, transaction: str, found: Sequence[KeyValue]) -> bool:
        return any(self._line(one)["transaction"] == transaction for one in found)

    def _written(
        self,
        transaction: str,
        content: bytes,
        commit: Callable[[str, bytes, Sequence[op.Json]], bool],
        *,
        inline: bool,
    ) -> bool:
        """Write content, in parts if it is large; then have `commit` write the value that names the parts."""
        packed = zlib.compress(content, _LEVEL)
        if inline and len(packed) <= PART:
            return commit(transaction, _value(transaction, ()) + packed, ())
        parts = [packed[at : at + PART] for at in range(0, len(packed), PART)]
        if len(parts) > MOST_PARTS:
            size, most = (count * PART >> 20 for count in (len(parts), MOST_PARTS))
            raise ClusterError(f"it has {size} MiB compressed, at most {most} MiB can be shared")
        keys = [self._part(transaction, index) for index in range(len(parts))]
        value = _value(transaction, [hashlib.sha256(part).hexdigest() for part in parts])
        for left in reversed(range(_TIMES)):
            lease = self.etcd.lease(LEASE)
            try:
                for key, part in zip(keys, parts, strict=True):
                    self.etcd.put(key, part, lease=lease)
                done = commit(transaction, value, [op.keep(key) for key in keys])
            except ClusterError as exc:
                if not left or not ("lease not found" in exc.what or KEY_NOT_FOUND in exc.what):
                    raise
                continue  # the lease has ended, and took parts with it
            self.etcd.revoke(lease)
            return done
        raise AssertionError

    def _part(self, transaction: str, index: int) -> str:
        return f"{self._prefix}part/{transaction}/{index:03}"

    def _parts(self, transaction: str, sums: Sequence[str]) -> bytes | None:
        parts = []
        for index, sum_ in enumerate(sums):
            found = self.etcd.get(self._part(transaction, index))
            if not found:
                return None
            if hashlib.sha256(found[0].value).hexdigest() != sum_:
                raise ClusterError(f"{found[0].key} in etcd is damaged: it has another SHA-256")
            parts.append(found[0].value)
        return b"".join(parts)

    def _logged(self, one: KeyValue) -> Logged | None:
        """Read a commit. None: a part is missing; the whole commit is gone if a snapshot holds it now."""
        told, name = self._line(one), one.key.removeprefix(self._prefix)
        packed: bytes | None = one.value.partition(b"\n")[2]
        if told["parts"]:
            packed = self._parts(told["transaction"], told["parts"])
        if packed is None:
            return None
        return Logged(self._number(one), told["transaction"], _unpacked(packed, name))

    def _number(self, one: KeyValue) -> int:
        number = one.key.removeprefix(f"{self._prefix}log/")
        if not number.isdecimal():
            raise ClusterError(f"etcd holds {harmless(one.key)}, which is no commit")
        return int(number)

    def _head(self, one: KeyValue) -> Head:
        told = self._line(one)
        try:
            identity, epoch, version = str(told["identity"]), int(told["epoch"]), int(told["version"])
        except (ValueError, TypeError, LookupError) as exc:
            raise ClusterError(f"{one.key} in etcd is not understood: {exc}") from exc
        return Head(identity, epoch, version, told["transaction"], tuple(told["parts"]), one.changed)

    def _line(self, one: KeyValue) -> dict[str, Any]:
        try:
            told = json.loads(one.value.partition(b"\n")[0])
            if isinstance(told["transaction"], str) and all(isinstance(sum_, str) for sum_ in told["parts"]):
                return dict(told)
        except (ValueError, TypeError, LookupError, RecursionError):
            pass
        raise ClusterError(f"{one.key} in etcd is not understood: {harmless(one.value, 60)}")


def _value(transaction: str, parts: Sequence[str]) -> bytes:
    return json.dumps({"transaction": transaction, "parts": list(parts)}).encode() + b"\n"


def _unpacked(packed: bytes, what: str) -> bytes:
    engine = zlib.decompressobj()
    try:
        content = engine.decompress(packed, _LARGEST)
    except zlib.error as exc:
        raise ClusterError(f"{what} in etcd is damaged: {exc}") from exc
    if not engine.eof:
        raise ClusterError(f"{what} in etcd is cut short, or larger than {_LARGEST >> 30} GiB")
    return content
