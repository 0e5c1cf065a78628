"""What the engines report, gathered from this host and from all that share its configuration, with one deadline."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from avi_shell.configuration.configuration import Configuration
from avi_shell.errors import NotFound
from avi_shell.views import reported

if TYPE_CHECKING:
    from dataplane.client import Answers

NONE, STATES = "none", "states"
"""What is wanted of services and pools: nothing, or their states alone; else a uuid, or "" for all."""


_GLANCE = 2.0
"""Seconds for etcd to say which engines there are."""


class Reports(list[dict[str, Any]]):
    """What each engine reports that answers."""

    silent: dict[str, str]  # why others do not, by engine
    fault: str = ""  # why the engines of other hosts could not be asked

    @property
    def doubtful(self) -> bool:
        """Whether the reports may be incomplete."""
        return bool(self.silent or self.fault)

    def told(self) -> list[str]:
        """Sentences about the engines that do not answer."""
        others = [f"The engines of other hosts were not asked: {self.fault}."] if self.fault else []
        return [*(f"{why}: what it forwards is unknown." for why in self.silent.values()), *others]


class Engines:
    """The engines that can be asked. stored: the configuration that they forward by; directory: the state directory,
    where those of this host are asked; user: who asks, and may have cleared counters (`cleared`); "" sees all."""

    def __init__(self, stored: Configuration, directory: Path, user: str = "") -> None:
        self._stored, self.directory, self.user = stored, directory, user
        self.silent: dict[str, str] = {}  # why engines did not answer that were asked so far

    def reports(self, about: str = "", only: str = "") -> Reports:
        """What each engine reports, all asked at once, less what the user has cleared. about: of which services and
        pools; only: the one of another host that is to be asked."""
        told = self.answers("status", only, about=about)
        for report in told:
            reported.join_rates(report)
        if self.user:
            from avi_shell.views.cleared import Cleared

            cleared = Cleared(self.directory, self.user)
            for report in told:
                cleared.subtract(report)
        return told

    def answers(self, request: str, only: str = "", seconds: float = 0.0, **arguments: Any) -> Reports:
        """What each engine answers to a request, all asked at once. only: the one of another host that is to be
        asked; seconds: the one deadline, 0: the usual one."""
        from dataplane import client

        found: list[Answers] = []
        ask_all, limit = client.ask_all, seconds or client.TIMEOUT
        local = Thread(target=lambda: found.append(ask_all(self.directory, request, limit, **arguments)))
        local.start()
        others, fault = self._elsewhere({"request": request, **arguments}, only, limit)
        local.join()
        return self._gathered([*found, *others], fault)

    def answer(self, name: str, request: str, **arguments: Any) -> Reports:
        """What one engine answers to a request that no other one is to hear. Raises NotFound where none of that name
        runs."""
        from dataplane import client
        from dataplane.errors import EngineError

        if name not in client.engines(self.directory):
            found, fault = self._elsewhere({"request": request, **arguments}, name, client.TIMEOUT)
            if not found and not fault:
                raise NotFound(f"no service engine '{name}' runs", hint="show serviceengine")
            return self._gathered(found, fault)
        try:
            told = client.ask(self.directory, name, request, patience=client.TIMEOUT, **arguments)
            return self._gathered([client.Answers({name: told}, {})], "")
        except EngineError as exc:
            return self._gathered([client.Answers({}, {name: exc})], "")

    def _gathered(self, found: Sequence[Answers], fault: str) -> Reports:
        made = Reports(report for _, report in sorted((n, r) for one in found for n, r in one.told.items()))
        made.silent = {n: f"S{exc.what[1:]}" for one in found for n, exc in sorted(one.silent.items())}
        made.fault = fault
        self.silent |= made.silent | ({"of other hosts": fault} if fault else {})
        return made

    def is_running(self, name: str) -> bool:
        """Whether an engine of this name runs, here or on another host."""
        from dataplane import client
        from dataplane.errors import ClusterError

        if name in client.engines(self.directory):
            return True
        asking = self._stored.asking()
        try:
            return asking is not None and name in asking.engines(client.AT_ONCE)
        except ClusterError:
            return False

    def _elsewhere(self, question: dict[str, Any], only: str, seconds: float) -> tuple[list[Answers], str]:
        """What engines of other hosts say; and why they cannot be asked."""
        asking = self._stored.asking()
        if asking is None:
            return [], ""
        from dataplane import client
        from dataplane.errors import ClusterError

        here = client.engines(self.directory)
        try:
            until = time.monotonic() + seconds
            running = asking.engines(min(_GLANCE, seconds))
            names = [name for name in running if name not in here and only in ("", name)]
            return [asking.ask(names, question, max(0.1, round(until - time.monotonic(), 1)))] if names else [], ""
        except ClusterError as exc:
            return [], exc.what


def local(directory: Path) -> Reports:
    """What the engines of a state directory report."""
    from dataplane import client

    answers = client.reports(directory)
    made = Reports(answers.told.values())
    made.silent = {name: f"S{exc.what[1:]}" for name, exc in answers.silent.items()}
    return made
