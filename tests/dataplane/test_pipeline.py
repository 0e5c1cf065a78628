"""Values made ahead by threads come whole, in order, and never all at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from dataplane.runtime import pipeline


@pytest.mark.parametrize("number", [0, 1, 2, 7, 8, 9, 64, 100])
def test_everything_comes_in_order(number: int) -> None:
    with ThreadPoolExecutor(2) as executor:
        found = list(pipeline.batches(executor, str, range(number), 8))
    assert [one for batch in found for one in batch] == [str(n) for n in range(number)]
    assert all(1 <= len(batch) <= 8 for batch in found)


def test_no_more_is_made_than_some_batches_ahead() -> None:
    made: list[int] = []
    with ThreadPoolExecutor(2) as executor:
        batches = pipeline.batches(executor, made.append, range(1000), 8)
        next(batches)
        executor.submit(threading.Event().is_set).result()
        assert len(made) <= (pipeline.BATCHES + 1) * 8
        for _ in batches:
            pass
    assert sorted(made) == list(range(1000))


def test_what_is_wrong_with_one_is_told() -> None:
    with ThreadPoolExecutor(2) as executor, pytest.raises(ZeroDivisionError):
        list(pipeline.batches(executor, (1).__truediv__, range(3), 2))
