"""The announcer with a real BIRD beside a real router: what the router learns, and what is said when it does not."""

from __future__ import annotations

import os
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dataplane import plan
from dataplane.bgp import birdconfig, birdcontrol, keeping
from dataplane.bgp.keeper import LOCK, SPREAD, Patience
from dataplane.runtime import locks
from dataplane.vip.announcer import State

from .conftest import OTHER_VIP, PEER, VIP, Speaker, Wire, bgp, known
from .routers import ENGINES_AS, Router, communities, frr, hops, vtysh

pytestmark = pytest.mark.root


def test_a_router_learns_a_vip_as_it_is_to_be_known(wire: Wire, router: Router, tmp_path: Path) -> None:
    async def test(speaker: Speaker) -> None:
        vip, other = (socket.inet_aton(one) for one in (VIP, OTHER_VIP))
        await speaker.until(lambda: router.hops(VIP))
        await speaker.reports("established", "")
        told = router.ask(f"show route all for {VIP}")
        assert communities(told) == {"65001:7", "65535:65281"}
        assert f"as_path: {ENGINES_AS} {ENGINES_AS} {ENGINES_AS}\n" in told
        await speaker.until(lambda: speaker.announcer.state(vip).state is State.ANNOUNCED)
        assert speaker.announcer.state(other).state is State.FAILED  # for a label that no peer has
        assert not router.hops(OTHER_VIP)
        speaker.announcer.announce(known(communities=("65001:8",)))
        await speaker.until(lambda: communities(router.ask(f"show route all for {VIP}")) == {"65001:8"})
        # The peer gets the label, and the profile another system than the peer knows.
        speaker.announcer.speak(replace(bgp(replace(PEER, label="core", bfd=False)), local_as=7))
        await speaker.until(lambda: router.hops(OTHER_VIP))
        assert f"as_path: {ENGINES_AS} {ENGINES_AS}\n" in router.ask(f"show route all for {OTHER_VIP}")
        speaker.announcer.withdraw(vip)
        await speaker.until(lambda: not router.hops(VIP))
        assert router.hops(OTHER_VIP)
        await speaker.until(lambda: speaker.announcer.report()["routes"] == 1)  # the router may know it first
        assert speaker.announcer.report()["peers"][0]["label"] == "core"

    first = known(communities=("65001:7", "65535:65281"), prepend=2)
    wire.speak(tmp_path / "se.bgp", test, vips=(first, known(OTHER_VIP, labels=("core",), prepend=1)))
    assert not router.hops(OTHER_VIP)
    assert not list((tmp_path / "se.bgp").glob("*.conf"))


def test_a_vip_is_announced_when_routers_have_had_the_time_to_follow(
    wire: Wire, router: Router, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine that had it withdraws then: a router is to know the new one before."""
    asked, ask, other = list[tuple[str, State]](), birdcontrol.ask, socket.inet_aton(OTHER_VIP)
    times: list[float] = []

    async def test(speaker: Speaker) -> None:
        await speaker.reports("established", "")
        await speaker.until(lambda: speaker.announcer.state(socket.inet_aton(VIP)).state is State.ANNOUNCED)

        def noted(folder: Path, command: str) -> list[birdcontrol.Line]:
            if folder == tmp_path / "se.bgp" and command in ("configure", "show status"):
                asked.append((command, speaker.announcer.state(other).state))
                times.append(time.monotonic())
            return ask(folder, command)

        monkeypatch.setattr(birdcontrol, "ask", noted)
        speaker.announcer.announce(known(OTHER_VIP))
        await speaker.until(lambda: speaker.announcer.state(other).state is State.ANNOUNCED)
        assert time.monotonic() - times[1] >= SPREAD

    wire.speak(tmp_path / "se.bgp", test)
    assert asked[:2] == [("configure", State.WITHDRAWN), ("show status", State.WITHDRAWN)]


def test_secrets_that_differ_are_said(wire: Wire, router: Router, tmp_path: Path) -> None:
    async def test(speaker: Speaker) -> None:
        router.configure('password "theirs";')
        await speaker.told(f"BGP peer {PEER.address} (AS 65000): segments come that are signed with another secret")
        await speaker.reports("connect", "md5_secret here and there differ")
        state = speaker.announcer.state(socket.inet_aton(VIP))
        assert state.state is State.FAILED
        assert "md5_secret here and there differ" in state.reason
        router.configure()
        await speaker.told("segments come that are not signed")
        router.configure('password "ours";')
        await speaker.reports("established", "")
        speaker.announcer.speak(bgp())
        await speaker.told("md5_secret is not set")

    try:
        wire.speak(tmp_path / "se.bgp", test, replace(PEER, secret="ours"))
    finally:
        router.configure()


def test_a_peer_that_flaps_is_said(wire: Wire, router: Router, tmp_path: Path) -> None:
    async def test(speaker: Speaker) -> None:
        established = f"BGP peer {PEER.address} (AS 65000) is established"
        for number in (1, 2, 3):
            await speaker.until(lambda n=number: speaker.events.count(established) == n)  # type: ignore[misc]
            router.ask("restart engine0")
            await speaker.until(lambda n=number: sum("is lost: " in event for event in speaker.events) == n)  # type: ignore[misc]
        await speaker.told(f"BGP peer {PEER.address} (AS 65000) flaps: lost 3 times in 5 minutes")
        await speaker.reports("established", "it flaps: lost 3 times in 5 minutes")
        assert speaker.announcer.report()["peers"][0]["since"] % 1, "BIRD's microseconds"

    wire.speak(tmp_path / "se.bgp", test, replace(PEER, bfd=False))


def test_a_router_that_hears_an_engine_again_is_told_of_vips_when_that_is_ready(
    wire: Wire, router: Router, tmp_path: Path
) -> None:
    async def test(speaker: Speaker) -> None:
        include = tmp_path / "se.bgp" / birdconfig.ROUTES
        await speaker.until(lambda: router.hops(VIP) and include.read_text())
        await speaker.reports("established", "")
        router.ask("disable engine0")
        await speaker.until(lambda: not include.read_text())
        router.ask("enable engine0")
        await speaker.until(lambda: router.hops(VIP))
        ((seconds, routes),) = speaker.heard_again
        assert 0.9 < seconds < 30  # BFD's time is part of it
        assert routes == ""

    wire.speak(tmp_path / "se.bgp", test)


def test_a_port_that_another_speaker_has_is_said(wire: Wire, router: Router, tmp_path: Path) -> None:
    listener = wire.engine.run(lambda: socket.create_server(("0.0.0.0", 179)))

    async def test(speaker: Speaker) -> None:
        await speaker.told("BGP does not run: TCP port 179 belongs to another BGP speaker here (")
        fault = speaker.announcer.report()["fault"]
        assert f"process {os.getpid()})" in fault
        include = tmp_path / "se.bgp" / "vips.conf"
        assert f'include "{include}" in a protocol static of it' in fault
        assert include.read_text() == f"route {VIP}/32 blackhole;\n"
        assert speaker.announcer.state(socket.inet_aton(VIP)) == (State.FAILED, fault)
        listener.close()
        await speaker.until(lambda: router.hops(VIP))
        assert speaker.announcer.report()["fault"] == ""

    with listener:
        wire.speak(tmp_path / "se.bgp", test)


def test_what_bird_refuses_changes_nothing(wire: Wire, router: Router, tmp_path: Path) -> None:
    async def test(speaker: Speaker) -> None:
        await speaker.until(lambda: router.hops(VIP))
        before = (tmp_path / "se.bgp" / "bird.conf").read_text()
        speaker.announcer.speak(bgp(replace(PEER, secret='"')))  # a plan holds no such secret
        await speaker.told("BGP stays as it was: BIRD refused configure: ")
        assert "Unterminated string" in speaker.announcer.report()["fault"]
        await speaker.until(lambda: (tmp_path / "se.bgp" / "bird.conf").read_text() == before)
        speaker.announcer.speak(bgp())
        await speaker.until(lambda: not speaker.announcer.report()["fault"])
        assert speaker.events.count(f"BGP peer {PEER.address} (AS 65000) is established") <= 1

    wire.speak(tmp_path / "se.bgp", test)


def test_bird_and_its_keeper_are_started_again(wire: Wire, router: Router, tmp_path: Path) -> None:
    folder = tmp_path / "se.bgp"

    async def test(speaker: Speaker) -> None:
        await speaker.until(lambda: router.hops(VIP) and speaker.announcer.report()["bird"])
        bird, keeper = birdcontrol.process(folder), locks.holder(folder / LOCK)
        os.kill(keeper, signal.SIGKILL)
        await speaker.told("the keeper of BIRD ended, and was started again")
        assert (birdcontrol.process(folder), locks.holder(folder / LOCK) != keeper) == (bird, True)
        os.kill(bird, signal.SIGKILL)
        await speaker.told(f"BIRD, process {bird}, ended; BIRD was started again, as process ")
        await speaker.until(lambda: router.hops(VIP) and birdcontrol.process(folder) not in (0, bird))
        os.kill(birdcontrol.process(folder), signal.SIGKILL)
        await speaker.told(", ended, by signal 9; BIRD was started again")

    wire.speak(folder, test)


def test_a_stale_include_is_not_announced(wire: Wire, router: Router, tmp_path: Path) -> None:
    folder = tmp_path / "se.bgp"
    folder.mkdir(mode=0o700)
    (folder / birdconfig.ROUTES).write_text("route 10.99.9.9/32 blackhole;\n")
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(folder / birdcontrol.SOCKET))
    stale.close()  # as a host that lost its power leaves it

    async def test(speaker: Speaker) -> None:
        await speaker.until(lambda: router.hops(VIP))
        assert not router.hops("10.99.9.9")

    wire.speak(folder, test)


def test_routes_stay_for_an_engine_that_comes_back(wire: Wire, router: Router, tmp_path: Path) -> None:
    folder, birds = tmp_path / "se.bgp", set[int]()

    async def leave(speaker: Speaker) -> None:
        await speaker.until(lambda: router.hops(VIP) and speaker.announcer.report()["bird"])
        birds.add(birdcontrol.process(folder))
        await speaker.leave()

    async def adopt(speaker: Speaker) -> None:
        await speaker.until(lambda: speaker.announcer.report()["bird"])
        assert router.hops(VIP)
        birds.add(birdcontrol.process(folder))
        assert not any("lost" in event for event in speaker.events)

    wire.speak(folder, leave)
    assert router.hops(VIP)
    wire.speak(folder, adopt)
    assert len(birds) == 1


@pytest.mark.parametrize(("forwards_on", "gone"), [(True, 0.5), (False, 60.0)])
def test_routes_of_an_engine_that_is_gone_are_withdrawn(
    forwards_on: bool, gone: float, wire: Wire, router: Router, tmp_path: Path
) -> None:
    async def leave(speaker: Speaker) -> None:
        await speaker.until(lambda: router.hops(VIP) and speaker.announcer.report()["bird"])
        await speaker.leave()
        await speaker.until(lambda: not router.hops(VIP))
        await speaker.until(lambda: not locks.holder(tmp_path / "se.bgp" / LOCK))
        assert not birdcontrol.process(tmp_path / "se.bgp")

    wire.speak(tmp_path / "se.bgp", leave, forwards_on=forwards_on, patience=Patience(gone=gone))


def test_routes_of_an_engine_that_stands_still_are_withdrawn(wire: Wire, router: Router, tmp_path: Path) -> None:
    async def test(speaker: Speaker) -> None:
        await speaker.until(lambda: router.hops(VIP))
        # It says something every second, which is too seldom for this keeper.
        await speaker.told("the keeper of BIRD had withdrawn the routes to all VIPs: the engine stood still")
        await speaker.until(lambda: router.hops(VIP))
        await speaker.until(lambda: not router.hops(VIP))

    wire.speak(tmp_path / "se.bgp", test, patience=Patience(silent=0.6))


def test_what_a_killed_engine_left_is_ended(wire: Wire, router: Router, tmp_path: Path) -> None:
    folder = tmp_path / "se.bgp"

    async def leave(speaker: Speaker) -> None:
        await speaker.until(lambda: router.hops(VIP) and speaker.announcer.report()["bird"])
        bird = birdcontrol.process(folder)
        await speaker.leave()
        done = keeping.end(folder)
        assert done == ["ended the keeper of BIRD", f"ended BIRD, process {bird}"]
        await speaker.until(lambda: not router.hops(VIP))
        assert keeping.end(folder) == []

    wire.speak(folder, leave)


def test_frr_learns_a_vip(wire: Wire, tmp_path: Path) -> None:
    async def test(speaker: Speaker) -> None:
        await speaker.until(lambda: hops(wire.router, VIP))
        await speaker.reports("established", "")
        told = vtysh(folder, "bgpd", f"show ip bgp {VIP}/32")
        assert "Community: 65001:7" in told
        assert "\n  65001 65001\n" in told
        await speaker.until(lambda: speaker.announcer.report()["peers"][0]["bfd"] == "up")

    with frr(wire.router, PEER.address, ["10.7.0.1"], "secret") as folder:
        secret = replace(PEER, secret="secret")
        wire.speak(tmp_path / "se.bgp", test, secret, vips=(known(communities=("65001:7",), prepend=1),))
        assert not hops(wire.router, VIP)


def test_peers_elsewhere_and_switched_off(wire: Wire, tmp_path: Path) -> None:
    async def test(speaker: Speaker) -> None:
        await speaker.until(lambda: speaker.announcer.report()["bird"])
        await speaker.until(lambda: speaker.announcer.report()["peers"][0]["state"] == "not here")
        far, off, _ = speaker.announcer.report()["peers"]
        assert (far["reason"], off["state"]) == ("no interface of this engine is in its subnet", "shutdown")

    far, off = plan.Peer("10.8.0.254", 65001, 65000, "10.8.0.0/24"), replace(PEER, address="10.7.0.253", shutdown=True)
    wire.speak(tmp_path / "se.bgp", test, far, off, PEER)
