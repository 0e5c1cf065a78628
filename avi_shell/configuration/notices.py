"""Notices: what an operator should know of an object that is accepted. Pure: objects in, sentences out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from avi_shell.configuration import bgp
from avi_shell.configuration.assembly import GLOBAL, Assembly
from avi_shell.configuration.autofill import filled
from avi_shell.configuration.document import ADMIN, Document, address_text, message_with_defaults, with_defaults
from avi_shell.configuration.rules import CONSISTENT_HASH
from avi_shell.errors import ShellError
from dataplane import plan
from dataplane.errors import command
from grammar import schema

_NAMED = 4
"""Addresses of an object that are named because they are not IPv4."""
WITHOUT_EFFECT = "stored, without effect here"
"""In the notice of fields that change nothing about forwarding."""


def service_notices(assembly: Assembly) -> Iterator[str]:
    """What an operator should know of a virtual service that is accepted."""
    if not assembly.is_dsr:
        profile = assembly.profile.get("name", "")
        yield f"{assembly.title} is stored, not forwarded: its network profile {profile} has no dsr_profile"
        return
    if not assembly.has_traffic:
        vrf = f", and its VRF context is {assembly.vrf.name}" if assembly.vrf.name != GLOBAL else ""
        yield f"{assembly.title} is stored, not forwarded: traffic_enabled is off{vrf}"
        return
    for service in assembly.services:
        if service.dsr is None:
            yield (
                f"{assembly.title}: services[{service.index}] is not forwarded: "
                f"its network profile {service.profile.get('name', '')} has no dsr_profile"
            )
    for missing, there in (
        ("no services", assembly.services),
        ("no VIP", assembly.vips),
        ("no pool", assembly.pool is not None),
    ):
        if not there:
            yield f"{assembly.title} has {missing} yet: nothing is forwarded"
    yield from _port_notices(assembly)
    yield from _monitor_notices(assembly)
    yield from _server_notices(assembly)
    yield from {n: None for s in assembly.dsr_services for n in profile_notices(s.profile)}


def new_vips(
    assembly: Assembly, planned: Mapping[str, plan.Service], previous: Mapping[str, plan.Service]
) -> Iterator[str]:
    """What servers need for VIPs that are added to a virtual service in use. planned, previous: its forwarded services
    now and before, by key."""
    known = {service.vip for service in previous.values()}
    if assembly.pool is None or not any(service.enabled for service in previous.values()):
        return
    modes: dict[str, set[str]] = {}
    for service in planned.values():
        if service.vip not in known and service.servers:
            modes.setdefault(service.vip, set()).add(service.mode)
    name = assembly.pool["name"]
    for vip, of_vip in modes.items():
        mode = "l2" if of_vip == {plan.L2} else "l3"
        prepare = command("avi-server apply --vip {} --mode {} --interface IF", vip, mode)
        yield (
            f"{assembly.title}: servers of pool {name} that do not have the VIP {vip} yet are down for it, and for it "
            f"alone; prepare them first: {prepare} (show pool {name} server-setup)"
        )


def object_notices(segment: str, document: Document) -> Iterator[str]:
    """What an operator should know of an object by itself."""
    if segment == "networkprofile":
        yield from profile_notices(document)
    elif segment == "pool":
        yield from pool_notices(document)
    elif segment == "vsvip":
        yield from vip_notices(document)
    elif segment == "healthmonitor":
        yield from _time_notices(document)
    elif segment == "vrfcontext" and "bgp_profile" in document:
        yield from bgp.notices(document)


def _time_notices(monitor: Document) -> Iterator[str]:
    """What an operator should know of a monitor whose probes overlap."""
    timeout, interval = (monitor.get(name, 0) for name in ("receive_timeout", "send_interval"))
    if timeout > interval:
        yield (
            f"HealthMonitor {monitor['name']}: receive_timeout is {timeout} sec, send_interval {interval} sec: "
            "where a server is silent, the next probe begins before one has ended"
        )


def profile_notices(profile: Document) -> Iterator[str]:
    """What an operator should know of a network profile with a `dsr_profile`."""
    fast_path = profile.get("profile", {}).get("udp_fast_path_profile", {})
    if "dsr_profile" in fast_path and fast_path.get("snat"):
        yield (
            f"NetworkProfile {profile['name']}: snat is ignored with direct server return: "
            "servers see the client's own address"
        )


def pool_notices(pool: Document) -> Iterator[str]:
    """What an operator should know of a pool that says what to hash (not by default) and does not hash, or has servers
    that cannot be used."""
    foreign = [
        f"servers[{index}].ip is {address_text(server['ip'])}"
        for index, server in enumerate(pool.get("servers", ()), 1)
        if server["ip"].get("type") != "V4"
    ]
    if foreign:
        yield _foreign(f"Pool {pool['name']}", foreign)
    algorithm, hashed = pool.get("lb_algorithm"), pool.get("lb_algorithm_hash")
    default = schema.kind("pool").root.fields["lb_algorithm_hash"].default
    if algorithm != CONSISTENT_HASH and hashed not in (None, default):
        yield (
            f"Pool {pool['name']}: lb_algorithm_hash {hashed} has no effect: lb_algorithm is {algorithm}; direct "
            f"server return needs lb_algorithm {CONSISTENT_HASH.lower()}"
        )


def vip_notices(vsvip: Document) -> Iterator[str]:
    """What an operator should know of VIPs that cannot be used."""
    foreign = [
        f"vip[{index}].{field} is {address_text(vip[field])}"
        for index, vip in enumerate(vsvip.get("vip", ()), 1)
        for field in ("ip_address", "ip6_address")
        if field in vip and vip[field].get("type") != "V4"
    ]
    if foreign:
        yield _foreign(f"VsVip {vsvip['name']}", foreign)


def _foreign(title: str, foreign: list[str]) -> str:
    more = f" and {len(foreign) - _NAMED} more" if len(foreign) > _NAMED else ""
    return (
        f"{title}: {', '.join(foreign[:_NAMED])}{more}: stored, not for direct server return, which needs IPv4 "
        "addresses; a virtual service that has it is refused"
    )


def _port_notices(assembly: Assembly) -> Iterator[str]:
    if assembly.pool is None or assembly.pool.get("use_service_port") or not assembly.dsr_services:
        return
    ranges = [service.ports for service in assembly.dsr_services]
    odd = [
        f"{address_text(server['ip'])}:{assembly.server_port(server)}"
        for server in assembly.members
        if not any(first <= assembly.server_port(server) <= last for first, last in ranges)
    ]
    if odd:
        ports = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)
        yield (
            f"Pool {assembly.pool['name']}: the port of {_some(odd)} is not one of {assembly.title} ({ports}): direct "
            "server return delivers on the service's own port, the server's port only serves its health monitors"
        )


def _monitor_notices(assembly: Assembly) -> Iterator[str]:
    pings = [str(m["name"]) for m in assembly.monitors if m.get("type") == plan.MONITOR_PING]
    if assembly.pool is None or not pings or not assembly.dsr_services:
        return
    others = len(pings) < len(assembly.monitors) and not assembly.pool.get("min_health_monitors_up")
    if not others:
        yield (
            f"Pool {assembly.pool['name']}: its health monitor {_some(pings)} proves nothing about the VIP's "
            "service: a server whose kernel answers echo requests is up, whether anything listens on the VIP or not"
        )


def _server_notices(assembly: Assembly) -> Iterator[str]:
    pool = assembly.pool
    if pool is None or not assembly.dsr_services:
        return
    needed, enabled = pool.get("min_servers_up", 0), sum(server["enabled"] for server in assembly.members)
    if needed > max(enabled, 1):
        yield f"Pool {pool['name']}: min_servers_up is {needed}, {enabled} of its servers are enabled: it stays down"


def _some(words: list[str]) -> str:
    return ", ".join(words) if len(words) <= 3 else f"{', '.join(words[:3])} and {len(words) - 3} more"


def stored_alone(title: str, names: list[str]) -> str:
    """The notice of an object's fields that change nothing about forwarding."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{title}: {WITHOUT_EFFECT}: {', '.join(names[:_LISTED])}{more}"


_LISTED = 12
"""How many fields a notice lists."""


def not_valid(faults: Iterable[tuple[str, str, ShellError]]) -> list[str]:
    """What keeps a configuration from being committed. faults: as `Change.faults`."""
    return [f"not valid yet: {fault}" + (f"; {fault.hint}" if fault.hint else "") for _, _, fault in faults]


def without_effect(kind: schema.Kind, document: Document, stored: Document | None) -> list[str]:
    """Fields that were changed although they have no effect on forwarding here. What a save fills in is no change."""
    before = _new(kind.segment) if stored is None else stored
    found = _without_effect(kind, kind.root, document, before, has_defaults=stored is None)
    return sorted(found) if found else []


@cache
def _new(segment: str) -> Document:
    """A new object in which nothing was typed, as a save stores it."""
    kind = schema.kind(segment)
    return with_defaults(kind, filled(kind, {}, ADMIN))


def _without_effect(
    kind: schema.Kind, message: schema.Message, document: Document, stored: Document, *, has_defaults: bool = False
) -> set[str]:
    """has_defaults: stored has every default, or nothing."""
    found = set()
    telling = _telling(kind.segment, message.name)
    for name in telling.looked_at(document, {} if has_defaults else stored):
        field, inner = telling.fields[name]
        value = document.get(name)
        before = stored.get(name, field.default)
        if value is None or value == before:
            continue
        if inner is None:
            if not _is_empty(kind, field, value):
                found.add(name)
            continue
        olds = before if isinstance(before, list) else [before]
        for index, item in enumerate(value if isinstance(value, list) else [value]):
            old = olds[index] if index < len(olds) and isinstance(olds[index], dict) else {}
            found |= _without_effect(kind, inner, item, old)
    return found


def _is_empty(kind: schema.Kind, field: schema.Field, value: Any) -> bool:
    """Whether a value is a message in which everything has its default."""
    held = kind.message(field)
    return held is not None and isinstance(value, dict) and value == message_with_defaults(kind, held, {})


class _Telling(NamedTuple):
    """What to tell of a message."""

    fields: dict[str, tuple[schema.Field, schema.Message | None]]  # without effect, and those whose message holds such
    defaults: dict[str, Any]  # of those without effect that have one
    others: frozenset[str]  # the rest

    def looked_at(self, document: Document, stored: Document) -> Collection[str]:
        """The fields that may differ from what was stored: in most documents the defaults are as they are."""
        alike = self.defaults.items() <= document.items() and (not stored or self.defaults.items() <= stored.items())
        return self.others & document.keys() if alike else self.fields


@cache
def _telling(segment: str, name: str) -> _Telling:
    kind = schema.kind(segment)
    found: dict[str, tuple[schema.Field, schema.Message | None]] = {}
    for field in kind.messages[name].fields.values():
        inner = kind.message(field)
        if field.no_effect:
            found[field.name] = field, None
        elif inner is not None and not inner.one_token and inner.name != name and _telling(segment, inner.name).fields:
            found[field.name] = field, inner
    plain = {name: field.default for name, (field, inner) in found.items() if inner is None}
    defaults = {name: value for name, value in plain.items() if value is not None}
    return _Telling(found, defaults, frozenset(found.keys() - defaults.keys()))
