"""Cards that take VLAN tags off frames: switched off for a driver that would not see them, and on again at the end.

A veth stands in for a card: its own tags come from its far end, but it can be switched as cards are
(`tests/kernels/vlans.py` has cards).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplane.drivers import selection
from dataplane.drivers.registry import candidates
from dataplane.errors import DriverError
from dataplane.kernel.objects import SETTING, KernelObject
from dataplane.network import ethtool, features
from dataplane.network.ethtool import Feature
from dataplane.network.settings import KernelSettings
from tests.netns import Namespace
from tests.xdp.wire import instance

pytestmark = pytest.mark.root

OBJECT = KernelObject(SETTING, "rxvlan of eth0")


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[Namespace]:
    monkeypatch.setattr(ethtool, "network_driver", lambda name: "e1000e")
    with Namespace() as made:
        made.sh("ip link add eth0 type veth peer name far0")
        yield made


def is_on(there: Namespace, interface: str = "eth0") -> set[str]:
    listed = there.sh(f"ethtool -k {interface}").splitlines()
    return {line.split(":")[0] for line in listed if line.endswith(": on")} & {
        "rx-vlan-offload",
        "rx-vlan-stag-hw-parse",
    }


def test_tags_stay_in_frames_while_they_are_needed_there(there: Namespace, tmp_path: Path) -> None:
    record = tmp_path / "settings"

    def serve() -> None:
        made = KernelSettings(record)
        made.prepare("eth0", tags=True)
        assert OBJECT in made.objects()
        assert not made.missing()
        assert not is_on(there)

        there.sh("ethtool -K eth0 rxvlan on")
        assert made.missing() == [OBJECT]
        assert asyncio.run(made.restore([OBJECT])) == {OBJECT: ""}
        assert not is_on(there)

        there.sh("ip link set eth0 name lan0")
        made.rename("eth0", "lan0")
        assert KernelObject(SETTING, "rxvlan of lan0") in made.objects()
        assert {one.name.split("=")[0] for one in made.close()} >= {"rxvlan of lan0", "rx-vlan-stag-hw-parse of lan0"}

    there.run(serve)
    assert len(is_on(there, "lan0")) == 2
    assert not record.exists()


def test_they_stay_while_the_kernel_forwards_alone_and_until_that_is_taken_away(
    there: Namespace, tmp_path: Path
) -> None:
    record = tmp_path / "settings"

    def serve_on() -> None:
        first = KernelSettings(record)
        first.prepare("eth0", tags=True)
        first.close(keep=True)
        assert not is_on(there)
        second = KernelSettings(record)
        second.prepare("eth0", tags=True)
        second.close(keep=True)

    there.run(serve_on)
    assert not is_on(there)
    assert [one.name for one in there.run(lambda: KernelSettings(record).close())] == [
        "rxvlan of eth0=off",
        "rx-vlan-stag-hw-parse of eth0=off",
    ]
    assert len(is_on(there)) == 2


def test_what_the_card_does_stays_for_a_driver_that_sees_it_and_on_a_veth(
    there: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(tags: bool) -> None:
        made = KernelSettings()
        made.prepare("eth0", tags=tags)
        assert len(is_on(there)) == 2
        made.close()

    there.run(lambda: serve(False))
    monkeypatch.setattr(ethtool, "network_driver", lambda name: "veth")
    there.run(lambda: serve(True))


def test_a_card_that_does_not_let_itself_be_switched_is_a_fault_with_the_command(
    there: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ethtool, "set_feature", lambda name, feature, active: None)

    def serve() -> None:
        made = KernelSettings()
        made.prepare("eth0", tags=True)
        assert OBJECT in made.missing()
        reason = asyncio.run(made.restore([OBJECT]))[OBJECT]
        assert reason.endswith("where it can be set: ethtool -K eth0 rxvlan off")
        made.close()

    there.run(serve)


def test_the_xdp_driver_refuses_a_card_that_always_takes_tags_off(
    there: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ethtool, "features", lambda name: {features.UNTAGGING["rxvlan"]: Feature(True, False)})
    index = there.link("eth0")[0]

    def choose(choice: str) -> tuple[str, str]:
        driver, reason = selection.choose(candidates(choice), instance(), tmp_path, {"eth0": index})
        driver.close(keep=False)
        return driver.name, reason

    name, reason = there.run(lambda: choose("auto"))
    assert (name, "eth0 takes VLAN tags off frames" in reason) == ("pcap", True)
    with pytest.raises(DriverError, match=r"cannot be told not to \(rxvlan of eth0: fixed\)") as caught:
        there.run(lambda: choose("xdp"))
    assert caught.value.remedy == "--driver pcap"
