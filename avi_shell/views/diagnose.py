"""`show pool NAME server diagnose`: what the engines find out about a pool's servers, and what mends them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.document import Document
from avi_shell.errors import Refused
from avi_shell.output.result import Prose, Table
from avi_shell.views import gathering, live, reported, serversetup
from avi_shell.views.live import Parts, Report

_HOSTS = {"server": "server", "engine": "the service engine's host, of"}


def diagnosis(
    configuration: Configuration, directory: Path, document: Document, server: str, tell: Callable[[str], None]
) -> tuple[Parts, Any]:
    """Ask every engine of a state directory that forwards the pool. Raises Refused."""
    from dataplane import client
    from dataplane.errors import EngineError

    reports = gathering.local(directory)
    if not reports:
        return [*reports.told()] or [live.no_engine(directory)], None
    found = []
    for report in reports:
        if any(pool["uuid"] == document.get("uuid") for pool in report["pools"]):
            name = str(report["name"])
            try:
                told = client.diagnose(directory, name, str(document["uuid"]), server, tell)
            except EngineError as exc:
                raise Refused(exc.what, hint=exc.remedy) from None
            found.append({"service_engine": name, **told})
    if not found:
        return [live.not_forwarded("pool", str(document["name"]))], found
    parts: Parts = [_verdicts(found)]
    for engine in found:
        parts += _wrong(engine["servers"])
    parts += [line for engine in found for line in _mending(engine["servers"])]
    if any(_grave(entry) for engine in found for entry in engine["servers"]):
        parts.append(f"All that a server needs: show pool {document['name']} server-setup")
    parts += _unseen(configuration, document, found)
    return parts, found


def _unseen(configuration: Configuration, document: Document, found: Iterable[Report]) -> Iterator[str]:
    """How to look at the way back of servers that seem well, and of which it was not seen. Programs find the command
    in each such entry, as `check`."""
    entries = [entry for engine in found for entry in engine["servers"] if not entry["verdict"]]
    entries = [entry for entry in entries if not entry.get("way_back")]
    if entries:
        from dataplane.server import recipe

        modes = {service.mode for service in serversetup.services_of(configuration, document)}
        for entry in entries:
            entry["check"] = recipe.check_line((entry["vip"],), modes)
        line = recipe.check_line(sorted({entry["vip"] for entry in entries}), modes)
        yield f"On a server, with a client's address, this looks at the way back: {line}"


FAULTLESS, NOTED = "the path to it has no fault", "the path to it works, with what the note says"
UNSEEN = "its way back to clients was not seen: avi-server check --client there looks at it"
"""Said of a server whose answers bypass the engine while none of its clients was sampled lately: its own gateway may be
dead, and no probe of an engine would tell."""


def _faultless(entry: Report) -> str:
    """The verdict on a server without a grave fault that an engine can see. What is noted of a server is about the
    answers to its clients, all else about the path to it."""
    path = NOTED if any(finding["host"] == "engine" for finding in entry["findings"]) else FAULTLESS
    seen = entry.get("way_back")
    return f"{path}; of its way back to clients: {seen}" if seen else f"{path}; {UNSEEN}"


def _grave(entry: Report) -> bool:
    return any(finding["grave"] for finding in entry["findings"])


def _verdicts(found: Iterable[Report]) -> Table:
    rows = [
        (
            engine["service_engine"],
            entry["address"],
            entry["vip"],
            reported.state(entry["state"]),
            entry["verdict"] or _faultless(entry),
        )
        for engine in found
        for entry in engine["servers"]
    ]
    return Table(("Service Engine", "Server", "VIP", "Oper State", "Verdict"), rows)


def _wrong(entries: Sequence[Report]) -> Parts:
    """What was asked and answered: of the servers that have a verdict, or of the only one."""
    rows = []
    for entry in entries:
        if _grave(entry) or len(entries) == 1:
            name = f"{entry['address']} for {entry['vip']}"
            for asked, answer in entry["probes"].items():
                rows.append((name, asked, answer))
                name = ""
    return [Table(("Server", "Asked", "Answer"), rows)] if rows else []


def _mending(entries: Iterable[Report]) -> list[str]:
    """Each finding once, with the servers that have it; the most severe first."""
    same: dict[str, tuple[Mapping[str, Any], list[str], list[str]]] = {}
    for entry in entries:
        for finding in entry["findings"]:
            key = repr((finding["what"], finding["commands"], finding["because"], finding["advice"]))
            _, servers, hosts = same.setdefault(key, (finding, [], []))
            servers.append(entry["address"])
            hosts.append(finding["on"])
    lines: list[str] = []
    for finding, servers, hosts in sorted(same.values(), key=lambda known: not known[0]["grave"]):
        lines.append("")
        lines.append(Prose(f"{'' if finding['grave'] else 'note: '}{_listed(servers)}: {finding['what']}"))
        if finding["because"]:
            lines.append(Prose(f"  known because {finding['because']}"))
        if finding["commands"]:
            lines.append(f"  to mend it, on {_HOSTS[finding['host']]} {_listed(hosts)}:")
            lines += [f"    {command}" for command in finding["commands"]]
        if finding["advice"]:
            lines.append(Prose(f"  {'' if finding['commands'] else 'to do: '}{finding['advice']}"))
    return [*lines, ""] if lines else []


def _listed(addresses: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(addresses))
