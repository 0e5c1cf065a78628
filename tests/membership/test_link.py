"""How long etcd has answered an engine, without a break in which leases may have ended."""

from types import SimpleNamespace

import pytest

from dataplane.cluster.address import StoreAddress
from dataplane.errors import ClusterError
from dataplane.membership import link
from dataplane.membership.link import Link


def test_an_outage_that_ends_no_lease_is_no_break(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(link, "time", SimpleNamespace(monotonic=lambda: now[0], time=lambda: now[0]))
    made = Link(StoreAddress((("127.0.0.1", 1),), "c"), "engine/a", lambda value: "", lambda state: None)

    def at(second: float, *, answered: bool) -> float:
        now[0] = 100.0 + second
        made._note(None if answered else ClusterError("etcd does not answer"))
        return made.answering()

    assert at(0, answered=True) == 0
    assert at(4, answered=True) == 0  # nobody asked for four seconds: other engines' leases may have ended
    assert at(6, answered=True) == 2
    at(8, answered=False)
    assert at(8.9, answered=True) == pytest.approx(4.9)  # a leader died, another one leads
    at(11, answered=False)
    assert at(12.5, answered=True) == 0
