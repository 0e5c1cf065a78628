"""Export, import, running configuration, compile: none of them loses anything."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avi_shell.configuration import document, transfer, validation
from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.document import reference
from avi_shell.configuration.record import Author
from avi_shell.errors import InvalidObject, Refused, ShellError
from avi_shell.session.session import Session
from dataplane.errors import PlanError
from dataplane.plan import file, sqlite
from grammar import schema
from tests.examples import examples

from .addresses import address, prefix
from .conftest import Site, tcp_profile
from .strategies import documents

EACH = pytest.mark.parametrize("segment", schema.SEGMENTS)


def bare(configuration: Configuration) -> dict[str, Any]:
    """An export without what is new each time."""
    data = transfer.export(configuration)
    return {
        kind: [{k: v for k, v in found.items() if k != "uuid"} for found in objects]
        if isinstance(objects, list)
        else {}
        for kind, objects in data.items()
    }


def replay(lines: list[str]) -> Configuration:
    """A fresh configuration after these lines."""
    configuration = Configuration.in_memory()
    session = Session(configuration, Path("/nonexistent"))
    for line in lines:
        result = session.run(line)
        assert result.error is None, f"{line}: {result.error!r}"
    assert (session.open, session.tenant) == (None, "admin")
    return configuration


def filled(site: Site) -> Configuration:
    """A configuration with everything in it that is hard to write down."""
    site.save("tenant", name="t1")
    site.dsr()
    site.save("networkprofile", name="udp", profile={"udp_fast_path_profile": {"per_pkt_loadbalance": True}})
    site.save("networkprofile", name="bare", profile={"type": "PROTOCOL_TYPE_UDP_FAST_PATH"})
    site.save(
        "networkprofile", name="System-TCP-Fast-Path", description="changed\nin two lines", connection_mirror=True
    )
    site.save("serviceenginegroup", name="edge", se_use_dpdk=2)
    site.save("serviceengine", name="se1", se_group_ref=reference("serviceenginegroup", "edge"))
    hosts = [{"host_ip": address("10.7.0.1"), "se_group_ref": reference("serviceenginegroup", "edge")}]
    site.save(
        "cloud", name="linux", vtype="CLOUD_LINUXSERVER", linuxserver_configuration={"hosts": hosts},
        se_group_template_ref=reference("serviceenginegroup", "edge"),
    )  # fmt: skip
    site.save("serviceenginegroup", name="on-linux", cloud_ref=reference("cloud", "linux"))
    route = {"prefix": prefix("10.8.0.0/16"), "next_hop": address("10.0.0.1")}
    site.save("vrfcontext", name="global", static_routes=[route], bgp_profile={"local_as": 65000, "ibgp": False})
    override = {"override_network_profile_ref": reference("networkprofile", "System-UDP-Fast-Path")}
    site.save("virtualservice", name="dns", services=[{"port": 53}, {"port": 53, **override}], enabled=False)
    site.configuration.save("pool", {"name": "p1", "server_reselect": {"x": 1}, "unknown": {"a": [1]}}, "t1")
    site.configuration.save("virtualservice", {"name": "vs2", "pool_ref": reference("pool", "p1", "t1")}, "t1")
    return site.configuration


def test_export_import_export_is_the_same_bytes(site: Site) -> None:
    text = transfer.dumps(transfer.export(filled(site)))
    fresh = Configuration.in_memory()
    transfer.import_(fresh, json.loads(text), keep_uuid=True)
    assert transfer.dumps(transfer.export(fresh)) == text
    transfer.import_(fresh, json.loads(text), keep_uuid=True)
    assert transfer.dumps(transfer.export(fresh)) == text


def test_without_keep_uuid_only_uuids_differ(site: Site) -> None:
    data = transfer.export(filled(site))
    fresh = Configuration.in_memory()
    transfer.import_(fresh, data)
    assert bare(fresh) == bare(site.configuration)
    assert not {p["uuid"] for p in transfer.export(fresh)["Pool"]} & {p["uuid"] for p in data["Pool"]}


def test_an_import_is_one_commit_with_its_plan(site: Site) -> None:
    data = transfer.export(filled(site))
    fresh = Configuration.in_memory()
    transfer.import_(fresh, data, keep_uuid=True, by=Author("alice", line="import configuration file f"))
    (commit,) = fresh.history()
    assert (commit.number, commit.user, commit.action) == (1, "alice", "import")
    with fresh.snapshot() as store:
        read = sqlite.read(store.connection)
    assert list(read.services) == ["10.0.0.100/tcp/80-80"]
    assert read.common is not None
    assert read.common.engines == {"se1": "edge"}
    assert read.common.drivers == {"Default-Group": 0, "edge": 2, "on-linux@linux": 0}


def test_an_import_that_is_refused_stores_nothing(site: Site) -> None:
    data = transfer.export(filled(site))
    data["Pool"][0]["lb_algorithm"] = "LB_ALGORITHM_ROUND_ROBIN"
    fresh = Configuration.in_memory()
    before = transfer.dumps(transfer.export(fresh))
    with pytest.raises(InvalidObject, match="lb_algorithm"):
        transfer.import_(fresh, data)
    assert transfer.dumps(transfer.export(fresh)) == before
    assert fresh.version() == 0


def test_what_is_not_known_is_kept() -> None:
    data: dict[str, Any] = {
        "Pool": [{"name": "p", "future_field": {"x": 1}, "server_reselect": {"enabled": True}, "url": "u"}],
        "WafPolicy": [{"name": "w"}],
        "GslbSomething": [{"name": "g"}, {"name": "h"}],
    }
    fresh = Configuration.in_memory()
    notices = transfer.import_(fresh, data).notices
    assert notices == [
        "Pool p: no field future_field is known, so it is kept without effect",
        "kinds without effect here, kept for export: WafPolicy (1), GslbSomething (2)",
    ]
    exported = transfer.export(fresh)
    assert exported["GslbSomething"] == data["GslbSomething"]
    assert {k: exported["Pool"][0][k] for k in data["Pool"][0]} == data["Pool"][0]


def test_references_in_the_appliances_other_forms() -> None:
    data = {
        "Pool": [
            {"name": "p", "uuid": "pool-1", "health_monitor_refs": ["/api/healthmonitor/?tenant=admin&name=System-TCP"]}
        ],
        "VirtualService": [
            {"name": "a", "pool_ref": "https://10.1.1.1/api/pool/pool-1"},
            {"name": "b", "pool_ref": "/api/pool/pool-9#p"},
        ],
    }
    fresh = Configuration.in_memory()
    transfer.import_(fresh, data)
    assert [v["pool_ref"] for v in fresh.all("virtualservice", "admin")] == [reference("pool", "p")] * 2


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "not an export"),
        ({"Pool": {}}, "Pool is not a list"),
        ({"Pool": [1]}, "Pool is not a list"),
        ({"Pool": [{}]}, "no name"),
        ({"Pool": [{"name": True}]}, "no name"),
        ({"Pool": [{"name": "p", "uuid": {}}]}, "uuid is {}, not one value"),
        ({"Pool": [{"name": "p", "servers": 3}]}, "servers must be a list"),
        ({"Pool": [{"name": "p", "servers": [3]}]}, r"servers\[1\] is 3"),
        ({"Pool": [{"name": "p", "servers": [{"ip": "10.0.0.1"}]}]}, r"servers\[1\].ip"),
        ({"Pool": [{"name": "p", "servers": [{"ip": {"addr": 1, "type": "V4"}}]}]}, r"servers\[1\].ip"),
        ({"Pool": [{"name": "p", "tenant_ref": "t"}]}, "tenant_ref is 't', not a reference"),
        ({"Pool": [{"name": "p"}, {"name": "q", "description": "x"}, {"name": "r", "enabled": 1}]}, "enabled is 1"),
        ({"NetworkProfile": [{"name": "p", "profile": []}]}, "profile is"),
        ({"VirtualService": [{"name": "v", "services": [{"port": "80 "}]}]}, r"services\[1\].port is '80 '"),
        ({"VirtualService": [{"name": "v", "services": [{}]}]}, r"services\[1\].port is required"),
        ({"VirtualService": [{"name": "v", "services": [{"port": 80, "port_range_end": 79}]}]}, "before the range"),
        ({"VirtualService": [{"name": "v", "vsvip_ref": "/api/pool/?name=p"}]}, "refers to a pool"),
        ({"VirtualService": [{"name": "v", "vip": [{"ip_address": {"addr": "::1", "type": "V4"}}]}]}, "not an address"),
    ],
)  # fmt: skip
def test_an_import_of_the_wrong_shape_is_refused_in_words(data: Any, message: str) -> None:
    with pytest.raises(ShellError, match=message):
        transfer.import_(Configuration.in_memory(), data, keep_uuid=True)


def test_the_running_configuration_recreates_it(site: Site) -> None:
    lines = transfer.running_config(filled(site), "*")
    again = replay(lines)
    assert [line for line in lines if line.startswith("#")] == [
        "# pool 'p1': not typed, kept by export and import: server_reselect, unknown"
    ]
    wanted = bare(site.configuration)
    for pool in wanted["Pool"]:
        for name in ("server_reselect", "unknown"):
            pool.pop(name, None)
    assert bare(again) == wanted
    assert transfer.running_config(again, "*") == [line for line in lines if not line.startswith("#")]


def test_the_running_configuration_of_a_fresh_store_is_empty(site: Site) -> None:
    assert transfer.running_config(site.configuration, "*") == []


def test_the_documents_session_reads_like_the_document(site: Site) -> None:
    site.save("networkprofile", name="dsr-l2", profile=tcp_profile(dsr_type="DSR_TYPE_L2"))
    assert transfer.running_config(site.configuration, "admin") == [
        "configure networkprofile dsr-l2",
        "profile",
        "tcp_fast_path_profile",
        "dsr_profile dsr_type dsr_type_l2",
        "exit",
        "exit",
        "exit",
        "save",
    ]


def test_compile_writes_what_a_commit_publishes(site: Site, tmp_path: Path) -> None:
    site.dsr()
    source, target = tmp_path / "export.json", tmp_path / "plan.json"
    source.write_text(transfer.dumps(transfer.export(site.configuration)))
    assert transfer.compile_file(source, target) == []
    with site.configuration.snapshot() as store:
        committed = sqlite.read(store.connection).services["10.0.0.100/tcp/80-80"]
    compiled = file.load(target).services["10.0.0.100/tcp/80-80"]
    assert committed is not None
    assert compiled is not None
    assert (compiled.seed, compiled.slots, compiled.uuid) == (committed.seed, committed.slots, committed.uuid)
    assert [s.address for s in compiled.servers] == [s.address for s in committed.servers]


@pytest.mark.parametrize(("text", "message"), [(None, "No such file"), ("{", "not an export"), ("[]", "not an export")])
def test_compile_says_what_is_wrong(tmp_path: Path, text: str | None, message: str) -> None:
    source = tmp_path / "export.json"
    if text is not None:
        source.write_text(text)
    with pytest.raises(Refused, match=message):
        transfer.compile_file(source, tmp_path / "plan.json")


@EACH
@given(data=st.data())
@settings(max_examples=examples(10), suppress_health_check=list(HealthCheck), deadline=None)
def test_defaults_add_and_never_change(segment: str, data: st.DataObject) -> None:
    kind = schema.kind(segment)
    typed = data.draw(documents(segment))
    complete = document.with_defaults(kind, {"name": "x", **typed})
    assert document.with_defaults(kind, complete) == complete
    assert list(document.with_defaults(kind, dict(reversed(complete.items())))) == list(complete)
    assert _contains(complete, typed)
    validation.check(kind, complete)


@EACH
@given(data=st.data())
@settings(max_examples=examples(8), suppress_health_check=list(HealthCheck), deadline=None)
def test_any_object_survives_every_transfer(segment: str, data: st.DataObject) -> None:
    kind = schema.kind(segment)
    configuration = Configuration.in_memory()
    name = data.draw(st.sampled_from(["x", "a b", 'q"']))
    traced = {"VirtualService": [{"name": name}]} if segment == "debugvirtualservice" else {}
    transfer.import_(configuration, {**traced, kind.name: [{"name": name} | data.draw(documents(segment))]})
    exported = transfer.export(configuration)
    fresh = Configuration.in_memory()
    transfer.import_(fresh, json.loads(transfer.dumps(exported)), keep_uuid=True)
    assert transfer.dumps(transfer.export(fresh)) == transfer.dumps(exported)
    assert bare(replay(transfer.running_config(configuration, "*"))) == bare(configuration)


def _contains(whole: Any, part: Any) -> bool:
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(k in whole and _contains(whole[k], v) for k, v in part.items())
    if isinstance(part, list):
        return len(whole) == len(part) and all(map(_contains, whole, part))
    return bool(whole == part)


def test_what_is_no_export_is_not_taken_for_an_empty_one(site: Site, tmp_path: Path) -> None:
    export, made = tmp_path / "export.json", tmp_path / "plan.json"
    export.write_text(transfer.dumps(transfer.export(Configuration.in_memory())))
    assert transfer.compile_file(export, made) == [
        "the plan is empty: no virtual service of this export is forwarded by direct server return"
    ]
    with pytest.raises(Refused, match="not an export: it holds no kind of objects"):
        transfer.compile_file(made, tmp_path / "again.json")
    with pytest.raises(PlanError, match="not a plan") as caught:
        file.load(export)
    assert caught.value.remedy == f"avi-shell compile EXPORT.json {export}"
