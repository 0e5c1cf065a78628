"""Which server a client's flow goes to, on each engine, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address
from typing import Any

from avi_shell.configuration.document import Document
from avi_shell.output.result import Part, Prose, Table
from avi_shell.views import live
from avi_shell.views.gathering import Engines
from dataplane.wording import clock, timed
from grammar.errors import BadValue
from grammar.lexer import Word

_HEAD = ("Service Engine", "VIP", "Server", "MAC Address", "Interface", "Slot", "Phase", "Verdict")


def read_client(typed: Word) -> tuple[str, int]:
    """A client's address and port. Raises BadValue."""
    address, _, port = typed.text.rpartition(":")
    try:
        if port.isascii() and port.isdecimal() and int(port) <= 65535:
            return str(IPv4Address(address)), int(port)
    except ValueError:
        pass
    raise BadValue(
        f"'{typed.text}' is no client", typed.text, typed.column, ("an address and a port: 192.0.2.7:40000",)
    )


def flow(engines: Engines, service: Document, client: str, port: int) -> tuple[list[Part], list[dict[str, Any]]]:
    """What to print, and the same for programs: a row for each engine and port of the virtual service, as
    `dataplane.engine.flowquery` gives it, with the engine's name."""
    answers = engines.answers("flow", virtualservice=str(service.get("uuid", "")), client=client, port=port)
    found = [{"service_engine": answer["name"], **one} for answer in answers for one in answer["flows"]]
    parts: list[Part] = []
    if found:
        parts.append(Table(_HEAD, [_row(one) for one in found]))
        parts += [Prose(f"{one['service_engine']}: {why}") for one in found for why in _why(one)]
    parts += answers.told()
    if not found and not answers.doubtful:
        parts.append(live.no_engine(engines.directory))
    return parts, timed(found)


def _row(one: Mapping[str, Any]) -> tuple[str, ...]:
    server = f"{one['server']}:{one['server_port']}" if one["server"] else "-"
    verdict = one["verdict"] + (f": {one['reason']}" if one["reason"] else "")
    slot = "-" if one["slot"] is None else f"{one['slot']} of {one['slots']}"
    return (
        one["service_engine"],
        f"{one['vip']}:{one['port']} {one['protocol']}",
        server,
        one["mac"] or "-",
        one["egress"] or "-",
        slot,
        one["phase"] or "-",
        verdict,
    )


_NOW = {
    "removed": "It was removed from the pool",
    "disabled": "It is disabled",
    "down": "It is down: {reason}",
    "unknown": "It is not known whether it is up",
    "up": "It is up",
}
"""What became of the server that a slot had before."""


def _earlier(one: Mapping[str, Any]) -> str:
    """Who had the slot before, and what that means to connections of then."""
    before = one["earlier"]
    until = clock(before["until"])
    now = _NOW.get(before["now"], "").format(reason=before["reason"])
    now += "." if now and not now.endswith("?") else ""  # a reason that is a guess ends so
    told = f"until {until} the slot was that of {before['server']}. {now}"
    if before["now"] in ("removed", "down") and one["server"]:
        told += f" Its connections come to {one['server']} now, which does not know them: clients must begin new ones."
    return told


def _why(one: Mapping[str, Any]) -> Iterator[str]:
    """Why the flow goes to this server, if not simply because the server owns its slot."""
    if one["verdict"] == "dropped":
        yield f"the packet is dropped ({one['reason']}); help operating says what that means"
    if one.get("earlier"):  # older engines tell none
        yield _earlier(one)
    if one["phase"] in (None, "stable"):
        return
    owner, server = one["owner"] or "nobody", one["server"] or "nobody"
    if one["phase"] == "transition":
        former = one["former"] or "nobody that still serves"
        yield f"the slot changed its server lately, from {former} to {owner}: new connections go to {owner}"
    else:
        yield f"the slot is {owner}'s; flows of its former server are remembered until they end"
    if one["remembered_server"]:
        since = "a connection of before the change" if one["remembered"] == "former" else "a connection begun since"
        yield f"this flow is remembered as {since}, with {one['remembered_server']}; it goes to {server}"
    elif one["phase"] == "transition":
        yield f"nothing is known of this flow: its next packet goes to {server} unless it is a SYN"
