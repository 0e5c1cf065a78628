"""Servers that are not what a pool member must be."""

from __future__ import annotations

from tests.broken.case import Act, Case
from tests.broken.world import ENGINE, PORT, VIP, World
from tests.drivers import COMMON

MAC = "02:00:00:00:77:01"
STRICT = "sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth0.rp_filter=1"
UNPREPARED = "sysctl -qw net.ipv4.conf.all.arp_ignore=0 net.ipv4.conf.all.arp_announce=0"
MUTE = (
    "nft 'table ip mute { chain out { type filter hook output priority 0; icmp type destination-unreachable drop; }; }'"
)


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


def strict_tunnel(world: World) -> None:
    """A tunnel device in the place of the program at the ingress, and strict rp_filter on it."""
    world.sh("engine", "ethtool -K eth0 tx off >/dev/null")  # veths hand on what a card would have filled in
    world.tunnel("broken")
    world.sh("broken", f"tc filter del dev eth0 ingress; ip addr add {VIP}/32 dev tun9; ip link set tun9 up")
    world.sh("broken", "sysctl -qw net.ipv4.conf.tun9.rp_filter=1")


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
        "nobody prepared it",  # what mends it must not make it answer ARP for the VIP meanwhile
        breaks=on("broken", f"ip link set eth1 down; ip addr del {VIP}/32 dev lo; {UNPREPARED}"),
        state="down",
        reason="server answers, VIP does not: VIP missing on its loopback?",
        told="VIP missing on its loopback?",
        mends=3,
    ),
    Case(
        "it answers ARP for the VIP",
        breaks=on("broken", "sysctl -qw net.ipv4.conf.all.arp_ignore=0 net.ipv4.conf.eth0.arp_ignore=0"),
        state="down",
        reason=f"server answers ARP for the VIP {VIP}: clients go past the engine",
        told="answers ARP for the VIP",
        mends=2,
        drivers=COMMON,
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
    Case(
        "its card was replaced",  # the look that finds it out has the kernel learn the new address, too
        breaks=on("broken", f"ip link set eth0 address {MAC}"),
        state="down",
        reason=f"to {MAC}: the kernel learns it now",
        drivers=COMMON,
        passing=True,
    ),
    Case(
        "its card takes no packets of full size",
        breaks=on("broken", "ip link set eth0 mtu 1400"),
        state="up",
        reason="packets of full size do not arrive: the largest that does has 1",
        told="packets of full size do not arrive: the largest that does has 1",
        mends=1,
    ),
    Case(
        "it does not decapsulate",
        breaks=on("broken", "tc filter del dev eth0 ingress"),
        state="down",
        reason="server answers, VIP does not: the server does not decapsulate IP-in-IP",
        told="does not decapsulate IP-in-IP: it answers ICMP protocol unreachable",
        mends=1,
        mode="l3",
        drivers=COMMON,
    ),
    Case(
        "it decapsulates, and the VIP is not on its loopback",
        breaks=on("broken", f"ip addr del {VIP}/32 dev lo"),
        state="down",
        reason="server answers, VIP does not: VIP missing on its loopback?",
        told="VIP missing on its loopback?",
        mends=3,
        mode="l3",
    ),
    Case(
        "rp_filter drops what comes out of its tunnel device",
        breaks=strict_tunnel,
        state="down",
        reason="server answers, VIP does not: rp_filter drops what comes out of the IP-in-IP tunnel",
        told="rp_filter drops what comes out",
        mends=4,
        mode="l3",
    ),
    Case(
        "a router drops packets of full size and does not say so",
        breaks=on("router", f"{MUTE}; ip link set eth1 mtu 1400"),
        state="up",
        reason="packets of full size do not arrive: the largest that does has 1",
        restores=on("router", "ip link set eth1 mtu 1500"),
        mode="l3",
        drivers=COMMON,
    ),
)
