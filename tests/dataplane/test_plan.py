"""The plan's documents: written, read, refused."""

import json
import re
import sqlite3
from dataclasses import fields, replace
from pathlib import Path

import pytest

from dataplane import plan
from dataplane.drivers.maps import layout
from dataplane.errors import PlanError
from dataplane.forwarding import poolnames
from dataplane.plan import checks, codec, file, sqlite
from dataplane.plan.redundancy import Redundancy

SERVICE = plan.Service(
    virtualservice="vs1", uuid="virtualservice-1", tenant="admin", vip="10.0.0.100", protocol="tcp", port=80,
    port_end=80, mode=plan.L2, hash_key=plan.BY_ADDRESS_AND_PORT, idle_timeout=300, pool="p1", pool_uuid="pool-1",
    slots=plan.SLOTS, seed=7,
    servers=(plan.Server("10.0.0.11", 80), plan.Server("10.0.0.12", 80, weight=3, enabled=False)),
    monitors=(plan.Monitor("hm", "HEALTH_MONITOR_TCP", send_interval=1),), version=3,
)  # fmt: skip
BGP = plan.Bgp(65001, (plan.Peer("10.0.0.254", 65001, 65000, "10.0.0.0/24", secret="s"),), bfd_transmit=500)
COMMON = plan.Common(
    {"Default-Group": 2}, {"se-1": "Default-Group"}, 3, {"Default-Group": 300.0}, {"Default-Group": BGP},
    {"Default-Group": Redundancy(max_vips=20)}, {"se-1": "SE_STATE_DISABLED"},
)  # fmt: skip
ROUTED = replace(SERVICE, route=plan.Route(("a",), ("65000:1",), 0, 2))


@pytest.fixture
def store() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.executescript(sqlite.SCHEMA)
    return connection


def test_what_is_written_is_read(store: sqlite3.Connection) -> None:
    sqlite.write(store, 3, [SERVICE], COMMON)
    assert sqlite.read(store) == plan.Plan(3, {"10.0.0.100/tcp/80-80": SERVICE}, COMMON)


def test_a_plan_without_a_route_and_a_tag_reads_as_before(store: sqlite3.Connection) -> None:
    sqlite.write(store, 3, [SERVICE], plan.Common())
    (text,) = store.execute("SELECT document FROM plan WHERE key = ?", (SERVICE.key,)).fetchone()
    assert not {"route", "tag"} & json.loads(text).keys()  # engines of an older release read it
    sqlite.write(store, 4, [replace(ROUTED, version=4, tag=2)], None)
    assert sqlite.read(store).services == {SERVICE.key: replace(ROUTED, version=4, tag=2)}


def test_what_the_engines_share_is_read_whole() -> None:
    assert codec.read_common(json.loads(json.dumps(codec.document(COMMON))), 3) == COMMON
    assert codec.read_common({"drivers": COMMON.drivers, "of a newer version": 1}, 3) == plan.Common(
        COMMON.drivers, version=3
    )


def test_only_what_is_newer_is_read(store: sqlite3.Connection) -> None:
    sqlite.write(store, 3, [SERVICE], COMMON)
    assert sqlite.read(store, 3) == plan.Plan(3, {}, None)
    sqlite.write(store, 4, [SERVICE.key], None)
    assert sqlite.read(store, 3) == plan.Plan(4, {SERVICE.key: None}, None)


def test_an_empty_plan_has_the_version_asked_after(store: sqlite3.Connection) -> None:
    assert sqlite.read(store, -1) == plan.Plan(-1, {}, None)


@pytest.mark.parametrize("service", [SERVICE, ROUTED])
def test_a_file_holds_the_whole_plan(service: plan.Service, tmp_path: Path) -> None:
    whole = plan.Plan(3, {service.key: service}, COMMON)
    file.save(whole, tmp_path / "plan.json")
    assert file.load(tmp_path / "plan.json") == whole


@pytest.mark.parametrize(
    ("change", "named"),
    [({"mode": "l4"}, "l4"), ({"color": 1}, "color"), ({"servers": [{"address": "10.0.0.1", "post": 1}]}, "post")],
)
def test_a_document_of_another_version_is_refused_by_name(
    change: dict[str, object], named: str, tmp_path: Path
) -> None:
    path = tmp_path / "plan.json"
    file.save(plan.Plan(3, {SERVICE.key: SERVICE}, COMMON), path)
    data = json.loads(path.read_text())
    data["services"][SERVICE.key].update(change)
    path.write_text(json.dumps(data))
    with pytest.raises(PlanError, match=named):
        file.load(path)


WRONG: tuple[tuple[dict[str, object], str], ...] = (
    ({"vip": "10.0.0"}, "vip is '10.0.0', expected a dotted IPv4 address"),
    ({"vip": 5}, "vip is 5"),
    ({"port": "80"}, "port is '80', expected a whole number from 1 to 65535"),
    ({"port": True}, "port is True"),
    ({"port": 80.0}, "port is 80.0"),
    ({"port_end": 79}, "port_end is 79, expected at least port, 80"),
    ({"port_end": 65536}, "port_end is 65536"),
    ({"protocol": "sctp"}, "protocol is 'sctp', expected one of tcp, udp"),
    ({"hash_key": None}, "hash_key is None"),
    ({"slots": 0}, "slots is 0, expected a prime"),
    ({"slots": 65536}, "slots is 65536, expected a prime"),
    ({"seed": -1}, "seed is -1"),
    ({"enabled": 1}, "enabled is 1, expected true or false"),
    ({"pool_uuid": "x" * 45}, "pool_uuid is"),
    ({"virtualservice": "\ud800"}, "virtualservice is"),
    ({"version": "3"}, "version is '3'"),
    ({"servers": {}}, "servers is {}, expected a list"),
    ({"servers": [5]}, r"servers\[0\] is 5, expected an object"),
    ({"servers": [{"address": "10.0.0.1"}]}, r"servers\[0\].port is missing"),
    ({"servers": [{"port": 1}, {"port": 1}]}, r"servers\[0\].address is missing"),
    (
        {"servers": [{"address": "10.0.0.1", "port": 80}, {"address": "::1", "port": 80}]},
        r"servers\[1\].address is '::1'",
    ),
    ({"servers": [{"address": "10.0.0.1", "port": 80}, {"address": "10.0.0.2", "port": "80"}]}, r"servers\[1\].port"),
    ({"servers": [{"address": "10.0.0.1", "port": 80}, {"address": "10.0.0.2", "port": True}]}, r"servers\[1\].port"),
    ({"servers": [{"address": "10.0.0.1", "port": 80}] * 2}, "servers has an address twice"),
    ({"servers": [{"address": "10.0.0.1", "port": 80, "weight": 0}]}, r"servers\[0\].weight is 0"),
    ({"monitors": [{"name": "hm", "type": "SNMP"}]}, r"monitors\[0\].type is 'SNMP'"),
    ({"monitors": [{"name": "hm", "type": "HEALTH_MONITOR_TCP", "codes": "HTTP_2XX"}]}, r"monitors\[0\].codes"),
    ({"monitors": [{"type": "HEALTH_MONITOR_TCP"}]}, r"monitors\[0\].name is missing"),
    ({"monitors": [{"name": "hm", "type": "HEALTH_MONITOR_TCP", "send_interval": 0}]}, "send_interval is 0"),
    ({"former": [{"until": "now", "servers": []}]}, r"former\[0\].until"),
    ({"former": [{"until": 1, "servers": [["10.0.0.1", 1]]}]}, r"former\[0\].servers\[0\] has 2 values"),
    ({"former": [{"until": 1}]}, r"former\[0\].servers is None"),
    ({"route": []}, r"route is \[\], expected an object"),
    ({"route": {"communities": ["65000"]}}, r"route.communities\[0\] is '65000', expected two numbers"),
    ({"route": {"labels": [1]}}, r"route.labels\[0\] is 1"),
    ({"route": {"prepend": 11}}, "route.prepend is 11, expected a whole number from 0 to 10"),
    ({"route": {"local_preference": "7"}}, "route.local_preference is '7'"),
)


@pytest.mark.parametrize(("change", "told"), WRONG)
def test_values_of_other_types_or_out_of_their_range_are_refused_by_their_place(
    change: dict[str, object], told: str, tmp_path: Path, store: sqlite3.Connection
) -> None:
    path = tmp_path / "plan.json"
    file.save(plan.Plan(3, {SERVICE.key: SERVICE}, COMMON), path)
    data = json.loads(path.read_text())
    data["services"][SERVICE.key].update(change)
    path.write_text(json.dumps(data))
    if "ud800" not in json.dumps(change):
        with pytest.raises(PlanError, match=told):
            file.load(path)
    if "version" not in change:
        store.execute("INSERT INTO plan VALUES (?, 3, ?)", (SERVICE.key, json.dumps(data["services"][SERVICE.key])))
        assert re.search(told, sqlite.read(store).damaged[SERVICE.key])


def test_a_pool_of_the_longest_uuid_has_room_for_a_vip_in_its_name() -> None:
    assert len(poolnames.of_vip("x" * checks.LONGEST_UUID, b"\xff" * 4)) == layout.NAME_LENGTH


@pytest.mark.parametrize(
    ("bgp", "told"),
    [
        ([], "bgp is .., expected an object"),
        ({"g": {"local_as": 0}}, "bgp.g.local_as is 0"),
        ({"g": {}}, "bgp.g.local_as is missing"),
        ({"g": {"local_as": 1, "peers": [{}]}}, r"bgp.g.peers\[0\].address is missing"),
        (
            {"g": {"local_as": 1, "peers": [{"address": "10.0.0.1", "local_as": 1, "remote_as": 2, "secret": '"'}]}},
            r"bgp.g.peers\[0\].secret is a secret that cannot be, expected text",
        ),
    ],
)
def test_speakers_that_cannot_be_are_refused_by_their_place(bgp: object, told: str) -> None:
    with pytest.raises(PlanError, match=told):
        codec.read_common({"bgp": bgp}, 3)


@pytest.mark.parametrize(
    ("redundancy", "what"),
    [
        ({"mode": "BOTH"}, "redundancy.g.mode is 'BOTH', expected one of HA_MODE_SHARED"),
        ({"heartbeat": "1"}, "redundancy.g.heartbeat is '1', expected a number of seconds"),
        ([], r"redundancy.g is \[\], expected an object"),
    ],
)
def test_how_engines_stand_in_for_each_other_is_checked(redundancy: object, what: str) -> None:
    with pytest.raises(PlanError, match=what):
        codec.read_common({"redundancy": {"g": redundancy}}, 3)


def test_a_service_under_anothers_key_is_refused(tmp_path: Path) -> None:
    file.save(plan.Plan(3, {"10.0.0.1/tcp/80-80": SERVICE}, COMMON), tmp_path / "plan.json")
    with pytest.raises(PlanError, match="it is of 10.0.0.100/tcp/80-80, and stands under 10.0.0.1/tcp/80-80"):
        file.load(tmp_path / "plan.json")


@pytest.mark.parametrize(
    "document", ["{", "[]", "5", "null", '"x"', "[" * 100_000, "\x00", '{"virtualservice": 1}', b"\xff", 7]
)
def test_a_damaged_row_keeps_no_other_from_being_read(document: object, store: sqlite3.Connection) -> None:
    sqlite.write(store, 3, [SERVICE], COMMON)
    store.execute("INSERT INTO plan VALUES ('10.0.0.1/tcp/1-1', 4, ?)", (document,))
    read = sqlite.read(store)
    assert (read.version, dict(read.services), read.common) == (4, {SERVICE.key: SERVICE}, COMMON)
    assert read.damaged.keys() == {"10.0.0.1/tcp/1-1"}
    assert sqlite.read_services(store, ["10.0.0.1/tcp/1-1", SERVICE.key]) == {SERVICE.key: SERVICE}
    store.execute("UPDATE plan SET document = ? WHERE key = ''", (document,))
    without = {"10.0.0.1/tcp/1-1"} if document == '{"virtualservice": 1}' else {"10.0.0.1/tcp/1-1", ""}
    assert sqlite.read(store).damaged.keys() == without


def test_every_field_has_a_rule() -> None:
    for cls, rules, others in (
        (plan.Server, checks.SERVER, set()),
        (plan.Monitor, checks.MONITOR, {"codes", "maintenance_codes"}),
        (plan.Service, checks.SERVICE, {"servers", "monitors", "former", "route", "version"}),
        (plan.Route, checks.ROUTE, {"labels", "communities"}),
        (plan.Peer, checks.PEER, set()),
        (plan.Bgp, checks.BGP, {"peers"}),
    ):
        assert rules.keys() | others == {field.name for field in fields(cls)}


def test_a_file_of_a_newer_format_is_refused_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    file.save(plan.Plan(3, {SERVICE.key: SERVICE}, COMMON), path)
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "format": 2}))
    with pytest.raises(PlanError, match="plan.json: written by another release .format 2, this one reads 1"):
        file.load(path)
    del data["format"]
    path.write_text(json.dumps(data))
    assert file.load(path).version == 3


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1, "services": [], "common": {}}'])
def test_a_file_that_is_no_plan_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(PlanError, match="plan.json: not a plan"):
        file.load(tmp_path / "plan.json")
    with pytest.raises(PlanError, match="No such file"):
        file.load(tmp_path / "missing.json")


def test_a_stored_document_tells_of_servers_what_is_not_the_default(store: sqlite3.Connection) -> None:
    sqlite.write(store, 3, [SERVICE], COMMON)
    ((document,),) = store.execute("SELECT document FROM plan WHERE key = ?", (SERVICE.key,)).fetchall()
    assert json.loads(document)["servers"] == [
        {"address": "10.0.0.11", "port": 80},
        {"address": "10.0.0.12", "port": 80, "weight": 3, "enabled": False},
    ]
