"""How fast the XDP program is: `python -m tests.bench.xdp [--frames N] [--rounds N] [--flows N]`.

Two measurements against a bare redirect, each the best of many, since others use the machine too. Inside: nanoseconds a
frame by BPF_PROG_TEST_RUN, the same frame again and again. On the wire: one core generates UDP frames with random
source ports, client veth → balancer veth → second veth → counting sink, in nanoseconds of the core's time.
"""

from __future__ import annotations

import argparse
import os
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from dataplane import bpf, hashing
from dataplane.bpf import Link, Object, Program
from dataplane.forwarding import UDP, Interface, Pool, Service, ServiceKey, Tables, Target, Vip
from dataplane.xdpdriver import XdpDriver
from dataplane.xdplayout import u32
from tests.netns import Namespace
from tests.packets.cases import frame, udp
from tests.packets.world import VIP, ip, mac
from tests.xdp.decider import KernelDecider

SLOTS = 65537
SOURCE = Path(__file__).parent / "wire.c"
RUNS, REPEAT = 600, 20_000
"""Of test runs: so short that most are not interrupted."""


def put(tables: Tables, first: Interface, second: Interface, server: Callable[[int], bytes]) -> None:
    """A service on ten servers behind the second interface; server: the MAC address of one."""
    addresses = [bytes((10, 0, 1, n)) for n in range(1, 11)]
    table = hashing.build_table([(address, 1) for address in addresses], SLOTS, 1)
    targets = tuple(Target(address, True, server(n), second.index) for n, address in enumerate(addresses))
    for interface in (first, second):
        tables.put_interface(interface)
    tables.put_pool(Pool("pool", 1, table, targets))
    tables.put_service(Service(ServiceKey(ip(VIP), UDP, 53, 53), "vs", "pool", True))
    tables.put_vip(Vip(ip(VIP), True, True))


def bare_redirect(interface: int) -> Program:
    """`return bpf_redirect(interface, 0)`."""
    code = ((0xB7, 1, interface), (0xB7, 2, 0), (0x85, 0, 23), (0x95, 0, 0))
    return Program.load("bare", b"".join(struct.pack("<BBhi", op, register, 0, value) for op, register, value in code))


def inside() -> tuple[int, int]:
    """Nanoseconds a run: of the bare redirect, of the program on its L2 way."""
    decider = KernelDecider()
    try:
        first, second = Interface(1, "lo", mac(1), 1500), Interface(2, "other", mac(2), 1500)
        put(decider.tables, first, second, lambda _: first.mac)  # so that the frame that leaves could come in again
        sent = frame(udp(data=bytes(18)), dst=first.mac)
        assert decider.run(sent).redirected
        with bare_redirect(1) as bare:
            bare_time = min(bare.test_run(sent, repeat=REPEAT).duration for _ in range(RUNS))
        program = decider._program
        return bare_time, min(program.test_run(sent, repeat=REPEAT).duration for _ in range(RUNS))
    finally:
        decider.close()


def on_the_wire(frames: int, rounds: int, flows: int) -> tuple[float, float]:
    """Nanoseconds a frame, everything on the way included: with the bare redirect, with the program."""
    with tempfile.TemporaryDirectory() as folder, Namespace() as client, Namespace() as balancer, Namespace() as sink:
        built = Path(folder) / "wire.o"
        includes = f"-I/usr/include/{os.uname().machine}-linux-gnu"
        command = ["clang", "-O2", "-g", "-target", "bpf", "-mcpu=v3", includes, "-c", str(SOURCE), "-o", str(built)]
        subprocess.run(command, check=True)
        links = f"ip link add b0 type veth peer name c0 netns {client.name}; "
        links += f"ip link add b1 type veth peer name s0 netns {sink.name}; ip link set b0 up; ip link set b1 up"
        balancer.sh(links)
        client.sh("ip link set c0 up")
        sink.sh("ip link set s0 up")
        (b0, b0_mac), (b1, b1_mac) = balancer.link("b0"), balancer.link("b1")
        c0, s0 = client.link("c0")[0], sink.link("s0")[0]
        sent = frame(udp(data=bytes(18)), dst=b0_mac)
        driver = balancer.run(lambda: XdpDriver(f"avi-bench-{os.getpid()}"))
        with Object(built) as loaded:
            try:
                loaded.load()
                generate, bare, count = (loaded.program(name) for name in ("generate", "bare_redirect", "count"))
                loaded.map("frame").update(u32(0), sent.ljust(64, b"\0"))
                loaded.map("data").update(u32(0), u32(flows))
                ways = loaded.map("ways")
                client.run(lambda: ways.update(u32(0), u32(c0)))
                balancer.run(lambda: ways.update(u32(1), u32(b1)))
                ends = [client.run(lambda: Link.create(count, c0, bpf.XDP_FLAGS_DRV_MODE))]
                ends.append(sink.run(lambda: Link.create(count, s0, bpf.XDP_FLAGS_DRV_MODE)))
                interfaces = Interface(b0, "b0", b0_mac, 1500), Interface(b1, "b1", b1_mac, 1500)
                balancer.run(lambda: put(driver, *interfaces, lambda n: mac(0x80 + n)))
                times = client.run(lambda: _rounds(driver, b0, generate, bare, sent, frames, rounds))
                for end in ends:
                    end.close()
                return times
            finally:
                driver.close(keep=False)


def _rounds(
    driver: XdpDriver, index: int, generate: Program, bare: Program, sent: bytes, frames: int, rounds: int
) -> tuple[float, float]:
    best = [float("inf"), float("inf")]
    link, own = driver._links[index], driver._program
    for _ in range(rounds):
        for which, program in enumerate((bare, own)):
            link.update(program)
            generate.run_live(sent, 20_000)
            started = time.thread_time_ns()
            generate.run_live(sent, frames)
            best[which] = min(best[which], (time.thread_time_ns() - started) / frames)
    return best[0], best[1]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.xdp")
    parser.add_argument("--frames", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--flows", type=int, default=60_000)
    options = parser.parse_args()
    for what, (bare, program) in (
        ("inside", inside()),
        ("on the wire", on_the_wire(options.frames, options.rounds, options.flows)),
    ):
        print(f"{what:12} bare {bare:6.1f} ns  L2 {program:6.1f} ns  more {program - bare:5.1f} ns", end="")
        print(f"  rate {1e3 / program:.2f} Mpps, {bare / program:.3f} of bare" if what == "on the wire" else "")


if __name__ == "__main__":
    main()
