"""What the programs of the dataplane refuse of their command lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from dataplane import __main__ as engine
from dataplane.lab import __main__ as laboratory
from dataplane.server import __main__ as server


@pytest.mark.parametrize(
    ("main", "words", "program"),
    [
        (engine.main, ["--state", "/tmp/x", "status"], "avi-se"),
        (server.main, ["--vip", "10.0.0.1", "apply"], "avi-server"),
        (laboratory.main, ["--driver", "xdp", "run"], "avi-lab"),
    ],
)
def test_an_option_in_front_of_the_command_is_named(
    main: Callable[[Sequence[str]], int], words: list[str], program: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    told = capsys.readouterr().err.splitlines()[-1]
    option = words[0]
    assert told == (
        f"{program}: error: {option} stands in front of the command; expected: {program} COMMAND {option} …"
    )


@pytest.mark.parametrize("word", ["--version", "--help", "-h"])
def test_what_needs_no_command_stands_alone(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        engine.main([word])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(("avi-se", "usage: avi-se"))
