"""Lines that operators type, whole and mutated, in sessions: none raises, none fills the memory."""

from __future__ import annotations

import random
import resource
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from avi_shell.configuration.configuration import Configuration
from avi_shell.output import render
from avi_shell.session.session import Session
from grammar.lexer import is_output, prompt_end
from tests.torture.parts import Run

ROOT = Path(__file__).parents[2]
LINES_A_SESSION = 2000
GROWTH = 300 << 10
"""KiB by which the process may grow over a run."""
OTHER = (
    *("", '"', "|", "| json", "| grep x", "no", "index 1", "--", "END", "?", "file:", "file:/dev/zero", "save", "exit"),
    *("cancel", "99999999999999999999", "-1", "1e400", "\x1b[2J", "\u202e", "\ud800", "é", "x" * 300, "*", "#", "\\"),
    *("<sensitive>", "watch", "do", "\x00", "\t", "[a:b]: >", "{}", "/api/pool/?name=p1", "::", "1.1.1.1/99"),
)


@cache
def corpus() -> tuple[tuple[str, ...], ...]:
    """The lines of each example and transcript, but those that write files."""
    found = []
    for path in [*ROOT.glob("examples/*.avi"), *ROOT.glob("tests/shell/transcripts/*.transcript")]:
        lines = [line[prompt_end(line) :] for line in path.read_text("utf-8").split("\n") if not is_output(line)]
        found.append(tuple(line for line in lines if not _writes(line)))
    return tuple(found)


def _writes(line: str) -> bool:
    return "export" in line or ("|" in line and "save" in line)


def mutated(chance: random.Random, line: str) -> str:
    """The line, or one like it."""
    if chance.random() < 0.5:
        return line
    words = line.split(" ")
    for _ in range(chance.randrange(1, 3)):
        at = chance.randrange(len(words))
        match chance.randrange(6):
            case 0:
                words.insert(at, chance.choice(OTHER))
            case 1:
                words[at] = words[at][: chance.randrange(len(words[at]) + 1)]
            case 2:
                words[at] = chance.choice(chance.choice(chance.choice(corpus())).split(" "))
            case 3:
                words.insert(at, words[at])
            case 4:
                words[at] = "".join(chance.sample(words[at], len(words[at])))
            case _:
                words = words[: at + 1]
    return " ".join(words)


def sessions(folder: Path) -> Iterator[Session]:
    """A fresh session after so many lines each."""
    while True:
        session = Session(Configuration.in_memory(), folder)
        for _ in range(LINES_A_SESSION):
            yield session


def typed(chance: random.Random, before: tuple[tuple[str, ...], int]) -> tuple[tuple[str, ...], int]:
    """The place of the next line: mostly the one after the last, so that modes are entered."""
    file, at = before
    if at + 1 < len(file) and chance.random() < 0.8:
        return file, at + 1
    file = chance.choice(corpus())
    return file, 0 if chance.random() < 0.7 else chance.randrange(len(file))


def run(run: Run) -> None:
    """One line a step."""
    begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    place: tuple[tuple[str, ...], int] = ((), 0)
    with TemporaryDirectory() as folder:
        for chance, session in zip(run.steps(), sessions(Path(folder)), strict=False):
            if not session.lines:
                place = ((), 0)  # a session's steps depend on no others
            place = typed(chance, place)
            line = mutated(chance, place[0][place[1]])
            if _writes(line):
                run.ended("left out")
                continue
            result = session.run(line)
            render.text_lines(result.parts, 80)
            render.as_json(result)
            run.ended("taken" if result.ok else "refused")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - begun
    assert grown < GROWTH, f"the process grew by {grown} KiB"
