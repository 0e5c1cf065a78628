"""`avi-se replay`: a plan, a network in a file, a capture in, a capture out."""

import dataclasses
import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import fragment
from scapy.layers.l2 import Ether
from scapy.utils import rdpcap, wrpcap, wrpcapng

from dataplane import plan
from dataplane.drivers.registry import NAMES
from dataplane.plan import file
from tests import forked
from tests.drivers import REFERENCE, every_driver

from ..packets.cases import CASES, arp_reply, arp_request, frame, tcp, udp
from ..packets.world import ETH0, VIP, WEB1, WEB2, mac

SERVERS = (plan.Server(WEB1, 80), plan.Server(WEB2, 8080))
SERVICE = plan.Service(
    virtualservice="vs1", uuid="virtualservice-1", tenant="admin", vip=VIP, protocol="tcp", port=80, port_end=80,
    mode=plan.L2, hash_key=plan.BY_ADDRESS_AND_PORT, idle_timeout=300, pool="p1", pool_uuid="pool-1",
    slots=plan.SLOTS, seed=7, servers=SERVERS,
)  # fmt: skip
NEIGHBOURS: dict[str, Any] = {
    "interfaces": [{"name": "eth0", "mac": ETH0.mac.hex(":"), "ip": ["10.0.0.1/24"], "mtu": 1500}],
    "neighbours": [
        {"ip": WEB1, "mac": mac(0x11).hex(":"), "interface": "eth0"},
        {"ip": WEB2, "mac": mac(0x12).hex(":"), "interface": "eth0"},
    ],
    "routes": [],
}
SENT = [
    *(frame(tcp(sport=1000 + n)) for n in range(20)),
    frame(tcp(9)),
    frame(udp()),
    frame(tcp(dst="203.0.113.1")),
    arp_request(VIP),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    file.save(plan.Plan(1, {SERVICE.key: SERVICE}, plan.Common()), tmp_path / "plan.json")
    (tmp_path / "net.json").write_text(json.dumps(NEIGHBOURS), "utf-8")
    wrpcap(str(tmp_path / "in.pcap"), [Ether(sent) for sent in SENT])
    return tmp_path


def command(*more: str, source: str = "in.pcap") -> list[str]:
    return [sys.executable, "-m", "dataplane", "replay", "--plan", "plan.json", *more, source, "out.pcap"]


def replay(folder: Path, *more: str, source: str = "in.pcap") -> "subprocess.CompletedProcess[str]":
    return forked.run(command(*more, source=source), cwd=folder, capture_output=True, text=True, check=False)


def summary(folder: Path, *more: str, **options: Any) -> Any:
    done = replay(folder, "--neighbours", "net.json", *more, **options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@every_driver
def test_the_summary_adds_up(folder: Path, driver: str) -> None:
    told = summary(folder, "--driver", driver)
    assert {k: told[k] for k in ("frames", "forwarded", "answered", "host", "dropped")} == {
        "frames": 24, "forwarded": 20, "answered": 1, "host": 1, "dropped": {"no_service": 2},
    }  # fmt: skip
    vs1 = told["services"]["vs1"]
    assert (vs1["packets"], vs1["bytes"]) == (20, 800)
    assert set(vs1["servers"]) == {f"{WEB1}:80", f"{WEB2}:8080"}
    assert sum(s["packets"] for s in vs1["servers"].values()) == 20


def test_the_capture_holds_what_left_in_order(folder: Path) -> None:
    summary(folder)
    out = [bytes(packet) for packet in rdpcap(str(folder / "out.pcap"))]
    assert [sent[14:] for sent in out[:20]] == [sent[14:] for sent in SENT[:20]]
    assert {sent[:6] for sent in out[:20]} == {mac(0x11), mac(0x12)}
    assert {sent[6:12] for sent in out[:20]} == {ETH0.mac}
    assert out[20:] == [arp_reply(VIP).frames[0]]


SECOND_SERVICE = dataclasses.replace(SERVICE, virtualservice="vs2", uuid="virtualservice-2", port=81, port_end=89)


def agreed(folder: Path) -> Any:
    """The summary, which all drivers give; what leaves is the same, too."""
    told = summary(folder, "--driver", REFERENCE)
    decided = rdpcap(str(folder / "out.pcap"))
    for driver in NAMES:
        assert summary(folder, "--driver", driver) == told
        tried = rdpcap(str(folder / "out.pcap"))
        assert [(bytes(p), p.time) for p in tried] == [(bytes(p), p.time) for p in decided]
    return told


def test_the_packet_table_on_every_driver(folder: Path) -> None:
    sent = [f for row in CASES for f in (*row.before, row.frame) if len(f) < 3000]
    wrpcap(str(folder / "in.pcap"), [Ether(f) for f in sent])
    told = agreed(folder)
    assert told["frames"] == len(sent)
    assert min(told["forwarded"], told["answered"], told["host"]) >= 3
    assert {"malformed", "bad_source", "looped", "fragment_unknown", "no_service"} <= told["dropped"].keys()


def test_fragments_in_the_time_of_the_capture_on_every_driver(folder: Path) -> None:
    first, second = (Ether(frame(piece)) for piece in fragment(tcp(data=bytes(1000)), 800))
    packets = [first.copy(), second.copy(), second.copy()]
    for packet, at in zip(packets, (1000, 1029, 1031), strict=True):
        packet.time = at
    wrpcap(str(folder / "in.pcap"), packets)
    told = agreed(folder)
    assert (told["forwarded"], told["dropped"]) == (2, {"fragment_unknown": 1})


def test_services_of_one_pool_are_counted_apart_on_every_driver(folder: Path) -> None:
    services = {service.key: service for service in (SERVICE, SECOND_SERVICE)}
    file.save(plan.Plan(1, services, plan.Common()), folder / "plan.json")
    wrpcap(str(folder / "in.pcap"), [Ether(frame(tcp(port, sport=n))) for n in range(50) for port in (80, 81, 82)])
    services = agreed(folder)["services"]
    for name, packets in (("vs1", 50), ("vs2", 100)):
        assert services[name]["packets"] == packets
        assert sum(s["packets"] for s in services[name]["servers"].values()) == packets


def test_layer_3_on_every_driver(folder: Path) -> None:
    far = dataclasses.replace(SERVICE, mode=plan.L3_GRE)
    file.save(plan.Plan(1, {far.key: far}, plan.Common()), folder / "plan.json")
    sent = [tcp(sport=n, data=bytes(size), flags=df) for n, (size, df) in enumerate(LARGE)]
    wrpcap(str(folder / "in.pcap"), [Ether(frame(packet)) for packet in sent])
    told = agreed(folder)
    assert (told["forwarded"], told["answered"]) == (5, 1)
    assert len(rdpcap(str(folder / "out.pcap"))) == 7


LARGE = ((0, 0), (0, "DF"), (1436, 0), (1436, "DF"), (1437, 0), (1437, "DF"))
"""Bytes of data and flags: GRE leaves room for 1,476 of an IP packet."""


def test_a_frame_too_large_to_be_tried_is_named_and_the_others_are_decided(folder: Path) -> None:
    wrpcap(str(folder / "in.pcap"), [Ether(frame(tcp()) + bytes(size)) for size in (0, 80_000, 0)])
    done = replay(folder, "--neighbours", "net.json", "--driver", "xdp")
    assert done.returncode == 1
    assert "frame 2 has 80054 bytes" in done.stderr
    told = json.loads(done.stdout)
    assert (told["frames"], told["forwarded"], told["host"]) == (3, 2, 0)
    assert told["left_out"] == [{"frame": 2, "bytes": 80054}]
    assert "--driver pcap" in done.stderr
    assert "Traceback" not in done.stderr


def test_times_of_the_frames_are_kept(folder: Path) -> None:
    packets = [Ether(frame(tcp(sport=n))) for n in (1, 2)]
    packets[0].time, packets[1].time = 1000.25, 1001.5
    wrpcap(str(folder / "in.pcap"), packets)
    summary(folder)
    assert [float(packet.time) for packet in rdpcap(str(folder / "out.pcap"))] == [1000.25, 1001.5]


def pcap(*records: tuple[bytes, int], link: int = 1) -> bytes:
    """A capture of frames, with their length on the wire."""
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, link)
    return head + b"".join(struct.pack("<IIII", 5, 6, len(f), length) + f for f, length in records)


def pcapng(high: int, low: int, sent: bytes, options: bytes = b"") -> bytes:
    """A section, an interface, a frame."""

    def block(kind: int, body: bytes) -> bytes:
        size = struct.pack("<I", len(body) + 12)
        return struct.pack("<I", kind) + size + body + size

    section = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    packet = struct.pack("<IIIII", 0, high, low, len(sent), len(sent)) + sent + bytes(-len(sent) % 4)
    return section + block(1, struct.pack("<HHI", 1, 0, 0) + options) + block(6, packet)


def test_a_frame_above_65535_bytes_is_read_whole(folder: Path) -> None:
    sent = frame(tcp()) + bytes(70_000)
    (folder / "in.pcap").write_bytes(pcap((sent, len(sent)), (SENT[0], len(SENT[0]))))
    assert summary(folder)["forwarded"] == 2


@every_driver
def test_frames_whose_end_was_not_captured_are_decided_and_counted_apart(folder: Path, driver: str) -> None:
    sent = frame(tcp(data=bytes(1000)))
    (folder / "in.pcap").write_bytes(pcap((sent[:96], len(sent)), (sent, len(sent))))
    told = summary(folder, "--driver", driver)
    assert (told["forwarded"], told["dropped"], told["cut"]) == (2, {}, 1)
    assert [len(bytes(packet)) for packet in rdpcap(str(folder / "out.pcap"))] == [len(sent)] * 2


def test_headers_whose_checksum_a_card_fills_in_are_counted_apart(folder: Path) -> None:
    sent = bytearray(SENT[0])
    sent[24:26] = b"\0\0"
    (folder / "in.pcap").write_bytes(pcap((bytes(sent), len(sent)), (SENT[0], len(SENT[0]))))
    told = summary(folder)
    assert (told["forwarded"], told["dropped"], told["unfilled_checksums"]) == (1, {"malformed": 1}, 1)


@pytest.mark.parametrize("word", [1, 0x30000001, 0x24000001])
def test_a_link_type_with_bits_about_the_checksum_is_ethernet(folder: Path, word: int) -> None:
    sent = SENT[0] + b"\1\2\3\4" * (word == 0x24000001)
    (folder / "in.pcap").write_bytes(pcap((sent, len(sent)), link=word))
    assert summary(folder)["forwarded"] == 1


@pytest.mark.parametrize(
    ("high", "low", "options", "at"),
    [
        (0, 3_000_000, b"", 3.0),
        (1, 0, b"", 4294.967296),
        (0, 3_500, struct.pack("<HHB3x", 9, 1, 3), 3.5),
        (0, 7 << 10, struct.pack("<HHB3x", 9, 1, 0x8A), 7.0),
        (0, 0, struct.pack("<HHq", 14, 8, 100), 100.0),
        (0xFFFFFFFF, 0xFFFFFFFF, struct.pack("<HHB3x", 9, 1, 0), 4294967295.999999),
    ],
)
def test_times_of_pcapng_are_kept(folder: Path, high: int, low: int, options: bytes, at: float) -> None:
    (folder / "in.pcap").write_bytes(pcapng(high, low, SENT[0], options))
    summary(folder)
    assert [float(packet.time) for packet in rdpcap(str(folder / "out.pcap"))] == [pytest.approx(at, abs=1e-5)]


def test_a_capture_that_ends_in_the_middle_is_told_with_the_frame(folder: Path) -> None:
    (folder / "in.pcap").write_bytes(pcap(*[(sent, len(sent)) for sent in SENT[:3]])[:-5])
    done = replay(folder, "--neighbours", "net.json")
    assert done.returncode == 1
    assert "the file ends in the middle, at frame 3" in done.stderr
    assert "Traceback" not in done.stderr


def test_pcapng_is_read_too(folder: Path) -> None:
    wrpcapng(str(folder / "in.pcapng"), [Ether(sent) for sent in SENT])
    assert summary(folder, source="in.pcapng")["forwarded"] == 20


def test_a_reader_that_leaves_is_no_fault(folder: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            command("--neighbours", "net.json"), cwd=folder, stdout=writing, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


def test_what_is_missing_is_named(folder: Path) -> None:
    done = replay(folder)
    assert done.returncode == 1
    assert "--neighbours" in done.stderr
    assert WEB2 in done.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"interfaces": []}, "at least one interface"),
        ({"neighbours": NEIGHBOURS["neighbours"][:1]}, WEB2),
        ({"neighbours": [{"ip": WEB1, "mac": "02", "interface": "eth0"}]}, "MAC address"),
        ({"neighbours": [{"ip": WEB1, "mac": "02:zz", "interface": "eth0"}]}, "'02:zz' is not a MAC address"),
        ({"neighbours": [{"ip": WEB1, "mac": mac(1).hex(":"), "interface": "eth9"}]}, "eth9"),
        ({"neighbours": [{"ip": "10.0.0", "mac": mac(1).hex(":")}]}, "interface"),
    ],
)
def test_a_wrong_neighbours_file_is_refused(folder: Path, change: dict[str, Any], words: str) -> None:
    (folder / "net.json").write_text(json.dumps({**NEIGHBOURS, **change}), "utf-8")
    done = replay(folder, "--neighbours", "net.json")
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "out.pcap").exists()


@pytest.mark.parametrize("content", [b"", b"no capture", b"\xd4\xc3\xb2\xa1"])
def test_a_file_that_is_no_capture_is_refused(folder: Path, content: bytes) -> None:
    (folder / "in.pcap").write_bytes(content)
    done = replay(folder, "--neighbours", "net.json")
    assert done.returncode == 1
    assert "in.pcap" in done.stderr
    assert "Traceback" not in done.stderr


def test_other_link_types_are_refused(folder: Path) -> None:
    wrpcap(str(folder / "in.pcap"), [Ether(SENT[0])], linktype=113)
    done = replay(folder, "--neighbours", "net.json")
    assert done.returncode == 1
    assert "Ethernet" in done.stderr


def test_the_capture_itself_is_never_written_over(folder: Path) -> None:
    before = (folder / "in.pcap").read_bytes()
    (folder / "out.pcap").symlink_to("in.pcap")
    done = replay(folder, "--neighbours", "net.json")
    assert (done.returncode, (folder / "in.pcap").read_bytes()) == (1, before)
    assert "out.pcap is the capture itself" in done.stderr
    assert replay(folder, "--neighbours", "net.json", source="nosuch.pcap").returncode == 1
    assert (folder / "in.pcap").read_bytes() == before
