"""The files of an earlier commit, whose programs run beside this checkout's."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
BEFORE = "d94569b"
"""The last commit whose engines did not know each other."""


def checked_out(folder: Path, commit: str = BEFORE) -> Path:
    """Put a commit's files into a folder. Raises CalledProcessError where this clone does not have it."""
    folder.mkdir()
    packed = subprocess.run(["git", "-C", str(ROOT), "archive", commit], stdout=subprocess.PIPE, check=True).stdout
    subprocess.run(["tar", "-x", "-C", str(folder)], input=packed, check=True)
    return folder


def environment(code: Path) -> dict[str, str]:
    """Where Python finds the packages of a checkout, for a program that is started in its folder."""
    return {**os.environ, "PYTHONPATH": str(code)}
