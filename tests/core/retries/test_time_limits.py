"""Time limits of attempts and of items."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import weakref
from typing import Any

import pytest

from antflow import (
    AttemptTimeoutError,
    ItemTimeoutError,
    Pipeline,
    PipelineError,
    PipelineResult,
    Stage,
    StageStats,
    hookimpl,
)
from tests.helpers.simulated import simulated


class Ends:
    """An observer that notes how attempts end."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    @hookimpl
    def antflow_task_start(self) -> None:
        self.kinds.append("start")

    @hookimpl
    def antflow_task_success(self) -> None:
        self.kinds.append("success")

    @hookimpl
    def antflow_task_retry(self) -> None:
        self.kinds.append("retry")

    @hookimpl
    def antflow_task_failure(self) -> None:
        self.kinds.append("failure")

    @hookimpl
    def antflow_task_cancelled(self) -> None:
        self.kinds.append("cancelled")


async def run(
    *tasks: Any, items: int = 1, **options: Any
) -> tuple[list[PipelineResult], float, StageStats, list[str]]:
    """Run items; return their results, the seconds taken, statistics and the ends of attempts."""
    ends = Ends()
    stage = Stage(**{"name": "Work", "workers": 1, "tasks": tasks, "task_attempts": 3, **options})
    pipeline = Pipeline([stage], plugins=[ends], autoload=False)
    begin = asyncio.get_running_loop().time()
    results = await pipeline.run(range(items), return_exceptions=True)
    seconds = round(asyncio.get_running_loop().time() - begin, 3)
    return results, seconds, pipeline.get_stats().stage_stats["Work"], ends.kinds


async def hang(_: object) -> None:
    await asyncio.sleep(1000)


async def quick(value: object) -> object:
    await asyncio.sleep(1)
    return value


@pytest.mark.parametrize("options", [{}, {"skip_if": lambda _: False}], ids=["simple", "general"])
@simulated(tick=0.0)
async def test_an_attempt_that_takes_too_long_is_cancelled_and_tried_again(options: Any) -> None:
    (result,), seconds, stats, ends = await run(hang, task_timeout=5, retry_wait=1, **options)
    assert isinstance(result.error, AttemptTimeoutError)
    assert isinstance(result.error, TimeoutError)
    assert (
        str(result.error) == "The attempt at task 'hang' of stage 'Work' took more than 5 seconds"
    )
    assert (result.location or "").endswith("in hang")  # where it hung
    assert (seconds, result.attempts, stats.timeouts) == (3 * 5 + 2, 3, 3)
    assert ends == ["start", "retry", "start", "retry", "start", "failure"]


@simulated(tick=0.0)
async def test_attempts_in_time_are_not_touched() -> None:
    (result,), seconds, stats, _ = await run(quick, quick, task_timeout=1.5)
    assert (result.value, seconds, stats.timeouts) == (0, 2, 0)


@simulated(tick=0.0)
async def test_a_timeout_of_the_tasks_own_stays_its_own() -> None:
    async def own(_: object) -> None:
        async with asyncio.timeout(1):
            await asyncio.sleep(9)

    (result,), _, stats, _ = await run(own, task_timeout=5, task_attempts=1)
    assert type(result.error) is TimeoutError
    assert stats.timeouts == 0


@simulated(tick=0.0)
async def test_the_worker_goes_on_after_a_timeout() -> None:
    async def first_hangs(value: int) -> int:
        await asyncio.sleep(1000 if value == 0 else 1)
        return value

    results, seconds, _, _ = await run(first_hangs, items=4, task_timeout=5, task_attempts=1)
    assert [result.is_success for result in results] == [False, True, True, True]
    assert seconds == 5 + 3


@simulated(tick=0.0)
async def test_a_result_after_the_time_stands_and_a_task_that_goes_on_is_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def stubborn(value: int) -> int:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            await asyncio.sleep(20)
        return value

    (result,), seconds, _, _ = await run(stubborn, task_timeout=2)
    assert (result.is_success, seconds) == (True, 22)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "The attempt at task 'stubborn' of stage 'Work' has a time limit of 2 s" in caplog.text
    assert "still runs 5 seconds after it was cancelled" in caplog.text


@simulated(tick=0.0)
async def test_stopping_the_run_during_a_timed_attempt_is_a_cancellation() -> None:
    ends = Ends()
    stage = Stage(name="Work", workers=1, tasks=[hang], task_timeout=50)
    pipeline = Pipeline([stage], plugins=[ends], autoload=False)
    await pipeline.start()
    await pipeline.feed([1])
    await asyncio.sleep(10)
    assert len(await pipeline.shutdown(timeout=0)) == 1
    assert ends.kinds == ["start", "cancelled"]


# Threads


async def test_a_thread_is_abandoned_counted_and_replaced(caplog: pytest.LogCaptureFixture) -> None:
    released = threading.Event()

    def block(_: object) -> None:
        released.wait(30)

    stage = Stage(
        name="Work", workers=1, tasks=[block], task_timeout=0.01, task_attempts=3, retry_wait=0
    )
    pipeline = Pipeline([stage], autoload=False)
    (result,) = await pipeline.run([1], return_exceptions=True)
    assert isinstance(result.error, AttemptTimeoutError)
    assert pipeline.get_stats().stage_stats["Work"].abandoned_threads == 3
    assert caplog.text.count("a thread that runs block was abandoned") == 1
    released.set()
    while pipeline.get_stats().stage_stats["Work"].abandoned_threads:
        await asyncio.sleep(0.001)


async def test_at_most_ten_threads_of_a_worker_are_abandoned_at_once() -> None:
    released = threading.Event()
    calls = 0

    def block(_: object) -> None:
        nonlocal calls
        calls += 1
        released.wait(30)

    stage = Stage(
        name="Work", workers=1, tasks=[block], task_timeout=0.03, task_attempts=15, retry_wait=0
    )
    pipeline = Pipeline([stage], autoload=False)
    running = asyncio.ensure_future(pipeline.run([1], return_exceptions=True))
    while calls < 10:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.05)
    assert calls == 10
    released.set()
    (result,) = await running
    assert result.is_success
    assert calls >= 11  # it may take a while for a thread to start


# Items


@pytest.mark.parametrize("mode", ["per_task", "per_stage"])
@simulated(tick=0.0)
async def test_an_item_fails_once_no_attempt_can_begin_in_its_time(mode: Any) -> None:
    async def fail(_: object) -> None:
        await asyncio.sleep(1)
        raise OSError("busy")

    (result,), seconds, stats, ends = await run(
        fail, item_timeout=10, retry=mode, retry_wait=3, task_attempts=9, stage_attempts=9
    )
    assert isinstance(result.error, ItemTimeoutError)
    assert str(result.error) == "The item took more than 10 seconds in stage 'Work'"
    assert repr(result.error.__cause__) == "OSError('busy')"
    assert (seconds, result.attempts, stats.timeouts) == (9, 3, 1)
    assert ends[-1] == "failure"


@simulated(tick=0.0)
async def test_an_attempt_ends_with_the_time_of_its_item() -> None:
    (result,), seconds, stats, ends = await run(
        quick, hang, item_timeout=10, task_timeout=6, retry_wait=1
    )
    assert isinstance(result.error, ItemTimeoutError)
    assert (result.location or "").endswith("in hang")
    assert (seconds, result.attempts, stats.timeouts) == (10, 2, 2)
    assert ends == ["start", "success", "start", "retry", "start", "failure"]


@simulated(tick=0.0)
async def test_the_time_of_an_item_begins_when_a_worker_takes_it() -> None:
    results, seconds, _, _ = await run(quick, items=5, item_timeout=1.5)
    assert all(result.is_success for result in results)
    assert seconds == 5


@simulated(tick=0.0)
async def test_the_time_of_an_item_begins_anew_in_the_next_stage() -> None:
    stages = [Stage(name=name, workers=1, tasks=[quick, quick], item_timeout=2.5) for name in "ABC"]
    pipeline = Pipeline(stages, autoload=False)
    assert len(await pipeline.run([1])) == 1
    assert await pipeline.run([]) == []


@simulated(tick=0.0)
async def test_waiting_for_a_tasks_limit_counts() -> None:
    results, seconds, stats, _ = await run(
        hang, items=2, workers=2, item_timeout=10, task_concurrency_limits={"hang": 1}
    )
    assert all(isinstance(result.error, ItemTimeoutError) for result in results)
    assert (seconds, stats.timeouts) == (10, 2)


@pytest.mark.parametrize("in_time", [False, True])
@pytest.mark.parametrize("limit", ["item_timeout", "task_timeout"])
@simulated(tick=0.0)
async def test_a_timeout_of_an_inner_pipeline_is_an_error_like_any_other(
    limit: str, in_time: bool
) -> None:
    async def run_inner(_: object) -> None:
        options: dict[str, Any] = {limit: 5, "task_attempts": 1}
        inner = Pipeline([Stage(name="Inner", workers=1, tasks=[hang], **options)], autoload=False)
        (result,) = await inner.run([1], return_exceptions=True)
        result.unwrap()

    options = {} if in_time else {"item_timeout": 12, "task_timeout": 11}
    (result,), seconds, stats, _ = await run(run_inner, retry_wait=0, **options)
    if in_time:
        kind = ItemTimeoutError if limit == "item_timeout" else AttemptTimeoutError
        assert isinstance(result.error, kind)
        assert "'Inner'" in str(result.error)
        assert (seconds, result.attempts, stats.timeouts) == (15, 3, 0)
    else:  # the third attempt ends with the time of the item
        assert isinstance(result.error, ItemTimeoutError)
        assert "'Work'" in str(result.error)
        assert (seconds, result.attempts, stats.timeouts) == (12, 3, 1)


# What may coincide with a time limit


async def swallow_own_cancellation(_: object) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        await asyncio.sleep(1000)


async def recover_from_a_group(_: object) -> None:
    async def fail() -> None:
        raise OSError("busy")

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
    except* OSError:
        pass
    await asyncio.sleep(1000)


@pytest.mark.parametrize("limit", ["task_timeout", "item_timeout"])
@pytest.mark.parametrize("task", [swallow_own_cancellation, recover_from_a_group])
@simulated(tick=0.0)
async def test_a_cancellation_that_a_task_has_swallowed_does_not_end_the_run(
    task: Any, limit: str
) -> None:
    results, seconds, stats, _ = await run(task, items=2, task_attempts=1, **{limit: 5})
    assert all(isinstance(result.error, TimeoutError) for result in results)
    assert (seconds, stats.timeouts) == (10, 2)


@pytest.mark.parametrize("awaited", ["a timer", "a task", "a lingering task"])
@pytest.mark.parametrize("is_first", [True, False])
@simulated(tick=0.0)
async def test_a_worker_that_is_cancelled_as_its_attempt_times_out_ends_the_run(
    is_first: bool, awaited: str
) -> None:
    async def linger() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(1 if awaited == "a lingering task" else 0)

    async def hang(_: object) -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        if is_first:
            loop.call_at(begin + 5, task.cancel)
        else:  # a timer of that moment, set later
            loop.call_at(begin + 4, lambda: loop.call_at(begin + 5, task.cancel))
        await (asyncio.sleep(1000) if awaited == "a timer" else loop.create_task(linger()))

    begin = asyncio.get_running_loop().time()
    with pytest.raises(PipelineError, match="was cancelled from outside"):
        await run(hang, task_timeout=5)


@simulated(tick=0.0)
async def test_no_attempt_begins_when_the_time_of_the_item_is_over() -> None:
    calls = 0

    async def fail_late(_: object) -> None:
        nonlocal calls
        calls += 1
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            await asyncio.sleep(1)
            raise OSError("busy") from None

    (result,), seconds, stats, ends = await run(
        fail_late, item_timeout=5, retry_wait=0, task_attempts=9
    )
    assert isinstance(result.error, ItemTimeoutError)
    assert isinstance(result.error.__cause__, OSError)
    assert (calls, seconds, result.attempts, stats.timeouts) == (1, 6, 1, 1)
    assert ends == ["start", "failure"]


@simulated(tick=0.0)
async def test_an_item_whose_time_ends_while_it_waits_for_a_worker_fails_without_an_attempt() -> (
    None
):
    async def work(value: int) -> int:
        if value == 0:
            raise OSError("busy")
        await asyncio.sleep(10)
        return value

    results, seconds, stats, ends = await run(work, items=2, item_timeout=10, retry_wait=1)
    assert [type(result.error) for result in results] == [ItemTimeoutError] * 2
    assert (seconds, stats.timeouts) == (10, 2)
    assert ends == ["start", "retry", "start", "failure"]


async def test_threads_are_bounded_where_items_alone_have_a_time_limit() -> None:
    released = threading.Event()
    calls = 0

    def block(_: object) -> None:
        nonlocal calls
        calls += 1
        released.wait(30)

    try:
        results, _, stats, _ = await run(block, items=14, item_timeout=0.01)
        assert all(isinstance(result.error, ItemTimeoutError) for result in results)
        assert (calls, stats.abandoned_threads) == (10, 10)
    finally:
        released.set()


async def test_shutdown_does_not_wait_for_a_thread_that_may_not_be_started() -> None:
    released = threading.Event()

    def block(_: object) -> None:
        released.wait(30)

    stage = Stage(
        name="Work", workers=1, tasks=[block], task_timeout=0.01, task_attempts=99, retry_wait=0
    )
    pipeline = Pipeline([stage], autoload=False)
    try:
        await pipeline.start()
        await pipeline.feed([1])
        while not pipeline.get_stats().stage_stats["Work"].workers["waiting"]:
            await asyncio.sleep(0.001)
        async with asyncio.timeout(10):
            assert len(await pipeline.shutdown()) == 1
    finally:
        released.set()


@simulated(tick=0.0)
async def test_a_timed_out_attempt_leaves_no_cycle_for_the_garbage_collector() -> None:
    class Resource:
        pass

    resources: list[weakref.ref[Resource]] = []

    async def hold(_: object) -> None:
        resource = Resource()
        resources.append(weakref.ref(resource))
        await asyncio.sleep(1000)

    gc.disable()
    try:
        await run(hold, task_timeout=1, retry_wait=0)
        assert [resource() for resource in resources[:2]] == [None, None]  # the result has the last
    finally:
        gc.enable()
