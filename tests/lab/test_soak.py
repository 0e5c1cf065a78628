"""A few seconds of what `make soak` does for a minute."""

from tests.drivers import PREFERRED

from .soak import soak


def test_mixed_traffic_while_the_plan_changes_all_the_time() -> None:
    measured = soak(PREFERRED, 6)
    assert measured.broken == 0
    assert measured.datagram_failures == 0
    assert measured.errors == []
    assert measured.changes >= 10
    assert measured.packets > 1000
    assert measured.maps[0] == measured.maps[1]
