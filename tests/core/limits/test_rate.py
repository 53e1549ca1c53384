"""How often `rate_limit` lets calls through, and how much they take of the rate."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from antflow import Pipeline, call_rate_has_capacity, rate_limit
from antflow.testing import Clock
from tests.helpers.limits import calls_at
from tests.helpers.runs import (
    by_feed,
    by_run,
    by_stream,
    now,
    only_error,
    run_exactly,
    same,
    stage,
    start_with,
    values,
    workers_of,
)
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import others

some_seeds = pytest.mark.parametrize("seed", [None, *range(4)])


async def times_of(amounts: list[float], **fields: Any) -> list[float]:
    """Return when calls of these amounts go on, in one run, each in a worker of its own."""
    times: list[float] = []

    async def task(amount: float) -> None:
        async with rate_limit(amount):
            times.append(now())

    pipeline = Pipeline([stage(task, **{"workers": len(amounts), **fields})])
    await pipeline.run(amounts)
    assert pipeline.failures == []
    return times


# When calls go on


@pytest.mark.parametrize("workers", [1, 4, 16])
@pytest.mark.parametrize(
    ("rate", "period", "times"),
    [
        (1, 16, [0, 16, 32, 48]),
        (4, 64, [0, 0, 0, 0, 16, 32, 48]),
        (8, 0.5, [0] * 8 + [0.0625, 0.125]),
        (0.5, 8, [0, 16, 32]),
        (0.25, 1, [0, 4, 8]),
        (0.125, 64, [0, 512, 1024]),
        (2.5, 10, [0, 0, 2, 6, 10, 14]),
        (1.5, 12, [0, 4, 12, 20]),
        (1, 60, [0, 60, 120]),
    ],
)
@simulated(tick=0.0)
async def test_the_burst_of_a_rate_is_followed_by_evenly_spaced_calls(
    rate: float, period: float, times: list[float], workers: int
) -> None:
    fields = {"call_rate": rate, "call_rate_period": period}
    if period == 60:
        del fields["call_rate_period"]  # the default
    assert await times_of([1] * len(times), workers=workers, **fields) == times


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
@simulated(tick=0.0)
async def test_a_call_takes_its_amount_of_the_rate(
    rate: float, amounts: list[float], times: list[float]
) -> None:
    assert await times_of(amounts, call_rate=rate, call_rate_period=8) == times


@simulated(tick=0.0)
async def test_a_small_amount_does_not_overtake_a_large_one() -> None:
    order: list[float] = []

    async def task(amount: float) -> None:
        async with rate_limit(amount):
            order.append(amount)

    pipeline = Pipeline([stage(task, workers=3, call_rate=8, call_rate_period=8)])
    await pipeline.run([8, 7, *[1] * 20])
    assert order == [8, 7, *[1] * 20]


@pytest.mark.parametrize("seed", range(10))
@simulated(tick=0.0)
async def test_a_rate_holds_for_amounts_that_are_not_whole(seed: int) -> None:
    amounts = [0.1, 0.7, 2.3, 0.3, 1.1] * 8
    times = await times_of(amounts, call_rate=3, call_rate_period=10)
    assert times == sorted(times)
    assert times[-1] == pytest.approx((sum(amounts) - 3) / 3 * 10)


@some_seeds
@pytest.mark.parametrize("rate", [1, 3, 0.5, 7.25])
@simulated()
async def test_no_period_sees_more_calls_than_a_leaky_bucket_lets_pass(
    rate: float, seed: int | None
) -> None:
    calls: list[float] = []

    async def task(value: int) -> int:
        await asyncio.sleep(value % 5)
        async with rate_limit():
            calls.append(now())
        return value

    fields = {"call_rate": rate, "call_rate_period": 10}
    await Pipeline([stage(task, workers=7, **fields)]).run(range(40))
    for first in range(40):
        for last in range(first, 40):
            elapsed = calls[last] - calls[first]
            assert last - first + 1 <= max(1, rate) + elapsed * rate / 10 + 1e-3


@pytest.mark.parametrize(("rate", "period", "most"), [(100, 60, 199), (50, 60, 99), (10, 7, 95)])
@simulated(tick=0.0)
async def test_the_worst_minute_has_the_burst_and_what_follows_it(
    rate: float, period: float, most: int
) -> None:
    """These are the figures of docs/limiting-calls.md."""
    times = await times_of([1] * 400, call_rate=rate, call_rate_period=period)
    assert max(sum(start <= time < start + 60 for time in times) for start in times) == most


@pytest.mark.parametrize(("rate", "period"), [(100, 60), (7, 60), (0.3, 1)])
def test_a_rate_that_does_not_divide_evenly_ends_where_time_stands_still(
    rate: float, period: float
) -> None:
    """A rounding error of the clock must not be waited for, again and again."""
    fields = {"call_rate": rate, "call_rate_period": period}
    pipeline = Pipeline([stage(calls_at([]), workers=4, **fields)])
    clock = Clock()
    clock.run(pipeline.run(range(300)))
    assert clock.time() == pytest.approx((300 - max(rate, 1)) * period / rate)


@simulated(tick=0.0)
async def test_how_long_a_call_takes_does_not_matter_to_the_rate() -> None:
    async def task(value: int) -> None:
        async with rate_limit():
            await asyncio.sleep(100)

    await Pipeline([stage(task, workers=9, call_rate=1, call_rate_period=2)]).run(range(9))
    assert now() == 8 * 2 + 100


@simulated(tick=0.0)
async def test_a_rate_that_was_not_used_for_long_allows_a_burst_again() -> None:
    calls: list[float] = []
    pipeline = Pipeline([stage(calls_at(calls), workers=9, call_rate=4, call_rate_period=64)])
    await start_with(pipeline, range(5))
    await asyncio.sleep(1024)
    await pipeline.feed(range(5))
    await pipeline.join()
    assert calls == [0, 0, 0, 0, 16, *([1024] * 4), 1024 + 16]


@simulated(tick=0.0)
async def test_each_attempt_that_calls_counts_for_the_rate() -> None:
    calls: list[float] = []

    async def task(value: int) -> None:
        async with rate_limit():
            calls.append(now())
            raise ValueError

    fields = {"task_attempts": 4, "task_wait_seconds": 2, "call_rate_period": 8}
    await Pipeline([stage(task, call_rate=1, **fields)]).run([0])
    assert calls == [0, 8, 16, 24]


# Which runs share a rate


@simulated(tick=0.0)
async def test_each_stage_has_a_rate_of_its_own() -> None:
    calls: list[float] = []
    first = stage(same, calls_at([]), name="A", workers=4, call_rate=1, call_rate_period=16)
    second = stage(calls_at(calls), name="B", workers=4, call_rate=1, call_rate_period=4)
    await Pipeline([first, second]).run(range(3))
    assert calls == [0, 16, 32]


@simulated(tick=0.0)
async def test_two_pipelines_of_one_stage_have_a_rate_each() -> None:
    calls: list[float] = []
    one = stage(calls_at(calls), call_rate=1, call_rate_period=16)
    await asyncio.gather(Pipeline([one]).run(range(2)), Pipeline([one]).run(range(2)))
    assert calls == [0, 0, 16, 16]


@pytest.mark.parametrize("first", [by_run, by_stream, by_feed])
@pytest.mark.parametrize("second", [by_run, by_stream, by_feed])
@simulated(tick=0.0)
async def test_a_second_run_has_no_second_burst(
    first: Callable[..., Awaitable[None]], second: Callable[..., Awaitable[None]]
) -> None:
    calls: list[float] = []
    pipeline = Pipeline([stage(calls_at(calls), workers=4, call_rate=4, call_rate_period=64)])
    await first(pipeline, [1, 2, 3])
    await second(pipeline, [1, 2, 3])
    assert calls == [0, 0, 0, 0, 16, 32]


def test_a_run_on_another_loop_begins_with_a_burst_of_its_own() -> None:
    calls: list[float] = []
    pipeline = Pipeline([stage(calls_at(calls), call_rate=2, call_rate_period=16)])
    for _ in range(2):
        run_exactly(lambda: pipeline.run(range(3)))
    assert calls == [0, 0, 8, 0, 0, 8]


# Waits that are given up, and amounts that are refused


@simulated(tick=0.0)
async def test_a_wait_for_a_rate_that_times_out_takes_nothing() -> None:
    calls: list[tuple[int, float]] = []

    async def impatient(value: int) -> None:
        async with asyncio.timeout(8 if value == 1 else None), rate_limit():
            calls.append((value, now()))

    pipeline = Pipeline([stage(impatient, workers=4, call_rate=1, call_rate_period=16)])
    await pipeline.run(range(4))
    assert calls == [(0, 0), (2, 16), (3, 32)]
    assert isinstance(only_error(pipeline), TimeoutError)


@simulated(tick=0.0)
async def test_a_wait_for_a_rate_that_a_shutdown_ends_takes_nothing() -> None:
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


ABOVE_0 = "give a number above 0"
AT_MOST_4 = "give 4 at most, or raise call_rate on the Stage"


@pytest.mark.parametrize(
    ("amount", "remedy"),
    [
        *((bad, ABOVE_0) for bad in (0, -1, float("nan"), "many", True, None)),
        (5, AT_MOST_4),
        (float("inf"), AT_MOST_4),
    ],
)
@simulated()
async def test_an_amount_that_the_rate_can_never_allow_is_refused(amount: Any, remedy: str) -> None:
    async def task(value: int) -> None:
        async with rate_limit(amount):
            raise AssertionError

    pipeline = Pipeline([stage(task, name="Fetch", task_attempts=1, call_rate=4)])
    await pipeline.run([0])
    error = only_error(pipeline)
    assert type(error) is ValueError
    text = f"rate_limit() in stage 'Fetch' has amount={amount!r}; {remedy}"
    assert re.fullmatch(re.escape(text), str(error))


# Asking for capacity


@simulated()
async def test_there_is_capacity_without_a_rate_and_outside_of_a_task() -> None:
    async def task(value: int) -> bool:
        return call_rate_has_capacity() and call_rate_has_capacity(1000)

    assert values(await Pipeline([stage(task)]).run([0])) == [True]
    assert await task(0)


@simulated(tick=0.0)
async def test_asking_for_capacity_takes_nothing() -> None:
    async def task(value: int) -> list[bool]:
        asked = [call_rate_has_capacity() for _ in range(10)]
        async with rate_limit():
            pass
        return [*asked, call_rate_has_capacity()]

    pipeline = Pipeline([stage(task, call_rate=2, call_rate_period=64)])
    first, second = await pipeline.run(range(2))
    assert first.value == [True] * 11
    assert second.value == [True] * 10 + [False]
    assert now() == 0


@simulated(tick=0.0)
async def test_there_is_no_capacity_while_another_call_waits() -> None:
    async def task(amount: float) -> bool:
        if amount:
            async with rate_limit(amount):
                return True
        await asyncio.sleep(1)  # a unit is free again, for the call that waits
        return call_rate_has_capacity()

    pipeline = Pipeline([stage(task, workers=3, call_rate=4, call_rate_period=4)])
    assert values(await pipeline.run([4, 3, 0])) == [True, True, False]


@pytest.mark.parametrize(
    ("rate", "amounts"),
    [
        (4, {0: True, 1: True, 3: True, 3.5: False, 4: False, 5: False}),
        (2, {0: True, 0.5: True, 1: True, 1.5: False, 2: False}),
        (1, {0: True, 0.5: False, 1: False}),
        (0.5, {0: True, 0.5: False, 1: False}),
        (2.5, {1: True, 1.5: True, 2: False}),
    ],
)
@simulated(tick=0.0)
async def test_capacity_is_what_is_left_after_a_call(
    rate: float, amounts: dict[float, bool]
) -> None:
    async def task(value: int) -> dict[float, bool]:
        async with rate_limit():
            return {amount: call_rate_has_capacity(amount) for amount in amounts}

    (result,) = await Pipeline([stage(task, call_rate=rate, call_rate_period=64)]).run([0])
    assert result.value == amounts


@simulated(tick=0.0)
async def test_capacity_comes_back_with_time() -> None:
    async def task(value: int) -> list[bool]:
        async with rate_limit(2):
            pass
        asked = []
        for _ in range(5):
            asked.append(call_rate_has_capacity(2))
            await asyncio.sleep(4)
        return asked

    (result,) = await Pipeline([stage(task, call_rate=2, call_rate_period=16)]).run([0])
    assert result.value == [False, False, False, False, True]


@simulated(threads=True)
async def test_a_plain_function_may_ask_for_capacity_in_its_thread() -> None:
    def ask(value: int) -> tuple[bool, bool]:
        return call_rate_has_capacity(2), call_rate_has_capacity(3)

    pipeline = Pipeline([stage(ask, call_rate=2)])
    assert values(await pipeline.run(range(2))) == [(True, False)] * 2
