"""Calls that take more or less than one unit of their stage's rate, and how many a window sees."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from antflow import Pipeline, call_rate_has_capacity, rate_limit
from antflow.testing import Clock
from tests.helpers.runs import now, only_error, run_exactly, stage, start_with, values, workers_of
from tests.helpers.simulated import exact_time, simulated
from tests.helpers.virtual_time import others


def times_of(amounts: list[float], seed: int | None = None, **fields: Any) -> list[float]:
    """Return when calls of these amounts go on, in one run, each in a worker of its own."""
    times: list[float] = []

    async def task(amount: float) -> None:
        async with rate_limit(amount):
            times.append(now())

    async def main() -> None:
        pipeline = Pipeline([stage(task, workers=len(amounts), **fields)])
        await pipeline.run(amounts)
        assert pipeline.failures == []

    run_exactly(main, seed)
    return times


@pytest.mark.parametrize(
    ("rate", "amounts", "times"),
    [
        (4, [4, 1, 1, 2], [0, 2, 4, 8]),
        (4, [1, 1, 1, 1, 1], [0, 0, 0, 0, 2]),
        (4, [0.5] * 10, [0] * 8 + [1, 2]),
        (4, [3, 3, 3], [0, 4, 10]),
        (4, [2.5, 0.5, 1.5], [0, 0, 1]),
        (0.5, [0.25, 0.5, 0.25, 1], [0, 0, 0, 16]),
    ],
)
def test_a_call_takes_its_amount_of_the_rate(
    rate: float, amounts: list[float], times: list[float]
) -> None:
    assert times_of(amounts, call_rate=rate, call_rate_period=8) == times


@exact_time
async def test_a_small_amount_does_not_overtake_a_large_one() -> None:
    order: list[float] = []

    async def task(amount: float) -> None:
        async with rate_limit(amount):
            order.append(amount)

    pipeline = Pipeline([stage(task, workers=3, call_rate=8, call_rate_period=8)])
    await pipeline.run([8, 7, *[1] * 20])
    assert order == [8, 7, *[1] * 20]


@exact_time
async def test_nothing_has_capacity_while_another_call_waits() -> None:
    async def task(amount: float) -> bool:
        if amount:
            async with rate_limit(amount):
                return True
        await asyncio.sleep(1)  # a unit is free again, for the call that waits
        return call_rate_has_capacity()

    pipeline = Pipeline([stage(task, workers=3, call_rate=4, call_rate_period=4)])
    assert values(await pipeline.run([4, 3, 0])) == [True, True, False]


@pytest.mark.parametrize("seed", range(10))
def test_a_rate_holds_for_amounts_that_are_not_whole(seed: int) -> None:
    amounts = [0.1, 0.7, 2.3, 0.3, 1.1] * 8
    times = times_of(amounts, seed, call_rate=3, call_rate_period=10)
    assert times == sorted(times)
    assert times[-1] == pytest.approx((sum(amounts) - 3) / 3 * 10)


@pytest.mark.parametrize(("rate", "period"), [(100, 60), (7, 60), (0.3, 1)])
def test_a_rate_that_does_not_divide_evenly_ends_where_time_stands_still(
    rate: float, period: float
) -> None:
    """A rounding error of the clock must not be waited for, again and again."""

    async def task(value: int) -> None:
        async with rate_limit():
            pass

    pipeline = Pipeline([stage(task, workers=4, call_rate=rate, call_rate_period=period)])
    clock = Clock()
    clock.run(pipeline.run(range(300)))
    assert clock.time() == pytest.approx((300 - max(rate, 1)) * period / rate)


@pytest.mark.parametrize(
    ("rate", "period", "most"),
    [(100, 60, 199), (50, 60, 99), (10, 7, 95)],
)
def test_the_worst_minute_has_the_burst_and_what_follows_it(
    rate: float, period: float, most: int
) -> None:
    """These are the figures of docs/limiting-calls.md."""
    times = times_of([1] * 400, call_rate=rate, call_rate_period=period)
    assert max(sum(start <= time < start + 60 for time in times) for start in times) == most


@pytest.mark.parametrize(
    ("amount", "remedy"),
    [
        (0, "give a number above 0"),
        (-1, "give a number above 0"),
        (float("nan"), "give a number above 0"),
        ("many", "give a number above 0"),
        (True, "give a number above 0"),
        (None, "give a number above 0"),
        (5, "give 4 at most, or raise call_rate on the Stage"),
        (float("inf"), "give 4 at most, or raise call_rate on the Stage"),
    ],
)
@simulated
async def test_an_amount_that_no_bucket_can_give_is_refused(amount: Any, remedy: str) -> None:
    async def task(value: int) -> None:
        async with rate_limit(amount):
            raise AssertionError

    pipeline = Pipeline([stage(task, name="Fetch", task_attempts=1, call_rate=4)])
    await pipeline.run([0])
    error = only_error(pipeline)
    assert type(error) is ValueError
    text = f"rate_limit() in stage 'Fetch' has amount={amount!r}; {remedy}"
    assert re.fullmatch(re.escape(text), str(error))


@exact_time
async def test_a_wait_for_an_amount_is_cut_short_and_takes_nothing() -> None:
    async def task(amount: float) -> float:
        async with rate_limit(amount):
            return amount

    pipeline = Pipeline([stage(task, workers=4, call_rate=4, call_rate_period=64)])
    await start_with(pipeline, [4, 3, 2, 1])
    assert workers_of(pipeline) == [1, 0, 3, 0]
    assert values(await pipeline.shutdown()) == [3, 2, 1]
    assert not others()
    assert now() == 0
    await pipeline.run([2])
    assert now() == 32
