"""Man pages and bash completion: every option stands there, and neither man nor bash finds a fault."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from dataplane.daemon import unit
from distribution import pages

ROOT = Path(__file__).parent.parent
PROGRAMS = {command.name: command for command in pages.programs()}


def everything(command: pages.Command) -> list[pages.Command]:
    return [command, *pages._below(command)]


def test_every_program_has_its_commands() -> None:
    assert list(PROGRAMS) == ["avi-shell", "avi-se", "avi-server", "avi-lab"]
    assert {"compile", "backup", "cluster", "follow"} <= PROGRAMS["avi-shell"].inner.keys()
    assert {"run", "status", "install-unit"} <= PROGRAMS["avi-se"].inner.keys()
    assert {"avi-shell cluster seed"} <= {each.name for each in everything(PROGRAMS["avi-shell"])}


@pytest.mark.parametrize("program", PROGRAMS)
def test_man_shows_every_option_and_warns_of_nothing(program: str, tmp_path: Path) -> None:
    page = tmp_path / f"{program}.8"
    page.write_text(pages.man(PROGRAMS[program]), "utf-8")
    argv = ["man", "--warnings", "--local-file", "--encoding=UTF-8", str(page)]
    done = subprocess.run(
        argv, env={"PATH": "/usr/bin:/bin", "MANWIDTH": "1000", "LC_ALL": "C.UTF-8"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    shown = re.sub(r".\x08", "", done.stdout)
    for each in everything(PROGRAMS[program]):
        assert each.name in shown
        for action in pages.options(each.parser):
            assert all(f"{one} " in shown or f"{one}," in shown or f"{one}\n" in shown for one in action.option_strings)
            assert action.help is None or " ".join(pages._told(each.parser, action).split()[:4]) in shown


def completed(line: str) -> list[str]:
    """What bash offers at the end of a line, without files."""
    words = line.split(" ")
    script = pages.completion(PROGRAMS[words[0]])
    asked = f"""
COMP_WORDS=({" ".join(f"'{word}'" for word in words)}); COMP_CWORD={len(words) - 1}
_{words[0].replace("-", "_")}; echo "${{COMPREPLY[*]}}"
"""
    done = subprocess.run(["bash", "-uc", script + asked], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("avi-se r", ["run", "replay"]),
        ("avi-se run --dr", ["--driver"]),
        ("avi-se run --interface eth0 --driver x", ["xdp"]),
        ("avi-se run --interface ", []),
        ("avi-se status --", ["--state", "--json", "--help"]),
        ("avi-shell cluster se", ["seed"]),
        ("avi-shell cluster seed --rep", ["--replace"]),
        ("avi-shell --state backup --on-error c", ["continue"]),
        ("avi-server apply --mode l", ["l2", "l3"]),
        ("avi-lab run --dr", ["--driver"]),
    ],
)
def test_bash_offers_what_the_parser_takes(line: str, offered: list[str]) -> None:
    assert completed(line) == offered


@pytest.mark.parametrize("program", PROGRAMS)
def test_bash_offers_every_option(program: str) -> None:
    for each in everything(PROGRAMS[program]):
        offered = completed(f"{each.name} -")
        assert {one for action in pages.options(each.parser) for one in action.option_strings} <= set(offered)


def test_the_container_has_what_the_unit_has() -> None:
    told = (ROOT / "distribution" / "README.md").read_text("utf-8")
    wanted = {name.removeprefix("CAP_") for name in unit.capabilities(scripts=False)}
    assert set(re.findall(r"--cap-add[= ](\w+)", told)) == wanted
