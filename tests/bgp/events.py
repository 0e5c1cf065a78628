"""What befalls one of several engines, and what it costs: `python -m tests.bgp.events`; short in the suite.

Each event is made to happen while connections are held through all engines, by layer 2 and layer 3, and datagrams go to
both VIPs. A bound is for a machine that nobody else uses; tests beside others allow more.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from dataplane import plan
from dataplane.bgp import birdconfig, birdcontrol
from dataplane.bgp.keeper import LOCK
from dataplane.lab.standstill import Witness
from dataplane.runtime import locks
from tests.polling import until

from .engine import BGP, DEAD, PEER, PING, QUICK, ROUTER, VIP, Engine
from .world import ENGINES, World

DRIVERS = {"a": "xdp", "b": "xdp", "c": "pcap"}
HOLD = 9
"""Seconds of silence after which a peer without BFD is lost."""
ENDS_ALL = 0.5
"""Seconds of standstill after which BFD of 3 × 300 ms may end sessions: its last packet is a while old then."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens to an engine."""

    name: str
    engine: str
    # Makes it happen, waits until the router has followed, and undoes it. Returns the seconds that the router took,
    # None where its routes were to stay.
    happen: Callable[[World, Engine], float | None]
    within: float = 0.0  # seconds in which the router is to have followed
    ready: Callable[[World, Engine], None] | None = None  # what is done before there is traffic
    mend: Callable[[World, Engine], None] | None = None  # undoes it when the traffic has ended
    loses: float = 0.0  # seconds for which the datagrams of one engine may be lost
    long: bool = False  # takes too long for the suite


@dataclass(frozen=True, slots=True)
class Measured:
    """What an event did."""

    event: Event
    gone: float | None  # seconds until the router sent nothing more to the engine
    sent: int  # datagrams
    lost: int  # of them
    broken: list[str]  # of the connections, why
    held: int  # connections
    stood: float = 0.0  # seconds for which the machine itself stood still meanwhile

    def faults(self, interval: float, allowance: float) -> list[str]:
        """What is worse than it may be. interval: seconds between two datagrams; allowance: seconds that the router may
        take longer, because others use the machine."""
        event, found = self.event, []
        within = event.within + allowance + self.stood
        if self.gone is not None and self.gone > within:
            found.append(f"the router took {self.gone:.2f} s, at most {within:.2f}")
        most = int((event.loses + allowance) / interval) if event.loses else 0
        # Where BFD is quick, it ends every session of a machine that stands still: nothing has a route then.
        everybody = event.ready is _with_quick_bfd and self.stood > ENDS_ALL
        if self.lost > most and not everybody:
            found.append(f"{self.lost} datagrams of {self.sent} lost, at most {most}")
        if self.broken:
            found.append(f"{len(self.broken)} of {self.held} connections broken: {self.broken[0]}")
        return found

    def row(self) -> str:
        """As a line of the table."""
        gone = "stays" if self.gone is None else f"{self.gone:.2f} s"
        bound = f"{self.event.within:.1f} s" if self.event.within else ""
        what = f"{self.event.name} ({self.event.engine}, {DRIVERS[self.event.engine]})"
        return f"{what:58} {gone:>8} {bound:>7} {self.lost:>6} of {self.sent:<6} {len(self.broken):>4} of {self.held}"


def measure(world: World, event: Event) -> Measured:
    """Have an event happen under traffic. All engines are well before, and are again afterwards."""
    if event.ready is not None:
        event.ready(world, world.engines[event.engine])
    world.hops(*ENGINES)
    with Witness() as machine:
        begun = time.monotonic()
        with world.traffic() as traffic:
            gone = event.happen(world, world.engines[event.engine])
        stood = machine.stood(begun)
    if event.mend is not None:
        event.mend(world, world.engines[event.engine])
    world.hops(*ENGINES)
    return Measured(event, gone, traffic.sent, traffic.lost, world.held.broken, world.held.count, stood)


def _others(engine: Engine) -> set[str]:
    return {name for name, address in ENGINES.items() if address != engine.address}


def _followed(world: World, engine: Engine) -> float:
    return world.hops(*_others(engine))


def _back(world: World) -> None:
    world.hops(*ENGINES)


def _withdrawn(world: World, engine: Engine) -> float:
    engine.publish(route=None)
    took = _followed(world, engine)
    engine.publish()
    _back(world)
    return took


def _down(world: World, engine: Engine) -> float:
    engine.publish(monitors=(PING, DEAD))
    until(lambda: not engine.vip()["up"], engine.log)
    took = _followed(world, engine)
    engine.publish()
    _back(world)
    return took


def _ended(world: World, engine: Engine) -> float:
    engine.send(signal.SIGTERM)
    took = _followed(world, engine)
    engine.end()
    assert not list(engine.bgp.glob("*.conf")), "BIRD's files are left"
    assert not birdcontrol.process(engine.bgp), "BIRD is left"
    assert not locks.holder(engine.bgp / LOCK), "the keeper is left"
    engine.start()
    _back(world)
    return took


def _killed(world: World, engine: Engine) -> None:
    bird = birdcontrol.process(engine.bgp)
    learned = _learned(world, engine)
    engine.end(signal.SIGKILL)
    engine.start()
    until(lambda: engine.status().get("bgp"), engine.log)
    _back(world)
    assert birdcontrol.process(engine.bgp) == bird, "the BIRD that ran is not taken over"
    now = _learned(world, engine)
    assert now.peers == learned.peers, "the session is another's"
    if now.session == learned.session:  # else BFD ended it: its 0.9 s pass where the machine stands still
        assert now.route == learned.route, "the route came again"


class _Learned(NamedTuple):
    """What a router knows of an engine. FRR's times are relative: nothing is told of them."""

    peers: str  # the engine's side of its sessions, as its BIRD reads it
    route: str = ""  # when BIRD as the router learned the route to the VIP
    session: str = ""  # since when it has the session


def _learned(world: World, engine: Engine) -> _Learned:
    peers = (engine.bgp / birdconfig.SPEAKER).read_text()
    if world.router is None:
        return _Learned(peers)
    protocol = f"engine{list(ENGINES).index(_name(engine))}"
    told = world.router.ask(f"show protocols {protocol}")
    route = re.search(rf"\[{protocol} (\S+)\]", world.router.ask(f"show route for {VIP}"))
    session = re.search(rf"{protocol} +BGP +\S+ +up +(\S+)", told)
    assert route, "the router has no route"
    assert session, told
    return _Learned(peers, route[1], session[1])


def _stays_dead(world: World, engine: Engine) -> float:
    engine.end(signal.SIGKILL)
    took = _followed(world, engine)
    engine.start()
    _back(world)
    return took


def _hangs(world: World, engine: Engine) -> float:
    engine.send(signal.SIGSTOP)
    took = _followed(world, engine)
    assert locks.holder(engine.folder / "run" / "se-1.pid"), "its lock is held meanwhile"
    engine.send(signal.SIGCONT)
    _back(world)
    until(
        lambda: engine.tells("had withdrawn the routes to all VIPs: the engine stood still for 10 s", "bgp_withdrawn"),
        engine.log,
    )
    return took


def _left_and_cleaned(world: World, engine: Engine) -> float:
    engine.end(signal.SIGHUP)
    _back(world)
    assert engine.clean().startswith("ended the keeper of BIRD\nended BIRD, process ")
    took = _followed(world, engine)
    engine.start()
    _back(world)
    return took


def _without_keeper(world: World, engine: Engine) -> None:
    bird = birdcontrol.process(engine.bgp)
    os.kill(locks.holder(engine.bgp / LOCK), signal.SIGKILL)
    until(lambda: engine.tells("the keeper of BIRD ended, and was started again", "bgp_restarted"), engine.log)
    assert birdcontrol.process(engine.bgp) == bird
    _back(world)


def _without_bird(world: World, engine: Engine) -> float:
    os.kill(birdcontrol.process(engine.bgp), signal.SIGKILL)
    took = _followed(world, engine)
    until(lambda: engine.tells("BIRD was started again", "bgp_restarted"), engine.log)
    _back(world)
    return took


def _name(engine: Engine) -> str:
    return next(name for name, address in ENGINES.items() if address == engine.address)


def _unplugged(world: World, engine: Engine) -> float:
    world.plug(_name(engine), there=False)
    took = _followed(world, engine)
    world.plug(_name(engine), there=True)
    _back(world)
    return took


def _unplugged_without_bfd(world: World, engine: Engine) -> float:
    silent = replace(PEER, bfd=False, keepalive=HOLD // 3, hold_time=HOLD)
    _speak(world, replace(BGP, peers=(silent,)))
    return _unplugged(world, engine)


def _with_bfd(world: World, engine: Engine) -> None:
    _speak(world, BGP)


def _speak(world: World, bgp: plan.Bgp) -> None:
    """Have all engines speak so: one after the other, so that none of the traffic is without a route."""
    for engine in world.engines.values():
        before = [peer["since"] for peer in engine.status()["bgp"]["peers"]]
        engine.publish(bgp)

        def again(engine: Engine = engine, before: list[float] = before) -> bool:
            (peer,) = engine.status()["bgp"]["peers"]
            return peer["state"] == "established" and [peer["since"]] != before

        until(again, engine.log, 60)
        _back(world)


def _with_quick_bfd(world: World, engine: Engine) -> None:
    _by_bfd(world, QUICK)


def _with_slow_bfd(world: World, engine: Engine) -> None:
    _by_bfd(world, BGP)


def _by_bfd(world: World, bgp: plan.Bgp) -> None:
    """Have BFD of all engines be as quick as that; their sessions stay."""
    ends = f" {3 * bgp.bfd_receive / 1000:.3f}"
    for engine in world.engines.values():
        engine.publish(bgp)

        def agreed(engine: Engine = engine) -> bool:
            told = birdcontrol.ask(engine.bgp, "show bfd sessions")
            return any(ROUTER in line.text and " Up " in line.text and line.text.endswith(ends) for line in told)

        until(agreed, engine.log, 60)


EVENTS = (
    Event("routes withdrawn", "a", _withdrawn, 0.3),
    Event("its servers are down for an engine", "a", _down, 0.3, loses=0.3),
    Event("SIGTERM: withdrawn, then the engine ends", "a", _ended, 0.3),
    Event("SIGTERM: withdrawn, then the engine ends", "c", _ended, 0.3),
    Event("kill -9 of the engine, started again", "a", _killed),
    Event("kill -9 of the engine, not started again", "c", _stays_dead, 0.5, loses=0.5),
    Event("kill -9 of the engine, not started again", "a", _stays_dead, 31.0, long=True),
    Event("SIGHUP, then avi-se clean", "a", _left_and_cleaned, 0.3),
    Event("the engine stands still, its lock held", "b", _hangs, 10.5),
    Event("kill -9 of the keeper", "a", _without_keeper),
    Event("kill -9 of BIRD", "a", _without_bird, 0.3),
    Event(
        "the host is cut off and comes back, hold time 9 s",
        "b",
        _unplugged_without_bfd,
        9.3,
        mend=_with_bfd,
        loses=9.3,
        long=True,
    ),
    Event(
        "the host is cut off and comes back, BFD 3 × 300 ms",
        "b",
        _unplugged,
        1.1,
        _with_quick_bfd,
        _with_slow_bfd,
        loses=1.1,
    ),
)
"""All of them."""


def report(world: World, events: Sequence[Event], title: str) -> int:
    """Have all of these happen, one after the other, and print what each did. Returns how many were too bad."""
    print(f"\n{title}\n{'event':58} {'gone':>8} {'bound':>7} {'datagrams lost':>14}    connections broken", flush=True)
    bad = 0
    for event in events:
        measured = measure(world, event)
        faults = measured.faults(world.interval, 0.0)
        print(measured.row() + (f"   BAD: {'; '.join(faults)}" if faults else ""), flush=True)
        bad += bool(faults)
    return bad


def main() -> int:
    """The long version: every event, with thousands of connections, behind FRR and behind BIRD."""
    parser = argparse.ArgumentParser(prog="python -m tests.bgp.events", description=__doc__)
    parser.add_argument("--connections", type=int, default=1000, help="held to each of two VIPs (default: %(default)s)")
    parser.add_argument("--router", choices=("frr", "bird"), action="append", help="default: both")
    parser.add_argument("--only", default="", help="events whose names have this in them")
    arguments = parser.parse_args()
    events = [event for event in EVENTS if arguments.only in event.name]
    bad = 0
    for router in arguments.router or ("frr", "bird"):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="avi-fleet-")))
            world = World(
                stack, folder, DRIVERS, with_frr=router == "frr", connections=arguments.connections, interval=0.001
            )
            bad += report(world, events, f"{2 * arguments.connections} connections, one datagram a ms, {router}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
