"""Datagrams to the first VIPs of a segment, which its server sends back past the engines: how many are lost."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from avi_shell.configuration.document import reference
from tests.bgp.traffic import Datagrams
from tests.configuration.addresses import address
from tests.configuration.conftest import Site, udp_profile

from .segment import SERVER, Segment

PORT = 4000
INTERVAL = 0.001
"""Seconds between two of them."""


@contextmanager
def served(there: Segment, vips: Sequence[str]) -> Iterator[None]:
    """A virtual service for datagrams beside each of the first ones that `Segment.serve` made, and a server for all."""

    def work(site: Site) -> None:
        site.save("networkprofile", name="datagrams", profile=udp_profile())
        for index in range(len(vips)):
            servers = [{"ip": address(SERVER), "port": PORT}]
            site.save("pool", name=f"d{index}", lb_algorithm="LB_ALGORITHM_CONSISTENT_HASH", servers=servers)
            site.save(
                "virtualservice",
                name=f"d{index}",
                application_profile_ref=reference("applicationprofile", "System-L4-Application"),
                network_profile_ref=reference("networkprofile", "datagrams"),
                pool_ref=reference("pool", f"d{index}"),
                vsvip_ref=reference("vsvip", f"vip{index}"),
                services=[{"port": PORT}],
            )

    there.configure(work)
    server = there.spaces["server"]
    server.sh("sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2; ip link set lo up")
    with ExitStack() as stack:
        for vip in vips:
            server.sh(f"ip addr add {vip}/32 dev lo")
            argv = ["nsenter", f"--net={server.path}", sys.executable, "-m", "tests.lab.greeter", "s", str(PORT), vip]
            greeter = stack.enter_context(subprocess.Popen(argv, stdout=subprocess.PIPE, text=True))
            stack.callback(greeter.kill)
            assert greeter.stdout is not None
            assert greeter.stdout.readline() == "ready\n"
        yield


@contextmanager
def flowing(there: Segment, vips: Sequence[str]) -> Iterator[Datagrams]:
    """Datagrams from the segment's client; they are all back, or lost, afterwards."""
    sent = Datagrams(there.spaces["client"], vips, PORT, INTERVAL)
    try:
        sent.flow()
        yield sent
        sent.flow()
    finally:
        sent.end()
