"""Random documents out of the object model: every field the shell offers may be there, with any value it may have."""

from functools import cache
from typing import Any

from hypothesis import strategies as st

from avi_shell.configuration import captureorder, document
from avi_shell.configuration.document import Document, reference
from grammar import relations, schema

from .addresses import address, prefix

TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20) | st.sampled_from(
    ["--", "file:x", "no", "index", "a b", 'q"q', "back\\slash", "two\nlines", "END", "#", "|", "true", ">", "0"]
)
ADDRESSES = st.integers(0x0A000001, 0x0AFFFFFE).map(
    lambda number: address(".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0)))
)
PREFIXES = st.tuples(st.integers(1, 254), st.integers(0, 32)).map(lambda pair: prefix(f"10.{pair[0]}.0.0/{pair[1]}"))
NAMES = {
    "Tenant": "admin",
    "Cloud": "Default-Cloud",
    "VrfContext": "management",
    "ServiceEngineGroup": "Default-Group",
    "HealthMonitor": "System-Ping",
    "NetworkProfile": "System-TCP-Fast-Path",
    "ApplicationProfile": "System-DNS",
}
SEGMENTS = {name: segment for segment, name in schema.SEGMENTS.items()}
UNIQUE = {
    "ip",
    "vip_id",
    "peer_ip",
    "route_id",
    "gateway_ip",
    "host_ip",
    "key",
    "port",
    "tag_key",
    "attr_key",
    "resolver_name",
    "index",
}
"""Key fields: elements of one list may not share them."""


@cache
def documents(segment: str) -> st.SearchStrategy[Document]:
    """Documents of a kind, without its name, that are right by themselves."""
    kind = schema.kind(segment)
    agreeing = _orderly if segment == "debugvirtualservice" else _agreeing
    return _messages(kind, kind.root, 0).map(lambda found: agreeing({k: v for k, v in found.items() if k != "name"}))


def _orderly(found: Document) -> Document:
    """Debug settings without those that ask for a capture that cannot be."""
    for name in ("capture_filters", "capture_params", "debug_ip"):
        if captureorder.faults(found | {"name": "x"}):
            found = {key: value for key, value in found.items() if key != name}
    return found


def _agreeing(found: Document) -> Document:
    """A document in which the numbers of a service engine group allow each other."""
    least = max(2, found.get("min_scaleout_per_vs", 1))
    return found | {"max_scaleout_per_vs": least} if found.get("max_scaleout_per_vs", 4) < least else found


def _messages(kind: schema.Kind, message: schema.Message, depth: int) -> st.SearchStrategy[Document]:
    alternatives = relations.ALTERNATIVES.get(message.name, {})
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for field in message.typable():
        if field.name in alternatives or field.name in ("tenant_ref", "pool_ref", "vsvip_ref"):
            continue
        held = kind.message(field)
        if depth > 3 and held is not None and not held.one_token and not field.required:
            continue
        if field.type == "ref" and field.ref not in NAMES:
            continue
        (required if field.required else optional)[field.name] = _field(kind, field, depth)
    if message.name == "Service":
        optional.pop("port_range_end")
    plain = st.sets(st.sampled_from(sorted(optional) or [""]), max_size=8).flatmap(
        lambda chosen: st.fixed_dictionaries(required | {name: optional[name] for name in chosen if name})
    )
    if not alternatives:
        return plain
    inner = [f for f in message.typable() if f.name in alternatives]
    return st.one_of(
        *(
            st.tuples(plain, _field(kind, f, depth)).map(
                lambda pair, f=f: {**pair[0], "type": alternatives[f.name], f.name: pair[1]}  # type: ignore[misc]
            )
            for f in inner
        )
    )


def _field(kind: schema.Kind, field: schema.Field, depth: int) -> st.SearchStrategy[Any]:
    value = _value(kind, field, depth)
    if not field.repeated:
        return value
    most = min(3, field.max_items or 3)
    return st.lists(value, min_size=1, max_size=most, unique_by=_key if field.type == "message" else None)


def _key(element: Document) -> Any:
    return next(
        (document.address_text(v) if isinstance(v, dict) else v for k, v in element.items() if k in UNIQUE), id(element)
    )


def _value(kind: schema.Kind, field: schema.Field, depth: int) -> st.SearchStrategy[Any]:
    held = kind.message(field)
    if held is not None:
        if held.one_token:
            return PREFIXES if "mask" in held.fields else ADDRESSES
        return _messages(kind, held, depth + 1)
    if field.type == "bool":
        return st.booleans()
    if field.type == "enum":
        return st.sampled_from(schema.enums()[field.enum or ""])
    if field.type == "ref":
        return st.just(reference(SEGMENTS[field.ref or ""], NAMES[field.ref or ""]))
    if field.name == "command_variables":
        return st.sampled_from(["A=b", "A='b c' _d=e=f", "A="])
    if field.type == "string":
        return TEXT
    if field.type in schema.INTEGERS:
        assert isinstance(field.minimum, int)
        assert isinstance(field.maximum, int)
        numbers = st.integers(field.minimum, field.maximum)
        return numbers | st.sampled_from(sorted(field.special)) if field.special else numbers
    return st.floats(field.minimum, field.maximum, allow_nan=False, allow_infinity=False)
