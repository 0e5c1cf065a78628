"""Rules across objects. Pure: an assembled virtual service in, breaches out.

A rule looks at a virtual service with everything that it refers to, so it holds whichever of the objects is changed.
What two objects may not both have is told by `holdings`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator

from avi_shell.configuration import bgprules, grouprules
from avi_shell.configuration.assembly import FAST_PATHS, GLOBAL, Assembly, Part, Service, Vip
from avi_shell.configuration.breach import Breach
from avi_shell.configuration.compiler import HASH_KEYS
from avi_shell.configuration.document import Document, address_text
from dataplane.plan import variables

CONSISTENT_HASH = "LB_ALGORITHM_CONSISTENT_HASH"
L4 = "APPLICATION_PROFILE_TYPE_L4"
CLOUDS = ("CLOUD_VCENTER", "CLOUD_NONE", "CLOUD_LINUXSERVER")
"""The clouds in which the appliance has direct server return: VMware write, VMware no access, Linux server."""


def breaches(assembly: Assembly) -> Iterator[Breach]:
    """Every rule that a virtual service breaks by itself and with what it refers to."""
    yield from _overlaps(assembly)
    if assembly.is_dsr:
        for rule in _DSR_RULES:
            yield from rule(assembly)


def alone(kind: str, document: Document) -> Iterator[Breach]:
    """Rules of one object, used or not: a VIP's address, the variables of a monitor's script, BGP's peers, a
    group's numbers."""
    if kind in ("vsvip", "virtualservice"):
        for index, vip in enumerate(document.get("vip", ()), 1):
            yield from _vip_address(Vip(vip, Part(kind, document["name"], f"vip[{index}]")))
    elif kind == "healthmonitor":
        try:
            variables.parse(document.get("external_monitor", {}).get("command_variables", ""))
        except ValueError as exc:
            part = Part(kind, document["name"], "external_monitor.command_variables")
            hint = "words NAME=VALUE; none that steers the dynamic loader or the C library, such as LD_PRELOAD"
            yield Breach(f"HealthMonitor {document['name']}: {exc}", (part,), hint)
    elif kind == "vrfcontext" and document["name"] == GLOBAL and "bgp_profile" in document:
        yield from bgprules.profile(document)
    elif kind == "serviceenginegroup":
        yield from grouprules.numbers(document)


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
    for field, wanted in (("lb_algorithm", (CONSISTENT_HASH,)), ("lb_algorithm_hash", tuple(HASH_KEYS))):
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
    seen: dict[str, int] = {}
    for index, server in enumerate(assembly.members, 1):
        address = address_text(server["ip"])
        if fault := server_fault(server["ip"], seen.get(address)):
            what, hint = fault
            part = assembly.pool_part(f"servers[{index}]")
            title = f"{assembly.title}: {part.path} of its pool {part.name}"
            yield Breach(f"{title} {what}", (_under(part, "ip"), assembly.part("pool_ref")), hint)
        seen.setdefault(address, index)


def server_fault(ip: Document, same: int | None) -> tuple[str, str] | None:
    """What is wrong with the address of a server that gets packets directly, and what would be right. same: the
    position of another server that has it, from 1."""
    address = address_text(ip)
    if ip.get("type") != "V4":
        return f"is {address}; direct server return needs IPv4 addresses", "an IPv4 address"
    if not _can_be_a_host(address):
        return f"is {address}, which no host can have", "the address of a server"
    if same is not None:
        what = (
            f"has the address {address} of servers[{same}]; direct server return delivers on the "
            "service's port, a second port would only double the server's weight"
        )
        return what, "each address once; ratio sets a server's weight"
    return None


def _vip_address(vip: Vip) -> Iterator[Breach]:
    value = vip.document.get("ip_address", {})
    if value.get("type") != "V4":
        return
    what = hint = ""
    subnet = vip.document.get("subnet", {})
    base = subnet.get("ip_addr", {})
    if not _can_be_a_host(vip.address):
        what, hint = "which no VIP can be", "a unicast IPv4 address"
    elif base.get("type") == "V4" and subnet.get("mask", 32) < 31:
        network = ipaddress.ip_network(f"{base['addr']}/{subnet['mask']}", strict=False)
        if ipaddress.ip_address(vip.address) in (network.network_address, network.broadcast_address):
            what, hint = f"the network or broadcast address of its subnet {network}", "an address between the two"
    if what:
        part = _under(vip.part, "ip_address")
        yield Breach(f"{part.path} is {vip.address}, {what}", (part,), hint)


def _can_be_a_host(address: str) -> bool:
    """Whether a host can have an IPv4 address: its first number shows that it is not this network, loopback, multicast
    or reserved (RFC 6890)."""
    first = int(address.partition(".")[0])
    return 0 < first < 224 and first != 127


def _under(part: Part, field: str) -> Part:
    return Part(part.segment, part.name, f"{part.path}.{field}")


_DSR_RULES: tuple[Callable[[Assembly], Iterator[Breach]], ...] = (
    _cloud,
    _application,
    _profile,
    _algorithm,
    _addresses,
    bgprules.injection,
)
