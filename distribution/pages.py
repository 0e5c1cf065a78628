"""Man pages and bash completion, made of the programs' own parsers: `python -m distribution.pages FOLDER`.

Writes `man/man8/PROGRAM.8` (man-pages(7)) and `completions/PROGRAM` (for bash-completion, or to be sourced).
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import avi_shell.__main__
import dataplane.__main__
import dataplane.lab.__main__
import dataplane.server.__main__
from avi_shell.fronts import tools
from dataplane.version import VERSION

DATE = "2026-11-29"
STATUS = "0 done; 1 refused, or something is wrong; 2 wrong command line; 130 interrupted"
"""Exit statuses of a program whose parser does not tell its own."""


@dataclass(frozen=True, slots=True)
class Command:
    """A program, or what one of its first words does."""

    name: str  # with the words before it: "avi-se run"
    parser: argparse.ArgumentParser
    about: str  # one sentence
    inner: Mapping[str, Command] = field(default_factory=dict)  # what may follow, by its word


def programs() -> list[Command]:
    """The four programs."""
    shell = {word: _command(f"avi-shell {word}", tool.parser()) for word, tool in tools.TOOLS.items()}
    return [
        _command("avi-shell", avi_shell.__main__.parser(), shell),
        _command("avi-se", dataplane.__main__.parser()),
        _command("avi-server", dataplane.server.__main__.parser()),
        _command("avi-lab", dataplane.lab.__main__.parser()),
    ]


def _command(
    name: str, parser: argparse.ArgumentParser, inner: Mapping[str, Command] | None = None, about: str = ""
) -> Command:
    found = dict(inner or {})
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for word, below in action.choices.items():
                found[word] = _command(f"{name} {word}", below, about=helps.get(word, ""))
    return Command(name, parser, about or (parser.description or "").split(". ")[0].rstrip("."), found)


def options(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """The options that a person may type, without `--help`."""
    return [
        action
        for action in parser._actions
        if action.option_strings and not isinstance(action, argparse._HelpAction) and action.help != argparse.SUPPRESS
    ]


def _arguments(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [a for a in parser._actions if not a.option_strings and not isinstance(a, argparse._SubParsersAction)]


# Man pages


def man(command: Command) -> str:
    """The page of a program."""
    name = command.name
    lines = [
        f'.TH {name.upper()} 8 {DATE} "avi-shell {VERSION}"',
        ".SH NAME",
        rf"{_roff(name)} \- {_roff(command.about)}",
        ".SH SYNOPSIS",
        *_synopsis(command),
        ".SH DESCRIPTION",
        _roff(command.parser.description or command.about),
        *_options(command.parser),
    ]
    if command.inner:
        lines.append(".SH COMMANDS")
        for each in _below(command):
            lines += [f".SS {_roff(each.name)}", _roff(_sentence(each.about)), ".PP", *_synopsis(each)]
            lines += _options(each.parser)
    status = (command.parser.epilog or "").removeprefix("exit status: ") or STATUS
    lines += [".SH EXIT STATUS", _roff(status), ".SH SEE ALSO"]
    lines.append(", ".join(rf"\fB{_roff(other)}\fR(8)" for other in _NAMES if other != name))
    return "\n".join(lines) + "\n"


_NAMES = ("avi-shell", "avi-se", "avi-server", "avi-lab")


def _below(command: Command) -> Iterator[Command]:
    for each in command.inner.values():
        yield each
        yield from _below(each)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _synopsis(command: Command) -> list[str]:
    formatter = argparse.HelpFormatter(command.name, width=10_000)
    formatter.add_usage(None, command.parser._actions, command.parser._mutually_exclusive_groups, prefix="")
    usage = " ".join(formatter.format_help().split()).removeprefix(command.name)
    return [f".B {_roff(command.name)}", _roff(usage.strip()) or "\\&"]


def _options(parser: argparse.ArgumentParser) -> list[str]:
    lines = []
    for action in [*_arguments(parser), *options(parser)]:
        lines += [".TP", _labelled(action), _roff(_told(parser, action)) or "\\&"]
    return [".SS Options", *lines] if lines and " " not in parser.prog else lines


def _labelled(action: argparse.Action) -> str:
    value = _value(action)
    if not action.option_strings:
        return rf"\fI{_roff(value)}\fR"
    strings = ", ".join(rf"\fB{_roff(one)}\fR" for one in action.option_strings)
    return strings + (rf" \fI{_roff(value)}\fR" if value else "")


def _value(action: argparse.Action) -> str:
    """What stands for an option's value; "" where it takes none."""
    if action.nargs == 0:
        return ""
    if action.choices is not None:
        return "|".join(map(str, action.choices))
    return str(action.metavar or action.dest.upper())


def _told(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    return parser._get_formatter()._expand_help(action) if action.help else ""


def _roff(text: str) -> str:
    """Text that groff prints as it is."""
    text = text.replace("\\", r"\e").replace("-", r"\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


# Completion


def completion(command: Command) -> str:
    """A script for bash that completes a program's words: commands, options, choices, and files for all else."""
    function = f"_{command.name.replace('-', '_')}"
    cases = [line for each in (command, *_below(command)) for line in _case(command, each)]
    return "\n".join(
        [
            f"# bash completion for {command.name}, made of its parser.",
            f"{function}() {{",
            '  local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" at="" one value=""',
            '  for one in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
            '    if [ -n "$value" ]; then value=""; continue; fi',
            '    case "$at $one" in',
            f"      {_valued(command)}) value=1 ;;",
            f'      {_places(command)}) at="$at $one" ;;',
            "    esac",
            "  done",
            "  COMPREPLY=()",
            '  case "$at $before" in',
            *cases,
            "  esac",
            '  case "$at" in',
            *(_words(command, each) for each in (command, *_below(command))),
            "  esac",
            "}",
            f"complete -o default -F {function} {command.name}",
            "",
        ]
    )


def _place(command: Command, each: Command) -> str:
    """Where a command's own words may follow: the words before them, each behind a blank."""
    return each.name.removeprefix(command.name)


def _places(command: Command) -> str:
    return "|".join(f'"{_place(command, each)}"' for each in _below(command)) or '""'


def _valued(command: Command) -> str:
    """The options that take a value."""
    found = [(each, action) for each in (command, *_below(command)) for action in options(each.parser)]
    return "|".join(
        f'"{_place(command, each)} {one}"'
        for each, action in found
        if action.nargs != 0
        for one in action.option_strings
    )


def _case(command: Command, each: Command) -> Iterator[str]:
    """What may follow an option that takes a value: its choices, else the name of a file."""
    for action in options(each.parser):
        if action.nargs == 0:
            continue
        places = "|".join(f'"{_place(command, each)} {one}"' for one in action.option_strings)
        choices = " ".join(map(str, action.choices or ()))
        reply = f'COMPREPLY=($(compgen -W "{choices}" -- "$word")); ' if choices else ""
        yield f"    {places}) {reply}return ;;"


def _words(command: Command, each: Command) -> str:
    words = [*each.inner, *(one for action in options(each.parser) for one in action.option_strings), "--help"]
    return f'    "{_place(command, each)}") COMPREPLY=($(compgen -W "{" ".join(words)}" -- "$word")) ;;'


def write(folder: Path) -> None:
    """Write pages and completions below a folder."""
    for name, made in (("man/man8/{}.8", man), ("completions/{}", completion)):
        for command in programs():
            path = folder / name.format(command.name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(made(command), "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
