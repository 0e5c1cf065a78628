"""What a configuration session costs: its beginning, beside how much is stored, and its commit, beside an import of the
same objects. Stores in memory."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from avi_shell.configuration import transfer
from avi_shell.configuration.candidate import Candidate
from avi_shell.configuration.configuration import Configuration
from avi_shell.session.session import Session

from . import saving
from .importing import export
from .measure import Effort, Samples

SERVICES, STORED = 200, 2000


def session(effort: Effort) -> Iterator[Samples]:
    """Lines "begin", milliseconds of processor time; "commit", times an import."""
    count, stored = effort.times(SERVICES), effort.times(STORED)
    with closing(Configuration.in_memory()) as configuration:
        transfer.import_(configuration, export(stored))
        begun = [_begun(configuration) for _ in range(effort.rounds + 1)]
    yield Samples("begin", "ms", begun[1:], note=f"{3 * stored + 1:,} objects are stored; processor time")
    lines = ["configure session", *saving.services(count)]
    pairs = [(_committed(lines), _imported(count)) for _ in range(effort.rounds + 1)][1:]
    yield Samples(
        "commit", "ms", [one for one, _ in pairs], [other for _, other in pairs],
        versus="import of as many objects", note=f"{3 * count + 1:,} objects; processor time",
    )  # fmt: skip


def _begun(configuration: Configuration) -> float:
    gc.collect()
    began = time.process_time()
    candidate = Candidate(configuration)
    took = time.process_time() - began
    candidate.close()
    return took * 1000


def _committed(lines: list[str]) -> float:
    with closing(Configuration.in_memory()) as configuration:
        shell = Session(configuration, Path("/nonexistent"))
        saving.run(shell, lines)
        gc.collect()
        began = time.process_time()
        saving.run(shell, ["commit session"])
        return (time.process_time() - began) * 1000


def _imported(count: int) -> float:
    with closing(Configuration.in_memory()) as configuration:
        data = export(count)
        gc.collect()
        began = time.process_time()
        transfer.import_(configuration, data)
        return (time.process_time() - began) * 1000
