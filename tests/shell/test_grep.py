"""`| grep` finds what grep finds: the same patterns on the same lines, beside the program itself."""

import subprocess

import pytest

from avi_shell.output import grep
from grammar.errors import BadValue
from grammar.lexer import split

LINES = [
    "| vs1  | 10.1.1.100 |",
    "| a+b  | (x) |",
    "a{2}",
    "aab",
    "$x^",
    "*",
    "[1]",
    "back\\slash",
    "Two words",
    "",
    "a|b",
]
PATTERNS = [
    "vs1", "^a", "b$", "a*b", "*", "^*", "a+b", r"a\+b", "(x)", r"\(a\)\1", "a{2}", r"a\{2\}", r"Two\|back",
    "a|b", r"a?b", r"a\?b", r"10.1\.1", "[0-9]", "[^a-z|]", "[]x]", "[[:digit:]]0", "[[:space:][:upper:]]",
    r"\<w", r"s\>", "x^", "$x", r"\$x", r"back\\", "", r"[\]", r"\(^a\)a", r"\w ", "-",
]  # fmt: skip


@pytest.mark.parametrize("options", ["", "-i ", "-v ", "-iv "])
def test_the_same_lines_are_found(options: str) -> None:
    """One program for all patterns: the script prints each one's lines behind its number."""
    commands = []
    for number, pattern in enumerate(PATTERNS):
        quoted = "'" + pattern.replace("'", "'\\''") + "'"
        commands.append(f"printf '%s\\n' \"$LINES\" | grep {options}-e {quoted} | sed 's/^/{number}:/'")
    environment = {"LINES": "\n".join(LINES), "LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"}
    told = subprocess.run(
        ["sh", "-c", "\n".join(commands)], env=environment, capture_output=True, text=True, check=True
    )
    found = []
    for number, pattern in enumerate(PATTERNS):
        search = grep.search(split(f"{options}-e '{pattern}'", apostrophes=True), 0)
        found += [f"{number}:{line}" for line in LINES if search.finds(line)]
    assert found == told.stdout.split("\n")[:-1]


def test_several_patterns_and_what_is_none() -> None:
    search = grep.search(split("-e one -etwo"), 0)
    assert [search.finds(line) for line in ("one", "two", "three")] == [True, True, False]
    assert grep.search(split("-- -x"), 0).finds("a -x")
    with pytest.raises(BadValue, match="'-q' is not an option") as caught:
        grep.search(split("-iq x"), 0)
    assert caught.value.word == "-iq"
