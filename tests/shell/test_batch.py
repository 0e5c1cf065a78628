"""The batch front: exit statuses, errors with their place, JSON, and what is not half-stored."""

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT, Run

GOOD = "configure tenant t1\nsave\n"
WRONG = """\
# the third command is wrong
configure pool p1
default_server_port 8080
  servrs ip 10.1.1.10
save
"""


def write(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return name


def test_a_wrong_line_is_told_with_its_place_and_nothing_is_stored(shell: Run, tmp_path: Path) -> None:
    done = shell("-f", write(tmp_path, "wrong.txt", WRONG))
    assert done.returncode == 1
    message, line, caret = done.stderr.splitlines()
    assert message.startswith("wrong.txt:4: error: 'servrs' is not a command or a field of pool")
    assert line == "  servrs ip 10.1.1.10"
    assert line[caret.index("^") :].startswith("servrs")
    listed = shell("--json", "-c", "show pool")
    assert json.loads(listed.stdout)["data"] == []


def test_on_error_continue_tells_every_wrong_line_and_goes_on(shell: Run, tmp_path: Path) -> None:
    text = "nonsense\nconfigure tenant t1\nlocal maybe\ndescription kept\nsave\nshow nothing\n"
    done = shell("--on-error", "continue", "-f", write(tmp_path, "many.txt", text))
    assert done.returncode == 1
    places = [line.split(" error:")[0] for line in done.stderr.splitlines() if " error:" in line]
    assert places == ["many.txt:1:", "many.txt:3:", "many.txt:6:"]
    assert done.stderr.splitlines()[-1] == "avi-shell: 3 of 6 commands were refused: many.txt:1, many.txt:3, many.txt:6"
    assert json.loads(shell("--json", "-c", "show tenant t1").stdout)["data"]["description"] == "kept"


def test_of_many_refused_lines_the_first_are_named(shell: Run) -> None:
    done = shell("--on-error", "continue", stdin="# none\n" + "nonsense\n" * 7)
    places = ", ".join(f"<stdin>:{number}" for number in range(2, 7))
    assert done.stderr.splitlines()[-1] == f"avi-shell: 7 of 7 commands were refused: {places}, …"
    assert "commands" not in shell("--on-error", "continue", stdin=GOOD).stderr


def test_stop_runs_nothing_after_a_refused_line(shell: Run) -> None:
    done = shell("-c", "nonsense", "-c", "configure tenant t1", "-c", "save")
    assert done.returncode == 1
    assert "t1" not in shell("-c", "show tenant").stdout


def test_an_object_left_open_is_not_committed(shell: Run, tmp_path: Path) -> None:
    done = shell("-f", write(tmp_path, "open.txt", "configure tenant t1\ndescription x\n"))
    assert done.returncode == 1
    assert "open.txt:3: error: tenant t1 is still open: it is not committed" in done.stderr
    assert "t1" not in shell("-c", "show tenant").stdout


def test_a_text_without_end_is_not_committed(shell: Run) -> None:
    done = shell(stdin="configure tenant t1\ndescription --\nno end\n")
    assert done.returncode == 1
    assert "still waits for END" in done.stderr


def test_commands_and_files_run_in_their_order(shell: Run, tmp_path: Path) -> None:
    name = write(tmp_path, "save.txt", "save\n")
    done = shell("-c", "configure tenant t1", "-f", name, "-c", "configure tenant t2", "-f", name, "-c", "show tenant")
    assert done.returncode == 0
    assert "t1" in done.stdout
    assert "t2" in done.stdout


def test_a_command_may_hold_several_lines(shell: Run) -> None:
    assert shell("-c", GOOD).returncode == 0


def test_exit_ends_the_run(shell: Run) -> None:
    done = shell("-c", "exit", "-c", "nonsense")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nonsense"],
        ["--on-error", "sometimes"],
        ["-f", "missing.txt"],
        ["--wait", "soon"],
        ["--json", "--transcript"],
        ["-f", "."],
    ],
)
def test_a_wrong_command_line(shell: Run, arguments: list[str]) -> None:
    done = shell(*arguments)
    assert done.returncode == 2
    assert "error" in done.stderr


def test_a_missing_file_is_found_before_anything_is_done(shell: Run) -> None:
    assert shell("-c", GOOD, "-f", "missing.txt").returncode == 2
    assert "t1" not in shell("-c", "show tenant").stdout


def test_bytes_that_are_no_text(shell: Run, tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"version\ndescription caf\xe9\n")
    done = shell("-f", "latin.txt")
    assert done.returncode == 2
    assert "not UTF-8" in done.stderr


@pytest.mark.parametrize(
    ("make", "says"),
    [
        ("truncate -s 300M session.txt", "cannot read session.txt: it is larger than 256 MiB"),
        ("mkfifo session.txt", "cannot read session.txt: it is no regular file"),
        ("mkdir session.txt", "cannot read session.txt: it is a directory, where a file is expected"),
    ],
)
def test_what_is_no_session_file(make: str, says: str, shell: Run, tmp_path: Path) -> None:
    subprocess.run(make, shell=True, check=True, cwd=tmp_path)
    done = shell("-f", "session.txt")
    assert (done.returncode, done.stderr) == (2, f"avi-shell: error: {says}\n")


def test_a_store_that_cannot_be_opened(shell: Run, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    done = shell("-c", "version")
    assert done.returncode == 4
    assert done.stderr.startswith("avi-shell: error: ")


def test_wait_without_an_engine(shell: Run) -> None:
    assert shell("--wait", "0", "-c", "version").returncode == 0
    done = shell("--wait", "0", "-c", GOOD)
    assert done.returncode == 3
    assert "not applied" in done.stderr
    assert "t1" in shell("-c", "show tenant").stdout


def test_interrupted(state: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "avi_shell", "--state", str(state), "-c", "watch show tenant"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("+--")  # it runs
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in complaints


def test_a_reader_that_leaves(shell: Run, state: Path, tmp_path: Path) -> None:
    shell("-c", "version")
    program = f"{sys.executable} -m avi_shell --state {state} -c 'show networkprofile' -c 'show networkprofile'"
    done = subprocess.run(
        ["bash", "-c", f"{program} | true"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stderr == ""


def test_json_has_one_object_for_each_command(shell: Run) -> None:
    lines = ["# comment", "configure pool p1", "servers ip 10.1.1.10", "port 99999", "show", "cancel", "cancel"]
    done = shell("--json", "--on-error", "continue", stdin="\n".join(lines))
    objects = [json.loads(line) for line in done.stdout.splitlines()]
    assert [entry["command"] for entry in objects] == lines[1:]
    assert [entry["ok"] for entry in objects] == [True, True, False, True, True, True]
    assert [entry["mode"] for entry in objects][:2] == [["pool"], ["pool", "servers"]]
    error = objects[2]["error"]
    assert (error["type"], error["file"], error["line"], error["column"]) == ("BadValue", "<stdin>", 4, 6)
    assert error["path"] == "servers[1].port"
    assert objects[3]["data"]["servers"][0]["ip"] == {"addr": "10.1.1.10", "type": "V4"}
    assert objects[1]["notices"] == ["New object being created"]
    assert all(set(entry) - {"notices"} == {"command", "ok", "mode", "data", "error"} for entry in objects)


def test_json_of_a_stored_object(shell: Run) -> None:
    done = shell("--json", "-c", "configure pool p1 health_monitor_refs System-TCP", "-c", "save", "-c", "show pool")
    saved, listed = (json.loads(line)["data"] for line in done.stdout.splitlines()[1:])
    assert saved["health_monitor_refs"] == ["/api/healthmonitor/?name=System-TCP&tenant=admin"]
    assert saved["uuid"].startswith("pool-")
    assert listed == [saved]


def test_json_names_the_field_of_an_object_that_is_refused(shell: Run) -> None:
    lines = ["configure networkprofile n1", "profile type protocol_type_tcp_proxy", "udp_fast_path_profile", "exit"]
    done = shell("--json", stdin="\n".join([*lines, "exit", "save", "save"]))
    error = json.loads(done.stdout.splitlines()[-1])["error"]
    assert error["type"] == "InvalidObject"
    assert error["path"].startswith("profile")


def test_errors_and_output_are_apart(shell: Run) -> None:
    done = shell("-c", "show tenant", "-c", "nonsense")
    assert "error" not in done.stdout
    assert "| admin" in done.stdout
    assert done.stderr.startswith("-c:2: error: 'nonsense' is not a command")


def test_nothing_is_coloured(shell: Run) -> None:
    assert "\x1b" not in shell("-c", "clear", "-c", "show networkprofile").stdout


def test_the_folder_and_its_files_are_private(shell: Run, state: Path) -> None:
    shell("-c", GOOD)
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert stat.S_IMODE((state / "config.db").stat().st_mode) == 0o600


def test_running_config_recreates_the_configuration(shell: Run, tmp_path: Path) -> None:
    text = (
        'configure tenant t1 description "two words"\nsave\n'
        "configure pool p1 lb_algorithm lb_algorithm_round_robin\nservers ip 10.1.1.10 port 80\nsave\nsave\n"
        "configure networkprofile n1 profile tcp_fast_path_profile dsr_profile dsr_type dsr_type_l2\nsave\nsave\n"
    )
    assert shell(stdin=text).returncode == 0
    lines = shell("-c", "show running_config").stdout
    write(tmp_path, "lines.txt", lines)
    other = ["--state", str(tmp_path / "other")]
    done = shell(*other, "-f", "lines.txt")
    assert (done.returncode, done.stderr) == (0, "")
    assert shell(*other, "-c", "show running_config").stdout == lines


def test_compile(shell: Run, tmp_path: Path) -> None:
    def compile_(*names: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "avi_shell", "compile", *names],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    assert shell("-c", "export configuration file all.json").returncode == 0
    assert compile_("all.json", "plan.json").returncode == 0
    assert json.loads((tmp_path / "plan.json").read_text())
    assert compile_("missing.json", "plan.json").returncode == 1
    assert compile_("all.json").returncode == 2


def test_the_controllers_name_is_in_the_prompt(shell: Run) -> None:
    done = shell("--controller", "ctl.example", "--transcript", "-c", "version")
    assert done.stdout.startswith("[admin:ctl.example]: > version\n")
    assert done.stdout.endswith("[admin:ctl.example]: > ")


def test_every_command_is_written_down_without_secrets(shell: Run, state: Path) -> None:
    line = "configure vrfcontext v1 bgp_profile local_as 65000 peers peer_ip 10.1.1.9 md5_secret topsecret"
    shell("--on-error", "continue", "-c", "# comment", "-c", GOOD, "-c", "nonsense", "-c", line)
    text = (state / "audit.jsonl").read_text()
    entries = [json.loads(entry) for entry in text.splitlines()]
    assert [(e["command"], e["ok"]) for e in entries] == [
        ("configure tenant t1", True),
        ("save", True),
        ("nonsense", False),
        ("<sensitive>", True),
    ]
    assert entries[1]["committed"] == 1
    assert "topsecret" not in text
    assert stat.S_IMODE((state / "audit.jsonl").stat().st_mode) == 0o600


COPIED = """\
[admin:controller]: > configure tenant t1
New object being created
[admin:controller]: tenant> description --
Please input the value for field description (Enter END to terminate input):
| a table |
  error: none
END
[admin:controller]: tenant> save
Impact: Pool p1 is new: 10.1.1.11 begins to receive. Whether 10.1.1.11 is
  prepared for its VIP is not known.
| name | t1 |
1 default is not shown. To see all: show tenant t1
"""
"""A session as it stood on a screen of 80 columns."""


@pytest.mark.parametrize("left_out", ["", "Please"], ids=["all that was shown", "commands and text"])
def test_of_a_copied_session_the_commands_run_and_a_text_is_kept_whole(
    shell: Run, tmp_path: Path, left_out: str
) -> None:
    lines = [line for line in COPIED.splitlines() if not left_out or not line.startswith(left_out)]
    done = shell("-f", write(tmp_path, "copied.txt", "\n".join(lines)))
    assert (done.returncode, done.stderr) == (0, "")
    described = json.loads(shell("--json", "-c", "show tenant t1").stdout)["data"]["description"]
    assert described == "| a table |\n  error: none"


def test_an_indented_command_behind_a_table_is_a_command(shell: Run, tmp_path: Path) -> None:
    text = "[admin:c]: > configure tenant t1\n| name | t1 |\n  description kept\n[admin:c]: tenant> save\n"
    assert shell("-f", write(tmp_path, "indented.txt", text)).returncode == 0
    assert json.loads(shell("--json", "-c", "show tenant t1").stdout)["data"]["description"] == "kept"
