"""An engine's metrics, as Prometheus' own parser reads them, beside what `avi-se status` tells."""

from __future__ import annotations

import asyncio
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from avi_shell import manual
from dataplane.daemon import observing, status
from dataplane.errors import EngineError
from dataplane.forwarding import translate
from dataplane.forwarding.values import Counters, HandshakeTally, Tally
from dataplane.metrics import exposition, snapshot, text
from dataplane.metrics.exposition import HistogramValue, Metric

from .test_refresh import Memory
from .test_status import FAST, FIRST, PLANNED, SLOW, Site, on_site

ROOT = Path(__file__).parent.parent.parent
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(exposed: str) -> Series:
    """Every sample by name and labels. No series may be there twice."""
    samples = [sample for one in text_string_to_metric_families(exposed) for sample in one.samples]
    series = {(one.name, frozenset(one.labels.items())): one.value for one in samples}
    assert len(series) == len(samples)
    return series


def of(series: Series, metric: Metric, *labels: tuple[str, object]) -> float:
    """The one sample that has these labels."""
    wanted = {(name, str(value)) for name, value in labels}
    (value,) = [found for (name, its), found in series.items() if name == metric.name and wanted <= its]
    return value


class Counting(Memory):
    """A driver that has counted something."""

    def counters(self) -> Counters:
        key = translate.key(PLANNED)
        return Counters(
            5,
            {"no_service": 7, "malformed": 0},
            {key: Tally(10, 1000)},
            {(PLANNED.pool_uuid, FIRST): Tally(4, 400)},
            {key: {"no_server": 3}},
            {},
            {(PLANNED.pool_uuid, FIRST): HandshakeTally(9, 6, 3)},
        )


@pytest.mark.root
def test_they_agree_with_the_status() -> None:
    async def job(site: Site) -> None:
        site.put(replace(PLANNED, servers=(*PLANNED.servers[:1], replace(PLANNED.servers[1], enabled=False, weight=3))))
        site.hear(FIRST, True, FAST, SLOW)
        site.hear(FIRST, False, FAST)
        told = await status.report(site.engine)
        series = parsed(text.text(await snapshot.Gatherer(site.engine).snapshot()))
        (service,), (pool,) = told["services"], told["pools"]
        named = {name: str(service[name]) for name in ("tenant", "virtualservice", "vip", "protocol", "port")}
        assert of(series, text.SERVICE_UP, *named.items(), ("service_engine", "se")) == (service["state"] == "up")
        assert of(series, text.SERVICE_PACKETS) == service["packets"] == 10
        assert of(series, text.SERVICE_BYTES) == service["bytes"] == 1000
        assert of(series, text.SERVICE_DROPPED, ("reason", "no_server")) == service["dropped"]["no_server"] == 3
        assert of(series, text.SE_DROPPED, ("reason", "no_service")) == told["dropped"]["no_service"] == 7
        told_of = site.engine.events.by_severity()
        assert {word: of(series, text.SE_EVENTS, ("severity", word)) for word in told_of} == told_of
        assert told_of["warning"] >= 2
        assert of(series, text.SE_ANSWERED) == told["answered"] == 5
        assert of(series, text.SE_VERSION) == told["version"]
        assert of(series, text.SE_ANNOUNCED, ("vip", PLANNED.vip)) == told["vips"][0]["announced"]
        assert of(series, text.POOL_SERVERS) == len(pool["servers"]) == 2
        assert of(series, text.POOL_SERVERS_UP) == sum(one["state"] == "up" for one in pool["servers"])
        first = pool["servers"][0]
        for word, field in (("yes", "answered"), ("no", "unanswered")):
            assert (
                of(series, text.SERVER_FLOWS, ("server", first["address"]), ("answered", word))
                == (first["handshakes"][field])
            )
        for server in pool["servers"]:
            its = ("server", server["address"]), ("port", server["port"]), ("pool", pool["name"])
            assert of(series, text.SERVER_UP, *its) == (server["state"] == "up")
            assert of(series, text.SERVER_ENABLED, *its) == server["enabled"]
            assert of(series, text.SERVER_WEIGHT, *its) == server["weight"]
            assert of(series, text.SERVER_SHARE, *its) == server["share"]
            assert of(series, text.SERVER_PACKETS, *its) == server["packets"]
            assert of(series, text.SERVER_BYTES, *its) == server["bytes"]
            assert of(series, text.SERVER_CHANGED, *its) == pytest.approx(server["changed"])

    on_site(job, Counting())


@pytest.mark.root
def test_names_that_change_are_told_anew() -> None:
    async def job(site: Site) -> None:
        gatherer = snapshot.Gatherer(site.engine)
        before = parsed(text.text(await gatherer.snapshot()))
        site.put(replace(PLANNED, pool="renamed", servers=(replace(PLANNED.servers[0], weight=9),)))
        after = parsed(text.text(await gatherer.snapshot()))
        assert of(before, text.POOL_SERVERS, ("pool", PLANNED.pool)) == 2
        assert of(after, text.POOL_SERVERS, ("pool", "renamed")) == 1
        assert of(after, text.SERVER_WEIGHT, ("pool", "renamed")) == 9
        site.put(replace(PLANNED, pool="renamed", pool_enabled=False, servers=PLANNED.servers[:1]))
        assert of(parsed(text.text(await gatherer.snapshot())), text.SERVER_ENABLED) == 0

    on_site(job)


def test_labels_say_anything() -> None:
    name = 'a"b\\c\nd'
    exposed = exposition.family(text.SERVER_UP, [(exposition.labels({"pool": name}), 1)])
    assert parsed(exposed) == {("avi_server_up", frozenset({("pool", name)})): 1}


def test_a_histogram_counts_upwards() -> None:
    value = HistogramValue((0.1, 1.0), (3, 2, 1), 4.5)
    series = parsed(exposition.histogram(text.PROBE_SECONDS, {"a": ({"type": "tcp"}, value)}))
    at = {dict(labels)["le"]: found for (name, labels), found in series.items() if name.endswith("_bucket")}
    assert at == {"0.1": 3, "1.0": 5, "+Inf": 6}
    assert series["avi_probe_duration_seconds_count", frozenset({("type", "tcp")})] == 6


@pytest.mark.root
def test_they_are_served_by_a_thread_of_their_own_until_the_end() -> None:
    async def job(site: Site) -> None:
        at = ("127.0.0.1", free_port())
        async with observing.served(site.engine, at) as port:
            answer = await asyncio.to_thread(get, port, "/metrics")
            assert of(parsed(answer), text.POOL_SERVERS) == 2
            with pytest.raises(urllib.error.HTTPError, match="404"):
                await asyncio.to_thread(get, port, "/etc/passwd")
            with pytest.raises(
                EngineError, match=f"metrics cannot be served on 127.0.0.1:{port}: Address already in use"
            ):
                async with observing.served(site.engine, at):
                    pass
        with pytest.raises(urllib.error.URLError, match="refused"):
            await asyncio.to_thread(get, port, "/metrics")

    on_site(lambda site: with_loopback(site, job))


async def with_loopback(site: Site, job: object) -> None:
    """Bring the namespace's loopback up first."""
    process = await asyncio.create_subprocess_exec("ip", "link", "set", "lo", "up")
    await process.wait()
    await job(site)  # type: ignore[operator]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def get(port: int, path: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return str(answer.read().decode())


def names_in(texts: Iterable[str]) -> set[str]:
    import re

    found = {name for one in texts for name in re.findall(r"\bavi_[a-z_]+", one)}
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in found}


def test_every_metric_stands_in_the_manual_and_what_stands_there_is_one() -> None:
    page = manual.page("operating").partition("## Metrics")[2].partition("\n## ")[0]
    assert names_in([page]) == {metric.name for metric in text.METRICS}


def test_the_examples_use_metrics_that_there_are() -> None:
    known = {metric.name for metric in text.METRICS}
    dashboard = json.loads((ROOT / "examples" / "metrics" / "grafana.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    alerts = (ROOT / "examples" / "metrics" / "alerts.yml").read_text()
    assert len(asked) >= 6
    assert names_in([*asked, alerts]) <= known
