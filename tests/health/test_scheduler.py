"""When probes run: a real scheduler on a real event loop."""

import asyncio
import math
import resource
import statistics
import time
from collections import Counter

import pytest

from dataplane.health.scheduler import Scheduler, running_limit
from dataplane.lab.standstill import Witness


@pytest.mark.alone  # a thousand times are judged: a processor that others have makes all of them late
def test_a_thousand_checks_keep_their_times() -> None:
    """Each entry's runs are due an interval apart, spread over it; what the machine was late for is left out of it."""
    interval, seconds, count = 1.0, 4.0, 1000
    starts: dict[int, list[float]] = {}
    dues: dict[int, list[float]] = {}

    async def run() -> tuple[list[float], float, float, float]:
        schedule, loop = Scheduler(), asyncio.get_running_loop()

        def one(number: int) -> None:
            starts.setdefault(number, []).append(loop.time())
            dues.setdefault(number, []).append(loop.time() - schedule.late[-1])
            schedule.ended()

        begun, used = loop.time(), time.process_time()
        for number in range(count):
            schedule.add(lambda number=number: one(number), interval)  # type: ignore[misc]
        await asyncio.sleep(seconds)
        used = time.process_time() - used
        late = list(schedule.late)
        ran = loop.time() - begun
        schedule.close()
        return late, begun, used, ran

    with Witness() as machine:
        late, begun, used, ran = asyncio.run(run())
        stood = machine.stood(begun, begun + ran)
    assert len(starts) == count
    most, left_out = count * (ran / interval + 0.5), count * (stood / interval + 1) if stood else 0.0
    assert 0.85 * most - left_out <= sum(map(len, starts.values())) <= 1.15 * most
    # In an interval after the first second no tenth of it gets much more than its share.
    tenths = Counter(int((t - begun) * 10) for times in starts.values() for t in times if begun + 2 <= t < begun + 3)
    quick = statistics.quantiles(late, n=100)[98]
    print(f"99 % within {quick * 1000:.1f} ms, {used / seconds:.1%} of a core")
    if quick < 0.1:  # the machine was not too busy to tell
        assert max(tenths.values()) < count / 10 * 2.5
    # No drift: whatever the lateness, a run is due whole intervals after the second.
    drifts = [abs(math.remainder(times[-1] - times[1], interval)) for times in dues.values() if len(times) > 2]
    assert statistics.median(drifts) < interval / 10


def test_no_more_runs_than_allowed_and_none_forgotten() -> None:
    async def run() -> tuple[int, int]:
        schedule = Scheduler(running=3)
        now = most = done = 0

        def one() -> None:
            nonlocal now, most
            now, most = now + 1, max(most, now + 1)

        for _ in range(10):
            schedule.add(one, 3600)
        async with asyncio.timeout(45):
            while len(schedule.late) < 10:
                await asyncio.sleep(0)
        assert now == 3
        while now:
            now, done = now - 1, done + 1
            schedule.ended()
        schedule.close()
        return most, done

    assert asyncio.run(run()) == (3, 10)


def test_more_runs_than_the_process_has_files_for_are_not_begun() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (600, before[1]))
        assert running_limit(1000) == 1000
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (2024, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
