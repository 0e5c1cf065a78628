"""What all of these programs need: their options, a session's lines, and how the shell's prompt and refusals look."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import NoReturn

HERE = Path(__file__).parent
PROMPT = r"\[\S+:\S+\]: [\w :]*> "
"""Tenant, controller, and the mode that is open."""
REFUSED = r"^(?:error: .*|Usage: '.*)$"
"""What a terminal shows of a line that is refused; in batch it is the exit status."""
COMMAND = "show virtualservice"
TEMPLATE = HERE / "textfsm" / "show_virtualservice.textfsm"

_PASTED_PROMPT = re.compile(r"^\[[^\]]*\]: ?[\w :]*> ?")


def arguments(description: str | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("host")
    parser.add_argument("session", type=Path, help="a file of lines for the shell, with prompts or without")
    parser.add_argument("--port", type=int, default=2022, help="where the shell answers (default: %(default)s)")
    parser.add_argument("--user", default="root")
    parser.add_argument("--key", type=Path, default=Path("~/.ssh/id_ed25519").expanduser())
    parser.add_argument("--known-hosts", type=Path, default=Path("~/.ssh/known_hosts").expanduser())
    return parser.parse_args()


def lines(session: Path) -> list[str]:
    """The lines to type, without pasted prompts and comments."""
    typed = (_PASTED_PROMPT.sub("", line).strip() for line in session.read_text("utf-8").splitlines())
    return [line for line in typed if line and not line.startswith("#")]


def refused(line: str, told: str) -> NoReturn:
    """End the program because of a line that was refused."""
    sys.exit(f"refused: {line}\n{told.strip()}")
