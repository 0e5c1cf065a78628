"""An operator at the shell of a laboratory that a session of the shell configured."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from avi_shell.configuration.configuration import Configuration
from avi_shell.output import render
from avi_shell.output.result import Result
from avi_shell.session.session import Session
from tests.broken.world import HOSTS, VIP, World, built
from tests.polling import until

MOST = 5
"""Commands of a session that is to name a cause."""
_SESSION = """
configure networkprofile dsr
profile tcp_fast_path_profile dsr_profile dsr_type dsr_type_{mode}
save
save
configure healthmonitor m1 type health_monitor_{monitor} send_interval 1 receive_timeout 1
successful_checks 1 failed_checks 1
{more}
save
configure pool p1 lb_algorithm lb_algorithm_consistent_hash health_monitor_refs m1
lb_algorithm_hash lb_algorithm_consistent_hash_source_ip_address{hash}
servers ip {broken} port 80
save
servers ip {healthy} port 80
save
save
configure vsvip v1 vip ip_address {vip}
save
save
configure virtualservice vs1 vsvip_ref v1 pool_ref p1 network_profile_ref dsr
application_profile_ref System-L4-Application
services port 80
save
save
"""
HTTP = "http_monitor http_response_code http_2xx\nsave"


class Operator:
    """Types lines, and reads what the shell prints."""

    def __init__(self, world: World, configuration: Configuration) -> None:
        self.world, self.session = world, Session(configuration, world.folder)

    def type(self, *lines: str) -> Result:
        """Run lines that are taken. Returns the last one's result."""
        for line in lines:
            result = self.session.run(line)
            assert result.ok, (line, result.error)
        return result

    def reads(self, *lines: str) -> str:
        """What a few `show` commands print."""
        assert 0 < len(lines) <= MOST
        assert all(line.startswith("show ") for line in lines)
        return "\n".join("\n".join(render.text_lines(self.type(line).parts)) for line in lines)

    def finds(self, lines: tuple[str, ...], *causes: str | re.Pattern[str]) -> None:
        """Wait until these commands name the cause, in all of these words."""
        shown = ""

        def named() -> bool:
            nonlocal shown
            shown = self.reads(*lines)
            return not _missing(causes, shown)

        until(named, lambda: f"{_missing(causes, shown)} not in\n{shown}", longest=0.5)

    @contextmanager
    def is_told(self, lines: tuple[str, ...], *causes: str | re.Pattern[str]) -> Iterator[None]:
        """What is in it plants a fault: these commands name its cause afterwards, and did not before."""
        shown = self.reads(*lines)
        assert _missing(causes, shown), shown
        yield
        self.finds(lines, *causes)


def _missing(causes: tuple[str | re.Pattern[str], ...], shown: str) -> list[str | re.Pattern[str]]:
    """The causes, words or patterns, that are not in what is shown."""
    return [one for one in causes if not (one in shown if isinstance(one, str) else one.search(shown))]


@contextmanager
def operated(
    folder: Path, mode: str, driver: str, *, monitor: str = "tcp", ports: bool, napi: bool = True
) -> Iterator[Operator]:
    """A laboratory with an engine that follows the shell's configuration. monitor: "tcp" or "http"; ports: clients are
    told apart by their ports, too; napi: as of `built`."""
    with built(folder, mode, driver, napi=napi, runs=False, publishes=False) as world:
        if monitor == "http":
            for name in HOSTS:
                serve_pages(world, name, 0)
        with closing(Configuration.open(folder)) as configuration:
            operator = Operator(world, configuration)
            more = HTTP if monitor == "http" else ""
            key = "_and_port" if ports else ""
            lines = _SESSION.format(mode=mode, monitor=monitor, more=more, hash=key, vip=VIP, **world.addresses)
            operator.type(*filter(None, lines.splitlines()))
            world.start_engine()
            world.is_well()
            yield operator


def serve_pages(world: World, name: str, milliseconds: int) -> None:
    """Have a server answer HTTP requests after so long."""
    world.stop(name)
    world.stop(f"{name}'s tests.sight.page")
    world.serve(name, "tests.sight.page", 80, milliseconds)
