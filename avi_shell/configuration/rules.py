"""Rules across objects, and the notices. Pure: an assembled virtual service in, breaches and sentences out.

A rule looks at a virtual service with everything that it refers to, so it holds whichever of the objects is changed.
What two objects may not both have is told by `holdings` and `claims`; the store's indexes find who else has it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from avi_shell.configuration.assembly import FAST_PATHS, Assembly, Claim, Holding, Part, Service, Vip
from avi_shell.configuration.autofill import filled
from avi_shell.configuration.document import ADMIN, Document, address_text, reference_parts
from grammar import schema

CONSISTENT_HASH = "LB_ALGORITHM_CONSISTENT_HASH"
HASH_KEYS = (
    "LB_ALGORITHM_CONSISTENT_HASH_SOURCE_IP_ADDRESS",
    "LB_ALGORITHM_CONSISTENT_HASH_SOURCE_IP_ADDRESS_AND_PORT",
)
L4 = "APPLICATION_PROFILE_TYPE_L4"
CLOUDS = ("CLOUD_VCENTER", "CLOUD_NONE", "CLOUD_LINUXSERVER")
"""VMware write, VMware no access, Linux server: the rows of the document's table."""

VIP, SERVER, POOL, GATEWAY, ENGINE = "vip", "server", "pool", "gateway", "engine"
"""Roles of what an object holds."""


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule that is broken. what: a sentence naming object and field; parts: the fields that could mend it, the most
    likely first; hint: what would be accepted."""

    what: str
    parts: tuple[Part, ...]
    hint: str = ""

    def path_in(self, segment: str, name: str) -> str:
        """The field of that object that the rule is about, "" where it is about others."""
        return next((part.path for part in self.parts if (part.segment, part.name) == (segment, name)), "")


CLASHES: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        (VIP, SERVER): "{value} is a VIP of {one} and a server of {other}",
        (VIP, GATEWAY): "{value} is a VIP of {one} and a gateway in {other}",
        (VIP, ENGINE): "{value} is a VIP of {one} and a service engine's own address in {other}",
        (SERVER, ENGINE): "{value} is a server of {one} and a service engine's own address in {other}",
        (POOL, POOL): "pool {value} serves {one} and {other}: with direct server return a pool serves one alone",
    }
)
"""What may not be held twice: the roles of the first and the other holder → the sentence. Both ends are checked."""


def breaches(assembly: Assembly) -> Iterator[Breach]:
    """Every rule that a virtual service breaks by itself and with what it refers to."""
    yield from _overlaps(assembly)
    if assembly.is_dsr:
        for rule in _DSR_RULES:
            yield from rule(assembly)


def alone(kind: str, document: Document) -> Iterator[Breach]:
    """Rules of one object that are about addresses: a VIP that no virtual service uses yet is refused as well."""
    if kind in ("vsvip", "virtualservice"):
        for index, vip in enumerate(document.get("vip", ()), 1):
            yield from _vip_address(Vip(vip, Part(kind, document["name"], f"vip[{index}]")))


def holdings(kind: str, document: Document) -> set[Holding]:
    """What an object of its own holds that others may not."""
    if kind == "vrfcontext":
        gateways = [route.get("next_hop") for route in document.get("static_routes", ())]
        gateways += [monitor.get("gateway_ip") for monitor in document.get("gateway_mon", ())]
        return {(GATEWAY, address_text(gateway)) for gateway in gateways if gateway}
    if kind == "cloud":
        hosts = document.get("linuxserver_configuration", {}).get("hosts", ())
        return {(ENGINE, address_text(host["host_ip"])) for host in hosts}
    if kind == "serviceengine":
        return {(ENGINE, address) for address in _vnic_addresses(document)}
    return set()


def service_holdings(assembly: Assembly) -> set[Holding]:
    """What a virtual service holds with its VIPs and its pool: only with direct server return."""
    if not assembly.is_dsr:
        return set()
    held = {(VIP, vip.address) for vip in assembly.vips if vip.address}
    held |= {(SERVER, address_text(server["ip"])) for _, server in assembly.servers()}
    if assembly.pool is not None:
        _, name, tenant = reference_parts(assembly.document["pool_ref"])
        held.add((POOL, name if tenant == "admin" else f"{tenant}/{name}"))
    return held


def claims(assembly: Assembly) -> list[Claim]:
    """VIP, protocol and ports of every service of a virtual service."""
    addresses = [vip.address for vip in assembly.vips if vip.address]
    return [Claim(vip, service.protocol, *service.ports) for vip in addresses for service in assembly.services]


def held_parts(assembly: Assembly, role: str, value: str) -> tuple[Part, ...]:
    """The fields by which a virtual service holds a value."""
    own = {VIP: "vsvip_ref", SERVER: "pool_ref", POOL: "pool_ref"}[role]
    found = []
    if role == VIP:
        found = [
            Part(v.part.segment, v.part.name, f"{v.part.path}.ip_address") for v in assembly.vips if v.address == value
        ]
    elif role == SERVER:
        found = [
            Part(part.segment, part.name, f"{part.path}.ip")
            for part, server in assembly.servers()
            if address_text(server["ip"]) == value
        ]
    return (*found, assembly.part(own))


def holding_path(kind: str, document: Document, value: str) -> str:
    """The field by which a VRF context or a cloud holds an address."""
    lists = {
        "vrfcontext": [("static_routes", "next_hop"), ("gateway_mon", "gateway_ip")],
        "cloud": [("linuxserver_configuration.hosts", "host_ip")],
    }
    for place, field in lists.get(kind, ()):
        elements: Any = document
        for name in place.split("."):
            elements = elements.get(name, {})
        for index, element in enumerate(elements, 1):
            if address_text(element.get(field, {})) == value:
                return f"{place}[{index}].{field}"
    return ""


def notices(assembly: Assembly) -> Iterator[str]:
    """What an operator should know of a virtual service that is accepted."""
    if not assembly.is_dsr:
        profile = assembly.profile.get("name", "")
        yield f"{assembly.title} is stored, not forwarded: its network profile {profile} has no dsr_profile"
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


def profile_notices(profile: Document) -> Iterator[str]:
    """What an operator should know of a network profile with a `dsr_profile`."""
    fast_path = profile.get("profile", {}).get("udp_fast_path_profile", {})
    if "dsr_profile" in fast_path and fast_path.get("snat"):
        yield (
            f"NetworkProfile {profile['name']}: snat is ignored with direct server return: "
            "servers see the client's own address"
        )


def pool_notices(pool: Document) -> Iterator[str]:
    """What an operator should know of a pool that says what to hash (not by default) and does not hash."""
    algorithm, hashed = pool.get("lb_algorithm"), pool.get("lb_algorithm_hash")
    if algorithm != CONSISTENT_HASH and hashed not in (None, HASH_KEYS[0]):
        yield (
            f"Pool {pool['name']}: lb_algorithm_hash {hashed} has no effect: lb_algorithm is {algorithm}; direct "
            f"server return needs lb_algorithm {CONSISTENT_HASH.lower()}"
        )


def _port_notices(assembly: Assembly) -> Iterator[str]:
    if assembly.pool is None or assembly.pool.get("use_service_port") or not assembly.dsr_services:
        return
    ranges = [service.ports for service in assembly.dsr_services]
    odd = [
        f"{address_text(server['ip'])}:{assembly.server_port(server)}"
        for _, server in assembly.servers()
        if not any(first <= assembly.server_port(server) <= last for first, last in ranges)
    ]
    if odd:
        ports = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)
        yield (
            f"Pool {assembly.pool['name']}: the port of {_some(odd)} is not one of {assembly.title} ({ports}): direct "
            "server return delivers on the service's own port, the server's port only serves its health monitors"
        )


def _monitor_notices(assembly: Assembly) -> Iterator[str]:
    pings = [str(m["name"]) for m in assembly.monitors if m.get("type") == "HEALTH_MONITOR_PING"]
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
    needed, enabled = pool.get("min_servers_up", 0), sum(server["enabled"] for _, server in assembly.servers())
    if needed > max(enabled, 1):
        yield f"Pool {pool['name']}: min_servers_up is {needed}, {enabled} of its servers are enabled: it stays down"


def _some(words: list[str]) -> str:
    return ", ".join(words) if len(words) <= 3 else f"{', '.join(words[:3])} and {len(words) - 3} more"


def _overlaps(assembly: Assembly) -> Iterator[Breach]:
    """A virtual service's own port ranges, a protocol at a time: sorted by first port, neighbours tell."""
    ordered = sorted(assembly.services, key=lambda service: (service.protocol, service.ports))
    for one, other in zip(ordered, ordered[1:], strict=False):
        if one.protocol == other.protocol and other.ports[0] <= one.ports[1]:
            later = max(one, other, key=lambda service: service.index)
            yield Breach(
                f"{assembly.title}: services[{one.index}] and services[{other.index}] overlap: "
                f"{one.protocol} {_ports(one)} and {_ports(other)}",
                (assembly.part(f"services[{later.index}].port"), later.profile_part),
                "ports of one protocol that no other service of the virtual service has",
            )


def _ports(service: Service) -> str:
    first, last = service.ports
    return f"port {first}" if first == last else f"ports {first}-{last}"


def _cloud(assembly: Assembly) -> Iterator[Breach]:
    cloud = assembly.cloud
    type_ = cloud.get("vtype")
    access = cloud.get("vcenter_configuration", {}).get("privilege")
    name = str(cloud.get("name", ""))
    if type_ not in CLOUDS:
        yield Breach(
            f"{assembly.title}: its cloud {name} is of vtype {type_}, which has no direct server return",
            (assembly.part("cloud_ref"), Part("cloud", name, "vtype")),
            "a cloud of vtype cloud_vcenter (write access), cloud_none (no access) or cloud_linuxserver",
        )
    elif type_ == "CLOUD_VCENTER" and access == "READ_ACCESS":
        yield Breach(
            f"{assembly.title}: its cloud {name} has read access only, which has no direct server return",
            (assembly.part("cloud_ref"), Part("cloud", name, "vcenter_configuration.privilege")),
            "a VMware cloud with write access or with no access",
        )


def _application(assembly: Assembly) -> Iterator[Breach]:
    chosen = [(s.application, s.application_part) for s in assembly.dsr_services] or [
        (assembly.application, assembly.part("application_profile_ref"))
    ]
    for application, part in chosen:
        if application.get("type") != L4:
            name = str(application.get("name", ""))
            yield Breach(
                f"{assembly.title}: its application profile {name} is of type {application.get('type')}; "
                f"direct server return needs {L4}",
                (part, Part("applicationprofile", name, "type")),
                "application_profile_ref System-L4-Application",
            )


def _profile(assembly: Assembly) -> Iterator[Breach]:
    for service in assembly.dsr_services:
        type_ = service.profile["profile"]["type"]
        if service.fast_path.get("enable_syn_protection"):
            name, place = str(service.profile["name"]), f"profile.{FAST_PATHS[type_]}.enable_syn_protection"
            yield Breach(
                f"{assembly.title}: its network profile {name} has enable_syn_protection, which needs the servers' "
                "answers; direct server return never shows them",
                (Part("networkprofile", name, place), service.profile_part),
                "no enable_syn_protection",
            )


def _algorithm(assembly: Assembly) -> Iterator[Breach]:
    pool = assembly.pool
    if pool is None:
        return
    for field, wanted in (("lb_algorithm", (CONSISTENT_HASH,)), ("lb_algorithm_hash", HASH_KEYS)):
        if pool.get(field) not in wanted:
            choices = " or ".join(value.lower() for value in wanted)
            yield Breach(
                f"{assembly.title}: its pool {pool['name']} has {field} {pool.get(field)}; direct server return knows "
                "consistent hash by source address, or by source address and port, alone",
                (assembly.pool_part(field), assembly.part("pool_ref")),
                f"{field} {choices}",
            )


def _addresses(assembly: Assembly) -> Iterator[Breach]:
    for vip in assembly.vips:
        type_ = vip.document.get("ip_address", {}).get("type")
        if type_ != "V4" or "ip6_address" in vip.document:
            field = "ip_address" if type_ != "V4" else "ip6_address"
            shown = address_text(vip.document.get(field, {})) or "not set"
            yield Breach(
                f"{assembly.title}: {vip.part.path}.{field} is {shown}; direct server return needs an IPv4 address",
                (_under(vip.part, field), assembly.part("vsvip_ref")),
                "ip_address with an IPv4 address, and no ip6_address",
            )
        else:
            yield from (Breach(f"{assembly.title}: {b.what}", b.parts, b.hint) for b in _vip_address(vip))
    seen: dict[str, str] = {}
    for part, server in assembly.servers():
        title = f"{assembly.title}: {part.path} of its pool {part.name}"
        address = address_text(server["ip"])
        parts = (_under(part, "ip"), assembly.part("pool_ref"))
        if server["ip"]["type"] != "V4":
            yield Breach(f"{title} is {address}; direct server return needs IPv4 addresses", parts, "an IPv4 address")
        elif not _can_be_a_host(address):
            yield Breach(f"{title} is {address}, which no host can have", parts, "the address of a server")
        elif address in seen:
            yield Breach(
                f"{title} has the address {address} of {seen[address]}; direct server return delivers on the service's "
                "port, a second port would only double the server's weight",
                parts,
                "each address once; ratio sets a server's weight",
            )
        seen.setdefault(address, part.path)


def _vip_address(vip: Vip) -> Iterator[Breach]:
    value = vip.document.get("ip_address", {})
    if value.get("type") != "V4":
        return
    title, parts = f"{vip.part.path}.ip_address", (_under(vip.part, "ip_address"),)
    if not _can_be_a_host(vip.address):
        yield Breach(f"{title} is {vip.address}, which no VIP can be", parts, "a unicast IPv4 address")
        return
    subnet = vip.document.get("subnet", {})
    base = subnet.get("ip_addr", {})
    if base.get("type") == "V4" and subnet.get("mask", 32) < 31:
        network = ipaddress.ip_network(f"{base['addr']}/{subnet['mask']}", strict=False)
        if ipaddress.ip_address(vip.address) in (network.network_address, network.broadcast_address):
            yield Breach(
                f"{title} is {vip.address}, the network or broadcast address of its subnet {network}",
                parts,
                "an address between the two",
            )


def _can_be_a_host(address: str) -> bool:
    value = ipaddress.IPv4Address(address)
    this_network = int(value) >> 24 == 0
    return not (value.is_multicast or value.is_loopback or value.is_reserved or this_network)


def _under(part: Part, field: str) -> Part:
    return Part(part.segment, part.name, f"{part.path}.{field}")


def _vnic_addresses(document: Document) -> Iterator[str]:
    """The addresses in a service engine's interfaces: carried data, so nothing about its shape is sure."""
    vnics = document.get("data_vnics")
    for vnic in [document.get("mgmt_vnic"), *(vnics if isinstance(vnics, list) else [])]:
        networks = vnic.get("vnic_networks") if isinstance(vnic, dict) else None
        for network in networks if isinstance(networks, list) else []:
            value = network.get("ip", {}).get("ip_addr", {}) if isinstance(network, dict) else {}
            if address_text(value):
                yield address_text(value)


_DSR_RULES: tuple[Callable[[Assembly], Iterator[Breach]], ...] = (
    _cloud,
    _application,
    _profile,
    _algorithm,
    _addresses,
)


def without_effect(kind: schema.Kind, document: Document, stored: Document | None) -> list[str]:
    """Fields that were changed and change nothing about forwarding here; what a save fills in is no change."""
    before = filled(kind, {"name": document["name"]}, ADMIN) if stored is None else stored
    changed = sorted(_without_effect(kind, kind.root, document, before))
    return [f"{kind.name} {document['name']}: stored, without effect here: {', '.join(changed)}"] if changed else []


def _without_effect(kind: schema.Kind, message: schema.Message, document: Document, stored: Document) -> set[str]:
    found = set()
    for field in message.fields.values():
        value = document.get(field.name)
        before = stored.get(field.name, field.default)
        if value is None or value == before:
            continue
        if field.no_effect:
            found.add(field.name)
            continue
        inner = kind.message(field)
        if inner is None or inner.one_token:
            continue
        olds = before if isinstance(before, list) else [before]
        for index, item in enumerate(value if isinstance(value, list) else [value]):
            old = olds[index] if index < len(olds) and isinstance(olds[index], dict) else {}
            found |= _without_effect(kind, inner, item, old)
    return found
