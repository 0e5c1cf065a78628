"""The rows of the bench: what is measured, against what, and where goal and floor are. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Verdict(StrEnum):
    """Of one line."""

    GOAL = "goal met"
    FLOOR = "floor met"
    BELOW = "below floor"
    MISSED = "goal missed"
    """There is no floor."""
    SHOWN = ""
    """Not judged: there to compare with."""


@dataclass(frozen=True)
class Bound:
    """Goal and floor of a line, in the unit of what is judged; more: whether more is better."""

    goal: float
    floor: float | None
    more: bool = False

    def verdict(self, median: float) -> Verdict:
        if self._reached(median, self.goal):
            return Verdict.GOAL
        if self.floor is None:
            return Verdict.MISSED
        return Verdict.FLOOR if self._reached(median, self.floor) else Verdict.BELOW

    def _reached(self, median: float, mark: float) -> bool:
        return median >= mark if self.more else median <= mark


def at_least(goal: float, floor: float | None) -> Bound:
    return Bound(goal, floor, more=True)


def at_most(goal: float, floor: float | None) -> Bound:
    return Bound(goal, floor)


@dataclass(frozen=True)
class Row:
    """One row. key: its name on the command line. measure: "module:function" below tests.bench. bounds: of its lines,
    by the names of its samples, each of which must come; other samples are shown and not judged."""

    key: str
    work: str
    against: str
    measure: str
    bounds: Mapping[str, Bound] = field(default_factory=dict)


BARE = "the bare same action, nothing looked up"

ROWS = (
    Row(
        "forwarding", "XDP, 64-byte frames, 1,000 flows, 1 core", BARE, "rates:forwarding",
        {"L2": at_least(0.95, 0.88), "L3": at_least(0.90, 0.80)},
    ),
    Row(
        "one-armed", "XDP, frames leave by the interface they came by", "bare XDP_TX", "onearmed:forwarding",
        {"L2": at_least(0.88, 0.82), "L3": at_least(0.80, 0.74)},
    ),
    Row(
        "flows", "flows in stable slots", "own rate at 1,000 flows", "rates:flows",
        dict.fromkeys(
            ("L2, 1 flow", "L2, 1,000,000 flows", "L3, 1 flow", "L3, 1,000,000 flows"), at_least(0.97, 0.93)
        ),
    ),
    Row(
        "servers", "servers in a pool", "own rate at 2", "rates:servers",
        dict.fromkeys(("100 servers", "1,000 servers"), at_least(0.97, 0.93)),
    ),
    Row(
        "services", "virtual services, traffic over all of them", "own rate at 1", "rates:services",
        dict.fromkeys(("100 services", "1,000 services"), at_least(0.85, 0.7)),
    ),
    Row(
        "transition", "a tenth of all slots in transition", "own rate when stable", "rates:transition",
        dict.fromkeys(("1,000 flows", "100,000 flows"), at_least(0.85, 0.7)),
    ),
    Row(
        "handshakes", "TCP flows of a SYN and nine ACKs, one in 64 looked at", "the same, none looked at",
        "rates:handshakes", dict.fromkeys(("L2", "L3"), at_least(0.97, 0.93)),
    ),
    Row(
        "flood", "SYN flood: flows lost", "without the flood", "rates:syn_flood",
        {
            "stable: established": at_most(0, 0), "stable: new": at_most(0, None),
            "change: established": at_most(0, 0), "change: new": at_most(0, None),
        },
    ),
    Row(
        "capture", "XDP while packets are captured; and frames lost meanwhile", "no capture", "capturing:captures",
        {"all": at_least(0.3, 0.1), "none": at_least(0.75, 0.6), "half the rate": at_most(0, 0)},
    ),
    Row(
        "frame", "one frame in BPF_PROG_TEST_RUN", "the bare redirect there", "rates:frame_cost",
        {"L2, whole": at_most(1.7, 2), "L3, whole": at_most(2.3, 2.8)},
    ),
    Row(
        "cores", "two queues, two cores", "the bare same action on two", "rates:two_cores",
        {"two cores": at_least(0.95, 0.85), "L3 without DF": at_least(0.98, 0.97)},
    ),
    Row(
        "pcap", "pcap driver", "C on the same packet sockets that only copies", "pcap:forwarding",
        dict.fromkeys(("L2", "L3"), at_least(0.8, 0.6))
        | {"transition": at_least(0.6, 0.5), "L2 against Python": at_least(4, 3)},
    ),
    Row(
        "native", "one frame in the native decision", "one frame in the XDP program", "native:frame_cost",
        dict.fromkeys(("L2", "L3"), at_most(1.1, 1.4)),
    ),
    Row(
        "latency", "one request at a time", "the same path with a bridge in the balancer's place", "latency:ping_pong",
        dict.fromkeys(("p50", "p99"), at_most(1.1, 1.3)),
    ),
    Row(
        "under-load", "a frame's time at 0.6 of the rate that XDP reaches", BARE, "underload:latency",
        dict.fromkeys(("L2, p99", "L3, p99"), at_most(1.3, 1.3))
        | dict.fromkeys(("L2, p99, batches of 64", "L3, p99, batches of 64"), at_most(1.3, None)),
    ),
    Row(
        "connections", "real TCP connections through real servers", "direct, no balancer", "connections:opened",
        {"XDP": at_least(0.9, 0.8)},
    ),
    Row(
        "dpdk", "DPDK driver on packet sockets", "testpmd on the same devices", "dpdk:on_packet_sockets",
        {"L2": at_least(0.9, 0.75)},
    ),
    Row(
        "dpdk-memory", "DPDK driver, frames from memory", "a loop that exchanges MAC addresses", "dpdk:in_memory",
        {"L2": at_least(0.45, 0.25)},
    ),
    Row(
        "alternatives", "L2 DSR on one wire, 64-byte frames, 1,000 flows, 1 core", "nftables netdev jhash + fwd",
        "alternatives:forwarding", {"XDP": at_least(4, 3)},  # the bare redirect is judged in `forwarding`
    ),
    Row(
        "monitors", "monitors of 1,000 servers, each probed every second", "connections of a bare epoll loop",
        "monitors:probes",
        {"TCP": at_most(1.3, 1.4)}
        | dict.fromkeys(("half-open", "HTTP", "UDP", "PING", "TCP in a tunnel"), at_most(1.8, 2.5)),
    ),
    Row(
        "crowd", "5,000 servers, each probed every second, or as many as a bare loop does in 0.2 of its share",
        "a bare epoll loop over the same", "monitors:many",
        {"up, 1 pool": at_most(8, 15), "up, pools of two": at_most(8, 15)}
        | {f"probes, {pools}": at_most(1.3, 1.5) for pools in ("1 pool", "pools of two")}
        | {f"late, {pools}": at_most(1.25, 2.5) for pools in ("1 pool", "pools of two")}
        | {"1 pool": at_most(500, 1000)},
    ),
    Row(
        "verdicts", "a tenth of 1,000 servers falls silent, or of as many as a bare loop does in 0.05 of its share", "",
        "monitors:verdicts", {"1 pool": at_most(300, 1000)},
    ),
    Row(
        "metrics", "metrics of 100,000 servers, asked for every 15 s", "the same lines of text alone",
        "metering:exposition", {"100,000 servers": at_most(2.2, 3)},
    ),
    Row(
        "metrics-probes", "metrics of 100,000 servers every 15 s, asked of an engine with 1,000 probes a second",
        "5 % of a core", "metering:beside_probes", {"beside probes": at_most(1, 2)},
    ),
    Row(
        "status", "`avi-se status` of 10,000 servers as a table", "the same as JSON", "operating:status",
        {"10,000 servers": at_most(2, 3)},
    ),
    Row(
        "completion", "TAB among 10,000 names of a kind", "TAB among 10", "operating:completion",
        {"10,000 names": at_most(5, 10)},
    ),
    Row(
        "failure", "one server of 1,000 pools fails: decision to last table", "these tables alone, in one thread",
        "control:server_of_pools", {"1,000 pools": at_most(1, 1.2)},
    ),
    Row(
        "save", "save to first packet at the new server", "the save alone, without an engine", "saving:save",
        {"1 service": at_most(6, 15), "1,000 services": at_most(6, 15)},
    ),
    Row(
        "import", "import of an export in one commit", "the same objects as JSON into SQLite and out again",
        "importing:services", {"2,000 services": at_most(11, 14)},
    ),
    Row(
        "session", "a configuration session: its beginning, and its commit", "", "sessions:session",
        {"begin": at_most(100, 200), "commit": at_most(1.5, 2.5)},
    ),
    Row(
        "history", "10,000 commits: what the history keeps, and the time of one", "", "commits:history",
        {"room": at_most(2, 3), "commit": at_most(1.5, 3)},
    ),
    Row(
        "start", "engine start, 1,000 virtual services × 100 servers", "what cannot be left out of it",
        "control:engine_start", {"cold": at_most(2, 2.5), "adopting": at_most(2, 3)},
    ),
    Row(
        "memory", "kernel maps and engine, 1,000 virtual services × 100 servers", "", "control:memory",
        {"maps and engine": at_most(400, 700)},
    ),
    Row(
        "tables", "hash table of 65,537 slots", "the paper's loop in C, on walks that are known", "control:tables",
        {f"{servers} servers": at_most(1, 1.3) for servers in ("10", "100", "1,000", "5,000")},
    ),
)  # fmt: skip
