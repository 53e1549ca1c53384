"""Tasks, stages, inputs and runs of them, and what can be read of a run."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from typing import Any, Protocol

import pytest

from antflow import Pipeline, Stage, StageStats, StatusTracker
from tests.helpers.virtual_time import others, settle, simulate

STATES = ["idle", "busy", "waiting", "blocked"]
SEEDS = [None, *range(8)]

watched_or_not = pytest.mark.parametrize("watched", [False, True], ids=["plain", "watched"])


class CustomExit(BaseException):
    """A BaseException that nobody knows."""


class InputBrokeError(Exception):
    """What an input raises half-way."""


# Tasks, stages and pipelines


async def same(value: Any) -> Any:
    return value


async def same_later(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


async def double(value: Any) -> Any:
    return 2 * value


async def fail(value: Any) -> Any:
    raise ValueError(f"{value} fails")


async def refuse_odd(value: int) -> int:
    if value % 2:
        raise ValueError(f"{value} is odd")
    return value


async def fail_later(value: Any) -> Any:
    await asyncio.sleep(1)
    raise ValueError(f"{value} fails")


class Failing:
    """A task whose first calls for each value fail; `times` says when each of its calls was."""

    def __init__(self, times: int, name: str = "task") -> None:
        self.__name__ = name
        self.calls: list[Any] = []
        self.times: list[float] = []
        self._failures = times

    async def __call__(self, value: Any) -> Any:
        self.calls.append(value)
        self.times.append(now())
        number = self.calls.count(value)
        if number <= self._failures:
            raise ValueError(f"{value}, attempt {number}")
        return value


async def sleep_long(value: Any) -> Any:
    await asyncio.sleep(1000)
    return value


def stage(*tasks: Any, **fields: Any) -> Stage:
    """Return a stage of one worker that tries its tasks once, unless asked otherwise."""
    return Stage(**{"name": "Work", "workers": 1, "tasks": tasks, "task_attempts": 1, **fields})


def piped(*stages: Stage, watched: bool = False, collect_results: bool = True) -> Pipeline:
    """Return a pipeline; one that is watched serves its items in the slower way."""
    tracker = StatusTracker(on_task_start=lambda event: None) if watched else None
    return Pipeline(stages, collect_results, tracker)


class Indexed:
    """An input of three that can only be had by their indices."""

    def __getitem__(self, index: int) -> int:
        if index < 3:
            return index
        raise IndexError


class Counted:
    """An input, endless by default, that counts how much of it was read."""

    def __init__(self, count: int | None = None) -> None:
        self.read = 0
        self._count = count

    def __iter__(self) -> Iterator[int]:
        for number in itertools.count() if self._count is None else range(self._count):
            self.read += 1
            yield number


# Uses of a pipeline: each returns the values of what succeeded


Use = Callable[[Pipeline, Any], Coroutine[Any, Any, list[Any]]]


async def by_run(pipeline: Pipeline, items: Any) -> list[Any]:
    return values(await pipeline.run(items))


async def by_stream(pipeline: Pipeline, items: Any) -> list[Any]:
    return [result.value async for result in pipeline.stream(items) if result.is_success]


async def by_feed(pipeline: Pipeline, items: Any) -> list[Any]:
    await pipeline.start()
    try:
        await pipeline.feed(items)
    finally:
        await pipeline.join()
    return values(pipeline.results)


async def by_process(pipeline: Pipeline, items: Any) -> list[Any]:
    await pipeline.start()
    results = await asyncio.gather(*map(pipeline.process, items))
    await pipeline.join()
    return values(result for result in results if result.is_success)


# Driving a run


def now() -> float:
    """Return the time on the running loop."""
    return asyncio.get_running_loop().time()


def run_exactly(main: Callable[[], Any], seed: int | None = None) -> Any:
    """Simulate with a clock that stands still but for what is slept."""
    return simulate(main, seed, tick=0.0)


def run(stages: list[Stage], items: Iterable[Any], **arguments: Any) -> Pipeline:
    """Run items through stages on the simulated loop, and return the pipeline."""

    async def main() -> Pipeline:
        pipeline = Pipeline(stages)
        await pipeline.run(items)
        assert not others()
        return pipeline

    found: Pipeline = simulate(main, **arguments)
    return found


async def start_with(pipeline: Pipeline, items: Any) -> None:
    """Start a pipeline, feed it, and wait until nothing moves."""
    await pipeline.start()
    await pipeline.feed(items)
    await settle()


async def cancel(task: asyncio.Task[Any]) -> None:
    """Cancel a task, and see that it was cancelled and nothing is left running."""
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert not others()


async def raised_by(awaitable: Awaitable[Any]) -> BaseException | None:
    """Return what an awaitable raises, also where that is no Exception."""
    try:
        await awaitable
    except BaseException as error:
        return error
    return None


def indirectly(call: Callable[[], Coroutine[Any, Any, Any]], way: str) -> Awaitable[Any]:
    """Await a call in another task than the one that waits for it."""
    if way == "gather":
        return asyncio.gather(call())
    if way == "wait_for":
        return asyncio.wait_for(call(), 5)
    return asyncio.ensure_future(call())


# Reading what there is to see of a run


class Valued(Protocol):
    """What has a value: a result, an item, or what is left of one."""

    @property
    def value(self) -> Any: ...


class Named(Protocol):
    """What has an id: a result, or what is left of an item."""

    @property
    def id(self) -> Any: ...


def values(items: Iterable[Valued]) -> list[Any]:
    return [item.value for item in items]


def ids(items: Iterable[Named]) -> list[Any]:
    return [item.id for item in items]


def left(pipeline: Pipeline) -> list[Any]:
    """Return the values of the items that the run left."""
    return values(pipeline.unprocessed)


def only_error(pipeline: Pipeline) -> BaseException | None:
    """Return what the pipeline's one failure failed of."""
    (failure,) = pipeline.failures
    return failure.error


def stats_of(pipeline: Pipeline, name: str = "Work") -> StageStats:
    return pipeline.get_stats().stage_stats[name]


def workers_of(pipeline: Pipeline, name: str = "Work") -> list[int]:
    """Return how many workers of a stage are in each state, in the order of STATES."""
    return [stats_of(pipeline, name).workers[state] for state in STATES]  # type: ignore[index]


def seconds_of(pipeline: Pipeline, name: str = "Work") -> list[float]:
    """Return the seconds of a stage by state, in the order of STATES, to the microsecond."""
    return [round(stats_of(pipeline, name).seconds[state], 6) for state in STATES]  # type: ignore[index]


def age(unix: float | None) -> float:
    """Return how long ago, in whole seconds, something was."""
    assert unix is not None
    return round(time.time() - unix)


def assert_all_are_somewhere(pipeline: Pipeline, expected: Iterable[Any]) -> None:
    """Check that each item is in exactly one list, and that the counts say the same."""
    ended = pipeline.results, pipeline.failures, pipeline.unprocessed
    assert sorted(item_id for items in ended for item_id in ids(items)) == sorted(expected)
    stats = pipeline.get_stats()
    assert stats.items_outstanding == 0
    counts = stats.items_processed, stats.items_failed, stats.items_unprocessed
    assert counts == tuple(len(items) for items in ended)
    assert stats.items_fed == sum(counts)
