"""A speaker beside a router: the announcer as an engine has it, without an engine."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from dataplane import plan
from dataplane.bgp.announcer import BgpAnnouncer
from dataplane.bgp.birdconfig import ROUTES
from dataplane.bgp.keeper import Patience
from dataplane.forwarding.values import Interface
from dataplane.vip.announcer import Known
from tests import told
from tests.netns import Namespace

from .routers import AS, ENGINES_AS, Router

ENGINE, ROUTER, VIP, OTHER_VIP = "10.7.0.1", "10.7.0.254", "10.99.0.1", "10.99.0.2"
ETH0 = Interface(2, "eth0", bytes(6), 1500, (socket.inet_aton(ENGINE),))
PEER = plan.Peer(ROUTER, ENGINES_AS, AS, "10.7.0.0/24", connect_timer=1)


def bgp(*peers: plan.Peer) -> plan.Bgp:
    """Speakers with these peers, PEER where none is named. BFD is slow: a machine that stands still ends no session."""
    return plan.Bgp(ENGINES_AS, peers or (PEER,), bfd_transmit=3000, bfd_receive=3000)


def known(vip: str = VIP, **route: Any) -> Known:
    """A VIP that routers are to be told of."""
    return Known(socket.inet_aton(vip), False, plan.Route(**route))


class Speaker:
    """An announcer, and what it told. There for the time of a test, on its event loop."""

    def __init__(self, folder: Path, *, forwards_on: bool = True, patience: Patience | None = None) -> None:
        self.folder, self.events, self.left = folder, list[str](), False
        self.heard_again: list[tuple[float, str]] = []
        """What was told when a router heard it again: the seconds, and the routes that BIRD had until then."""
        self.announcer = BgpAnnouncer(
            folder,
            forwards_on=forwards_on,
            tell=told.into(self.events),
            patience=patience,
            heard_again=self._heard_again,
        )
        self.announcer.follow([ETH0])

    async def until(self, condition: Callable[[], object], seconds: float = 45.0) -> None:
        """Poll until a condition is true, while the announcer does its work."""
        deadline = time.monotonic() + seconds
        while not await asyncio.to_thread(condition):
            assert time.monotonic() < deadline, f"{self.announcer.report()}\n{self.events}\n{self._log()}"
            await asyncio.sleep(0.02)

    async def told(self, text: str) -> None:
        """Wait for an event that has a text in it."""
        await self.until(lambda: any(text in event for event in self.events))

    async def reports(self, state: str, reason: str) -> None:
        """Wait until the only peer is reported so."""

        def reported() -> bool:
            (peer,) = self.announcer.report()["peers"]
            return peer["state"] == state and reason in peer["reason"]

        await self.until(reported)

    async def leave(self) -> None:
        """End as a process that is killed: nothing is withdrawn."""
        self.left = True
        await self.announcer.close()

    def _heard_again(self, seconds: float) -> None:
        self.heard_again.append((seconds, (self.folder / ROUTES).read_text()))

    def _log(self) -> str:
        return "".join(path.read_text("utf-8", "replace") for path in sorted(self.folder.glob("*.log")))


class Wire:
    """A namespace of an engine's host and one of a router, joined."""

    def __init__(self, stack: ExitStack) -> None:
        self.engine, self.router = stack.enter_context(Namespace()), stack.enter_context(Namespace())
        self.engine.sh(f"ip link add eth0 type veth peer name eth0 netns {self.router.path}")
        for there, address in ((self.engine, ENGINE), (self.router, ROUTER)):
            there.sh(f"ip link set eth0 up; ip addr add {address}/24 dev eth0")

    def speak(
        self,
        folder: Path,
        test: Callable[[Speaker], Awaitable[None]],
        *peers: plan.Peer,
        forwards_on: bool = True,
        patience: Patience | None = None,
        vips: tuple[Known, ...] = (known(),),
    ) -> None:
        """Run a test beside a speaker that tells its peers of VIPs."""

        async def run() -> None:
            speaker = Speaker(folder, forwards_on=forwards_on, patience=patience)
            speaker.announcer.speak(bgp(*peers))
            for vip in vips:
                speaker.announcer.announce(vip)
            try:
                await test(speaker)
            finally:
                if not speaker.left:
                    await speaker.announcer.retire()
                    await speaker.announcer.close()

        self.engine.run(lambda: asyncio.run(run()))


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with ExitStack() as stack:
        yield Wire(stack)


@pytest.fixture(scope="module")
def router(wire: Wire, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Router]:
    made = Router(wire.router, tmp_path_factory.mktemp("router") / "bird", ROUTER, [ENGINE])
    yield made
    made.close()
