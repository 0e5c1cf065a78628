"""Layer-2 direct server return on one wire and one core, by XDP and by what else Linux has for it.

client veth → balancer veth → (what forwards) → second veth → counting sink, with the generator and the sink of wire.c.
Rates are of frames that arrived, in wall time, the processor pinned: what is dropped on the way does not count.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from dataplane import bpf
from dataplane.bpf import Link, Object
from dataplane.forwarding import Interface
from dataplane.xdpdriver import XdpDriver
from dataplane.xdplayout import u32
from tests.netns import Namespace
from tests.packets.cases import frame, udp
from tests.packets.world import VIP, mac

from .measure import Effort, Samples, Unmeasurable, interleaved
from .xdp import SOURCE, put

PASS = Path(__file__).parent / "pass.c"
FLOWS, SERVERS, CPU = 1000, 10, 0
FRAMES = 600_000
"""Of one repetition."""
NFTABLES = "nftables netdev jhash + fwd"


def forwarding(effort: Effort) -> Iterator[Samples]:
    """Line "XDP": the driver against nftables; "L2 against bare": against a redirect that looks nothing up; others to
    compare with. Raises Unmeasurable where nftables cannot do it."""
    frames = effort.times(FRAMES, 5000)
    os.sched_setaffinity(0, {CPU})
    with tempfile.TemporaryDirectory() as folder, Namespace() as client, Namespace() as balancer, Namespace() as sink:
        wire, passing = (Path(folder) / source.with_suffix(".o").name for source in (SOURCE, PASS))
        includes = f"-I/usr/include/{os.uname().machine}-linux-gnu"
        for source, built in ((SOURCE, wire), (PASS, passing)):
            command = [
                "clang",
                "-O2",
                "-g",
                "-target",
                "bpf",
                "-mcpu=v3",
                includes,
                "-c",
                str(source),
                "-o",
                str(built),
            ]
            subprocess.run(command, check=True)
        balancer.sh(f"ip link add b0 type veth peer name c0 netns {client.name}; ip link set b0 up")
        balancer.sh(f"ip link add b1 type veth peer name s0 netns {sink.name}; ip link set b1 up")
        balancer.sh("sysctl -qw net.bridge.bridge-nf-call-iptables=0 2>/dev/null || true")
        balancer.sh("ip link add name br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0; ip link set br0 up")
        client.sh("ip link set c0 up")
        sink.sh("ip link set s0 up")
        (b0, b0_mac), (b1, b1_mac) = balancer.link("b0"), balancer.link("b1")
        c0, s0 = client.link("c0")[0], sink.link("s0")[0]
        to_vip = frame(udp(data=bytes(18)), dst=b0_mac)
        to_server = frame(udp(data=bytes(18)), dst=mac(0x81))
        driver = balancer.run(lambda: XdpDriver(f"avi-bench-{os.getpid()}"))
        with Object(wire) as loaded, Object(passing) as second:
            try:
                loaded.load()
                second.load()
                pass_on = second.program("pass_on")
                generate, bare, count = (loaded.program(name) for name in ("generate", "bare_redirect", "count"))
                loaded.map("data").update(u32(0), u32(FLOWS))
                client.run(lambda: loaded.map("ways").update(u32(0), u32(c0)))
                balancer.run(lambda: loaded.map("ways").update(u32(1), u32(b1)))
                ends = [
                    client.run(lambda: Link.create(count, c0, bpf.XDP_FLAGS_DRV_MODE)),
                    sink.run(lambda: Link.create(count, s0, bpf.XDP_FLAGS_DRV_MODE)),
                ]
                interfaces = Interface(b0, "b0", b0_mac, 1500), Interface(b1, "b1", b1_mac, 1500)
                balancer.run(lambda: put(driver, *interfaces, lambda n: mac(0x80 + n)))
                own, link, arrived = driver._program, driver._links[b0], loaded.map("arrived")

                def total() -> int:
                    value = arrived.lookup(u32(0))
                    assert value is not None
                    return sum(int.from_bytes(value[n : n + 8], "little") for n in range(0, len(value), 8))

                def run(sent: bytes) -> float:
                    loaded.map("frame").update(u32(0), sent.ljust(64, b"\0"))
                    client.run(lambda: generate.run_live(sent, max(frames // 20, 1000)))
                    before, begun = total(), time.perf_counter()
                    client.run(lambda: generate.run_live(sent, frames))
                    came, took = total() - before, time.perf_counter() - begun
                    assert came, "nothing arrived"
                    return came / took / 1e6

                def by_xdp(program: bpf.Program) -> float:
                    link.update(program)
                    return run(to_vip)

                def by_nftables() -> float:
                    link.update(pass_on)
                    balancer.sh(f"nft -f - <<'E'\n{rules()}\nE")
                    try:
                        return run(to_vip)
                    finally:
                        balancer.sh("nft delete table netdev bench")

                def by_bridge() -> float:
                    link.update(pass_on)
                    balancer.sh("ip link set b0 master br0; ip link set b1 master br0")
                    balancer.sh(f"bridge fdb replace {mac(0x81).hex(':')} dev b1 master static")
                    try:
                        return run(to_server)
                    finally:
                        balancer.sh("ip link set b0 nomaster; ip link set b1 nomaster")

                try:
                    rates = interleaved(
                        effort.rounds,
                        own=partial(by_xdp, own),
                        bare=partial(by_xdp, bare),
                        nftables=by_nftables,
                        bridge=by_bridge,
                    )
                except subprocess.CalledProcessError as exc:
                    raise Unmeasurable(f"nftables or bridge: {exc}") from exc
                for end in ends:
                    end.close()
            finally:
                driver.close(keep=False)
    yield Samples("XDP", "Mpps", rates["own"], rates["nftables"], NFTABLES)
    yield Samples("L2 against bare", "Mpps", rates["own"], rates["bare"], "a redirect, nothing looked up")
    yield Samples(NFTABLES, "Mpps", rates["nftables"], note="stock L2 DSR without flow state")
    yield Samples("Linux bridge", "Mpps", rates["bridge"], note="to one server: balances nothing")
    yield Samples("bare XDP redirect", "Mpps", rates["bare"], note="the ceiling of this wire")


def rules() -> str:
    """Layer-2 DSR by stock nftables: a hash of the client's address and port chooses the server's MAC address."""
    macs = ", ".join(f"{n} : {mac(0x81 + n).hex(':')}" for n in range(SERVERS))
    chosen = f"jhash ip saddr . udp sport mod {SERVERS} seed 0x1 map {{ {macs} }}"
    return f"""table netdev bench {{
    chain in {{
        type filter hook ingress device "b0" priority 0;
        ip daddr {VIP} udp dport 53 ether daddr set {chosen} fwd to "b1"
    }}
}}"""
