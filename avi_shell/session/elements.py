"""Elements of lists as they are typed. What a commit would refuse of an element is refused at its own line, not many
lines later at the object's `save`."""

from __future__ import annotations

from collections.abc import Sequence

from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.document import Document, place
from avi_shell.errors import InvalidObject
from avi_shell.session.openobject import OpenObject
from grammar.actions import Action, Element
from grammar.errors import BadValue

_SERVERS = "servers"


def check_entered(configuration: Configuration, opened: OpenObject, actions: Sequence[Action]) -> None:
    """Check the servers that a line adds by address, before its actions are carried out. Raises BadValue."""
    if opened.kind.segment != "pool" or len(opened.modes) > 1:
        return
    for action in actions:
        if not isinstance(action, Element) or action.field.name != _SERVERS or not action.key:
            continue
        if not (service := _user(configuration, opened)):
            return
        servers, key = opened.document.get(_SERVERS, []), action.key
        there = [server for server in servers if server.get("ip") == key["ip"]]
        if any(server.get("port") == key["port"] for server in there):
            continue  # one that is there is opened
        from avi_shell.configuration import element

        try:
            element.check_server(there and servers, len(servers), key["ip"], service)
        except InvalidObject as exc:
            raise BadValue(exc.what, action.word.text, action.word.column, (exc.hint,), path=exc.path) from None


def check_left(configuration: Configuration, opened: OpenObject, tenant: str) -> None:
    """Check the element of a list that a mode is, before the mode is left. Raises InvalidObject."""
    mode = opened.mode
    if mode.field is None or mode.single or not all(m.field is None or m.field.described for m in opened.modes):
        return  # no element, or one that commits do not look into
    from avi_shell.configuration import element

    name, inner = mode.field.name, mode.message
    if missing := element.missing(inner, mode.value):
        alone = {"name": opened.name, name: [mode.value]}
        filled = configuration.prepared(opened.kind.segment, alone, tenant)[name][0] if len(opened.modes) == 2 else {}
        element.check_required(mode.label, [field for field in missing if field not in filled])
    keys = element.keys(inner)
    if not any(opened.typed(mode.value, key) for key in keys):
        return  # it is named by the line that entered it, which found no other
    items = opened.modes[-2].value[name]
    position = next(at for at, item in enumerate(items) if item is mode.value)
    element.check_keys(name, items, position, keys)
    if name == _SERVERS and opened.kind.segment == "pool" and (service := _user(configuration, opened)):
        element.check_server(items, position, mode.value["ip"], service)


def _user(configuration: Configuration, opened: OpenObject) -> str:
    """The virtual service that sends packets directly to the servers of the open pool as it is stored; "" for none."""
    if opened.sent_to_by is None:
        opened.sent_to_by = _direct(configuration, opened.document) if "uuid" in opened.document else ""
    return opened.sent_to_by


def _direct(configuration: Configuration, pool: Document) -> str:
    from avi_shell.configuration.assembly import assemble
    from avi_shell.configuration.linking import followers
    from grammar import schema

    with configuration.snapshot() as store:
        for id_ in followers(store, [place(schema.kind("pool"), pool)]):
            service = assemble(store.by_id(id_).document, configuration.referenced)
            if service.is_dsr and (service.pool or {}).get("uuid") == pool["uuid"]:
                return str(service.name)
    return ""
