"""A balancer's namespace and a segment's, joined by veth pairs: v0, v1 in the one, p0, p1 in the other."""

from __future__ import annotations

import os
import select
import socket
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from dataplane.bpf.bpffs import BPFFS
from dataplane.drivers.xdp import attachment
from dataplane.drivers.xdp.driver import XdpDriver
from dataplane.forwarding import maglev
from dataplane.forwarding.driver import Tables
from dataplane.forwarding.values import UDP, Interface, Pool, Service, ServiceKey, Target, Vip
from dataplane.plan import L2
from tests.netns import Namespace
from tests.packets.cases import frame, udp
from tests.packets.world import VIP, ip, mac

SERVERS = {"10.0.0.11": (0, mac(0x11)), "10.0.0.12": (1, mac(0x12))}
"""Interface and MAC address by address."""
OWN = ip("10.0.0.1")
DEADLINE = 10.0
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h
_ETH_P_ALL = 3


def instance() -> str:
    """A name that no other instance has."""
    return f"avi-test-{os.getpid()}-{uuid.uuid4().hex[:6]}"


def pin_folder(name: str) -> Path:
    """Where an instance's pins are."""
    return BPFFS / "avi-se" / name


class Wire(NamedTuple):
    """sockets: one on each of p0, p1."""

    balancer: Namespace
    segment: Namespace
    interfaces: tuple[Interface, Interface]
    sockets: tuple[socket.socket, socket.socket]

    def start(self, name: str) -> XdpDriver:
        """A driver in the balancer's namespace."""
        return self.balancer.run(lambda: XdpDriver(name))

    def put(self, driver: XdpDriver, *servers: str, mode: str = L2) -> None:
        """A UDP service on port 53 of the VIP, on these servers."""
        self.balancer.run(lambda: put(driver, self.interfaces, *(servers or SERVERS), mode=mode))

    def pool(self, *servers: str, seed: int = 1) -> Pool:
        """The service's pool, of these servers."""
        return pool(self.interfaces, *servers, seed=seed)

    def query(self, sport: int, data: bytes = b"?") -> bytes:
        """A frame to the VIP, received on v0."""
        return frame(udp(sport=sport, data=data), dst=self.interfaces[0].mac)

    def send(self, sent: bytes) -> None:
        self.sockets[0].send(sent)

    def receive(self, wanted: int, *, at: int | None = None) -> list[bytes]:
        """Frames for the servers, or for the client (ARP), until so many have come. Raises TimeoutError."""
        found: list[bytes] = []
        destinations = {mac for _, mac in SERVERS.values()} | {mac(0x77)}
        sockets = [self.sockets[at]] if at is not None else list(self.sockets)
        until = time.monotonic() + DEADLINE
        while len(found) < wanted:
            ready, _, _ = select.select(sockets, [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise TimeoutError(f"{len(found)} of {wanted} frames")
            for one in ready:
                received = one.recv(1 << 16)
                if received[:6] in destinations:
                    found.append(received)
        return found


def put(tables: Tables, interfaces: Sequence[Interface], *servers: str, mode: str = L2) -> None:
    """A UDP service on port 53 of the VIP, on these servers."""
    for interface in interfaces:
        tables.put_interface(interface)
    tables.put_addresses(frozenset({OWN}))
    tables.put_pool(pool(interfaces, *servers, mode=mode))
    tables.put_service(Service(ServiceKey(ip(VIP), UDP, 53, 53), "vs", "pool", True))
    tables.put_vip(Vip(ip(VIP), True, True))


def pool(interfaces: Sequence[Interface], *servers: str, seed: int = 1, mode: str = L2) -> Pool:
    """The service's pool, of these servers."""
    table = maglev.build_table([(ip(s), 1) for s in servers], 251, seed)
    targets = tuple(Target(ip(s), True, SERVERS[s][1], interfaces[SERVERS[s][0]].index, OWN) for s in servers)
    return Pool("pool", seed, table, targets, mode)


@contextmanager
def wire(*, mtu: int = 1500, generic: Sequence[int] = ()) -> Iterator[Wire]:
    """generic: the numbers of the balancer's interfaces that have no native XDP."""
    with ExitStack() as stack:
        balancer, segment = stack.enter_context(Namespace()), stack.enter_context(Namespace())
        pairs = [_pair(balancer, segment, n, mtu, generic=n in generic) for n in (0, 1)]
        for _, opened in pairs:
            stack.enter_context(opened)
        (first, at_first), (second, at_second) = pairs
        yield Wire(balancer, segment, (first, second), (at_first, at_second))


def _pair(
    balancer: Namespace, segment: Namespace, n: int, mtu: int, *, generic: bool
) -> tuple[Interface, socket.socket]:
    mine, peer = f"v{n}", f"p{n}"
    queues = 2 if generic else 1  # a veth runs no program with fewer queues than its far end sends by
    far = f"peer name {peer} mtu {mtu} numtxqueues {queues} netns {segment.name}"
    link = f"ip link add {mine} mtu {mtu} numtxqueues 1 type veth {far}"
    balancer.sh(f"{link}; ip link set {mine} up")
    segment.sh(f"ip link set {peer} up")
    segment.run(lambda: attachment.attach_pass(peer))
    opened = segment.run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
    opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 1 << 22)
    opened.bind((peer, _ETH_P_ALL))
    index, address = balancer.link(mine)
    return Interface(index, mine, address, mtu), opened
