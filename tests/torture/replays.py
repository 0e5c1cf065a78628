"""`avi-se replay` on plans, neighbours files and captures that somebody changed: replayed, or refused in words."""

from __future__ import annotations

import contextlib
import io
import json
import random
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dataplane import __main__ as program
from dataplane import plan
from dataplane.plan import codec
from tests.dataplane.test_replay import NEIGHBOURS, SENT, SERVICE, pcap, pcapng
from tests.torture.parts import Run

VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1, 80, 65535, 65536, 1 << 40, 1 << 70, 0.5, 1e300, "", "x", "10.0.0.1", "10.0.0.0/8", "eth0"),
    *("\ud800", "\x1b[2J", "02:00:00:00:00:01", [], {}, [0], {"a": 1}, "tcp", "udp", "l3-gre", "255.255.255.255"),
)


def documents() -> tuple[Any, Any]:
    """A plan and a neighbours file."""
    former = (plan.Former(5.0, (("10.0.0.11", 1, 0),)),)
    monitors = (plan.Monitor("hm", "HEALTH_MONITOR_HTTP", codes=("HTTP_2XX",)),)
    one = replace(SERVICE, slots=251, former=former, monitors=monitors)
    two = replace(one, port=8000, port_end=8010, mode=plan.L3_IPIP, uuid="virtualservice-2", pool_uuid="pool-2")
    services = {service.key: codec.document(service) for service in (one, two)}
    routes = [{"prefix": "0.0.0.0/0", "via": "10.0.0.254", "interface": "eth0"}]
    planned = {"format": 1, "version": 1, "common": codec.document(plan.Common()), "services": services}
    return planned, {**NEIGHBOURS, "routes": routes}


def changed(chance: random.Random, value: Any) -> Any:
    """A value with something in it changed."""
    if isinstance(value, tuple):
        value = list(value)
    if not value or not isinstance(value, dict | list) or chance.random() < 0.03:
        return chance.choice(VALUES)
    at = chance.choice(list(value) if isinstance(value, dict) else range(len(value)))
    copy = value.copy()
    match chance.randrange(12):
        case 0:
            copy.pop(at)
        case 1 if isinstance(copy, list):
            copy.append(copy[at])
        case 2 if isinstance(copy, dict):
            copy[str(chance.choice(VALUES))] = copy.pop(at)
        case _:
            copy[at] = changed(chance, value[at])
    return copy


def damaged(chance: random.Random, data: bytes) -> bytes:
    """Bytes with some changed, cut, or doubled."""
    found = bytearray(data)
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(found) or 1)
        match chance.randrange(5):
            case 0:
                del found[at:]
            case 1:
                found[at:at] = found[at : at + chance.randrange(64)]
            case 2:
                del found[at : at + chance.randrange(16)]
            case 3:
                found[at : at + 4] = chance.choice((b"\xff" * 4, bytes(4), b"\0\0\0\x80", chance.randbytes(4)))
            case _:
                found[at : at + 1] = chance.randbytes(1)
    return bytes(found)


def run(run: Run) -> None:
    """One replay a step."""
    planned, around = documents()
    frames = pcap(*[(sent, len(sent) + 100 * (n == 3)) for n, sent in enumerate(SENT)])
    captures = frames, pcapng(1, 5, SENT[0]), pcapng(0, 5, SENT[-1], b"\x09\0\x01\0\x03\0\0\0")
    with TemporaryDirectory() as folder:
        place = Path(folder)
        for chance in run.steps():
            plan_, net, capture = planned, around, chance.choice(captures)
            match chance.randrange(3):
                case 0:
                    plan_ = changed(chance, planned)
                case 1:
                    net = changed(chance, around)
                case _:
                    capture = damaged(chance, capture)
            texts = json.dumps(plan_).encode(), json.dumps(net).encode()
            if chance.random() < 0.1:
                texts = damaged(chance, texts[0]), texts[1]
            (place / "plan.json").write_bytes(texts[0])
            (place / "net.json").write_bytes(texts[1])
            (place / "in.pcap").write_bytes(capture)
            run.ended("replayed" if _replayed(place) else "refused")


def _replayed(place: Path) -> bool:
    """Whether a replay was done. Raises what must not come out of it."""
    names = [str(place / name) for name in ("plan.json", "net.json", "in.pcap", "out.pcap")]
    argv = ["replay", "--plan", names[0], "--neighbours", names[1], *names[2:]]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = program.main(argv)
    assert status in (0, 1)
    assert status == 0 or err.getvalue().startswith("avi-se: "), err.getvalue()
    assert err.getvalue().isprintable() or "\x1b" not in err.getvalue(), err.getvalue()
    return status == 0
