"""avi-server in a namespace with the interface of a pool member."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplane.server import __main__ as server
from dataplane.server import iproute, record, systemd
from tests import forked
from tests.netns import Namespace

VIP, OTHER = "10.10.10.100", "10.10.10.101"


@pytest.fixture
def member() -> Iterator[Namespace]:
    with Namespace() as there:
        there.sh("ip link add eth0 type veth peer name wire; ip link set eth0 up; ip link set wire up")
        there.sh("ip addr add 10.10.10.11/24 dev eth0; ip link set lo down")
        inode = there.path.stat().st_ino
        yield there
        record.forget(inode)


def avi_server(there: Namespace, *words: str) -> subprocess.CompletedProcess[str]:
    program = ["nsenter", f"--net={there.path}", sys.executable, "-m", "dataplane.server"]
    return forked.run([*program, *words], capture_output=True, text=True)


def everything(there: Namespace) -> str:
    """All IPv4 settings, addresses and link flags of a namespace, its routes, its programs and its packet filter; not
    what becomes of its links by themselves."""
    told = there.sh(
        "grep -rH . /proc/sys/net/ipv4/conf /proc/sys/net/ipv4/ip_forward | sort; ip -4 -o addr; ip -o link\n"
        "ip -4 rule; ip -4 route show table all; tc qdisc; tc filter show dev eth0 ingress; nft list ruleset"
    )
    return re.sub(r",?(LOWER_UP|NO-CARRIER|M-DOWN)| state [A-Z]+", "", told)


def test_apply_prepares_a_host_check_agrees_and_undo_restores_exactly(member: Namespace) -> None:
    member.sh("echo 1 > /proc/sys/net/ipv4/conf/eth0/rp_filter; echo 0 > /proc/sys/net/ipv4/conf/wire/accept_redirects")
    before = everything(member)
    assert avi_server(member, "check", "--vip", VIP, "--mode", "l2", "--interface", "eth0").returncode == 1
    applied = avi_server(
        member, "apply", "--vip", VIP, "--mode", "l2", "--interface", "eth0", "--client", "10.10.10.50"
    )
    assert applied.returncode == 0, applied.stderr
    for path, value in (("all/arp_ignore", "1"), ("all/arp_announce", "2"), ("eth0/rp_filter", "2")):
        assert member.sh(f"cat /proc/sys/net/ipv4/conf/{path}").strip() == value
    assert member.sh("cat /proc/sys/net/ipv4/ip_forward").strip() == "1"
    assert f"{VIP}/32" in member.sh("ip -br addr show lo")
    checked = avi_server(member, "check", "--vip", VIP, "--mode", "l2", "--interface", "eth0")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert avi_server(member, "undo", "--vip", VIP, "--mode", "l2").returncode == 0
    assert everything(member) == before
    assert not (record.FOLDER / f"{member.path.stat().st_ino}.json").exists()


def test_records_of_namespaces_that_are_gone_are_forgotten(member: Namespace) -> None:
    words = ("apply", "--vip", VIP, "--mode", "l2", "--interface", "eth0")
    with Namespace() as gone, Namespace() as there:
        inodes = {space: space.path.stat().st_ino for space in (gone, there)}
        for space in (gone, there):
            space.sh(
                "ip link add eth0 type veth peer name wire; ip link set eth0 up; ip addr add 10.10.10.12/24 dev eth0"
            )
            assert avi_server(space, *words).returncode == 0
        kept = {space: record.FOLDER / f"{inode}.json" for space, inode in inodes.items()}
        assert all(path.exists() for path in kept.values())
        subprocess.run(["ip", "netns", "del", gone.name], check=True)
        assert avi_server(member, *words).returncode == 0
        assert [path.exists() for path in kept.values()] == [False, True]
        record.forget(inodes[there])
        subprocess.run(["ip", "netns", "add", gone.name], check=True)  # the block ends with its deletion


def test_a_second_apply_does_nothing_and_forgets_nothing(member: Namespace) -> None:
    before = everything(member)
    words = ("apply", "--vip", VIP, "--mode", "l2", "--json")
    assert json.loads(avi_server(member, *words).stdout)["done"]
    prepared = everything(member)
    assert json.loads(avi_server(member, *words).stdout)["done"] == []
    assert everything(member) == prepared
    avi_server(member, "undo", "--vip", VIP, "--mode", "l2")
    assert everything(member) == before


def test_settings_stay_while_one_vip_is_left(member: Namespace) -> None:
    before = everything(member)
    avi_server(member, "apply", "--vip", VIP, "--vip", OTHER, "--mode", "l2")
    avi_server(member, "undo", "--vip", VIP, "--mode", "l2")
    assert avi_server(member, "check", "--vip", OTHER, "--mode", "l2").returncode == 0
    assert VIP not in member.sh("ip -br addr show lo")
    avi_server(member, "undo", "--vip", OTHER, "--mode", "l2")
    assert everything(member) == before


def test_undo_of_what_was_never_applied_is_told(member: Namespace) -> None:
    before = everything(member)
    done = avi_server(member, "undo", "--vip", VIP, "--mode", "l2")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"avi-server: error: nothing to undo for {VIP}: no VIP is prepared here\n"
    assert everything(member) == before
    avi_server(member, "apply", "--vip", VIP, "--mode", "l2")
    mistyped = avi_server(member, "undo", "--vip", OTHER, "--mode", "l2", "--json")
    assert (mistyped.returncode, json.loads(mistyped.stdout)["unknown"]) == (1, [OTHER])
    assert f"prepared is {VIP} here" in mistyped.stderr
    assert avi_server(member, "undo", "--vip", VIP).returncode == 0
    assert everything(member) == before


def test_the_hosts_own_address_is_no_vip_and_stays(member: Namespace) -> None:
    before = everything(member)
    done = avi_server(member, "apply", "--vip", "10.10.10.11", "--mode", "l2")
    assert done.returncode == 1
    assert "10.10.10.11 is the only address of eth0: this host's own" in done.stdout
    assert "ip addr del" not in done.stdout
    assert everything(member) == before


def test_what_was_there_before_stays(member: Namespace) -> None:
    member.sh(f"ip link set lo up; ip addr add {VIP}/32 dev lo; echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore")
    before = everything(member)
    avi_server(member, "apply", "--vip", VIP, "--mode", "l2")
    avi_server(member, "undo", "--vip", VIP, "--mode", "l2")
    assert everything(member) == before


def test_check_names_each_thing_with_the_command_that_mends_it(member: Namespace) -> None:
    avi_server(member, "apply", "--vip", VIP, "--mode", "l2")
    member.sh(f"echo 0 > /proc/sys/net/ipv4/conf/all/arp_ignore; ip addr del {VIP}/32 dev lo")
    checked = avi_server(member, "check", "--vip", VIP, "--mode", "l2", "--json")
    told = json.loads(checked.stdout)
    assert (checked.returncode, told["ok"]) == (1, False)
    remedies = [problem["remedy"] for problem in told["problems"]]
    assert remedies == ["sysctl -w net.ipv4.conf.all.arp_ignore=1", f"ip addr add {VIP}/32 dev lo"]
    for remedy in remedies:
        member.sh(remedy)
    assert avi_server(member, "check", "--vip", VIP, "--mode", "l2").returncode == 0


def test_apply_changes_nothing_where_the_operator_must_decide(member: Namespace) -> None:
    member.sh(f"ip addr add {VIP}/24 dev eth0")
    before = everything(member)
    applied = avi_server(member, "apply", "--vip", VIP, "--mode", "l2")
    assert applied.returncode == 1
    assert f"ip addr del {VIP}/24 dev eth0" in applied.stdout
    assert everything(member) == before


def test_the_record_of_a_namespace_whose_inode_was_used_again_is_not_believed(member: Namespace) -> None:
    inode = member.path.stat().st_ino
    record.FOLDER.mkdir(exist_ok=True)
    stale = {"namespace": 1, "vips": {VIP: True}, "settings": {"net.ipv4.ip_forward": "1"}, "loopback_up": True}
    (record.FOLDER / f"{inode}.json").write_text(json.dumps(stale))
    before = everything(member)
    undone = avi_server(member, "undo", "--vip", VIP, "--mode", "l2", "--json")
    assert json.loads(undone.stdout)["restored"] == []
    assert everything(member) == before


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("apply", "--vip", VIP, "--mode", "l4"), 2, "invalid choice"),
        (("apply", "--vip", VIP, "--mode", "l2", "--persist"), 1, "--persist:"),
        (("check", "--vip", VIP, "--mode", "l2", "--interface", "eth9"), 1, "--interface eth9: expected one of"),
        (("check", "--vip", "10.1", "--mode", "l2"), 2, "expected an IPv4 address"),
        (("check", "--vip", "224.0.0.1", "--mode", "l2"), 2, "expected the address of a host"),
        (("check", "--mode", "l2"), 2, "--vip"),
    ],
)
def test_what_cannot_be_done_is_refused(member: Namespace, words: tuple[str, ...], status: int, message: str) -> None:
    before = everything(member)
    refused = avi_server(member, *words)
    assert (refused.returncode, message in refused.stderr) == (status, True), refused.stderr
    assert everything(member) == before


def test_several_interfaces_must_be_told_apart(member: Namespace) -> None:
    member.sh("ip addr add 192.0.2.1/24 dev wire")
    refused = avi_server(member, "check", "--vip", VIP, "--mode", "l2")
    assert refused.returncode == 1
    assert "eth0, wire" in refused.stderr


def test_only_root_may_apply(member: Namespace) -> None:
    program = ["nsenter", f"--net={member.path}", sys.executable, "-m", "tests.server.unprivileged"]
    refused = subprocess.run([*program, "--vip", VIP, "--mode", "l2"], capture_output=True, text=True)
    assert refused.returncode == 1
    assert "only root" in refused.stderr


def test_a_boot_unit_runs_apply_and_is_removed_again(tmp_path: Path) -> None:
    path = systemd.install(VIP, ["/opt/a b/python", "-m", "dataplane.server", "apply"], tmp_path)
    assert "ExecStart='/opt/a b/python' -m dataplane.server apply\n" in path.read_text()
    assert (tmp_path / "multi-user.target.wants" / path.name).resolve() == path
    assert systemd.remove(VIP, tmp_path) == path
    assert [entry.name for entry in tmp_path.rglob("*")] == ["multi-user.target.wants"]
    assert systemd.remove(VIP, tmp_path) is None


def test_a_crash_in_the_middle_can_be_undone(member: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address cannot be added (ip fails), after the settings were changed."""
    before = everything(member)
    real = iproute.run

    def failing(*words: str) -> str:
        if words[:2] == ("addr", "add"):
            raise KeyboardInterrupt
        return real(*words)

    with monkeypatch.context() as patch:
        patch.setattr(iproute, "run", failing)
        with pytest.raises(KeyboardInterrupt):
            member.run(lambda: server.main(["apply", "--vip", VIP, "--mode", "l2"]))
    assert everything(member) != before
    assert avi_server(member, "undo", "--vip", VIP, "--mode", "l2").returncode == 0
    assert everything(member) == before
