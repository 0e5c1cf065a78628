"""The engine's page: what stands on it, how much of a large pool, and that a browser takes it as it is meant."""

from __future__ import annotations

import asyncio
import re
import subprocess
import time
import urllib.request
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from dataplane import plan
from dataplane.daemon import observing, status
from dataplane.daemon.looking import Looks
from dataplane.metrics import page
from dataplane.metrics.page import Asked
from dataplane.ratehistory import RateHistory

from .test_metrics import Counting, free_port, get, with_loopback
from .test_status import FAST, FIRST, PLANNED, SLOW, Site, on_site

NAUGHTY = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"


def visible(html: str) -> str:
    """The text that a reader sees."""
    text = re.sub(r"<[^>]*>", " ", re.sub(r"</?(span|a|code)[^>]*>", "", html))
    return re.sub(r"\s+", " ", unescape(text))


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", Asked()),
        ("pool=p-1&from=500", Asked("p-1", 500)),
        ("from=-1", Asked()),
        ("from=1e9&pool=%3Cb%3E", Asked("<b>", 0)),
        ("&" * 100 + "pool=x", Asked()),
    ],
)
def test_what_an_address_asks_for(query: str, wanted: Asked) -> None:
    assert page.asked(query) == wanted


@pytest.mark.root
def test_a_browser_shows_it_without_running_what_names_hold(tmp_path: Path) -> None:
    async def job(site: Site) -> None:
        site.put(replace(PLANNED, virtualservice=NAUGHTY, pool="p & <q>"))
        site.hear(FIRST, True, FAST, SLOW)
        site.hear(FIRST, False, FAST)
        async with observing.served(site.engine, ("127.0.0.1", free_port())) as port:
            first = await asyncio.to_thread(get, port, "/")
            report = await status.report(site.engine)
            text = visible(first)
            assert f"Pool p & <q>: {report['pools'][0]['state']}, " in text
            for server in report["pools"][0]["servers"]:
                assert f"{server['address']}:{server['port']}" in text
                assert server["reason"] in text
            assert "no_service 7" in text
            assert str(report["events"][-1]["text"]) in text
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            answer = await asyncio.to_thread(opener.open, f"http://127.0.0.1:{port}/?pool=none", None, 10)
            with answer:
                assert answer.headers["Content-Security-Policy"] == page.POLICY
                assert "This engine has no such pool." in answer.read().decode()
            shown = await asyncio.to_thread(browse, f"http://127.0.0.1:{port}/", tmp_path)
        document, said = shown
        assert f"<title>{site.engine.name} – avi-se</title>" in document
        assert "<script" not in document
        assert "<img" not in document
        assert "&lt;img src=x" in document
        assert "Security Policy" not in said, said  # the style is the one that the policy allows

    on_site(lambda site: with_loopback(site, job), Counting())


def browse(address: str, profile: Path) -> tuple[str, str]:
    """The document as Chromium has it, and what its console says."""
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr")
    done = subprocess.run(
        ["chromium", *options, f"--user-data-dir={profile}", "--no-proxy-server", "--dump-dom", address],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout, done.stderr


@pytest.mark.root
def test_a_large_pool_is_folded_and_one_look_serves_many() -> None:
    async def job(site: Site) -> None:
        members = [
            plan.Server(address=f"10.0.{number // 250}.{number % 250 + 3}", port=80, enabled=number > 24)
            for number in range(10_000)
        ]
        site.put(replace(PLANNED, servers=tuple(members), monitors=()))
        looks = Looks(site.engine)
        began = time.process_time()
        report, rates = await looks.look()
        look = time.process_time() - began
        again = await asyncio.gather(*(looks.look() for _ in range(20)))
        assert all(told is report for told, _ in again)
        began = time.process_time()
        html = page.html(report, rates, Asked())
        assert time.process_time() - began < look / 5  # 10,000 servers are not written out
        assert len(html) < 50_000
        assert "All 10,000 servers" in visible(html)
        assert html.count(":80<") == page.FEW  # of those that an operator took out
        assert "5 more are not up. All 10,000 servers" in visible(html)
        one = page.html(report, rates, Asked(PLANNED.pool_uuid, 9_500))
        assert one.count(":80<") == page.MANY
        assert members[-1].address in one
        assert 'href="/?pool=' in one

    on_site(job)


def test_rates_are_shown_from_the_second_look_on() -> None:
    report = {
        "services": [{"vip": "10.1.1.1", "protocol": "tcp", "port": 80, "packets": 10, "bytes": 900}],
        "pools": [],
        "dropped": {"no_server": 4},
    }
    rates = RateHistory().added(1.0, dict(page.counters(report)))
    report["services"][0] |= {"packets": 30, "bytes": 1900}  # type: ignore[index]
    rates = rates.added(3.0, dict(page.counters(report)))
    assert page._rates(rates, ("10.1.1.1", "tcp", 80)) == ("10", "4000", '<span class="bars">█</span>')
    assert rates.now(("dropped", "no_server")) == 0.0
