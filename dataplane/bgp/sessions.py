"""Follows the sessions with the peers, and tells when one is established, lost, or lost again and again."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dataplane import plan
from dataplane.bgp import tcpsignatures
from dataplane.bgp.peerstates import ELSEWHERE, ESTABLISHED, SHUTDOWN, PeerState, of_peers
from dataplane.bgp.tcpsignatures import Dropped
from dataplane.events import kinds
from dataplane.events.model import Subject, Tell

LATELY = 300.0
"""Seconds for which a loss is remembered."""
FLAPPING = 3
"""How many losses in that time make a peer that flaps."""
_SAME = 0.1
"""Seconds: two beginnings that are closer than this are of one session. BIRD reckons a session's beginning from two
clocks, read one after the other, so it differs a little each time."""
_NO_PORT = "Error: No listening socket"
"""BIRD's message when it may not use a port 179 that is free; the keeper reports one that is taken."""
_WAITING = {
    "connect": "it does not answer",
    "active": "it does not answer, or refuses the connection",
    "opensent": "it takes the connection and says nothing",
}
"""What a state means if BIRD gives no error."""


@dataclass(slots=True)
class _Session:
    """What is remembered about one session."""

    state: PeerState = PeerState("idle")
    begun: float = 0.0  # monotonic, of the session that is established
    losses: deque[float] = field(default_factory=lambda: deque(maxlen=100))  # monotonic
    signatures: str = ""  # what is wrong with the segments' signatures, since it was lost or the peer was changed
    peer: plan.Peer | None = None  # as it was last configured
    flaps: bool = False  # that was told


class Sessions:
    """Follows the sessions. tell: called with events; dropped: reads the kernel's counters; clock: monotonic, in
    seconds; wall: seconds since the epoch."""

    def __init__(
        self,
        tell: Tell,
        dropped: Callable[[], Dropped] = tcpsignatures.dropped,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._tell, self._dropped, self._clock, self._wall = tell, dropped, clock, wall
        self._before = dropped()
        self._known: dict[str, _Session] = {}

    def take(self, peers: Iterable[plan.Peer], here: Iterable[plan.Peer], told: Mapping[str, PeerState]) -> None:
        """Take in the plan's peers, the peers of this engine, and what BIRD says about them now."""
        states = of_peers(peers, here, told)
        for gone in self._known.keys() - {peer.address for peer in states}:
            del self._known[gone]
        now = self._dropped()
        for peer, state in states.items():
            session = self._known.setdefault(peer.address, _Session())
            before, session.state = session.state, state
            signatures = tcpsignatures.words(_about(peer, self._before), _about(peer, now))
            if session.peer != peer:  # what was counted is about the former secret
                session.peer, session.signatures, signatures = peer, "", ""
            self._follow(peer, session, before, signatures)
        self._before = now

    def forget(self) -> None:
        """Note that no BIRD runs, so no session is established."""
        for session in self._known.values():
            session.state = PeerState("idle")

    def is_established(self, peer: plan.Peer) -> bool:
        """Whether a peer hears what it is told."""
        return self._of(peer).state.state == ESTABLISHED

    def words(self, peer: plan.Peer) -> str:
        """What a peer's state is and why, for people."""
        session = self._of(peer)
        reason = self._reason(session)
        return f"peer {peer.address} is {session.state.state}{f': {reason}' if reason else ''}"

    def report(self, peers: Sequence[plan.Peer]) -> list[dict[str, Any]]:
        """The sessions with the peers of the plan, as an engine's report tells them."""
        return [self._told(peer, self._of(peer)) for peer in peers]

    def _told(self, peer: plan.Peer, session: _Session) -> dict[str, Any]:
        state = session.state
        return {
            "address": peer.address,
            "label": peer.label,
            "local_as": peer.local_as,
            "remote_as": peer.remote_as,
            "state": state.state,
            "since": state.since or None,
            "prefixes": state.prefixes,
            "bfd": state.bfd,
            "lost": len(self._lately(session)),
            "reason": self._reason(session),
        }

    def _of(self, peer: plan.Peer) -> _Session:
        return self._known.get(peer.address) or _Session()

    def _lately(self, session: _Session) -> deque[float]:
        while session.losses and session.losses[0] < self._clock() - LATELY:
            session.losses.popleft()
        return session.losses

    def _reason(self, session: _Session) -> str:
        state = session.state
        if state.state == ELSEWHERE:
            return "no interface of this engine is in its subnet"
        if state.state == SHUTDOWN:
            return "shutdown is set"
        words = []
        if state.state != ESTABLISHED:
            words.append(session.signatures or state.error or _WAITING.get(state.state, ""))
            words.append("BIRD lacks the capability NET_BIND_SERVICE" if state.error == _NO_PORT else "")
        if session.flaps:
            words.append(f"it flaps: lost {len(session.losses)} times in {LATELY / 60:.0f} minutes")
        return "; ".join(filter(None, words))

    def _follow(self, peer: plan.Peer, session: _Session, before: PeerState, signatures: str) -> None:
        title, state = f"BGP peer {peer.address} (AS {peer.remote_as})", session.state
        about = Subject("peer", peer.address)
        was, is_ = before.state == ESTABLISHED, state.state == ESTABLISHED
        begun = self._clock() - (self._wall() - state.since)  # by a clock that nobody sets
        another = was and is_ and abs(begun - session.begun) > _SAME
        if is_:
            session.begun = begun
        if was and (not is_ or another):
            session.losses.append(self._clock())
            self._tell(kinds.PEER_LOST, about, f"{title} is lost: {state.error or 'its session ended'}")
        flaps = len(self._lately(session)) >= FLAPPING
        if flaps and not session.flaps:
            text = f"{title} flaps: lost {len(session.losses)} times in {LATELY / 60:.0f} minutes"
            self._tell(kinds.PEER_FLAPS, about, text)
        session.flaps = flaps
        if is_:
            session.signatures = ""
            if not was or another:
                self._tell(kinds.PEER_UP, about, f"{title} is established")
        elif signatures and signatures != session.signatures and state.state not in (ELSEWHERE, SHUTDOWN):
            session.signatures = signatures
            self._tell(kinds.PEER_SIGNATURES, about, f"{title}: {signatures}")


def _about(peer: plan.Peer, dropped: Dropped) -> Dropped:
    """The part of the kernel's counts that can be about a peer; the kernel counts for all peers together."""
    if peer.secret:
        return dropped._replace(unexpected=0)
    return Dropped(0, dropped.unexpected, 0)
