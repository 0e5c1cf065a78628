"""Servers that are not what a pool member must be."""

from __future__ import annotations

from tests.broken.case import Act, Case
from tests.broken.world import ENGINE, PORT, VIP, World

MAC = "02:00:00:00:77:01"
STRICT = "sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth0.rp_filter=1"


def on(host: str, command: str) -> Act:
    """What runs a command on a host."""

    def act(world: World) -> None:
        world.sh(host, command)

    return act


def restart(*words: str) -> Act:
    """What restarts the server's program."""

    def act(world: World) -> None:
        world.stop("broken")
        world.start("broken", *words)

    return act


def fix_and_change_mac(world: World) -> None:
    """A neighbour entry by hand on the engine's host, then another card in the server."""
    address = world.addresses["broken"]
    world.sh("engine", f"ip neigh replace {address} lladdr {world.server()['mac']} dev eth0 nud permanent")
    world.sh("broken", f"ip link set eth0 address {MAC}")


CASES = (
    Case(
        "its program is dead",
        breaks=lambda world: world.stop("broken"),
        state="down",
        reason=f"port {PORT} is closed on the VIP: connection refused",
        told="no program listens there",
        restores=lambda world: world.start("broken"),
    ),
    Case(
        "its program listens on its own address alone",
        breaks=lambda world: restart(world.addresses["broken"])(world),
        state="down",
        reason=f"port {PORT} is closed on the VIP: connection refused",
        told="its program listens on that alone",
        restores=restart(),
    ),
    Case(
        "its host is dead",
        breaks=on("switch", "ip link set broken0 down"),
        state="down",
        reason="server does not answer",
        told="no reply to ARP",
        restores=on("switch", "ip link set broken0 up"),
    ),
    Case(
        "the VIP is not on its loopback",
        breaks=on("broken", f"ip addr del {VIP}/32 dev lo"),
        state="down",
        reason="server answers, VIP does not: VIP missing on its loopback?",
        told="VIP missing on its loopback?",
        mends=1,
    ),
    Case(
        "it answers ARP for the VIP",
        breaks=on("broken", "sysctl -qw net.ipv4.conf.all.arp_ignore=0 net.ipv4.conf.eth0.arp_ignore=0"),
        state="down",
        reason=f"server answers ARP for the VIP {VIP}: clients go past the engine",
        told="answers ARP for the VIP",
        mends=2,
    ),
    Case(
        "rp_filter drops what comes to it",
        breaks=on("broken", f"{STRICT}; ip route add {ENGINE}/32 dev eth1"),
        state="down",
        reason=f"server answers ARP, but drops what comes from {ENGINE}: rp_filter?",
        told="rp_filter?",
        mends=1,
    ),
    Case(
        "its card was replaced, and its neighbour entry is fixed",
        breaks=fix_and_change_mac,
        state="down",
        reason=f"to {MAC}: the neighbour entry is fixed by hand",
        told="MAC address changed",
        mends=1,
    ),
)
