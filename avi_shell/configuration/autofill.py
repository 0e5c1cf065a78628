"""Fills in what a commit adds to a document besides the model's defaults: the appliance's own choices. Pure.

Positions become identifiers, a port becomes a range of one, a server's address its host name, and references that every
object must have point to the objects of a fresh controller.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from avi_shell.configuration.document import (
    DEFAULT_CLOUD,
    Document,
    address_text,
    cloud_of,
    copy,
    map_references,
    reference,
    target,
)
from grammar import relations, schema

OWN_REFERENCES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "cloud_ref": ("cloud", "Default-Cloud"),
        "vrf_ref": ("vrfcontext", "global"),
        "vrf_context_ref": ("vrfcontext", "global"),
        "se_group_ref": ("serviceenginegroup", "Default-Group"),
    }
)
"""References that any kind with such a field gets when it names none: field → segment, name."""

SERVICE_REFERENCES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "network_profile_ref": ("networkprofile", "System-TCP-Proxy"),
        "application_profile_ref": ("applicationprofile", "System-HTTP"),
    }
)
"""References that virtual services get when they name none: field → segment, name."""


OWN_VALUES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {"tenant": {"config_settings": {}}, "applicationprofile": {"preserve_client_port": False}}
)
"""Values that objects get besides the model's defaults, by segment; a message gets its defaults."""


def _nothing(_: str) -> bool:
    return False


def filled(
    kind: schema.Kind,
    document: Document,
    tenant: str,
    stored: Document | None = None,
    exists: Callable[[str], bool] = _nothing,
    *,
    own: bool = False,
) -> Document:
    """A new document with everything filled in. stored: the object as it was before, to tell typed values from those
    that were filled in. exists: tells whether a reference names an object; an object of a cloud refers to objects of
    its own cloud if they exist. own: fill in the document itself, whose references are canonical already."""
    new = document if own else canonical(kind, document)
    segment = kind.segment
    wanted = _wanted(segment)
    if wanted.tenant:
        new.setdefault("tenant_ref", reference("tenant", tenant))
    there = cloud_of(kind, new)
    for name, ref in wanted.references.items():
        if name not in new:
            inside = _in_cloud(ref, there)
            new[name] = inside if inside and exists(inside) else ref
    for name, value in OWN_VALUES.get(segment, {}).items():
        new.setdefault(name, copy(value))
    for name, fill in _ELEMENTS.get(segment, {}).items():
        if name in new:
            elements = _messages(new, name)
            before = _messages(stored, name) if stored else ()
            for index, element in enumerate(elements):
                fill(element, index, elements, before[index] if index < len(before) else {})
    return new


class _Wanted(NamedTuple):
    """The references that objects of a kind get when they name none."""

    tenant: bool  # whether they belong to a cloud
    references: Mapping[str, str]  # field → the reference


@cache
def _wanted(segment: str) -> _Wanted:
    fields = schema.kind(segment).root.fields
    chosen = {**OWN_REFERENCES, **(SERVICE_REFERENCES if segment == "virtualservice" else {})}
    return _Wanted("tenant_ref" in fields, {name: reference(*to) for name, to in chosen.items() if name in fields})


def _in_cloud(ref: str, cloud: str) -> str:
    """A reference to the object of the same name in another cloud; "" if it is the same cloud or the kind belongs to
    none."""
    if cloud in ("", DEFAULT_CLOUD):
        return ""
    known = target(ref)
    return known._replace(cloud=cloud).reference if known.kind in relations.OF_A_CLOUD else ""


def canonical(kind: schema.Kind, document: Document) -> Document:
    """A copy with every reference to a kind of the model in the one form that this product writes."""

    return map_references(kind, document, lambda field, ref: one_form(ref) if field.described else ref)


@lru_cache(1 << 14)
def one_form(ref: str) -> str:
    """A reference in the canonical form. An unreadable one stays as it is, and the checks name it."""
    try:
        return target(ref).reference
    except ValueError:
        return ref


def _messages(document: Document, name: str) -> list[Document]:
    value = document.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _position(field: str, first: int) -> Fill:
    def fill(element: Document, index: int, elements: list[Document], before: Document) -> None:
        if field not in element:
            taken = {other.get(field) for other in elements}
            number = index + first
            while str(number) in taken:
                number += 1
            element[field] = str(number)

    return fill


def _range_end(element: Document, index: int, elements: list[Document], before: Document) -> None:
    port, end = element.get("port"), element.get("port_range_end")
    was_filled = before.get("port") == end and before.get("port_range_end") == end and port != end
    if isinstance(port, int) and (end is None or was_filled):  # only one error names a value that is no port
        element["port_range_end"] = port


def _hostname(element: Document, index: int, elements: list[Document], before: Document) -> None:
    ip = element.get("ip")
    address = address_text(ip) if isinstance(ip, dict) else ""
    hostname = element.get("hostname")
    was_filled = hostname is not None and hostname != address and hostname == address_text(before.get("ip", {}))
    if address and (hostname is None or (was_filled and _is_address(str(hostname)))):
        element["hostname"] = address


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


Fill = Callable[[Document, int, list[Document], Document], None]
"""Fills one element of a list: the element, its position from 0, its list, the element stored there before."""

_ELEMENTS: Mapping[str, Mapping[str, Fill]] = MappingProxyType(
    {
        "vsvip": {"vip": _position("vip_id", 0)},
        "virtualservice": {"vip": _position("vip_id", 0), "services": _range_end},
        "pool": {"servers": _hostname},
        "vrfcontext": {"static_routes": _position("route_id", 1)},
    }
)
