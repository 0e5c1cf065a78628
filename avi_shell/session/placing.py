"""Verbs that show and move VIPs on the engines of hosts that share a configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from avi_shell.errors import Refused
from avi_shell.output.result import Prose, Result
from avi_shell.session.state import SessionState
from grammar.commands import Command

if TYPE_CHECKING:
    from avi_shell.configuration.placement import Placement
    from dataplane.membership.requesting import Seen
    from dataplane.placement.model import Place

Decide = Callable[["Seen", str], Mapping[str, "Place"]]
"""The new places for what is seen, and a VIP that is asked for."""


def show(session: SessionState, command: Command, result: Result) -> None:
    """Where the VIPs of a virtual service are."""
    from avi_shell.views import placement

    document = session.find("virtualservice", command.arguments["name"])
    result.parts, result.data = placement.parts(_placement(session).seen(), document)


def scale_out(session: SessionState, command: Command, result: Result) -> None:
    """Add an engine to a virtual service."""
    from dataplane.membership import requesting

    _of_service(session, command, result, lambda seen, vip: requesting.scale_out(seen, vip, command.text("to")))


def scale_in(session: SessionState, command: Command, result: Result) -> None:
    """Remove an engine from a virtual service."""
    from dataplane.membership import requesting

    _of_service(session, command, result, lambda seen, vip: requesting.scale_in(seen, vip, command.text("from")))


def migrate(session: SessionState, command: Command, result: Result) -> None:
    """Replace an engine of a virtual service by another."""
    from dataplane.membership import requesting

    source, target = command.text("from"), command.text("to")
    _of_service(session, command, result, lambda seen, vip: requesting.migrate(seen, vip, source, target))


def switch_over(session: SessionState, command: Command, result: Result) -> None:
    """Make the standby engine of a pair the active one."""
    from dataplane.membership import requesting

    name = command.text("name")
    _tell(_placement(session).request(lambda seen: requesting.switch_over(seen, name)), result)


def _of_service(session: SessionState, command: Command, result: Result, decide: Decide) -> None:
    document = session.find("virtualservice", command.arguments["name"])

    def every(seen: Seen) -> Mapping[str, Place]:
        vips = seen.of_services.get(str(document["uuid"]), ())
        if not vips:
            raise Refused(f"no service engine forwards virtual service {document['name']}")
        return {name: place for vip in vips for name, place in decide(seen, vip).items()}

    _tell(_placement(session).request(every), result)


def _tell(places: Mapping[str, Place], result: Result) -> None:
    result.data = [{"vip": vip, "engines": list(place.engines)} for vip, place in sorted(places.items())]
    result.parts += [Prose(f"{vip} is to be on {', '.join(place.engines)}.") for vip, place in sorted(places.items())]


def _placement(session: SessionState) -> Placement:
    found = session.stored.placement()
    if found is None:
        raise Refused(
            "this host shares its configuration with no other: every VIP is on each of its engines",
            hint="avi-shell cluster seed --store etcd://…",
        )
    return found
