"""The topology of a laboratory, read from a TOML file.

title = "…"                  one line for people
session = "l2_dsr.avi"       the shell session that configures it, beside this file
network = "10.10.10.0/24"    the layer-2 segment of client and engine, and of the servers where there is no router
vip = "10.10.10.100"
protocol = "tcp"             tcp: every server runs nginx; udp: an echo server
port = 80
[client]  address            [engine] name, address            [servers] name = address, at least one
[router]                     only for layer 3: the servers are behind it, on a segment of their own
  address                    on the segment of client and engine, whose default gateway it is
  servers = "10.20.20.1/24"  on the servers' segment, whose default gateway it is

Several engines that share a configuration in etcd, with servers on their segment and the client behind the router:

[engines] name = address     in the place of [engine], at least two
[router]
  address                    on the segment of engines and servers, whose default gateway it is
  clients = "10.30.30.1/24"  on the client's segment, whose default gateway it is
  system = 65000             its autonomous system, where it learns the VIP by BGP
[witness] name, address      only where two engines alone are there: a host with nothing but a member of etcd
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataplane.errors import LabError

EXAMPLES = Path(__file__).parent / "examples"
CLIENT, ENGINE, ROUTER, FAR, SWITCH = "client", "engine", "router", "far", "switch"
"""Names that no server may have: those of other hosts, and `far`, the router's port on the servers' segment."""
PROTOCOLS = ("tcp", "udp")


@dataclass(frozen=True, slots=True)
class Node:
    """One host on the segment."""

    name: str  # of its namespace and of its port on the switch
    address: str  # IPv4, dotted

    @property
    def mac(self) -> str:
        """Its MAC address: locally administered, and readable: 02:00 and the four bytes of its address."""
        return "02:00:" + ipaddress.IPv4Address(self.address).packed.hex(":")


@dataclass(frozen=True, slots=True)
class Router:
    """The host between the engine's segment and another one."""

    near: Node  # its end on the engine's segment
    far: Node  # its end on the other one
    network: ipaddress.IPv4Network  # of the other segment
    system: int = 0  # its autonomous system, 0 = it does not speak BGP


@dataclass(frozen=True, slots=True)
class Topology:
    """A laboratory with one engine: the hosts on its segments, and the VIP's service."""

    title: str  # one line for people
    session: Path  # the shell session that configures it
    network: ipaddress.IPv4Network  # of the segment of client and engine
    vip: str  # IPv4, dotted
    protocol: str  # one of PROTOCOLS
    port: int  # of the service
    engine_name: str
    client: Node
    engine: Node
    servers: tuple[Node, ...]
    router: Router | None = None  # None: one segment, on which direct server return is a matter of layer 2

    @property
    def mode(self) -> str:
        """How the service is forwarded, as `avi-server --mode` names it."""
        return "l3" if self.router else "l2"

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Everybody but the router."""
        return (self.client, *self.forwarders, *self.servers)

    @property
    def forwarders(self) -> tuple[Node, ...]:
        """The hosts of the engines; if there are several, they have the engines' names."""
        return (self.engine,)

    def is_far(self, node: Node) -> bool:
        """Whether the router is between a host and the engine."""
        return self.router is not None and node in self.servers

    def segment(self, node: Node) -> ipaddress.IPv4Network:
        """The network of the segment that a host is on."""
        return self.router.network if self.router and self.is_far(node) else self.network

    def gateway(self, node: Node) -> Node | None:
        """The router's end on a host's segment."""
        if self.router is None:
            return None
        return self.router.far if self.is_far(node) else self.router.near

    @property
    def entry(self) -> Node:
        """The host whose MAC address is the source of requests that arrive at an engine."""
        return self.client

    @property
    def exit(self) -> Node | None:
        """The host whose MAC address is the source of answers that arrive at the client; None: the server."""
        return self.router.near if self.router else None

    def server(self, name: str) -> Node:
        """Find a server by its name or address. Raises LabError that lists the servers."""
        for node in self.servers:
            if name in (node.name, node.address):
                return node
        raise LabError(f"no server {name!r}; there are {', '.join(n.name for n in self.servers)}")


@dataclass(frozen=True, slots=True)
class Group(Topology):
    """A laboratory of several engines that share a configuration. The client is behind the router; `engine` is the
    first engine, on whose host the shell runs."""

    engines: tuple[Node, ...] = ()
    witness: Node | None = None  # a host with a member of etcd alone

    @property
    def mode(self) -> str:
        """Always layer 2: the servers are on the engines' segment."""
        return "l2"

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Everybody but the router."""
        return (self.client, *self.engines, *((self.witness,) if self.witness else ()), *self.servers)

    @property
    def forwarders(self) -> tuple[Node, ...]:
        """The hosts of the engines, which bear their names."""
        return self.engines

    @property
    def members(self) -> tuple[Node, ...]:
        """The hosts that have a member of etcd."""
        return (*self.engines, *((self.witness,) if self.witness else ()))

    def is_far(self, node: Node) -> bool:
        """Whether the router is between a host and the engines."""
        return node is self.client

    @property
    def entry(self) -> Node:
        """The router's end."""
        assert self.router is not None
        return self.router.near

    @property
    def exit(self) -> Node | None:
        """The router's other end."""
        assert self.router is not None
        return self.router.far


def find(example: str) -> Path:
    """The topology file of an example: a path, or the name of one of the examples that ship. Raises LabError."""
    for path in (Path(example), EXAMPLES / f"{example}.toml"):
        if path.is_file():
            return path
    there = ", ".join(sorted(path.stem for path in EXAMPLES.glob("*.toml")))
    raise LabError(f"no example {example!r}; there are {there}; a path to a topology file works too")


def load(path: Path) -> Topology:
    """Read a topology. Raises LabError naming the file and what is wrong in it."""
    try:
        data = tomllib.loads(path.read_text("utf-8"))
        return _topology(data, path)
    except OSError as exc:
        raise LabError(f"{path}: {exc.strerror}") from exc
    except KeyError as exc:
        raise LabError(f"{path}: {exc.args[0]} is missing") from exc
    except (ValueError, TypeError, AttributeError) as exc:
        raise LabError(f"{path}: {exc}") from exc


def _topology(data: Mapping[str, Any], path: Path) -> Topology:
    network = ipaddress.IPv4Network(data["network"])
    servers = tuple(Node(_word(name), address) for name, address in data["servers"].items())
    if not servers:
        raise ValueError("expected at least one server")
    if data["protocol"] not in PROTOCOLS:
        raise ValueError(f"protocol {data['protocol']!r}: expected one of {', '.join(PROTOCOLS)}")
    if not (isinstance(data["port"], int) and 0 < data["port"] < 65536):
        raise ValueError(f"port {data['port']!r}: expected 1 to 65535")
    ipaddress.IPv4Address(data["vip"])
    values: dict[str, Any] = {
        "title": data["title"],
        "session": path.parent / data["session"],
        "network": network,
        "vip": data["vip"],
        "protocol": data["protocol"],
        "port": data["port"],
        "client": Node(CLIENT, data["client"]["address"]),
        "servers": servers,
        "router": _router(data["router"]) if "router" in data else None,
    }
    if "engines" in data:
        topology: Topology = _group(data, values)
    else:
        engine = Node(ENGINE, data["engine"]["address"])
        topology = Topology(**values, engine_name=_engine(data["engine"]["name"]), engine=engine)
    seen: dict[str, str] = {topology.vip: "the VIP"}
    there = [(node, topology.segment(node)) for node in topology.nodes]
    if router := topology.router:
        there += [(router.near, network), (router.far, router.network)]
    for node, segment in there:
        if ipaddress.IPv4Address(node.address) not in segment:
            raise ValueError(f"{node.name}'s address {node.address} is not in {segment}")
        if node.address in seen:
            raise ValueError(f"{node.name} and {seen[node.address]} both have the address {node.address}")
        seen[node.address] = node.name
    return topology


def _group(data: Mapping[str, Any], values: dict[str, Any]) -> Group:
    engines = tuple(Node(_word(name), address) for name, address in data["engines"].items())
    if len(engines) < 2 or "clients" not in data.get("router", ()):
        raise ValueError("expected at least two engines, and a router with clients")
    witness = Node(_word(data["witness"]["name"]), data["witness"]["address"]) if "witness" in data else None
    return Group(**values, engine_name=engines[0].name, engine=engines[0], engines=engines, witness=witness)


def _router(data: Mapping[str, Any]) -> Router:
    far = ipaddress.IPv4Interface(data["clients" if "clients" in data else "servers"])
    return Router(Node(ROUTER, data["address"]), Node(ROUTER, str(far.ip)), far.network, data.get("system", 0))


def _word(name: str) -> str:
    if not (
        name.isascii() and name.isalnum() and len(name) <= 12 and name not in (CLIENT, ENGINE, ROUTER, FAR, SWITCH)
    ):
        raise ValueError(f"host name {name!r}: expected up to 12 letters and digits")
    return name


def _engine(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}", name):
        raise ValueError(f"engine name {name!r}: expected up to 41 letters, digits, '_', '-'")
    return name
