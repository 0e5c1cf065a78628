"""`watch`: the command that runs another one again and again, and its limits."""

from __future__ import annotations

from grammar.nodes import Node, Slot, number

LONGEST, MOST = 3600, 99999
"""The most seconds between two runs; the most runs."""
AGAIN, SECONDS, TIMES = "watch", "watch.seconds", "watch.times"
"""Names of the arguments of `watch`: the word itself, the seconds between two runs, the number of runs."""


def how_often(action: str, *after: Node) -> tuple[Node, ...]:
    """`[<seconds>] [count <runs>]`. action: what is done if the line ends there; after: what may follow."""
    runs = number(TIMES, action, f"<1-{MOST}>", *after, help_="so many runs, then it ends")
    count = Node("count", "end after some runs", next=(runs,))
    seconds = number(SECONDS, action, f"<1-{LONGEST}>", count, *after, help_="seconds between two runs; 2 without it")
    return seconds, count


def watch(*commands: Node) -> Node:
    """The command that repeats one of some others."""
    inner = Node("", slot=Slot.COMMAND, next=commands, argument=AGAIN)
    return Node(
        "watch", "repeat a show command and mark what changed, until q or Ctrl-C", next=(*how_often("", inner), inner)
    )
