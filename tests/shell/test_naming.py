"""`copy` and `rename`: what becomes of the object, of what refers to it, of the plan, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from avi_shell.__main__ import main
from avi_shell.configuration import transfer
from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.document import Document, reference
from avi_shell.session.session import Session
from dataplane import plan
from grammar import schema
from tests.configuration.conftest import Site
from tests.configuration.test_clouds import export as two_clouds
from tests.configuration.test_transfer import bare, replay

KINDS = [segment for segment in schema.SEGMENTS if segment not in ("tenant", "debugvirtualservice")]

REQUIRED: dict[str, dict[str, Any]] = {
    "cloud": {"vtype": "CLOUD_NONE"},
    "healthmonitor": {"type": "HEALTH_MONITOR_TCP"},
    "applicationprofile": {"type": "APPLICATION_PROFILE_TYPE_L4"},
    "networkprofile": {"profile": {"type": "PROTOCOL_TYPE_TCP_PROXY"}},
}
"""The fields that objects of a kind must have."""


@pytest.fixture
def configuration() -> Configuration:
    """A working virtual service vs1, whose packets are traced."""
    made = Configuration.in_memory()
    site = Site(made)
    site.dsr()
    site.save("debugvirtualservice", name="vs1")
    return made


@pytest.fixture
def session(configuration: Configuration, tmp_path: Path) -> Session:
    return Session(configuration, tmp_path)


def told(session: Session, *lines: str) -> str:
    """What the last line prints; every line is taken."""
    for line in lines:
        result = session.run(line)
        assert result.error is None, (line, result.error)
    return "\n".join(result.notices)


def refused(session: Session, line: str) -> str:
    """Why a line is refused, which has changed nothing."""
    before = transfer.dumps(transfer.export(session.configuration))
    result = session.run(line)
    assert result.error is not None, line
    assert transfer.dumps(transfer.export(session.configuration)) == before
    assert session.open is None
    return str(result.error)


def one(configuration: Configuration, kind: str, name: str, tenant: str = "admin", cloud: str = "*") -> Document:
    found = configuration.find(kind, name, tenant, cloud)
    assert found is not None, (kind, name)
    return found


def services(configuration: Configuration) -> dict[str, plan.Service | None]:
    with configuration.snapshot() as store:
        return {**store.whole_plan().services}


@pytest.mark.parametrize("kind", KINDS)
def test_a_renamed_object_is_the_same_object(session: Session, kind: str) -> None:
    stored = session.configuration.save(kind, {"name": "a b", **REQUIRED.get(kind, {})}, "admin").document
    assert told(session, f'rename {kind} "a b" "c d"').startswith("Successfully renamed a b to c d.")
    assert session.configuration.find(kind, "a b", "admin") is None
    found = one(session.configuration, kind, "c d")
    assert {**found, "_last_modified": ""} == {**stored, "name": "c d", "_last_modified": ""}
    (commit,) = session.configuration.history(1)
    assert (commit.action, commit.kind, commit.name, commit.number) == ("rename", kind, "c d", 2 + 5)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("networkprofile", "vs1-profile"), ("pool", "vs1-pool"), ("vsvip", "vs1-vip"), ("virtualservice", "vs1")],
)
def test_what_refers_to_it_follows_and_forwarding_does_not_change(session: Session, kind: str, name: str) -> None:
    configuration = session.configuration
    exported = transfer.dumps(transfer.export(configuration))
    before = services(configuration)
    told(session, f"rename {kind} {name} other")
    after = transfer.dumps(transfer.export(configuration))
    quoted = exported.replace(f'"{name}"', '"other"').replace(f"={name}&", "=other&")
    assert after == quoted != exported
    assert bare(replay(transfer.running_config(configuration, "*"))) == bare(configuration)
    (was,), (now,) = before.values(), services(configuration).values()
    assert was is not None
    assert now is not None
    names = {field: getattr(was, field) for field in ("virtualservice", "pool", "version")}
    assert replace(now, **names) == was
    told(session, f"rename {kind} other {name}")
    assert transfer.dumps(transfer.export(configuration)) == exported


def test_a_renamed_cloud_takes_all_that_is_in_it_along(tmp_path: Path) -> None:
    configuration = Configuration.in_memory()
    transfer.import_(configuration, two_clouds())
    exported = transfer.dumps(transfer.export(configuration))
    told(Session(configuration, tmp_path), "rename cloud linux west")
    renamed = exported.replace('"linux"', '"west"').replace("=linux&", "=west&").replace('=linux"', '=west"')
    assert transfer.dumps(transfer.export(configuration)) == renamed
    with configuration.snapshot() as store:
        common = store.whole_plan().common
    assert common is not None
    assert "grp@west" in common.drivers
    assert "grp@linux" not in common.drivers


def test_a_renamed_group_is_renamed_in_the_plan(session: Session) -> None:
    told(session, "configure serviceenginegroup edge se_use_dpdk 2", "save")
    told(session, "configure virtualservice vs1 se_group_ref edge", "save", "rename serviceenginegroup edge west")
    with session.configuration.snapshot() as store:
        planned = store.whole_plan()
    assert planned.common is not None
    assert planned.common.drivers == {"Default-Group": 0, "west": 2}
    assert [service.group for service in planned.services.values() if service] == ["west"]


def test_what_may_not_be_renamed(session: Session) -> None:
    told(session, "configure tenant t1", "save", "configure cloud linux vtype cloud_none", "save")
    told(session, "configure pool p2", "save")
    for line, why in {
        "rename pool vs1-pool p2": "Pool vs1-pool: another Pool of tenant admin has the name p2",
        "rename pool p2 p2": "Pool p2 is called so already",
        "rename pool p3 p4": "there is no pool 'p3' in tenant admin",
        "rename networkprofile System-TCP-Proxy x": "is a system default: it cannot be renamed",
        "rename cloud Default-Cloud x": "is a system default: it cannot be renamed",
        "rename tenant t1 t2": "a tenant cannot be renamed",
        "rename pool p2": "Usage: 'rename pool <name> <new name>'. You must enter both names.",
        "rename pool": "Usage: 'rename pool <name> <new name>'. You must enter both names.",
        "rename pool p2 p3 p4": "'p4' is not possible after 'p3' (a text of several words stands in",
        "rename debugvirtualservice vs1 x": "'debugvirtualservice' is not possible after 'rename'",
    }.items():
        assert why in refused(session, line)
    told(session, "switchto tenant t1")
    assert "Pool p2 belongs to tenant admin" in refused(session, "rename pool p2 x")
    told(session, "switchto tenant admin", "switchto cloud linux")
    assert "Pool p2 belongs to cloud Default-Cloud" in refused(session, "rename pool p2 x")


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_is_another_object_like_it(session: Session, kind: str) -> None:
    fields = {"name": "a", "description": "one", "url": "https://10.1.1.1/api/x", **REQUIRED.get(kind, {})}
    stored = session.configuration.save(kind, fields, "admin").document
    assert told(session, f"copy {kind} a 'b").startswith("Successfully copied a to 'b.")
    made = one(session.configuration, kind, "'b")
    wanted = {**stored, "name": "'b", "uuid": made["uuid"], "_last_modified": made["_last_modified"]}
    del wanted["url"]
    if kind == "virtualservice":
        wanted["traffic_enabled"] = False
    assert made == wanted
    assert made["uuid"] != stored["uuid"]
    assert one(session.configuration, kind, "a") == stored


def test_a_copied_service_takes_no_traffic_until_it_has_a_vip_and_a_pool_of_its_own(session: Session) -> None:
    before = services(session.configuration)
    assert told(session, 'copy virtualservice vs1 "v 2"').splitlines() == [
        "Successfully copied vs1 to v 2.",
        "VirtualService v 2 is stored, not forwarded: traffic_enabled is off",
        "The copy's traffic is off: it has the VIPs, ports and pool of vs1. Once it has its own: "
        'configure virtualservice "v 2" traffic_enabled',
    ]
    assert services(session.configuration) == before
    told(session, 'configure virtualservice "v 2" traffic_enabled')
    error = session.run("save").error
    assert error is not None
    assert "VIP 10.0.0.100 belongs to VirtualService vs1" in str(error)
    told(session, "cancel", "copy vsvip vs1-vip v2", "configure vsvip v2 vip index 1 ip_address 10.0.0.102", "save")
    told(session, "save", "copy pool vs1-pool p2")
    told(session, 'configure virtualservice "v 2" traffic_enabled vsvip_ref v2 pool_ref p2', "save")
    after = services(session.configuration)
    assert {key: after[key] for key in before} == before
    (made,) = (service for key, service in after.items() if key not in before)
    (live,) = before.values()
    assert made is not None
    assert live is not None
    assert (made.vip, made.virtualservice, made.pool) == ("10.0.0.102", "v 2", "p2")
    assert [server.address for server in made.servers] == [server.address for server in live.servers]


def test_a_copy_is_the_tenants_own(session: Session) -> None:
    told(session, "configure tenant t1", "save", "switchto tenant t1")
    told(session, "copy networkprofile System-TCP-Fast-Path System-TCP-Fast-Path", "copy pool vs1-pool mine")
    for kind, name in (("networkprofile", "System-TCP-Fast-Path"), ("pool", "mine")):
        assert one(session.configuration, kind, name, "t1")["tenant_ref"] == "/api/tenant/?name=t1"
    assert one(session.configuration, "pool", "mine", "t1")["health_monitor_refs"] == [
        reference("healthmonitor", "System-TCP")
    ]
    assert "another Pool of tenant t1 has the name mine" in refused(session, "copy pool vs1-pool mine")
    told(session, "switchto tenant *")
    assert "objects are copied in one tenant" in refused(session, "copy pool vs1-pool p9")


def test_a_copy_in_a_cloud_refers_to_what_that_cloud_has(tmp_path: Path) -> None:
    configuration = Configuration.in_memory()
    transfer.import_(configuration, two_clouds())
    session = Session(configuration, tmp_path)
    told(session, "configure vsvip only", "save", "configure virtualservice v vsvip_ref only pool_ref x", "save")
    told(session, "switchto cloud linux", "copy virtualservice v v")
    made = one(configuration, "virtualservice", "v", cloud="linux")
    assert made["cloud_ref"] == reference("cloud", "linux")
    assert made["pool_ref"] == reference("pool", "x", cloud="linux")
    assert made["vrf_context_ref"] == reference("vrfcontext", "global", cloud="linux")
    assert made["vsvip_ref"] == reference("vsvip", "only")
    told(session, "switchto cloud *", "configure pool y cloud_ref linux", "save", "copy pool y z")
    assert one(configuration, "pool", "z")["cloud_ref"] == reference("cloud", "linux")
    assert "another Pool of tenant admin of cloud linux has the name x" in refused(session, "copy pool y x")


def test_secrets_are_copied_and_not_shown(session: Session) -> None:
    told(session, "configure vrfcontext v bgp_profile ibgp local_as 65000", "peers peer_ip 10.0.0.9 md5_secret hush")
    told(session, "save", "save", "save")
    assert "hush" not in json.dumps(session.run("copy vrfcontext v w").data)
    (peer,) = one(session.configuration, "vrfcontext", "w")["bgp_profile"]["peers"]
    assert peer["md5_secret"] == "hush"


def test_names_are_offered_and_taken_from_files_too(
    session: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb in ("copy", "rename"):
        assert [found.word for found in session.offer(f"{verb} pool ").candidates] == ["vs1-pool"]
        offer = session.offer(f"{verb} pool vs1-pool ")
        assert (offer.candidates, offer.form) == ((), "<new name>")
    file = tmp_path / "lines"
    file.write_text("configure pool a\nsave\ncopy pool a b\nrename pool a c comment 'x'\nrename pool b c\n")
    assert main(["--state", str(tmp_path / "state"), "--json", "-f", str(file)]) == 1
    made, renamed, error = (json.loads(line) for line in capsys.readouterr().out.splitlines()[-3:])
    assert (made["data"]["name"], renamed["data"]["name"]) == ("b", "c")
    assert (error["error"]["line"], error["error"]["path"]) == (5, "name")


def test_in_a_configuration_session_both_are_gathered_and_say_what_is_not_valid_yet(session: Session) -> None:
    version = session.configuration.version()
    told(session, "configure session", "configure pool vs1-pool lb_algorithm lb_algorithm_round_robin", "save")
    assert "not valid yet: VirtualService vs1: its pool p has lb_algorithm" in told(session, "rename pool vs1-pool p")
    told(session, "copy pool p q", "configure pool p lb_algorithm lb_algorithm_consistent_hash", "save")
    told(session, "commit session")
    assert session.configuration.version() == version + 1
    assert session.configuration.names("pool", "admin") == ["p", "q"]
    told(session, f"rollback {version}")
    assert one(session.configuration, "virtualservice", "vs1")["pool_ref"] == reference("pool", "vs1-pool")
    assert session.configuration.names("pool", "admin") == ["vs1-pool"]
