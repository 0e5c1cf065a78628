"""Counts in words, the same in everything that people read."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """How many of something: "1 packet", "2,000 packets", "0 more VIPs". one: the noun of one; many: that of several,
    where it is not `one` with an s."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def fits(number: int, one: str, many: str) -> str:
    """The word that fits a number, without it: `fits(2, "is", "are")` is "are"."""
    return one if number == 1 else many
