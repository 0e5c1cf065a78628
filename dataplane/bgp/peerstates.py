"""What BIRD tells of its peers, and what follows from it for an operator. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from dataplane import plan
from dataplane.bgp import birdconfig
from dataplane.bgp.birdcontrol import Line

ESTABLISHED, SHUTDOWN, ELSEWHERE = "established", "shutdown", "not here"
"""States of a peer besides BIRD's other words for them (RFC 4271 section 8.2.2): its session is up; it is switched off;
no interface of the engine is in its subnet."""
_HEAD, _DETAILS, _BFD = 1002, 1006, 1020


@dataclass(frozen=True, slots=True)
class PeerState:
    """What is known about the session with a peer."""

    state: str  # ESTABLISHED, or another word of BGP's states
    since: float = 0.0  # seconds since the epoch
    error: str = ""  # what ended the last session, or keeps one from beginning
    prefixes: int = 0  # prefixes that the peer is told
    bfd: str = ""  # BFD's word for the peer; "" where BFD does not watch it


def parse(protocols: Iterable[Line], bfd: Iterable[Line] = ()) -> dict[str, PeerState]:
    """States by BIRD's names for the peers. protocols: its answer to `show protocols all`; bfd: that to `show bfd
    sessions`."""
    watched = _watched(bfd)
    found: dict[str, PeerState] = {}
    name = ""
    for code, text in protocols:
        words = text.split()
        if code == _HEAD:
            name = words[0] if words[1:2] == ["BGP"] else ""
            if name:  # a session that cannot begin has its error here alone
                info = " ".join(words[6:])
                found[name] = PeerState("idle", _time(words[4:6]), info if info.startswith("Error: ") else "")
        elif code == _DETAILS and name:
            field, _, value = (part.strip() for part in text.partition(":"))
            before = found[name]
            if field == "BGP state":
                found[name] = replace(before, state=value.lower())
            elif field == "Last error":
                found[name] = replace(before, error=value)
            elif field == "Neighbor address":
                found[name] = replace(before, bfd=watched.get(value, ""))
            elif field == "Routes":
                told = [part.split()[0] for part in value.split(",") if part.strip().endswith(" exported")]
                found[name] = replace(before, prefixes=int(told[0]) if told else 0)
    return found


def _watched(lines: Iterable[Line]) -> dict[str, str]:
    """BFD's state by address."""
    rows = (text.split() for code, text in lines if code == _BFD)
    return {row[0]: row[2].lower() for row in rows if len(row) > 4 and row[0].count(".") == 3}


def _time(words: Sequence[str]) -> float:
    """Local time as BIRD writes it, with microseconds: a session may be lost and begin again within one look."""
    with suppress(ValueError, OverflowError):
        return datetime.fromisoformat(" ".join(words)).timestamp()
    return 0.0


def of_peers(
    peers: Iterable[plan.Peer], here: Iterable[plan.Peer], told: Mapping[str, PeerState]
) -> dict[plan.Peer, PeerState]:
    """The state of every peer of the plan. here: the peers of this engine; told: the states from BIRD, by its names."""
    present = set(here)
    return {
        peer: PeerState(ELSEWHERE)
        if peer not in present
        else PeerState(SHUTDOWN)
        if peer.shutdown
        else told.get(birdconfig.name(peer), PeerState("idle"))
        for peer in peers
    }
