"""A thin client of etcd's JSON gateway: transactions, leases, watches, its state.

Every request has a deadline. Until then the client tries one member after the other, and tries again while etcd has no
leader. So a request may take effect twice, and transactions must be written so that this does no harm. A client is not
thread-safe: each thread needs its own.

Source: etcd 3.4, api_grpc_gateway; the codes are gRPC's.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from dataplane.cluster import operations
from dataplane.cluster.address import StoreAddress, shown
from dataplane.cluster.answers import Compacted, Unanswered, failure, reason, understood, value
from dataplane.cluster.operations import Answer, Json, KeyValue
from dataplane.errors import ClusterError
from dataplane.foreign.text import harmless

PATIENCE = 10.0
"""Seconds after which a request without an answer fails."""
ATTEMPT = 4.0
"""Seconds that one member has to answer. A member without a quorum says so only after seven."""
_PAUSE = 0.1
"""Seconds to wait before trying again when every member has failed."""
_LARGEST = 256 << 20
"""Bytes of an answer."""
_UNAUTHENTICATED = 16


def nearest(address: StoreAddress) -> int:
    """The member to try first: this host's own, which lives as long as the host does; else the first one."""
    for number, (host, _) in enumerate(address.endpoints):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here, suppress(OSError, ValueError):
            here.bind((str(ipaddress.IPv4Address(host)), 0))  # a host name would need a DNS look-up
            return number
    return 0


class Etcd:
    """A client of a cluster's etcd. Methods raise ClusterError. patience: seconds that a request may take; attempt:
    seconds of these for one member."""

    def __init__(self, address: StoreAddress, patience: float = PATIENCE, attempt: float = ATTEMPT) -> None:
        self.address = address
        self.patience = patience
        self.attempt = attempt
        self._at = nearest(address)  # the member that answered last
        self._open: dict[tuple[str, int], http.client.HTTPConnection] = {}
        self._token = ""
        self._tls: Any = None

    def close(self) -> None:
        """Close all connections."""
        for connection in self._open.values():
            connection.close()
        self._open.clear()

    def txn(self, compare: Sequence[Json], success: Sequence[Json], failure: Sequence[Json] = ()) -> Answer:
        """Run a transaction: one list of operations or the other, atomically and linearizably. It may run twice, one
        after the other."""
        body = {"compare": list(compare), "success": list(success), "failure": list(failure)}
        done: Answer = understood(operations.answer, self._call("/v3/kv/txn", body))
        return done

    def get(self, key: str, end: str = "", *, limit: int = 0) -> list[KeyValue]:
        """Read a key, or the keys from `key` up to, not including, `end`."""
        return list(self.txn((), [operations.get(key, end, limit=limit)]).found[0])

    def put(self, key: str, value: bytes, *, lease: int = 0) -> None:
        """Write a key."""
        self.txn((), [operations.put(key, value, lease=lease)])

    def lease(self, seconds: int) -> int:
        """Create a lease that ends after so many seconds unless it is kept alive."""
        return int(understood(lambda told: told["ID"], self._call("/v3/lease/grant", {"TTL": str(seconds)})))

    def keep_alive(self, lease: int) -> bool:
        """Renew a lease. False if it has ended."""
        told = self._call("/v3/lease/keepalive", {"ID": str(lease)})
        return int(understood(lambda told: told["result"].get("TTL", 0), told)) > 0

    def revoke(self, lease: int) -> None:
        """End a lease, and remove all its keys."""
        self._call("/v3/lease/revoke", {"ID": str(lease)})

    def compact(self, revision: int) -> None:
        """Compact the history of keys before a revision, and free its space. Does nothing if that was done already."""
        try:
            self._call("/v3/kv/compaction", {"revision": str(revision), "physical": True})
        except ClusterError as exc:
            if "has been compacted" not in exc.what:
                raise

    def status(self, endpoint: tuple[str, int]) -> Json:
        """One member's status: version, dbSize, leader, header.member_id, errors."""
        try:
            return self._ask(endpoint, "/v3/maintenance/status", b"{}", time.monotonic() + self.patience)
        except Unanswered as exc:
            raise ClusterError(exc.what) from exc

    def alarms(self) -> list[tuple[str, str]]:
        """The alarms that are raised: the member's ID, and NOSPACE or CORRUPT."""
        told = self._call("/v3/maintenance/alarm", {"action": "GET"})
        return [(str(one.get("memberID", "")), str(one.get("alarm", ""))) for one in told.get("alarms", [])]

    def watch(self, ranges: Sequence[tuple[str, str]], revision: int, idle: float) -> Iterator[list[str]]:
        """Yield the keys that change from a revision on, as the member that answered last reports them; an empty list
        if none changes for `idle` seconds. ranges: first key, and the one behind the last ("" = one key only). Raises
        Compacted if etcd no longer keeps the revision. When the generator ends or fails, watch anew."""
        body = b"".join(
            json.dumps({"create_request": {**operations.between(*one), "start_revision": str(revision)}}).encode()
            for one in ranges
        )
        endpoint = self.address.endpoints[self._at]
        until = time.monotonic() + self.patience
        try:
            if self.address.user and not self._token:
                self._authenticate(endpoint, until)
            connection = self._connect(endpoint, self.patience)
            try:
                response = self._sent(connection, "/v3/watch", body)
                if response.status != 200:
                    raise failure(endpoint, response.status, response.read(1 << 16))
                assert connection.sock is not None
                yield from self._changes(response, connection.sock, endpoint, idle)
            finally:
                connection.close()
        except Unanswered as exc:
            self._at = (self._at + 1) % len(self.address.endpoints)
            raise ClusterError(f"etcd at {shown(endpoint)}: {exc.what}") from exc

    def _changes(self, response: Any, sock: Any, endpoint: tuple[str, int], idle: float) -> Iterator[list[str]]:
        sock.settimeout(idle)
        while True:
            try:
                line = response.readline(_LARGEST)
            except TimeoutError:
                yield []  # a connection that has timed out cannot be read any more
                return
            except (OSError, http.client.HTTPException) as exc:
                raise Unanswered(reason(exc)) from exc
            if not line:
                raise Unanswered("it ended the watch")
            told = understood(lambda told: told["result"], value(line))
            if told.get("canceled"):
                where = f"etcd at {shown(endpoint)}"
                if told.get("compact_revision"):
                    raise Compacted(f"{where}: the revision is compacted", int(told["compact_revision"]))
                self._token = ""
                raise ClusterError(f"{where} ended the watch: {harmless(str(told.get('cancel_reason', '')))}")
            keys = [understood(lambda one: operations.key_value(one["kv"]).key, e) for e in told.get("events", [])]
            if keys:
                yield keys

    def _call(self, path: str, body: Json) -> Json:
        """Try one member after the other until the deadline. Raises ClusterError with what each member said."""
        until, data = time.monotonic() + self.patience, json.dumps(body).encode()
        faults: dict[tuple[str, int], str] = {}
        sent, renewed = False, False
        while True:
            endpoint = self.address.endpoints[self._at]
            try:
                return self._ask(endpoint, path, data, until)
            except Unanswered as exc:
                faults[endpoint] = exc.what
                sent = sent or exc.sent
            except ClusterError as exc:
                if exc.code != _UNAUTHENTICATED or renewed:
                    raise
                self._token, renewed = "", True  # the token has expired, or the member has forgotten it
                continue
            self._at = (self._at + 1) % len(self.address.endpoints)
            if time.monotonic() + _PAUSE >= until:
                told = "; ".join(f"{shown(one)}: {what}" for one, what in faults.items())
                raise ClusterError(f"etcd does not answer: {told}", uncertain=sent)
            if len(faults) == len(self.address.endpoints):
                time.sleep(_PAUSE)

    def _ask(self, endpoint: tuple[str, int], path: str, data: bytes, until: float) -> Json:
        if self.address.user and not self._token:
            self._authenticate(endpoint, until)
        return self._post(endpoint, path, data, until)

    def _authenticate(self, endpoint: tuple[str, int], until: float) -> None:
        who = {"name": self.address.user, "password": self.address.password()}
        told = self._post(endpoint, "/v3/auth/authenticate", json.dumps(who).encode(), until)
        self._token = str(told.get("token", ""))

    def _post(self, endpoint: tuple[str, int], path: str, data: bytes, until: float) -> Json:
        left = max(0.05, min(self.attempt, until - time.monotonic()))
        connection = self._open.pop(endpoint, None)
        if connection is not None and connection.sock is not None:
            connection.sock.settimeout(left)
            try:
                return self._answer(endpoint, connection, self._sent(connection, path, data))
            except Unanswered as exc:
                connection.close()
                if not exc.stale:
                    raise
        connection = self._connect(endpoint, left)
        try:
            return self._answer(endpoint, connection, self._sent(connection, path, data))
        except (Unanswered, ClusterError):
            if endpoint not in self._open:
                connection.close()
            raise

    def _answer(self, endpoint: tuple[str, int], connection: Any, response: http.client.HTTPResponse) -> Json:
        try:
            data = response.read(_LARGEST)
        except (OSError, http.client.HTTPException) as exc:
            raise Unanswered(reason(exc), sent=True) from exc
        if response.will_close:
            connection.close()
        else:
            self._open[endpoint] = connection
        if response.status != 200:
            raise failure(endpoint, response.status, data)
        return value(data)

    def _sent(self, connection: http.client.HTTPConnection, path: str, data: bytes) -> http.client.HTTPResponse:
        fresh = connection.sock is None
        try:
            if fresh:
                connection.connect()
        except (OSError, http.client.HTTPException) as exc:
            if type(exc).__name__ == "SSLCertVerificationError":
                raise ClusterError(f"etcd at {connection.host}:{connection.port}: {reason(exc)}") from exc
            raise Unanswered(reason(exc)) from exc
        try:
            connection.request("POST", path, data, {"Authorization": self._token} if self._token else {})
            return connection.getresponse()
        except (OSError, http.client.HTTPException) as exc:
            stale = not fresh and isinstance(exc, ConnectionError | http.client.RemoteDisconnected)
            raise Unanswered(reason(exc), sent=True, stale=stale) from exc

    def _connect(self, endpoint: tuple[str, int], timeout: float) -> http.client.HTTPConnection:
        if not self.address.ca:
            return http.client.HTTPConnection(*endpoint, timeout=timeout)
        if self._tls is None:
            import ssl  # slow to load

            try:
                self._tls = ssl.create_default_context(cafile=self.address.ca)
            except OSError as exc:
                raise ClusterError(f"{self.address.ca}: {reason(exc)}", remedy="--store-ca FILE") from exc
        return http.client.HTTPSConnection(*endpoint, timeout=timeout, context=self._tls)
