"""When VIPs are announced again, by a clock of the test's."""

from dataplane.vip.rounds import Rounds


def test_a_round_is_due_each_time_the_period_is_over() -> None:
    rounds = Rounds()
    assert [now for now in range(100, 1801, 100) if rounds.due(600, now)] == [700, 1300]


def test_what_was_missed_is_not_made_up_for() -> None:
    rounds = Rounds()
    assert [rounds.due(10, now) for now in (0, 10, 55, 56, 65)] == [False, True, True, False, True]


def test_another_period_begins_when_it_is_told() -> None:
    rounds = Rounds()
    assert not rounds.due(600, 0)
    assert not rounds.due(300, 500)
    assert [rounds.due(300, now) for now in (799, 800)] == [False, True]


def test_without_a_period_there_is_none() -> None:
    rounds = Rounds()
    assert not any(rounds.due(0, now) for now in range(0, 10_000, 100))
    assert not rounds.due(300, 10_000)
    assert not rounds.due(0, 20_000)
