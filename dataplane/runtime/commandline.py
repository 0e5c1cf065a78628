"""What the command lines of this package have in common."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from dataplane.errors import DataplaneError
from dataplane.version import VERSION


def add_version(parser: argparse.ArgumentParser) -> None:
    """The option `--version`."""
    parser.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments of a program whose options stand behind its command. Exits with status 2 where they are wrong:
    argparse alone takes the value of an option in front of the command for a command."""
    words = sys.argv[1:] if argv is None else list(argv)
    if words and words[0].startswith("-") and words[0] not in ("-h", "--help", "--version"):
        parser.error(f"{words[0]} stands in front of the command; expected: {parser.prog} COMMAND {words[0]} …")
    return parser.parse_args(words)


def tell(program: str, error: DataplaneError) -> None:
    """Say on standard error what was refused, and what helps."""
    print(f"{program}: error: {error}", file=sys.stderr)
    if error.remedy:
        print(f"{program}: try: {error.remedy}", file=sys.stderr)
