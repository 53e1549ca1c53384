"""How much the workers of a stage may do at once, and how often."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from antflow import Pipeline, StatusTracker, call_rate_has_capacity, concurrency_limit, rate_limit
from tests.helpers.limits import Limit, both_limits, by_gather, calls_at, in_a_task_group
from tests.helpers.runs import (
    by_feed,
    by_run,
    by_stream,
    fail,
    now,
    only_error,
    run_exactly,
    same,
    seconds_of,
    stage,
    stats_of,
    values,
    workers_of,
)
from tests.helpers.simulated import exact_time, simulated, simulated_with_threads
from tests.helpers.virtual_time import Gate, begun, others, settle

some_seeds = pytest.mark.parametrize("seed", [None, *range(10)])


class Census:
    """Counts who is inside: `most` at once, and `total` in all."""

    def __init__(self) -> None:
        self.inside = self.most = self.total = 0

    def enter(self) -> None:
        self.inside += 1
        self.total += 1
        self.most = max(self.most, self.inside)

    def leave(self) -> None:
        self.inside -= 1

    async def stay(self, seconds: float = 1) -> None:
        self.enter()
        try:
            await asyncio.sleep(seconds)
        finally:
            self.leave()

    def task(self, name: str = "visit", seconds: float = 1) -> Callable[[Any], Awaitable[Any]]:
        """Return a task that stays inside for some seconds."""

        async def visit(value: Any) -> Any:
            await self.stay(seconds)
            return value

        visit.__name__ = name
        return visit


# How many workers are inside of a task at once


@some_seeds
@pytest.mark.parametrize("most", [1, 2, 5, 8, 20])
@simulated
async def test_a_task_s_limit_is_reached_and_never_exceeded(most: int, seed: int | None) -> None:
    census = Census()

    limits = {"visit": most}
    pipeline = Pipeline([stage(census.task(), workers=8, task_concurrency_limits=limits)])
    assert values(await pipeline.run(range(40))) == list(range(40))
    assert (census.most, census.total) == (min(most, 8), 40)


@simulated_with_threads
async def test_a_plain_function_s_limit_is_never_exceeded() -> None:
    census = Census()

    def visit(value: int) -> int:
        census.enter()
        time.sleep(0)
        census.leave()
        return value

    pipeline = Pipeline([stage(visit, workers=4, task_concurrency_limits={"visit": 1})])
    assert values(await pipeline.run(range(20))) == list(range(20))
    assert (census.most, census.total) == (1, 20)


@some_seeds
@simulated
async def test_each_task_has_the_limit_of_its_own_name(seed: int | None) -> None:
    first, second, free = Census(), Census(), Census()

    tasks = first.task("first"), second.task("second", 3), free.task("free", 100)
    limits = {"first": 1, "second": 2}
    await Pipeline([stage(*tasks, workers=9, task_concurrency_limits=limits)]).run(range(30))
    assert (first.most, second.most, free.most) == (1, 2, 9)


@some_seeds
@simulated
async def test_tasks_of_one_name_share_its_limit(seed: int | None) -> None:
    census = Census()

    tasks = census.task("visit", 1), census.task("visit", 2)
    limits = {"visit": 3}
    await Pipeline([stage(*tasks, workers=9, task_concurrency_limits=limits)]).run(range(30))
    assert (census.most, census.total) == (3, 60)


@simulated
async def test_a_partial_is_limited_by_the_name_of_its_function() -> None:
    census = Census()

    async def visit(value: int, seconds: float) -> int:
        await census.stay(seconds)
        return value

    tasks = functools.partial(visit, seconds=1), functools.partial(visit, seconds=2)
    limits = {"visit": 2}
    await Pipeline([stage(*tasks, workers=5, task_concurrency_limits=limits)]).run(range(10))
    assert (census.most, census.total) == (2, 20)


@simulated
async def test_two_stages_do_not_share_a_task_s_limit() -> None:
    census = Census()

    task, fields = census.task(), {"workers": 4, "task_concurrency_limits": {"visit": 2}}
    first, second = stage(task, name="A", **fields), stage(task, name="B", **fields)
    await Pipeline([first, second]).run(range(20))
    assert census.most == 4


@simulated
async def test_two_pipelines_of_one_stage_do_not_share_its_limits() -> None:
    census = Census()

    one = stage(census.task(), workers=4, task_concurrency_limits={"visit": 2})
    await asyncio.gather(Pipeline([one]).run(range(9)), Pipeline([one]).run(range(9)))
    assert census.most == 4


@simulated
async def test_those_who_wait_for_a_task_go_in_in_the_order_in_which_they_came() -> None:
    gate = Gate("visit")

    pipeline = Pipeline([stage(gate, workers=5, task_concurrency_limits={"visit": 1})])
    running = asyncio.ensure_future(pipeline.run(range(5)))
    for value in range(5):
        await settle()
        assert gate.waiting == [value]
        gate.let(value)
    await running


# The permit is given back


async def cancel_itself(value: Any) -> Any:
    raise asyncio.CancelledError


def fail_in_a_thread(value: Any) -> Any:
    raise ValueError(value)


@pytest.mark.parametrize("task", [fail, cancel_itself, fail_in_a_thread])
@simulated_with_threads
async def test_a_task_that_fails_gives_its_permit_back(task: Callable[[Any], Any]) -> None:
    limits = {task.__name__: 1}
    pipeline = Pipeline([stage(task, workers=3, task_concurrency_limits=limits)])
    assert await pipeline.run(range(9)) == []
    assert len(pipeline.failures) == 9


def failing_at_first(seconds: float = 1) -> Callable[[Any], Awaitable[Any]]:
    """Return a task whose first attempt at each value fails."""
    seen: set[Any] = set()

    async def attempt(value: Any) -> Any:
        await asyncio.sleep(seconds)
        if value not in seen:
            seen.add(value)
            raise ValueError(value)
        return value

    return attempt


@exact_time
async def test_the_wait_for_a_retry_holds_no_permit() -> None:
    limits = {"attempt": 1}
    fields = {"task_attempts": 2, "task_wait_seconds": 100, "task_concurrency_limits": limits}
    pipeline = Pipeline([stage(failing_at_first(), workers=3, **fields)])
    assert values(await pipeline.run(range(3))) == [0, 1, 2]
    assert now() == 1 + 100 + 3


@simulated
async def test_each_attempt_waits_for_a_permit_of_its_own() -> None:
    census = Census()
    attempts: list[int] = []

    async def attempt(value: int) -> int:
        await census.stay()
        attempts.append(value)
        if attempts.count(value) < 3:
            raise ValueError(value)
        return value

    limits = {"attempt": 2}
    fields = {"task_attempts": 3, "task_wait_seconds": 0, "task_concurrency_limits": limits}
    pipeline = Pipeline([stage(attempt, workers=6, **fields)])
    results = await pipeline.run(range(12))
    assert [result.attempts for result in results] == [3] * 12
    assert (census.most, census.total) == (2, 36)


@simulated
async def test_an_item_that_starts_the_stage_anew_gives_its_permit_back() -> None:
    census = Census()

    limits = {"visit": 1}
    fields = {"retry": "per_stage", "stage_attempts": 3, "task_concurrency_limits": limits}
    pipeline = Pipeline([stage(census.task(), fail, workers=4, **fields)])
    assert await pipeline.run(range(5)) == []
    assert [failure.attempts for failure in pipeline.failures] == [3] * 5
    assert (census.most, census.total) == (1, 15)


@simulated
async def test_the_next_run_has_all_permits_though_the_last_was_cancelled() -> None:
    gate = Gate("visit")

    pipeline = Pipeline([stage(gate, workers=3, task_concurrency_limits={"visit": 2})])
    running = await begun(pipeline.run(range(3)))
    running.cancel()
    await asyncio.wait([running])
    assert not others()
    again = await begun(pipeline.run(range(3)))
    assert gate.waiting == [0, 1]
    gate.open()
    assert values(await again) == [0, 1, 2]


@simulated
async def test_a_wait_for_a_permit_that_is_given_up_by_a_time_limit_takes_none() -> None:
    gate = Gate()

    async def impatient(value: int) -> int:
        try:
            async with asyncio.timeout(10), concurrency_limit():
                await gate(value)
        except TimeoutError:
            return -1
        return value

    pipeline = Pipeline([stage(impatient, workers=2, call_concurrency=1)])
    await pipeline.start()
    await pipeline.feed([1, 2])
    await asyncio.sleep(5)
    gate.let(1)
    await asyncio.sleep(20)
    await pipeline.feed([3])
    await settle()
    assert gate.waiting == [3]
    gate.open()
    await pipeline.join()
    assert values(pipeline.results) == [1, -1, 3]


@exact_time
async def test_a_wait_for_a_rate_that_is_given_up_by_a_time_limit_takes_nothing() -> None:
    calls: list[tuple[int, float]] = []

    async def impatient(value: int) -> None:
        async with asyncio.timeout(8 if value == 1 else None), rate_limit():
            calls.append((value, now()))

    pipeline = Pipeline([stage(impatient, workers=4, call_rate=1, call_rate_period=16)])
    await pipeline.run(range(4))
    assert calls == [(0, 0), (2, 16), (3, 32)]
    assert isinstance(only_error(pipeline), TimeoutError)


# Who waits is seen to wait


@exact_time
async def test_waiting_for_a_task_is_waiting_and_not_busy_time() -> None:
    census = Census()
    limits = {"visit": 1}
    pipeline = Pipeline([stage(census.task(seconds=8), workers=3, task_concurrency_limits=limits)])
    running = asyncio.ensure_future(pipeline.run(range(3)))
    await asyncio.sleep(4)
    assert workers_of(pipeline) == [0, 1, 2, 0]
    assert seconds_of(pipeline) == [0, 4, 8, 0]
    await asyncio.sleep(8)
    assert workers_of(pipeline) == [1, 1, 1, 0]
    await running
    assert seconds_of(pipeline) == [16 + 8, 24, 8 + 16, 0]
    assert stats_of(pipeline).tasks["visit"].duration.sum == 24


@simulated
async def test_a_worker_that_waits_for_a_task_has_the_item_and_names_the_task() -> None:
    gate = Gate("second")

    limits = {"second": 1}
    pipeline = Pipeline([stage(same, gate, workers=2, task_concurrency_limits=limits)])
    running = await begun(pipeline.run(["a", "b"]))
    states = pipeline.get_worker_states()
    assert {state.status for state in states.values()} == {"busy"}
    assert [state.current_item_id for state in states.values()] == [0, 1]
    assert {(state.task_name, state.current_task) for state in states.values()} == {
        ("second", "second")
    }
    assert stats_of(pipeline).in_progress_items == 2
    gate.open()
    await running


@exact_time
async def test_an_attempt_begins_when_its_task_may_begin() -> None:
    starts: list[float] = []

    census = Census()
    tracker = StatusTracker(on_task_start=lambda event: starts.append(now()))
    limits = {"visit": 1}
    one = stage(census.task(seconds=8), workers=3, task_concurrency_limits=limits)
    await Pipeline([one], status_tracker=tracker).run(range(3))
    assert starts == [0, 8, 16]


@both_limits
@exact_time
async def test_waiting_inside_of_a_task_is_waiting_time(limit: Limit, field: str) -> None:
    async def task(value: int) -> int:
        async with limit():
            await asyncio.sleep(8)
        return value

    fields = {field: 1, "call_rate_period": 8}
    pipeline = Pipeline([stage(task, workers=3, **fields)])
    running = asyncio.ensure_future(pipeline.run(range(3)))
    await asyncio.sleep(4)
    assert workers_of(pipeline) == [0, 1, 2, 0]
    await running
    assert seconds_of(pipeline) == [16 + 8, 24, 8 + 16, 0]
    assert stats_of(pipeline).tasks["task"].duration.sum == 24 + 24


@exact_time
async def test_a_worker_waits_once_however_many_sub_tasks_of_it_wait() -> None:
    async def sub_task() -> None:
        async with concurrency_limit():
            await asyncio.sleep(4)

    async def task(value: int) -> None:
        await asyncio.gather(*(sub_task() for _ in range(4)))
        await asyncio.sleep(4)

    pipeline = Pipeline([stage(task, call_concurrency=1)])
    running = asyncio.ensure_future(pipeline.run([0]))
    await asyncio.sleep(2)
    assert workers_of(pipeline) == [0, 0, 1, 0]
    await running
    assert seconds_of(pipeline) == [0, 4 + 4, 12, 0]


@exact_time
async def test_a_wait_in_a_callback_is_waiting_time() -> None:
    async def limited(*_: Any) -> None:
        async with rate_limit():
            pass

    fields = {"call_rate": 1, "call_rate_period": 16, "on_success": limited}
    pipeline = Pipeline([stage(same, **fields)])
    await pipeline.run(range(3))
    assert seconds_of(pipeline) == [0, 0, 32, 0]


@exact_time
async def test_a_call_that_need_not_wait_is_no_waiting_time() -> None:
    async def task(value: int) -> None:
        async with rate_limit(), concurrency_limit():
            await asyncio.sleep(2)

    pipeline = Pipeline([stage(task, call_rate=8, call_concurrency=8)])
    await pipeline.run(range(4))
    assert seconds_of(pipeline) == [0, 8, 0, 0]


# How many are inside of concurrency_limit at once


async def directly(call: Callable[[], Coroutine[Any, Any, None]], times: int) -> None:
    for _ in range(times):
        await call()


@some_seeds
@pytest.mark.parametrize("calls", [directly, by_gather, in_a_task_group])
@pytest.mark.parametrize("most", [1, 3])
@simulated
async def test_a_concurrency_limit_is_reached_and_never_exceeded(
    most: int, calls: Callable[..., Awaitable[None]], seed: int | None
) -> None:
    census = Census()

    async def call() -> None:
        async with concurrency_limit():
            await census.stay()

    async def task(value: int) -> int:
        await calls(call, 4)
        return value

    pipeline = Pipeline([stage(task, workers=5, call_concurrency=most)])
    assert values(await pipeline.run(range(15))) == list(range(15))
    assert (census.most, census.total) == (most, 60)


@simulated
async def test_all_tasks_of_a_stage_share_its_concurrency_limit() -> None:
    census = Census()

    async def one(value: int) -> int:
        async with concurrency_limit():
            await census.stay(1)
        return value

    async def other(value: int) -> int:
        async with concurrency_limit():
            await census.stay(3)
        return value

    await Pipeline([stage(one, other, workers=6, call_concurrency=2)]).run(range(12))
    assert (census.most, census.total) == (2, 24)


@simulated
async def test_each_stage_has_a_concurrency_limit_of_its_own() -> None:
    censuses = {"A": Census(), "B": Census()}

    def counted(name: str) -> Callable[[int], Awaitable[int]]:
        async def task(value: int) -> int:
            async with concurrency_limit():
                await censuses[name].stay()
            return value

        return task

    first = stage(counted("A"), name="A", workers=6, call_concurrency=1)
    second = stage(counted("B"), name="B", workers=6, call_concurrency=4)
    await Pipeline([first, second]).run(range(20))
    assert censuses["A"].most == 1
    assert 1 <= censuses["B"].most <= 4


@pytest.mark.parametrize("error", [ValueError("broken"), asyncio.CancelledError()])
@simulated
async def test_an_error_inside_of_a_concurrency_limit_frees_the_place(error: BaseException) -> None:
    async def task(value: int) -> int:
        async with concurrency_limit():
            if value % 2:
                raise error
        return value

    pipeline = Pipeline([stage(task, workers=3, call_concurrency=1)])
    assert values(await pipeline.run(range(10))) == [0, 2, 4, 6, 8]
    assert {type(failure.error) for failure in pipeline.failures} == {type(error)}


@simulated
async def test_a_task_s_limit_and_its_calls_limit_hold_together() -> None:
    tasks, calls = Census(), Census()

    async def task(value: int) -> int:
        tasks.enter()
        async with concurrency_limit():
            await calls.stay()
        tasks.leave()
        return value

    limits = {"task": 3}
    one = stage(task, workers=9, task_concurrency_limits=limits, call_concurrency=2)
    await Pipeline([one]).run(range(30))
    assert (tasks.most, calls.most) == (3, 2)


# How often rate_limit lets pass


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
    ],
)
@exact_time
async def test_so_many_calls_at_once_and_then_evenly(
    rate: float, period: float, times: list[float], workers: int
) -> None:
    calls: list[float] = []

    fields = {"call_rate": rate, "call_rate_period": period}
    await Pipeline([stage(calls_at(calls), workers=workers, **fields)]).run(range(len(times)))
    assert calls == times


@exact_time
async def test_a_rate_is_per_minute_unless_a_period_is_given() -> None:
    calls: list[float] = []

    await Pipeline([stage(calls_at(calls), call_rate=2)]).run(range(5))
    assert calls == pytest.approx([0, 0, 30, 60, 90], abs=1e-6)


@some_seeds
@pytest.mark.parametrize("calls", [directly, by_gather, in_a_task_group])
@exact_time
async def test_a_rate_counts_the_calls_of_sub_tasks(
    calls: Callable[..., Awaitable[None]], seed: int | None
) -> None:
    times: list[float] = []

    async def call() -> None:
        async with rate_limit():
            times.append(now())

    async def task(value: int) -> int:
        await calls(call, 4)
        return value

    fields = {"call_rate": 2, "call_rate_period": 16}
    pipeline = Pipeline([stage(task, workers=3, **fields)])
    assert values(await pipeline.run(range(3))) == [0, 1, 2]
    assert times == [0, 0, *(8 * number for number in range(1, 11))]


@some_seeds
@pytest.mark.parametrize("rate", [1, 3, 0.5, 7.25])
@simulated
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
    burst = max(1, rate)
    for first in range(40):
        for last in range(first, 40):
            elapsed = calls[last] - calls[first]
            assert last - first + 1 <= burst + elapsed * rate / 10 + 1e-3


@exact_time
async def test_who_waits_for_a_rate_goes_on_in_the_order_of_arrival() -> None:
    order: list[int] = []

    async def task(value: int) -> None:
        async with rate_limit():
            order.append(value)

    await Pipeline([stage(task, workers=8, call_rate=1, call_rate_period=4)]).run(range(8))
    assert order == list(range(8))


@exact_time
async def test_how_long_a_call_takes_does_not_matter_to_the_rate() -> None:
    census = Census()

    async def task(value: int) -> None:
        async with rate_limit():
            await census.stay(100)

    await Pipeline([stage(task, workers=9, call_rate=1, call_rate_period=2)]).run(range(9))
    assert census.most == 9


@exact_time
async def test_a_rate_that_rested_allows_so_many_at_once_again() -> None:
    calls: list[float] = []

    pipeline = Pipeline([stage(calls_at(calls), workers=9, call_rate=4, call_rate_period=64)])
    await pipeline.start()
    await pipeline.feed(range(5))
    await asyncio.sleep(1024)
    await pipeline.feed(range(5))
    await pipeline.join()
    assert calls == [0, 0, 0, 0, 16, *([1024] * 4), 1024 + 16]


@exact_time
async def test_each_stage_has_a_rate_of_its_own() -> None:
    calls: list[float] = []

    slow, fast = {"call_rate_period": 16}, {"call_rate_period": 4}
    first = stage(same, calls_at([]), name="A", workers=4, call_rate=1, **slow)
    second = stage(calls_at(calls), name="B", workers=4, call_rate=1, **fast)
    await Pipeline([first, second]).run(range(3))
    assert calls == [0, 16, 32]


@exact_time
async def test_two_pipelines_of_one_stage_have_a_rate_each() -> None:
    calls: list[float] = []

    one = stage(calls_at(calls), call_rate=1, call_rate_period=16)
    await asyncio.gather(Pipeline([one]).run(range(2)), Pipeline([one]).run(range(2)))
    assert calls == [0, 0, 16, 16]


@simulated
async def test_an_error_after_the_wait_for_a_rate_goes_through() -> None:
    async def task(value: int) -> None:
        async with rate_limit():
            raise KeyError(value)

    pipeline = Pipeline([stage(task, call_rate=1)])
    await pipeline.run([0])
    assert isinstance(only_error(pipeline), KeyError)


@exact_time
async def test_each_attempt_that_calls_counts_for_the_rate() -> None:
    calls: list[float] = []

    async def task(value: int) -> None:
        async with rate_limit():
            calls.append(now())
            raise ValueError

    fields = {"task_attempts": 4, "task_wait_seconds": 2, "call_rate_period": 8}
    await Pipeline([stage(task, call_rate=1, **fields)]).run([0])
    assert calls == [0, 8, 16, 24]


# A rate outlasts a run


@pytest.mark.parametrize("first", [by_run, by_stream, by_feed])
@pytest.mark.parametrize("second", [by_run, by_stream, by_feed])
@exact_time
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


@exact_time
async def test_a_wait_for_a_rate_that_is_cut_short_takes_nothing_of_it() -> None:
    calls: list[float] = []

    pipeline = Pipeline([stage(calls_at(calls), workers=4, call_rate=1, call_rate_period=64)])
    await pipeline.start()
    await pipeline.feed(range(4))
    await asyncio.sleep(16)
    assert len(await pipeline.shutdown()) == 3
    assert not others()
    await pipeline.run(range(2))
    assert calls == [0, 64, 128]


# Asking without taking


@simulated
async def test_capacity_is_there_where_no_rate_is_set() -> None:
    async def task(value: int) -> bool:
        return call_rate_has_capacity() and call_rate_has_capacity(1000)

    assert values(await Pipeline([stage(task)]).run([0])) == [True]


def test_capacity_is_there_outside_of_a_task() -> None:
    assert call_rate_has_capacity()
    assert call_rate_has_capacity(1000)


@exact_time
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
@exact_time
async def test_capacity_is_what_is_left_after_a_call(
    rate: float, amounts: dict[float, bool]
) -> None:
    async def task(value: int) -> dict[float, bool]:
        async with rate_limit():
            return {amount: call_rate_has_capacity(amount) for amount in amounts}

    (result,) = await Pipeline([stage(task, call_rate=rate, call_rate_period=64)]).run([0])
    assert result.value == amounts


@exact_time
async def test_capacity_comes_back_with_time() -> None:
    async def task(value: int) -> list[bool]:
        async with rate_limit(), rate_limit():
            pass
        asked = []
        for _ in range(5):
            asked.append(call_rate_has_capacity(2))
            await asyncio.sleep(4)
        return asked

    (result,) = await Pipeline([stage(task, call_rate=2, call_rate_period=16)]).run([0])
    assert result.value == [False, False, False, False, True]


@simulated_with_threads
async def test_a_plain_function_may_ask_for_capacity_in_its_thread() -> None:
    def ask(value: int) -> tuple[bool, bool]:
        return call_rate_has_capacity(2), call_rate_has_capacity(3)

    (result,) = await Pipeline([stage(ask, call_rate=2)]).run([0])
    assert result.value == (True, False)


@simulated_with_threads
async def test_a_plain_function_asks_before_anyone_has_called() -> None:
    """The rate knows its loop from the start, not from the first call on it."""

    def ask(value: int) -> bool:
        return call_rate_has_capacity()

    pipeline = Pipeline([stage(ask, call_rate=1)])
    assert values(await pipeline.run([0])) == values(await pipeline.run([0])) == [True]


# Where limits may be used


@pytest.mark.parametrize("role", ["on_success", "on_failure", "on_skip", "skip_if"])
@both_limits
@simulated
async def test_callbacks_use_the_limits_of_their_stage(limit: Limit, field: str, role: str) -> None:
    census = Census()

    async def callback(*_: Any) -> bool:
        async with limit():
            await census.stay(1)
        return False

    async def refuse_1(value: int) -> int:
        if value == 1:
            raise ValueError
        return value

    fields = {"skip_if": lambda value: value == 2, field: 1, "call_rate_period": 4}
    one = stage(refuse_1, workers=3, **{**fields, role: callback})
    pipeline = Pipeline([one])
    await pipeline.run(range(3))
    assert census.total == (3 if role == "skip_if" else 1)
    assert census.most == 1
    assert len(pipeline.failures) == 1


@both_limits
@exact_time
async def test_a_pipeline_inside_of_a_task_has_limits_of_its_own(limit: Limit, field: str) -> None:
    calls: list[str] = []

    async def call(name: str) -> None:
        async with limit():
            calls.append(name)

    async def inner(value: int) -> int:
        await call("inner")
        return value

    async def outer(value: int) -> int:
        await call("outer")
        await Pipeline([stage(inner, name="Inner", workers=2, **{field: 4})]).run(range(4))
        await call("outer")
        return value

    pipeline = Pipeline([stage(outer, name="Outer", **{field: 2})])
    assert values(await pipeline.run([7])) == [7]
    assert calls == ["outer", *["inner"] * 4, "outer"]
    assert now() == 0


@simulated
async def test_a_pipeline_inside_of_a_task_does_not_see_the_limits_around_it() -> None:
    async def inner(value: int) -> bool:
        assert call_rate_has_capacity(1000)
        async with concurrency_limit():
            return True

    async def outer(value: int) -> str:
        pipeline = Pipeline([stage(inner, name="Inner")])
        await pipeline.run([0])
        return str(only_error(pipeline))

    fields = {"call_concurrency": 1, "call_rate": 1}
    (result,) = await Pipeline([stage(outer, name="Outer", **fields)]).run([0])
    assert "'Inner'" in result.value


@both_limits
@simulated
async def test_a_limit_that_is_not_set_is_an_error_that_names_it(limit: Limit, field: str) -> None:
    async def task(value: int) -> None:
        async with limit():
            raise AssertionError

    set_alone = {"call_concurrency": {"call_rate": 1}, "call_rate": {"call_concurrency": 1}}
    pipeline = Pipeline([stage(task, name="Fetch", **set_alone[field])])
    await pipeline.run([0])
    error = only_error(pipeline)
    assert type(error) is RuntimeError
    assert f"'Fetch', which has no {field}; set {field} on the Stage" in str(error)


@both_limits
@simulated
async def test_a_limit_outside_of_a_task_is_an_error_that_says_so(limit: Limit, field: str) -> None:
    with pytest.raises(RuntimeError, match="outside of a task") as caught:
        async with limit():
            raise AssertionError
    assert f"set {field} on a Stage" in str(caught.value)


@both_limits
@simulated
async def test_the_consumer_of_a_stream_is_outside(limit: Limit, field: str) -> None:
    async with Pipeline([stage(same, **{field: 1})]).stream([0]) as stream:
        async for _ in stream:
            with pytest.raises(RuntimeError, match="outside of a task"):
                await limit().__aenter__()
