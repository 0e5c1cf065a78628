"""What is named as wrong on a pool member, and what mends it."""

from typing import Any

import pytest

from dataplane.server import preparation
from dataplane.server.preparation import Host, Tunnel, Wanted

VIP, HOST = "10.10.10.100", "10.10.10.11"
READY = {
    "net.ipv4.conf.all.arp_ignore": "1",
    "net.ipv4.conf.eth0.arp_ignore": "0",
    "net.ipv4.conf.all.arp_announce": "2",
    "net.ipv4.conf.eth0.arp_announce": "0",
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.eth0.rp_filter": "2",
    "net.ipv4.ip_forward": "1",
}
ALL, OWN = "net.ipv4.conf.all.", "net.ipv4.conf.eth0."


def commands(changed: dict[str, str], mode: str = preparation.L2, **host: object) -> list[str]:
    values = {"loopback_up": True, "addresses": [("lo", VIP, 32)], "routes": {}, **host}
    found = preparation.problems(
        Wanted((VIP,), "eth0", tuple(values["routes"]), mode),  # type: ignore[arg-type]
        Host(settings=READY | changed, **values),  # type: ignore[arg-type]
    )
    return [problem.fix.command for problem in found]


def test_a_ready_host_has_no_problems() -> None:
    assert commands({}) == []


@pytest.mark.parametrize(
    ("changed", "command"),
    [
        ({ALL + "arp_ignore": "0"}, f"sysctl -w {ALL}arp_ignore=1"),
        ({ALL + "arp_ignore": "3"}, f"sysctl -w {ALL}arp_ignore=1"),
        ({OWN + "arp_ignore": "3"}, f"sysctl -w {OWN}arp_ignore=1"),
        ({ALL + "arp_announce": "1"}, f"sysctl -w {ALL}arp_announce=2"),
        ({OWN + "rp_filter": "0"}, f"sysctl -w {OWN}rp_filter=2"),
        ({OWN + "rp_filter": "1"}, f"sysctl -w {OWN}rp_filter=2"),
        ({OWN + "rp_filter": "0", ALL + "rp_filter": "1"}, f"sysctl -w {OWN}rp_filter=2"),
        ({"net.ipv4.ip_forward": "0"}, "sysctl -w net.ipv4.ip_forward=1"),
    ],
)
def test_a_kernel_setting_that_is_wrong_is_named_with_its_command(changed: dict[str, str], command: str) -> None:
    assert commands(changed) == [command]


@pytest.mark.parametrize(
    "changed",
    [
        {ALL + "arp_ignore": "0", OWN + "arp_ignore": "2"},
        {ALL + "arp_ignore": "8"},
        {ALL + "arp_announce": "0", OWN + "arp_announce": "2"},
        {ALL + "rp_filter": "2", OWN + "rp_filter": "1"},
    ],
)
def test_the_kernel_goes_by_the_larger_of_all_and_interface(changed: dict[str, str]) -> None:
    assert commands(changed) == []


@pytest.mark.parametrize(
    ("host", "command"),
    [
        ({"loopback_up": False}, "ip link set lo up"),
        ({"addresses": []}, f"ip addr add {VIP}/32 dev lo"),
        ({"addresses": [("lo", VIP, 24)]}, f"ip addr del {VIP}/24 dev lo"),
        ({"addresses": [("lo", VIP, 32), ("eth0", HOST, 24), ("eth0", VIP, 24)]}, f"ip addr del {VIP}/24 dev eth0"),
        # the first of a network would take the others with it
        (
            {"addresses": [("eth0", VIP, 24), ("eth0", HOST, 24)]},
            f"sysctl -w net.ipv4.conf.eth0.promote_secondaries=1 && ip addr del {VIP}/24 dev eth0",
        ),
        # an interface's only address is the host's own: never a command that cuts the host off
        (
            {"addresses": [("eth0", VIP, 24)]},
            "--vip names the virtual service's address; or give eth0 another one before this one goes",
        ),
        ({"routes": {"192.0.2.1": None}}, "ip route add 192.0.2.1/32 via GATEWAY"),
        ({"routes": {"10.10.10.11": "lo"}}, "--client names a host that is to be answered, not this one"),
    ],
)
def test_what_is_wrong_with_addresses_and_routes_is_named(host: dict[str, Any], command: str) -> None:
    assert commands({}, **host) == [command]


def test_arp_is_silenced_before_the_vip_is_there() -> None:
    order = commands({ALL + "arp_ignore": "0"}, addresses=[])
    assert order == [f"sysctl -w {ALL}arp_ignore=1", f"ip addr add {VIP}/32 dev lo"]


APPLY = f"avi-server apply --vip {VIP} --mode l3 --interface eth0"
PROGRAM: dict[str, object] = {"decapsulated": frozenset({VIP}), "limits": {VIP: 1436}}
DEVICES: dict[str, object] = {
    "tunnels": [Tunnel("avi-ipip", "ipip"), Tunnel("avi-gre", "gre")],
    "addresses": [("lo", VIP, 32), ("avi-ipip", VIP, 32), ("avi-gre", VIP, 32)],
    "limits": {VIP: 1436},
}
ON_LO_AND_IPIP = [("lo", VIP, 32), ("avi-ipip", VIP, 32)]
RP = {f"net.ipv4.conf.{name}.rp_filter": "2" for name in ("avi-ipip", "avi-gre")}


@pytest.mark.parametrize(("changed", "host"), [({}, PROGRAM), (RP, DEVICES)], ids=["program", "devices"])
def test_a_host_whose_tunnels_end_is_ready(changed: dict[str, str], host: dict[str, object]) -> None:
    assert commands(changed, preparation.L3, **host) == []


@pytest.mark.parametrize(
    ("changed", "host", "expected"),
    [
        ({}, PROGRAM | {"decapsulated": None}, [APPLY]),
        ({}, PROGRAM | {"decapsulated": frozenset()}, [APPLY]),
        ({}, PROGRAM | {"limits": {}}, [APPLY]),
        ({}, PROGRAM | {"limits": {VIP: 1460}}, [APPLY]),
        ({}, PROGRAM | {"mtu": 1400}, [APPLY]),
        ({}, PROGRAM | {"mtu": 9000}, []),
        (RP, DEVICES | {"tunnels": [Tunnel("avi-ipip", "ipip")], "addresses": ON_LO_AND_IPIP}, [APPLY]),
        (
            RP,
            DEVICES | {"tunnels": [Tunnel("avi-ipip", "ipip"), Tunnel("avi-gre", "gre", up=False)]},
            ["ip link set avi-gre up"],
        ),
        (
            RP | {"net.ipv4.conf.avi-gre.rp_filter": "1"},
            DEVICES,
            ["sysctl -w net.ipv4.conf.avi-gre.rp_filter=2"],
        ),
        (RP, DEVICES | {"addresses": [("lo", VIP, 32), ("avi-gre", VIP, 32)]}, [f"ip addr add {VIP}/32 dev avi-ipip"]),
        (RP, DEVICES | {"addresses": [("avi-gre", VIP, 32), ("avi-ipip", VIP, 32)]}, [f"ip addr add {VIP}/32 dev lo"]),
    ],
)
def test_what_is_wrong_with_tunnels_is_named_with_its_command(
    changed: dict[str, str], host: dict[str, object], expected: list[str]
) -> None:
    assert commands(changed, preparation.L3, **host) == expected


@pytest.mark.parametrize(("mtu", "size"), [(1500, 1436), (9000, 8936), (1400, 1336)])
def test_segments_fit_the_larger_of_the_two_tunnels(mtu: int, size: int) -> None:
    assert preparation.segment_size(mtu) == size
