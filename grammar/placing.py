"""The commands by which operators move virtual services between engines: plain data."""

from __future__ import annotations

from grammar.nodes import Node, Slot


def _name(action: str, segment: str, argument: str, *after: Node) -> Node:
    return Node("<name>", "name of the object", action, after, Slot.OBJECT, argument, segment)


def _engine(action: str, word: str, argument: str, help_: str, *after: Node) -> Node:
    """A word and the name of a service engine."""
    return Node(word, help_, next=(_name(action, "serviceengine", argument, *after),))


def _moved(verb: str, help_: str, *after: Node) -> Node:
    """The node of a verb that moves a virtual service between engines."""
    usage = f"Usage: '{verb} virtualservice <name>'. You must enter the object name."
    kind = Node(
        "virtualservice", next=(_name(verb, "virtualservice", "name", *after),), kind="virtualservice", usage=usage
    )
    return Node(verb, help_, next=(kind,))


_TO = _engine("migrate", "to_se_ref", "to", "the engine that it goes to")
_FROM = _engine("migrate", "from_se_ref", "from", "the engine that it leaves")
PLACING = (
    _moved(
        "scaleout",
        "have one engine more make a virtual service known",
        _engine("scaleout", "to_se_ref", "to", "the engine; the one that placement takes without it"),
    ),
    _moved(
        "scalein",
        "have one engine less make a virtual service known",
        _engine("scalein", "from_se_ref", "from", "the engine; the last one without it"),
    ),
    _moved(
        "migrate",
        "move a virtual service from one engine to another",
        _engine("migrate", "from_se_ref", "from", "the engine that it leaves; the first one without it", _TO),
        _engine(
            "migrate", "to_se_ref", "to", "the engine that it goes to; the one that placement takes without it", _FROM
        ),
    ),
    Node(
        "switchover",
        "make the standby engine of a pair the active one",
        next=(
            Node(
                "serviceengine",
                next=(
                    Node("<name>", "the one that is active", "switchover", (), Slot.OBJECT, "name", "serviceengine"),
                ),
                kind="serviceengine",
                usage="Usage: 'switchover serviceengine <name>'. You must enter the object name.",
            ),
        ),
    ),
)
"""Operators' commands about placement, for hosts that share a configuration."""
