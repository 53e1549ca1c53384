"""How many units a `Limit` lets start within any time, and how they are spaced."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext, suppress
from fractions import Fraction
from random import Random
from typing import Any

import pytest

from antflow import Limit, Pipeline, current_limits
from antflow.testing import Clock
from tests.helpers.attempts import Attempts, run_limited, worst_window
from tests.helpers.runs import now, only_error, stage, stats_of
from tests.helpers.simulated import simulated


@pytest.mark.parametrize(
    ("fields", "times"),
    [
        ({"rate": 2}, [0, 0.5, 1, 1.5, 2]),
        ({"rate": 2, "per": 8}, [0, 4, 8, 12]),
        ({"rate": 4, "per": 8, "burst": 2}, [0, 0, 2, 4, 8, 8, 10, 12]),
        ({"rate": 4, "burst": 4, "per": 8}, [0, 0, 0, 0, 8, 8, 8, 8, 16]),
        ({"rate": 4, "burst": 100, "per": 8}, [0, 0, 0, 0, 8, 8, 8, 8, 16]),
        ({"rate": 2, "burst": 0.5}, [0, 0.5, 1]),
        ({"rate": 1.5, "burst": 1.5, "per": 12}, [0, 12, 24]),
        ({"rate": 2, "concurrency": 5}, [0, 0.5, 1]),
    ],
    ids=str,
)
@pytest.mark.parametrize("workers", [1, 8])
@simulated(tick=0.0)
async def test_a_burst_starts_at_once_and_the_rest_is_evenly_spaced(
    fields: dict[str, Any], times: list[float], workers: int
) -> None:
    limit = Limit(**fields)
    assert (await run_limited(range(len(times)), limit, workers=workers)).times == times


@pytest.mark.parametrize(
    ("fields", "costs", "times"),
    [
        ({"rate": 4}, [1, 2, 1, 4, 1], [0, 0.25, 0.75, 1.75, 2.75]),
        ({"rate": 4, "burst": 4}, [4, 1, 2], [0, 1, 1]),
        ({"rate": 4, "burst": 2}, [3, 3], [0, 1]),  # a cost above the burst waits for the spacing
        ({"rate": 4, "burst": 4}, [2, 3], [0, 1]),  # though the window has room for 2 more
        ({"rate": 2}, [0, 0, 0, 1, 2], [0, 0, 0, 0, 1]),
        ({"rate": 0.5, "per": 2}, [0.25, 0.25, 0.5], [0, 0, 2]),
        ({"rate": 4}, [Fraction(1), Fraction(2), 1, 4], [0, 0.25, 0.75, 1.75]),  # as of numpy
    ],
    ids=str,
)
@simulated(tick=0.0)
async def test_an_item_takes_its_cost_of_the_rate(
    fields: dict[str, Any], costs: list[float], times: list[float]
) -> None:
    limit = Limit(**fields, cost=lambda item: item[1])
    assert (await run_limited(enumerate(costs), limit)).times == times


@simulated(tick=0.0)
async def test_all_limits_of_a_stage_are_taken_at_once() -> None:
    requests, tokens = Limit(rate=2, burst=2), Limit(rate=4, burst=4, cost=lambda value: value)
    task = await run_limited([4, 1, 1, 1, 1], requests, tokens)
    assert task.starts == [(0, 4), (1, 1), (1, 1), (2, 1), (2, 1)]
    # What waits for the tokens has taken no request.
    assert tokens.stats().available == 2


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("burst", [None, 3, 50])
@simulated(tick=0.0)
async def test_no_window_has_more_units_than_the_rate(burst: float | None, seed: int) -> None:
    draw, starts = Random(seed), list[tuple[float, float]]()
    limit = Limit(rate=20, per=3, burst=burst, cost=lambda value: value)

    async def task(units: float) -> None:
        starts.append((now(), units))
        await asyncio.sleep(draw.choice((0, 0.1, 2)))

    pipeline = Pipeline([stage(task, workers=9, limits=[limit])])
    for _ in range(3):  # with breaks, after which a burst starts again
        await pipeline.run([draw.choice((1, 1, 2, 5, 0.25, 20)) for _ in range(40)])
        await asyncio.sleep(draw.choice((0, 1, 4)))
    assert len(starts) == 120
    assert worst_window(starts, 3) <= 20 * (1 + 1e-9)


@simulated(tick=0.0)
async def test_a_window_holds_also_where_its_log_is_merged() -> None:
    limit = Limit(rate=3000, per=1, burst=3000)
    task = await run_limited(range(7000), limit, task=Attempts(0.0003))
    assert worst_window([(time, 1) for time in task.times], 1) <= 3000
    assert max(task.times) < 2.01  # merged entries expire at most a thousandth later


@simulated(tick=0.0)
async def test_the_next_run_starts_no_more_than_the_rate_allows() -> None:
    task, limit = Attempts(), Limit(rate=2, per=10, burst=2)
    pipeline = Pipeline([stage(task, limits=[limit])])
    await pipeline.run([1, 2])
    await asyncio.sleep(1)
    await pipeline.run([3])
    await Pipeline([stage(task, limits=[limit])]).run([4])
    assert task.starts == [(0, 1), (0, 2), (10, 3), (10, 4)]


@simulated(tick=0.0)
async def test_each_attempt_counts_and_a_retry_holds_nothing_while_it_is_parked() -> None:
    def fail_once(value: int) -> None:
        if task.values.count(value) == 1:
            raise ValueError

    task, limit = Attempts(1, fail_once), Limit(rate=10, concurrency=1)
    await run_limited([1, 2], limit, task=task, task_attempts=2, task_wait_seconds=5)
    assert task.starts == [(0, 1), (1, 2), (6, 1), (7, 2)]
    assert limit.stats().in_use == 0


@simulated(tick=0.0)
async def test_an_item_that_resumes_takes_the_limits_again_and_its_further_tasks_do_not() -> None:
    def fail_once(value: int) -> None:
        if second.values.count(value) == 1:
            raise ValueError

    first, second = Attempts(), Attempts(0, fail_once)
    limit = Limit(rate=1, per=4)
    fields = {"limits": [limit], "task_attempts": 2, "task_wait_seconds": 0}
    await Pipeline([stage(first, second, **fields)]).run([1, 2])
    assert (first.times, second.starts) == ([0, 8], [(0, 1), (4, 1), (8, 2), (12, 2)])


@pytest.mark.parametrize("key", [None, lambda value: "all"], ids=["no keys", "a key"])
@simulated(tick=0.0)
async def test_a_skipped_item_gives_its_units_back(key: Any) -> None:
    task, limit = Attempts(), Limit(rate=1, per=10, key=key)
    await run_limited(range(20), limit, task=task, skip_if=lambda value: value % 10 != 0)
    assert task.starts == [(0, 0), (10, 10)]


@pytest.mark.parametrize("late", ["in the first task", "between two tasks", "in the second"])
@simulated(tick=0.0)
async def test_an_item_that_times_out_gives_back_nothing_once_a_task_was_called(late: str) -> None:
    times: list[float] = []

    async def first(value: int) -> int:
        times.append(now())
        with suppress(asyncio.CancelledError) if late == "between two tasks" else nullcontext():
            await asyncio.sleep(0 if late == "in the second" else 5)
        return value

    fields: dict[str, Any] = {"limits": [Limit(rate=1, per=4)], "item_timeout": 1.0}
    pipeline = Pipeline([stage(first, Attempts(5), **fields)])
    await pipeline.run([1, 2])
    assert (times, len(pipeline.failures)) == ([0, 4], 2)


@simulated(tick=0.0)
async def test_an_item_that_times_out_before_its_attempt_gives_its_units_back() -> None:
    def fail(value: int) -> None:
        if value < 2:
            raise ValueError

    task, limit = Attempts(0, fail), Limit(rate=1, per=4)
    fields = {"task_attempts": 2, "item_timeout": 1.0, "task_wait_seconds": 0.5}
    await run_limited([1, 2], limit, task=task, **fields)
    # The second attempt at 1 may start at 8, when its time is over.
    assert task.starts == [(0, 1), (4, 2)]
    assert limit.stats().available in (0, 1)


@pytest.mark.parametrize(
    ("used", "times"),
    [(1, [0, 1, 2, 3]), (3, [0, 3, 6, 9]), (0, [0, 0, 0, 0]), (0.5, [0, 0.5, 1, 1.5])],
)
@simulated(tick=0.0)
async def test_a_correction_counts_what_an_attempt_has_really_used(
    used: float, times: list[float]
) -> None:
    limit = Limit(rate=4, per=4, name="tokens")
    limits = current_limits

    def correct(_value: Any) -> None:
        limits()["tokens"].correct(100)
        limit.correct(used)  # the last one counts

    assert (await run_limited(range(4), limit, task=Attempts(0, correct), workers=1)).times == times


@simulated(tick=0.0)
async def test_a_correction_above_the_rate_delays_the_next_start() -> None:
    limit = Limit(rate=4, per=4, burst=4)
    task = Attempts(1, lambda value: limit.correct(9 if value == 0 else 1))
    assert (await run_limited(range(3), limit, task=task, workers=1)).times == [0, 6, 7]


@simulated(tick=0.0)
async def test_a_correction_downwards_lets_what_waits_start_at_once() -> None:
    limit = Limit(rate=10, per=60, burst=10, cost=lambda _: 5)
    task = Attempts(2, lambda _: limit.correct(1))
    assert (await run_limited(range(4), limit, task=task)).times == [0, 0, 2, 4]


@simulated(tick=0.0)
async def test_units_may_be_as_many_as_the_bytes_of_a_day() -> None:
    limit = Limit(rate=4e12, per=86_400, burst=4e12, cost=lambda size: size, name="bytes")
    task = Attempts(act=lambda size: limit.correct(size + 1e12))
    await run_limited([1e12, 2e12, 1e10], limit, task=task, workers=1)
    assert task.times == [0, 0, 86_400]


@simulated(tick=0.0)
async def test_a_cost_that_no_window_holds_is_the_failure_of_its_item() -> None:
    limit = Limit(rate=4, cost=lambda value: value, name="tokens")
    pipeline = Pipeline([stage(Attempts(), limits=[limit], task_attempts=5)])
    await pipeline.run([1, 5, 2])
    assert [failure.value for failure in pipeline.failures] == [5]
    error, found = only_error(pipeline), stats_of(pipeline)
    assert isinstance(error, ValueError)
    assert "5 units, and limit 'tokens' allows 4 in 1 s; split the item" in str(error)
    assert (found.failed_items, found.retried_attempts) == (1, 0)
    assert (limit.stats().in_use, limit.stats().waiting) == (0, 0)


@pytest.mark.parametrize("host", ["any", None], ids=["with a key", "without"])
def test_a_cost_that_takes_long_to_compute_exceeds_no_window(host: str | None) -> None:
    clock, starts = Clock(), list[tuple[float, float]]()

    async def task(value: int) -> int:
        starts.append((clock.time(), 1.0))
        return value

    def cost(value: int) -> float:
        clock.advance(0.4 if value % 5 == 0 else 0.0)
        return 1.0

    limit = Limit(rate=3, burst=3, cost=cost, key=(lambda _: host) if host else None)
    clock.run(Pipeline([stage(task, workers=4, limits=[limit])]).run(range(30)))
    assert worst_window(starts, 1.0) <= 3
