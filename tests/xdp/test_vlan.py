"""VLAN interfaces: the pcap driver serves them, the XDP driver says why it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataplane.drivers import registry, selection
from dataplane.errors import DriverError
from dataplane.network import ethtool
from tests.netns import Namespace

from .wire import instance

pytestmark = pytest.mark.root


def test_the_kernels_driver_of_an_interface_is_known() -> None:
    with Namespace() as there:
        there.sh("ip link add eth0 type veth peer name far0")
        assert there.run(lambda: ethtool.network_driver("eth0")) == "veth"
        assert there.run(lambda: ethtool.network_driver("nosuch")) == ""


def test_a_vlan_interface_is_served_by_the_pcap_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many kernels have no 8021q: what ethtool says of its interfaces is put in."""
    monkeypatch.setattr(ethtool, "network_driver", lambda name: "802.1Q VLAN Support" if "." in name else "veth")
    with Namespace() as there:
        there.sh("ip link add eth0.7 type veth peer name far0")
        index = there.link("eth0.7")[0]

        def choose(choice: str) -> tuple[str, str]:
            driver, reason = selection.choose(registry.candidates(choice), instance(), tmp_path, {"eth0.7": index})
            driver.close(keep=False)
            return driver.name, reason

        name, reason = there.run(lambda: choose("auto"))
        assert (name, "eth0.7 is a VLAN interface" in reason) == ("pcap", True)
        with pytest.raises(DriverError, match="eth0.7 is a VLAN interface") as caught:
            there.run(lambda: choose("xdp"))
        assert "--driver pcap" in caught.value.remedy
