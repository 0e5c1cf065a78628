"""Two clouds that use the same names: each object is found by tenant, cloud and name, and nothing is mixed up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from avi_shell.configuration import document, transfer
from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.document import Document, Target, reference
from avi_shell.errors import InvalidObject, Refused, ShellError
from avi_shell.session.session import Session
from grammar import relations, schema

from .addresses import address
from .conftest import Site
from .test_transfer import bare, replay

CLOUDS = ("Default-Cloud", "linux")


def service(cloud: str, octet: int) -> dict[str, list[Document]]:
    """The objects of one service, as the appliance exports them: every one is called `x`."""

    def at(kind: str, name: str = "x") -> str:
        return f"/api/{kind}/?tenant=admin&name={name}&cloud={cloud}"

    cloud_ref = f"/api/cloud/?tenant=admin&name={cloud}"
    l4 = "/api/applicationprofile/?tenant=admin&name=System-L4-Application"
    dsr = "/api/networkprofile/?tenant=admin&name=dsr"
    server = {"ip": address(f"10.1.{octet}.10"), "port": 80}
    algorithm = "LB_ALGORITHM_CONSISTENT_HASH"
    return {
        "VrfContext": [{"name": "grp", "cloud_ref": cloud_ref}, {"name": "global", "cloud_ref": cloud_ref}],
        "ServiceEngineGroup": [{"name": "grp", "cloud_ref": cloud_ref, "se_use_dpdk": octet}],
        "Pool": [{"name": "x", "cloud_ref": cloud_ref, "lb_algorithm": algorithm, "servers": [server]}],
        "VsVip": [{"name": "x", "cloud_ref": cloud_ref, "vip": [{"ip_address": address(f"10.0.0.{octet}")}]}],
        "VirtualService": [
            {
                "name": "x",
                "cloud_ref": cloud_ref,
                "pool_ref": at("pool"),
                "vsvip_ref": at("vsvip"),
                "se_group_ref": at("serviceenginegroup", "grp"),
                "application_profile_ref": l4,
                "network_profile_ref": dsr,
                "services": [{"port": 80}],
            }
        ],
    }


def export() -> dict[str, Any]:
    """An export of the appliance with both."""
    profile = {"type": "PROTOCOL_TYPE_TCP_FAST_PATH", "tcp_fast_path_profile": {"dsr_profile": {}}}
    data: dict[str, Any] = {
        "Cloud": [{"name": "linux", "vtype": "CLOUD_LINUXSERVER"}],
        "NetworkProfile": [{"name": "dsr", "profile": profile}],
    }
    for octet, cloud in enumerate(CLOUDS, 1):
        for kind, objects in service(cloud, octet).items():
            data.setdefault(kind, []).extend(objects)
    return data


@pytest.fixture
def both() -> Configuration:
    configuration = Configuration.in_memory()
    transfer.import_(configuration, export())
    return configuration


def test_the_kinds_of_a_cloud_are_those_with_a_cloud_ref() -> None:
    assert {s for s in schema.SEGMENTS if "cloud_ref" in schema.kind(s).root.fields} == relations.OF_A_CLOUD


def test_neither_vanishes_and_each_refers_to_its_own(both: Configuration) -> None:
    for octet, cloud in enumerate(CLOUDS, 1):
        found = both.find("virtualservice", "x", "admin", cloud)
        assert found is not None
        refs = {field: document.target(found[field]) for field in ("pool_ref", "vsvip_ref", "vrf_context_ref")}
        assert {known.cloud for known in refs.values()} == {cloud}
        group = both.referenced(found["se_group_ref"])
        assert group is not None
        assert (group["se_use_dpdk"], document.reference_name(group["cloud_ref"])) == (octet, cloud)
        pool = both.find("pool", "x", "admin", cloud)
        assert pool is not None
        assert pool["vrf_ref"] == reference("vrfcontext", "global", cloud=cloud)  # filled in: its own cloud's


def test_the_plan_names_groups_with_their_cloud(both: Configuration) -> None:
    with both.snapshot() as store:
        planned = store.whole_plan()
    assert {s.vip: s.group for s in planned.services.values() if s} == {"10.0.0.1": "grp", "10.0.0.2": "grp@linux"}
    assert planned.common is not None
    assert planned.common.drivers == {"Default-Group": 0, "grp": 1, "grp@linux": 2}


def test_export_and_import_keep_them_apart(both: Configuration) -> None:
    text = transfer.dumps(transfer.export(both))
    fresh = Configuration.in_memory()
    transfer.import_(fresh, json.loads(text), keep_uuid=True)
    assert transfer.dumps(transfer.export(fresh)) == text
    transfer.import_(fresh, json.loads(text), keep_uuid=True)
    assert transfer.dumps(transfer.export(fresh)) == text


def test_the_running_configuration_keeps_them_apart(both: Configuration) -> None:
    pool = both.find("pool", "x", "admin", "linux")
    assert pool is not None
    both.save("pool", {**pool, "vrf_ref": reference("vrfcontext", "global")}, "admin")  # the default cloud's
    lines = transfer.running_config(both, "*")
    assert "switchto cloud linux" in lines
    assert bare(replay(lines)) == bare(both)


def test_an_object_of_another_cloud_alone_needs_no_switch(site: Site) -> None:
    site.save("cloud", name="linux", vtype="CLOUD_LINUXSERVER")
    site.save("serviceenginegroup", name="g", cloud_ref=reference("cloud", "linux"))
    site.save("pool", name="p", cloud_ref=reference("cloud", "linux"))
    lines = transfer.running_config(site.configuration, "*")
    assert not any(line.startswith("switchto") for line in lines)
    assert bare(replay(lines)) == bare(site.configuration)


def test_a_reference_without_a_cloud_names_what_is_in_its_own() -> None:
    configuration = Configuration.in_memory()
    data = json.loads(json.dumps(export()).replace("&cloud=linux", "").replace("&cloud=Default-Cloud", ""))
    transfer.import_(configuration, data)
    found = configuration.find("virtualservice", "x", "admin", "linux")
    assert found is not None
    assert document.target(found["pool_ref"]) == Target("pool", "admin", "linux", "x")
    assert document.target(found["network_profile_ref"]).cloud == ""


def test_renames_and_moves_between_clouds_take_references_along(both: Configuration) -> None:
    pool = both.find("pool", "x", "admin", "linux")
    assert pool is not None
    with pytest.raises(InvalidObject, match="another Pool of tenant admin has the name x"):
        both.save("pool", {**pool, "cloud_ref": reference("cloud", "Default-Cloud")}, "admin")
    both.save("pool", {**pool, "name": "y"}, "admin")
    moved = both.find("pool", "y", "admin", "linux")
    assert moved is not None
    both.save("pool", {**moved, "cloud_ref": reference("cloud", "Default-Cloud")}, "admin")
    refs = {}
    for cloud in CLOUDS:
        found = both.find("virtualservice", "x", "admin", cloud)
        refs[cloud] = found["pool_ref"] if found else ""
    assert refs == {"Default-Cloud": reference("pool", "x"), "linux": reference("pool", "y")}
    with pytest.raises(Refused, match="Cannot delete"):
        both.delete("pool", "y", "admin")
    both.save("debugvirtualservice", {"name": "x", "cloud_ref": reference("cloud", "linux")}, "admin")
    found = both.find("virtualservice", "x", "admin", "linux")
    assert found is not None
    both.save("virtualservice", {**found, "name": "z"}, "admin")
    assert both.find("debugvirtualservice", "z", "admin", "linux") is not None
    assert both.find("debugvirtualservice", "x", "admin", "Default-Cloud") is None


def session(configuration: Configuration, *lines: str) -> Session:
    made = Session(configuration, Path("/nonexistent"))
    for line in lines:
        told = made.run(line)
        assert told.ok, (line, told.error)
    return made


def test_a_session_in_a_cloud_finds_opens_and_creates_its_objects(both: Configuration) -> None:
    switched = session(both, "switchto cloud linux", "configure pool x", "description here", "save")
    assert [found["description"] for found in both.all("pool", "admin") if "description" in found] == ["here"]
    pool = both.find("pool", "x", "admin", "linux")
    assert pool is not None
    assert pool["description"] == "here"
    session(
        both, "switchto cloud linux", "configure pool new", "save", "configure virtualservice x", "pool_ref x", "save"
    )
    new = both.find("pool", "new", "admin")
    assert new is not None
    assert document.reference_name(new["cloud_ref"]) == "linux"
    found = both.find("virtualservice", "x", "admin", "linux")
    assert found is not None
    assert found["pool_ref"] == reference("pool", "x", cloud="linux")
    assert switched.run("show pool x").data["cloud_ref"] == reference("cloud", "linux")
    refused = switched.run("switchto cloud nowhere")
    assert refused.error is not None
    assert "there is no cloud 'nowhere'" in str(refused.error)
    both.save("pool", {"name": "mine"}, "admin")
    other = switched.run("delete pool mine").error
    assert isinstance(other, Refused)
    assert (other.what, other.hint) == ("Pool mine belongs to cloud Default-Cloud", "switchto cloud Default-Cloud")


def test_a_name_that_several_other_clouds_have_is_asked_for(both: Configuration) -> None:
    both.save("cloud", {"name": "third", "vtype": "CLOUD_NONE"}, "admin")
    for cloud in ("linux", "third"):
        both.save("pool", {"name": "twin", "cloud_ref": reference("cloud", cloud)}, "admin")
    with pytest.raises(ShellError, match="several clouds have a pool twin: linux, third") as told:
        both.find("pool", "twin", "admin")
    assert told.value.hint == "switchto cloud NAME"


def test_a_name_that_several_tenants_have_is_neither_shown_nor_deleted_for_all_of_them(both: Configuration) -> None:
    for tenant in ("t1", "t2"):
        both.save("tenant", {"name": tenant}, "admin")
        both.save("pool", {"name": "shared"}, tenant)
    for ask in (both.find, both.delete):
        with pytest.raises(ShellError, match="several tenants have a pool shared: t1, t2") as told:
            ask("pool", "shared", "*")
        assert told.value.hint == "switchto tenant NAME"
    both.delete("pool", "shared", "t2")
    both.delete("pool", "shared", "*")
    assert both.find("pool", "shared", "t1") is None


def test_tracing_follows_the_cloud_of_the_virtual_service(site: Site) -> None:
    site.save("cloud", name="linux", vtype="CLOUD_LINUXSERVER")
    site.save("virtualservice", name="v", cloud_ref=reference("cloud", "linux"))
    site.save("debugvirtualservice", name="v")
    found = site.configuration.find("debugvirtualservice", "v", "admin", "linux")
    assert found is not None
    site.configuration.delete("virtualservice", "v", "admin")
    assert site.configuration.find("debugvirtualservice", "v", "admin") is None


def test_references_by_uuid_find_the_object_of_their_cloud() -> None:
    """As the appliance answers: every reference is an address with the uuid, and the name behind it."""
    data = export()
    uuids = {}
    for kind, objects in data.items():
        segment = next(s for s, name in schema.SEGMENTS.items() if name == kind)
        for number, found in enumerate(objects):
            found["uuid"] = f"{segment}-{number}"
            cloud = document.reference_name(found.get("cloud_ref", ""))
            uuids[segment, found["name"], cloud] = found["uuid"]

    def by_uuid(_: schema.Field, ref: str) -> str:
        known = document.target(ref)
        uuid = uuids.get((known.kind, known.name, known.cloud))
        return f"https://10.1.1.1/api/{known.kind}/{uuid}#{known.name}" if uuid else ref

    told = {
        kind: [document.map_references(schema.kind(kind.lower()), found, by_uuid) for found in objects]
        for kind, objects in data.items()
    }
    assert "https://10.1.1.1/api/pool/pool-1#x" in json.dumps(told)
    by_name, fresh = Configuration.in_memory(), Configuration.in_memory()
    transfer.import_(by_name, data, keep_uuid=True)
    transfer.import_(fresh, told, keep_uuid=True)
    assert bare(fresh) == bare(by_name)
