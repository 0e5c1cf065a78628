"""The network of a laboratory: one namespace for each host, one bridge for each segment.

Every host has one interface, eth0. The switch is a bridge in its own namespace; its ports have the hosts' names. Hosts
behind a router are on a second bridge. The router has two interfaces: eth0 on the first bridge, eth1 on the second.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network

from dataplane.lab.namespaces import Namespace, call
from dataplane.lab.topology import FAR, ROUTER, SWITCH, Node, Router, Topology

BRIDGE, FAR_BRIDGE = "br0", "br1"


class Segments:
    """The namespaces of a topology and what connects them. prefix: what the namespaces' names begin with."""

    def __init__(self, topology: Topology, prefix: str) -> None:
        self._topology = topology
        self.switch = Namespace(f"{prefix}{SWITCH}")
        self.hosts = {node.name: Namespace(f"{prefix}{node.name}") for node in topology.nodes}
        self.router = Namespace(f"{prefix}{ROUTER}") if topology.router else None

    def create(self) -> None:
        """Make everything. Raises LabError."""
        topology = self._topology
        quiet = "for i in all default; do echo 1 > /proc/sys/net/ipv6/conf/$i/disable_ipv6; done"
        for space in (self.switch, *self.hosts.values(), *((self.router,) if self.router else ())):
            space.create()
            space.call("sh", "-c", f"test ! -d /proc/sys/net/ipv6 || {quiet}")
        _ip(self.switch, self._switch_lines())
        if self.router and topology.router:
            self._make_router(self.router, topology.router)
        for node in topology.nodes:
            _ip(self.hosts[node.name], _host_lines("eth0", node, topology.segment(node)))
            if gateway := topology.gateway(node):
                _ip(self.hosts[node.name], [f"route add default via {gateway.address}"])
            self._send_whole(self.hosts[node.name], "eth0", node.name)

    def _make_router(self, space: Namespace, router: Router) -> None:
        space.call("sysctl", "-qw", "net.ipv4.ip_forward=1")
        _ip(space, _host_lines("eth0", router.near, self._topology.network))
        _ip(space, _host_lines("eth1", router.far, router.network))
        self._send_whole(space, "eth0", ROUTER)
        self._send_whole(space, "eth1", FAR)

    def _send_whole(self, space: Namespace, link: str, port: str) -> None:
        """Switch off checksum offload: XDP forwards a frame with the checksum that its sender left unfinished."""
        for where, name in ((space, link), (self.switch, port)):
            where.call("ethtool", "-K", name, "tx", "off")

    def _switch_lines(self) -> list[str]:
        router = self._topology.router
        lines = [_bridge(BRIDGE), *([_bridge(FAR_BRIDGE)] if router else ())]
        ports = [
            (
                node.name,
                node,
                self.hosts[node.name],
                "eth0",
                FAR_BRIDGE if self._topology.is_far(node) else BRIDGE,
            )
            for node in self._topology.nodes
        ]
        if router and self.router:
            ports += [
                (ROUTER, router.near, self.router, "eth0", BRIDGE),
                (FAR, router.far, self.router, "eth1", FAR_BRIDGE),
            ]
        for port, node, space, link, bridge in ports:
            lines.append(f"link add {port} type veth peer name {link} address {node.mac} netns {space.name}")
            lines.append(f"link set {port} master {bridge} up")
        return [*lines, f"link set {BRIDGE} up", *([f"link set {FAR_BRIDGE} up"] if router else ())]


def _ip(space: Namespace, lines: Iterable[str]) -> None:
    call("ip", "-n", space.name, "-batch", "-", text="\n".join(lines) + "\n")


def _bridge(name: str) -> str:
    return f"link add {name} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"


def _host_lines(link: str, node: Node, network: IPv4Network) -> list[str]:
    return ["link set lo up", f"addr add {node.address}/{network.prefixlen} dev {link}", f"link set {link} up"]
