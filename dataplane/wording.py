"""Counts and times in words, the same in everything that people and programs read.

A time is always told with the offset of the zone of whoever reads it: hosts may be in several zones.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

TIMES = frozenset(("at", "last", "since", "changed", "begun", "until", "started"))
"""Fields of reports that hold a time in seconds since the epoch; 0 and null: there is none."""
_LONG_AGO = 1e9
"""A time of 2001. What is less was none."""


def counted(number: int, one: str, many: str = "") -> str:
    """How many of something: "1 packet", "2,000 packets", "0 more VIPs". one: the noun of one; many: that of several,
    where it is not `one` with an s."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def fits(number: int, one: str, many: str) -> str:
    """The word that fits a number, without it: `fits(2, "is", "are")` is "are"."""
    return one if number == 1 else many


def moment(at: float) -> str:
    """A time for people: "2026-11-29 06:48:26+01:00". at: seconds since the epoch."""
    then = time.localtime(at)
    return time.strftime("%Y-%m-%d %H:%M:%S", then) + _offset(then)


def clock(at: float, digits: int = 0) -> str:
    """A time of day: "06:48:26+01:00", with its date where that is not today's. digits: of a second's parts."""
    then = time.localtime(at)
    day = "" if then[:3] == time.localtime()[:3] else "%Y-%m-%d "
    return time.strftime(f"{day}%H:%M:%S", then) + _parts(at, digits) + _offset(then)


def rfc3339(at: float, digits: int = 3) -> str:
    """A time for programs, as RFC 3339 has it: "2026-11-29T06:48:26.123+01:00". digits: of a second's parts."""
    second, zone = _second(int(at))
    return second + _parts(at, digits) + zone


def timed(data: Any) -> Any:
    """A report for programs, in which `at_time` stands beside `at`, as `rfc3339` has it: so for all of TIMES."""
    if isinstance(data, list | tuple):
        return [timed(one) for one in data]
    if not isinstance(data, dict):
        return data
    told: dict[str, Any] = {}
    for name, value in data.items():
        told[name] = timed(value) if isinstance(value, dict | list) else value
        if name in TIMES and isinstance(value, int | float) and value > _LONG_AGO:
            told[f"{name}_time"] = rfc3339(value)
    return told


@lru_cache(maxsize=256)
def _second(at: int) -> tuple[str, str]:
    """A second for programs, and its zone: the servers of a pool changed in few different ones."""
    then = time.localtime(at)
    return time.strftime("%Y-%m-%dT%H:%M:%S", then), _offset(then)


def _parts(at: float, digits: int) -> str:
    return f".{int(at % 1 * 10**digits):0{digits}}" if digits else ""


def _offset(then: time.struct_time) -> str:
    """Its distance from UTC: "+01:00"."""
    zone = time.strftime("%z", then)
    return f"{zone[:3]}:{zone[3:]}"
