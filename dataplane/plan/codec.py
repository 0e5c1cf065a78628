"""A plan's values as documents (what JSON can hold), and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import MISSING, asdict, fields
from functools import cache
from itertools import repeat
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

from dataplane.errors import PlanError
from dataplane.foreign.text import harmless
from dataplane.plan import checks
from dataplane.plan.model import Common, Former, Monitor, Server, Service

if TYPE_CHECKING:
    from dataplane.plan.bgp import Bgp, Peer, Route
    from dataplane.plan.redundancy import Redundancy

T = TypeVar("T")

_ADDRESS = attrgetter("address")
_last_monitors: tuple[list[Any], tuple[Monitor, ...]] = [], ()
_SERVER = tuple((f.name, f.default) for f in fields(Server))
"""The fields of a server, with their defaults."""
_PLAIN = tuple(f.name for f in fields(Service))
"""The fields of a service; those that hold values of their own are written one by one."""


def document(value: Service | Common) -> dict[str, Any]:
    """The whole document of a service, or of what the engines share."""
    return asdict(value)


def brief_document(service: Service) -> dict[str, Any]:
    """A service's document without its servers' default values: with thousands of servers it is read at every start. A
    service without a route, or with the usual tag, reads as it did before there were routes and tags."""
    body = {name: getattr(service, name) for name in _PLAIN}
    body["servers"] = [
        {name: value for name, default in _SERVER if (value := getattr(server, name)) != default}
        for server in service.servers
    ]
    body["monitors"] = [asdict(monitor) for monitor in service.monitors]
    body["former"] = [asdict(former) for former in service.former]
    if service.route is None:
        del body["route"]
    else:
        body["route"] = asdict(service.route)
    if service.tag == 1:
        del body["tag"]
    return body


def read_service(body: Any, version: Any, key: str) -> Service:
    """Read a service from a document that stands under this key. Raises PlanError, naming the field, for one that this
    version cannot read."""
    try:
        service = _service(checks.listed(body, "the document", dict), checks.version(version))
        if service.key != key:
            raise PlanError(f"it is of {service.key}, and stands under {harmless(key, 60)}")
        return service
    except PlanError as exc:
        name = body.get("virtualservice") if isinstance(body, dict) else None
        raise PlanError(f"plan of {harmless(repr(name), 80)}: {exc}" if name is not None else exc.what) from exc


def _service(body: dict[str, Any], version: int) -> Service:
    known = dict(_known(Service, body))
    checks.check(checks.SERVICE, body, "")
    servers = _servers(checks.listed(body.get("servers", []), "servers"))
    former = checks.objects(body.get("former", []), "former")
    known["servers"] = servers
    known["former"] = tuple(_former(one, f"former[{at}]") for at, one in enumerate(former))
    known["monitors"] = _monitors(checks.listed(body.get("monitors", []), "monitors"))
    if known.get("route") is not None:
        known["route"] = _route(checks.listed(body["route"], "route", dict))
    known["version"] = version
    service = _made(Service, known, "")
    checks.whole(body, list(map(_ADDRESS, servers)))
    return service


def _servers(bodies: list[Any]) -> tuple[Server, ...]:
    """Reads field by field, not server by server: most servers have the same fields, and a start reads thousands."""
    if bodies and set(map(type, bodies)) == {dict} and bodies[0].keys() >= {"address", "port"}:
        names = tuple(_known(Server, bodies[0]))
        with suppress(KeyError):
            if set(map(len, bodies)) == {len(names)}:
                values = {name: list(map(itemgetter(name), bodies)) for name in names}
                checks.columns(values)
                columns: list[Iterable[Any]] = [values.get(name) or repeat(default) for name, default in _SERVER]
                return tuple(map(Server, *columns))
    return tuple(_server(body, f"servers[{at}]") for at, body in enumerate(bodies))


def _server(body: Any, place: str) -> Server:
    known = _known(Server, checks.listed(body, place, dict))
    checks.check(checks.SERVER, known, f"{place}.")
    return _made(Server, known, f"{place}.")


def _monitors(bodies: list[Any]) -> tuple[Monitor, ...]:
    """Many services have the same monitors: those read last are not read again."""
    global _last_monitors
    before, monitors = _last_monitors
    if bodies != before:
        monitors = tuple(_monitor(one, f"monitors[{at}]") for at, one in enumerate(checks.objects(bodies, "monitors")))
        _last_monitors = bodies, monitors
    return monitors


def _monitor(body: dict[str, Any], place: str) -> Monitor:
    known = dict(_known(Monitor, body))
    checks.check(checks.MONITOR, body, f"{place}.")
    known["codes"] = checks.texts(known.get("codes", []), f"{place}.codes")
    known["maintenance_codes"] = checks.statuses(known.get("maintenance_codes", []), f"{place}.maintenance_codes")
    return _made(Monitor, known, f"{place}.")


def _former(body: dict[str, Any], place: str) -> Former:
    checks.former(body, place)
    return Former(body["until"], tuple((a, w, g) for a, w, g in body["servers"]))


def _route(body: dict[str, Any]) -> Route:
    from dataplane.plan.bgp import Route  # late: most plans have none

    known = dict(_known(Route, body))
    checks.check(checks.ROUTE, body, "route.")
    known["labels"] = checks.texts(body.get("labels", []), "route.labels")
    known["communities"] = checks.communities(body.get("communities", []), "route.communities")
    return _made(Route, known, "route.")


def _bgp(group: str, body: Any) -> Bgp:
    from dataplane.plan.bgp import Bgp

    place = f"bgp.{harmless(group, 60)}"
    known = {name: value for name, value in checks.listed(body, place, dict).items() if name in _names(Bgp)}
    checks.check(checks.BGP, known, f"{place}.")
    peers = checks.objects(known.get("peers", []), f"{place}.peers")
    known["peers"] = tuple(_peer(one, f"{place}.peers[{at}].") for at, one in enumerate(peers))
    return _made(Bgp, known, f"{place}.")


def _peer(body: dict[str, Any], place: str) -> Peer:
    from dataplane.plan.bgp import Peer

    known = {name: value for name, value in body.items() if name in _names(Peer)}
    checks.check(checks.PEER, known, place)
    return _made(Peer, known, place)


def _redundancy(group: str, body: Any) -> Redundancy:
    from dataplane.plan.redundancy import Redundancy

    place = f"redundancy.{harmless(group, 60)}"
    known = {name: value for name, value in checks.listed(body, place, dict).items() if name in _names(Redundancy)}
    checks.check(checks.REDUNDANCY, known, f"{place}.")
    return Redundancy(**known)


def read_common(body: Any, version: Any) -> Common:
    """What the engines share, of its document. Fields that only a newer version knows are passed over. Raises
    PlanError."""
    checks.common(body)
    known = {name: body[name] for name in _names(Common) & body.keys()}
    known["bgp"] = {group: _bgp(group, one) for group, one in known.get("bgp", {}).items()}
    known["redundancy"] = {group: _redundancy(group, one) for group, one in known.get("redundancy", {}).items()}
    return Common(**known | {"version": checks.version(version)})


def _made(cls: Callable[..., T], known: dict[str, Any], place: str) -> T:
    """A value of a document's fields. Raises PlanError for one that lacks any."""
    try:
        return cls(**known)
    except TypeError:
        missing = next(name for name in _needed(cls) if name not in known)
        raise PlanError(f"{place}{missing} is missing") from None


def _known(cls: type, body: dict[str, Any]) -> dict[str, Any]:
    if not body.keys() <= _names(cls):
        unknown = harmless(str(sorted(body.keys() - _names(cls))))
        raise PlanError(f"{cls.__name__} has unknown fields {unknown}: written by a newer version?")
    return body


@cache
def _names(cls: type[Any]) -> frozenset[str]:
    return frozenset(f.name for f in fields(cls))


@cache
def _needed(cls: Any) -> tuple[str, ...]:
    return tuple(f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING)
