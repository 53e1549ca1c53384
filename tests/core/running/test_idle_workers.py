"""A worker that waits for its next item keeps nothing of the last one alive."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, ClassVar

import pytest

from antflow import Pipeline, Stage, StatusEvent, TaskEvent, hookimpl
from tests.helpers.runs import stage
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import begun, settle, simulate


class Value:
    """What tasks take, make and await; `alive` lists those that are still there."""

    made: ClassVar[list[weakref.ref[Value]]] = []

    def __init__(self) -> None:
        self.made.append(weakref.ref(self))


def alive() -> list[Value]:
    return [value for reference in Value.made if (value := reference()) is not None]


class Answer(Value):
    """An awaitable that a task may return in place of a coroutine."""

    def __await__(self) -> Any:
        yield from asyncio.sleep(1).__await__()
        return Value()


async def make(_: Value) -> Value:
    local = [Value()]
    await asyncio.sleep(0)
    local.append(Value())
    return local[1]


def make_awaitable(_: Value) -> Answer:
    return Answer()


def make_in_a_thread(_: Value) -> Value:
    return Value()


async def consume(_: Value) -> None:
    await asyncio.sleep(0)


async def fail(_: Value) -> Value:
    local = Value()
    raise ValueError(local)


class Flaky:
    """Fails at every other call."""

    __name__ = "flaky"

    def __init__(self) -> None:
        self._calls = 0

    async def __call__(self, value: Value) -> Value:
        self._calls += 1
        return await (fail(value) if self._calls % 2 else make(value))


class Observer:
    @hookimpl
    def antflow_item_status(self, event: StatusEvent) -> None:
        pass

    @hookimpl
    def antflow_task_failure(self, event: TaskEvent) -> None:
        pass


class AsyncObserver:
    @hookimpl
    async def antflow_item_status(self, event: StatusEvent) -> None:
        await asyncio.sleep(0)

    @hookimpl
    async def antflow_task_retry(self, event: TaskEvent) -> None:
        await asyncio.sleep(0)


def last(**fields: Any) -> Stage:
    return stage(consume, name="Last", **fields)


STAGES: dict[str, Callable[[], list[Stage]]] = {
    "one task": lambda: [stage(make, workers=2), last()],
    "two tasks": lambda: [stage(make, make), last()],
    "awaitable": lambda: [stage(make_awaitable), last()],
    "thread": lambda: [stage(make_in_a_thread), last()],
    "skipped": lambda: [stage(make, skip_if=lambda _: True), last()],
    "callback": lambda: [stage(make, on_success=lambda *_: None), last()],
    "pull": lambda: [stage(make), last(pull=True)],
    "limit": lambda: [stage(make, task_concurrency_limits={"make": 1}), last()],
    "failure": lambda: [stage(fail), last()],
    "failure of the second task": lambda: [stage(make, fail), last()],
    "retry at once": lambda: [stage(Flaky(), task_attempts=2, task_wait_seconds=0), last()],
    "retry later": lambda: [stage(Flaky(), task_attempts=2, task_wait_seconds=5), last()],
    "retry of the stage": lambda: [stage(make, Flaky(), retry="per_stage"), last()],
}


@pytest.fixture(autouse=True)
def only_references() -> Iterator[None]:
    """Have objects end with their last reference, not with the garbage collector."""
    Value.made.clear()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("make_stages", STAGES.values(), ids=STAGES)
@pytest.mark.parametrize("plugins", [[], [Observer()], [AsyncObserver()]], ids=len)
def test_an_idle_worker_keeps_nothing_of_its_last_item(
    make_stages: Callable[[], list[Stage]], plugins: list[object]
) -> None:
    uses_threads = make_stages in (STAGES["thread"], STAGES["awaitable"])
    simulate(lambda: look_between_items(make_stages(), plugins), threads=uses_threads)


async def until_threads_let_go() -> None:
    """Give a real thread the time to let go of what it has returned."""
    for _ in range(1000):
        if not alive():
            return
        time.sleep(0.001)  # noqa: ASYNC251 - the thread needs no event loop


async def look_between_items(stages: list[Stage], plugins: list[object]) -> None:
    async def read() -> AsyncIterator[Value]:
        for _ in range(5):
            yield Value()
            await asyncio.sleep(100)
            await until_threads_let_go()
            found.append(len(alive()))

    found: list[int] = []
    pipeline = Pipeline(stages, collect_results=False, plugins=plugins)
    async for result in pipeline.stream(read()):
        del result
    assert len(Value.made) >= 5
    assert found == [0] * 5


@simulated()
async def test_a_feed_keeps_no_value_while_it_waits_for_the_next() -> None:
    async def read() -> AsyncIterator[Value]:
        yield Value()
        await asyncio.sleep(100)

    pipeline = Pipeline([last()], collect_results=False)
    await pipeline.start()
    feeding = await begun(pipeline.feed(read()))
    await settle()
    assert len(Value.made) == 1
    assert alive() == []
    await feeding
    await pipeline.join()
