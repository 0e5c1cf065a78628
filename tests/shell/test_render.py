"""Parts of a result as lines of a width."""

from avi_shell.output.render import text_lines
from avi_shell.output.result import Part, Prose

LONG = "10.1.1.11: " + "server answers, VIP does not: VIP missing on its loopback? " * 3
COMMAND = "    ip addr replace 10.1.1.100/32 dev lo " + "# to be pasted whole " * 5


def test_prose_is_broken_between_words_and_commands_never() -> None:
    parts: list[Part] = [Prose(LONG), COMMAND, Prose("  to do: nothing")]
    lines = text_lines(parts, 60)
    assert lines[-2:] == [COMMAND, "  to do: nothing"]
    prose = lines[:-2]
    assert len(prose) > 2
    assert max(map(len, prose)) <= 60
    assert all(line.startswith("  ") for line in prose[1:])
    assert " ".join(" ".join(prose).split()) == LONG.strip()
    assert text_lines(parts) == [LONG, COMMAND, "  to do: nothing"]
