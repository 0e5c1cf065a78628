"""A path of direct server return as short as it can be: client ─veth─ middle ─veth─ each server, and answers that go
straight back over a veth pair between server and client. In the middle may be the XDP driver, a bridge, or nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

from dataplane.drivers.xdp import attachment
from dataplane.drivers.xdp.driver import XdpDriver
from dataplane.forwarding import maglev as hashing
from dataplane.forwarding.values import TCP, UDP, Interface, Pool, Service, ServiceKey, Target, Vip
from tests.netns import Namespace
from tests.packets.world import ip

CLIENT, VIP, PORT = "10.8.0.2", "10.8.0.100", 80
SLOTS = 65537
QUEUES = os.cpu_count() or 1


@dataclass(frozen=True)
class Path:
    """Namespaces of a path that stands. Server n has the VIP, and on the pair to the client the address direct(n)."""

    client: Namespace
    servers: Sequence[Namespace]


def direct(number: int) -> str:
    """The address at which the client reaches a server with nothing in between."""
    return f"10.8.{number + 1}.2"


Middle = Callable[[Namespace, Sequence[bytes]], AbstractContextManager[bytes]]
"""Has a namespace forward what comes in on in0 out of out0, out1 …, to servers with these MAC addresses. Gives the MAC
address that the client sends to."""


@contextmanager
def standing(middle: Middle | None, servers: int = 1) -> Iterator[Path]:
    """Make a path. Without a middle the VIP is at the first server, over the pair that has the answers."""
    with ExitStack() as stack:
        client, between = stack.enter_context(Namespace()), stack.enter_context(Namespace())
        path = Path(client, [stack.enter_context(Namespace()) for _ in range(servers)])
        for host in (client, *path.servers):
            host.sh("sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0")
        client.sh(f"ip address add {CLIENT}/32 dev lo")
        for number, server in enumerate(path.servers):
            _answers(client, server, number)
        if middle is None:
            client.sh(f"ip route add {VIP} via {direct(0)} src {CLIENT}")
            yield path
            return
        macs = []
        for number, server in enumerate(path.servers):
            _pair(between, f"out{number}", server, "in0")
            macs.append(server.link("in0")[1])
            if (
                middle is balanced
            ):  # a veth takes redirected frames only while it has a program; the bridge is spared it
                server.run(lambda: attachment.attach_pass("in0"))
        _pair(between, "in0", client, "out0")
        client.sh(f"ip route add {VIP} dev out0 src {CLIENT}; {_whole('out0')}")
        first = stack.enter_context(middle(between, macs))
        client.sh(f"ip neigh replace {VIP} dev out0 lladdr {first.hex(':')} nud permanent")
        yield path


def _pair(here: Namespace, name: str, there: Namespace, peer: str) -> None:
    """A veth pair that is up, with a queue a processor, as a network card has."""
    queues = f"numtxqueues {QUEUES} numrxqueues {QUEUES}"
    here.sh(f"ip link add {name} {queues} type veth peer name {peer} {queues} netns {there.name}")
    here.sh(f"ip link set {name} up")
    there.sh(f"ip link set {peer} up")


def _answers(client: Namespace, server: Namespace, number: int) -> None:
    """The pair between client and server."""
    near, name = direct(number).removesuffix(".2") + ".1", f"back{number}"
    _pair(client, name, server, "back")
    client.sh(f"ip address add {near}/24 dev {name}; {_whole(name)}")
    server.sh(f"ip address add {direct(number)}/24 dev back; {_whole('back')}")
    server.sh(f"ip address add {VIP}/32 dev lo; ip route add {CLIENT} via {near} src {VIP}")


def _whole(link: str) -> str:
    """XDP forwards frames with the checksums that their sender left in them: here nobody leaves one to the hardware."""
    return f"ethtool -K {link} tx off >/dev/null"


@contextmanager
def bridged(between: Namespace, servers: Sequence[bytes]) -> Iterator[bytes]:
    """A Linux bridge that knows the first server's port; no packet filter in it."""
    between.sh("sysctl -qw net.bridge.bridge-nf-call-iptables=0 2>/dev/null || true")
    between.sh("ip link add name br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0; ip link set br0 up")
    between.sh("ip link set in0 master br0; ip link set out0 master br0")
    between.sh(f"bridge fdb replace {servers[0].hex(':')} dev out0 master static")
    yield servers[0]


@contextmanager
def balanced(between: Namespace, servers: Sequence[bytes]) -> Iterator[bytes]:
    """The XDP driver, with a TCP and a UDP service on port PORT of the VIP and one pool of all servers."""
    links = {name: between.link(name) for name in ("in0", *(f"out{number}" for number in range(len(servers))))}
    driver = between.run(lambda: XdpDriver(f"avi-bench-{os.getpid()}"))

    def put() -> None:
        for name, (index, mac) in links.items():
            driver.put_interface(Interface(index, name, mac, 1500))
        addresses = [ip(direct(number)) for number in range(len(servers))]
        table = hashing.build_table([(address, 1) for address in addresses], SLOTS, 1)
        egress = (links[f"out{number}"][0] for number in range(len(servers)))
        targets = zip(addresses, servers, egress, strict=True)
        driver.put_pool(
            Pool("pool", 1, table, tuple(Target(address, True, mac, link) for address, mac, link in targets))
        )
        for protocol in (TCP, UDP):
            driver.put_service(Service(ServiceKey(ip(VIP), protocol, PORT, PORT), f"vs-{protocol}", "pool", True))
        driver.put_vip(Vip(ip(VIP), True, True))

    try:
        between.run(put)
        yield links["in0"][1]
    finally:
        driver.close(keep=False)
