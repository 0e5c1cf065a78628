"""Every field of HealthMonitor, Pool and Server that the model offers acts, each shown by a test, or says that it does
not: in its help, when it is saved, and in the manual. The walk is over the model: a new field fails until it is placed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from avi_shell.configuration.document import Document, reference
from dataplane import plan
from grammar import schema

from .addresses import address
from .conftest import Site

ROOT = Path(__file__).parents[2]
KINDS = {"healthmonitor": "HealthMonitor", "pool": "Pool"}
ACTS: Mapping[str, str] = {
    "pool.cloud_ref": "tests/configuration/test_clouds.py::test_neither_vanishes_and_each_refers_to_its_own",
    "healthmonitor.type": "tests/configuration/test_compiler.py::test_every_type_of_monitor",
    "healthmonitor.send_interval": "tests/health/test_scheduler.py::test_a_thousand_checks_keep_their_times",
    "healthmonitor.receive_timeout": "tests/health/test_probes.py::test_tcp",
    "healthmonitor.successful_checks": "tests/health/test_checkstate.py::test_counting",
    "healthmonitor.failed_checks": "tests/health/test_checkstate.py::test_counting",
    "healthmonitor.monitor_port": "tests/configuration/test_compiler.py::test_a_monitor_in_full",
    "healthmonitor.disable_quickstart": "tests/health/test_checker.py::test_without_quickstart_the_interval_is_kept",
    "healthmonitor.tcp_monitor.tcp_request": "tests/health/test_probes.py::test_tcp",
    "healthmonitor.tcp_monitor.tcp_response": "tests/health/test_probes.py::test_tcp",
    "healthmonitor.tcp_monitor.maintenance_response": "tests/health/test_probes.py::test_tcp",
    "healthmonitor.tcp_monitor.tcp_half_open": "tests/health/test_probes.py::test_a_half_open_probe_is_never_accepted",
    "healthmonitor.http_monitor.http_request": "tests/health/test_http.py::test_http_requests",
    "healthmonitor.http_monitor.http_response_code": "tests/health/test_probes.py::test_http",
    "healthmonitor.http_monitor.http_response": "tests/health/test_probes.py::test_http",
    "healthmonitor.http_monitor.maintenance_code": "tests/health/test_probes.py::test_http",
    "healthmonitor.http_monitor.maintenance_response": "tests/health/test_probes.py::test_http",
    "healthmonitor.http_monitor.exact_http_request": "tests/health/test_http.py::test_http_requests",
    "healthmonitor.http_monitor.http_request_body": "tests/health/test_http.py::test_http_requests",
    "healthmonitor.http_monitor.response_size": "tests/health/test_probes.py::test_http",
    "healthmonitor.external_monitor.command_parameters": "tests/health/test_probes.py::test_external",
    "healthmonitor.external_monitor.command_code": "tests/health/test_probes.py::test_external",
    "healthmonitor.external_monitor.command_variables": "tests/health/test_probes.py::test_external",
    "healthmonitor.udp_monitor.udp_request": "tests/health/test_probes.py::test_udp",
    "healthmonitor.udp_monitor.udp_response": "tests/health/test_probes.py::test_udp",
    "healthmonitor.udp_monitor.maintenance_response": "tests/health/test_probes.py::test_udp",
    "pool.default_server_port": "tests/configuration/test_compiler.py::test_a_change_and_what_it_does_to_the_plan",
    "pool.graceful_disable_timeout": "tests/configuration/test_compiler.py::test_how_long_a_disabled_server_serves_on",
    "pool.health_monitor_refs": "tests/configuration/test_compiler.py::test_every_type_of_monitor",
    "pool.lb_algorithm": "tests/configuration/test_rules.py::test_refused",
    "pool.lb_algorithm_hash": "tests/configuration/test_compiler.py::test_a_change_and_what_it_does_to_the_plan",
    "pool.use_service_port": "tests/configuration/test_compiler.py::test_a_change_and_what_it_does_to_the_plan",
    "pool.enabled": "tests/configuration/test_compiler.py::test_a_change_and_what_it_does_to_the_plan",
    "pool.min_health_monitors_up": "tests/health/test_requirements.py::test_min_health_monitors_up",
    "pool.min_servers_up": "tests/health/test_crowd.py::test_a_pool_with_fewer_servers_up_than_it_needs_is_down",
    "pool.servers.ip.addr": "tests/configuration/test_compiler.py::test_a_service_with_everything_at_its_default",
    "pool.servers.ip.type": "tests/configuration/test_rules.py::test_refused",
    "pool.servers.port": "tests/configuration/test_compiler.py::test_a_change_and_what_it_does_to_the_plan",
    "pool.servers.hostname": "tests/configuration/test_rules.py::test_positions_ports_and_host_names_are_filled",
    "pool.servers.enabled": "tests/configuration/test_compiler.py::test_a_change_and_what_it_does_to_the_plan",
    "pool.servers.ratio": "tests/configuration/test_compiler.py::test_a_change_and_what_it_does_to_the_plan",
}
"""Field → the test that shows what it does."""

NOTED = {"uuid", "name", "tenant_ref", "markers", "description", "created_by", "service_metadata", "external_uuid",
         "external_orchestration_id"}  # fmt: skip
"""Whose object it is, what it is called, and texts for people: kept, shown and found by, which is all that they say.
`tests/shell/test_every_field.py` sets and shows each."""


def fields(segment: str) -> Iterator[tuple[str, schema.Field]]:
    """Every offered field that holds a value, with its path; what is inside a field without effect is, too."""
    kind = schema.kind(segment)

    def walk(message: schema.Message, path: str, inside: bool) -> Iterator[tuple[str, schema.Field, bool]]:
        for field in message.fields.values():
            if field.scope != "l4":
                continue
            inner = kind.message(field)
            here = f"{path}.{field.name}"
            if inner is None or inside or field.no_effect:
                yield here, field, inside
            else:
                yield from walk(inner, here, inside or field.no_effect)

    for path, field, _ in walk(kind.root, segment, False):
        yield path, field


ALL = {path: field for segment in KINDS for path, field in fields(segment)}
WITHOUT = sorted(path for path, field in ALL.items() if field.no_effect and "https_monitor" not in path)


def about_the_object(path: str) -> bool:
    return bool(NOTED & set(path.split(".")[1:]))


def test_every_field_acts_or_says_that_it_does_not() -> None:
    # A monitor of type HTTPS is refused with direct server return, and shares the message of HTTP's.
    others = {p for p in ALL if not about_the_object(p) and ".https_monitor" not in p}
    assert others - set(WITHOUT) == set(ACTS)


def test_the_tests_that_show_it_are_there() -> None:
    for place in set(ACTS.values()):
        module, _, name = place.partition("::")
        tree = ast.parse((ROOT / module).read_text("utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, place


def other(path: str, field: schema.Field) -> Any:
    """A value that the field does not have by itself."""
    if field.type == "bool":
        return not field.default
    if field.type in schema.INTEGERS:
        return int(field.minimum or 0) + (1 if field.default == field.minimum else 0) or 1
    if field.type == "enum":
        return next(one for one in schema.enums()[field.enum or ""] if one != field.default)
    if field.type == "message":
        return {"type": "FAIL_ACTION_BACKUP_POOL"}
    if field.type == "ref":
        return reference(path.rpartition(".")[2].removesuffix("_ref").replace("vrf", "vrfcontext"), "other")
    return ["x"] if field.repeated else "x"


MONITORS: dict[str, Document] = {
    "http_monitor": {"type": "HEALTH_MONITOR_HTTP", "http_monitor": {"http_response_code": ["HTTP_2XX"]}},
    "external_monitor": {"type": "HEALTH_MONITOR_EXTERNAL", "external_monitor": {"command_code": "echo"}},
    "": {"type": "HEALTH_MONITOR_TCP"},
}


@pytest.mark.parametrize("path", WITHOUT)
def test_what_has_no_effect_says_so_and_has_none(path: str, site: Site, read: Any) -> None:
    segment, *inner, name = path.split(".")
    field, value = ALL[path], other(path, ALL[path])
    made = MONITORS[inner[0] if inner and segment == "healthmonitor" else ""]
    site.save("healthmonitor", name="m", **made)
    site.save("vrfcontext", name="other")
    site.save("cloud", name="other", vtype="CLOUD_NONE")
    site.dsr()
    site.save("pool", name="vs1-pool", health_monitor_refs=[reference("healthmonitor", "m")])
    before = read().services
    changed: Document = {"name": "m" if segment == "healthmonitor" else "vs1-pool"}
    if inner == ["servers"]:
        servers = [{"ip": address(f"10.1.100.{last}"), "port": 80} for last in (10, 11)]
        changed["servers"] = [servers[0] | {name: value}, servers[1]]
    elif inner:
        changed[inner[0]] = made[inner[0]] | {name: value}
    else:
        changed[name] = value
    saved = site.save(segment, **changed)
    title = f"{KINDS[segment]} {changed['name']}"
    assert f"{title}: stored, without effect here: {name}" in saved.notices
    assert read().services == before
    assert field.help.endswith("(no effect here)")


def test_the_manual_lists_them() -> None:
    text = (ROOT / "avi_shell" / "manual" / "limits.md").read_text("utf-8")
    assert [path for path in WITHOUT if f"`{path.rpartition('.')[2]}`" not in text] == []


def test_saving_what_only_a_save_fills_tells_nothing(site: Site) -> None:
    assert site.save("pool", name="p").notices == ()


def test_many_fields_without_effect_are_one_short_notice(site: Site) -> None:
    group = schema.kind("serviceenginegroup").root
    numbers = [f for f in group.typable() if f.scope == "stored" and f.type == "uint32" and f.minimum == 0]
    changed: Document = {f.name: 7 for f in numbers if (f.maximum or 0) >= 7 and f.default != 7}
    (notice,) = site.save("serviceenginegroup", name="g", **changed, se_rl_prop={}).notices
    told = notice.partition("effect here: ")[2]
    assert told.count(", ") == 11
    assert told.endswith(f" and {len(changed) - 12} more"), "a message with its defaults alone is none of them"


def test_a_monitors_time_and_port_reach_its_servers(site: Site, read: Any) -> None:
    """Several monitors a pool: each has its own times."""
    for name, seconds in (("a", 1), ("b", 7)):
        site.save("healthmonitor", name=name, type="HEALTH_MONITOR_TCP", send_interval=seconds, monitor_port=9000)
    site.dsr()
    refs = [reference("healthmonitor", name) for name in ("a", "b")]
    site.save("pool", name="vs1-pool", health_monitor_refs=refs)
    (service,) = read().services.values()
    assert [(m.send_interval, m.port, m.type) for m in service.monitors] == [
        (1, 9000, "HEALTH_MONITOR_TCP"),
        (7, 9000, "HEALTH_MONITOR_TCP"),
    ]
    assert isinstance(service, plan.Service)
