"""A `Clock` at times where floats are far apart, and with timers that are never due."""

from __future__ import annotations

import asyncio
from math import inf, ulp
from time import perf_counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from antflow import Pipeline, Stage
from antflow.testing import Clock, StuckError

YEAR = 365 * 86400.0
TIMES = st.floats(0, 1e300)


@settings(max_examples=200, deadline=None)
@given(start=TIMES, seconds=st.lists(TIMES, max_size=5))
@example(start=0.0, seconds=[YEAR])
@example(start=2.0**24, seconds=[0.5, 1e-9, 2.0**24])
@example(start=2.0**24 - 1e-9, seconds=[1e-9, 1e-10])
@example(start=2.0**53, seconds=[1.0, 3.0, 0.1])
@example(start=1e22, seconds=[86400.0, 1e300])
def test_each_wait_ends_at_its_time(start: float, seconds: list[float]) -> None:
    clock = Clock()
    clock.advance(start)
    for each in seconds:
        due = clock.time() + each
        clock.run(asyncio.sleep(each))
        assert due - 1e-9 <= clock.time() <= due


@settings(max_examples=50, deadline=None)
@given(start=TIMES, seconds=st.lists(st.floats(0, 1e30), min_size=1, max_size=6))
def test_timers_go_off_in_their_order_wherever_the_clock_is(
    start: float, seconds: list[float]
) -> None:
    clock, ended = Clock(), list[float]()
    clock.advance(start)

    async def wait(each: float) -> None:
        await asyncio.sleep(each)
        ended.append(each)

    async def main() -> None:
        await asyncio.gather(*map(wait, seconds))

    clock.run(main())
    assert [start + each for each in ended] == pytest.approx(
        sorted(start + each for each in seconds), abs=max(1e-9, ulp(start))
    )


def test_centuries_take_no_real_time() -> None:
    clock, began = Clock(), perf_counter()
    clock.run(asyncio.sleep(10_000 * YEAR))
    assert clock.time() == 10_000 * YEAR
    assert perf_counter() - began < 5


def test_a_time_that_a_task_moves_forward_is_seen_at_once() -> None:
    clock = Clock()

    async def main() -> None:
        timer = asyncio.create_task(asyncio.sleep(2.0**24 + 0.1))
        await asyncio.sleep(0)
        clock.advance(2.0**24 + 0.1)
        await timer

    clock.run(main())
    assert clock.time() == 2.0**24 + 0.1


@pytest.mark.parametrize("start", [0.0, 2.0**25, 2.0**40, 2.0**60, 1e200])
def test_a_retry_of_any_delay_follows(start: float) -> None:
    async def fail(value: int) -> None:
        await asyncio.sleep(0.3)
        raise ValueError(value)

    clock = Clock()
    clock.advance(start)
    stage = Stage("Fail", 2, [fail], task_attempts=3, task_wait_seconds=0.001)
    pipeline = Pipeline([stage], autoload=False)
    clock.run(pipeline.run(range(5)))
    assert [failure.attempts for failure in pipeline.failures] == [3] * 5


def test_a_timer_that_is_never_due_is_none() -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_later(inf, print)
        await asyncio.sleep(inf)

    with pytest.raises(StuckError, match="no timer is set"):
        Clock().run(main())


def test_a_time_out_ends_a_wait_for_ever() -> None:
    async def main() -> None:
        async with asyncio.timeout(2 * YEAR):
            await asyncio.sleep(inf)

    clock = Clock()
    with pytest.raises(TimeoutError):
        clock.run(main())
    assert clock.time() == 2 * YEAR


def test_a_thread_is_waited_for_at_any_time() -> None:
    async def main() -> str:
        return await asyncio.wait_for(asyncio.to_thread(str, 5), 2 * YEAR)

    clock = Clock()
    clock.advance(2.0**30)
    assert clock.run(main()) == "5"


@pytest.mark.parametrize("seconds", [-1, inf, float("nan")])
def test_a_clock_is_not_moved_to_where_no_time_is(seconds: float) -> None:
    clock = Clock()
    with pytest.raises(ValueError, match="cannot be advanced by"):
        clock.advance(seconds)
    assert clock.time() == 0
