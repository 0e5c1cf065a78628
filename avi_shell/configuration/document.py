"""Documents: the objects of the configuration as plain dictionaries, in the appliance's JSON form.

Field names of the object model, references as `/api/pool/?name=p1&tenant=admin`, addresses as
`{"addr": "10.1.1.1", "type": "V4"}`, prefixes as `{"ip_addr": {…}, "mask": 24}`, enumerations in upper case. Pure.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from avi_shell.configuration.walks import (
    Document,
    copy,
    map_references,
    message_with_defaults,
    references,
    with_defaults,
)
from grammar import relations, schema

__all__ = ["Document", "copy", "map_references", "message_with_defaults", "references", "with_defaults"]

ADMIN = "admin"
"""The tenant that owns what every other tenant may use."""

DEFAULT_CLOUD = "Default-Cloud"
"""The cloud of an object that names none."""

ALL = "*"
"""In a tenant's place: the objects of every tenant."""

SECRET = "<sensitive>"
"""What is shown in a secret's place."""

HIDDEN_STATE = "_last_modified"
"""The hidden field that tells whether an open document is still the stored one."""

_REMEMBERED = 1 << 14
"""References whose parts are known by heart: a commit looks at each many times."""

_SAFE = " !$'()*,/:;@~[]{}|^`<>\"\\"  # characters that need no quoting in a reference: all but & = + # % and ?


class Target(NamedTuple):
    """What an object is found by."""

    kind: str  # its segment
    tenant: str  # that it belongs to; tenants are admin's
    cloud: str  # that it belongs to; "" for kinds that belong to none
    name: str

    @property
    def reference(self) -> str:
        """The reference to it."""
        return reference(self.kind, self.name, self.tenant, self.cloud)


@lru_cache(_REMEMBERED)
def reference(segment: str, name: str, tenant: str = ADMIN, cloud: str = "") -> str:
    """The reference to an object. Tenants stand outside tenants, `/api/tenant/?name=admin`; the default cloud is not
    written."""
    owner = "" if segment == "tenant" else f"&tenant={quote(tenant, safe=_SAFE)}"
    place = "" if cloud in ("", DEFAULT_CLOUD) else f"&cloud={quote(cloud, safe=_SAFE)}"
    return f"/api/{segment}/?name={quote(name, safe=_SAFE)}{owner}{place}"


@lru_cache(_REMEMBERED)
def reference_parts(ref: str) -> tuple[str, str, str]:
    """Segment, name and tenant of a reference, in whichever order its parameters stand. Raises ValueError."""
    segment, parameters = _parts(ref)
    return segment, parameters["name"], parameters.get("tenant") or ADMIN


@lru_cache(_REMEMBERED)
def target(ref: str) -> Target:
    """Whom a reference names. Raises ValueError."""
    segment, parameters = _parts(ref)
    tenant = ADMIN if segment == "tenant" else parameters.get("tenant") or ADMIN
    cloud = parameters.get("cloud") or DEFAULT_CLOUD if segment in relations.OF_A_CLOUD else ""
    return Target(segment, tenant, cloud, parameters["name"])


def names_cloud(ref: str) -> bool:
    """Whether a reference names its target's cloud, or the target belongs to none. Raises ValueError."""
    segment, parameters = _parts(ref)
    return segment not in relations.OF_A_CLOUD or bool(parameters.get("cloud"))


def _parts(ref: str) -> tuple[str, dict[str, str]]:
    path, _, query = ref.partition("?")
    pieces = path.strip("/").split("/")
    parameters = {name: unquote(value) for name, _, value in (piece.partition("=") for piece in query.split("&"))}
    if len(pieces) != 2 or pieces[0] != "api" or not parameters.get("name"):
        raise ValueError(f"{ref!r} is not a reference of the form /api/KIND/?name=NAME&tenant=TENANT")
    return pieces[1], parameters


@lru_cache(_REMEMBERED)
def reference_name(ref: str) -> str:
    """The name in a reference; the text itself where it is none (carried references of other forms)."""
    try:
        return reference_parts(ref)[1]
    except ValueError:
        return ref.rpartition("#")[2]


def tenant_of(document: Document) -> str:
    """The tenant that a stored document belongs to."""
    ref = document.get("tenant_ref")
    return reference_name(ref) if isinstance(ref, str) else ADMIN


def owner(kind: schema.Kind, document: Document) -> str:
    """The tenant that an object of a kind belongs to; tenants are admin's."""
    return ADMIN if kind.segment == "tenant" else tenant_of(document)


def cloud_of(kind: schema.Kind, document: Document) -> str:
    """The cloud that an object belongs to; "" for kinds that belong to none."""
    if kind.segment not in relations.OF_A_CLOUD:
        return ""
    ref = document.get("cloud_ref")
    return reference_name(ref) if isinstance(ref, str) else DEFAULT_CLOUD


def place(kind: schema.Kind, document: Document) -> Target:
    """What an object is found by."""
    return Target(kind.segment, owner(kind, document), cloud_of(kind, document), document["name"])


def owned_name(name: str, tenant: str, cloud: str = "") -> str:
    """A name that is unique over tenants and clouds: a tenant other than admin and a cloud other than the default one
    are added, `t1/grp@linux`."""
    there = "" if cloud in ("", DEFAULT_CLOUD) else f"@{cloud}"
    return f"{name}{there}" if tenant == ADMIN else f"{tenant}/{name}{there}"


def in_cloud(cloud: str) -> str:
    """The end of a sentence that names a cloud; "" for the default cloud, or none."""
    return "" if cloud in ("", DEFAULT_CLOUD) else f" of cloud {cloud}"


def with_clouds(kind: schema.Kind, document: Document) -> Document:
    """A document as it is exported. Outside the default cloud every reference names its cloud, so that none is taken
    for the object's own."""
    if cloud_of(kind, document) in ("", DEFAULT_CLOUD):
        return document

    def said(_: schema.Field, ref: str) -> str:
        try:
            return ref if names_cloud(ref) else f"{ref}&cloud={quote(DEFAULT_CLOUD)}"
        except ValueError:
            return ref

    return map_references(kind, document, said)


def address_text(value: Document) -> str:
    """An address as typed and shown."""
    return str(value.get("addr", ""))


def prefix_text(value: Document) -> str:
    """A prefix as typed and shown."""
    return f"{address_text(value.get('ip_addr', {}))}/{value.get('mask', '')}"


def token_text(message: schema.Message, value: Document) -> str:
    """The one word for a message that is typed and shown as one: an address or a prefix."""
    return prefix_text(value) if "mask" in message.fields else address_text(value)


def without_secrets(kind: schema.Kind, document: Document) -> Document:
    """A copy with SECRET in the place of every secret of the model."""

    def changed(message: schema.Message, held: Document) -> Document:
        return {name: value(message.fields.get(name), item) for name, item in held.items()}

    def value(field: schema.Field | None, item: Any) -> Any:
        if isinstance(item, list):
            return [value(field, one) for one in item]
        if field is not None and field.sensitive:
            return SECRET
        inner = kind.message(field) if field is not None else None
        return changed(inner, item) if inner is not None and isinstance(item, dict) else item

    return changed(kind.root, document)
