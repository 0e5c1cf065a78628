"""An engine's connection to etcd: a key of its own that goes with its lease, folders that it reads as they change, and
transactions.

Two threads do it, so that an etcd that does not answer holds up nobody else. What they hear they hand over by functions
that whoever has a loop lets call into it.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from dataplane.cluster import operations as op
from dataplane.cluster.address import StoreAddress
from dataplane.cluster.answers import Compacted
from dataplane.cluster.etcd import Etcd
from dataplane.cluster.operations import KeyValue
from dataplane.errors import ClusterError
from dataplane.placement.arbitration import LEASE

PATIENCE = 2.0
"""Seconds for a request: whoever waits for one longer says nothing meanwhile."""
ATTEMPT = 0.7
"""Seconds for one member, which answers within milliseconds while it lives."""
_KEEP = LEASE / 3
"""Seconds after which the lease is kept alive."""
_BREAK = LEASE - _KEEP - 0.3
"""Seconds without an answer after which leases may have ended: a shorter outage, as of a leader that another one
replaces, ends none."""
_AGAIN = 0.5
"""Seconds between two tries to reach etcd."""
_IDLE = LEASE
"""Seconds without a change after which the folders are read, whether or not the watch still lives."""

T = TypeVar("T")
Job = Callable[[Etcd, int], T]
"""What is done by the thread that writes: it gets its client, and the lease that the engine has (0: none)."""
Heard = Callable[[Mapping[str, KeyValue]], None]
"""Gets all keys of a folder, by their names in it, whenever one of them changed."""


class Standing(StrEnum):
    """How an engine stands with the others."""

    JOINING = "joining"  # it has not yet said anything
    MEMBER = "member"  # etcd has what it says
    REFUSED = "refused"  # another engine has its key
    CUT = "cut off"  # etcd does not answer


@dataclass(frozen=True, slots=True)
class State:
    """Whether an engine is a member, and if not, why."""

    standing: Standing = Standing.JOINING
    reason: str = ""  # why it is not heard, in words
    since: float = 0.0  # seconds since the epoch


class Link:
    """Methods are called by one thread, which is not the link's.

    own: the engine's key below the cluster's; foreign: why a value that is found there is another engine's, "" of a
    former run of this one; moved: is called when the state is another one. A thread of the link calls them.
    """

    def __init__(
        self, address: StoreAddress, own: str, foreign: Callable[[bytes], str], moved: Callable[[State], None]
    ) -> None:
        self._address, self._foreign, self._moved = address, foreign, moved
        self._prefix = f"/avi/{address.cluster}/"
        self._own = self._prefix + own
        self._folders: dict[str, Heard] = {}
        self._jobs: queue.SimpleQueue[tuple[Job[Any], Future[Any]] | None] = queue.SimpleQueue()
        self._wanted: bytes | None = None
        self._written: bytes | None = None
        self._changed = 0  # the revision that wrote the own key; 0: this engine does not have it
        self._lease = 0
        self._due = 0.0  # when the lease is to be kept alive
        self.state = State()
        self._answered = self._answering = float("-inf")  # last, and since when without a break
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=job, daemon=True) for job in (self._write, self._watch)]

    def key(self, name: str) -> str:
        """The whole key of a name below the cluster's."""
        return self._prefix + name

    def follow(self, folder: str, heard: Heard) -> None:
        """Have a folder ("engine/") or a key ("placer") read whenever it changes; before the start. heard: is called by
        a thread of the link."""
        self._folders[folder] = heard

    def start(self, value: bytes) -> None:
        """Begin, and say this by the own key."""
        self._wanted = value
        for thread in self._threads:
            thread.start()

    def say(self, value: bytes) -> None:
        """Write this value to the own key, if it is a new value."""
        self._wanted = value
        self._jobs.put(None)

    def renew(self) -> None:
        """The own key is gone. Find out at once whether the lease lives, and write the key again."""
        self._due = 0.0
        self._jobs.put(None)

    def do(self, job: Job[T]) -> Future[T]:
        """Have the thread that writes run this, after what it was given before. It may run twice, so it must do no harm
        then. The result is ClusterError where etcd does not answer."""
        future: Future[T] = Future()
        self._jobs.put((job, future))
        return future

    def answering(self) -> float:
        """Seconds for which etcd has answered without a break that ends leases."""
        now = time.monotonic()
        return now - self._answering if now - self._answered < LEASE else 0.0

    def close(self, *, leave: bool) -> None:
        """End. leave: delete the own key at once instead of with its lease."""
        if leave and self._threads[0].is_alive():
            with suppress(TimeoutError):
                self.do(_revoke).exception(PATIENCE)
        self._ending.set()
        self._jobs.put(None)
        if self._threads[0].ident is not None:
            self._threads[0].join(2 * PATIENCE)

    def _write(self) -> None:
        etcd = Etcd(self._address, PATIENCE, ATTEMPT)
        while not self._ending.is_set():
            job = self._next()
            try:
                self._keep(etcd)
                self._note(None)
            except ClusterError as exc:
                self._note(exc)
                self._due = time.monotonic() + _AGAIN
            if job is not None:
                self._done(etcd, *job)
        etcd.close()

    def _next(self) -> tuple[Job[Any], Future[Any]] | None:
        """What is to be done next; None: to look after the own key."""
        with suppress(queue.Empty):
            return self._jobs.get(timeout=max(0.0, self._due - time.monotonic()))
        return None

    def _done(self, etcd: Etcd, job: Job[Any], future: Future[Any]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = job(etcd, self._lease if self._changed else 0)
        except Exception as exc:  # is raised where it is waited for
            future.set_exception(exc)
        else:
            future.set_result(result)

    def _keep(self, etcd: Etcd) -> None:
        """Have the lease live, and the own key hold what it is to hold. Raises ClusterError."""
        now = time.monotonic()
        if now >= self._due:
            if not (self._lease and etcd.keep_alive(self._lease)):
                self._lease, self._changed = etcd.lease(int(LEASE)), 0
            self._due = now + _KEEP
        value = self._wanted
        if value is None or (self._changed and value == self._written):
            return
        compare = op.unchanged(self._own, self._changed)  # 0: there is no such key
        done = etcd.txn([compare], [op.put(self._own, value, lease=self._lease)], [op.get(self._own)])
        if not done.succeeded:
            found = done.found[0]
            self._changed = 0
            if found and (why := self._foreign(found[0].value)):
                self._tell(Standing.REFUSED, why)
                return
            compare = op.unchanged(self._own, found[0].changed if found else 0)
            done = etcd.txn([compare], [op.put(self._own, value, lease=self._lease)])
            if not done.succeeded:
                self._due = now + _AGAIN
                return
        self._changed, self._written = done.revision, value
        self._tell(Standing.MEMBER, "")

    def _note(self, fault: ClusterError | None) -> None:
        """etcd answered, or did not."""
        now = time.monotonic()
        if fault is not None:
            self._tell(Standing.CUT, fault.what)
            return
        if now - self._answered > _BREAK:
            self._answering = now
        self._answered = now
        if self.state.standing is Standing.CUT:
            self._tell(Standing.MEMBER if self._changed else Standing.JOINING, "")

    def _tell(self, standing: Standing, reason: str) -> None:
        if (standing, reason) != (self.state.standing, self.state.reason):
            self.state = State(standing, reason, time.time())
            self._moved(self.state)

    def _watch(self) -> None:
        etcd = Etcd(self._address, PATIENCE, ATTEMPT)
        while not self._ending.is_set():
            try:
                with suppress(Compacted):
                    self._hear(etcd)
            except ClusterError:
                self._ending.wait(_AGAIN)  # the thread that writes tells of it
        etcd.close()

    def _hear(self, etcd: Etcd) -> None:
        """Read the folders, and again what changes in them, until nothing did for some time. Raises ClusterError."""
        revision = self._read(etcd, list(self._folders))
        ranges = [self._range(folder) for folder in self._folders]
        for keys in etcd.watch(ranges, revision + 1, _IDLE):
            changed = [one for one in self._folders if any(key.startswith(self._prefix + one) for key in keys)]
            if self._ending.is_set() or not keys:
                return
            self._read(etcd, changed)

    def _read(self, etcd: Etcd, folders: list[str]) -> int:
        """Hand over what is in some folders. Returns the revision of etcd that it is of."""
        answer = etcd.txn((), [op.get(*self._range(folder)) for folder in folders])
        for folder, found in zip(folders, answer.found, strict=True):
            if not self._ending.is_set():
                self._folders[folder]({one.key.removeprefix(self._prefix + folder): one for one in found})
        return answer.revision

    def _range(self, folder: str) -> tuple[str, str]:
        first = self._prefix + folder
        return first, op.following(first) if folder.endswith("/") else ""


def _revoke(etcd: Etcd, lease: int) -> None:
    if lease:
        etcd.revoke(lease)
