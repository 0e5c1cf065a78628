"""What the command lines of this package have in common."""

from __future__ import annotations

import argparse
import sys

from dataplane.errors import DataplaneError
from dataplane.version import VERSION


def add_version(parser: argparse.ArgumentParser) -> None:
    """The option `--version`."""
    parser.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")


def tell(program: str, error: DataplaneError) -> None:
    """Say on standard error what was refused, and what helps."""
    print(f"{program}: error: {error}", file=sys.stderr)
    if error.remedy:
        print(f"{program}: try: {error.remedy}", file=sys.stderr)
