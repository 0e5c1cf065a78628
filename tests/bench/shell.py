"""How fast the shell is: `make bench-shell`, or `python -m tests.bench.shell`.

Three things are measured: a cold start against the time that Python needs to import what the shell cannot do without; a
session file of 10,000 lines that builds 1,000 objects; and lines parsed a second. Ends with status 1 beyond a bound.
"""

from __future__ import annotations

import io
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from avi_shell.configuration.configuration import Configuration
from avi_shell.fronts.batch import Batch
from avi_shell.session.session import Session
from avi_shell.session.source import Source
from grammar import lexer, schema
from grammar.parser import parse

STARTS = 15
OBJECTS = 1000
LINES = 10_000
KEY = "lb_algorithm_consistent_hash_source_ip_address_and_port"
BIN = Path(sys.executable).parent
IMPORTS = Path(__file__).with_name("imports.py")


@dataclass(frozen=True)
class Row:
    """One measurement. value and bound in the same unit; good: on the right side of the bound."""

    what: str
    value: str
    bound: str
    good: bool
    more: str = ""


def cold_start() -> Iterator[Row]:
    """Alternating runs; medians."""
    bare = [sys.executable, "-P", str(IMPORTS)]
    with tempfile.TemporaryDirectory() as state:
        shell = [str(BIN / "avi-shell"), "--state", f"{state}/avi", "-c", "show version"]
        subprocess.run(shell, check=True, capture_output=True)
        pairs = [(_seconds(shell), _seconds(bare)) for _ in range(STARTS)]
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = ours / theirs
    more = f"{ours * 1000:.0f} ms, the imports alone {theirs * 1000:.0f} ms, {STARTS} runs each"
    yield Row("cold start of `show version`", f"{ratio:.2f} ×", "≤ 1.5 ×", ratio <= 1.5, more)


def _seconds(command: Sequence[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - begun


def session_lines() -> list[str]:
    """LINES lines that build OBJECTS objects: networks of profiles, monitors, pools, VIPs and virtual services."""
    lines: list[str] = []
    for n in range(OBJECTS // 5):
        high, low = divmod(n, 250)
        servers = [
            line for last in range(1, 9) for line in (f"servers ip 10.{high}.{low}.{last} port 80", "ratio 2", "save")
        ][:-1]
        lines += [
            f"configure networkprofile np{n}", "profile", "tcp_fast_path_profile",
            "dsr_profile dsr_type dsr_type_l2", "save", "save",
            f"configure healthmonitor hm{n}", "type health_monitor_tcp", "send_interval 5", "receive_timeout 2", "save",
            f"configure pool p{n}", "lb_algorithm lb_algorithm_consistent_hash",
            f"lb_algorithm_hash {KEY} health_monitor_refs hm{n}", *servers, "save", "save",
            f"configure vsvip vip{n}", f"vip ip_address 172.16.{high}.{low + 1}", "save", "save",
            f"configure virtualservice vs{n}", "application_profile_ref System-L4-Application",
            f"network_profile_ref np{n} vsvip_ref vip{n} pool_ref p{n}", "services port 80", "save", "save",
        ]  # fmt: skip
        lines.append("# next")
    return lines


class Stopwatch(Configuration):
    """A configuration that knows how long its commits took."""

    spent = 0.0
    commits = 0

    def save(self, *arguments, **more):  # type: ignore[no-untyped-def]
        begun = time.perf_counter()
        try:
            return super().save(*arguments, **more)
        finally:
            Stopwatch.spent += time.perf_counter() - begun
            Stopwatch.commits += 1


def session_file() -> Iterator[Row]:
    """Through the batch front, as `-f` does it; commits with fsync in a folder of this checkout's disk."""
    lines = session_lines()
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as state:
        configuration = Stopwatch.open(Path(state) / "avi")
        out = io.StringIO()
        begun = time.perf_counter()
        stdout, sys.stdout = sys.stdout, out
        try:
            status = Batch(Session(configuration, Path(state))).run([Source("session", lines)])
        finally:
            sys.stdout = stdout
        took = time.perf_counter() - begun
        configuration.close()
    share = Stopwatch.spent / took
    good = status == 0 and took <= 10 and Stopwatch.commits == OBJECTS
    more = f"{len(lines)} lines, {Stopwatch.commits} commits, status {status}, {share:.0%} of it in the commits"
    yield Row("session file, 1,000 objects", f"{took:.1f} s", "≤ 10 s", good, more)
    yield Row("its share in the commits", f"{share:.0%}", "> 50 %", share > 0.5)


def parsing() -> Iterator[Row]:
    """Words, grammar and values of field lines; nothing executed."""
    kind = schema.kind("pool")
    samples = [
        "lb_algorithm lb_algorithm_consistent_hash", "servers ip 10.1.2.3 port 80", "description \"two words\"",
        "default_server_port 8080 graceful_disable_timeout 5", "no enabled", "capacity_estimation",
    ]  # fmt: skip
    rates = []
    for _ in range(5):
        begun = time.perf_counter()
        for _ in range(2000):
            for sample in samples:
                parse(kind, kind.root, lexer.split(sample))
        rates.append(2000 * len(samples) / (time.perf_counter() - begun))
    rate = statistics.median(rates)
    yield Row("parsing alone", f"{rate:,.0f} lines/s", "≥ 20,000 lines/s", rate >= 20_000)


def main() -> int:
    """Measure and print. Returns 1 where a bound is missed."""
    rows = [row for measure in (cold_start, session_file, parsing) for row in measure()]
    table = Table("Work", "Measured", "Bound", "", "More", box=box.ASCII2)
    for row in rows:
        table.add_row(row.what, row.value, row.bound, "ok" if row.good else "MISSED", row.more)
    Console(markup=False, emoji=False, highlight=False, width=None if sys.stdout.isatty() else 160).print(table)
    return int(not all(row.good for row in rows))


if __name__ == "__main__":
    sys.exit(main())
