"""`show events`: what happened on all engines, as they tell it; of one that does not answer its file is read."""

from __future__ import annotations

from collections.abc import Callable, Collection
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.document import ADMIN, Document, address_text
from avi_shell.output.result import Part, Prose, Table
from avi_shell.views import live
from avi_shell.views.gathering import Engines
from dataplane.events import eventfile, model
from dataplane.events.model import Event
from dataplane.foreign.errors import ForeignError
from dataplane.wording import moment, timed
from grammar.commands import Command
from grammar.errors import BadValue
from grammar.lexer import Word

COLUMNS = ("Time", "Severity", "SE", "Event")

Wanted = Callable[[Event], bool]
"""Whether an event is to be shown."""


def wanted(configuration: Configuration, command: Command, document: Document | None) -> Wanted:
    """What a command asks for. document: the object that it names, where that is in the configuration. Raises
    BadValue."""
    if server := command.arguments.get("server"):
        return _of_server(server)
    if document is not None:
        return _of_service(configuration, document) if command.kind == "virtualservice" else _of_pool(document)
    if name := command.text("name"):
        return lambda event: name in (event.engine, event.about.kind == "serviceengine" and event.about.name)
    return lambda _event: True


def _of_service(configuration: Configuration, document: Document) -> Wanted:
    """Those of a virtual service, of its VIPs, its pools and their servers."""
    pools = {str(document.get("pool_ref", "")), *(str(one.get("pool_ref", "")) for one in document.get("services", ()))}
    found = [configuration.referenced(ref) or {} for ref in pools if ref]
    uuids = {str(document.get("uuid")), *(str(pool.get("uuid")) for pool in found)}
    vsvip = configuration.referenced(document["vsvip_ref"]) if document.get("vsvip_ref") else None
    vips = [*document.get("vip", ()), *(vsvip or {}).get("vip", ())]
    addresses = {address_text(vip["ip_address"]) for vip in vips if "ip_address" in vip}

    def is_its(event: Event) -> bool:
        if event.about.kind == "vip":
            return event.about.name in addresses
        return bool(event.about.uuid) and event.about.uuid in uuids

    return is_its


def _of_pool(document: Document) -> Wanted:
    """Those of a pool and its servers."""
    return lambda event: bool(event.about.uuid) and event.about.uuid == document.get("uuid")


def _of_server(typed: Word) -> Wanted:
    """Those of a server, whatever pools it is in. Raises BadValue."""
    address, colon, port = typed.text.partition(":")
    try:
        good = str(IPv4Address(address)) == address and (not colon or (port.isdecimal() and int(port) <= 65535))
    except ValueError:
        good = False
    if not good:
        expected = ("an address, or an address and a port: 10.0.0.11:80",)
        raise BadValue(f"'{typed.text}' is no server", typed.text, typed.column, expected)
    end = len(typed.text) if colon else None

    def is_its(event: Event) -> bool:
        name = event.about.name if end is not None else event.about.name.partition(":")[0]
        return event.about.kind == "server" and name == typed.text

    return is_its


def events(
    engines: Engines, wanted: Wanted, tenants: Collection[str] | None
) -> tuple[list[Part], list[dict[str, Any]]]:
    """What to print, and the same for programs: `Event.data` of each event, the newest last. tenants: those whose
    objects may be seen, with admin's; None: all."""
    answers = engines.answers("events")
    found, parts = list[Event](), list[Part]()
    for answer in answers:
        found += _read(answer.get("events", ()))
    for name, path in _files(engines.directory).items():
        if name in {answer.get("name") for answer in answers}:
            continue
        try:
            found += eventfile.read(path)
        except OSError as exc:
            parts.append(Prose(f"The events of service engine {name} cannot be read: {path}: {exc.strerror}"))
    for name, why in answers.silent.items():
        kept = name in _files(engines.directory)
        parts.append(Prose(f"{why}: its events are {'those of its file' if kept else 'not known'}."))
    if answers.fault:
        parts.append(Prose(f"The engines of other hosts were not asked: {answers.fault}."))
    seen = None if tenants is None else {"", ADMIN, *tenants}
    shown = [event for event in found if wanted(event) and (seen is None or event.about.tenant in seen)]
    shown.sort(key=lambda event: (event.last, event.engine, event.number))
    if shown:
        parts.insert(0, Table(COLUMNS, [_row(event) for event in shown]))
    elif not answers.doubtful:
        parts.append("Nothing is known to have happened." if found or answers else live.no_engine(engines.directory))
    return parts, timed([event.data() for event in shown])


def _read(told: Any) -> list[Event]:
    """What an engine answered, without what is not understood: another release may tell more."""
    found = []
    for one in told if isinstance(told, list) else ():
        try:
            found.append(model.read(one))
        except ForeignError:
            continue
    return found


def _files(directory: Path) -> dict[str, Path]:
    """The files of this host's engines, by the engines' names."""
    return {path.stem: path for path in sorted(directory.glob(f"*{eventfile.SUFFIX}"))}


def _row(event: Event) -> tuple[str, ...]:
    when = moment(event.last)
    return when, event.severity.word, event.engine, event.words
