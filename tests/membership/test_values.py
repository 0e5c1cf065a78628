"""What engines have in etcd and send each other: as it is written it is read, and what is none is passed over."""

from dataclasses import replace
from pathlib import Path

import pytest

from dataplane.membership import heartbeat, memory, places, record
from dataplane.membership.heartbeat import Heartbeat
from dataplane.membership.memory import Remembered
from dataplane.membership.places import Placer
from dataplane.membership.record import EngineRecord
from dataplane.placement.model import Cause, Leaver, Member, Place, Presence

RECORD = EngineRecord(
    "boot a",
    "host",
    "edge",
    ("10.0.0.1",),
    ("02:00:00:00:00:01",),
    ("10.0.0.0/24",),
    version=3,
    silent=("b",),
    clock=1.5,
)
PLACE = Place((Member("a", 1.0, Cause.FAILOVER, 2, 3),), (Leaver("b", 1.0), Leaver("c", 1.0, 2.0)), 2, 7)
PLACER = Placer("a", {"a": Presence.UP, "b": Presence.DEAD}, {"a": "edge", "b": "edge"}, 9)
SECRET = bytes(range(heartbeat.SECRET))


def test_what_is_written_is_read() -> None:
    assert record.read(RECORD.text()) == RECORD
    assert places.read(places.text(PLACE), 7) == PLACE
    assert places.read_placer(PLACER.text(), 9) == PLACER


@pytest.mark.parametrize(
    ("identity", "is_it"), [("boot b 7", True), ("boot b", True), ("boot b 8", False), ("boot c", False), ("", False)]
)
def test_an_engine_knows_what_a_former_run_of_it_said(identity: str, is_it: bool) -> None:
    assert EngineRecord(identity, "host").is_of("boot b 7") is is_it


def test_an_engine_that_starts_says_what_its_former_run_said_as_far_as_that_holds() -> None:
    """Others hear it by its addresses, and have its VIPs wait for it in its group."""
    starts = EngineRecord("boot b", "host")
    former = replace(RECORD, announced=("10.0.0.100",), forwards_on=True, ended=("c",))
    there = EngineRecord("boot b", "host", "edge", RECORD.addresses, RECORD.macs, RECORD.networks)
    assert starts.after(None) == starts
    assert starts.after(former) == replace(there, announced=("10.0.0.100",), forwards_on=True)
    assert starts.after(replace(former, forwards_on=False)) == there
    assert starts.after(replace(former, leaving=True)) == there


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b"1", b'{"identity": 1, "host": "h"}', b'{"identity": "i", "host": "h", "macs": "m"}']
)
def test_what_is_no_record_is_none(text: bytes) -> None:
    assert record.read(text) is None


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b'{"members": [{"engine": "a", "since": 1, "cause": "magic"}], "leavers": [], "wanted": 0}',
        b'{"members": [{"engine": 1, "since": 1, "cause": "tag"}], "leavers": [], "wanted": 0}',
        b'{"members": [], "leavers": [{"engine": "a", "since": "now"}], "wanted": 0}',
    ],
)
def test_what_is_no_place_is_none(text: bytes) -> None:
    assert places.read(text, 1) is None


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"engine": "a", "presences": {"a": "late"}, "groups": {}}'])
def test_what_is_no_placer_is_none(text: bytes) -> None:
    assert places.read_placer(text, 1) is None


def test_what_a_newer_release_adds_is_passed_over() -> None:
    assert record.read(RECORD.text()[:-1] + b', "colour": "red"}') == RECORD
    told = places.text(PLACE).replace(b'"had"', b'"colour": "red", "had"')
    assert places.read(told, 7) == PLACE


def test_a_heartbeat_is_read_by_those_who_have_the_key_alone() -> None:
    beat = Heartbeat("a", 12.5, {bytes([10, 0, 0, 100]): 1 << 40})
    datagram = heartbeat.write(SECRET, beat)
    assert heartbeat.read(SECRET, datagram) == beat
    assert heartbeat.read(SECRET[::-1], datagram) is None
    for at in range(len(datagram)):
        forged = bytearray(datagram)
        forged[at] ^= 1
        assert heartbeat.read(SECRET, bytes(forged)) is None, at
        assert heartbeat.read(SECRET, datagram[:at]) is None, at


def test_a_heartbeat_fits_a_link_whatever_the_number_of_vips() -> None:
    epochs = {index.to_bytes(4, "big"): index for index in range(1, 251)}
    portions = heartbeat.portions(epochs)
    assert {vip: epoch for portion in portions for vip, epoch in portion.items()} == epochs
    assert max(len(heartbeat.write(SECRET, Heartbeat("a" * 41, 0.0, portion))) for portion in portions) < 1400
    assert heartbeat.portions({}) == [{}]


def test_a_clock_is_compared_by_the_heartbeat_that_came_fastest() -> None:
    assert heartbeat.skew([2.5, 2.1, 9.0]) == 2.1
    assert heartbeat.skew([-1.9, -2.0]) == -1.9
    assert heartbeat.skew([]) == 0.0


def test_an_engine_remembers_its_own_cluster_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.places"
    known = Remembered("etcd://h/one", SECRET, Placer("a"), {"10.0.0.100": PLACE}, {"a": RECORD})
    memory.write(path, known)
    assert path.stat().st_mode & 0o777 == 0o600
    assert memory.read(path, "etcd://h/one") == known
    assert memory.read(path, "etcd://h/two") == Remembered()
    path.write_text("{")
    assert memory.read(path, "etcd://h/one") == Remembered()
