"""Reads etcd's answers, and turns failures and missing answers into errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from dataplane.cluster.address import shown
from dataplane.cluster.operations import Json
from dataplane.errors import ClusterError
from dataplane.foreign.text import harmless

KEY_NOT_FOUND = "etcdserver: key not found"
"""Part of etcd's error message when the key of `operations.keep` is gone."""
_DEADLINE, _UNAVAILABLE = 4, 14


class Compacted(ClusterError):
    """A watch asked for revisions that etcd has compacted. revision: the first one that is left."""

    def __init__(self, what: str, revision: int) -> None:
        super().__init__(what)
        self.revision = revision


class Unanswered(Exception):
    """A member did not answer, or cannot at the moment. sent: the request may have reached it; stale: the member had
    closed the connection before."""

    def __init__(self, what: str, *, sent: bool = False, stale: bool = False) -> None:
        super().__init__(what)
        self.what = what
        self.sent = sent
        self.stale = stale


def failure(endpoint: tuple[str, int], status: int, data: bytes) -> Exception:
    """The error that an answer with a status other than 200 means."""
    try:
        told = json.loads(data)
        told = told["error"] if isinstance(told.get("error"), dict) else told
        what, code = str(told.get("message") or told["error"]), int(told.get("code") or told.get("grpc_code") or 0)
    except (ValueError, TypeError, LookupError, AttributeError):
        what, code = f"HTTP status {status}: {harmless(data)}", 0
    if code in (_DEADLINE, _UNAVAILABLE) or (not code and status >= 500):
        return Unanswered(harmless(what), sent=True)
    remedy = (
        "avi-shell cluster status; then etcdctl defrag, and etcdctl alarm disarm" if "space exceeded" in what else ""
    )
    return ClusterError(f"etcd at {shown(endpoint)}: {harmless(what)}", code=code, remedy=remedy)


def reason(exc: BaseException) -> str:
    """Why a connection failed, in words."""
    if isinstance(exc, TimeoutError):
        return "no answer in time"
    return harmless(getattr(exc, "strerror", None) or str(exc) or type(exc).__name__)


def value(data: bytes) -> Json:
    """The object in an answer. Raises ClusterError."""
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise ClusterError(f"etcd answers what is no JSON object: {harmless(data, 80)}")
    return told


def understood(read: Callable[[Json], Any], told: Json) -> Any:
    """The value that `read` takes from an answer. Raises ClusterError if it is not there."""
    try:
        return read(told)
    except (ValueError, TypeError, LookupError, AttributeError) as exc:
        raise ClusterError(f"etcd answers what is not understood: {harmless(json.dumps(told), 120)}") from exc
