"""Servers that are not what a pool member must be."""

from __future__ import annotations

from tests.broken.case import Case
from tests.broken.world import VIP

CASES = (
    Case(
        "its program is dead",
        breaks=lambda world: world.stop("broken"),
        state="down",
        reason="port 80 is closed on the VIP: connection refused",
        restores=lambda world: world.start("broken"),
    ),
    Case(
        "its host is dead",
        breaks=lambda world: world.spaces["switch"].sh("ip link set broken0 down") and None,
        state="down",
        reason="server does not answer",
        restores=lambda world: world.spaces["switch"].sh("ip link set broken0 up") and None,
    ),
    Case(
        "the VIP is not on its loopback",
        breaks=lambda world: world.sh("broken", f"ip addr del {VIP}/32 dev lo") and None,
        state="down",
        reason="server answers, VIP does not: VIP missing on its loopback?",
        commands=(f"ip addr add {VIP}/32 dev lo",),
    ),
    Case(
        "it answers ARP for the VIP",
        breaks=lambda world: (
            world.sh("broken", "sysctl -qw net.ipv4.conf.all.arp_ignore=0 net.ipv4.conf.eth0.arp_ignore=0") and None
        ),
        state="down",
        reason=f"server answers ARP for the VIP {VIP}: clients go past the engine",
        commands=("sysctl -w net.ipv4.conf.all.arp_ignore=1", "sysctl -w net.ipv4.conf.all.arp_announce=2"),
    ),
)
