"""Every command that is printed to be pasted is taken by bash and by dash alike, whatever names and paths it holds.

`dataplane.errors.command` makes them all: a walk over the source finds its calls, and command lines made elsewhere.
"""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from dataplane.errors import command

ROOT = Path(__file__).parent.parent
SHELLS = ("bash", "dash")
PROGRAMS = (
    "ip sysctl tc nft ethtool mount umount kill rm chmod chown apt-get modprobe etcdctl iptables systemctl bridge "
    "bpftool nsenter curl ss awk mkdir mv cp avi-shell avi-se avi-server avi-lab"
).split()
NO_LINES = {
    "avi_shell/fronts/tools.py": "names of programs, for their usage",
    "dataplane/capture/pcapng.py": "who wrote a capture, and its release",
    "dataplane/lab/laboratory.py": "what a program said",
    "dataplane/server/mssclamp.py": "a rule of nft's own language",
    "dataplane/server/recipe.py": "a script of several lines: tests/server/test_recipe.py pastes it",
}
"""Modules in which a text with values begins like a command line, and is none, or a part of one."""
VALUES = (
    "eth0",
    "a b",
    "it's",
    "$(touch evil)",
    "x;touch evil",
    "`touch evil`",
    'a "b"',
    "*",
    "&",
    "#",
    "~",
    "-n",
    "!!",
)
"""An interface, and names as nobody expects them; a file named evil tells that a shell ran one."""
RECORDER = """\
#!/bin/sh
for word in "${0##*/}" "$@"; do printf '%s\\0' "$word"; done >"record.$$"
"""
"""A program that only writes its words down, in a file of its own."""

_PROGRAM = "|".join(PROGRAMS)
_WITH_VALUES = re.compile(rf"(?:^|[:;,`(=] ?|\b(?:run|try|by) )(?:{_PROGRAM}) [^`;,()]*\{{\}}")
_ALONE = re.compile(rf"(?:{_PROGRAM})(?: [\w./=-]+)+")
_SPECIAL = re.compile(r"[|&;<>()$`\"'#*?]")


class Text(NamedTuple):
    """A text of the source."""

    where: str
    text: str  # with {} for each value
    values: int
    made: bool  # it is what `command` fills


def texts(path: Path) -> Iterator[Text]:
    """The texts of a module, but for its docstrings. A part that is repeated for each of several values stands once."""
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    calls = (node for node in nodes if isinstance(node, ast.Call) and node.args)
    templates = {id(call.args[0]) for call in calls if ast.unparse(call.func) in ("command", "errors.command")}
    done = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if id(node) in done:
            continue
        if isinstance(node, ast.JoinedStr):
            text = "".join(_part(part) for part in node.values)
            done |= {id(part) for part in node.values if isinstance(part, ast.Constant)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        else:
            continue
        where = f"{path.relative_to(ROOT)}:{node.lineno}"
        yield Text(where, text, len(re.findall(r"(?<!\{)\{\}", text)), id(node) in templates)


def _part(part: ast.expr) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    repeated = re.match(r"\{'([^']*\{\}[^']*)' \*", ast.unparse(part).removeprefix("f").strip("\"'"))
    return repeated.group(1) if repeated else "{}"


def _is_bare(text: Text) -> bool:
    """Whether it is a command without values, which need nobody's quoting."""
    return not text.values and _ALONE.fullmatch(text.text) is not None


@pytest.fixture(scope="module")
def source() -> list[Text]:
    """The texts of all sources. Not read when the module is imported: every process of a run imports every module."""
    paths = [path for room in ("avi_shell", "dataplane", "grammar") for path in sorted((ROOT / room).rglob("*.py"))]
    return [text for path in paths if str(path.relative_to(ROOT)) not in NO_LINES for text in texts(path)]


@pytest.fixture(scope="module")
def lines(source: list[Text]) -> list[Text]:
    """The command lines among them, each once."""
    return sorted({text.text: text for text in source if text.made or _is_bare(text)}.values())


def test_command_lines_are_made_by_one_function(source: list[Text]) -> None:
    assert [text for text in source if not text.made and _WITH_VALUES.search(text.text)] == []


def test_there_are_lines_to_be_tested(lines: list[Text]) -> None:
    assert len([line for line in lines if line.values]) > 30
    assert {line.text.split()[0] for line in lines} <= set(PROGRAMS)


@pytest.fixture(scope="module")
def recorders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recorder for every program."""
    folder = tmp_path_factory.mktemp("bin")
    for program in PROGRAMS:
        path = folder / program
        path.write_text(RECORDER)
        path.chmod(0o755)
    return folder


def recorded(shell: str, lines: list[str], recorders: Path, folder: Path) -> list[list[list[str]]]:
    """The words of every program that a shell runs, for each line."""
    script = [f'kill() {{ "{recorders}/kill" "$@"; }}']  # else it is the shell's own
    places = [folder / shell / str(number) for number, _ in enumerate(lines)]
    for place, line in zip(places, lines, strict=True):
        place.mkdir(parents=True)
        script += [f"cd {place}", line]
    done = subprocess.run(
        [f"/bin/{shell}", "-ec", "\n".join(script)],
        env={"PATH": str(recorders)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert list(folder.rglob("evil")) == []
    return [sorted(record.read_text().split("\0")[:-1] for record in place.glob("record.*")) for place in places]


def test_both_shells_run_every_line_alike(lines: list[Text], recorders: Path, tmp_path: Path) -> None:
    filled = [(line, value) for line in lines for value in (VALUES if line.values else ("",))]
    typed = [command(line.text, *[value] * line.values) for line, value in filled]
    ran, again = (recorded(shell, typed, recorders, tmp_path) for shell in SHELLS)
    for (line, value), programs, others in zip(filled, ran, again, strict=True):
        assert programs == others, f"{line} with {value}"
        if not _SPECIAL.search(line.text):
            words = [word.format(*[value] * line.values) for word in line.text.split()]
            assert programs == [words], f"{line} with {value}"
        elif line.values:
            assert any(value in word for words in programs for word in words), f"{line} with {value}"
