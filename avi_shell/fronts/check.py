"""`avi-shell --check`: what lines would do, tried on a copy. Nothing is changed, made or written."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from avi_shell.configuration.candidate import Candidate
from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.record import Author
from avi_shell.fronts.batch import DONE, REFUSED
from avi_shell.output import changes, render
from avi_shell.session import transaction
from avi_shell.session.rehearsal import Rehearsal
from avi_shell.session.session import Session
from avi_shell.session.source import Source
from dataplane.foreign.text import visible
from dataplane.wording import counted


def check(directory: Path, sources: Iterable[Source], author: Author, *, as_json: bool, tenant: str = "") -> int:
    """Say what lines would change in the configuration of a state directory, or every fault of theirs. Returns the exit
    status: whether all of them can be run. tenant: where they begin, "" for admin.

    Raises StoreError where the store cannot be read, NotFound where there is no such tenant.
    """
    with closing(Configuration.look(directory)) as stored:
        candidate = Candidate(stored, lenient=False)
        session = Session(candidate.configuration, directory, author=author)
        if tenant:
            session.work_in(tenant)
        tried = Rehearsal(session)
        tried.run(sources)
        if session.candidate is not None:
            session.candidate.close()
        made = candidate.changes()
        candidate.close()
    if as_json:
        faults = [
            {"file": fault.file, "line": fault.line, "path": fault.inner, "message": render.message(fault)}
            for fault in tried.faults
        ]
        told = {"ok": not faults, "lines": tried.lines, "faults": faults, "changes": changes.data(made, whole=True)}
        print(json.dumps(told))
    elif tried.faults:
        for fault in tried.faults:
            print(visible(f"{fault.path}: error: {render.message(fault)}"), file=sys.stderr)
    else:
        for line in render.text_lines(transaction.differences(made, "Now", "Afterwards", whole=True)):
            print(line)
        lines = counted(tried.lines, "line")
        print(f"{lines} can be run: {transaction.counted(made)}.")
    return REFUSED if tried.faults else DONE
