"""Transcripts as tests: what is compared, how a file is read, what pytest tells, and how a live session is recorded."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from avi_shell.transcripts import compare, normalise
from avi_shell.transcripts.document import BadTranscript, parsed, read
from avi_shell.transcripts.play import settled

from .conftest import VIRTUAL_SERVICE, Run

FOLDER = Path(__file__).parent / "transcripts"
PROMPT = "[admin:10-1-1-1]: >"
UUID = "0b5c6a0e-4f3e-4c5b-9a51-3f0c8f1f7a11"
POOL = f"""\
#! columns: 80, 200

{PROMPT} configure pool p1 default_server_port 81
[admin:10-1-1-1]: pool> default_server_port x
                                            ^
error: 'x' is not an integer; * (glob)
[admin:10-1-1-1]: pool> cancel
{PROMPT}
"""
SAME = normalise.normaliser((), {})


def test_there_are_enough_of_them() -> None:
    assert len(list(FOLDER.glob("*.transcript"))) >= 90


class TestLines:
    @pytest.mark.parametrize(
        ("expected", "printed", "is_met"),
        [
            ("a line", "a line  ", True),
            ("a line", "another", False),
            ("a (line|word) (re)", "a word", True),
            ("a (line|word) (re)", "a word more", False),
            ("port * of ? (glob)", "port 80 of 3", True),
            ("port * of ? (glob)", "port 80 of 30", False),
            (r"servers[1] \* * (glob)", "servers[1] * x", True),
            (r"servers[1] \* * (glob)", "servers1 y x", False),
            ("ends in (re)", "ends in (re)", True),
            ("ends in ( (re)", "ends in ( (re)", True),
            (f"pool-{UUID}", "pool-00000000-0000-0000-0000-000000000000", True),
            ("Start one: avi-se run --state /var/lib/avi-shell", "Start one: avi-se run --state '/tmp/a b'", True),
        ],
    )
    def test_a_line_meets_what_is_expected(self, expected: str, printed: str, is_met: bool) -> None:
        assert (compare.settled([expected], [printed], SAME) == [expected]) is is_met

    def test_what_is_met_stays_as_it_is_expected_and_all_else_is_as_it_was_printed(self) -> None:
        expected = ["first", "a* (glob)", "gone", "b* (glob)", "kept", "last"]
        printed = ["first", "new", "ax", "bx", "other", "kept", "last"]
        assert compare.settled(expected, printed, SAME) == [
            "first", "new", "a* (glob)", "b* (glob)", "other", "kept", "last",
        ]  # fmt: skip

    def test_thousands_of_lines_that_differ_are_compared_at_once(self) -> None:
        printed = [f"line {number}" for number in range(5000)]
        assert compare.settled([f"row {number}" for number in range(5000)], printed, SAME) == printed

    def test_a_wrong_pattern_is_named(self) -> None:
        with pytest.raises(compare.BadPattern, match=r"'\(a \(re\)' is no regular expression: missing \)"):
            compare.settled(["(a (re)"], ["b"], SAME)

    @pytest.mark.parametrize(
        ("name", "line", "same"),
        [
            ("time", "| 2026-11-29 09:35:03 | x |", "| 0000-00-00 00:00:00 | x |"),
            ("time", "undone at 09:35:03", "undone at 00:00:00"),
            ("duration", "in 3.2 s, 40 ms and 5 min", "in N s, N ms and N min"),
            ("process", "as process 123; to stop it: kill 123", "as process N; to stop it: kill N"),
            ("number", "4 of 5", "N of N"),
            ("ticket", "see ABC-12", "see TICKET"),
        ],
    )
    def test_a_normaliser_makes_the_same_what_differs_from_run_to_run(self, name: str, line: str, same: str) -> None:
        others = dict([normalise.named("ticket: [A-Z]+-[0-9]+ -> TICKET")])
        assert normalise.normaliser([name], others)(line) == same

    @pytest.mark.parametrize("line", ["ticket", "ticket: x", ": x -> y", "ticket: ( -> y", r"ticket: a -> \1"])
    def test_a_wrong_normaliser_of_a_project_is_named(self, line: str) -> None:
        with pytest.raises(LookupError, match=r"normaliser"):
            normalise.named(line)


class TestFile:
    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("", "no line begins with a prompt"),
            ("nothing typed\n", "no line begins with a prompt"),
            (
                f"text\n{PROMPT} where\n",
                "t.transcript:1: expected a setting (#! key: value), a comment (#) or a prompt",
            ),
            (f"# fine\n#! columns 80\n{PROMPT}\n", "t.transcript:2: expected #! key: value"),
            (f"#! colums: 80\n{PROMPT}\n", "t.transcript:1: 'colums' is no setting; did you mean columns?"),
            (f"#! columns: 80, 5\n{PROMPT}\n", "'5' is no number of columns; expected: <20-1000>"),
            (f"#! normalise:\n{PROMPT}\n", "normalise has no value"),
        ],
    )
    def test_what_is_wrong_in_it_is_named_with_its_line(self, text: str, fault: str) -> None:
        with pytest.raises(BadTranscript, match=re.escape(fault)):
            parsed(Path("t.transcript"), text)

    @pytest.mark.parametrize(
        ("setting", "fault"),
        [
            ("normalise: tim", "'tim' is no normaliser; expected: time, duration, process, number"),
            ("files: missing", "files: missing: No such file or directory"),
            ("after: missing.avi", "after: missing.avi: "),
            ("after: wrong.avi", "wrong.avi:2: after: 'nonsense' is not a command"),
            ("after: open.avi", "after: open.avi leaves an object open"),
        ],
    )
    def test_what_it_stands_on_and_is_not_there_is_named(self, tmp_path: Path, setting: str, fault: str) -> None:
        (tmp_path / "wrong.avi").write_text("# first\nnonsense\n")
        (tmp_path / "open.avi").write_text("configure pool p1\n")
        transcript = parsed(tmp_path / "t.transcript", f"#! {setting}\n{PROMPT} where\n")
        with pytest.raises((BadTranscript, LookupError), match=re.escape(fault)):
            settled(transcript, None, normalise.normaliser(transcript.normalise, {}))

    def test_it_begins_after_other_sessions_and_where_its_first_prompt_says(self, tmp_path: Path) -> None:
        (tmp_path / "site.avi").write_text("configure tenant t1\nsave\nswitchto tenant t1\nconfigure pool p1\nsave\n")
        text = "#! after: site.avi\n[t1:lab-7]: > show pool | grep -c p1\n1\n[t1:lab-7]: >\n"
        transcript = parsed(tmp_path / "t.transcript", text)
        assert settled(transcript, None, SAME) == text.splitlines()

    def test_it_is_a_session_file_too(self, shell: Run, tmp_path: Path) -> None:
        """All is output but what stands behind a prompt, patterns too, and the lines of a text up to END."""
        (tmp_path / "t.transcript").write_text(
            f"# a service\n{PROMPT} configure healthmonitor m1 type health_monitor_http\n"
            "[admin:10-1-1-1]: healthmonitor> http_monitor http_request --\n"
            "Please input the value for field http_request (Enter END to terminate input):\n"
            "GET / HTTP/1.1\n| looks like output |\nEND\n"
            "[admin:10-1-1-1]: healthmonitor http_monitor> save\n[admin:10-1-1-1]: healthmonitor> save\n"
            "+-.* (re)\nwhatever else is printed\n+--* (glob)\n"
            f"{PROMPT} show healthmonitor m1 | json\n"
        )
        done = shell("-f", "t.transcript")
        assert (done.returncode, done.stderr) == (0, "")
        assert r'"GET / HTTP/1.1\n| looks like output |"' in done.stdout


Pytest = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def project(tmp_path: Path) -> Pytest:
    """Runs pytest in an empty project: arguments → the completed process."""

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        (tmp_path / "pytest.ini").write_text("[pytest]\ntranscript_normalisers =\n    ticket: T-[0-9]+ -> TICKET\n")
        words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *arguments]
        # Where CI is set, pytest's summary repeats each failure whole.
        plain = {name: value for name, value in os.environ.items() if name not in ("CI", "BUILD_NUMBER")}
        return subprocess.run(words, cwd=tmp_path, env=plain, capture_output=True, text=True, check=False)

    return run


class TestPlugin:
    def test_transcripts_are_collected_compared_and_written_anew(self, project: Pytest, tmp_path: Path) -> None:
        (tmp_path / "good.transcript").write_text(POOL)
        wrong = POOL.replace("port 81", "port 0").replace("columns: 80, 200", "normalise: ticket")
        (tmp_path / "wrong.transcript").write_text(wrong)
        (tmp_path / "unread.transcript").write_text("nothing\n")
        done = project()
        assert done.returncode == 2, done.stdout
        assert "unread.transcript: no line begins with a prompt" in done.stdout
        (tmp_path / "unread.transcript").unlink()
        done = project()
        assert "1 failed, 2 passed" in done.stdout
        told = done.stdout.splitlines()
        assert "-[admin:10-1-1-1]: pool> default_server_port x" in told
        assert "+[admin:10-1-1-1]: > default_server_port x" in told
        assert "Traceback" not in done.stdout
        assert project("--update-transcripts").returncode == 0
        assert (tmp_path / "good.transcript").read_text() == POOL
        assert "error: '0' is out of range" in (tmp_path / "wrong.transcript").read_text()
        assert project().returncode == 0
        (tmp_path / "wide.transcript").write_text(POOL.replace("default_server_port x", "nonsense"))
        done = project("--update-transcripts", "wide.transcript")
        assert "1 failed, 1 passed" in done.stdout
        assert done.stdout.count("make another transcript of it") == 1

    def test_without_a_transcript_nothing_of_the_shell_is_imported(self, project: Pytest, tmp_path: Path) -> None:
        rooms = ("avi_shell", "grammar", "dataplane")
        (tmp_path / "test_it.py").write_text(
            f"import sys\n\ndef test_it():\n    print(sorted(n for n in sys.modules if n.startswith({rooms})))\n"
        )
        done = project("-s")
        assert "['avi_shell', 'avi_shell.transcripts', 'avi_shell.transcripts.plugin']" in done.stdout


class TestRecording:
    def test_a_session_of_lines_is_recorded_and_passes(self, shell: Run, tmp_path: Path) -> None:
        done = shell("--record", "new.transcript", "--on-error", "continue", stdin=f"{VIRTUAL_SERVICE}nonsense\n")
        assert done.returncode == 1
        transcript = read(tmp_path / "new.transcript")
        assert transcript.head == ()
        assert transcript.body[-3] == " " * 20 + "^"
        assert transcript.body[-1] == PROMPT
        assert settled(transcript, None, SAME) == list(transcript.body)
        assert "'vs1' is not forwarded yet" in "".join(transcript.body)
        assert (tmp_path / "new.transcript").stat().st_mode & 0o777 == 0o600

    def test_a_recording_after_others_is_played_after_what_there_was(self, shell: Run, tmp_path: Path) -> None:
        assert shell(stdin=VIRTUAL_SERVICE).returncode == 0
        assert shell("--record", "later.transcript", "-c", "show pool p1").returncode == 0
        transcript = read(tmp_path / "later.transcript")
        assert transcript.after == ("later.before.avi",)
        assert settled(transcript, None, SAME) == [*transcript.head, *transcript.body]

    def test_a_session_at_a_terminal_is_recorded_as_it_is_shown(
        self, terminal: Callable[..., Any], tmp_path: Path
    ) -> None:
        at = terminal("--record", "typed.transcript")
        for line in ("configure tenant t1", "save", "rollback 0", "yes", "show pool | grep -c p1", "exit"):
            at.expect_exact("(yes/no): " if line == "yes" else "> ")
            at.sendline(line)
        assert at.finish() == 0
        transcript = read(tmp_path / "typed.transcript")
        assert transcript.columns == (200,)
        asked = "Make this the configuration? Commits after 0 stay in the history (yes/no): yes"
        assert asked in transcript.body
        assert settled(transcript, 200, SAME) == [*transcript.head, *transcript.body]

    def test_a_secret_is_not_recorded(self, shell: Run, tmp_path: Path) -> None:
        lines = (
            "configure vrfcontext global\nbgp_profile local_as 65000\npeers peer_ip 10.0.0.1 md5_secret hush\ncancel\n"
        )
        shell("--record", "secret.transcript", "--on-error", "continue", stdin=lines)
        recorded = (tmp_path / "secret.transcript").read_text()
        assert "hush" not in recorded
        assert "[admin:10-1-1-1]: vrfcontext bgp_profile> # <sensitive>" in recorded.splitlines()

    def test_a_file_that_is_there_is_not_overwritten(self, shell: Run, tmp_path: Path) -> None:
        (tmp_path / "kept.transcript").write_text("kept")
        done = shell("--record", "kept.transcript", "-c", "configure tenant t1", "-c", "save")
        assert done.returncode == 1
        assert "error: kept.transcript exists already; record into a new file" in done.stderr
        assert (tmp_path / "kept.transcript").read_text() == "kept"
        assert "t1" not in shell("-c", "show tenant").stdout
