"""Writes the transcript of a live session, a line after the other, as it is typed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TextIO

from avi_shell.configuration.document import ALL, SECRET
from avi_shell.configuration.runningconfig import running_config
from avi_shell.errors import Refused
from avi_shell.output.result import Result
from avi_shell.session.session import Session
from avi_shell.session.source import TRANSCRIPT
from avi_shell.transcripts.normalise import normaliser, shown

BEFORE = ".before.avi"
"""Ends the name of the file that holds what the store had when the session began."""

_NORMALISED = normaliser((), {})


class Recorder:
    """Records a session. columns: of the terminal that shows it; None: none does.

    A line with a secret is recorded as a comment. What the store holds already is written beside the transcript, which
    is played after it. Raises Refused where a file exists or cannot be made.
    """

    def __init__(self, session: Session, path: Path, columns: int | None) -> None:
        self._session = session
        self._columns = columns
        self._watched = ""  # the line that is run again and again
        self._fault = ""  # why it cannot be written, which is told once
        head = [] if columns is None else [f"#! columns: {columns}"]
        if before := running_config(session.configuration, ALL, secrets=False):
            place = path.with_name(f"{path.name.removesuffix(TRANSCRIPT)}{BEFORE}")
            head.append(f"#! after: {place.name}")
            with _created(place) as beside:
                beside.writelines(f"{line}\n" for line in before)
        self._file = _created(path)
        self._write([*head, ""] if head else [])
        session.observer = self._observe

    def _observe(self, prompt: str, result: Result) -> None:
        if result.repeat and result.command == self._watched:
            return
        self._watched = result.command if result.repeat else ""
        if result.secret:
            lines = [f"{prompt}# {SECRET}"]
        else:
            lines = shown(result, prompt, self._session.settings.width or self._columns)
        self._write(lines)
        if self._fault:
            result.warnings.append(f"the session is not recorded any more: {self._file.name}: {self._fault}")
            self._session.observer = None

    def _write(self, lines: list[str]) -> None:
        try:
            self._file.writelines(f"{_NORMALISED(line)}\n" for line in lines)
            self._file.flush()
        except OSError as exc:
            self._fault = exc.strerror or str(exc)

    def close(self) -> None:
        """End the transcript with the prompt that waits."""
        self._session.observer = None
        if not self._fault and self._session.prompt:
            self._write([self._session.prompt])
        try:
            self._file.close()
        except OSError:
            pass  # told already


def _created(path: Path) -> TextIO:
    """A new file, its owner's alone, as everything is that shows a configuration."""
    try:
        return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w", encoding="utf-8")
    except FileExistsError:
        raise Refused(f"{path} exists already", hint="record into a new file") from None
    except OSError as exc:
        raise Refused(f"cannot write {path}: {exc.strerror}") from None
