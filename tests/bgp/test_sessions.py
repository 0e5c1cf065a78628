"""What is told of a session with a peer as time passes."""

from dataclasses import replace

from dataplane import plan
from dataplane.bgp import birdconfig
from dataplane.bgp.peerstates import ESTABLISHED, PeerState
from dataplane.bgp.sessions import Sessions
from dataplane.bgp.tcpsignatures import Dropped
from tests import told

PEER = plan.Peer("10.0.0.1", 65001, 65000)


class Watched:
    """A peer's sessions, at a time that the test sets: of the clock, and of the day."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.now, self.day = 1000.0, 1e9
        self.kinds: list[str] = []
        self.peer, self.dropped = PEER, Dropped(0, 0, 0)
        heard = told.into(self.events, self.kinds)
        self.sessions = Sessions(heard, lambda: self.dropped, lambda: self.now, lambda: self.day)

    def look(self, state: str, since: float, later: float = 1.0) -> list[str]:
        """What a look tells, some seconds after the one before. since: of the day, as BIRD tells it."""
        self.now, self.day = self.now + later, self.day + later
        told = {birdconfig.name(PEER): PeerState(state, since)}
        self.events.clear()
        self.sessions.take([self.peer], [self.peer], told)
        return list(self.events)


def test_a_session_that_goes_on_is_none_that_was_lost() -> None:
    watched = Watched()
    since = watched.day
    assert watched.look(ESTABLISHED, since) == ["BGP peer 10.0.0.1 (AS 65000) is established"]
    for off in (0.000003, -0.000004, 0.02):  # BIRD reads two clocks to tell it
        assert watched.look(ESTABLISHED, since + off) == []
    watched.day += 3600  # somebody sets the clock: BIRD tells of another time of the day
    assert watched.look(ESTABLISHED, since + 3600) == []
    assert watched.sessions.report([PEER])[0]["lost"] == 0


def test_a_session_that_is_lost_between_two_looks_is_told() -> None:
    watched = Watched()
    watched.look(ESTABLISHED, watched.day)
    lost, again = watched.look(ESTABLISHED, watched.day + 0.5)
    assert (lost, again) == (
        "BGP peer 10.0.0.1 (AS 65000) is lost: its session ended",
        "BGP peer 10.0.0.1 (AS 65000) is established",
    )
    assert watched.look("idle", watched.day) == ["BGP peer 10.0.0.1 (AS 65000) is lost: its session ended"]
    assert watched.sessions.report([PEER])[0]["lost"] == 2
    assert watched.kinds == ["peer_up", "peer_lost", "peer_up", "peer_lost"]


def test_losses_are_forgotten_and_a_peer_that_is_quiet_flaps_no_more() -> None:
    watched = Watched()
    flapping = "BGP peer 10.0.0.1 (AS 65000) flaps: lost 3 times in 5 minutes"
    assert [flapping in watched.look(ESTABLISHED, watched.day) for _ in range(5)] == [False, False, False, True, False]
    assert watched.kinds.count("peer_flaps") == 1
    (told,) = watched.sessions.report([PEER])
    assert (told["lost"], told["reason"]) == (4, "it flaps: lost 4 times in 5 minutes")
    since = watched.day
    watched.look(ESTABLISHED, since)
    watched.look(ESTABLISHED, since, later=301.0)
    (told,) = watched.sessions.report([PEER])
    assert (told["lost"], told["reason"]) == (0, "")


def test_another_secret_is_not_blamed_for_what_the_former_one_did() -> None:
    watched = Watched()
    watched.peer = replace(PEER, secret="swordfsh")
    watched.look("active", watched.day)
    differ = "segments come that are signed with another secret: md5_secret here and there differ"
    watched.dropped = Dropped(0, 0, 3)
    assert watched.look("active", watched.day) == [f"BGP peer 10.0.0.1 (AS 65000): {differ}"]
    watched.peer, watched.dropped = (
        replace(PEER, secret="swordfish"),
        Dropped(0, 0, 4),
    )  # the last one before the change
    assert watched.look("active", watched.day) == []
    silent = "peer 10.0.0.1 is active: it does not answer, or refuses the connection"
    assert watched.sessions.words(watched.peer) == silent
    watched.dropped = Dropped(0, 0, 5)
    assert watched.look("active", watched.day) == [f"BGP peer 10.0.0.1 (AS 65000): {differ}"]
