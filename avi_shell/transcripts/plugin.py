"""The pytest plugin that collects `*.transcript`. It imports nothing of the shell until there is one.

A transcript that differs fails with the differences; `--update-transcripts` writes it anew: read what it wrote.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from avi_shell.transcripts.document import Transcript
    from avi_shell.transcripts.normalise import Normaliser

UPDATE = "--update-transcripts"
NORMALISERS = "transcript_normalisers"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The plugin's option and its setting in pytest's own files."""
    group = parser.getgroup("avi-shell")
    group.addoption(UPDATE, action="store_true", help="write the transcripts anew, as the shell prints them now")
    parser.addini(
        NORMALISERS, "normalisers of transcripts beside the shell's own, each NAME: REGEX -> TEXT", "linelist", []
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> TranscriptFile | None:
    """Transcripts are told by the ends of their names."""
    return TranscriptFile.from_parent(parent, path=file_path) if file_path.suffix == ".transcript" else None


class Fault(Exception):
    """A transcript that cannot be read, or does not say what the shell prints: told without a traceback."""


class TranscriptFile(pytest.File):
    """A transcript: a test for each terminal that shows it."""

    def collect(self) -> Iterator[TranscriptItem]:
        """The tests, named after their columns; one named `played` where no terminal shows it."""
        from avi_shell.transcripts.document import BadTranscript, read

        try:
            transcript = read(self.path)
        except BadTranscript as exc:
            raise self.CollectError(str(exc)) from None
        for columns in transcript.columns or (None,):
            name = "played" if columns is None else f"{columns} columns"
            yield TranscriptItem.from_parent(self, name=name, columns=columns)


class TranscriptItem(pytest.Item):
    """A transcript on one terminal, or none."""

    def __init__(self, name: str, parent: pytest.File, *, columns: int | None, **others: object) -> None:
        super().__init__(name, parent, **others)  # type: ignore[arg-type]
        self._columns = columns

    def runtest(self) -> None:
        """Play it, and compare; or write it anew."""
        from avi_shell.transcripts import play
        from avi_shell.transcripts.document import BadTranscript, read

        try:
            transcript = read(self.path)
            found = play.settled(transcript, self._columns, self._normaliser(transcript))
        except (BadTranscript, LookupError) as exc:
            raise Fault(str(exc)) from None
        expected = [*transcript.head, *transcript.body]
        if found == expected:
            return
        if self.config.getoption(UPDATE) and self._columns in (None, *transcript.columns[:1]):
            self.path.write_text("".join(f"{line}\n" for line in found), "utf-8")
            return
        raise Fault(self._differences(expected, found))

    def _differences(self, expected: list[str], found: list[str]) -> str:
        from difflib import unified_diff

        name = self.path.name
        lines = unified_diff(expected, found, f"{name}, as it stands", f"{name}, as the shell prints it", lineterm="")
        mend = "make another transcript of it" if self.config.getoption(UPDATE) else f"{UPDATE} writes it anew"
        return "\n".join([*lines, mend])

    def _normaliser(self, transcript: Transcript) -> Normaliser:
        """The transcript's normaliser. Raises LookupError, a sentence."""
        from avi_shell.transcripts.normalise import named, normaliser

        return normaliser(transcript.normalise, dict(map(named, self.config.getini(NORMALISERS))))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str:
        """The differences; a traceback where the shell itself failed."""
        if isinstance(excinfo.value, Fault):
            return str(excinfo.value)
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where it stands, and its name."""
        return self.path, 0, f"{self.path.stem} [{self.name}]"
