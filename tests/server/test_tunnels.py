"""avi-server for layer 3: tunnels, and what comes out of them on the member's own stack."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP, UDP

from dataplane.forwarding import rewrite
from dataplane.plan import L3_GRE, L3_IPIP
from dataplane.server import __main__ as server
from dataplane.server import decapsulation, mssclamp, record
from dataplane.server.preparation import Wanted
from tests.netns import Namespace
from tests.server.test_server import OTHER, VIP, avi_server, everything

pytestmark = pytest.mark.root

ENGINE, MEMBER, CLIENT = "10.10.10.2", "10.10.10.11", "198.51.100.7"
L3 = ("--mode", "l3", "--interface", "eth0")
APPLY = f"avi-server apply --vip {VIP} --mode l3 --interface eth0"


@pytest.fixture
def member() -> Iterator[Namespace]:
    """A pool member; the far end of its wire, in the same namespace, is where the engine's frames are sent from."""
    with Namespace() as there:
        there.sh("ip link add eth0 type veth peer name wire; ip link set eth0 up; ip link set wire up")
        there.sh(f"ip addr add {MEMBER}/24 dev eth0; ip route add default via 10.10.10.1")
        inode = there.path.stat().st_ino
        yield there
        record.forget(inode)


@pytest.fixture
def without_devices(member: Namespace) -> None:
    """The program is used where the kernel has no tunnel devices."""
    there = "ip link add t0 type ipip external && ip link del t0 && ip link add t0 type gre external && ip link del t0"
    if member.sh(f"if {{ {there}; }} 2>/dev/null; then echo both; fi"):
        pytest.skip("this kernel has ipip and gre devices: avi-server uses them, not its program")


@pytest.mark.usefixtures("without_devices")
def test_apply_check_and_undo(member: Namespace) -> None:
    before = everything(member)
    checked = avi_server(member, "check", "--vip", VIP, *L3, "--json")
    problems = {p["what"].split(":")[0]: p["remedy"] for p in json.loads(checked.stdout)["problems"]}
    assert checked.returncode == 1
    assert problems[f"nothing takes packets for {VIP} out of IP-in-IP and GRE tunnels on eth0"] == APPLY
    applied = avi_server(member, "apply", "--vip", VIP, *L3, "--client", CLIENT)
    assert applied.returncode == 0, applied.stderr
    assert f"packets for {VIP} are taken out of tunnels by decap.o at the ingress of eth0" in applied.stdout
    prepared = everything(member)
    again = avi_server(member, "apply", "--vip", VIP, *L3)
    assert "nothing to do" in again.stdout
    assert everything(member) == prepared
    told = json.loads(avi_server(member, "check", "--vip", VIP, *L3, "--json").stdout)
    assert (told["ok"], told["decapsulation"]) == (True, "program")
    assert avi_server(member, "undo", "--vip", VIP).returncode == 0
    assert everything(member) == before
    assert not (record.FOLDER / f"{member.path.stat().st_ino}.json").exists()


def test_one_vip_goes_and_another_stays(member: Namespace) -> None:
    before = everything(member)
    avi_server(member, "apply", "--vip", VIP, *L3)
    avi_server(member, "apply", "--vip", OTHER, *L3)
    avi_server(member, "undo", "--vip", VIP, "--mode", "l3")
    assert avi_server(member, "check", "--vip", OTHER, *L3).returncode == 0
    assert member.run(mssclamp.limits) == {OTHER: 1436}
    told = json.loads(avi_server(member, "check", "--vip", VIP, *L3, "--json").stdout)
    assert {p["remedy"] for p in told["problems"]} == {APPLY, f"ip addr add {VIP}/32 dev lo"}
    avi_server(member, "undo", "--vip", OTHER, "--mode", "l3")
    assert everything(member) == before


@pytest.mark.usefixtures("without_devices")
@pytest.mark.parametrize(
    ("harm", "named"),
    [
        ("tc filter del dev eth0 ingress", "nothing takes packets"),
        ("tc qdisc del dev eth0 clsact", "nothing takes packets"),
        ("nft flush ruleset", "announce a segment size with no limit"),
        ("ip link set eth0 mtu 1400", "a limit of 1436"),
    ],
)
def test_check_names_what_was_harmed_and_its_command_mends_it(member: Namespace, harm: str, named: str) -> None:
    avi_server(member, "apply", "--vip", VIP, *L3)
    member.sh(harm)
    checked = avi_server(member, "check", "--vip", VIP, *L3, "--json")
    (problem,) = json.loads(checked.stdout)["problems"]
    assert named in problem["what"]
    assert problem["remedy"] == APPLY
    assert avi_server(member, *problem["remedy"].split()[1:]).returncode == 0
    assert avi_server(member, "check", "--vip", VIP, *L3).returncode == 0


@pytest.mark.parametrize("existing", ["clsact", "ingress"])
def test_programs_of_others_stay(member: Namespace, existing: str) -> None:
    member.sh(f"tc qdisc add dev eth0 {existing}")
    load = f"tc filter add dev eth0 ingress pref 200 bpf da obj {decapsulation.OBJECT} sec tc"
    # tc makes folders in /sys/fs/bpf and leaves them: it has one of its own.
    member.sh(f"unshare --mount sh -ec 'mount -t bpf none /sys/fs/bpf; {load}'")
    before = everything(member)
    applied = avi_server(member, "apply", "--vip", VIP, *L3)
    assert applied.returncode == 0, applied.stderr
    assert avi_server(member, "check", "--vip", VIP, *L3).returncode == 0
    avi_server(member, "undo", "--vip", VIP, "--mode", "l3")
    assert everything(member) == before


def test_what_comes_back_after_a_boot_is_layer_3_again() -> None:
    words = server._boot_command(VIP, Wanted((VIP,), "eth0", mode="l3"))
    assert words[-7:] == ["apply", "--vip", VIP, "--mode", "l3", "--interface", "eth0"]


def test_strict_rp_filter_and_the_way_back_to_a_client_are_named(member: Namespace) -> None:
    avi_server(member, "apply", "--vip", VIP, *L3)
    member.sh("sysctl -qw net.ipv4.conf.eth0.rp_filter=1; ip route del default")
    told = json.loads(avi_server(member, "check", "--vip", VIP, *L3, "--client", CLIENT, "--json").stdout)
    assert [p["remedy"] for p in told["problems"]] == [
        "sysctl -w net.ipv4.conf.eth0.rp_filter=2",
        f"ip route add {CLIENT}/32 via GATEWAY",
    ]


def test_a_next_hop_towards_a_client_that_does_not_answer_is_named(member: Namespace) -> None:
    avi_server(member, "apply", "--vip", VIP, *L3)
    member.sh("ip route replace default via 10.10.10.253 dev eth0 onlink")
    told = json.loads(avi_server(member, "check", "--vip", VIP, *L3, "--client", CLIENT, "--json").stdout)
    assert [p["what"] for p in told["problems"]] == [
        f"answers to client {CLIENT} leave by eth0 for 10.10.10.253, which does not answer ARP"
    ]


def test_a_next_hop_whose_mac_address_was_entered_wrong_is_named(member: Namespace) -> None:
    avi_server(member, "apply", "--vip", VIP, *L3)
    words = ("check", "--vip", VIP, *L3, "--client", CLIENT, "--json")
    with Namespace() as router:
        member.sh(f"ip link set wire netns {router.name}")
        router.sh("ip addr add 10.10.10.1/24 dev wire; ip link set wire up")
        _, mac = router.link("wire")
        wrong, right = "02:00:00:00:00:99", mac.hex(":")
        for entered, problems in {
            right: [],
            wrong: [
                f"answers to client {CLIENT} leave by eth0 for 10.10.10.1 at {wrong}, which was entered by hand: "
                f"10.10.10.1 is at {right}"
            ],
        }.items():
            member.sh(f"ip neigh replace 10.10.10.1 lladdr {entered} dev eth0 nud permanent")
            told = json.loads(avi_server(member, *words).stdout)
            assert [p["what"] for p in told["problems"]] == problems
        assert [p["remedy"] for p in told["problems"]] == ["ip neigh del 10.10.10.1 dev eth0"]


@pytest.mark.parametrize("mode", [L3_IPIP, L3_GRE])
def test_the_members_stack_gets_the_clients_datagram(member: Namespace, mode: str) -> None:
    avi_server(member, "apply", "--vip", VIP, *L3)
    index, mac = member.link("eth0")
    assert index
    inner = bytes(IP(src=CLIENT, dst=VIP) / UDP(sport=5000, dport=5001) / b"hello")
    ends = (socket.inet_aton(ENGINE), socket.inet_aton(MEMBER))
    frame = mac + b"\x02\0\0\0\0\x02" + b"\x08\0" + rewrite.tunnelled(inner, mode, *ends, 1)

    def exchange() -> tuple[bytes, str]:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as service,
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire,
        ):
            service.bind((VIP, 5001))
            service.settimeout(45)
            wire.bind(("wire", 0))
            wire.send(frame)
            data, (source, _) = service.recvfrom(100)
            return data, source

    assert member.run(exchange) == (b"hello", CLIENT)
