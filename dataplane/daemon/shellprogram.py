"""The shell's program as a process of an engine. It does what needs the configuration's model."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_HERE = str(Path(__file__).resolve().parents[2])
"""Where the packages of this program are: the shell's that belongs to it, wherever the engine was started."""


def command(word: str, state: Path) -> list[str]:
    """The command line for a task on a state directory. More words may follow."""
    # -P: a module that somebody else put into the engine's working directory is not run
    return [sys.executable, "-P", "-m", "avi_shell", word, "--state", str(state.absolute())]


def environment() -> dict[str, str]:
    """The environment that the program needs."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (_HERE, os.environ.get("PYTHONPATH"))))}
