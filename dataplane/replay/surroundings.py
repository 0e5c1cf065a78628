"""The network of a replay, read from a neighbours file.

    {"interfaces": [{"name": "eth0", "mac": "02:…", "ip": ["10.0.0.1/24"], "mtu": 1500}],
     "neighbours": [{"ip": "10.0.0.11", "mac": "02:…", "interface": "eth0"}],
     "routes": [{"prefix": "0.0.0.0/0", "via": "10.0.0.254", "interface": "eth0"}]}

Frames arrive on the first interface. Nothing about the network is guessed.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataplane.drivers.registry import FIRST_INTERFACE
from dataplane.errors import NetworkError
from dataplane.foreign import files, jsontext
from dataplane.forwarding.translate import NextHop
from dataplane.forwarding.values import Interface
from dataplane.plan import Plan


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The network of a replay."""

    interfaces: tuple[Interface, ...]  # frames arrive on the first
    networks: tuple[tuple[int, ipaddress.IPv4Interface], ...]  # interface index, an address of its own and the prefix
    macs: Mapping[tuple[int, bytes], bytes]  # by interface index and address
    # prefix, gateway, interface index; the longest prefix first
    routes: tuple[tuple[ipaddress.IPv4Network, ipaddress.IPv4Address, int], ...] = ()

    def attached(self, server: bytes) -> NextHop:
        """The next hop towards a server on an attached network."""
        address = ipaddress.IPv4Address(server)
        for index, own in self.networks:
            if address in own.network:
                return NextHop(index, self.macs.get((index, server)), own.ip.packed)
        return NextHop()

    def next_hop(self, server: bytes) -> NextHop:
        """The next hop towards a server that may be routers away: attached networks first, then the longest prefix."""
        direct = self.attached(server)
        if direct.interface is not None:
            return direct
        address = ipaddress.IPv4Address(server)
        for prefix, via, index in self.routes:
            if address in prefix:
                source = next((own.ip.packed for i, own in self.networks if i == index), None)
                return NextHop() if source is None else NextHop(index, self.macs.get((index, via.packed)), source)
        return NextHop()


def load(path: Path) -> Surroundings:
    """Read a neighbours file. Raises NetworkError naming the file and what is wrong with it."""
    try:
        data = jsontext.loads(files.read(path))
        entries = list(enumerate(data["interfaces"], start=FIRST_INTERFACE))
        interfaces = tuple(_interface(index, entry) for index, entry in entries)
        if not interfaces:
            raise ValueError("at least one interface is needed")
        by_name = {interface.name: interface.index for interface in interfaces}
        return Surroundings(
            interfaces,
            tuple((index, ipaddress.IPv4Interface(text)) for index, entry in entries for text in entry["ip"]),
            {(by_name[n["interface"]], socket.inet_aton(n["ip"])): _mac(n["mac"]) for n in data.get("neighbours", ())},
            tuple(sorted((_route(by_name, r) for r in data.get("routes", ())), key=lambda r: -r[0].prefixlen)),
        )
    except OSError as exc:
        raise NetworkError(f"{path}: {exc.strerror or exc}") from exc
    except KeyError as exc:
        raise NetworkError(f"{path}: {exc} is missing or names no interface of the file") from exc
    except (ValueError, TypeError, AttributeError) as exc:
        raise NetworkError(f"{path}: not a neighbours file: {exc}") from exc


def _interface(index: int, entry: dict[str, Any]) -> Interface:
    addresses = tuple(ipaddress.IPv4Interface(text).ip.packed for text in entry["ip"])
    name, mtu = entry["name"], entry.get("mtu", 1500)
    if type(name) is not str or type(mtu) is not int or not 68 <= mtu <= 1 << 20:
        raise ValueError(f"interface {name!r}: expected a name, and an mtu from 68 on, found {mtu!r}")
    return Interface(index, name, _mac(entry["mac"]), mtu, addresses)


def _route(
    by_name: Mapping[str, int], entry: dict[str, Any]
) -> tuple[ipaddress.IPv4Network, ipaddress.IPv4Address, int]:
    via, prefix, index = ipaddress.IPv4Address(entry["via"]), entry["prefix"], by_name[entry["interface"]]
    return ipaddress.IPv4Network(prefix), via, index


def _mac(text: str) -> bytes:
    if not re.fullmatch("[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}", text):
        raise ValueError(f"{text!r} is not a MAC address")
    return bytes.fromhex(text.replace(":", ""))


def needs(planned: Plan) -> str:
    """What a neighbours file must tell for a plan."""
    servers = sorted({s.address for service in planned.services.values() if service for s in service.servers})
    return (
        "replay needs --neighbours FILE.json: the interface that frames arrive on (name, mac, ip, mtu) and the MAC "
        f"addresses of the servers {', '.join(servers) or '(the plan has none)'}"
    )
