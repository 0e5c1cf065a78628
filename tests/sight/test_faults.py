"""Twelve faults, planted for real: what an operator types who knows nothing of them, and what names the cause.

The manual's page on troubleshooting tells the same by symptom.
"""

from __future__ import annotations

import os
import re
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP

from tests.broken.server_cases import MUTE
from tests.broken.test_wayback import CLIENTS, tried
from tests.broken.world import CLIENT, VIP, World
from tests.drivers import PREFERRED, REFERENCE
from tests.polling import until
from tests.sight.operator import Operator, operated, serve_pages

pytestmark = pytest.mark.root
DRIVERS = (PREFERRED, REFERENCE) if os.environ.get("AVI_TEST_FAULTS") else (PREFERRED,)
"""`make faults` plants on both drivers what the suite plants on one."""
every_of_them = pytest.mark.parametrize("driver", DRIVERS)

LOSING = (
    "table netdev lossy {{ chain c {{ type filter hook ingress device {} priority 0; "
    "ip frag-off & 0x3fff == 0x2000 drop; }}; }}"
)
"""What loses the first fragment of each packet that comes by a device."""
FLOWS = 300_000
"""More than the kernel's table holds."""
DETAIL = ("show virtualservice", "show virtualservice vs1 detail")
UNSEEN = ("its way back to clients was not seen", f"avi-server check --vip {VIP} --mode l2 --client CLIENT")
"""What `diagnose` says of a server that no client asks yet, whatever its gateway."""
ARP_IGNORE = "sysctl -qw net.ipv4.conf.{}.arp_ignore={}"


def test_faults_of_servers_and_of_the_driver(tmp_path: Path) -> None:
    """Whatever can be had drives this engine: XDP cannot, for nobody takes what it sends by its veth."""
    with operated(tmp_path, "l2", "auto", ports=True, napi=False) as operator, ExitStack() as stack:
        world, (broken, _) = operator.world, operator.world.addresses.values()
        engine = f"show serviceengine {world.name} detail"
        why = "driver pcap (XDP cannot be had: no frame that XDP sends leaves by eth0"
        operator.finds(("show virtualservice", "show serviceengine", engine), why)

        # dead
        with operator.is_told(DETAIL, "1 of 2 up", f"{broken} is down: server does not answer"):
            world.sh("switch", "ip link set broken0 down")
        world.sh("switch", "ip link set broken0 up")
        world.is_well()

        # lacks the VIP
        lacks = f"{broken} is down: server answers, VIP does not: VIP missing on its loopback?"
        with operator.is_told(DETAIL, lacks):
            world.sh("broken", f"ip addr del {VIP}/32 dev lo")
        world.sh("broken", f"ip addr add {VIP}/32 dev lo")
        world.is_well()

        # answers ARP for the VIP
        told = f"{broken} is down: server answers ARP for the VIP {VIP}: clients go past the engine"
        with operator.is_told(DETAIL, told):
            world.sh("broken", "; ".join(ARP_IGNORE.format(name, 0) for name in ("all", "eth0")))
        world.sh("broken", "; ".join(ARP_IGNORE.format(name, 1) for name in ("all", "eth0")))
        world.is_well()

        # has a wrong gateway to clients
        world.sh("client", "ethtool -K eth0 tx off; " + "; ".join(f"ip addr add {c}/32 dev lo" for c in CLIENTS))
        world.sh("healthy", f"ip route add 10.7.0.0/24 via {CLIENT}")
        unanswered = f"{broken} is up: 100 % of new TCP connections"
        with operator.is_told(DETAIL, unanswered, "on the server: ip route get 10.7.0."):
            world.sh("broken", "ip route add 10.7.0.0/24 via 10.9.0.250")
            operator.finds(("show pool p1 server diagnose",), *UNSEEN)
            world.spaces["client"].run(lambda: tried(stack, 20_000, 10))
        world.sh("broken", f"ip route replace 10.7.0.0/24 via {CLIENT}")
        world.spaces["client"].run(lambda: tried(stack, 40_000, 10))
        world.is_well()

        # has a wrong weight
        weighs = f"{broken} is to get 90.0 % by its ratio of 9. Equal ratios would give 50.0 %."
        with operator.is_told((*DETAIL, "show pool p1 algo"), weighs):
            operator.type("configure pool p1", f"servers ip {broken} port 80 ratio 9", "save", "save")


@every_of_them
def test_faults_of_flows(driver: str, tmp_path: Path) -> None:
    """Clients are told apart by their addresses alone: each has one server."""
    with operated(tmp_path, "l2", driver, monitor="http", ports=False) as operator:
        world = operator.world
        flow = f"show virtualservice vs1 flow {CLIENT}:40000"
        names = {address: name for name, address in world.addresses.items()}
        its = operator.type(flow).data[0]["server"]
        (other,) = names.keys() - {its}

        # a client always gets a slow server
        slow = ("show virtualservice", flow, "show virtualservice vs1 detail")
        with operator.is_told(slow, f"| {its}:80 |", re.compile(rf"{its} is slow: it answers probes in \d{{3,}} ms")):
            serve_pages(world, names[its], 300)
            asked = f"ethtool -K eth0 tx off >/dev/null; curl -s -m 9 -w ' %{{time_total}}' http://{VIP}/"
            answer, seconds = world.sh("client", asked).split()
            assert (answer, float(seconds) > 0.3) == ("ok", True)
        serve_pages(world, names[its], 0)

        # a path loses fragments
        drops = f"show serviceengine {world.name} drops"
        lost = "fragment_unknown: a later fragment came without its first one."
        do = "look for lost or reordered fragments on the path"
        with operator.is_told(
            (DETAIL[0], "show virtualservice vs1 drops", drops), drops, lost, do, f"{CLIENT} > {VIP} "
        ):
            world.sh("switch", f"nft '{LOSING.format('client0')}'")
            send_fragments(world)

        # the table of flows of a server that leaves is full
        disabled = (f"servers ip {its} port 80", "no enabled", "save", "save")
        operator.type("configure pool p1 graceful_disable_timeout 5", *disabled)
        until(lambda: operator.type(flow).data[0]["phase"] == "transition", world.log)
        full = "tcp 80 is up, but the table of remembered flows is full since "
        with operator.is_told((*DETAIL, f"show serviceengine {world.name} flowtable"), full, f"flows of {its}"):
            fill(operator, its)

        # a flow is of a server that was removed
        gone = f"the slot was that of {its}. It was removed from the pool. Its connections come to {other} now"
        with operator.is_told(("show virtualservice", flow), gone):
            operator.type("configure pool p1", f"no servers ip {its} port 80", "save")


@every_of_them
def test_faults_behind_a_router(driver: str, tmp_path: Path) -> None:
    with operated(tmp_path, "l3", driver, ports=False) as operator:
        world, (broken, _) = operator.world, operator.world.addresses.values()

        # a link of the path takes no packets of full size
        with operator.is_told(
            DETAIL, f"{broken} is up: packets of full size do not arrive: the largest that does has 1"
        ):
            world.sh("router", f"{MUTE}; ip link set eth1 mtu 1400")
        world.sh("router", "ip link set eth1 mtu 1500")
        world.is_well()

        # the engine's next hop is dead
        silent = "the engine's next hop to it, 10.9.0.254 on eth0, does not answer ARP"
        with operator.is_told(DETAIL, "OPER_DOWN", f"{broken} is down: {silent}"):
            world.sh("router", "ip link set eth0 arp off")
            world.sh("engine", "ip neigh flush dev eth0")


def send_fragments(world: World) -> None:
    """The client sends a datagram of three fragments every 100 ms, for a while."""
    program = f"exec 3>/dev/udp/{VIP}/80; for n in $(seq 60); do head -c 4000 /dev/zero >&3; sleep 0.1; done"
    world.sh("client", f"setsid bash -c '{program}' >/dev/null 2>&1 &")


def fill(operator: Operator, server: str) -> None:
    """Clients of a server's slots go on with more flows than are remembered."""
    world, clients = operator.world, list[str]()
    for number in range(1, 255):
        client = f"10.66.0.{number}"
        (told,) = operator.type(f"show virtualservice vs1 flow {client}:1").data
        clients += [client] if told["server"] == server else []
        if len(clients) * 60_000 >= FLOWS:
            break
    for name in world.addresses:
        world.sh(name, "ip route add blackhole 10.66.0.0/16")
    engine, mine = (world.spaces[name].link("eth0")[1] for name in ("engine", "client"))

    def packet_socket() -> socket.socket:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        made.bind(("eth0", 0))
        return made

    with world.spaces["client"].run(packet_socket) as wire:
        for client in clients:
            packet = bytes(IP(src=client, dst=VIP) / TCP(sport=1, dport=80, flags="A"))
            head, tail = engine + mine + b"\x08\x00" + packet[:20], packet[22:]
            for port in range(1024, 1024 + 60_000):
                wire.send(head + port.to_bytes(2, "big") + tail)
