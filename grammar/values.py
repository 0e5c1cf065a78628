"""Leaf values: one word against one field's type. pyparsing describes the forms; ranges and names are checked here.

A value is what the stored object holds: numbers, booleans, upper-case enumeration values, addresses as
{"addr", "type"}, prefixes as {"ip_addr", "mask"}. A reference stays the name as typed: who knows the objects resolves
it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from grammar import schema
from grammar.errors import AmbiguousWord, BadValue
from grammar.lexer import Word, nearest

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_V4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
_MASK = {"V4": 32, "V6": 128}

Reader = Callable[[Word], Any]

_readers: dict[int, tuple[schema.Field, Reader]] = {}  # by identity: a field holds mappings and has no hash


def reader(field: schema.Field, one_token: schema.Message | None = None) -> Reader:
    """The function that reads a field's values from words, made once for each field. It raises BadValue with the
    expected form.

    one_token: the field's message where it is an address or a prefix.
    """
    made = known(field)
    if made is None:
        made = _reader(field, one_token)
        _readers[id(field)] = (field, made)
    return made


def known(field: schema.Field) -> Reader | None:
    """The reader of a field that was asked for before."""
    entry = _readers.get(id(field))
    return entry[1] if entry is not None and entry[0] is field else None


def _reader(field: schema.Field, message: schema.Message | None) -> Reader:
    expected = (form(field, message),)
    if message is not None:
        return _prefixes(expected) if "mask" in message.fields else _addresses(expected)
    if field.type in schema.INTEGERS:
        return _integers(field, expected)
    if field.type in ("float", "double"):
        return _numbers(field, expected)
    if field.type == "enum":
        return _enumerations(field.name, schema.enums()[field.enum or ""])
    if field.type == "bool":
        return _booleans
    return _text


@cache
def _forms() -> dict[str, Any]:
    """The forms of words. pyparsing takes 80 ms to import: a shell whose words all take the short cuts never does."""
    import pyparsing as pp

    v4, v6 = pp.common.ipv4_address, pp.common.ipv6_address
    mask = pp.Regex(r"[0-9]{1,3}")
    return {
        "an integer": pp.Regex(r"[+-]?[0-9]+"),
        "a number": pp.Regex(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"),
        "an address": v4,
        "an IPv6 address": v6,
        "a prefix": pp.Combine(v4 + "/" + mask),
        "an IPv6 prefix": pp.Combine(v6 + "/" + mask),
        "true or false": pp.one_of("true false", caseless=True, as_keyword=True),
    }


def form(field: schema.Field, one_token: schema.Message | None = None) -> str:
    """The expected form of a field's value: `<5-14400> sec, 0 = infinite`, `<x.x.x.x>`, `<text>`, `<name>`."""
    if one_token is not None:
        return "<x.x.x.x/n>" if "mask" in one_token.fields else "<x.x.x.x>"
    if field.type in schema.INTEGERS or field.type in ("float", "double"):
        return _number_form(field)
    if field.type == "enum":
        return "|".join(value.lower() for value in schema.enums()[field.enum or ""])
    return {"bool": "true|false", "ref": "<name>"}.get(field.type, "<text>")


def _number_form(field: schema.Field) -> str:
    low, high = field.minimum, field.maximum
    natural_low, natural_high = low in (None, -(2**31)), high in (None, 2**31 - 1)
    if natural_low and natural_high:
        text = "<integer>" if field.type in schema.INTEGERS else "<number>"
    elif natural_low:
        text = f"<up to {high}>"
    else:
        text = f"<{low}-{high}>"
    if field.unit:
        text += f" {field.unit}"
    return "".join([text, *(f", {value} = {meaning}" for value, meaning in field.special.items())])


def _refused(what: str, word: Word, expected: tuple[str, ...], near: tuple[str, ...] = ()) -> BadValue:
    return BadValue(f"'{word.text}' is {what}", word.text, word.column, expected, near)


def _parsed(what: str, word: Word, expected: tuple[str, ...]) -> str:
    """The word, if it has the form. pyparsing's own "found" text cuts words; only its position counts."""
    from pyparsing import ParseBaseException

    try:
        return str(_forms()[what].parse_string(word.text, parse_all=True)[0])
    except ParseBaseException as exc:
        rest = word.text[exc.loc :]
        fault = f": '{rest}' does not fit" if exc.loc > 0 and rest and not rest[0].isdigit() else ""
        raise _refused(f"not {what}{fault}", word, expected) from None


def _integers(field: schema.Field, expected: tuple[str, ...]) -> Reader:
    low, high, special = field.minimum, field.maximum, field.special
    assert low is not None  # the schema gives integers their natural range
    assert high is not None

    def read(word: Word) -> int:
        text = word.text
        if not (text.isascii() and text.isdecimal()):
            text = _parsed("an integer", word, expected)
        value = int(text) if len(text) < 30 else 10**30
        if low <= value <= high or value in special:
            return value
        raise _refused("out of range", word, expected)

    return read


def _numbers(field: schema.Field, expected: tuple[str, ...]) -> Reader:
    low, high = field.minimum, field.maximum

    def read(word: Word) -> float:
        value = float(_parsed("a number", word, expected))
        if (low is None or value >= low) and (high is None or value <= high) and abs(value) != float("inf"):
            return value
        raise _refused("out of range", word, expected)

    return read


def _enumerations(name: str, values: Sequence[str]) -> Reader:
    known = {value: value for value in values} | {value.lower(): value for value in values}
    lower = tuple(value.lower() for value in values)

    def read(word: Word) -> str:
        exact = known.get(word.text)
        if exact is not None:
            return exact
        text = word.text.lower()
        matches = [value for value in lower if value.startswith(text)] if text else []
        if text in known or len(matches) == 1:
            return known[text] if text in known else known[matches[0]]
        if matches:
            what = f"'{word.text}' is ambiguous as a value of {name}"
            raise AmbiguousWord(what, word.text, word.column, tuple(matches))
        near = nearest(text, lower) or tuple(value for value in lower if text and text in value)[:3]
        raise _refused(f"not a value of {name}", word, lower, near)

    return read


def _booleans(word: Word) -> bool:
    return is_true(word) if is_truth(word) else _parsed("true or false", word, ("true", "false")) == "true"


def is_true(word: Word) -> bool:
    """Whether a word that `is_truth` accepts means true."""
    return word.text.lower() in ("true", "1")


def is_truth(word: Word) -> bool:
    """Whether a word after a boolean field is its value, true or false."""
    return word.text in ("true", "false", "True", "False", "1", "0")


def _text(word: Word) -> str:
    return word.text


def address(text: str) -> dict[str, Any] | None:
    """An address as stored, in its usual spelling; None for anything else."""
    if _V4.fullmatch(text):
        return {"addr": text, "type": "V4"}
    if ":" in text and "%" not in text:
        try:
            return {"addr": str(ipaddress.IPv6Address(text)), "type": "V6"}
        except ValueError:
            return None
    return None


def _addresses(expected: tuple[str, ...]) -> Reader:
    def read(word: Word) -> dict[str, Any]:
        value = address(word.text)
        if value is None:
            value = address(_parsed("an IPv6 address" if ":" in word.text else "an address", word, expected))
        if value is None:
            raise _refused("not an address", word, expected)
        return value

    return read


def _prefixes(expected: tuple[str, ...]) -> Reader:
    def read(word: Word) -> dict[str, Any]:
        base, slash, mask = word.text.partition("/")
        value = address(base)
        if value is None or not slash or not (mask.isascii() and mask.isdecimal() and len(mask) <= 3):
            what = "an IPv6 prefix" if ":" in word.text else "a prefix"
            base, _, mask = _parsed(what, word, expected).partition("/")
            value = address(base)
        if value is None:
            raise _refused("not a prefix", word, expected)
        if int(mask) > _MASK[value["type"]]:
            raise _refused(f"not a prefix: the mask is at most {_MASK[value['type']]}", word, expected)
        return {"ip_addr": value, "mask": int(mask)}

    return read
