"""An engine's host and a server's on one segment, in namespaces, and probes that really travel between them."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, TypeVar

from dataplane import plan
from dataplane.forwarding.values import Interface
from dataplane.health.probepaths import ProbePaths
from dataplane.health.probes.check import Check, Outcome, ProbeFailed
from dataplane.health.probes.factory import ProbeFactory
from dataplane.network.settings import KernelSettings
from tests.netns import Namespace
from tests.polling import until

ENGINE, SERVER, VIP, DEAD = "10.9.0.1", "10.9.0.2", "10.9.0.100", "10.9.0.3"
T = TypeVar("T")


def monitor(type_: str, **fields: Any) -> plan.Monitor:
    """A monitor that waits a second for answers."""
    values = {"send_interval": 1, "receive_timeout": 1, "successful_checks": 1, "failed_checks": 1}
    return plan.Monitor("m", f"HEALTH_MONITOR_{type_}", **values | fields)


class Segment:
    """The two hosts. The VIP is on the server's loopback."""

    def __init__(self, engine: Namespace, server: Namespace) -> None:
        self.engine = engine
        self.server = server

    def listen(self, kind: socket.SocketKind, address: str = VIP) -> socket.socket:
        """A socket on the server; TCP ones listen."""

        def make() -> socket.socket:
            made = socket.socket(socket.AF_INET, kind)
            made.bind((address, 0))
            if kind == socket.SOCK_STREAM:
                made.listen(16)
            return made

        return self.server.run(make)

    @contextmanager
    def answering(self, answer: bytes) -> Iterator[tuple[int, list[bytes]]]:
        """A TCP server that answers the first bytes of every connection: its port, and what it was sent."""
        got: list[bytes] = []
        with self.listen(socket.SOCK_STREAM) as listening, _thread(lambda: _answer(listening, answer, got)):
            yield listening.getsockname()[1], got
            listening.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def echoing(self, answer: bytes) -> Iterator[tuple[int, list[bytes]]]:
        """The same of UDP; an empty answer: none is sent."""
        got: list[bytes] = []
        with self.listen(socket.SOCK_DGRAM) as listening, _thread(lambda: _echo(listening, answer, got)):
            yield listening.getsockname()[1], got
            with suppress(OSError):  # not connected, and woken up all the same
                listening.shutdown(socket.SHUT_RDWR)

    def probe(self, monitor: plan.Monitor, port: int = 80, server: str = SERVER, vip: str = VIP) -> bool | str:
        """Run one probe: whether the server was heard, or the reason of its failure ("silent: …")."""
        check = Check(socket.inet_aton(vip), socket.inet_aton(server), port, monitor)

        async def run(paths: ProbePaths, probes: ProbeFactory, interface: Interface) -> bool | str:
            source = socket.inet_aton(ENGINE)
            mark = paths.open(check.server, interface, source, by_user=True)
            told: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
            probes.probe(check).start(mark, source, told.set_result)
            outcome = await told
            if isinstance(outcome, ProbeFailed):
                return f"silent: {outcome.reason}" if outcome.silent else outcome.reason
            return outcome

        return self.run(run)

    def run(self, function: Callable[[ProbePaths, ProbeFactory, Interface], Awaitable[T]]) -> T:
        """Call a coroutine function on the engine's host."""

        async def whole() -> T:
            paths, probes, settings = ProbePaths(), ProbeFactory(), KernelSettings()
            index, mac = self.engine.link("up0")
            interface = Interface(index, "up0", mac, 1500, (socket.inet_aton(ENGINE),))
            try:
                settings.prepare(interface.name)
                return await function(paths, probes, interface)
            finally:
                probes.close()
                await paths.close()
                settings.close()

        return self.engine.run(lambda: asyncio.run(whole()))


@contextmanager
def segment() -> Iterator[Segment]:
    """Both hosts, up."""
    with ExitStack() as stack:
        engine, server = stack.enter_context(Namespace()), stack.enter_context(Namespace())
        engine.sh(f"ip link add up0 type veth peer name up0 netns {server.path}; ip link set up0 up")
        engine.sh(f"ip address add {ENGINE}/24 dev up0")
        server.sh("sysctl -qw net.ipv4.conf.all.arp_ignore=1; ip link set up0 up")
        server.sh(f"ip address add {SERVER}/24 dev up0; ip address add {VIP}/32 dev lo")
        for there in (engine, server):  # the kernel lets nothing out until it has seen the carrier, for up to a second
            until(lambda there=there: "UP" in there.sh("ip -br link show up0").split())  # type: ignore[misc]
        yield Segment(engine, server)


@contextmanager
def _thread(body: Callable[[], None]) -> Iterator[None]:
    thread = threading.Thread(target=body)
    thread.start()
    try:
        yield
    finally:
        thread.join(10)
        assert not thread.is_alive()


def _answer(listening: socket.socket, answer: bytes, got: list[bytes]) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        with connection:
            connection.settimeout(45)
            try:
                got.append(connection.recv(4096))
                connection.sendall(answer)
                connection.recv(1)
            except OSError:  # the probe resets its connection
                continue


def _echo(listening: socket.socket, answer: bytes, got: list[bytes]) -> None:
    while True:
        try:
            data, client = listening.recvfrom(4096)
        except OSError:
            return
        if not client:
            return
        got.append(data)
        if answer:
            listening.sendto(answer, client)
