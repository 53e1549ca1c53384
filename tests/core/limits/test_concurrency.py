"""How many workers of a stage are in a task, or in `concurrency_limit`, at once."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from antflow import Pipeline, StatusTracker, call_rate_has_capacity, concurrency_limit, rate_limit
from tests.helpers.limits import Limit, both_limits, by_gather, in_a_task_group
from tests.helpers.runs import (
    fail,
    now,
    only_error,
    raised_by,
    same,
    seconds_of,
    stage,
    stats_of,
    values,
    workers_of,
)
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, begun, others, settle

some_seeds = pytest.mark.parametrize("seed", [None, *range(10)])


class Census:
    """Counts the workers inside: `most` at once, and `total` in all."""

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


# How many are inside


@some_seeds
@pytest.mark.parametrize("most", [1, 2, 5, 8, 20])
@simulated()
async def test_a_task_s_limit_is_reached_and_never_exceeded(most: int, seed: int | None) -> None:
    census = Census()
    limits = {"visit": most}
    pipeline = Pipeline([stage(census.task(), workers=8, task_concurrency_limits=limits)])
    assert values(await pipeline.run(range(40))) == list(range(40))
    assert (census.most, census.total) == (min(most, 8), 40)


async def directly(call: Callable[[], Coroutine[Any, Any, None]], times: int) -> None:
    for _ in range(times):
        await call()


@some_seeds
@pytest.mark.parametrize("calls", [directly, by_gather, in_a_task_group])
@pytest.mark.parametrize("most", [1, 3])
@simulated()
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


@simulated(threads=True)
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
@simulated()
async def test_each_task_has_the_limit_of_its_own_name(seed: int | None) -> None:
    first, second, free = Census(), Census(), Census()
    tasks = first.task("first"), second.task("second", 3), free.task("free", 100)
    limits = {"first": 1, "second": 2}
    await Pipeline([stage(*tasks, workers=9, task_concurrency_limits=limits)]).run(range(30))
    assert (first.most, second.most, free.most) == (1, 2, 9)


@simulated()
async def test_a_task_s_limit_and_the_limit_of_its_calls_hold_at_once() -> None:
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


# Which tasks share a limit


def two_tasks(task: Any, fields: Any) -> list[Pipeline]:
    """Return one stage of two tasks; a partial has the name of its function."""
    slow = functools.partial(task, seconds=3)
    return [Pipeline([stage(functools.partial(task, seconds=1), slow, **fields)])]


def two_stages(task: Any, fields: Any) -> list[Pipeline]:
    return [Pipeline([stage(task, name=name, **fields) for name in "AB"])]


def two_pipelines_of_one_stage(task: Any, fields: Any) -> list[Pipeline]:
    shared = stage(task, **fields)
    return [Pipeline([shared]), Pipeline([shared])]


@pytest.mark.parametrize(
    ("make", "most"), [(two_tasks, 2), (two_stages, 4), (two_pipelines_of_one_stage, 4)]
)
@pytest.mark.parametrize("is_calls", [False, True], ids=["task", "calls"])
@simulated()
async def test_the_tasks_of_a_stage_share_its_limits(
    make: Callable[..., list[Pipeline]], most: int, is_calls: bool
) -> None:
    census = Census()

    async def visit(value: int, seconds: float = 1) -> int:
        await census.stay(seconds)
        return value

    async def visit_limited(value: int, seconds: float = 1) -> int:
        async with concurrency_limit():
            return await visit(value, seconds)

    if is_calls:
        pipelines = make(visit_limited, {"workers": 4, "call_concurrency": 2})
    else:
        pipelines = make(visit, {"workers": 4, "task_concurrency_limits": {"visit": 2}})
    await asyncio.gather(*(pipeline.run(range(20)) for pipeline in pipelines))
    assert census.most == most


@simulated()
async def test_workers_enter_a_limited_task_in_the_order_of_their_arrival() -> None:
    gate = Gate("visit")
    pipeline = Pipeline([stage(gate, workers=5, task_concurrency_limits={"visit": 1})])
    running = asyncio.ensure_future(pipeline.run(range(5)))
    for value in range(5):
        await settle()
        assert gate.waiting == [value]
        gate.let(value)
    await running


# The permit is released


async def cancel_itself(value: Any) -> Any:
    raise asyncio.CancelledError


def fail_in_a_thread(value: Any) -> Any:
    raise ValueError(value)


@pytest.mark.parametrize("task", [fail, cancel_itself, fail_in_a_thread])
@simulated(threads=True)
async def test_a_task_that_fails_releases_its_permit(task: Callable[[Any], Any]) -> None:
    limits = {task.__name__: 1}
    pipeline = Pipeline([stage(task, workers=3, task_concurrency_limits=limits)])
    assert await pipeline.run(range(9)) == []
    assert len(pipeline.failures) == 9


@pytest.mark.parametrize("error", [ValueError("broken"), asyncio.CancelledError()])
@simulated()
async def test_an_error_inside_of_a_concurrency_limit_releases_the_permit(
    error: BaseException,
) -> None:
    async def task(value: int) -> int:
        async with concurrency_limit():
            if value % 2:
                raise error
        return value

    pipeline = Pipeline([stage(task, workers=3, call_concurrency=1)])
    assert values(await pipeline.run(range(10))) == [0, 2, 4, 6, 8]
    assert {type(failure.error) for failure in pipeline.failures} == {type(error)}


@pytest.mark.parametrize(
    "fields", [{"task_attempts": 3, "task_wait_seconds": 0}, {"retry": "per_stage"}]
)
@simulated()
async def test_each_attempt_acquires_a_permit_of_its_own(fields: dict[str, Any]) -> None:
    census = Census()

    async def attempt(value: int) -> int:
        await census.stay()
        raise ValueError(value)

    pipeline = Pipeline(
        [stage(attempt, workers=6, task_concurrency_limits={"attempt": 2}, **fields)]
    )
    await pipeline.run(range(12))
    assert [failure.attempts for failure in pipeline.failures] == [3] * 12
    assert (census.most, census.total) == (2, 36)


@simulated(tick=0.0)
async def test_the_wait_for_a_retry_holds_no_permit() -> None:
    seen: set[int] = set()

    async def attempt(value: int) -> int:
        await asyncio.sleep(1)
        if value not in seen:
            seen.add(value)
            raise ValueError(value)
        return value

    fields = {"task_attempts": 2, "task_wait_seconds": 100}
    limits = {"attempt": 1}
    pipeline = Pipeline([stage(attempt, workers=3, task_concurrency_limits=limits, **fields)])
    assert values(await pipeline.run(range(3))) == [0, 1, 2]
    assert now() == 1 + 100 + 3


@simulated()
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


@simulated()
async def test_a_wait_for_a_permit_that_times_out_takes_none() -> None:
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


# How the wait is counted


@pytest.mark.parametrize(
    ("limit", "fields", "durations"),
    [
        (None, {"task_concurrency_limits": {"task": 1}}, 24),
        (concurrency_limit, {"call_concurrency": 1}, 24 + 24),
        (rate_limit, {"call_rate": 1, "call_rate_period": 8}, 24 + 24),
    ],
    ids=["task", "calls", "rate"],
)
@simulated(tick=0.0)
async def test_the_wait_for_a_limit_is_waiting_time_and_part_of_an_attempt_that_has_begun(
    limit: Limit | None, fields: dict[str, Any], durations: float
) -> None:
    starts: list[float] = []

    async def task(value: int) -> int:
        if limit is None:
            await asyncio.sleep(8)
        else:
            async with limit():
                await asyncio.sleep(8)
        return value

    tracker = StatusTracker(on_task_start=lambda event: starts.append(now()))
    pipeline = Pipeline([stage(task, workers=3, **fields)], status_tracker=tracker)
    running = asyncio.ensure_future(pipeline.run(range(3)))
    await asyncio.sleep(4)
    assert workers_of(pipeline) == [0, 1, 2, 0]
    assert seconds_of(pipeline) == [0, 4, 8, 0]
    await asyncio.sleep(8)
    assert workers_of(pipeline) == [1, 1, 1, 0]
    await running
    assert seconds_of(pipeline) == [16 + 8, 24, 8 + 16, 0]
    assert stats_of(pipeline).tasks["task"].duration.sum == durations
    assert starts == ([0, 8, 16] if limit is None else [0, 0, 0])


@simulated(tick=0.0)
async def test_a_worker_waits_once_however_many_of_its_sub_tasks_wait() -> None:
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


@simulated(tick=0.0)
async def test_a_call_that_need_not_wait_is_no_waiting_time() -> None:
    async def task(value: int) -> None:
        async with rate_limit(), concurrency_limit():
            await asyncio.sleep(2)

    pipeline = Pipeline([stage(task, call_rate=8, call_concurrency=8)])
    await pipeline.run(range(4))
    assert seconds_of(pipeline) == [0, 8, 0, 0]


# Where limits may be used


@both_limits
@simulated(tick=0.0)
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


@simulated()
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


async def enter(limit: Limit) -> None:
    async with limit():
        raise AssertionError


@both_limits
@simulated()
async def test_a_limit_that_is_not_set_is_an_error_that_names_it(limit: Limit, field: str) -> None:
    other = {"call_concurrency": "call_rate", "call_rate": "call_concurrency"}[field]
    pipeline = Pipeline([stage(enter, name="Fetch", **{other: 1})])
    await pipeline.run([limit])
    error = only_error(pipeline)
    assert type(error) is RuntimeError
    assert f"'Fetch', which has no {field}; set {field} on the Stage" in str(error)


@both_limits
@simulated()
async def test_a_limit_outside_of_a_task_is_an_error_that_says_so(limit: Limit, field: str) -> None:
    async with Pipeline([stage(same, **{field: 1})]).stream([0]) as stream:
        await anext(stream)
        error = await raised_by(enter(limit))  # the consumer is outside, too
    assert type(error) is RuntimeError
    assert "outside of a task" in str(error)
    assert f"set {field} on a Stage" in str(error)
