"""How fast the pcap driver is: `python -m tests.bench.pcap [--rounds N] [--scale S]`.

The driver, forwarding 64-byte frames of 1,000 UDP flows by layer 2 and by layer 3 with every step on and all slots
stable, beside a Python loop that receives on one raw packet socket and sends the same bytes out of another. One core
generates more than either can take: client veth → balancer veth → (the driver's thread, or the loop's, on the other
core) → second veth → counting sink. What arrives at the sink in a second is the rate.
"""

from __future__ import annotations

import argparse
import os
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from dataplane import bpf, hashing, packetsocket, pcap, plan
from dataplane.bpf import Link, Map, Object, Program
from dataplane.forwarding import UDP, Interface, Pool, Service, ServiceKey, Target, Vip
from dataplane.xdplayout import u32
from tests.netns import Namespace
from tests.packets.cases import frame, udp
from tests.packets.world import VIP, ip, mac

from .measure import FULL, Effort, Samples, Unmeasurable, interleaved

SLOTS = 65537
FLOWS = 1000
SOURCE = Path(__file__).parent / "wire.c"
SECONDS = 0.8
"""Of one repetition in a full run."""
GENERATED = 100_000
"""Frames of one call of the generator: some tens of milliseconds."""
GENERATOR, WORKER = 0, 1
"""The processors."""
SO_RCVTIMEO = 20


def forwarding(effort: Effort) -> Iterator[Samples]:
    """Lines "L2" and "L3" (IP-in-IP): the driver's rate against the copying loop's, measured in the same rounds.

    Raises Unmeasurable on a machine of one processor.
    """
    if len(os.sched_getaffinity(0)) < 2:
        raise Unmeasurable("generator and driver need a processor each")
    seconds = max(0.05, SECONDS * effort.scale)
    with topology() as wire:
        rates = interleaved(
            effort.rounds,
            copy=lambda: wire.measured(wire.copying(), seconds),
            l2=lambda: wire.measured(wire.driver(plan.L2), seconds),
            l3=lambda: wire.measured(wire.driver(plan.L3_IPIP), seconds),
        )
    for name, way in (("L2", "l2"), ("L3", "l3")):
        yield Samples(
            name, "Mpps", rates[way], rates["copy"], "Python on raw packet sockets that only copies",
            f"64-byte frames, {FLOWS:,} flows; frames that arrived in a second of wall time",
        )  # fmt: skip


@dataclass
class Wire:
    """The measurement's namespaces and programs, ready. offered: frames that the generator made."""

    client: Namespace
    balancer: Namespace
    interfaces: tuple[Interface, Interface]
    generate: Program
    arrived: Map
    sent: bytes

    def measured(self, worker: AbstractContextManager[None], seconds: float) -> float:
        """Millions of frames that arrive in a second while a worker (a context manager) forwards."""
        with worker:
            self._generate(0.1)
            before, started = self._count(), time.monotonic()
            self._generate(seconds)
            return (self._count() - before) / (time.monotonic() - started) / 1e6

    def _generate(self, seconds: float) -> None:
        """Offer frames without a pause: the kernel rests between two runs of a generator, so there are two."""

        def body() -> None:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                self.generate.run_live(self.sent, GENERATED)

        with on_processor(GENERATOR):
            threads = [threading.Thread(target=self.client.run, args=(body,)) for _ in range(2)]
            for thread in threads:
                thread.start()
        for thread in threads:
            thread.join()

    def _count(self) -> int:
        return sum(memoryview(self.arrived.lookup(u32(0)) or b"").cast("Q"))

    @contextmanager
    def driver(self, mode: str) -> Iterator[None]:
        """The pcap driver, its thread on the worker's processor."""
        with on_processor(WORKER):
            running = self.balancer.run(lambda: pcap.PcapDriver(f"bench-{os.getpid()}"))
        try:
            self.balancer.run(lambda: put(running, *self.interfaces, mode))
            yield
        finally:
            self.balancer.run(lambda: running.close(keep=False))

    @contextmanager
    def copying(self) -> Iterator[None]:
        """The loop to compare with, on the worker's processor."""
        ending = threading.Event()
        sockets = self.balancer.run(lambda: [raw(interface) for interface in self.interfaces])
        with on_processor(WORKER):
            thread = threading.Thread(target=copy, args=(*sockets, ending))
            thread.start()
        try:
            yield
        finally:
            ending.set()
            thread.join()
            for one in sockets:
                one.close()


def raw(interface: Interface) -> socket.socket:
    """A raw packet socket of an interface, as a plain forwarder opens it."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    made.setsockopt(packetsocket.SOL_PACKET, packetsocket.PACKET_IGNORE_OUTGOING, 1)
    made.setsockopt(socket.SOL_SOCKET, SO_RCVTIMEO, struct.pack("@ll", 0, 50_000))
    made.bind((interface.name, packetsocket.ETH_P_ALL))
    return made


def copy(source: socket.socket, target: socket.socket, ending: threading.Event) -> None:
    """Receive and send, nothing else: two system calls a frame, no object made but the slice."""
    buffer = bytearray(2048)
    view = memoryview(buffer)
    receive, send = source.recv_into, target.send
    while True:
        try:
            while True:
                send(view[: receive(buffer)])
        except BlockingIOError:
            if ending.is_set():
                return


def put(driver: pcap.PcapDriver, first: Interface, second: Interface, mode: str) -> None:
    """A service on ten servers behind the second interface."""
    addresses = [bytes((10, 0, 1, n)) for n in range(1, 11)]
    table = hashing.build_table([(address, 1) for address in addresses], SLOTS, 1)
    targets = tuple(
        Target(address, True, mac(0x80 + n), second.index, ip("10.0.1.254")) for n, address in enumerate(addresses)
    )
    for interface in (first, second):
        driver.put_interface(interface)
    driver.put_addresses(frozenset((ip("10.0.0.1"), ip("10.0.1.254"))))
    driver.put_pool(Pool("pool", 1, table, targets, mode))
    driver.put_service(Service(ServiceKey(ip(VIP), UDP, 53, 53), "vs", "pool", True))
    driver.put_vip(Vip(ip(VIP), True, True))


@contextmanager
def on_processor(number: int) -> Iterator[None]:
    """This thread, and the threads it starts meanwhile, run on one processor."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {number})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def passing() -> Program:
    """`return XDP_PASS`: a veth takes redirected frames only beside a program."""
    code = ((0xB7, 0, bpf.XDP_PASS), (0x95, 0, 0))
    return Program.load(
        "passing", b"".join(struct.pack("<BBhi", op, register, 0, value) for op, register, value in code)
    )


@contextmanager
def topology() -> Iterator[Wire]:
    """Client, balancer and sink, with the generator and the counting sink loaded."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        client, balancer, sink = (stack.enter_context(Namespace()) for _ in range(3))
        built = Path(folder) / "wire.o"
        includes = f"-I/usr/include/{os.uname().machine}-linux-gnu"
        command = ["clang", "-O2", "-g", "-target", "bpf", "-mcpu=v3", includes, "-c", str(SOURCE), "-o", str(built)]
        subprocess.run(command, check=True)
        quiet = "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1; "
        for there in (client, balancer, sink):
            there.sh(quiet)
        balancer.sh(
            f"ip link add b0 type veth peer name c0 netns {client.name}; "
            f"ip link add b1 type veth peer name s0 netns {sink.name}; ip link set b0 up; ip link set b1 up"
        )
        client.sh("ip link set c0 up")
        sink.sh("ip link set s0 up")
        (b0, b0_mac), (b1, b1_mac) = balancer.link("b0"), balancer.link("b1")
        c0, s0 = client.link("c0")[0], sink.link("s0")[0]
        loaded = stack.enter_context(Object(built))
        loaded.load()
        count = loaded.program("count")
        sent = frame(udp(data=bytes(18)), dst=b0_mac)
        loaded.map("frame").update(u32(0), sent.ljust(64, b"\0"))
        loaded.map("data").update(u32(0), u32(FLOWS))
        ways = loaded.map("ways")
        client.run(lambda: ways.update(u32(0), u32(c0)))
        through = stack.enter_context(passing())
        for there, program, index in ((client, count, c0), (balancer, through, b0), (sink, count, s0)):
            link = there.run(lambda p=program, i=index: Link.create(p, i, bpf.XDP_FLAGS_DRV_MODE))
            stack.callback(link.close)
        interfaces = Interface(b0, "b0", b0_mac, 1500), Interface(b1, "b1", b1_mac, 1500)
        yield Wire(client, balancer, interfaces, loaded.program("generate"), loaded.map("arrived"), sent)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.pcap")
    parser.add_argument("--rounds", type=int, default=FULL.rounds)
    parser.add_argument("--scale", type=float, default=FULL.scale)
    options = parser.parse_args()
    for line in forwarding(Effort(options.rounds, options.scale)):
        low, high = line.spread
        rates = " ".join(f"{1e3 * value:.1f}" for value in line.values)
        others = " ".join(f"{1e3 * value:.1f}" for value in line.against)
        print(f"{line.name}: {line.median:.2f} of the copying loop ({low:.2f} to {high:.2f})")
        print(f"  driver, kpps: {rates}\n  loop, kpps:   {others}")


if __name__ == "__main__":
    main()
