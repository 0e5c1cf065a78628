"""The commands by which operators look at what engines do to packets: plain data."""

from __future__ import annotations

from grammar.nodes import Node, Slot, number


def _engine(*after: Node) -> Node:
    return Node("<name>", "name of the service engine", "", after, Slot.OBJECT, "name", "serviceengine", _USAGE)


_USAGE = "Usage: 'debug serviceengine <name> [no] debug_pcap_drop'. You must enter the object name."
_PACKETS = number("packets", "capture.drops", "<1-1000000>", help_="how many are captured; 1000 without it")
DEBUG_ENGINE = Node(
    "serviceengine",
    "capture the packets that a service engine drops, with the reasons",
    next=(
        _engine(
            Node("debug_pcap_drop", "capture for at most ten minutes", "capture.drops", (_PACKETS,)),
            Node("no", "end it", next=(Node("debug_pcap_drop", "capture no drops", "capture.drops", argument="no"),)),
        ),
    ),
    kind="serviceengine",
    usage=_USAGE,
)
"""`debug serviceengine`."""


def captures(of: str) -> Node:
    """The nodes of `show` for captures. of: whose captures, for people."""
    held = Node(
        "packets", "what the newest one on this host holds, packet by packet", "show.captures", argument="packets"
    )
    return Node("capture", f"captures of {of}: how far they are, and their files", "show.captures", (held,))


def exported_capture(path: Node) -> Node:
    """The node of `export capture`. path: the slot for the file, with the action."""
    kinds = ("virtualservice", "of the packets to its VIPs"), ("serviceengine", "of what it dropped")
    file = (Node("file", "", next=(path,)),)
    return Node(
        "capture",
        "the newest one on this host",
        next=tuple(
            Node(
                kind,
                help_,
                next=(Node("<name>", "name of the object", "", file, Slot.OBJECT, "name", kind),),
                kind=kind,
            )
            for kind, help_ in kinds
        ),
    )
