"""A VIP that routers are told of, moved between engines of several hosts: the new one announces before the old one
withdraws."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from avi_shell.configuration.document import reference
from tests.bgp.routers import AS, ENGINES_AS, Router
from tests.configuration.addresses import address
from tests.configuration.conftest import Site
from tests.polling import until

from .arpasking import SILENCE
from .segment import CLIENT, SERVER, Segment, segment
from .test_moves import placed, shell

pytestmark = pytest.mark.root
VIP = "10.99.0.1"
LATE = 0.2
"""Seconds after which a router's answer is late."""


def _routed(site: Site) -> None:
    """A virtual service whose VIP is told to the router beside the engines."""
    peer = {
        "peer_ip": address(CLIENT),
        "remote_as": AS,
        "subnet": {"ip_addr": address("10.0.0.0"), "mask": 16},
        "bfd": False,
        "connect_timer": 1,
    }
    site.save("vrfcontext", name="global", bgp_profile={"local_as": ENGINES_AS, "ibgp": False, "peers": [peer]})
    servers = [{"ip": address(SERVER), "port": 80}]
    site.save("pool", name="routed", lb_algorithm="LB_ALGORITHM_CONSISTENT_HASH", servers=servers)
    site.save("vsvip", name="routed", vip=[{"ip_address": address(VIP)}])
    site.save(
        "virtualservice",
        name="routed",
        application_profile_ref=reference("applicationprofile", "System-L4-Application"),
        network_profile_ref=reference("networkprofile", "dsr"),
        pool_ref=reference("pool", "routed"),
        vsvip_ref=reference("vsvip", "routed"),
        services=[{"port": 80}],
        enable_rhi=True,
    )


class World:
    """Two engines beside a router."""

    def __init__(self, there: Segment, router: Router) -> None:
        self.there, self.router = there, router
        self.addresses = {"a": "10.0.0.1", "b": "10.0.0.2"}

    def hops(self, *names: str) -> None:
        """Wait until the router sends to exactly these engines."""
        wanted = {self.addresses[name] for name in names}
        logs = [host.log for host in self.there.hosts.values()]
        until(lambda: self.router.hops(VIP) == wanted, lambda: "\n".join(log() for log in logs), 60)

    @contextmanager
    def routed(self) -> Iterator[None]:
        """The router knows an engine for the VIP all the while. One that stood still itself reads in any order
        what engines told it one after the other: looks that it answers late, and the next ones, are none."""
        missing, ending = list[float](), threading.Event()

        def look() -> None:
            prompt = begun = time.monotonic()
            while not ending.is_set():
                learned, now = self.router.learned(VIP), time.monotonic()
                if now - begun > LATE:
                    prompt = now + LATE
                if not learned and now > prompt:
                    missing.append(now)
                time.sleep(0.01)
                begun = time.monotonic()

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            ending.set()
            thread.join()
        assert not missing


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("routed")
    with ExitStack() as stack:
        there = stack.enter_context(segment(folder / "segment", ["a", "b"]))
        router = Router(there.spaces["client"], folder / "router", CLIENT, ["10.0.0.1", "10.0.0.2"])
        stack.callback(router.close)
        for host in there.hosts.values():
            stack.callback(host.end)
        there.start()
        there.serve(1, vs_scalein_timeout=1, dp_hb_timeout_count=round(SILENCE / 0.1))
        there.configure(_routed)
        yield World(there, router)


def test_one_engine_tells_the_router_and_after_a_move_the_other(world: World) -> None:
    until(lambda: len(placed(world.there, "routed")) == 1)
    (first,) = placed(world.there, "routed")
    (second,) = world.addresses.keys() - {first}
    world.hops(first)
    with world.routed():
        shell(world.there, f"migrate virtualservice routed to_se_ref {second}")
        world.hops(second)
    told: list[str] = []

    def drained() -> bool:
        engines = shell(world.there, "show virtualservice routed placement")[1][0]["engines"]
        told.extend(f"{one['name']} {one['state']}" for one in engines)
        return len(engines) == 1

    until(drained)
    assert f"{second} announced" in told


def test_an_engine_without_its_router_gives_its_vips_to_another_where_the_group_says_so(world: World) -> None:
    until(lambda: len(placed(world.there, "routed")) == 1)
    (first,) = placed(world.there, "routed")
    (second,) = world.addresses.keys() - {first}
    world.hops(first)
    number = list(world.addresses).index(first)

    def follow_peers(site: Site, follow: bool = True) -> None:
        site.save("serviceenginegroup", name="Default-Group", bgp_peer_monitor_failover_enabled=follow)

    world.there.configure(follow_peers)
    world.router.ask(f"disable engine{number}")
    try:
        world.hops(second)
        assert placed(world.there, "routed") == [second]
    finally:
        world.router.ask(f"enable engine{number}")
    world.there.configure(lambda site: follow_peers(site, False))


def test_scaled_out_both_tell_and_an_engine_that_ends_withdraws_last(world: World) -> None:
    until(lambda: len(placed(world.there, "routed")) == 1)
    with world.routed():
        shell(world.there, "scaleout virtualservice routed")
        world.hops("a", "b")
        (other,) = placed(world.there, "routed")[1:]
        shell(world.there, f"scalein virtualservice routed from_se_ref {other}")
        (left,) = world.addresses.keys() - {other}
        world.hops(left)
        assert world.there.hosts[left].end() == 0
        world.hops(other)
