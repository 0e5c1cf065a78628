"""BIRD's files as text: BIRD takes them whatever the plan has in it, and what it tells of peers is read."""

from __future__ import annotations

import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from dataplane import plan
from dataplane.bgp import birdconfig, birdcontrol, peerstates
from dataplane.bgp.birdcontrol import Line

from .conftest import PEER, bgp

OWN = (socket.inet_aton("10.7.0.1"), socket.inet_aton("10.8.0.1"))
PEERS = (
    replace(PEER, secret="s " + "x" * 70, bfd=False, advertise=False, shutdown=True),
    replace(PEER, address="10.7.0.253", label='a "label"; };', local_as=7, multihop=255, secret="s;}#"),
    plan.Peer("10.6.0.1", 65001, 65001, subnet="10.6.0.0/24", multihop=3, hold_time=3, keepalive=1),
    plan.Peer("10.8.0.254", 4200000000, 4200000001, subnet="10.8.0.77/24", label="b", connect_timer=120),
)
ROUTES = {
    bytes((10, 99, 0, 1)): plan.Route(),
    bytes((10, 99, 0, 2)): plan.Route(('a "label"; };', "nobody's"), ("65535:65281", "0:0"), 0, 10),
    bytes((10, 99, 0, 3)): plan.Route(("nobody's",), local_preference=2**32 - 1),
}


@pytest.mark.parametrize("routes", [ROUTES, {}])
def test_bird_takes_what_is_written(routes: dict[bytes, plan.Route], tmp_path: Path) -> None:
    found = bgp(*PEERS)
    met = birdconfig.met(PEERS, OWN)
    assert met == (*PEERS[:2], PEERS[3])
    (tmp_path / birdconfig.SPEAKER).write_text(birdconfig.speaker(found, met, OWN))
    (tmp_path / birdconfig.LABELS).write_text(birdconfig.labels(found, routes))
    (tmp_path / birdconfig.ROUTES).write_text(birdconfig.routes(found, routes))
    done = subprocess.run(["bird", "-p", "-c", birdconfig.SPEAKER], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"protocol bgp {birdconfig.name(PEERS[0])} " not in (tmp_path / birdconfig.SPEAKER).read_text()


def test_answers_are_read_line_by_line() -> None:
    answer = "2002-Name Proto\n1002-peer_10_7_0_254 BGP --- up\n1006-  BGP state: x\n  y\n0000 \n"
    assert [line.code for line in birdcontrol.parse(answer)] == [2002, 1002, 1006, 1006, 0]
    assert birdcontrol.is_whole(answer.encode())
    assert not any(birdcontrol.is_whole(answer.encode()[:end]) for end in range(len(answer)))


def test_states_of_peers_are_read() -> None:
    protocols = [
        Line(1002, "vips       Static     master4    up     2026-11-29 06:53:44"),
        Line(1006, "  Channel ipv4"),
        Line(1006, "    Routes:         2 imported, 0 exported, 2 preferred"),
        Line(1002, "peer_10_7_0_254 BGP        ---        up     2026-11-29 06:53:45.250000  Established"),
        Line(1006, "  BGP state:          Established"),
        Line(1006, "    Neighbor address: 10.7.0.254"),
        Line(1006, "    Routes:         0 imported, 12 exported, 0 preferred"),
        Line(
            1002,
            "peer_10_7_0_253 BGP   ---   start  2026-11-29 06:53:45  Connect   Socket: Connection refused",
        ),
        Line(1006, "  BGP state:          Connect"),
        Line(1006, "    Last error:       Socket: Connection refused"),
    ]
    protocols.append(Line(1002, "peer_10_7_0_252 BGP  ---  down  2026-11-29 06:53:45  Error: No listening socket"))
    bfd = [Line(1020, " IP address  Interface  State  Since  Interval  Timeout")]
    bfd.append(Line(1020, " 10.7.0.254                eth0       Up         2026-11-29 06:53:45    0.500    2.500"))
    found = peerstates.parse(protocols, bfd)
    assert found.pop("peer_10_7_0_252").error == "Error: No listening socket"
    assert found.keys() == {"peer_10_7_0_254", "peer_10_7_0_253"}
    up, down = found["peer_10_7_0_254"], found["peer_10_7_0_253"]
    assert (up.state, up.prefixes, up.bfd, up.since % 1) == ("established", 12, "up", 0.25)
    assert (down.state, down.error, down.bfd) == ("connect", "Socket: Connection refused", "")
