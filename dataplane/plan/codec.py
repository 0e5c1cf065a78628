"""A plan's values as documents (what JSON can hold), and back."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from functools import cache
from typing import Any

from dataplane.errors import PlanError
from dataplane.plan.model import MODES, Common, Former, Monitor, Server, Service

_SERVER = tuple((f.name, f.default) for f in fields(Server))
"""The fields of a server, with their defaults."""


def document(value: Service | Common) -> dict[str, Any]:
    """The whole document of a service, or of what the engines share."""
    return asdict(value)


def brief_document(service: Service) -> dict[str, Any]:
    """A service's document without what is its servers' default: of thousands of servers it is read at every start."""
    body = document(replace(service, servers=()))
    body["servers"] = [
        {name: value for name, default in _SERVER if (value := getattr(server, name)) != default}
        for server in service.servers
    ]
    return body


def read_service(body: dict[str, Any], version: int) -> Service:
    """The service of a document. Raises PlanError for a document this version cannot read."""
    known = dict(_known(Service, body))
    servers, names = body.get("servers", ()), _names(Server)
    known["servers"] = tuple(Server(**(s if s.keys() <= names else _known(Server, s))) for s in servers)
    known["former"] = tuple(_former(f) for f in body.get("former", ()))
    known["monitors"] = tuple(_monitor(m) for m in body.get("monitors", ()))
    known["version"] = version
    try:
        service = Service(**known)
    except TypeError as exc:
        raise PlanError(f"plan document of {body.get('virtualservice')!r}: {exc}") from exc
    if service.mode not in MODES:
        raise PlanError(f"plan document of {service.virtualservice!r}: mode {service.mode!r} is none of {MODES}")
    return service


def _monitor(body: dict[str, Any]) -> Monitor:
    known = dict(_known(Monitor, body))
    for name in ("codes", "maintenance_codes"):
        known[name] = tuple(known.get(name, ()))
    return Monitor(**known)


def _former(body: dict[str, Any]) -> Former:
    return Former(body["until"], tuple((str(a), int(w), int(g)) for a, w, g in body["servers"]))


def read_common(body: dict[str, Any], version: int) -> Common:
    """What the engines share, of its document. Fields that only a newer version knows are passed over."""
    known = {name: body[name] for name in _names(Common) & body.keys()}
    return Common(**known | {"version": version})


def _known(cls: type, body: dict[str, Any]) -> dict[str, Any]:
    if not body.keys() <= _names(cls):
        unknown = sorted(body.keys() - _names(cls))
        raise PlanError(f"{cls.__name__} has unknown fields {unknown}: written by a newer version?")
    return body


@cache
def _names(cls: type) -> frozenset[str]:
    return frozenset(f.name for f in fields(cls))
