"""Operations and comparisons of etcd's transactions, as its JSON gateway takes them: base64 keys and values, numbers as
text.

Source: etcd 3.4, api_grpc_gateway and `rpc.proto`.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class KeyValue:
    """A key as it is stored."""

    key: str
    value: bytes
    created: int  # the revision that created it
    changed: int  # the revision that changed it last
    lease: int  # the lease that it hangs on; 0: none


@dataclass(frozen=True, slots=True)
class Answer:
    """What a transaction did."""

    succeeded: bool  # whether all comparisons held
    revision: int  # of the whole store, when it was answered
    found: Sequence[Sequence[KeyValue]]  # what each operation read, in order; empty for one that writes


def encoded(text: str | bytes) -> str:
    """A key or value as the gateway takes it."""
    return b64encode(text.encode() if isinstance(text, str) else text).decode("ascii")


def following(prefix: str) -> str:
    """The first key behind all that begin with a prefix."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def between(key: str, end: str = "") -> Json:
    """A key, or those from `key` up to before `end`."""
    return {"key": encoded(key), "range_end": encoded(end)} if end else {"key": encoded(key)}


def absent(key: str) -> Json:
    """The comparison: there is no such key."""
    return {"key": encoded(key), "target": "CREATE", "result": "EQUAL", "create_revision": "0"}


def unchanged(key: str, revision: int) -> Json:
    """The comparison: a key was changed last by a revision; 0: there is no such key."""
    return {"key": encoded(key), "target": "MOD", "result": "EQUAL", "mod_revision": str(revision)}


def present(key: str) -> Json:
    """The comparison: there is such a key."""
    return {"key": encoded(key), "target": "CREATE", "result": "GREATER", "create_revision": "0"}


def get(key: str, end: str = "", *, limit: int = 0) -> Json:
    """Read a key, or the keys from `key` up to, not including, `end`, in order; at most `limit` of them (0: all)."""
    return {"request_range": {**between(key, end), "limit": str(limit)}}


def last(key: str, end: str) -> Json:
    """Read the last of the keys from `key` up to, not including, `end`, without its value."""
    return {
        "request_range": {
            **between(key, end), "limit": "1", "sort_order": "DESCEND", "sort_target": "KEY", "keys_only": True
        }
    }  # fmt: skip


def put(key: str, value: bytes, *, lease: int = 0) -> Json:
    """Write a key. lease: etcd removes the key when this lease ends."""
    return {"request_put": {"key": encoded(key), "value": encoded(value), "lease": str(lease)}}


def keep(key: str) -> Json:
    """Detach an existing key from its lease. If the key is gone, the transaction fails with `KEY_NOT_FOUND`."""
    return {"request_put": {"key": encoded(key), "ignore_value": True}}


def delete(key: str, end: str = "") -> Json:
    """Remove a key, or the keys from `key` up to, not including, `end`."""
    return {"request_delete_range": between(key, end)}


def answer(told: Json) -> Answer:
    """Read the answer to a transaction. Raises ValueError, TypeError, LookupError or AttributeError if it is none."""
    responses = told.get("responses", [])
    found = [[key_value(one) for one in r.get("response_range", {}).get("kvs", [])] for r in responses]
    return Answer(bool(told.get("succeeded")), int(told["header"]["revision"]), found)


def key_value(told: Json) -> KeyValue:
    """Read a key from an answer. Raises as `answer` does."""
    return KeyValue(
        b64decode(told["key"]).decode(),
        b64decode(told.get("value", "")),
        int(told.get("create_revision", 0)),
        int(told.get("mod_revision", 0)),
        int(told.get("lease", 0)),
    )
