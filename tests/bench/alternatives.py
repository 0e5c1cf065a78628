"""Layer-2 direct server return on one wire and one core, by XDP and by what else Linux has for it.

Rates are of frames that arrived, in wall time: nftables and the bridge work partly outside of the generator's thread.
Each is given about a second, so that what is no forwarding (the start of a run, the wait for its pages at the end)
counts for little, and for the same with each.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from dataplane.bpf.programs import Program
from dataplane.plan import L2

from . import rates, wire
from .measure import Effort, Samples, Unmeasurable, interleaved
from .wire import FIRST_VIP, PORT

PASS = Path(__file__).parent / "pass.c"
FRAMES, SLOW_FRAMES = 4_000_000, 1_000_000
"""Of one repetition: by XDP, and by what makes an skb of every frame."""
NFTABLES = "nftables netdev jhash + fwd"


def forwarding(effort: Effort) -> Iterator[Samples]:
    """Line "XDP": the driver against nftables; "L2 against bare": against a redirect that looks nothing up; others to
    compare with. Raises Unmeasurable where nftables cannot do it."""
    with rates.balanced() as there, wire.built(PASS) as passing, passing.program("pass_on") as pass_on:
        on, balancer = there.wire, there.wire.balancer
        there.put(rates.pool(L2, on.second.index), rates.service(0))
        balancer.sh("ip link add name br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0; ip link set br0 up")

        def run(program: Program, frames: int, destination: bytes = on.first.mac) -> float:
            there.use(program)
            on.traffic.send(wire.frame(destination), flows=1000)
            on.push(max(frames // 20, 1000))
            before, begun = sum(on.arrived().values()), time.perf_counter()
            on.push(frames)
            took = time.perf_counter() - begun
            return (sum(on.arrived().values()) - before) / took / 1e6

        def by_nftables() -> float:
            balancer.sh(f"nft -f - <<'E'\n{rules(on.first.name, on.second.name)}\nE")
            try:
                return run(pass_on, effort.times(SLOW_FRAMES, 5000))
            finally:
                balancer.sh("nft delete table netdev bench")

        def by_bridge() -> float:
            balancer.sh(f"ip link set {on.first.name} master br0; ip link set {on.second.name} master br0")
            server = rates.server_mac(1)
            balancer.sh(f"bridge fdb replace {server.hex(':')} dev {on.second.name} master static")
            try:
                return run(pass_on, effort.times(SLOW_FRAMES, 5000), server)
            finally:
                balancer.sh(f"ip link set {on.first.name} nomaster; ip link set {on.second.name} nomaster")

        try:
            found = interleaved(
                effort.rounds,
                own=partial(run, there.driver._program, effort.times(FRAMES, 5000)),
                bare=partial(run, on.bare, effort.times(FRAMES, 5000)),
                nftables=by_nftables,
                bridge=by_bridge,
            )
        except subprocess.CalledProcessError as exc:
            raise Unmeasurable(f"nftables or bridge: {exc}") from exc
    assert all(found["nftables"] + found["bridge"]), "nothing arrived"
    yield Samples("XDP", "Mpps", found["own"], found["nftables"], NFTABLES)
    yield Samples("L2 against bare", "Mpps", found["own"], found["bare"], "a redirect, nothing looked up")
    yield Samples(NFTABLES, "Mpps", found["nftables"], note="stock L2 DSR without flow state")
    yield Samples("Linux bridge", "Mpps", found["bridge"], note="to one server: balances nothing")
    yield Samples("bare XDP redirect", "Mpps", found["bare"], note="the ceiling of this wire")


def rules(first: str, second: str) -> str:
    """Layer-2 DSR by stock nftables: a hash of the client's address and port chooses the server's MAC address."""
    vip = ".".join(map(str, FIRST_VIP))
    macs = ", ".join(f"{n} : {rates.server_mac(n).hex(':')}" for n in range(rates.SERVERS))
    chosen = f"jhash ip saddr . udp sport mod {rates.SERVERS} seed 0x1 map {{ {macs} }}"
    return f"""table netdev bench {{
    chain in {{
        type filter hook ingress device "{first}" priority 0;
        ip daddr {vip} udp dport {PORT} ether daddr set {chosen} fwd to "{second}"
    }}
}}"""
