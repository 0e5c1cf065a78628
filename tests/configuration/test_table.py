from avi_shell.configuration import document
from avi_shell.output import table
from dataplane import drawing
from grammar import schema

from .addresses import address, prefix

PROFILE = schema.kind("networkprofile")
DSR = document.with_defaults(
    PROFILE, {"name": "dsr-l2", "profile": {"tcp_fast_path_profile": {"dsr_profile": {"dsr_type": "DSR_TYPE_L2"}}}}
)


def test_an_object_as_the_appliance_prints_it() -> None:
    rows = table.object_rows(PROFILE, DSR)
    assert (
        drawing.draw(("Field", "Value"), rows)
        == """\
+---------------------------+-----------------------------+
| Field                     | Value                       |
+---------------------------+-----------------------------+
| name                      | dsr-l2                      |
| profile                   |                             |
|   type                    | PROTOCOL_TYPE_TCP_FAST_PATH |
|   tcp_fast_path_profile   |                             |
|     session_idle_timeout  | 300 sec                     |
|     enable_syn_protection | False                       |
|     dsr_profile           |                             |
|       dsr_type            | DSR_TYPE_L2                 |
|       dsr_encap_type      | ENCAP_IPINIP                |
| connection_mirror         | False                       |
+---------------------------+-----------------------------+"""
    )


def test_brief_leaves_out_what_equals_its_default() -> None:
    names = [name.strip() for name, _ in table.object_rows(PROFILE, DSR, brief=table.nothing)]
    assert names == ["name", "profile", "type", "tcp_fast_path_profile", "dsr_profile", "dsr_type"]


def test_lists_addresses_references_prefixes_and_secrets() -> None:
    pool = schema.kind("pool")
    shown = table.object_rows(
        pool,
        {
            "health_monitor_refs": [
                document.reference("healthmonitor", "m1"),
                document.reference("healthmonitor", "m2"),
            ],
            "servers": [{"ip": address("10.1.1.10"), "port": 80}],
        },
    )
    assert shown == [
        ("health_monitor_refs[1]", "m1"),
        ("health_monitor_refs[2]", "m2"),
        ("servers[1]", ""),
        ("  ip", "10.1.1.10"),
        ("  port", "80"),
    ]
    vrf = schema.kind("vrfcontext")
    route = {"prefix": prefix("10.1.0.0/16"), "next_hop": address("10.0.0.1"), "route_id": "1"}
    peer = {"md5_secret": "hush"}
    shown = table.object_rows(vrf, {"static_routes": [route], "bgp_profile": {"peers": [peer]}})
    assert ("  prefix", "10.1.0.0/16") in shown
    assert ("    md5_secret", "<sensitive>") in shown


def test_hidden_fields_are_not_shown_and_carried_ones_are() -> None:
    rows = table.object_rows(
        schema.kind("pool"),
        {"name": "p", "_last_modified": "1", "networks": [{"server_filter": "x", "other": {"a": 1}}]},
    )
    assert rows == [
        ("name", "p"),
        ("networks[1]", ""),
        ("  server_filter", "x"),
    ]
