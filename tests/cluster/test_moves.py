"""VIPs moved between engines by operators, from any host, and where they are."""

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from avi_shell.configuration.document import reference
from dataplane.daemon import statustext
from tests import forked
from tests.configuration.conftest import Site
from tests.polling import until

from .arpasking import GAP, SILENCE, Asking
from .segment import Segment, segment, vip

pytestmark = pytest.mark.root
VIPS = [vip(index) for index in range(4)]


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Segment]:
    with segment(tmp_path_factory.mktemp("segment"), ["a", "b", "c"]) as made:
        made.start()
        dead = round(SILENCE / 0.1)
        made.serve(len(VIPS), algo="PLACEMENT_ALGO_DISTRIBUTED", vs_scalein_timeout=1, dp_hb_timeout_count=dead)
        yield made


def shell(there: Segment, *lines: str, status: int = 0) -> tuple[str, Any]:
    """What a shell says, on a host without an engine: its text, and the data of its last line."""
    argv = ["nsenter", f"--net={there.spaces['client'].path}", sys.executable, "-m", "avi_shell"]
    argv += ["--state", str(there.shell), "--json", *(word for line in lines for word in ("-c", line))]
    done = forked.run(argv, capture_output=True, text=True)
    assert done.returncode == status, done.stdout + done.stderr
    last = json.loads(done.stdout.splitlines()[-1]) if done.stdout else {}
    return done.stdout + done.stderr, last.get("data")


def placed(there: Segment, name: str = "vs0") -> list[str]:
    """The engines of a virtual service, by the shell; those that leave it are not among them."""
    _, (told,) = shell(there, f"show virtualservice {name} placement")
    return [one["name"] for one in told["engines"] if one["state"] in ("announced", "announcing", "ready")]


def test_vips_are_spread_and_each_says_why_it_is_there(there: Segment, asking: Asking) -> None:
    owners = [there.owner(asking, address).name for address in VIPS]
    assert {owners.count(name) for name in there.hosts} == {1, 2}
    until(lambda: shell(there, "show virtualservice vs0 placement")[1][0]["engines"][0]["state"] == "announced")
    _, (told,) = shell(there, "show virtualservice vs0 placement")
    (engine,) = told["engines"]
    assert (told["vip"], engine["name"]) == (VIPS[0], owners[0])
    assert "the fewest VIPs: " in engine["why"]
    assert engine["if_fails"] in there.hosts.keys() - {owners[0]}


def test_a_virtual_service_migrates_without_a_gap(there: Segment, asking: Asking) -> None:
    source = there.owner(asking, VIPS[0]).name
    target = next(name for name in there.hosts if name != source)
    text, data = shell(there, f"migrate virtualservice vs0 to_se_ref {target}")
    assert data == [{"vip": VIPS[0], "engines": [target]}]
    there.owner(asking, VIPS[0], [target])
    assert asking.longest(VIPS[0], 0) <= GAP
    assert placed(there) == [target]
    for name in there.hosts:
        assert not there.hosts[name].tells("also announces VIP"), "engines do not take each other for strangers"


def test_scaled_out_there_is_one_more_and_scaled_in_one_less(there: Segment, asking: Asking) -> None:
    first = there.owner(asking, VIPS[1]).name
    shell(there, "scaleout virtualservice vs1")
    two = placed(there, "vs1")
    assert two[0] == first
    assert len(two) == 2
    assert "is on engine" in shell(there, f"scaleout virtualservice vs1 to_se_ref {first}", status=1)[0]
    shell(there, f"scalein virtualservice vs1 from_se_ref {first}")
    there.owner(asking, VIPS[1], two[1:])
    refused, _ = shell(there, "scalein virtualservice vs1", status=1)
    assert "has 1 engine, and group Default-Group needs at least 1" in refused
    assert "has no standby" in shell(there, "switchover serviceengine a", status=1)[0]


def _row(there: Segment, name: str) -> str:
    """An engine in the shell's list."""
    argv = ["nsenter", f"--net={there.spaces['client'].path}", sys.executable, "-m", "avi_shell"]
    argv += ["--state", str(there.shell), "-c", "show serviceengine"]
    told = forked.run(argv, capture_output=True, text=True).stdout
    return next((line for line in told.splitlines() if line.startswith(f"| {name} ")), "")


@pytest.mark.parametrize("state", ["SE_STATE_DISABLED", "SE_STATE_DISABLED_FORCE"])
def test_a_disabled_engine_loses_its_vips_and_gets_none(state: str, there: Segment, asking: Asking) -> None:
    owner = there.owner(asking, VIPS[2])

    def enable(state: str) -> None:
        def work(site: Site) -> None:
            site.save("serviceengine", name=owner.name, enable_state=state)

        there.configure(work)

    enable(state)
    there.owner(asking, VIPS[2], [name for name in there.hosts if name != owner.name])
    until(lambda: owner.mac not in {mac for address in VIPS for mac in asking.answering(address)})
    assert "disabled" in shell(there, f"migrate virtualservice vs2 to_se_ref {owner.name}", status=1)[0]
    until(lambda: "OPER_DISABLED" in _row(there, owner.name))
    enable("SE_STATE_ENABLED")
    shell(there, f"migrate virtualservice vs2 to_se_ref {owner.name}")
    there.owner(asking, VIPS[2], [owner.name])
    until(lambda: "OPER_UP" in _row(there, owner.name))


def test_a_full_group_leaves_a_vip_unplaced_and_says_so(there: Segment, asking: Asking) -> None:
    def limit(most: int) -> list[str]:
        told: list[str] = []

        def work(site: Site) -> None:
            told.extend(site.save("serviceenginegroup", name="Default-Group", max_vs_per_se=most).notices)

        there.configure(work)
        return told

    warning = "group Default-Group has room for 0 more VIPs on 3 engines, and buffer_se 1 wants room for 1"
    assert warning in limit(1)
    there.configure(_one_more)
    until(lambda: shell(there, "show virtualservice more placement")[1][0]["lacking"])
    _, (told,) = shell(there, "show virtualservice more placement")
    assert told["engines"] == []
    assert "full with" in told["lacking"]
    hosts = there.hosts.values()
    shown = ["\n".join(statustext.render([host.status()], 160)) for host in hosts]
    assert sum("VIP 10.0.0.199: it has 0 of 1 engines of group Default-Group" in one for one in shown) == 1
    limit(1000)
    until(lambda: placed(there, "more"))


def _one_more(site: Site) -> None:
    site.save("pool", name="more", lb_algorithm="LB_ALGORITHM_CONSISTENT_HASH")
    site.save("vsvip", name="more", vip=[{"ip_address": {"addr": "10.0.0.199", "type": "V4"}}])
    site.save(
        "virtualservice",
        name="more",
        application_profile_ref=reference("applicationprofile", "System-L4-Application"),
        network_profile_ref=reference("networkprofile", "dsr"),
        pool_ref=reference("pool", "more"),
        vsvip_ref=reference("vsvip", "more"),
        services=[{"port": 80}],
    )


def test_a_host_alone_has_no_placement(tmp_path_factory: pytest.TempPathFactory) -> None:
    state = tmp_path_factory.mktemp("alone")
    argv = [sys.executable, "-m", "avi_shell", "--state", str(state), "-c", "switchover serviceengine a"]
    done = forked.run(argv, capture_output=True, text=True)
    assert done.returncode == 1
    assert "this host shares its configuration with no other" in done.stderr
