"""The wire of the measurements: client veth → balancer veth → second veth → counting sink, frames made by BPF.

client (generator) ── c0 ═ b0 ── balancer ── b1 ═ s0 ── sink
"""

from __future__ import annotations

import os
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from dataplane.bpf import maps
from dataplane.bpf.links import XDP_FLAGS_DRV_MODE, Link
from dataplane.bpf.maps import Map
from dataplane.bpf.objects import Object
from dataplane.bpf.programs import Program
from dataplane.forwarding import rewrite
from dataplane.forwarding.values import TCP, UDP, Interface
from tests.netns import Namespace

from .measure import Unmeasurable

SOURCE = Path(__file__).parent / "generator.c"
FIRST_CLIENT, FIRST_VIP = bytes((172, 16, 0, 0)), bytes((10, 2, 0, 0))
"""Of flow 0 and of service 0: the last 16 bits count flows by 65,536 and services."""
PORT = 80
FRAME = 60
"""Bytes without the check sequence: 64 on a wire."""
OFFERED = 100_000
"""Frames of one call of the generator where it does not count them: some tens of milliseconds."""
ESTABLISHED, NEW, FLOOD = 1, 2, 3
"""Classes of TCP frames."""
SYN, ACK = 0x02, 0x10


def frame(
    destination: bytes,
    protocol: int = UDP,
    kind: int = 0,
    flags: int = ACK,
    client: bytes = FIRST_CLIENT,
    *,
    df: bool = False,
) -> bytes:
    """A frame of flow 0 to service 0. destination: MAC address; kind: class of a TCP frame; df: nobody cuts it up."""
    if protocol == TCP:
        layer4 = struct.pack("!HHIIBBHHH", 0, PORT, kind, 0, 0x50, flags, 100, 0, 0) + bytes(6)
    else:
        layer4 = struct.pack("!HHHH", 0, PORT, FRAME - 34, 0) + bytes(FRAME - 42)
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, FRAME - 14, 0, df << 14, 64, protocol, 0, client, FIRST_VIP)
    checksum = rewrite.checksum(header).to_bytes(2, "big")
    return destination + b"\2\0\0\0\xff\x77\x08\0" + header[:10] + checksum + header[12:] + layer4


@contextmanager
def built(source: Path = SOURCE) -> Iterator[Object]:
    """A BPF source of the bench, generator.c unless named, compiled and loaded. Raises Unmeasurable without clang."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "built.o"
        includes = f"-I/usr/include/{os.uname().machine}-linux-gnu"
        command = ["clang", "-O2", "-g", "-target", "bpf", "-mcpu=v3", includes, "-c", str(source), "-o", str(path)]
        try:
            subprocess.run(command, check=True)
        except FileNotFoundError as exc:
            raise Unmeasurable("clang is not installed") from exc
        with Object(path) as loaded:
            loaded.load()
            yield loaded


@dataclass
class Traffic:
    """What the generator sends. data: memory of generator.c; frame: of flow 0."""

    data: Map
    frame: bytes = bytes(FRAME)

    def send(
        self,
        first: bytes,
        *,
        flows: int = 1,
        services: int = 1,
        random: bool = True,
        start: int = 0,
        whole: bool = False,
    ) -> None:
        """Frames like the first one, of so many flows; not random: one flow after the other; whole: flows of TCP as
        they are, a SYN and nine ACKs, a thousand at a time."""
        unsummed = first[14:24] + b"\0\0" + first[26:28] + b"\0\0" + first[30:32] + b"\0\0"
        total = sum(struct.unpack("=10H", unsummed))
        total = (total & 0xFFFF) + (total >> 16)
        self.frame = first
        words = struct.pack("=7I", flows, services, total, random and not whole, start, whole, 0)
        self.data.update(bytes(4), first.ljust(64, b"\0") + words)

    def choose(self, which: int) -> None:
        """The program that `again` runs."""
        held = self.data.lookup(bytes(4)) or b""
        self.data.update(bytes(4), held[:-4] + which.to_bytes(4, "little"))


@dataclass
class Wire:
    """The three namespaces and what is in them. first, second: the balancer's interfaces; queues: of each veth."""

    client: Namespace
    balancer: Namespace
    sink: Namespace
    first: Interface
    second: Interface
    traffic: Traffic
    queues: int
    _generate: Program
    bare: Program
    """Redirects every frame to the sink."""
    bare_transmit: Program
    """Sends every frame back as it came."""
    _arrived: Map
    loaded: Object
    """Of generator.c."""
    sink_end: Link
    """Of the sink's program, which counts."""

    def push(self, frames: int, processors: Sequence[int] = (0,)) -> float:
        """Send so many frames from each of some processors at the same time. Returns seconds of the busiest one's time:
        all that happens to a frame happens in its generator's thread, and at the end the kernel lets that thread wait
        some 30 ms for its pages, which is nobody's work. The threads run before other programs (SCHED_FIFO, sched(7)):
        after each switch the caches are filled anew, and the more a program reads, the more it loses by that."""
        sent = self.traffic.frame
        times: list[float] = []

        def one(processor: int) -> None:
            os.sched_setaffinity(0, {processor})
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
            started = time.thread_time()
            self._generate.run_live(sent, frames)
            times.append(time.thread_time() - started)

        def all_of_them() -> float:
            threads = [Thread(target=one, args=(processor,)) for processor in processors]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return max(times)

        return self.client.run(all_of_them)

    def offer(self, seconds: float, processor: int = 0) -> None:
        """Send from one processor without a pause: the kernel rests between two runs of a generator, so there are
        two."""

        def body() -> None:
            until = time.monotonic() + seconds
            os.sched_setaffinity(0, {processor})
            while time.monotonic() < until:
                self._generate.run_live(self.traffic.frame, OFFERED)

        def both() -> None:
            threads = [Thread(target=body) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        self.client.run(both)

    def rate(self, frames: int, processors: Sequence[int] = (0,)) -> float:
        """Mpps that arrive."""
        before = sum(self.arrived().values())
        seconds = self.push(frames, processors)
        return (sum(self.arrived().values()) - before) / seconds / 1e6

    def arrived(self) -> dict[tuple[int, int], int]:
        """Frames that have arrived, by class and last byte of the MAC address. Those in flight are waited for."""
        before: bytes = b""
        while (read := self._arrived.read(self._arrived.max_entries)) != before:
            before = read
            time.sleep(0.0005)
        numbers, cpus = memoryview(read).cast("Q"), maps.possible_cpus()
        counts = [sum(numbers[at : at + cpus]) for at in range(0, len(numbers), cpus)]
        return {divmod(key, 256): number for key, number in enumerate(counts) if number}


@contextmanager
def wire(queues: int = 1) -> Iterator[Wire]:
    """The wire, with nothing on the balancer's interfaces."""
    with ExitStack() as stack:
        loaded = stack.enter_context(built())
        client, balancer, sink = (stack.enter_context(Namespace()) for _ in range(3))
        both = f"numrxqueues {queues} numtxqueues {queues}"
        balancer.sh(
            f"ip link add b0 {both} type veth peer name c0 {both} netns {client.name}; "
            f"ip link add b1 {both} type veth peer name s0 {both} netns {sink.name}; "
            "ip link set b0 up; ip link set b1 up"
        )
        client.sh("ip link set c0 up")
        sink.sh("ip link set s0 up")
        (b0, b0_mac), (b1, b1_mac) = balancer.link("b0"), balancer.link("b1")
        programs = {name: loaded.program(name) for name in ("generate", "bare_redirect", "empty", "count")}
        for program in programs.values():
            stack.callback(program.close)
        ports, count = loaded.map("ports"), programs["count"]
        client.run(lambda: ports.update(bytes(4), client.link("c0")[0].to_bytes(4, "little")))
        balancer.run(lambda: ports.update(b"\1\0\0\0", b1.to_bytes(4, "little")))
        ends = []
        for there, name in ((client, "c0"), (sink, "s0")):
            ends.append(there.run(lambda there=there, name=name: attach(there, name, count)))  # type: ignore[misc]
            stack.callback(ends[-1].close)
        interfaces = Interface(b0, "b0", b0_mac, 1500), Interface(b1, "b1", b1_mac, 1500)
        traffic = Traffic(loaded.map("data"))
        yield Wire(
            client, balancer, sink, *interfaces, traffic, queues, programs["generate"], programs["bare_redirect"],
            programs["empty"], loaded.map("arrived"), loaded, ends[-1],
        )  # fmt: skip


def attach(there: Namespace, name: str, program: Program) -> Link:
    """The program on an interface of the namespace this runs in."""
    return Link.create(program, there.link(name)[0], XDP_FLAGS_DRV_MODE)
