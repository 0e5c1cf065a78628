"""One element of a list, checked when it is left: what a commit would refuse of it, whatever else is typed. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from avi_shell.configuration.document import Document, address_text
from avi_shell.configuration.rules import server_fault
from avi_shell.errors import InvalidObject
from grammar import relations, schema


def check(kind: schema.Kind, field: schema.Field, items: Sequence[Any], position: int, filled: Document) -> None:
    """Check the element at a position, from 0. filled: it as a commit would fill it in. Raises InvalidObject."""
    message = kind.message(field)
    assert message is not None
    place = f"{field.name}[{position + 1}]"
    for name, inner in message.fields.items():
        if inner.required and inner.described and name not in filled:
            raise InvalidObject(f"{place} has no {name}", path=f"{place}.{name}", hint=f"type {name}, or cancel")
    keys = relations.KEYS.get(message.name, ((),))[0] if message.name != "Service" else ()
    element = items[position]
    if not keys or keys[0] not in element:
        return
    for index, other in enumerate(items):
        if index != position and all(other.get(key) == element.get(key) for key in keys):
            what = f"{place} is the same as {field.name}[{index + 1}]: {_shown(element, keys)}"
            raise InvalidObject(what, path=place, hint=f"another {' or '.join(keys)}, or cancel")


def check_server(items: Sequence[Document], position: int | None, address: Document, service: str) -> None:
    """Check the address of a server of a pool that a virtual service sends to directly. position: the server's, None:
    it comes. Raises InvalidObject."""
    seen = {address_text(item.get("ip", {})): index for index, item in enumerate(items, 1) if index - 1 != position}
    place = f"servers[{len(items) + 1 if position is None else position + 1}]"
    if fault := server_fault(address, seen):
        what, hint = fault
        raise InvalidObject(f"{place} {what} (VirtualService {service} uses the pool)", path=f"{place}.ip", hint=hint)


def _shown(element: Document, keys: Sequence[str]) -> str:
    there = [(key, element[key]) for key in keys if key in element]
    return ", ".join(f"{key}={address_text(value) if isinstance(value, dict) else value}" for key, value in there)
