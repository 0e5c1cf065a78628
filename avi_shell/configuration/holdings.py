"""Lists what an object holds that no other may hold: addresses, pools, ports of a VIP. Pure: objects in, holdings out.

The store indexes holdings and claims, and finds who else has the same; `CLASHES` tells what is refused then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from avi_shell.configuration.assembly import GLOBAL, Assembly, Claim, Holding, Part
from avi_shell.configuration.document import Document, address_text, owned_name, target

VIP, SERVER, POOL, GATEWAY, ENGINE = "vip", "server", "pool", "gateway", "engine"
"""Roles of what an object holds."""

CLASHES: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        (VIP, SERVER): "{value} is a VIP of {one} and a server of {other}",
        (VIP, GATEWAY): "{value} is a VIP of {one} and a gateway in {other}",
        (VIP, ENGINE): "{value} is a VIP of {one} and a service engine's own address in {other}",
        (POOL, POOL): "pool {value} serves {one} and {other}: with direct server return a pool serves one alone",
    }
)
"""Clashes: the roles of the first and the other holder → the sentence. Both holders are checked."""


HOLDERS = ("vrfcontext", "cloud", "serviceengine")
"""The kinds whose objects hold something of their own."""


def object_holdings(kind: str, document: Document) -> set[Holding]:
    """What an object other than a virtual service holds."""
    if kind == "vrfcontext" and document["name"] == GLOBAL:
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
    """What a virtual service holds by its VIPs and pool. Only one with direct server return, while its traffic is on,
    holds anything."""
    if not assembly.is_planned:
        return set()
    held = {(VIP, vip.address) for vip in assembly.vips if vip.address}
    held |= {(SERVER, address_text(server["ip"])) for server in assembly.members}
    if assembly.pool is not None:
        pool = target(assembly.document["pool_ref"])
        held.add((POOL, owned_name(pool.name, pool.tenant, pool.cloud)))
    return held


def claims(assembly: Assembly) -> list[Claim]:
    """VRF, VIP, protocol and ports of every service of a virtual service, while its traffic is on. Engines share one
    plan: what they forward claims in the default cloud too, whatever its own."""
    if not assembly.has_traffic:
        return []
    vrf = assembly.vrf
    vrfs = {owned_name(vrf.name, vrf.tenant, vrf.cloud)} | ({GLOBAL} if assembly.is_planned else set())
    addresses = [vip.address for vip in assembly.vips if vip.address]
    return [
        Claim(name, vip, service.protocol, *service.ports)
        for name in sorted(vrfs)
        for vip in addresses
        for service in assembly.services
    ]


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


def _vnic_addresses(document: Document) -> Iterator[str]:
    """The addresses of a service engine's interfaces. This data is only carried, so it may have any shape."""
    vnics = document.get("data_vnics")
    for vnic in [document.get("mgmt_vnic"), *(vnics if isinstance(vnics, list) else [])]:
        networks = vnic.get("vnic_networks") if isinstance(vnic, dict) else None
        for network in networks if isinstance(networks, list) else []:
            value = network.get("ip", {}).get("ip_addr", {}) if isinstance(network, dict) else {}
            if address_text(value):
                yield address_text(value)
