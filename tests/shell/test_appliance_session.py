"""The appliance's session, as printed: from a file, through standard input, with and without its prompts, and typed."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from .conftest import Run

PASTED = """\
[admin:10-X-X-X]: > configure networkprofile {name}
[admin:10-X-X-X]: networkprofile> profile
[admin:10-X-X-X]: networkprofile profile> tcp_fast_path_profile
[admin:10-X-X-X]: networkprofile profile:tcp_fast_path_profile>dsr_profile dsr_type dsr_type_l2
[admin:10-X-X-X]: networkprofile profile:dsr_profile> save
[admin:10-X-X-X]: networkprofile> save
"""
PROMPTS = [
    "[admin:10-1-1-1]: > ",
    "[admin:10-1-1-1]: networkprofile> ",
    "[admin:10-1-1-1]: networkprofile profile> ",
    "[admin:10-1-1-1]: networkprofile profile:tcp_fast_path_profile> ",
    "[admin:10-1-1-1]: networkprofile profile:dsr_profile> ",
    "[admin:10-1-1-1]: networkprofile> ",
    "[admin:10-1-1-1]: > ",
]


def with_prompts(name: str) -> str:
    return PASTED.format(name=name)


def without_prompts(name: str) -> str:
    return re.sub(r"(?m)^\[[^>]*> ?", "", with_prompts(name))


def stored(shell: Run, name: str) -> dict[str, Any]:
    told = shell("--json", "-c", f"show networkprofile {name}")
    assert told.returncode == 0, told.stderr
    data: dict[str, Any] = json.loads(told.stdout)["data"]
    return data


def is_the_appliances(profile: dict[str, Any]) -> None:
    assert profile["profile"]["type"] == "PROTOCOL_TYPE_TCP_FAST_PATH"
    assert profile["profile"]["tcp_fast_path_profile"]["dsr_profile"]["dsr_type"] == "DSR_TYPE_L2"


@pytest.mark.parametrize("text", [with_prompts("dsr-l2"), without_prompts("dsr-l2")], ids=["pasted", "bare"])
def test_from_a_file(shell: Run, tmp_path: Path, text: str) -> None:
    (tmp_path / "session.txt").write_text(text)
    done = shell("-f", "session.txt")
    assert (done.returncode, done.stderr) == (0, "")
    is_the_appliances(stored(shell, "dsr-l2"))


@pytest.mark.parametrize("text", [with_prompts("dsr-l2"), without_prompts("dsr-l2")], ids=["pasted", "bare"])
def test_through_standard_input(shell: Run, text: str) -> None:
    done = shell(stdin=text)
    assert (done.returncode, done.stderr) == (0, "")
    is_the_appliances(stored(shell, "dsr-l2"))


def test_the_transcript_has_the_appliances_prompts(shell: Run) -> None:
    done = shell("--transcript", stdin=without_prompts("dsr-l2"))
    lines = [line for line in done.stdout.split("\n") if line.startswith("[")]
    commands = [*without_prompts("dsr-l2").splitlines(), ""]
    assert lines == [prompt + command for prompt, command in zip(PROMPTS, commands, strict=True)]


def test_a_pasted_session_with_its_output_runs_again(shell: Run, tmp_path: Path) -> None:
    """What `--transcript` printed is a session file: output is left out, the lines are run."""
    first = shell("--transcript", stdin=without_prompts("first")).stdout
    (tmp_path / "pasted.txt").write_text(first.replace("first", "again"))
    done = shell("-f", "pasted.txt")
    assert (done.returncode, done.stderr) == (0, "")
    is_the_appliances(stored(shell, "again"))


@pytest.mark.parametrize("text", [with_prompts("dsr-l2"), without_prompts("dsr-l2")], ids=["pasted", "bare"])
def test_typed_at_a_terminal(shell: Run, state: Path, terminal: Any, text: str) -> None:
    at = terminal()
    for prompt, line in zip(PROMPTS, text.splitlines(), strict=False):
        at.expect_exact(prompt)
        at.sendline(line)
        at.expect_exact("\n")
    at.expect_exact("DSR_TYPE_L2")
    at.expect_exact(PROMPTS[-1])
    at.sendline("exit")
    assert at.finish() == 0
    is_the_appliances(stored(shell, "dsr-l2"))
