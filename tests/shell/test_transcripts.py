"""Recorded sessions: every `transcripts/*.txt` is what a terminal shows on a fresh configuration, and stays so.

Lines that start with the prompt of the moment are typed, everything else is what the shell must print; uuids are zeros.
A changed behaviour is recorded anew with `.venv/bin/python -m tests.shell.test_transcripts NAME…`, and then read.
"""

import io
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest

from avi_shell.configuration.configuration import Configuration
from avi_shell.fronts.batch import Batch
from avi_shell.session.session import Session
from avi_shell.session.source import Source
from grammar.lexer import is_output

FOLDER = Path(__file__).parent / "transcripts"
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NO_UUID = "00000000-0000-0000-0000-000000000000"
STATE = Path("/nonexistent/avi-shell")


def typed_lines(transcript: str, session: Session) -> Iterator[str]:
    """The lines of a transcript that were typed, each as soon as the session stands at the prompt that it follows."""
    lines = transcript.split("\n")
    for line in lines[:-1]:  # after the last, the prompt waits
        prompt = session.prompt
        if session.collecting and is_output(line):
            continue
        if line.startswith(prompt):
            yield line.removeprefix(prompt)
        elif line == prompt.rstrip():
            yield ""


def replay(recording: str | list[str]) -> str:
    """What a terminal shows for a transcript's typed lines, or for a list of lines."""
    out = io.StringIO()
    session = Session(Configuration.in_memory(), STATE)
    lines = typed_lines(recording, session) if isinstance(recording, str) else recording
    Batch(session, keep_going=True, transcript=True, out=out, err=io.StringIO()).run([Source("transcript", lines)])
    return "\n".join(line.rstrip() for line in UUID.sub(NO_UUID, out.getvalue()).split("\n"))


def recorded(path: Path) -> str:
    return path.read_text("utf-8").rstrip("\n")


def played(path: Path) -> str:
    """What a terminal shows for a transcript, in a folder of its own with the one file that transcripts read."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        Path("request.txt").write_text("GET /health HTTP/1.1\nHost: x\n")
        return replay(recorded(path))


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_transcript(path: Path) -> None:
    expected = "\n".join(line.rstrip() for line in recorded(path).split("\n"))
    assert played(path) == expected


def test_there_are_enough_of_them() -> None:
    assert len(list(FOLDER.glob("*.txt"))) >= 60


if __name__ == "__main__":
    for name in sys.argv[1:]:
        file = FOLDER / f"{name}.txt"
        file.write_text(played(file) + "\n", "utf-8")
