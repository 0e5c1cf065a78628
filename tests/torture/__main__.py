"""`python -m tests.torture [NAME[=COUNT] …] [--count N] [--seed S] [--first N]`: without a name, every part.

Exit status 1 where a step did what must not happen; its number and seed are printed, which do it again.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence

from tests.torture.parts import PARTS, Run


def main(argv: Sequence[str] | None = None) -> int:
    """Run parts one after the other. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.torture",
        description=__doc__,
        epilog="; ".join(f"{part.name} ({part.count}): {part.what}" for part in PARTS.values()),
    )
    parser.add_argument("parts", nargs="*", metavar="NAME[=COUNT]", help=f"one of {', '.join(PARTS)}")
    parser.add_argument("--count", type=int, help="steps of each part that has no count of its own")
    parser.add_argument("--first", type=int, default=0, help="number of the first step")
    parser.add_argument("--seed", default="0", help="another seed, other steps")
    wanted = parser.parse_args(argv)
    counts: dict[str, int] = {}
    for word in wanted.parts or PARTS:
        name, _, count = word.partition("=")
        if name not in PARTS or (count and not count.isdecimal()):
            parser.error(f"there is no part {word!r}; there are {', '.join(PARTS)}")
        counts[name] = int(count) if count else PARTS[name].count if wanted.count is None else wanted.count
    failed = [name for name, count in counts.items() if not _passed(name, count, wanted)]
    if failed:
        print(f"FAILED: {', '.join(failed)}")
    return int(bool(failed))


def _passed(name: str, count: int, wanted: argparse.Namespace) -> bool:
    run = Run(name, count, wanted.seed, wanted.first, sys.stderr.isatty())
    try:
        PARTS[name].run(run)
    except Exception:
        traceback.print_exc()
        print(f"again: python -m tests.torture {name} --seed {run.seed} --first {run.at} --count 1", file=sys.stderr)
        return False
    finally:
        print(("\r\x1b[K" if run.shown else "") + run.summary(), flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
