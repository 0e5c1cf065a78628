"""A few seconds of what `make soak` does for a minute."""

import pytest

from .soak import soak


@pytest.mark.parametrize("driver", ["xdp", "pcap"])
def test_mixed_traffic_while_the_plan_changes_all_the_time(driver: str) -> None:
    measured = soak(driver, 6)
    assert measured.broken == 0
    assert measured.datagram_failures == 0
    assert measured.errors == []
    assert measured.changes >= 10
    assert measured.packets > 1000
    assert measured.maps[0] == measured.maps[1]
