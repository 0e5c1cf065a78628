"""Scripts that call the appliance's own shell: its options, and what they read of its JSON with jq."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from .conftest import VIRTUAL_SERVICE, Run, Typist

LOGIN = (
    *("--address", "10.0.0.1", "--server", "10.0.0.1", "--port", "443", "--user", "admin", "--password", "x"),
    *("--token", "t", "--local", "--debug", "--log", "--batch-mode", "--min-output"),
)


def jq(path: str, text: str) -> list[str]:
    """What jq makes of a script's output."""
    done = subprocess.run(["jq", "-r", path], input=text, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_a_script_reads_bare_objects_with_what_they_refer_to(shell: Run, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(VIRTUAL_SERVICE + "where\nshow tenant\nconfigure pool p1\ncancel\n")
    made = shell(*LOGIN, "--file", str(script), "--json")
    assert (made.returncode, made.stderr) == (0, "")
    *saved, tenants = map(json.loads, made.stdout.splitlines())
    assert [(one["name"], one["uuid"].partition("-")[0]) for one in saved] == [
        ("dsr", "networkprofile"), ("p1", "pool"), ("v1", "vsvip"), ("vs1", "virtualservice"),
    ]  # fmt: skip
    assert [tenant["name"] for tenant in tenants] == ["admin"], "what is shown as a list is a list"

    script.write_text("show virtualservice vs1\n")
    told = shell("--json", "--file", str(script)).stdout
    assert jq(".uuid", told) == [saved[-1]["uuid"]]
    assert jq(".vsvip_ref_data.vip[0].ip_address.addr", told) == ["10.1.1.100"]
    assert jq(".pool_ref_data.servers[].ip.addr", told) == ["10.1.1.10"]
    assert jq(".vsvip_ref", told) == [saved[-1]["vsvip_ref"]]

    envelope = json.loads(shell("--json", "--file", str(script), "-c", "show version").stdout.splitlines()[0])
    assert envelope["data"]["uuid"] == saved[-1]["uuid"], "beside -c and -f it is what it was"
    assert "vsvip_ref_data" not in envelope["data"]


def test_a_refused_line_of_such_a_script(shell: Run, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("show tenant admin\nshow pool none\nshow tenant admin\n")
    done = shell(*LOGIN, "--file", str(script), "--json")
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr.startswith(f"{script}:2: error: there is no pool 'none'")


def test_secrets_are_joined_by_nobody(shell: Run, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(
        "configure vrfcontext v\nbgp_profile local_as 65000 ibgp\n"
        "peers peer_ip 10.1.1.1 md5_secret hush remote_as 65000\n"
        "save\nsave\nsave\nconfigure pool p vrf_ref v\nsave\nshow pool p\n"
    )
    done = shell("--file", str(script), "--json")
    assert done.returncode == 0, done.stderr
    assert "hush" not in done.stdout
    joined = json.loads(done.stdout.splitlines()[-1])["vrf_ref_data"]
    assert joined["bgp_profile"]["peers"][0]["md5_secret"] == "<sensitive>"


def test_the_tenant_that_a_script_begins_in(shell: Run) -> None:
    assert shell("-c", "configure tenant t1", "-c", "save").returncode == 0
    done = shell("--tenant", "t1", "--transcript", "-c", "where")
    assert done.stdout.startswith("[t1:10-1-1-1]: > where\nTenant: t1")
    for more in ([], ["--check"]):
        wrong = shell("--tenant", "t2", *more, "-c", "where")
        assert wrong.returncode == 1
        assert wrong.stderr == "avi-shell: error: there is no tenant 't2'; expected: admin, t1, *\n"


def test_a_person_is_told_once_that_nobody_is_called(terminal: Callable[..., Typist], state: Path) -> None:
    at = terminal("--address", "10.0.0.1", "--password", "x", "--tenant", "admin", "--local", "--log", "/tmp/x")
    at.expect_exact(f"avi-shell: --address, --password have no effect: the store is {state}")
    at.expect_exact(f"avi-shell: --log has no effect: what is done is written down in {state / 'audit.jsonl'}")
    at.expect_exact("[admin:10-1-1-1]: > ")
    at.sendline("exit")
    assert at.finish() == 0
