"""The small world that the packet table plays in: three interfaces, one of them for jumbo frames; a few VIPs, services
and pools."""

from __future__ import annotations

import socket
from array import array
from dataclasses import dataclass

from dataplane.forwarding import maglev
from dataplane.forwarding.driver import Tables
from dataplane.forwarding.values import TCP, UDP, Interface, Pool, Service, ServiceKey, Target, Vip
from dataplane.plan import L2, L3_GRE, L3_IPIP

ip = socket.inet_aton


def mac(last: int) -> bytes:
    return bytes((2, 0, 0, 0, 0, last))


SLOTS = 251
SEED = 42

ETH0 = Interface(2, "eth0", mac(1), 1500, (ip("10.0.0.1"),))
ETH1 = Interface(3, "eth1", mac(2), 1400, (ip("10.1.0.1"),))
ETH2 = Interface(4, "eth2", mac(3), 9000, (ip("10.2.0.1"),))

VIP = "10.0.0.100"
DOWN_ANNOUNCED_VIP = "10.0.0.101"
DOWN_VIP = "10.0.0.102"
SECOND_VIP = "10.0.0.103"

WEB1, WEB2, WEB3 = "10.0.0.11", "10.0.0.12", "10.0.0.13"
DNS = "10.0.0.21"
UNRESOLVED = "10.0.0.31"
ELSEWHERE = "172.16.0.1"
ON_ETH1 = "10.1.0.11"
JUMBO = "10.2.0.11"
MACS = {WEB1: mac(0x11), WEB2: mac(0x12), WEB3: mac(0x13), DNS: mac(0x21), ON_ETH1: mac(0x41), JUMBO: mac(0x51)}


@dataclass(frozen=True)
class World:
    """Everything that is put into a driver."""

    interfaces: tuple[Interface, ...]
    addresses: frozenset[bytes]
    pools: tuple[Pool, ...]
    services: tuple[Service, ...]
    vips: tuple[Vip, ...]

    def put(self, tables: Tables) -> None:
        for interface in self.interfaces:
            tables.put_interface(interface)
        tables.put_addresses(self.addresses)
        for pool in self.pools:
            tables.put_pool(pool)
        for service in self.services:
            tables.put_service(service)
        for vip in self.vips:
            tables.put_vip(vip)


ROUTER_MAC = mac(0xFE)
FAR1, FAR2, FAR3 = "172.16.0.11", "172.16.0.12", "172.16.0.13"
"""Servers behind a router: layer 3."""


def far(address: str, interface: Interface = ETH0, path_mtu: int = 0) -> Target:
    """A server behind the router."""
    return Target(ip(address), True, ROUTER_MAC, interface.index, interface.addresses[0], path_mtu=path_mtu)


def target(address: str, *, up: bool = True, interface: int | None = ETH0.index) -> Target:
    return Target(ip(address), up, MACS.get(address), interface)


def pool(name: str, *targets: Target, mode: str = L2) -> Pool:
    """A pool whose table is shared out among the targets that are up."""
    owners = [index for index, t in enumerate(targets) if t.up]
    table = maglev.build_table([(targets[i].address, 1) for i in owners], SLOTS, SEED)
    mapped = array("H", [maglev.NO_SERVER if owner == maglev.NO_SERVER else owners[owner] for owner in table])
    return Pool(f"pool-{name}", SEED, mapped, targets, mode)


def service(
    pool: str,
    protocol: int,
    port: int,
    end: int = 0,
    *,
    vip: str = VIP,
    by_port: bool = True,
    per_packet: bool = False,
) -> Service:
    key = ServiceKey(ip(vip), protocol, port, end or port)
    return Service(key, f"vs-{pool}", f"pool-{pool}", by_port, per_packet)


WORLD = World(
    (ETH0, ETH1, ETH2),
    frozenset({ip("10.0.0.1"), ip("10.1.0.1"), ip("10.2.0.1")}),
    (
        pool("one", target(WEB1)),
        pool("three", target(WEB1), target(WEB2), target(WEB3)),
        pool("half", target(WEB1), target(WEB2, up=False)),
        pool("dns", target(DNS)),
        pool("down", target(WEB1, up=False)),
        pool("empty"),
        pool("unresolved", target(UNRESOLVED)),
        pool("elsewhere", target(ELSEWHERE, interface=None)),
        pool("eth1", target(ON_ETH1, interface=ETH1.index)),
        pool("ipip", far(FAR1), mode=L3_IPIP),
        pool("gre", far(FAR2), mode=L3_GRE),
        pool("narrow", far(FAR3, path_mtu=1000), mode=L3_IPIP),
        pool("narrowest", far(FAR3, path_mtu=576), mode=L3_IPIP),
        pool("beyond", far(FAR1, ETH1, path_mtu=1500), mode=L3_GRE),
        pool("unrouted", Target(ip(FAR1), True, None, None), mode=L3_IPIP),
        pool("jumbo", target(JUMBO, interface=ETH2.index)),
        pool("jumbo-ipip", far(FAR1, ETH2), mode=L3_IPIP),
        pool("jumbo-gre", far(FAR2, ETH2), mode=L3_GRE),
        pool("twins", target(WEB1), Target(ip("10.0.0.19"), True, MACS[WEB1], ETH0.index)),
    ),
    (
        service("one", TCP, 80),
        service("three", TCP, 8000, 8010),
        service("three", TCP, 83, by_port=False),
        service("half", TCP, 84),
        service("dns", UDP, 53),
        service("dns", UDP, 5000, 5999),
        service("down", TCP, 443),
        service("empty", TCP, 444),
        service("unresolved", TCP, 445),
        service("elsewhere", TCP, 446),
        service("eth1", TCP, 82),
        service("twins", TCP, 85),
        service("dns", TCP, 80, vip=SECOND_VIP),
        service("one", TCP, 80, vip=DOWN_VIP),
        service("one", TCP, 80, vip=DOWN_ANNOUNCED_VIP),
        service("ipip", TCP, 90),
        service("ipip", UDP, 90),
        service("gre", TCP, 91),
        service("gre", UDP, 91),
        service("narrow", TCP, 92),
        service("narrow", UDP, 92),
        service("narrowest", UDP, 95),
        service("beyond", TCP, 93),
        service("unrouted", TCP, 94),
        service("three", UDP, 8000, per_packet=True),
        service("jumbo", TCP, 96),
        service("jumbo", UDP, 96),
        service("jumbo-ipip", TCP, 97),
        service("jumbo-ipip", UDP, 97),
        service("jumbo-gre", TCP, 98),
        service("jumbo-gre", UDP, 98),
        service("one", TCP, 65535),
        service("dns", UDP, 1),
    ),
    (
        Vip(ip(VIP), True, True),
        Vip(ip(SECOND_VIP), True, True),
        Vip(ip(DOWN_VIP), False, False),
        Vip(ip(DOWN_ANNOUNCED_VIP), False, True),
    ),
)
