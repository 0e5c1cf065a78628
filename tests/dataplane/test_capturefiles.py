"""Files of captures: what tshark and our own reader see in them, whose they are, and when they end."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from dataplane.capture import recorder
from dataplane.capture.kept import Known, Surroundings
from dataplane.capture.recorder import Order, Recorder
from dataplane.errors import EngineError
from dataplane.foreign import capture as files
from dataplane.forwarding import decision
from dataplane.forwarding.capture import Captured, Left, Wanted, told
from dataplane.forwarding.lookup import LookupTables
from dataplane.forwarding.tracking import Flows
from dataplane.forwarding.values import Interface
from tests.packets.cases import CASES, Case
from tests.packets.world import WORLD

EVERYTHING = Wanted(most=256)
NAMES = {one.index: one.name for one in WORLD.interfaces}
WHOLE = Order("web", most=256)
EPOCH = 1_700_000_000_000_000_000
COLUMNS = (
    "frame.comment",
    "frame.interface_name",
    "frame.len",
    "frame.cap_len",
    "frame.time_epoch",
    "frame.packet_id",
    "frame.packet_flags_direction",
)


def values() -> LookupTables:
    made = LookupTables()
    WORLD.put(made)
    return made


def around() -> Surroundings:
    pools = {pool.uuid: pool for pool in WORLD.pools}
    services = {
        vip.address: [
            Known(one.key, f"vs-{one.key.port}", pools.get(one.pool))
            for one in WORLD.services
            if one.key.vip == vip.address
        ]
        for vip in WORLD.vips
    }
    return Surroundings(services, NAMES, EPOCH)


def captured(row: Case, interface: Interface, at: int) -> Captured:
    flows, held = Flows(), values()
    for earlier in row.before:
        decision.decide(earlier, interface, held, flows)
    verdict = decision.decide(row.frame, interface, held, flows)
    return told(row.frame, interface.index, verdict, EVERYTHING, at)


def tshark(path: Path, *options: str) -> list[list[str]]:
    """The columns of every frame, as a program reads the file that knows nothing of us."""
    fields = [part for name in COLUMNS for part in ("-e", name)]
    ran = subprocess.run(
        ["tshark", "-r", path, *options, "-T", "fields", "-E", "separator=/t", *fields],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"HOME": "/nonexistent"},
    )
    return [line.split("\t") for line in ran.stdout.splitlines()]


def recorded(folder: Path, taken: Sequence[Captured], order: Order = WHOLE) -> Recorder:
    made = Recorder(folder, order)
    made.add(taken, 0, around())
    made.end("the test is over")
    return made


def test_tshark_shows_every_frame_with_its_verdict_reason_server_and_interface(tmp_path: Path) -> None:
    rows = [row for row in CASES if row.expected.action != decision.HOST]
    taken = [captured(row, row.interface, n * 1000 + 7) for n, row in enumerate(rows)]
    made = recorded(tmp_path / "captures" / "se-1", taken)
    shown = tshark(made.path)
    wanted = [
        (number, number * 1000 + 7 - 1000, size, before)
        for number, one in enumerate(taken, 1)
        for size, before in [(one.size, True), *((left.size, False) for left in one.left)]
    ]
    assert len(shown) == len(wanted)
    for row, (number, at, size, before) in zip(shown, wanted, strict=True):
        case = rows[number - 1]
        comment, name, length, kept, time_, packet, direction = row
        assert int(direction, 0) == (1 if before else 2), "in, out"
        assert comment.startswith("in front: " if before else "behind: "), case.what
        says = comment.partition(": ")[2].split("; ")
        assert (
            says[0]
            == {
                "dropped": "verdict dropped",
                "forwarded": "verdict forwarded",
                "answered": "verdict answered by the engine",
            }[case.expected.action]
        ), case.what
        assert ([f"reason {case.expected.reason}"] if case.expected.reason else []) == [
            one for one in says if one.startswith("reason ")
        ]
        server = [f"server {case.expected.server}"] if case.expected.action == decision.FORWARDED else []
        assert [one for one in says if one.startswith("server ")] == server, case.what
        index = case.interface.index if before else case.expected.interface
        assert name == NAMES[index], case.what
        assert (int(length), int(kept)) == (size, min(size, 256)), case.what
        seconds, _, rest = time_.partition(".")
        assert int(seconds) * 10**9 + int(rest) == EPOCH + at
        assert int(packet, 0) == number
    services = {row[0].partition("virtual service ")[2] for row in shown}
    assert "vs-80" in services
    assert made.report()["verdicts"] == {
        action: n for action in ("forwarded", "dropped", "answered") if (n := sum(o.action == action for o in taken))
    }
    assert made.report()["left"] == len(shown) - len(taken)


def test_our_own_reader_takes_the_file_whole_or_without_comments(tmp_path: Path) -> None:
    rows = [row for row in CASES if row.expected.action == decision.FORWARDED][:5]
    taken = [captured(row, row.interface, 1_000) for row in rows]
    for pcapng in (True, False):
        made = recorded(tmp_path / "captures", taken, Order("web", most=256, pcapng=pcapng))
        read = list(files.frames(made.path))
        sent = [frame for one in taken for frame in (Left(one.frame, one.size), *one.left)]
        assert [Left(frame.data[:256], len(frame.data)) for frame in read] == sent
        assert made.path.suffix == (".pcapng" if pcapng else ".pcap")


def test_files_are_their_owners_alone_and_as_many_as_are_kept(tmp_path: Path) -> None:
    os.umask(os.umask(0o777))
    folder = tmp_path / "captures" / "se-1"
    made = []
    for n in range(4):
        made.append(recorded(folder, [], Order("web", files=2)).path)
        time.sleep(0.002)
        other = recorded(folder, [], Order(f"web-{n}/x@y")).path
        assert other.parent == folder
    assert recorder.files(folder, "web") == made[-2:]
    assert len(recorder.files(folder, "web-0/x@y")) == 1
    assert stat.S_IMODE(made[-1].stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    assert recorder.files(tmp_path / "nowhere", "web") == []


def test_a_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "captures").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EngineError, match="no capture can be written into .*: it is a link"):
        Recorder(tmp_path / "captures" / "se-1", Order("web"))


def test_it_ends_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = next(row for row in CASES if row.expected.action == decision.FORWARDED)
    one = captured(row, row.interface, 0)
    bounded = Recorder(tmp_path / "a", Order("web", packets=3))
    bounded.add([one] * 2, 0, around())
    assert not bounded.ended
    bounded.add([one] * 5, 9, around())
    assert (bounded.ended, bounded.packets, bounded.lost) == ("3 packets", 3, 0)
    bounded.end("later")
    assert bounded.report()["ended"] == "3 packets"
    timed = Recorder(tmp_path / "b", Order("web", seconds=1e-9))
    timed.add([one], 2, around())
    assert (timed.ended, timed.packets, timed.lost) == ("1e-09 s are over", 1, 2)
    timed.end("")
    monkeypatch.setattr(recorder, "LARGEST", 1 << 20)
    large = Recorder(tmp_path / "c", Order("web"))
    large.add([one] * 10_000, 0, around())
    large.end("")
    assert large.ended == "the file holds 1 MB"
    assert 1 << 20 <= large.report()["bytes"] < (1 << 20) + 1000
    full = Recorder(tmp_path / "d", Order("web"))
    full._stream.close()
    full._stream = open("/dev/full", "wb")  # noqa: SIM115
    full._pcapng._stream = full._stream  # type: ignore[union-attr]
    full.add([one], 0, around())
    full.end("")
    assert full.ended == "the file cannot be written: No space left on device"
