"""Makes a client's requests while something else happens, by a run of `dataplane.lab.requests`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

from dataplane.errors import LabError
from dataplane.lab.requests import Answer


class Asking:
    """A run of `dataplane.lab.requests`, and its answers."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self._answers: list[Answer] = []

    def until(self, count: int) -> None:
        """Read answers until so many are there."""
        assert self._process.stdout is not None
        while len(self._answers) < count and (line := self._process.stdout.readline()):
            self._answers.append(Answer(**json.loads(line)))

    def finish(self) -> list[Answer]:
        """Read to the end. Returns all answers, in the order of the requests. Raises LabError."""
        self.until(sys.maxsize)
        assert self._process.stdout is not None
        self._process.stdout.close()
        if self._process.wait():
            raise LabError(f"the client ended with status {self._process.returncode}")
        return sorted(self._answers, key=lambda answer: answer.port)
