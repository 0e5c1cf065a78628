"""Captures: `save` of a virtual service's debug settings begins and ends them, `debug serviceengine` those of drops."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from avi_shell.configuration import captureorder
from avi_shell.configuration.document import ADMIN, Document, tenant_of
from avi_shell.output.result import Prose, Result
from avi_shell.session import files
from avi_shell.session.state import SessionState
from avi_shell.views.gathering import Reports
from dataplane.wording import counted
from grammar.commands import Command

DROPS, MINUTES = 1000, 10
"""Packets of a capture of drops, and how long it lasts, at most."""


@contextmanager
def following(session: SessionState, result: Result) -> Iterator[None]:
    """After what is done meanwhile (`save`, `exit`), begin or end the capture that debug settings which it stored ask
    for."""
    opened = session.open
    yield
    if opened is not None and session.open is None and opened.kind.segment == "debugvirtualservice":
        _follow(session, result.data, result)


def _follow(session: SessionState, document: Document, result: Result) -> None:
    if session.configuration.is_copy:
        if captureorder.is_wanted(document):
            result.parts.append(Prose("A capture begins when this is saved outside a configuration session."))
        return
    of = called(document)
    if captureorder.is_wanted(document):
        traced = session.find("virtualservice", str(document["name"]))
        told = session.engines.answers(
            "capture", of=of, virtualservice=str(traced["uuid"]), **captureorder.order(document)
        )
        _tell_begun(told, result)
        if not told and not told.doubtful:
            result.parts.append(Prose("No service engine runs, so nothing is captured."))
    else:
        _tell_ended(session.engines.answers("capture_end", of=of), result)


def drops(session: SessionState, command: Command, result: Result) -> None:
    """`debug serviceengine NAME [no] debug_pcap_drop`."""
    if session.rehearsing:
        return
    name, ends = command.text("name"), bool(command.text("no"))
    if ends:
        told = session.engines.answer(name, "capture_end")
    else:
        packets = int(command.text("packets") or DROPS)
        told = session.engines.answer(name, "capture", packets=packets, seconds=60 * MINUTES, size=0)
    result.data = list(told)
    (_tell_ended if ends else _tell_begun)(told, result)


def show(session: SessionState, command: Command, result: Result) -> None:
    """`show virtualservice NAME capture [packets]`, `show serviceengine NAME capture [packets]`."""
    from avi_shell.views import captures

    tell = captures.packets if command.text("packets") else captures.captures
    engines = session.engines
    result.parts, result.data = tell(engines, *_meant(session, command))
    result.silent = engines.silent


def export(session: SessionState, command: Command, result: Result) -> None:
    """`export capture virtualservice NAME file PATH`, `export capture serviceengine NAME file PATH`."""
    from avi_shell.views import captures

    newest, path = captures.newest(session.engines, *_meant(session, command)), command.text("path")
    files.write_bytes(path, files.read_bytes(str(newest)), mode=0o600)
    result.parts.append(f"Completed writing the capture {newest.name} to {path}")
    result.data = {"file": path, "capture": str(newest)}


def _meant(session: SessionState, command: Command) -> tuple[str, str]:
    """What the captures are of, and the one engine whose they are, "" for all."""
    if command.kind == "virtualservice":
        return called(session.find(command.kind, command.arguments["name"])), ""
    return "", command.text("name")


def called(virtual_service: Document) -> str:
    """What engines call captures of a virtual service."""
    name, tenant = str(virtual_service["name"]), tenant_of(virtual_service)
    return name if tenant == ADMIN else f"{tenant}/{name}"


def _tell_begun(told: Reports, result: Result) -> None:
    for one in told:
        result.parts.append(Prose(f"{one['name']} captures {one['of'] or 'all drops'} into {one['file']}."))
    result.parts += [Prose(f"{why}: it captures nothing.") for why in told.silent.values()]
    result.silent |= told.silent


def _tell_ended(told: Reports, result: Result) -> None:
    for one in told:
        if "file" in one:
            result.parts.append(Prose(f"{one['name']} captured {_packets(one)} into {one['file']}."))
    result.silent |= told.silent


def _packets(report: dict[str, Any]) -> str:
    """How many, in words."""
    return counted(report["packets"], "packet")
