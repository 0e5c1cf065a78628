"""Import as the appliance's files are: what protobuf's JSON allows, every form of reference, all faults at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from avi_shell.configuration import linking, transfer
from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.document import Document, reference
from avi_shell.errors import InvalidFile, InvalidObject, Refused, ShellError
from avi_shell.fronts.batch import Batch
from avi_shell.output import imported, render
from avi_shell.session.session import Session
from avi_shell.session.source import Source
from tests.bench.importing import export
from tests.configuration.addresses import address
from tests.configuration.conftest import Site

HOST = "https://10.1.1.1"


def after(data: Any, **options: Any) -> Configuration:
    """A fresh configuration that imported this."""
    configuration = Configuration.in_memory()
    transfer.import_(configuration, data, **options)
    return configuration


def one(configuration: Configuration, kind: str, name: str, tenant: str = "admin") -> Document:
    found = configuration.find(kind, name, tenant)
    assert found is not None
    return found


def faults(data: Any, **options: Any) -> list[tuple[str, str]]:
    """Path and sentence of everything that is refused; the configuration is as it was."""
    configuration = Configuration.in_memory()
    before = transfer.dumps(transfer.export(configuration))
    with pytest.raises(ShellError) as caught:
        transfer.import_(configuration, data, **options)
    assert transfer.dumps(transfer.export(configuration)) == before
    every = caught.value.faults if isinstance(caught.value, InvalidFile) else (caught.value,)
    return [(fault.path, str(fault)) for fault in every]


@pytest.mark.parametrize(
    ("field", "written", "stored"),
    [
        ("default_server_port", "8080", 8080),
        ("default_server_port", 8080.0, 8080),
        ("default_server_port", "8.08e3", 8080),
        ("enabled", "false", False),
        ("enabled", "True", True),
        ("fewest_tasks_feedback_delay", "12", 12),
        ("description", None, None),
        ("description", 7, "7"),
        ("lb_algorithm", 3, "LB_ALGORITHM_CONSISTENT_HASH"),
        ("lb_algorithm", "lb_algorithm_consistent_hash", "LB_ALGORITHM_CONSISTENT_HASH"),
        ("servers", [{"ip": {"addr": "10.0.0.1", "type": 0}, "port": "80", "ratio": "2"}], None),
        ("health_monitor_refs", None, None),
        ("max_conn_rate_per_server", None, None),
        ("from_the_future", None, None),
    ],
)
def test_what_protobufs_json_allows_is_read(field: str, written: Any, stored: Any) -> None:
    pool = one(after({"Pool": [{"name": "p", field: written}]}), "pool", "p")
    if field == "servers":
        (server,) = pool["servers"]
        assert (server["ip"], server["port"], server["ratio"]) == (address("10.0.0.1"), 80, 2)
    else:
        assert (pool.get(field), type(pool.get(field))) == (stored, type(stored))


@pytest.mark.parametrize(
    ("field", "written"),
    [
        ("default_server_port", "80x"),
        ("default_server_port", "1_000"),
        ("default_server_port", 80.5),
        ("default_server_port", True),
        ("default_server_port", "1e999"),
        ("enabled", 1),
        ("enabled", "yes"),
        ("description", True),
        ("lb_algorithm", 99),
        ("lb_algorithm", "LB_ALGORITHM_X"),
        ("servers", [None]),
        ("servers", {}),
    ],
)
def test_what_it_does_not_allow_is_refused_with_its_path(field: str, written: Any) -> None:
    ((path, _),) = faults({"Pool": [{"name": "o"}, {"name": "p", field: written}]})
    assert path.startswith(f"Pool[2].{field}")


@pytest.mark.parametrize("name", ["Pool", "pool", "POOL"])
def test_a_kind_is_known_in_any_case(name: str) -> None:
    configuration = after({name: [{"name": "p"}]})
    assert configuration.names("pool", "admin") == ["p"]
    assert "POOL" not in transfer.export(configuration)
    with pytest.raises(Refused, match=f"not an export: {name} is not a list of objects"):
        after({name: {"name": "p"}})
    with pytest.raises(Refused, match=f"{name} and pOol are one kind"):
        after({name: [{"name": "p"}], "pOol": [{"name": "q"}]})


def test_enumerations_by_number_are_told() -> None:
    done = transfer.import_(Configuration.in_memory(), {"Pool": [{"name": "p", "lb_algorithm": 1}]})
    assert done.notices == ["Pool p: lb_algorithm 1 = LB_ALGORITHM_ROUND_ROBIN"]


@pytest.mark.parametrize(
    "ref",
    [
        "/api/pool/?name=p&tenant=t1",
        "/api/pool?tenant=t1&name=p",
        f"{HOST}/api/pool/?name=p&tenant=t1",
        f"{HOST}/api/pool/?name=p&tenant=t1#p",
        f"{HOST}/api/pool/pool-1",
        f"{HOST}/api/pool/pool-1#p",
        "/api/pool/pool-1/",
        f"{HOST}/api/pool/pool-unknown#p",
    ],
)
@pytest.mark.parametrize("tenant", [f"{HOST}/api/tenant/tenant-1", f"{HOST}/api/tenant/tenant-1#t1", None])
def test_every_form_of_reference_finds_its_object(ref: str, tenant: str | None) -> None:
    own = {"tenant_ref": tenant or "/api/tenant/?name=t1"}
    data = {
        "Tenant": [{"name": "t1", "uuid": "tenant-1"}, {"name": "admin", "uuid": "admin"}],
        "Pool": [{"name": "p", "uuid": "pool-1", **own}, {"name": "p", "tenant_ref": f"{HOST}/api/tenant/admin"}],
        "VirtualService": [{"name": "v", "pool_ref": ref, **own}],
    }
    for keep in (False, True):
        service = one(after(data, keep_uuid=keep), "virtualservice", "v", "t1")
        assert service["pool_ref"] == reference("pool", "p", "t1")
        assert service["tenant_ref"] == "/api/tenant/?name=t1"


def test_a_reference_by_uuid_finds_what_is_stored_before(site: Site) -> None:
    pool = site.save("pool", name="p9").document
    transfer.import_(site.configuration, {"VirtualService": [{"name": "v", "pool_ref": f"/api/pool/{pool['uuid']}"}]})
    assert one(site.configuration, "virtualservice", "v")["pool_ref"] == reference("pool", "p9")


def test_a_uuid_that_nobody_has_is_refused() -> None:
    ((path, text),) = faults({"VirtualService": [{"name": "v", "pool_ref": f"{HOST}/api/pool/pool-9"}]})
    assert path == "VirtualService[1].pool_ref"
    assert "pool pool-9, which is neither in the file nor stored" in text


def test_a_virtual_service_and_its_debug_settings_have_one_uuid() -> None:
    data = {
        "VirtualService": [{"name": "v", "uuid": "virtualservice-1"}],
        "DebugVirtualService": [{"name": "v", "uuid": "virtualservice-1", "flags": [{"flag": "DEBUG_VS_TCP_ALL"}]}],
    }
    configuration = after(data, keep_uuid=True)
    assert one(configuration, "virtualservice", "v")["uuid"] == "virtualservice-1"
    assert one(configuration, "debugvirtualservice", "v")["uuid"] == "debugvirtualservice-1"
    again = transfer.import_(configuration, data, keep_uuid=True)
    assert (again.created, again.changed) == ({}, {})


def test_a_mistyped_field_is_told_once_and_kept(site: Site) -> None:
    servers = [{"ip": address("10.1.1.1"), "ratoi": 3}, {"ip": address("10.1.1.2"), "ratoi": 2}]
    pool = {"url": "https://c/api/pool/p", "_owner": "x", "servers": servers}
    data = {"Pool": [{"name": "p", **pool}, {"name": "q", **pool}]}
    (told,) = [n for n in transfer.import_(site.configuration, data).notices if "known" in n]
    assert told.startswith("Pool q: no field servers.ratoi is known, so it is kept without effect; did you mean ratio")
    assert one(site.configuration, "pool", "p")["servers"][0]["ratoi"] == 3
    assert not transfer.import_(site.configuration, data).notices, "nothing changes"


def test_all_faults_of_a_file_are_told_at_once() -> None:
    data = {
        "Pool": [
            {
                "name": "bad",
                "enabled": 1,
                "servers": [{"ip": {"addr": "10.0.0.300", "type": "V4"}}, {"port": 1}],
                "lb_algorithm": 99,
            },
            {"name": "good"},
            {"name": "good"},
            {"name": "lost", "health_monitor_refs": [reference("healthmonitor", "nowhere")]},
        ],
        "VsVip": [{"name": "v", "vip": 3}],
        "VirtualService": [
            {"name": "on-bad", "pool_ref": reference("pool", "bad"), "vsvip_ref": reference("vsvip", "v")},
            {"name": "alone", "pool_ref": reference("pool", "missing"), "services": [{"port": 1}, {"port": 1}]},
        ],
    }
    found = faults(data)
    assert sorted(path for path, _ in found) == [
        "Pool[1].enabled",
        "Pool[1].lb_algorithm",
        "Pool[1].servers[1].ip",
        "Pool[1].servers[2].ip",
        "Pool[3].name",
        "Pool[4].health_monitor_refs[1]",
        "VirtualService[2].pool_ref",
        "VirtualService[2].services[2].port",
        "VsVip[1].vip",
    ]
    assert "Pool[2] and Pool[3]" in dict(found)["Pool[3].name"]


def test_faults_between_objects_are_told_at_once_too(site: Site) -> None:
    site.dsr()
    data = transfer.export(site.configuration)
    (service,), (pool,) = data["VirtualService"], data["Pool"]
    data["VirtualService"].append({**service, "name": "twin", "uuid": "virtualservice-2"})
    pool["lb_algorithm"] = "LB_ALGORITHM_ROUND_ROBIN"
    data["NetworkProfile"].append({"name": "x", "profile": {"type": 99}})
    texts = [text for _, text in faults(data, keep_uuid=True)]
    assert len([text for text in texts if "has lb_algorithm LB_ALGORITHM_ROUND_ROBIN" in text]) == 2
    assert any("profile.type is 99" in text for text in texts)


def test_twins_in_a_file_are_refused_by_uuid_too() -> None:
    data = {"Pool": [{"name": "a", "uuid": "pool-1"}, {"name": "b", "uuid": "pool-1"}]}
    ((path, text),) = faults(data, keep_uuid=True)
    assert (path, "Pool[1] and Pool[2]" in text) == ("Pool[2].uuid", True)
    assert after(data).names("pool", "admin") == ["a", "b"]


def test_vips_in_a_virtual_service_become_a_vsvip(site: Site) -> None:
    vip = {"vip_id": 1, "ip_address": address("10.0.0.77")}
    data: dict[str, Any] = {"VirtualService": [{"name": "old", "vip": [vip], "services": [{"port": "80"}]}]}
    for _ in range(2):  # and again the same
        done = transfer.import_(site.configuration, data)
    assert (done.created, done.changed) == ({}, {})
    service = one(site.configuration, "virtualservice", "old")
    assert service["vsvip_ref"] == reference("vsvip", "vsvip-old-Default-Cloud")
    assert "vip" not in service
    (made,) = one(site.configuration, "vsvip", "vsvip-old-Default-Cloud")["vip"]
    assert (made["vip_id"], made["ip_address"]) == ("1", address("10.0.0.77"))
    ((path, _),) = faults({"VirtualService": [{"name": "v", "vip": [{"ip_address": {"addr": "x", "type": "V4"}}]}]})
    assert path == "VirtualService[1].vip[1].ip_address"


def test_defaults_that_the_controller_adds() -> None:
    configuration = after(
        {"Tenant": [{"name": "t"}], "ApplicationProfile": [{"name": "a", "type": "APPLICATION_PROFILE_TYPE_L4"}]}
    )
    assert one(configuration, "tenant", "t")["config_settings"] == {
        "tenant_vrf": False,
        "se_in_provider_context": True,
        "tenant_access_to_provider_se": True,
    }
    assert one(configuration, "applicationprofile", "a")["preserve_client_port"] is False


def test_a_dry_run_changes_nothing_and_says_the_same() -> None:
    data = {"Pool": [{"name": "p"}], "WafPolicy": [{"name": "w"}]}
    configuration = Configuration.in_memory()
    before = transfer.dumps(transfer.export(configuration))
    dry = transfer.import_(configuration, data, dry_run=True)
    assert transfer.dumps(transfer.export(configuration)) == before
    assert configuration.version() == 0
    done = transfer.import_(configuration, data)
    assert imported.lines(dry, verbose=True) == imported.lines(done, verbose=True)


def test_thousands_of_notices_become_a_few_lines(tmp_path: Path) -> None:
    pools = [{"name": f"p{n}", "fewest_tasks_feedback_delay": 12} for n in range(300)]
    services = [{"name": f"v{n}"} for n in range(30)]
    (tmp_path / "f.json").write_text(json.dumps({"Pool": pools, "VirtualService": services}))
    session = Session(Configuration.in_memory(), tmp_path)
    short = render.text_lines(session.run(f"import configuration file {tmp_path}/f.json --dry-run").parts)
    assert short[-1] == f"{tmp_path}/f.json can be imported; nothing was changed."
    assert short[-2] == "330 objects (300 Pool, 30 VirtualService): 330 new, 0 changed, 0 as they were stored."
    assert short[-3] == "stored, without effect here: Pool.fewest_tasks_feedback_delay of 300"
    assert short[-4] == "and 20 more notices; --verbose shows all"
    assert len(short) == 14
    every = session.run(f"import configuration file {tmp_path}/f.json --verbose keep_uuid")
    assert len(render.text_lines(every.parts)) == 330 + 2
    assert every.data["created"] == {"Pool": 300, "VirtualService": 30}


def test_a_long_import_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr("avi_shell.configuration.importing._PACE", 0.0)
    transfer.import_(Configuration.in_memory(), {"Pool": [{"name": f"p{n}"} for n in range(250)]}, progress=told.append)
    assert told == ["0 of 250 objects", "100 of 250 objects", "200 of 250 objects"]


def test_the_shell_lists_every_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pools = [{"name": f"p{n}", "enabled": n} for n in range(3)]
    (tmp_path / "f.json").write_text(json.dumps({"Pool": pools}))
    line = f"import configuration file {tmp_path}/f.json"
    batch = Batch(Session(Configuration.in_memory(), tmp_path))
    assert batch.run([Source("s", [line])]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "s:1: error: 3 faults, nothing was imported",
        *(f"  Pool[{n + 1}].enabled: Pool p{n}: enabled is {n}, not of type bool" for n in range(3)),
    ]
    data = json.loads(render.as_json(batch.session.run(line)))
    assert [fault["path"] for fault in data["error"]["faults"]] == [f"Pool[{n}].enabled" for n in (1, 2, 3)]


def test_one_fault_is_told_as_itself() -> None:
    with pytest.raises(InvalidObject) as caught:
        after({"Pool": [{"name": "p", "enabled": 1}]})
    assert not isinstance(caught.value, InvalidFile)
    with pytest.raises(Refused, match="belongs to tenant"):
        after({"Pool": [{"name": "q", "tenant_ref": "/api/tenant/?name=admin"}]}, tenant="t1")


def many(count: int) -> dict[str, Any]:
    """So many services that one look at all that is stored is preferred to one for each."""
    data = export(count)
    assert count > linking.MANY
    return data


def test_what_services_may_not_share_is_found_among_many() -> None:
    data = many(60)
    data["VsVip"][10]["vip"][0]["ip_address"] = data["VsVip"][20]["vip"][0]["ip_address"]
    data["VirtualService"][31]["pool_ref"] = data["VirtualService"][30]["pool_ref"]
    data["Pool"][40]["servers"][0]["ip"] = data["VsVip"][41]["vip"][0]["ip_address"]
    found = sorted(text for _, text in faults(data))
    for expected in (
        "VirtualService vs10: udp port 80 of VIP 11.0.0.20 belongs to VirtualService vs20",
        "VirtualService vs20: udp port 80 of VIP 11.0.0.20 belongs to VirtualService vs10",
        "pool p30 serves VirtualService vs30 and VirtualService vs31",
        "11.0.0.41 is a VIP of VirtualService vs41 and a server of VirtualService vs40",
    ):
        assert [text for text in found if expected in text], (expected, found)
    assert not [text for text in found if not any(f"vs{n}" in text for n in (10, 20, 30, 31, 40, 41))]


def test_the_plan_follows_many_pools_whose_services_stand_in_no_file() -> None:
    configuration = after(many(60))
    pools = [{**pool, "servers": pool["servers"][:1]} for pool in many(60)["Pool"]]
    monitor = {"name": "m", "type": "HEALTH_MONITOR_TCP"}
    transfer.import_(configuration, {"Pool": pools, "HealthMonitor": [monitor]})
    with configuration.snapshot() as store:
        services = store.whole_plan().services.values()
    assert {len(service.servers) for service in services if service is not None} == {1}
    assert len(services) == 60


def test_names_and_uuids_that_are_taken_are_refused_by_the_store(site: Site) -> None:
    stored = [site.save("pool", name=name).document for name in ("a", "b")]
    renamed = {"Pool": [{"name": "b", "uuid": stored[0]["uuid"]}]}
    with pytest.raises(InvalidObject, match="another Pool of tenant admin has the name b"):
        transfer.import_(site.configuration, renamed, keep_uuid=True)
    taken = {"VsVip": [{"name": "v", "uuid": stored[0]["uuid"]}]}
    with pytest.raises(InvalidObject, match="pool a has the same uuid"):
        transfer.import_(site.configuration, taken, keep_uuid=True)
    swapped = {"Pool": [{"name": "c", "uuid": stored[0]["uuid"]}, {"name": "a", "uuid": stored[1]["uuid"]}]}
    transfer.import_(site.configuration, swapped, keep_uuid=True)
    assert site.configuration.names("pool", "admin") == ["a", "c"]
