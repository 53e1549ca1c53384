"""Retries, semaphores and limits of an executor's calls, and what statistics and hooks see."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest

from antflow import AsyncExecutor, Limit, RetryAfter, current_limits, hookimpl
from antflow._engine.limiting.executor_stage import LimitsOfCalls
from tests.helpers.runs import now, raised_by
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import settle


class Flaky:
    """A function that fails so many times."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.called: list[float] = []

    async def __call__(self, value: Any = None) -> Any:
        self.called.append(round(now(), 2))
        if len(self.called) <= self.failures:
            raise ValueError(len(self.called))
        return value


@simulated()
async def test_a_call_is_repeated_after_waits_that_double_and_holds_no_worker() -> None:
    flaky = Flaky(3)
    async with AsyncExecutor(max_workers=1) as executor:
        future = executor.submit(flaky, "value", retries=3, retry_delay=1)
        await asyncio.sleep(0.1)
        assert await executor.submit(Flaky(0), "other") == "other"  # meanwhile
        assert now() == pytest.approx(0.1, abs=0.01)
        assert await future == "value"
    assert flaky.called == [0, 1, 3, 7]


@pytest.mark.parametrize("retries", [0, 1])
@simulated()
async def test_the_error_of_the_last_attempt_is_raised(retries: int) -> None:
    async with AsyncExecutor() as executor:
        error = await raised_by(executor.submit(Flaky(9), retries=retries, retry_delay=0))
        assert (type(error), str(error)) == (ValueError, str(retries + 1))
        assert isinstance(await raised_by(executor.map(Flaky(9), [1], retries=retries)), ValueError)


@simulated()
async def test_calls_repeat_with_their_own_retries() -> None:
    async with AsyncExecutor() as executor:
        few, many = Flaky(2), Flaky(2)
        futures = [executor.submit(few, retries=1), executor.submit(many, 1, retries=2)]
        await executor.wait(futures)
    assert [len(few.called), len(many.called)] == [2, 3]
    assert [type(each.exception()) for each in futures] == [ValueError, type(None)]


@pytest.mark.parametrize("retries", [0, 2])
@simulated()
async def test_retry_after_chooses_the_wait_and_not_the_attempts(retries: int) -> None:
    called: list[float] = []

    async def overloaded() -> None:
        called.append(round(now(), 2))
        raise RetryAfter(5)

    async with AsyncExecutor() as executor:
        error = await raised_by(executor.submit(overloaded, retries=retries))
        assert isinstance(error, RetryAfter)
    assert called == [0, 5, 10][: retries + 1]


@simulated()
async def test_the_longest_wait_is_a_minute_or_the_first() -> None:
    flaky, patient = Flaky(8), Flaky(2)
    async with AsyncExecutor() as executor:
        await executor.submit(flaky, retries=8, retry_delay=1)
        begun = now()
        await executor.submit(patient, retries=2, retry_delay=100)
        assert now() - begun == pytest.approx(200, abs=0.1)
    assert flaky.called[-1] - flaky.called[-2] == 60


async def stay(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return now()


@simulated()
async def test_a_semaphore_is_held_by_each_attempt_and_its_worker_waits() -> None:
    semaphore = asyncio.Semaphore(2)
    async with AsyncExecutor(max_workers=5) as executor:
        futures = [executor.submit(stay, 1, semaphore=semaphore) for _ in range(4)]
        await settle()
        stats = executor.get_stats().stage_stats["executor"]
        assert (stats.workers["busy"], stats.workers["waiting"]) == (2, 2)
        ends = [await each for each in futures]
    assert ends == pytest.approx([1, 1, 2, 2], abs=0.01)
    assert not semaphore.locked()


LIMITS: dict[str, tuple[dict[str, Any], list[float]]] = {
    "a rate": ({"rate": 1}, [1, 2, 3, 4]),
    "a concurrency": ({"concurrency": 2}, [1, 1, 2, 2]),
    "a key for each argument": ({"rate": 1, "key": lambda value: value}, [1, 2, 3, 4]),
    "no key": ({"rate": 1, "key": lambda value: None}, [1, 1, 1, 1]),
    "a cost": ({"rate": 2, "burst": 2, "cost": lambda value: value}, [1, 1, 2, 2]),
}


@pytest.mark.parametrize(("fields", "expected"), LIMITS.values(), ids=LIMITS)
@simulated()
async def test_a_limit_holds_no_worker_and_no_other_calls(
    fields: dict[str, Any], expected: list[float]
) -> None:
    limit = Limit(**fields, name="api")
    async with AsyncExecutor(max_workers=5) as executor:
        futures = [executor.submit(stay, 1, semaphore=limit) for _ in range(4)]
        assert await executor.submit(stay, 0.5) == pytest.approx(0.5, abs=0.01)
        stats = executor.get_stats().stage_stats["executor"]
        assert stats.limits["api"].waiting == stats.parked_items
        assert [await each for each in futures] == pytest.approx(expected, abs=0.02)
    assert limit.stats().in_use == limit.stats().waiting == 0


@simulated()
async def test_an_error_of_a_limit_is_that_of_its_call() -> None:
    def broken(value: Any) -> Any:
        raise KeyError(value)

    async with AsyncExecutor() as executor:
        for limit in Limit(rate=1, key=broken), Limit(rate=1, cost=broken):
            assert isinstance(await raised_by(executor.submit(stay, 1, semaphore=limit)), KeyError)


@simulated()
async def test_each_limit_is_in_the_statistics_while_it_is_alive() -> None:
    limits = [Limit(concurrency=1), Limit(concurrency=1), Limit(concurrency=1, name="api")]
    async with AsyncExecutor(max_workers=9) as executor:
        futures = [executor.submit(stay, 1, semaphore=each) for each in limits for _ in range(2)]
        await settle()
        stats = executor.get_stats().stage_stats["executor"]
        waiting = {name: each.waiting for name, each in stats.limits.items()}
        assert waiting == {"limit": 1, "limit-2": 1, "api": 1}
        await executor.wait(futures)
        await executor.submit(stay, 0)  # or the last call's limit is held by the executor
        del limits, futures, stats
        gc.collect()
        assert not executor.get_stats().stage_stats["executor"].limits


@pytest.mark.parametrize("in_thread", [False, True])
@simulated()
async def test_a_call_corrects_its_limit(in_thread: bool) -> None:
    def correct(value: Any) -> None:
        current_limits()["tokens"].correct(50)

    async def correct_on_loop(value: Any) -> None:
        correct(value)

    limit = Limit(rate=100, burst=100, cost=lambda value: 10, name="tokens")
    async with AsyncExecutor() as executor:
        await executor.submit(correct if in_thread else correct_on_loop, 1, semaphore=limit)
    assert limit.stats().available == pytest.approx(50, abs=1)


@simulated()
async def test_a_limit_keeps_its_name_when_others_are_gone() -> None:
    limits = [Limit(concurrency=1) for _ in range(9)]
    async with AsyncExecutor(max_workers=9) as executor:
        await executor.wait([executor.submit(stay, 0, semaphore=each) for each in limits])
        await executor.submit(stay, 0)
        del limits[:8]
        gc.collect()
        await executor.wait([executor.submit(stay, 0, semaphore=each) for each in limits])
        assert list(executor.get_stats().stage_stats["executor"].limits) == ["limit-9"]


def test_the_limits_of_calls_may_change_while_another_thread_reads_them() -> None:
    # Through the public API this would need threads and luck.
    first, second = Limit(concurrency=1), Limit(concurrency=1)
    limits = LimitsOfCalls(first=first)
    reading = limits.items()
    limits["second"] = second
    assert list(reading) == [("first", first)]


@simulated()
async def test_limits_are_shared_by_executors_and_freed_by_a_cancelled_call() -> None:
    limit = Limit(concurrency=1)
    async with AsyncExecutor() as first, AsyncExecutor() as second:
        running = first.submit(stay, 9, semaphore=limit)
        await settle()
        waiting = second.submit(stay, 1, semaphore=limit)
        await asyncio.sleep(1)
        running.cancel()
        assert await waiting == pytest.approx(2, abs=0.01)


@simulated()
async def test_hooks_and_statistics_see_calls_as_items() -> None:
    seen: list[Any] = []

    class Spy:
        @hookimpl
        def antflow_task_success(self, event: Any) -> None:
            seen.append((event.stage, event.item_id, event.result))

        @hookimpl
        def antflow_pipeline_finish(self, pipeline: Any) -> None:
            seen.append(pipeline.name)

    async with AsyncExecutor(name="calls", plugins=[Spy()], autoload=False) as executor:
        await executor.map(stay, [0, 0])
        stats = executor.get_stats()
        assert (stats.items_processed, list(stats.stage_stats)) == (2, ["calls"])
    assert [each[:2] for each in seen[:2]] == [("calls", 0), ("calls", 1)]
    assert seen[2:] == ["calls"]


@simulated(threads=True)
async def test_a_plain_function_sees_arguments_and_may_return_a_coroutine() -> None:
    def plain(*args: Any, **kwargs: Any) -> Any:
        return stay(0) if not args else (args, kwargs, threading.current_thread().name)

    async with AsyncExecutor(name="calls") as executor:
        args, kwargs, thread = await executor.submit(plain, 1, 2, three=3)
        assert (args, kwargs, thread) == ((1, 2), {"three": 3}, "calls-T0")
        assert await executor.submit(plain) == pytest.approx(0, abs=0.1)


@simulated()
async def test_a_progress_display_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    async with AsyncExecutor(name="shown", progress=True) as executor:
        await executor.map(stay, [1, 1])
    assert "shown" in capfd.readouterr().err
