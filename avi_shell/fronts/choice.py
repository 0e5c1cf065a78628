"""Chooses a terminal's front: the plain one if the user asks for it, if TERM says so, or if the terminal does not
answer."""

from __future__ import annotations

import os
import re
from pathlib import Path

from avi_shell.fronts.keyboard import Keyboard
from avi_shell.session.session import Session

ANSWER = 0.2
"""Seconds that a terminal has to tell where its cursor stands."""
_PLAIN = ("", "dumb", "unknown")
_FULL = frozenset(
    "xterm screen tmux linux rxvt alacritty foot kitty konsole vte st putty cygwin wezterm iterm iterm2 gnome eterm "
    "contour ghostty mintty nsterm".split()
)
"""Terminals whose TERM can be trusted. Programs call themselves vt100, ansi or network, and are no terminals."""


def run(session: Session, keyboard: Keyboard, history: Path, *, plain: bool) -> int:
    """A session at a terminal. history: the file of typed lines; plain: it was asked for. Returns the exit status."""
    if not (plain or is_plain(os.environ.get("TERM", ""), keyboard)):
        from avi_shell.fronts.terminal import Terminal  # late: it brings prompt_toolkit

        left = Terminal(session, keyboard, history).run()
        if left is not None:
            return left
    from avi_shell.fronts.plain import Plain

    left = Plain(session, keyboard).run()
    assert left is not None
    return left


def is_plain(term: str, keyboard: Keyboard) -> bool:
    """Whether a terminal knows nothing but characters. term: what it calls itself. It is asked only where that is in
    doubt."""
    name = re.split(r"[-.]", term)[0].lower()
    if name in _PLAIN or name in _FULL:
        return name in _PLAIN
    if keyboard.answers(ANSWER):
        return False
    print()  # behind what it may have made of the question
    return True
