"""What is made of what the probes found: each line of the table is a member, and what is said of it first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dataplane import plan
from dataplane.daemon.diagnose import probes
from dataplane.diagnosis.findings import CLOSED, ENGINE, EXPIRES, OPEN, REPLIES, SERVER, SILENT, Facts, cause, findings
from dataplane.network.reachability import Fault

MAC, OTHER = frozenset({"02:00:00:00:00:0b"}), frozenset({"02:00:00:00:00:0c"})
WELL = Facts(
    "10.9.0.11", "10.9.0.100", plan.L2, 80, engine="10.9.0.1", interface="eth0", neighbour=next(iter(MAC)), answers=MAC,
    unsigned=MAC, far=MAC, host=True, host_port=OPEN, echo=REPLIES, last=REPLIES, vip_port=OPEN, full=1500, fits=1500,
)  # fmt: skip
DEAF = replace(WELL, echo=SILENT, last=SILENT, vip_port=SILENT, fits=0, failing=("no answer from the VIP within 1 s",))
GONE = replace(DEAF, host=False, host_port=SILENT, answers=frozenset(), unsigned=frozenset(), far=frozenset())
FAR_AWAY: dict[str, Any] = {
    "mode": plan.L3_GRE, "on_link": False, "answers": frozenset(), "unsigned": frozenset(), "far": frozenset(),
}  # fmt: skip

TABLE = [
    (replace(WELL, no_route="it is on no network"), "it is on no network", ENGINE, 0),
    (replace(GONE, own=Fault("the own host drops it", "sysctl -w a=2")), "the own host drops it", ENGINE, 1),
    (replace(DEAF, own=Fault("the own host drops it"), own_advice="nft"), "the own host drops it", ENGINE, 0),
    (GONE, "no reply to ARP for 10.9.0.11 on eth0", SERVER, 0),
    (replace(GONE, unsigned=MAC), "drops what comes from 10.9.0.1: rp_filter?", SERVER, 1),
    (replace(DEAF, host=False, host_port=SILENT), "answers ARP, and neither ping nor TCP", SERVER, 0),
    (replace(WELL, answers=OTHER, permanent=True), "the neighbour entry is fixed by hand", ENGINE, 1),
    (replace(WELL, answers=MAC | OTHER), "2 MAC addresses answer ARP for 10.9.0.11", SERVER, 1),
    (replace(WELL, owners=MAC), "answers ARP for the VIP 10.9.0.100", SERVER, 2),
    (replace(DEAF, last=EXPIRES), "VIP missing on its loopback?", SERVER, 3),
    (DEAF, "VIP missing on its loopback?", SERVER, 3),
    (replace(DEAF, echo=REPLIES), "VIP missing on its loopback?", SERVER, 3),
    (replace(DEAF, **FAR_AWAY, echo=REPLIES), "the VIP answers ping, its port 80 does not", SERVER, 0),
    (replace(DEAF, **FAR_AWAY, inner=REPLIES), "VIP missing on its loopback?", SERVER, 3),
    (replace(DEAF, **FAR_AWAY, refusal="does not decapsulate GRE"), "does not decapsulate GRE", SERVER, 1),
    (replace(DEAF, **FAR_AWAY), "rp_filter drops what comes out of the GRE tunnel", SERVER, 4),
    (replace(GONE, **FAR_AWAY, refusal="10.9.0.254 answers host unreachable"), "host unreachable", ENGINE, 0),
    (replace(GONE, **FAR_AWAY), "server does not answer", SERVER, 0),
    (replace(WELL, vip_port=SILENT), "the VIP answers ping, its port 80 does not", SERVER, 0),
    (replace(WELL, vip_port=CLOSED, failing=("closed",)), "its program listens on that alone", SERVER, 0),
    (replace(WELL, vip_port=CLOSED, host_port=CLOSED, failing=("closed",)), "no program listens there", SERVER, 0),
    (replace(WELL, failing=("status 503",)), "status 503", SERVER, 0),
    (replace(WELL, fits=1400), "the largest that does has 1400 of 1500 bytes", SERVER, 1),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "what", "host", "commands"), TABLE, ids=[line[1] for line in TABLE])
def test_what_is_said_of_a_member(facts: Facts, what: str, host: str, commands: int) -> None:
    first = next(finding for finding in findings(facts) if finding.grave)
    assert what in first.what
    assert cause(facts).reason == first.what
    assert bool(cause(facts).remedy) == (host == ENGINE and commands > 0)
    assert (first.host, len(first.commands)) == (host, commands)
    assert first.commands or first.advice, "there is always something to do"


def test_nothing_is_said_of_a_member_that_is_well() -> None:
    assert findings(WELL) == []
    assert findings(replace(WELL, fits=0)) == [], "one that answers no ping is not judged by it"


def test_what_is_worth_to_know_is_not_grave() -> None:
    (far,) = findings(replace(WELL, far=frozenset()))
    assert not far.grave
    assert not far.commands, "nobody knows from outside which of two things it is, or whether it matters"
    assert "may not answer clients beyond its own networks?" in far.what
    for word in ("no router", "unreachable = it lacks a route", "rp_filter is strict"):
        assert word in far.advice
    (stranger,) = findings(replace(WELL, owners=OTHER))
    assert "a stranger, 02:00:00:00:00:0c" in stranger.what
    assert findings(replace(WELL, owners=OTHER, others={next(iter(OTHER)): "10.9.0.12"})) == []


def test_what_is_refused_in_the_tunnel_is_not_told_of_a_server_whose_vip_answers() -> None:
    """A program that decapsulates for the VIP alone leaves the question to the server's own address to be refused."""
    away = replace(WELL, **FAR_AWAY, refusal="the server does not decapsulate GRE")
    assert probes(away)["tunnel"] == "decapsulates"
    assert probes(replace(away, echo=SILENT, vip_port=SILENT))["tunnel"] == "the server does not decapsulate GRE"


def test_a_ping_that_another_host_answers_is_not_the_servers() -> None:
    """It forwards to the host that answers ARP for the VIP, and its time exceeded is one too many for the kernel."""
    relays = replace(DEAF, echo=REPLIES)
    (missing,) = findings(relays)
    assert missing.because == "it forwards packets for 10.9.0.100 instead: another host answers them"
    assert probes(relays)["VIP"] == "another host answers, port 80 silent"
    assert probes(relays)["VIP, TTL 1"] == "silent"


def test_a_vip_is_silent_before_it_is_there() -> None:
    (missing,) = [finding for finding in findings(DEAF) if finding.grave]
    assert missing.commands == (
        "sysctl -w net.ipv4.conf.all.arp_ignore=1",
        "sysctl -w net.ipv4.conf.all.arp_announce=2",
        "ip addr replace 10.9.0.100/32 dev lo",
    )
