"""`copy` and `rename`: makes an object like another under a new name, or gives an object another name."""

from __future__ import annotations

from dataclasses import replace

from avi_shell.configuration import document
from avi_shell.configuration.document import ADMIN, ALL, Document, Target
from avi_shell.configuration.record import Author
from avi_shell.errors import Refused
from avi_shell.output.result import Prose, Result
from avi_shell.session.comment import comment_of
from avi_shell.session.state import SessionState, check_name
from grammar import relations, schema
from grammar.commands import Command
from grammar.lexer import quote


def copy(session: SessionState, command: Command, result: Result) -> None:
    """Store an object like another in the session's tenant and cloud. The copy of a virtual service has its traffic
    off, since only one may have the ports of a VIP."""
    if session.tenant == ALL:
        raise Refused("objects are copied in one tenant", hint=f"switchto tenant {ADMIN}")
    kind, name = schema.kind(command.kind), command.text("new_name")
    source = session.find(command.kind, command.arguments["name"])
    check_name(command.arguments["new_name"])
    new = _copied(session, kind, source, name)
    place = document.place(kind, new)
    if session.configuration.referenced(place.reference) is not None:
        there = f"tenant {place.tenant}{document.in_cloud(place.cloud)}"
        raise Refused(f"another {kind.name} of {there} has the name {name}")
    saved = session.configuration.save(kind.segment, new, session.tenant, _author(session, command, result))
    result.parts.append(f"Successfully copied {source['name']} to {name}.")
    result.parts += saved.notices
    if kind.segment == "virtualservice":
        shared = f"The copy's traffic is off: it has the VIPs, ports and pool of {source['name']}."
        turn_on = f"configure virtualservice {quote(name)} traffic_enabled"
        result.parts.append(Prose(f"{shared} Once it has its own: {turn_on}"))
    result.data, result.committed = saved.document, saved.version
    session.tell_engines(False, result)


def rename(session: SessionState, command: Command, result: Result) -> None:
    """Give an object another name."""
    name, new_name = command.text("name"), command.text("new_name")
    session.find(command.kind, command.arguments["name"])
    check_name(command.arguments["new_name"])
    by = _author(session, command, result)
    saved = session.configuration.rename(command.kind, name, new_name, session.tenant, by, cloud=session.cloud)
    result.parts.append(f"Successfully renamed {name} to {new_name}.")
    result.parts += saved.notices
    result.data, result.committed = saved.document, saved.version
    session.tell_engines(False, result)


def _author(session: SessionState, command: Command, result: Result) -> Author:
    return replace(session.by(result.command.strip()), comment=comment_of(command))


def _copied(session: SessionState, kind: schema.Kind, source: Document, name: str) -> Document:
    """A new document like a stored one. In another cloud it refers to what that cloud has of the same names."""
    hidden = {field.name for field in kind.root.fields.values() if field.scope == "hidden"} | {"uuid"}
    new = {key: value for key, value in source.items() if key not in hidden} | {"name": name}
    if "tenant_ref" in kind.root.fields and kind.segment != "tenant":
        new["tenant_ref"] = document.reference("tenant", session.tenant)
    if kind.segment == "virtualservice":
        new["traffic_enabled"] = False
    here = document.cloud_of(kind, source)
    if session.cloud in (ALL, here) or kind.segment not in relations.OF_A_CLOUD:
        return new

    def within(_: schema.Field, ref: str) -> str:
        try:
            known = document.target(ref)
        except ValueError:
            return ref
        own = known._replace(cloud=session.cloud)
        return own.reference if known.cloud == here and session.configuration.referenced(own.reference) else ref

    new["cloud_ref"] = Target("cloud", ADMIN, "", session.cloud).reference
    return document.map_references(kind, new, within)
