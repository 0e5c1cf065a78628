"""What placement depends on: read from the plan, and from what engines and the placer have in etcd. Pure. A VIP is
named by its lowest address: the addresses of one VsVip are those that share a virtual service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from dataplane import plan
from dataplane.membership.record import EngineRecord
from dataplane.placement.model import Algorithm, Enabled, Engine, Group, Mode, Place, Presence, Situation, Vip
from dataplane.plan.redundancy import Redundancy

_USUAL = Redundancy()
_ENABLED = Enabled.ENABLED.value


@dataclass(frozen=True, slots=True)
class Vips:
    """The VIPs of a plan."""

    by_name: Mapping[str, Vip] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)  # by address, the name of the VIP that it belongs to


def vips(services: Iterable[plan.Service]) -> Vips:
    """The VIPs of all services, those that are switched off too."""
    ordered = sorted(services, key=lambda service: service.key)
    above: dict[str, str] = {}  # of each address, another one of the same VIP, or itself

    def first(address: str) -> str:
        while above.setdefault(address, address) != address:
            address = above[address]
        return address

    seen: dict[str, str] = {}
    for service in ordered:
        one, other = first(service.vip), first(seen.setdefault(service.uuid, service.vip))
        above[one] = other
    together: dict[str, list[plan.Service]] = {}
    for service in ordered:
        together.setdefault(first(service.vip), []).append(service)
    found, names = {}, {}
    for of_vip in together.values():
        addresses = tuple(sorted({service.vip for service in of_vip}, key=IPv4Address))
        routed = any(service.route is not None for service in of_vip)
        found[addresses[0]] = Vip(addresses[0], of_vip[0].group, addresses, routed, of_vip[0].tag)
        names.update(dict.fromkeys(addresses, addresses[0]))
    return Vips(found, names)


def group(name: str, redundancy: Mapping[str, Redundancy]) -> Group:
    """A service engine group."""
    one = redundancy.get(name, _USUAL)
    return Group(
        name,
        Mode(one.mode),
        Algorithm(one.algorithm),
        one.min_scaleout,
        one.max_scaleout,
        one.max_vips,
        one.spare,
        one.distributed,
        one.redistributed,
        one.drain,
        one.ready,
    )


def situation(
    common: plan.Common,
    known: Vips,
    records: Mapping[str, EngineRecord],
    presences: Mapping[str, Presence],
    gone: Mapping[str, str],
    places: Mapping[str, Place],
    now: float,
) -> Situation:
    """All that placement depends on. records: of the registered engines; gone: the group of each engine that was
    registered once; now: seconds since the epoch."""
    speaking = {name for name, bgp in common.bgp.items() if bgp.peers}
    routed = {
        name: one if one.group in speaking else Vip(one.uuid, one.group, one.addresses, False, one.tag)
        for name, one in known.by_name.items()
    }
    names = {one.group for one in routed.values()} | {record.group for record in records.values()}
    engines = {name: _engine(name, record, common, presences) for name, record in records.items()}
    for name in presences.keys() - engines.keys():
        group_name = common.engines.get(name, gone.get(name, "Default-Group"))
        engines[name] = Engine(name, group_name, presences[name], Enabled(common.disabled.get(name, _ENABLED)))
    announced = {name: frozenset(record.announced) for name, record in records.items()}
    groups = {name: group(name, common.redundancy) for name in sorted(names | {e.group for e in engines.values()})}
    return Situation(groups, engines, routed, dict(places), announced, now)


def _engine(name: str, record: EngineRecord, common: plan.Common, presences: Mapping[str, Presence]) -> Engine:
    enabled = Enabled(common.disabled.get(name, _ENABLED))
    unfit = common.redundancy.get(record.group, _USUAL).with_peers and record.peerless
    if (record.leaving or unfit) and enabled is not Enabled.FORCED:
        enabled = Enabled.DISABLED
    return Engine(name, record.group, presences.get(name, Presence.DEAD), enabled, record.networks)
