"""Serves scripts that were written for the appliance's own shell: its options, and bare objects as JSON.

Such a script runs `shell --address A --user U --password P --file F --json` and gives what is printed to jq.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from avi_shell.configuration import document
from avi_shell.configuration.configuration import Configuration
from avi_shell.output import secret
from avi_shell.output.result import Result
from grammar import schema

_ELSEWHERE = (
    ("--address", "ADDRESS", "the controller's; accepted, the store is local"),
    ("--server", "SERVER", "the same; accepted"),
    ("--port", "PORT", "the controller's; accepted"),
    ("--user", "USER", "accepted: there is no login"),
    ("--password", "PASSWORD", "accepted: there is no login"),
    ("--token", "TOKEN", "accepted: there is no login"),
)
"""Options without effect because this shell connects to no controller and has no login: option, metavar, help."""
_LOGGING = ("--debug", "--log")
"""Options without effect because what is done is written down anyhow."""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options of the appliance's shell that this one lacks."""
    group = parser.add_argument_group("as the appliance's shell has them")
    group.add_argument("--tenant", metavar="NAME", help="begin in this tenant")
    for option, metavar, told in _ELSEWHERE:
        group.add_argument(option, metavar=metavar, help=told)
    group.add_argument("--local", action="store_true", help="accepted: the store always is")
    group.add_argument("--batch-mode", action="store_true", help="run lines as from a file, even at a terminal")
    group.add_argument("--min-output", action="store_true", help="accepted: batch prints no more than results")
    group.add_argument("--debug", action="store_true", default=None, help="accepted")
    group.add_argument("--log", nargs="?", const="", metavar="FILE", help="accepted: audit.jsonl tells what was done")


def notices(arguments: argparse.Namespace) -> list[str]:
    """What a person is told of options without effect."""
    audit = arguments.state / "audit.jsonl"
    told = (
        ([option for option, _, _ in _ELSEWHERE], f"the store is {arguments.state}"),
        (_LOGGING, f"what is done is written down in {audit}"),
    )
    return [
        f"{', '.join(given)} {'have' if len(given) > 1 else 'has'} no effect: {why}"
        for options, why in told
        if (given := [option for option in options if getattr(arguments, option.strip("-")) is not None])
    ]


def is_bare(arguments: argparse.Namespace) -> bool:
    """Whether --json prints bare objects: the lines come by --file alone."""
    return bool(arguments.json and arguments.inputs and {option for option, _ in arguments.inputs} == {"file"})


def bare(configuration: Configuration, result: Result) -> str | None:
    """The object of a `show` or `save` as one line of JSON, with references joined; None for every other line."""
    if not result.kind or not result.ok or result.data is None:
        return None
    kind = schema.kind(result.kind)
    data = result.data
    if not result.pipes:
        data = [_joined(configuration, kind, d) for d in data] if isinstance(data, list) else data
        data = _joined(configuration, kind, data) if isinstance(data, dict) else data
    return json.dumps(secret.hidden(data))


def _joined(configuration: Configuration, kind: schema.Kind, found: Any) -> Any:
    """A document in which every `x_ref` is followed by `x_ref_data`, the object that it names; a list likewise."""
    return _message(configuration, kind, kind.root, found) if isinstance(found, dict) else found


def _message(
    configuration: Configuration, kind: schema.Kind, message: schema.Message, found: document.Document
) -> document.Document:
    made: document.Document = {}
    for name, value in found.items():
        made[name] = value
        field = message.fields.get(name)
        if field is None:
            continue
        inner = kind.message(field)
        if field.type == "ref":
            named = [configuration.referenced(ref) if isinstance(ref, str) else None for ref in _list(value)]
            if None not in named:
                made[f"{name}_data"] = named if isinstance(value, list) else named[0]
        elif inner is not None and not inner.one_token:
            items = [_message(configuration, kind, inner, v) if isinstance(v, dict) else v for v in _list(value)]
            made[name] = items if isinstance(value, list) else items[0]
    return made


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
