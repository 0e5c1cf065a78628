"""The shell driven from elsewhere, as `examples/automation` shows it, through a real sshd."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import forked
from tests.shell.conftest import ROOT
from tests.shell.sshserver import EXAMPLES, HOST, SHELL_PORT, Server, server

pytestmark = pytest.mark.root
SESSION = ROOT / "examples" / "l2_dsr.avi"
PROGRAMS = ["with_netmiko.py", "with_scrapli.py", "with_pexpect.py", "with_asyncssh.py", "with_ssh.sh"]
WRONG = """\
configure pool p1
lb_algorithm lb_algorithm_consistent_hash
servers ip 10.1.1 port 80
servers ip 10.1.1.11 port 80
save
save
"""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Server]:
    with server(tmp_path) as running:
        yield running


def drive(host: Server, program: str, session: Path) -> "subprocess.CompletedProcess[str]":
    """Run one of the programs on a session file."""
    if program.endswith(".sh"):
        return host.run(str(EXAMPLES / program), str(session), *host.ssh_options(22))
    port = 22 if program == "with_asyncssh.py" else SHELL_PORT
    return host.run(
        *(sys.executable, "-W", "ignore", str(EXAMPLES / program), HOST, str(session), "--port", str(port)),
        *("--key", str(host.folder / "client"), "--known-hosts", str(host.folder / "known_hosts")),
    )


def stored(state: Path, kind: str) -> list[dict[str, object]]:
    """The objects of a kind that are in the store."""
    words = [sys.executable, "-m", "avi_shell", "--state", str(state), "--json", "-c", f"show {kind}"]
    told = forked.run(words, capture_output=True, check=True).stdout
    data: list[dict[str, object]] = json.loads(told)["data"]
    return data


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_service_is_configured_a_table_read_and_a_refused_line_seen(host: Server, program: str) -> None:
    done = drive(host, program, SESSION)
    assert done.returncode == 0, done.stdout + done.stderr
    (service,) = stored(host.state, "virtualservice")
    assert service["name"] == "dsr-vs"
    (row,) = json.loads(done.stdout)
    read = {name.lower(): value for name, value in row.items()}
    expected = {
        "name": "dsr-vs", "ip_address": "10.10.10.100", "ip6_address": "-", "services": "80", "cloud": "Default-Cloud",
        "oper_state": "OPER_UNAVAIL", "type": "VS_TYPE_NORMAL", "parent": "-",
    }  # fmt: skip
    assert read == {name: expected[name] for name in read}
    assert {"name", "type"} <= set(read)

    wrong = host.folder / "wrong"
    wrong.write_text(WRONG)
    done = drive(host, program, wrong)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "'10.1.1'" in done.stderr
    assert "servers ip 10.1.1 port 80" in done.stderr
    assert [pool["name"] for pool in stored(host.state, "pool")] == ["dsr-pool"]
