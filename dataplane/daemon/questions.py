"""Requests from an engine's socket: bytes from outside, checked field by field."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address
from typing import Any, NamedTuple

from dataplane.foreign import jsontext
from dataplane.foreign.errors import ForeignError
from dataplane.foreign.text import harmless
from dataplane.forwarding.capture import ANY_PORT, MOST, MOST_CLIENTS
from dataplane.impact.question import MOST_POOLS, MOST_SERVERS
from dataplane.plan import MODES

LONGEST_TEXT = 1024
"""Characters of a field that is text."""
LARGEST_VERSION = 2**63 - 1
LONGEST_WAIT = 86400.0
"""Seconds."""
LONGEST_CAPTURE = 60 * 0xFFFFFFFF
"""Seconds."""

LONGEST_GLANCE = 2.0
"""Seconds for which dropped frames are looked at, and in which servers are asked."""

_NEEDED = object()


class Question(NamedTuple):
    """A request whose fields are all valid."""

    request: str  # one of REQUESTS
    fields: Mapping[str, Any]  # by name, with the defaults of those that were left out


class _Field(NamedTuple):
    """A field of a request."""

    check: Callable[[Any], str]  # what it must be, "" if it is so
    default: Any = _NEEDED


def _version(value: Any) -> str:
    good = type(value) is int and 0 <= value <= LARGEST_VERSION
    return "" if good else f"a whole number from 0 to {LARGEST_VERSION}"


def _seconds(value: Any) -> str:
    good = type(value) in (int, float) and 0 <= value <= LONGEST_WAIT and math.isfinite(value)
    return "" if good else f"a number of seconds from 0 to {LONGEST_WAIT:.0f}"


def _glance(value: Any) -> str:
    return "" if not _seconds(value) and value <= LONGEST_GLANCE else f"a number of seconds from 0 to {LONGEST_GLANCE}"


def _text(value: Any) -> str:
    return "" if isinstance(value, str) and len(value) <= LONGEST_TEXT else f"text of at most {LONGEST_TEXT} characters"


def _table(value: Any) -> str:
    from dataplane.daemon.enginetables import TABLES  # late: nobody asks for a table before the engine has started

    return "" if isinstance(value, str) and value in TABLES else f"one of {', '.join(TABLES)}"


def _texts(value: Any) -> str:
    good = isinstance(value, list) and len(value) <= MOST_POOLS and not any(map(_text, value))
    return "" if good else f"a list of at most {MOST_POOLS} texts"


def _to_prepare(value: Any) -> str:
    good = isinstance(value, list) and len(value) <= MOST_SERVERS and all(map(_is_to_prepare, value))
    return "" if good else f"a list of at most {MOST_SERVERS} lists of VIP, mode ({', '.join(MODES)}) and server"


def _is_to_prepare(value: Any) -> bool:
    whole = isinstance(value, list) and len(value) == 3
    return whole and not _address(value[0]) and value[1] in MODES and not _address(value[2])


def _port(value: Any) -> str:
    return "" if type(value) is int and 0 <= value <= 65535 else "a port from 0 to 65535"


def _address(value: Any) -> str:
    try:
        return "" if isinstance(value, str) and str(IPv4Address(value)) == value else "an IPv4 address"
    except ValueError:
        return "an IPv4 address"


def _flag(value: Any) -> str:
    return "" if isinstance(value, bool) else "true or false"


def _within(first: int, last: int) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        good = type(value) is int and first <= value <= last
        return "" if good else f"a whole number from {first} to {last}"

    return check


def _ports(value: Any) -> str:
    good = isinstance(value, list | tuple) and len(value) == 2 and not any(map(_port, value)) and value[0] <= value[1]
    return "" if good else "the first and the last port, each from 0 to 65535"


def _ranges(value: Any) -> str:
    if isinstance(value, list | tuple) and len(value) <= MOST_CLIENTS and all(map(_is_range, value)):
        return ""
    return f"at most {MOST_CLIENTS} ranges of IPv4 addresses, each its first and its last"


def _is_range(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 2 or any(map(_address, value)):
        return False
    return IPv4Address(value[0]) <= IPv4Address(value[1])


REQUESTS: Mapping[str, Mapping[str, _Field]] = {
    "status": {"about": _Field(_text, "")},
    "addresses": {},
    "notify": {},
    "wait": {
        "version": _Field(_version),
        "identity": _Field(_text, ""),
        "epoch": _Field(_version, 0),
        "timeout": _Field(_seconds),
    },
    "diagnose": {"pool": _Field(_text), "server": _Field(_text, "")},
    "flow": {"virtualservice": _Field(_text), "client": _Field(_address), "port": _Field(_port)},
    "table": {"word": _Field(_table)},
    "drops": {"virtualservice": _Field(_text, ""), "look": _Field(_glance, 0)},
    "impact": {"pools": _Field(_texts, []), "servers": _Field(_to_prepare, []), "within": _Field(_glance, 0.3)},
    "events": {},
    "kernel": {},
    "capture": {
        "virtualservice": _Field(_text, ""),
        "of": _Field(_text, ""),
        "packets": _Field(_within(0, 0xFFFFFFFF), 0),
        "seconds": _Field(_within(0, LONGEST_CAPTURE), 0),
        "size": _Field(_within(0, MOST), 128),
        "pcapng": _Field(_flag, True),
        "files": _Field(_within(1, 10), 2),
        "clients": _Field(_ranges, ()),
        "other_clients": _Field(_flag, False),
        "protocol": _Field(_within(0, 255), 0),
        "source": _Field(_ports, ANY_PORT),
        "destination": _Field(_ports, ANY_PORT),
        "tcp_flags": _Field(_within(0, 255), 0),
    },
    "capture_end": {"of": _Field(_text, "")},
    "captures": {"of": _Field(_text, "")},
}
"""Every request with its fields. Others are ignored: a newer client may know more."""


def read(line: bytes) -> Question:
    """The question in a line. Raises ForeignError, which names the field."""
    asked = jsontext.loads(line)
    if not isinstance(asked, dict) or "request" not in asked:
        raise ForeignError("a request is one JSON object with the key 'request'")
    request, known = asked["request"], ", ".join(REQUESTS)
    if not isinstance(request, str):
        raise ForeignError(f"request must be one of {known}")
    if request not in REQUESTS:
        raise ForeignError(f"unknown request '{harmless(request, 60)}'; there are {known}")
    fields = {}
    for name, field in REQUESTS[request].items():
        value = asked.get(name, field.default)
        if value is _NEEDED:
            raise ForeignError(f"{request}: {name} is missing; it must be {field.check(None)}")
        if wrong := field.check(value):
            raise ForeignError(f"{request}: {name} must be {wrong}, not {harmless(repr(value), 60)}")
        fields[name] = value
    return Question(request, fields)
