"""`show virtualservice NAME flow CLIENT:PORT`: what is asked of engines, and what is shown of their answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from avi_shell.views import flow
from avi_shell.views.gathering import Engines, Reports
from grammar.errors import BadValue
from grammar.lexer import Word

ONE: dict[str, Any] = {
    "vip": "10.0.0.100",
    "protocol": "tcp",
    "port": 80,
    "slots": 65537,
    "slot": 17,
    "phase": "stable",
    "owner": "10.0.0.11",
    "former": None,
    "remembered": None,
    "remembered_server": None,
    "server": "10.0.0.11",
    "server_port": 80,
    "mac": "02:00:00:00:00:11",
    "egress": "eth0",
    "verdict": "forwarded",
    "reason": "",
    "by": "the program",
}


class Answering(Engines):
    """Engines that were asked already."""

    def __init__(self, *flows: dict[str, Any], silent: dict[str, str] | None = None) -> None:
        self.directory, self.asked = Path("/state"), dict[str, Any]()
        self._flows, self._silent = flows, silent or {}

    def answers(self, request: str, only: str = "", seconds: float = 0.0, **arguments: Any) -> Reports:
        self.asked = {"request": request, **arguments}
        made = Reports([{"name": "se-1", "flows": list(self._flows)}] if self._flows else [])
        made.silent = self._silent
        return made


def shown(*flows: dict[str, Any], **others: Any) -> str:
    parts, _ = flow.flow(Answering(*flows, **others), {"uuid": "virtualservice-1"}, "192.0.2.7", 40000)
    return "\n".join(" | ".join(map(" ".join, part.rows)) if hasattr(part, "rows") else str(part) for part in parts)


def test_the_engines_are_asked_about_that_client() -> None:
    engines = Answering(ONE)
    _, data = flow.flow(engines, {"uuid": "virtualservice-1"}, "192.0.2.7", 40000)
    assert engines.asked == {
        "request": "flow", "virtualservice": "virtualservice-1", "client": "192.0.2.7", "port": 40000
    }  # fmt: skip
    assert data == [{"service_engine": "se-1", **ONE}]


def test_of_a_stable_slot_the_server_is_enough() -> None:
    assert shown(ONE) == ("se-1 10.0.0.100:80 tcp 10.0.0.11:80 02:00:00:00:00:11 eth0 17 of 65537 stable forwarded")


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        (
            {"phase": "transition", "former": "10.0.0.12", "server": "10.0.0.12"},
            "changed its server lately, from 10.0.0.12 to 10.0.0.11: new connections go to 10.0.0.11",
        ),
        (
            {"phase": "transition", "former": "10.0.0.12", "server": "10.0.0.12"},
            "nothing is known of this flow: its next packet goes to 10.0.0.12 unless it is a SYN",
        ),
        (
            {"phase": "tracked", "remembered": "former", "remembered_server": "10.0.0.12", "server": "10.0.0.12"},
            "remembered as a connection of before the change, with 10.0.0.12; it goes to 10.0.0.12",
        ),
        (
            {"phase": "transition", "remembered": "begun", "remembered_server": "10.0.0.11"},
            "remembered as a connection begun since, with 10.0.0.11",
        ),
        (
            {"earlier": {"server": "10.0.0.12", "until": 0.0, "now": "removed", "reason": ""}},
            "the slot was that of 10.0.0.12. It was removed from the pool. Its connections come to 10.0.0.11 now",
        ),
        (
            {"earlier": {"server": "10.0.0.12", "until": 0.0, "now": "down", "reason": "no answer"}},
            "the slot was that of 10.0.0.12. It is down: no answer. Its connections come to 10.0.0.11 now",
        ),
        (
            {"earlier": {"server": "10.0.0.12", "until": 0.0, "now": "down", "reason": "VIP missing?"}},
            "It is down: VIP missing? Its connections",
        ),
        (
            {"verdict": "dropped", "reason": "no_server", "server": None, "mac": None, "egress": None},
            "the packet is dropped (no_server); help operating says what that means",
        ),
    ],
)
def test_what_differs_is_explained(facts: dict[str, Any], says: str) -> None:
    assert says in shown(ONE | facts)


def test_an_engine_that_is_silent_is_named_and_none_at_all_too() -> None:
    silent = {"se-2": "Service engine se-2 does not answer within 5 s"}
    assert "se-2 does not answer within 5 s: what it forwards is unknown" in shown(ONE, silent=silent)
    assert "No service engine runs. Start one: avi-se run --state /state --interface IF" in shown()


@pytest.mark.parametrize("typed", ["192.0.2.7", "192.0.2.7:", "192.0.2.7:65536", "host:80", "192.0.2.300:80", ":80"])
def test_what_is_no_client_is_refused(typed: str) -> None:
    with pytest.raises(BadValue, match="is no client"):
        flow.read_client(Word(typed, 0))
