"""Words that other shells have, and what does the same here: an operator types them by habit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Meant(NamedTuple):
    """The commands that a word stands for."""

    root: tuple[str, ...]  # at the root prompt
    mode: tuple[str, ...]  # while an object is open; (): none there


_LEAVE = Meant(("exit",), ("save", "cancel"))
_BACK = Meant(("exit",), ("exit", "cancel"))
_UNDO = Meant(("rollback",), ("cancel", "no"))
_DROP = Meant(("discard",), ("cancel",))
_KEEP = Meant(("commit",), ("save",))
_CHANGE = Meant(("configure",), ())
_REMOVE = Meant(("delete",), ("no",))
_LOOK = Meant(("show",), ("show", "where"))
_HELP = Meant(("help",), ("help",))
_WHERE = Meant(("switchto", "where"), ("where",))

HABITS: Mapping[str, Meant] = {
    **dict.fromkeys(("end", "bye", "close", "disconnect", "done", "leave", "logoff", "logout"), _LEAVE),
    **dict.fromkeys(("back", "pop", "top", "up"), _BACK),
    **dict.fromkeys(("revert", "undo"), _UNDO),
    **dict.fromkeys(("abandon", "abort", "drop"), _DROP),
    **dict.fromkeys(("apply", "store"), _KEEP),
    **dict.fromkeys(("add", "create", "edit", "modify", "new", "set", "update"), _CHANGE),
    **dict.fromkeys(("erase", "remove", "rm", "unset"), _REMOVE),
    **dict.fromkeys(("cat", "describe", "dir", "display", "get", "info", "list", "ls", "status"), _LOOK),
    **dict.fromkeys(("?", "man", "usage"), _HELP),
    **dict.fromkeys(("cd", "pwd", "tenant", "use"), _WHERE),
    "cls": Meant(("clear",), ("clear",)),
    "mv": Meant(("rename",), ()),
    "cp": Meant(("copy",), ()),
    "run": Meant((), ("do",)),
}
"""By the word. None of them is a command; where one is a field, it means that."""
