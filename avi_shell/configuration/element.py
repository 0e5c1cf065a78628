"""Checks one element of a list when its mode is left, for faults that no later line could mend. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from avi_shell.configuration.document import Document, address_text
from avi_shell.configuration.rules import server_fault
from avi_shell.errors import InvalidObject
from grammar import relations, schema


def keys(message: schema.Message) -> tuple[str, ...]:
    """The fields that identify elements of a message. A service has none, as its port may stand twice."""
    return relations.KEYS.get(message.name, ((),))[0] if message.name != "Service" else ()


def missing(message: schema.Message, element: Document) -> list[str]:
    """The fields that a commit requires and the element lacks."""
    return [
        field.name
        for field in message.fields.values()
        if field.required and field.described and field.name not in element
    ]


def check_required(place: str, names: Sequence[str]) -> None:
    """Refuse an element that lacks fields without a default. Raises InvalidObject."""
    if names:
        raise InvalidObject(
            f"{place} has no {names[0]}", path=f"{place}.{names[0]}", hint=f"type {names[0]}, or cancel"
        )


def check_keys(name: str, items: Sequence[Any], position: int, by: Sequence[str]) -> None:
    """Check the element at a position, from 0, beside the others of its list. name: the list's; by: the fields that
    identify its elements. Raises InvalidObject."""
    element, (first, *rest) = items[position], by
    if first not in element:
        return
    value = element[first]
    for index, other in enumerate(items):  # a pool of thousands of servers is looked through for each of them
        if other.get(first) == value and index != position and all(other.get(k) == element.get(k) for k in rest):
            place, same = f"{name}[{position + 1}]", f"{name}[{index + 1}]"
            what = f"{place} is the same as {same}: {_shown(element, by)}"
            raise InvalidObject(what, path=place, hint=f"another {' or '.join(by)}, or cancel")


def check_server(servers: Sequence[Document], position: int, address: Document, service: str) -> None:
    """Check a server's address in a pool that a service with direct server return uses. position: the server's, from 0;
    for a new one, how many there are. Raises InvalidObject."""
    same = next((at for at, other in enumerate(servers, 1) if other.get("ip") == address and at - 1 != position), None)
    if fault := server_fault(address, same):
        place, (what, hint) = f"servers[{position + 1}]", fault
        raise InvalidObject(f"{place} {what} (VirtualService {service} uses the pool)", path=f"{place}.ip", hint=hint)


def _shown(element: Document, keys: Sequence[str]) -> str:
    there = [(key, element[key]) for key in keys if key in element]
    return ", ".join(f"{key}={address_text(value) if isinstance(value, dict) else value}" for key, value in there)
