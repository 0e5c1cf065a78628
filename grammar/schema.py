"""The object model: kinds, messages and fields, read from the data files under `model/`.

One file a kind (`pool.json`), `common.json` for messages that several kinds hold, `enums.json` for enumerations.
Everything that knows a keyword asks here: the parser, completion, help, tables, defaults and checks, so that they
cannot disagree. Files are read when their kind is first asked for; a shell that touches one kind reads one.

The facts of each field are the appliance's object model, release 30.2.1.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from grammar.errors import ModelError

SCALARS = frozenset({"bool", "int32", "uint32", "uint64", "float", "double", "string", "enum", "ref"})
_SCOPES = ("l4", "stored", "carried", "hidden")
INTEGERS = frozenset({"int32", "uint32", "uint64"})
_NATURAL_RANGE = {"int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1), "uint64": (0, 2**64 - 1)}
_FIELD_KEYS = frozenset(
    "type scope order help enum ref message repeated required default min max special unit max_items min_items "
    "read_only sensitive hidden_in_cli deprecated since note no_effect".split()
)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message: its facts as data."""

    name: str  # as the appliance spells it
    type: str  # bool, int32, uint32, uint64, float, double, string, enum, ref or message
    scope: str  # l4: offered by the shell; stored: also, without effect; carried: only kept; hidden: never shown
    order: int  # its label in tables
    help: str = ""  # one line for the operator
    enum: str | None = None  # the enumeration whose values it takes
    ref: str | None = None  # the kind that it refers to, by message name
    message: str | None = None  # the message that it holds
    repeated: bool = False  # a list
    required: bool = False  # the message needs it
    default: Any = None  # as stored; None = nothing
    minimum: int | float | None = None  # inclusive; never None for integers
    maximum: int | float | None = None  # inclusive; never None for integers
    special: Mapping[int, str] = dataclasses.field(default_factory=lambda: MappingProxyType({}))  # value → its meaning
    unit: str | None = None  # printed after its number
    min_items: int | None = None  # of a list
    max_items: int | None = None  # of a list
    read_only: bool = False  # kept and shown, never typed
    sensitive: bool = False  # a secret: never shown
    hidden_in_cli: bool = False  # the appliance's shell does not offer it
    deprecated: str | None = None  # since which release
    no_effect: bool = False  # it changes nothing about forwarding here

    @property
    def described(self) -> bool:
        """Whether this product understands its values: it checks them, fills in defaults, and lets them be typed unless
        read-only."""
        return self.scope in ("l4", "stored")

    @property
    def typable(self) -> bool:
        """Whether the shell offers it."""
        return self.described and not self.read_only and not self.hidden_in_cli


@dataclass(frozen=True, slots=True)
class Message:
    """A message: a record of named fields."""

    name: str  # the appliance's: "Server"
    fields: Mapping[str, Field]  # by name, in table order
    one_token: bool = False  # an address or a prefix: typed and shown as one word

    def typable(self) -> Iterator[Field]:
        """The fields the shell offers, in table order."""
        return (field for field in self.fields.values() if field.typable)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object."""

    name: str  # the message's: "Pool"
    segment: str  # the shell's word and prompt: "pool"
    verb: str  # "configure", or "debug" for debugvirtualservice
    help: str  # one line for the operator
    messages: Mapping[str, Message]  # its own and those inside, by name
    root: Message = field(init=False)  # its own message

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", self.messages[self.name])

    def message(self, field: Field) -> Message | None:
        """The message a field holds; None where it is a scalar or its message is not modelled here (carried)."""
        return self.messages.get(field.message) if field.message else None


SEGMENTS: Mapping[str, str] = MappingProxyType(
    {
        "networkprofile": "NetworkProfile",
        "applicationprofile": "ApplicationProfile",
        "healthmonitor": "HealthMonitor",
        "pool": "Pool",
        "vsvip": "VsVip",
        "virtualservice": "VirtualService",
        "serviceenginegroup": "ServiceEngineGroup",
        "vrfcontext": "VrfContext",
        "cloud": "Cloud",
        "tenant": "Tenant",
        "debugvirtualservice": "DebugVirtualService",
        "serviceengine": "ServiceEngine",
    }
)
"""The shell's word for each kind → the kind's message name, in the order `show` lists them."""

_BY_NAME = {name: segment for segment, name in SEGMENTS.items()}


@cache
def enums() -> Mapping[str, tuple[str, ...]]:
    """Every enumeration: name → its values in upper case, in the model's order."""
    return MappingProxyType({name: tuple(values) for name, values in _read("enums.json").items()})


@cache
def kind(word: str) -> Kind:
    """The kind of a segment ("pool") or a message name ("Pool"). Raises KeyError for neither."""
    segment = word if word in SEGMENTS else _BY_NAME[word]
    data = _read(f"{segment}.json")
    messages = dict(_common())
    messages.update(_messages(data["messages"], f"{segment}.json"))
    return Kind(data["kind"], segment, data["verb"], data["help"], MappingProxyType(messages))


def kinds() -> Iterator[Kind]:
    """Every kind, in the order of SEGMENTS."""
    return map(kind, SEGMENTS)


@cache
def _common() -> Mapping[str, Message]:
    return _messages(_read("common.json")["messages"], "common.json")


def _read(name: str) -> dict[str, Any]:
    text = (Path(__file__).parent / "model" / name).read_text("utf-8")
    try:
        data = json.loads(text)
    except ValueError as exc:
        raise ModelError(f"{name}: {exc}") from exc
    if not isinstance(data, dict):
        raise ModelError(f"{name}: expected an object")
    return data


def _messages(data: dict[str, Any], source: str) -> dict[str, Message]:
    return {name: message_from(name, body, source) for name, body in data.items()}


def message_from(name: str, body: dict[str, Any], source: str) -> Message:
    """A message out of its data. Raises ModelError naming source, message, field and fault."""
    fields = {key: _field(key, facts, f"{source}: {name}.{key}") for key, facts in body["fields"].items()}
    ordered = sorted(fields.values(), key=lambda field: field.order)
    return Message(name, MappingProxyType({f.name: f for f in ordered}), body.get("typed_as_one_token", False))


def _field(name: str, facts: dict[str, Any], where: str) -> Field:
    unknown = facts.keys() - _FIELD_KEYS
    if unknown:
        raise ModelError(f"{where}: unknown facts {sorted(unknown)}")
    try:
        type_, scope, order = facts["type"], facts["scope"], facts["order"]
    except KeyError as exc:
        raise ModelError(f"{where}: {exc} is missing") from exc
    if type_ not in SCALARS and type_ != "message":
        raise ModelError(f"{where}: type {type_!r} is none of {sorted(SCALARS | {'message'})}")
    if scope not in _SCOPES:
        raise ModelError(f"{where}: scope {scope!r} is none of {', '.join(_SCOPES)}")
    for needed in ("enum", "ref", "message"):
        if (type_ == needed) != (needed in facts):
            raise ModelError(f"{where}: a {needed} field, and only that, names its {needed}")
    low, high = _NATURAL_RANGE.get(type_, (None, None))
    return Field(
        name=name,
        type=type_,
        scope=scope,
        order=order,
        help=facts.get("help", ""),
        enum=facts.get("enum"),
        ref=facts.get("ref"),
        message=facts.get("message"),
        repeated=facts.get("repeated", False),
        required=facts.get("required", False),
        default=facts.get("default"),
        minimum=facts.get("min", low),
        maximum=facts.get("max", high),
        special=MappingProxyType({int(value): text for value, text in facts.get("special", {}).items()}),
        unit=facts.get("unit"),
        min_items=facts.get("min_items"),
        max_items=facts.get("max_items"),
        read_only=facts.get("read_only", False),
        sensitive=facts.get("sensitive", False),
        hidden_in_cli=facts.get("hidden_in_cli", False),
        deprecated=facts.get("deprecated"),
        no_effect=facts.get("no_effect", scope == "stored"),
    )
