"""Every monitor type against real servers on a segment."""

import asyncio
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dataplane.forwarding.values import Interface
from dataplane.health.probepaths import ProbePaths
from dataplane.health.probes.check import Check, Outcome, ProbeFailed
from dataplane.health.probes.factory import ProbeFactory
from dataplane.health.probes.script import interpreter
from dataplane.plan import L3_IPIP, Monitor
from tests.health import askvip
from tests.health.segment import DEAD, ENGINE, SERVER, VIP, Segment, monitor, segment
from tests.polling import until

CLOSED = 9


@pytest.fixture(scope="module")
def there() -> Iterator[Segment]:
    with segment() as made:
        yield made


TCP_ROWS: list[tuple[str, dict[str, Any], bytes, bool | str]] = [
    ("connect alone", {}, b"", True),
    ("what is wanted", {"request": r"ping\r\n", "response": "pong"}, b"+pong\r\n", True),
    ("wanted bytes", {"request": r"\x01", "response": r"\x02\x00"}, b"\1\2\0", True),
    (
        "something else",
        {"request": "ping", "response": "pong"},
        b"nothing",
        "its answer does not contain 'pong': its answer begins 'nothing'",
    ),
    (
        "maintenance",
        {"request": "ping", "response": "pong", "maintenance": "away"},
        b"away, pong",
        "under maintenance: it answered 'away'",
    ),
    ("no maintenance", {"request": "x", "response": "pong", "maintenance": "away"}, b"pong", True),
    ("nothing", {"response": "pong"}, b"", "the VIP took the connection, and answered nothing within 1 s"),
]


@pytest.mark.root
@pytest.mark.parametrize(("fields", "answer", "expected"), [r[1:] for r in TCP_ROWS], ids=[r[0] for r in TCP_ROWS])
def test_tcp(there: Segment, fields: dict[str, Any], answer: bytes, expected: bool | str) -> None:
    with there.answering(answer) as (port, _):
        assert there.probe(monitor("TCP", **fields), port) == expected


@pytest.mark.root
@pytest.mark.parametrize("half_open", [False, True])
def test_tcp_without_a_listener_without_the_vip_and_without_a_server(there: Segment, half_open: bool) -> None:
    wanted = monitor("TCP", half_open=half_open)
    assert there.probe(wanted, CLOSED) == f"port {CLOSED} is closed on the VIP: connection refused"
    assert there.probe(wanted, 80, vip="10.9.0.101") == "silent: no answer from the VIP within 1 s"
    assert str(there.probe(wanted, 80, server=DEAD)).startswith("silent: ")


@pytest.mark.root
def test_a_half_open_probe_is_never_accepted(there: Segment) -> None:
    with there.listen(socket.SOCK_STREAM) as listening:
        port = listening.getsockname()[1]
        listening.settimeout(45)
        assert there.probe(monitor("TCP", half_open=True), port) is True
        until(lambda: there.server.sh("ss -Htn state syn-recv") == "", lambda: "the reset did not arrive", 10)
        assert there.probe(monitor("TCP"), port) is True
        listening.accept()[0].close()  # the whole connection's, alone
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()


@pytest.mark.root
def test_a_socket_that_is_used_again_knows_nothing_of_its_last_probe(there: Segment) -> None:
    """One socket serves one probe after the other while they end well; each has a port of its own."""
    tcp, http = monitor("TCP"), monitor("HTTP", request="GET / HTTP/1.0")
    answer = b"HTTP/1.0 200 OK\r\n\r\n"
    with there.answering(answer) as (port, got), there.listen(socket.SOCK_STREAM) as listening:
        quiet = listening.getsockname()[1]
        asked = [(tcp, quiet), (tcp, CLOSED), (tcp, quiet), (http, port), (http, quiet), (http, port), (tcp, quiet)]

        async def run(paths: ProbePaths, probes: ProbeFactory, interface: Interface) -> list[object]:
            source = socket.inet_aton(ENGINE)
            mark = paths.open(socket.inet_aton(SERVER), interface, source)
            return [await outcome(probes, each, at, mark, source) for each, at in asked]

        refused, late = f"port {CLOSED} is closed on the VIP: connection refused", "no answer within 1 s"
        assert there.run(run) == [
            True,
            refused,
            True,
            True,
            f"the VIP took the connection, and sent {late}",
            True,
            True,
        ]
        clients = set()
        for _ in range(4):
            accepted, client = listening.accept()
            accepted.close()
            clients.add(client)
        assert len(clients) == 4
        assert len(got) == 2


@pytest.mark.root
def test_what_came_with_the_connection_is_read() -> None:
    """The server speaks before the probe looks, and then no more."""

    async def run() -> Outcome:
        probes, told = ProbeFactory(), asyncio.get_running_loop().create_future()
        here = socket.inet_aton("127.0.0.1")
        with socket.create_server(("127.0.0.1", 0)) as listening:
            check = Check(here, here, listening.getsockname()[1], monitor("TCP", response="220"))
            probes.probe(check).start(0, here, told.set_result)
            accepted, _ = listening.accept()
            with accepted:
                accepted.sendall(b"220 welcome")
                found: Outcome = await told
        probes.close()
        return found

    assert asyncio.run(run()) is True


async def outcome(probes: ProbeFactory, of: Monitor, port: int, mark: int, source: bytes) -> object:
    """Of one probe; in words if it failed."""
    told: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    check = Check(socket.inet_aton(VIP), socket.inet_aton(SERVER), port, of)
    probes.probe(check).start(mark, source, told.set_result)
    found = await told
    return found.reason if isinstance(found, ProbeFailed) else found


UDP_ROWS: list[tuple[str, dict[str, Any], bytes, bool | str]] = [
    ("any answer", {"request": "ping"}, b"pong", True),
    ("silence, which is good", {"request": "ping"}, b"", False),
    ("what is wanted", {"request": "ping", "response": "pong"}, b"pong", True),
    (
        "silence, which is not",
        {"request": "ping", "response": "pong"},
        b"",
        "silent: no answer from the VIP within 1 s",
    ),
    (
        "something else",
        {"request": "ping", "response": "pong"},
        b"else",
        "its answer does not contain 'pong': its answer begins 'else'",
    ),
    ("maintenance", {"maintenance": "away"}, b"away", "under maintenance: it answered 'away'"),
]


@pytest.mark.root
@pytest.mark.parametrize(("fields", "answer", "expected"), [r[1:] for r in UDP_ROWS], ids=[r[0] for r in UDP_ROWS])
def test_udp(there: Segment, fields: dict[str, Any], answer: bytes, expected: bool | str) -> None:
    with there.echoing(answer) as (port, got):
        assert there.probe(monitor("UDP", **fields), port) == expected
        assert got == [fields.get("request", "").encode()]


@pytest.mark.root
def test_udp_on_a_closed_port(there: Segment) -> None:
    assert there.probe(monitor("UDP"), CLOSED) == f"port {CLOSED} is closed on the VIP: ICMP port unreachable"


@pytest.mark.root
def test_ping(there: Segment) -> None:
    assert there.probe(monitor("PING")) is True
    assert there.probe(monitor("PING"), vip="10.9.0.101") == "silent: no answer from the VIP within 1 s"
    assert there.probe(monitor("PING"), server=DEAD) == "silent: no answer from the VIP within 1 s"


HTTP_ROWS: list[tuple[str, dict[str, Any], bytes, bool | str]] = [
    ("a good status", {}, b"HTTP/1.0 200 OK\r\n\r\n", True),
    ("one of the good", {"codes": ("HTTP_2XX", "HTTP_3XX")}, b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", True),
    ("a bad status", {}, b"HTTP/1.0 503 Busy\r\n\r\n", "HTTP status 503, expected 2XX"),
    ("any status", {"codes": ("HTTP_ANY",)}, b"HTTP/1.0 503 Busy\r\n\r\n", True),
    ("maintenance by status", {"codes": ("HTTP_ANY",), "maintenance_codes": (503,)}, b"HTTP/1.0 503 Busy\r\n\r\n",
     "under maintenance: HTTP status 503"),
    ("maintenance by text", {"maintenance": "closed"}, b"HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nclosed",
     "under maintenance: its answer contains 'closed'"),
    ("text", {"response": "alive"}, b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nI alive!", True),
    ("other text", {"response": "alive"}, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndead",
     "HTTP status 200, but its answer does not contain 'alive'"),
    ("text beyond what is looked at", {"response": "alive"}, b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 2048 + b"alive",
     "HTTP status 200, but its answer does not contain 'alive'"),
    ("text within more", {"response": "alive", "response_size": 4096},
     b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 2048 + b"alive", True),
    ("no HTTP", {}, b"SSH-2.0-OpenSSH\r\n", "not an HTTP answer: 'SSH-2.0-OpenSSH\\r\\n'"),
]  # fmt: skip


@pytest.mark.root
@pytest.mark.parametrize(("fields", "answer", "expected"), [r[1:] for r in HTTP_ROWS], ids=[r[0] for r in HTTP_ROWS])
def test_http(there: Segment, fields: dict[str, Any], answer: bytes, expected: bool | str) -> None:
    with there.answering(answer) as (port, got):
        assert there.probe(monitor("HTTP", request="GET / HTTP/1.0", **fields), port) == expected
        assert got == [f"GET / HTTP/1.0\r\nHost: {VIP}\r\nUser-Agent: avi/1.0\r\nAccept: */*\r\n\r\n".encode()]


SCRIPTS: list[tuple[str, dict[str, Any], bool | str]] = [
    ("output", {"script": "echo up"}, True),
    ("output and a bad status", {"script": "echo up; exit 3"}, True),
    ("no output", {"script": "exit 0"}, "its script wrote nothing to its standard output"),
    ("a bad status", {"script": "exit 3"}, "its script wrote nothing to its standard output, and ended with 3"),
    ("a complaint", {"script": "echo hm >&2; echo no >&2"}, "its script wrote nothing to its standard output: no"),
    ("too long", {"script": "sleep 600"}, "its script has not ended within 1 s"),
    ("its own interpreter", {"script": "#!/usr/bin/env perl\nprint $ARGV[0]"}, True),
    ("arguments", {"script": f'[ "$1 $2 $3" = "{VIP} {CLOSED} a b" ] && echo', "parameters": "'a b'"}, True),
    (
        "variables",
        {"script": f'[ "$IP $PORT $SERVER $HM_NAME $A" = "{VIP} {CLOSED} {SERVER} m b c" ] && echo',
         "variables": "A='b c'"},
        True,
    ),
    ("no variable", {"script": "echo", "variables": "x"},
     "its script cannot be run: command_variables has 'x', expected NAME=VALUE"),
    ("a variable of the dynamic loader", {"script": "echo", "variables": "LD_PRELOAD=/tmp/x.so"},
     "its script cannot be run: command_variables has LD_PRELOAD, which steers the dynamic loader or the C library"),
    ("a hostile complaint", {"script": r"printf '\033[2J\033]0;x\a\n' >&2"},
     "its script wrote nothing to its standard output: \\x1b[2J\\x1b]0;x\\x07"),
    ("its rights", {"script": '[ "$(id -u)" -gt 65535 ] && grep -q "CapEff:.0*$" /proc/self/status && echo'}, True),
    ("others' processes", {"script": f"kill -0 {os.getpid()} && echo"},
     "its script wrote nothing to its standard output: "),
]  # fmt: skip


@pytest.mark.root
@pytest.mark.parametrize(("fields", "expected"), [row[1:] for row in SCRIPTS], ids=[row[0] for row in SCRIPTS])
def test_external(there: Segment, fields: dict[str, Any], expected: bool | str) -> None:
    told = there.probe(monitor("EXTERNAL", **fields), CLOSED)
    assert told == expected or (str(expected).endswith(": ") and str(told).startswith(str(expected)))


@pytest.mark.root
def test_a_script_asks_the_vip_through_the_server(there: Segment) -> None:
    asks = monitor("EXTERNAL", script=Path(askvip.__file__).read_text(), receive_timeout=9)
    assert "Connection refused" in str(there.probe(asks, CLOSED))
    with there.answering(b"") as (port, _):
        assert there.probe(asks, port) is True


def test_an_interpreter_is_the_scripts_first_line() -> None:
    assert interpreter("#! /usr/bin/env  perl -w\nx") == ["/usr/bin/env", "perl -w"]
    assert interpreter("echo") == ["/bin/sh"]
    assert os.path.exists("/bin/sh")


@pytest.mark.root
def test_no_rule_is_left_neither_at_the_end_nor_by_a_killed_engine(there: Segment) -> None:
    before = there.engine.sh("ip rule; ip route show table all")

    async def twice(paths: ProbePaths, _probes: ProbeFactory, interface: Interface) -> str:
        for by_user in (False, True):
            paths.open(socket.inet_aton(SERVER), interface, socket.inet_aton(ENGINE), by_user=by_user)
        held = await asyncio.to_thread(there.engine.sh, "ip rule")
        paths._rules.forget()  # as if killed: nobody removes them
        return held

    assert "uidrange" in there.run(twice)
    assert there.engine.sh("ip rule; ip route show table all") != before

    async def clean(paths: ProbePaths, _probes: ProbeFactory, _interface: Interface) -> None:
        await paths.clean()

    there.run(clean)
    assert there.engine.sh("ip rule; ip route show table all") == before
    there.probe(monitor("TCP"), CLOSED)
    assert there.engine.sh("ip rule; ip route show table all") == before


@pytest.mark.root
def test_each_of_hundreds_of_marks_leads_to_its_server_and_nothing_else_passes_their_rules(there: Segment) -> None:
    servers = [f"10.9.0.{n}" for n in range(11, 151)]

    async def opened(paths: ProbePaths, _probes: ProbeFactory, interface: Interface) -> None:
        marks = {}
        for server in servers:
            by_user = server.endswith("7")
            marks[server] = paths.open(socket.inet_aton(server), interface, socket.inet_aton(ENGINE), by_user=by_user)
        for server in (*servers[::9], *(server for server in servers if server.endswith("7"))):
            assert f"via {server} " in there.engine.sh(f"ip route get {VIP} mark {marks[server]}")
        script = next(server for server in servers if server.endswith("7"))
        assert f"via {script} " in there.engine.sh(f"ip route get {VIP} uid {marks[script]}")
        rules = there.engine.sh("ip rule").splitlines()
        numbers = [int(rule.split(":")[0]) for rule in rules]
        assert len(rules) > len(servers)
        assert sum(number <= 32767 for number in numbers) == 5  # local, main, default, marks, users
        paths.shut(socket.inet_aton(servers[0]))
        with pytest.raises(subprocess.CalledProcessError):  # not where everybody else is routed
            there.engine.sh(f"ip route get {VIP} mark {marks[servers[0]]}")

    before = there.engine.sh("ip rule; ip route show table all")
    there.run(opened)
    assert there.engine.sh("ip rule; ip route show table all") == before


@pytest.mark.root
def test_an_engine_beside_another_one_leaves_its_paths_alone(there: Segment) -> None:
    before = there.engine.sh("ip rule; ip route show table all")
    first, second = "10.9.0.11", "10.9.0.12"

    async def running(paths: ProbePaths, _probes: ProbeFactory, interface: Interface) -> None:
        def path(mark: int) -> str:
            return there.engine.sh(f"ip route get {VIP} mark {mark}; ip route get {VIP} uid {mark}")

        mark = paths.open(socket.inet_aton(first), interface, socket.inet_aton(ENGINE), by_user=True)
        tunnel = paths.open_tunnel(socket.inet_aton(first), socket.inet_aton(ENGINE), L3_IPIP)
        held = path(mark)
        assert held.count(f"via {first} ") == 2

        async def starts(beside: ProbePaths, _probes: ProbeFactory, interface: Interface) -> None:
            await beside.clean()
            other = beside.open(socket.inet_aton(second), interface, socket.inet_aton(ENGINE), by_user=True)
            others = beside.open_tunnel(socket.inet_aton(second), socket.inet_aton(ENGINE), L3_IPIP)
            assert path(other).count(f"via {second} ") == 2
            assert {mark, tunnel}.isdisjoint({other, others})
            assert path(mark) == held

        there_alone = there.engine.sh("ip rule; ip route show table all")
        await asyncio.to_thread(there.run, starts)
        assert there.engine.sh("ip rule; ip route show table all") == there_alone

    there.run(running)
    assert there.engine.sh("ip rule; ip route show table all") == before


@pytest.mark.root
def test_what_a_killed_engine_left_goes_though_its_range_is_not_taken_again(there: Segment) -> None:
    before = there.engine.sh("ip rule; ip route show table all")

    async def body(first: ProbePaths, _probes: ProbeFactory, interface: Interface) -> None:
        first._take()

        async def killed(paths: ProbePaths, _probes: ProbeFactory, interface: Interface) -> None:
            paths.open(socket.inet_aton(SERVER), interface, socket.inet_aton(ENGINE), by_user=True)
            paths._rules.forget()  # as if killed: nobody removes them

        await asyncio.to_thread(there.run, killed)
        assert there.engine.sh("ip rule; ip route show table all") != before
        await first.clean()
        assert there.engine.sh("ip rule; ip route show table all") == before

    there.run(body)
