"""Saves pools one after the other, each told on a line: `python -m tests.configuration.writer STATE NAME COUNT`."""

from __future__ import annotations

import sys
from pathlib import Path

from avi_shell.configuration.configuration import Configuration


def main(state: str, name: str, count: str) -> None:
    configuration = Configuration.open(Path(state))
    for number in range(int(count)):
        configuration.save("pool", {"name": f"{name}-{number}"}, "admin")
        print(number, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
