"""Plays a transcript: its typed lines in a session over a fresh configuration, step by step."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

from avi_shell.configuration.configuration import Configuration
from avi_shell.errors import ShellError
from avi_shell.output import render
from avi_shell.output.result import Part
from avi_shell.session.openobject import TEXT_WANTED
from avi_shell.session.session import Session
from avi_shell.session.source import from_file, is_prompted
from avi_shell.session.state import QUESTION
from avi_shell.transcripts import compare
from avi_shell.transcripts.document import BadTranscript, Transcript
from avi_shell.transcripts.normalise import Normaliser, shown
from grammar.lexer import prompt_end

NOWHERE = Path("/nonexistent/avi-shell")
"""The state directory's name that is shown; no engine runs there."""
_TEXT_WANTED = TEXT_WANTED.partition("{}")[0]


@dataclass(slots=True)
class Step:
    """A typed line with what follows it."""

    expected: Sequence[str]  # as the transcript has it: the line behind its prompt, and what is to be printed
    printed: list[str]  # what the shell printed, the line behind its prompt too


def settled(transcript: Transcript, columns: int | None, normalise: Normaliser) -> list[str]:
    """Play a transcript, and return its lines as they are now: those that it has where nothing differs. columns: of the
    terminal that shows it; None: none does. Raises BadTranscript."""
    lines = list(transcript.head)
    for step in steps(transcript, columns):
        try:
            lines += compare.settled(step.expected, step.printed, normalise)
        except compare.BadPattern as exc:
            raise BadTranscript(str(exc), transcript.path) from None
    return lines


def steps(transcript: Transcript, columns: int | None = None) -> Iterator[Step]:
    """Play a transcript in a folder of its own. Raises BadTranscript where what it stands on is not there."""
    with tempfile.TemporaryDirectory(prefix="avi-transcript-") as folder:
        for name in transcript.files:
            try:
                shutil.copy(transcript.place(name), folder)
            except OSError as exc:
                raise BadTranscript(f"files: {name}: {exc.strerror}", transcript.path) from None
        with chdir(folder):
            player = Player(transcript, NOWHERE, columns)
            yield from player.steps()


class Player:
    """A transcript being played. directory: where engines would be asked; none runs there."""

    def __init__(self, transcript: Transcript, directory: Path, columns: int | None) -> None:
        self._transcript = transcript
        self._columns = columns
        self._ahead: Sequence[str] = ()  # what the transcript has behind the line that is run
        self.session = self._begun(directory)
        if columns is not None:
            self.session.terminal = True
            self.session.ask = self._answer

    def _begun(self, directory: Path) -> Session:
        """A session where the first prompt has it, after the session files that run before."""
        tenant, controller = self._transcript.beginning() or ("admin", "10-1-1-1")
        session = Session(Configuration.in_memory(), directory, controller=controller)
        session.loading = True  # they may have <sensitive> in the place of secrets
        for name in self._transcript.after:
            self._run_before(session, name)
        session.loading = False
        session.lines.clear()
        try:
            session.work_in(tenant)
        except ShellError as exc:
            raise BadTranscript(f"{exc}; {exc.hint}", self._transcript.path) from None
        return session

    def _run_before(self, session: Session, name: str) -> None:
        path = self._transcript.place(name)
        try:
            source = from_file(str(path))
        except (OSError, ValueError) as exc:
            raise BadTranscript(f"after: {name}: {exc}", self._transcript.path) from None
        for number, line in source:
            result = session.run(line)
            if result.error is not None:
                raise BadTranscript(f"after: {render.message(result.error)}", path, number)
        if session.open is not None:
            raise BadTranscript(f"after: {name} leaves an object open", self._transcript.path)

    def steps(self) -> Iterator[Step]:
        """Run the lines, one step after the other, until the shell is left."""
        body, at, ended = self._transcript.body, 0, False
        waiting = self._is_waiting(body[-1])
        last = len(body) - waiting
        while at < last and not ended:
            behind = at + 1
            self._ahead = [line for line in body[behind:] if not is_prompted(line)]
            printed, ended = self._run(self._typed(body[at]))
            while self.session.collecting and behind < last:
                if not body[behind].startswith(_TEXT_WANTED):
                    printed += self._run(body[behind])[0]
                behind += 1
            while behind < last and not is_prompted(body[behind]):
                behind += 1
            yield Step(body[at:behind], printed)
            at = behind
        if at < last:
            yield Step(body[at:last], [])
        if waiting:
            yield Step(body[last:], [self.session.prompt])

    def _is_waiting(self, line: str) -> bool:
        """Whether a transcript's last line is the prompt that waits for the next one."""
        return is_prompted(line) and not line[prompt_end(line) :]

    def _typed(self, line: str) -> str:
        prompt = self.session.prompt
        return line.removeprefix(prompt) if line.startswith(prompt) else line[prompt_end(line) :]

    def _run(self, line: str) -> tuple[list[str], bool]:
        """What the shell prints for a line, and whether it was left."""
        prompt = self.session.prompt
        result = self.session.run(line)
        width = self.session.settings.width or self._columns
        return shown(result, prompt, width), result.ended

    def _answer(self, told: Sequence[Part], question: str) -> bool:
        """The answer that the transcript has to a question; no where it has none."""
        asked = QUESTION.format(question)
        return any(line.startswith(asked.rstrip()) and line.rstrip().endswith(" yes") for line in self._ahead)
