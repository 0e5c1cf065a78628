"""One view of all: engines of other hosts are asked through etcd."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.document import reference
from avi_shell.configuration.shared import SharedConfiguration
from avi_shell.errors import Refused
from avi_shell.output.result import Result
from avi_shell.session.session import Session
from dataplane.cluster import asking
from dataplane.cluster import operations as op
from dataplane.cluster.asking import Asking
from dataplane.foreign.errors import ForeignError
from dataplane.lab.standstill import Witness
from tests import forked, numbers
from tests.configuration.conftest import Site
from tests.polling import until

from .members import Members
from .segment import Segment, segment

pytestmark = pytest.mark.root
SLACK = 1.5
"""Seconds that a machine under load adds to a deadline."""


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Segment]:
    with segment(tmp_path_factory.mktemp("segment"), ["a", "b"]) as made:
        made.serve(1)
        made.configure(_monitor)
        made.start()
        for host in made.hosts.values():
            until(lambda h=host: [s["state"] for s in h.status()["services"]] == ["down"], host.log, 60)  # type: ignore[misc]
        yield made


def _monitor(site: Site) -> None:
    """The server is down then: nobody listens there."""
    site.save("pool", name="pool0", health_monitor_refs=[reference("healthmonitor", "System-TCP")])


def shown(there: Segment, line: str, host: str = "") -> tuple[str, Any]:
    """What a shell tells, on a host or on one without an engine: as text, and as JSON."""
    state = there.hosts[host].state if host else there.shell
    space = there.hosts[host].there if host else there.spaces["client"]
    shell = ["nsenter", f"--net={space.path}", sys.executable, "-m", "avi_shell", "--state", str(state)]
    both = [forked.popen([*shell, *how, "-c", line], stdout=subprocess.PIPE, text=True) for how in ((), ("--json",))]
    text, data = (one.communicate()[0] for one in both)
    assert [one.returncode for one in both] == [0, 0]
    return text, json.loads(data)


def left(there: Segment) -> list[str]:
    """What questions and answers left in etcd."""
    ranges = [(f"/avi/fleet/{folder}", f"/avi/fleet/{folder[:-1]}0") for folder in (asking.ASK, asking.ANSWER)]
    found = there.etcd.run(lambda: there.etcd.client().txn((), [op.get(*one) for one in ranges]).found)
    return [one.key for keys in found for one in keys]


def test_engines_of_all_hosts_are_seen_from_any(there: Segment) -> None:
    for host in ("", "a"):
        text, data = shown(there, "show serviceengine", host=host)
        assert [(one["name"], one["mgmt_ip"], one["oper_state"]) for one in data["live"]] == [
            ("a", "10.0.0.1", "OPER_UP"),
            ("b", "10.0.0.2", "OPER_UP"),
        ]
        assert "b: driver pcap" in text
        text, data = shown(there, "show virtualservice", host=host)
        assert [(one["name"], one["oper_state"]) for one in data["live"]] == [("vs0", "OPER_DOWN")]
        text, data = shown(there, "show pool pool0 server", host=host)
        assert [(one["service_engine"], len(one["servers"])) for one in data["data"]] == [("a", 1), ("b", 1)]
        assert text.index("Service engine a") < text.index("Service engine b")
        assert "10.0.0.11 is down: " in text
        text, data = shown(there, "show virtualservice vs0 detail", host=host)
        assert [one["service_engine"] for one in data["data"]] == ["a", "b"]
        text, data = shown(there, "show serviceengine b", host=host)
        assert data["data"]["membership"]["state"] == "member"
        assert [one["name"] for one in data["data"]["pools"]] == ["pool0"]
        text, data = shown(there, "show events server 10.0.0.11", host=host)
        assert {(one["engine"], one["kind"]) for one in data["data"]} == {("a", "server_down"), ("b", "server_down")}
        assert " of pool pool0 is down: " in text
        _, data = shown(there, "show serviceengine b route", host=host)
        assert [(one["server"], one["mode"]) for one in data["data"]] == [("10.0.0.11", "l2")]
        assert shown(there, "show serviceengine b drops", host=host)[1]["data"][0]["service_engine"] == "b"
        assert "Service engine b has no BGP" in shown(there, "show serviceengine b bgp", host=host)[0]
    assert left(there) == []


def test_a_shell_shows_how_far_etcd_and_each_engine_is(there: Segment) -> None:
    text, data = shown(there, "show cluster")
    told = data["data"]
    assert [(one["member"], one["state"], one["alarms"]) for one in told["members"]] == [
        ("10.2.0.201:2379", "leads", "none")
    ]
    assert list(numbers.as_text(told)) == []
    assert told["members"][0]["size"] >= told["members"][0]["in_use"] > 0
    assert re.search(r" \d+\.\d MiB ", text)
    assert [(one["name"], one["group"], one["state"]) for one in told["engines"]] == [
        ("a", "Default-Group", "up to date"),
        ("b", "Default-Group", "up to date"),
    ]
    assert (told["cluster"], told["commit"], told["snapshot"], told["fault"]) == ("fleet", told["here"], 1, "")
    assert f"Cluster fleet is at commit {told['here']}, this host at {told['here']}." in text
    alone = Configuration.in_memory()
    refused = Session(alone, there.shell).run("show cluster").error
    assert isinstance(refused, Refused)
    assert refused.what == "this host shares its configuration with no other"


def test_an_engine_that_does_not_answer_is_named_in_time(there: Segment) -> None:
    process = there.hosts["b"].process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    try:
        text, data = shown(there, "show virtualservice")
        assert "Service engine b does not answer within 5 s: what it forwards is unknown." in text
        assert data["silent"] == {"b": "Service engine b does not answer within 5 s"}
        assert data["live"][0]["oper_state"] == "OPER_UNKNOWN"
        with Witness() as machine:
            begun = time.monotonic()
            asks = Asking(there.etcd.address("fleet"))
            told = there.etcd.run(lambda: asks.ask(["a", "b"], {"request": "status", "about": "none"}, 4.0))
            took, stood = time.monotonic() - begun, machine.stood(begun)
        assert 4.0 <= took < 4.0 + SLACK + stood
        assert list(told.told) == ["a"]
        assert told.silent["b"].what == "service engine b does not answer within 4 s"
        asks.close()
    finally:
        process.send_signal(signal.SIGCONT)
    until(lambda: there.hosts["a"].members() == {"a", "b"})


def test_a_host_that_etcd_is_cut_from_says_what_it_cannot_know(there: Segment) -> None:
    a = there.hosts["a"]

    def body() -> tuple[Result, Result]:
        with closing(SharedConfiguration.join(a.state, there.etcd.address("fleet"))) as configuration:
            a.link("store", "down")
            session = Session(configuration, a.state)
            return session.run("show serviceengine"), session.run("show cluster")

    try:
        result, cluster = a.there.run(body)
    finally:
        a.link("store", "up")
    (told,) = [part for part in result.notices if part.startswith("The engines of other hosts were not asked")]
    assert "etcd does not answer: 10.2.0.201:2379: " in told
    assert result.silent == {"of other hosts": told.removeprefix("The engines of other hosts were not asked: ")[:-1]}
    assert result.live is not None
    assert [(one["name"], one["oper_state"]) for one in result.live] == [("a", "OPER_UP"), ("b", "OPER_UNKNOWN")]
    assert cluster.data["members"][0]["state"] in cluster.data["fault"]
    assert (cluster.data["commit"], cluster.data["engines"]) == (None, [])
    until(lambda: a.members() == {"a", "b"})


def written(id_: str, report: object) -> list[tuple[str, bytes]]:
    """The keys and values of an answer that is made in pieces."""
    writing, line = asking.Writing("/avi/parts/", "e", id_), json.dumps(report).encode()
    parts = [one for at in range(0, len(line), 10_000) for one in writing.add(line[at : at + 10_000])]
    return [*parts, *writing.end()]


def test_an_engine_that_says_how_far_it_is_has_more_time(member: Members) -> None:
    """The deadline is silence, not length: the one that says nothing is not waited for."""
    address, patience = member.address("far"), 1.5

    def answer() -> None:
        etcd, folder = member.client(), "/avi/far/ask/slow/"
        until(lambda: bool(etcd.get(folder, op.following(folder))))
        (asked,) = etcd.get(folder, op.following(folder))
        question = asking.read(asked.value)
        writing = asking.Writing("/avi/far/", "slow", asked.key.removeprefix(folder))
        for _ in range(10):
            etcd.put(writing.progress, b"9 of 10 pools looked at", lease=question.lease)
            time.sleep(patience / 5)
        for key, part in [*writing.add(b"{}"), *writing.end()]:
            etcd.put(key, part, lease=question.lease)

    def body() -> None:
        answering = threading.Thread(target=answer)
        answering.start()
        asks, begun = Asking(address), time.monotonic()
        told = asks.ask(["silent", "slow"], {"request": "status"}, patience)
        assert time.monotonic() - begun >= 2 * patience
        assert told.told == {"slow": {}}
        assert told.silent["silent"].what == "service engine silent does not answer within 1.5 s"
        answering.join()
        asks.close()

    member.run(body)


def test_an_answer_larger_than_etcd_takes_comes_whole(member: Members, monkeypatch: pytest.MonkeyPatch) -> None:
    address = member.address("parts")
    report = {"noise": os.urandom(1_200_000).hex()}

    def answer() -> None:
        etcd, folder = member.client(), "/avi/parts/ask/e/"
        until(lambda: bool(etcd.get(folder, op.following(folder))))
        (asked,) = etcd.get(folder, op.following(folder))
        question = asking.read(asked.value)
        assert json.loads(question.line) == {"request": "status"}
        for key, part in written(asked.key.removeprefix(folder), report):
            etcd.put(key, part, lease=question.lease)

    def body() -> None:
        answering = threading.Thread(target=answer)
        answering.start()
        asks = Asking(address)
        assert asks.ask(["e"], {"request": "status"}, 20.0).told == {"e": report}
        answering.join()
        assert member.client().get("/avi/parts/a", "/avi/parts/b") == []
        asks.close()

    member.run(body)
    monkeypatch.setattr(asking, "MOST_PARTS", 2)
    *_, head = written("id", report)
    assert b"is told on its own host alone" in zlib.decompress(head[1].partition(b"\n")[2])


@pytest.mark.parametrize(
    "value", [b"", b"[]", b'{"lease": 1}', b'{"lease": "1", "request": {"request": "status"}}',
              b'{"lease": 1, "request": {"request": "diagnose"}}']
)  # fmt: skip
def test_a_question_that_is_none_is_not_answered(value: bytes) -> None:
    with pytest.raises(ForeignError):
        asking.read(value)
