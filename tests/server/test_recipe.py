"""The lines that `show pool NAME server-setup` prints, pasted at the prompt of a shell."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

import pexpect
import pytest

from dataplane import plan
from dataplane.server import recipe
from tests.netns import Namespace
from tests.server.test_server import avi_server

pytestmark = pytest.mark.root

SHELLS = pytest.mark.parametrize("shell", ["bash --norc", "dash"])
SERVERS, VIPS = ("10.10.10.11", "10.10.10.12"), ("10.10.10.100", "10.10.10.101")


def paste(there: Namespace, shell: str, lines: Sequence[str]) -> str:
    """What a shell shows into which lines are pasted, all at once."""
    at = pexpect.spawn(f"nsenter --net={there.path} {shell} -i", encoding="utf-8", timeout=60, dimensions=(50, 2000))
    at.send("".join(f"{line}\r" for line in (*lines, "echo the-$((40 + 2))-end", "exit")))
    at.expect("the-42-end")
    shown = str(at.before)
    at.expect(pexpect.EOF)
    at.close()
    return shown


@SHELLS
def test_a_bare_host_becomes_what_avi_server_wants_and_stays_so(shell: str) -> None:
    with Namespace() as there:
        there.sh("ip link set lo down; ip link add eth0.7 type veth peer name wire; ip link set eth0.7 up")
        there.sh("ip addr add 10.10.10.12/24 dev eth0.7; ip link set wire up; sysctl -qw net.ipv4.ip_forward=0")
        for _ in range(2):
            assert "interface: eth0.7" in paste(there, shell, recipe.lines(SERVERS, VIPS, [plan.L2]))
        checked = avi_server(there, "check", "--mode", "l2", *(w for vip in VIPS for w in ("--vip", vip)))
        assert checked.returncode == 0, checked.stdout


def test_the_interface_is_the_one_with_a_servers_address_whatever_else_is_there() -> None:
    find, *_ = [line for line in recipe.lines(("192.0.2.7", "10.10.10.12"), VIPS, [plan.L2]) if line.startswith("IF=")]
    with Namespace() as there:
        there.sh("ip link add mgmt0 type veth peer name eth0; ip addr add 172.16.0.9/24 dev mgmt0")
        there.sh("ip addr add 10.10.10.120/24 dev mgmt0; ip addr add 10.10.10.12/24 dev eth0")
        assert there.sh(find) == "interface: eth0\n"
        there.sh("ip addr del 10.10.10.12/24 dev eth0")
        with pytest.raises(subprocess.CalledProcessError):
            there.sh(find)


@SHELLS
def test_layer_3_is_lines_for_the_kernels_tunnel_of_the_pool(shell: str) -> None:
    lines = recipe.lines(SERVERS, VIPS[:1], [plan.L3_GRE])
    (made,) = (line for line in lines if "ip link add avi-gre type gre external" in line)
    assert made.startswith("ip link show avi-gre >/dev/null 2>&1 || ip link add")
    assert not any("ipip" in line for line in lines)
    assert lines.index("sysctl -w net.ipv4.ip_forward=1") < lines.index("sysctl -w net.ipv4.conf.avi-gre.forwarding=0")
    with Namespace() as there:  # a kernel without tunnel devices takes all lines but those about them
        there.sh("ip link add eth0 type veth peer name wire; ip link set eth0 up; ip addr add 10.10.10.12/24 dev eth0")
        paste(there, shell, [line for line in lines if "avi-gre" not in line])
        assert "10.10.10.100 tcp flags" in there.sh("nft list ruleset")
        assert "maxseg size set 1436" in there.sh("nft list ruleset")


@SHELLS
def test_without_the_kernels_tunnel_nothing_is_set_up_and_the_shell_goes_on(shell: str) -> None:
    """As on a kernel without the module: the command that makes the device fails."""
    lines = ['ip() { case $1$2 in linkadd) return 2;; esac; command ip "$@"; }']
    lines += recipe.block(recipe.lines(SERVERS, VIPS[:1], [plan.L3_IPIP]))
    with Namespace() as there:
        there.sh("ip link add eth0 type veth peer name wire; ip link set eth0 up; ip addr add 10.10.10.12/24 dev eth0")
        before = there.sh("sysctl net.ipv4.conf net.ipv4.ip_forward; ip -br addr; nft list ruleset")
        shown = paste(there, shell, lines)
        assert "\nthis kernel has no ipip device, nothing was set up: avi-server apply works without one" in shown
        assert there.sh("sysctl net.ipv4.conf net.ipv4.ip_forward; ip -br addr; nft list ruleset") == before


def test_one_line_does_the_same_on_the_server_that_it_names() -> None:
    assert recipe.one_line(SERVERS[:1], VIPS, [plan.L2]) == (
        "avi-server apply --vip 10.10.10.100 --vip 10.10.10.101 --mode l2 --interface 10.10.10.11"
    )
    assert recipe.one_line(SERVERS, VIPS[:1], [plan.L3_IPIP]).endswith('--mode l3 --interface "$IF"')
    assert recipe.check_line(VIPS, [plan.L3_GRE]) == (
        "avi-server check --vip 10.10.10.100 --vip 10.10.10.101 --mode l3 --client CLIENT"
    )
    with Namespace() as there:
        there.sh("ip link add eth0 type veth peer name wire; ip link set eth0 up; ip addr add 10.10.10.12/24 dev eth0")
        refused = avi_server(there, "check", "--vip", VIPS[0], "--mode", "l2", "--interface", "10.10.10.11")
        assert "or an address of one" in refused.stderr
        words = ("--vip", VIPS[0], "--mode", "l2", "--interface", "10.10.10.12", "--json")
        assert '"interface": "eth0"' in avi_server(there, "check", *words).stdout
