"""Runs that are dropped, or whose event loop is closed: one warning and no other report."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
import warnings
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from antflow import Pipeline, StatusEvent, TaskEvent, hookimpl
from tests.helpers.displays import Recorder
from tests.helpers.runs import fail, same, stage
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import others, settle


async def hang(*_: Any) -> None:
    await asyncio.Event().wait()


async def sleep_long(*_: Any) -> None:
    await asyncio.sleep(1000)


async def one_and_no_end() -> AsyncIterator[int]:
    yield 1
    await hang()


def slow_in_a_thread() -> Iterator[int]:
    yield 1
    time.sleep(0.1)  # in a thread, which nothing can wake earlier
    yield 2


class HangingStart:
    @hookimpl
    async def antflow_pipeline_start(self) -> None:
        await hang()


class HangingFinish:
    @hookimpl
    async def antflow_pipeline_finish(self) -> None:
        await hang()


class HangingItemStart:
    @hookimpl
    async def antflow_item_start(self, event: StatusEvent) -> None:
        await hang()


class HangingStatus:
    @hookimpl
    async def antflow_item_status(self, event: StatusEvent) -> None:
        if event.status == "in_progress":
            await hang()


class HangingSuccess:
    @hookimpl
    async def antflow_task_success(self, event: TaskEvent) -> None:
        await hang()


def piped(task: Any = hang, *plugins: object, **fields: Any) -> Pipeline:
    stages = [stage(task, workers=2, **fields), stage(same, name="Last")]
    return Pipeline(stages, name="books", plugins=plugins)


Begin = Callable[[], Awaitable[Any]]


async def started(pipeline: Pipeline, *begin: Callable[[Pipeline], Awaitable[Any]]) -> None:
    """Start a pipeline, and leave calls to it in tasks of their own."""
    await pipeline.start()
    for call in begin:
        leave(call(pipeline))
        await asyncio.sleep(0.01)


def leave(call: Awaitable[Any]) -> None:
    asyncio.ensure_future(call)  # noqa: RUF006 - it is to be dropped


async def run(pipeline: Pipeline, items: Any = range(100), **options: Any) -> None:
    leave(pipeline.run(items, **options))


async def first_of(pipeline: Pipeline) -> None:
    leave(pipeline.stream(one_and_no_end()).__anext__())


def hanging_in(method: str) -> Recorder:
    return Recorder(**{method: hang})


LEFT: dict[str, Begin] = {
    "idle": lambda: started(piped(same)),
    "input": lambda: run(piped(same), one_and_no_end()),
    "input and workers": lambda: run(piped(), one_and_no_end()),
    "room": lambda: run(piped(queue_capacity=1)),
    "timers": lambda: run(piped(sleep_long)),
    "input in a thread": lambda: run(piped(), slow_in_a_thread(), read_in_thread=True),
    "stream": lambda: first_of(piped()),
    "feed": lambda: started(piped(queue_capacity=1), lambda one: one.feed(range(100))),
    "process": lambda: started(piped(), lambda one: one.process(1)),
    "process_threadsafe": lambda: started(
        piped(), lambda one: asyncio.wrap_future(one.process_threadsafe(1))
    ),
    "join": lambda: started(piped(), lambda one: one.feed([1]), Pipeline.join),
    "shutdown": lambda: started(piped(), lambda one: one.feed([1]), Pipeline.shutdown),
    "drain": lambda: started(
        piped(), lambda one: one.feed([1]), lambda one: one.shutdown(drain=True, timeout=1000)
    ),
    "parked": lambda: run(piped(fail, task_attempts=2, task_wait_seconds=1000)),
    "limit": lambda: run(piped(task_concurrency_limits={"hang": 1})),
    "pull": lambda: run(Pipeline([stage(same), stage(hang, name="Last", pull=True)])),
    "start hook": lambda: run(piped(same, HangingStart())),
    "finish hook": lambda: run(piped(same, HangingFinish())),
    "item hook": lambda: run(piped(same, HangingItemStart())),
    "item hook of feed": lambda: started(
        piped(same, HangingItemStart()), lambda one: one.feed([1, 2])
    ),
    "item hook of process": lambda: started(
        piped(same, HangingItemStart()), lambda one: one.process(1)
    ),
    "status hook": lambda: run(piped(same, HangingStatus())),
    "success hook": lambda: run(piped(same, HangingSuccess())),
    "on_success": lambda: run(piped(same, on_success=hang)),
    "skip_if": lambda: run(piped(same, skip_if=hang)),
    "dashboard's start": lambda: run(piped(same), custom_dashboard=hanging_in("on_start")),
    "dashboard's update": lambda: run(piped(same), custom_dashboard=hanging_in("on_update")),
    "dashboard's finish": lambda: run(piped(same), custom_dashboard=hanging_in("on_finish")),
    "ticker": lambda: run(piped(), custom_dashboard=Recorder()),
}
each_left = pytest.mark.parametrize("begin", LEFT.values(), ids=LEFT)


@each_left
def test_a_loop_that_is_closed_too_early_leaves_one_warning(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    unraisable: list[Any] = []
    reports: list[str] = []

    async def main() -> None:
        await begin()
        # Real time, since a thread may take part; and turns of the loop, for tasks to begin.
        for _ in range(10):
            await asyncio.sleep(0.001)

    gc.collect()
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _, context: reports.append(str(context.get("task"))))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loop.run_until_complete(main())
        loop.close()
        for thread in threading.enumerate():
            if thread.name == "books-input":
                thread.join()
        gc.collect()
    assert [str(each.exc_value) for each in unraisable] == []
    assert [each.category for each in caught] == [ResourceWarning]
    assert "Pipeline " in str(caught[0].message)
    # asyncio reports the tasks that the test made: they call the pipeline
    assert [text for text in reports if "coro=<Pipeline." not in text and "Run" in text] == []


@simulated()
async def test_a_pipeline_that_is_dropped_while_it_runs_warns_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reports: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: reports.append(context["message"])
    )
    pipeline = Pipeline([stage(hang, workers=3)], name="books")
    await pipeline.start()
    await pipeline.feed(range(9))
    await settle()
    dropped = weakref.ref(pipeline)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del pipeline
        gc.collect()
        await settle()
        gc.collect()
    assert dropped() is None
    (warning,) = caught
    assert warning.category is ResourceWarning
    assert "'books'" in str(warning.message)
    assert "shutdown()" in str(warning.message)
    assert reports == []
    assert not others()


@pytest.mark.parametrize("end", ["join", "shutdown", "async with", "cancelled", "left stream"])
@simulated()
async def test_a_run_that_has_ended_does_not_warn(end: str) -> None:
    pipeline = Pipeline([stage(same)])
    if end == "async with":
        async with pipeline:
            await pipeline.start()
    elif end == "cancelled":
        running = asyncio.ensure_future(pipeline.run(one_and_no_end()))
        await settle()
        running.cancel()
        await asyncio.wait([running])
    elif end == "left stream":
        async for _ in pipeline.stream(range(100)):
            break
        await settle()
    else:
        await pipeline.start()
        await getattr(pipeline, end)()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del pipeline
        gc.collect()
    assert caught == []


# A stream that is dropped


@pytest.mark.parametrize("is_kept", [False, True], ids=["dropped", "kept"])
@pytest.mark.parametrize("cleans_up_for", [0, 0.5, 100])
@pytest.mark.parametrize("taken", [1, 5])
@pytest.mark.parametrize("seed", [None, *range(6)])
@simulated()
async def test_shutdown_waits_until_the_input_of_a_stream_is_closed(
    is_kept: bool, cleans_up_for: float, taken: int, seed: int | None
) -> None:
    closed: list[str] = []

    async def read() -> AsyncIterator[int]:
        try:
            for number in range(1000):
                yield number
                await asyncio.sleep(0)
        finally:
            await asyncio.sleep(cleans_up_for)
            closed.append("closed")

    async def take() -> Any:
        stream = pipeline.stream(read())
        for _ in range(taken):
            await anext(stream)
        return stream if is_kept else None

    pipeline = Pipeline([stage(same, workers=2)])
    kept = await take()
    await pipeline.shutdown()
    assert closed == ["closed"]
    assert not others()
    del kept


@pytest.mark.parametrize("is_stream", [False, True], ids=["run", "stream"])
@simulated()
async def test_a_pipeline_that_is_dropped_after_its_run_needs_no_garbage_collector(
    is_stream: bool,
) -> None:
    pipeline = piped(same)
    gc.disable()
    try:
        if is_stream:
            assert len([result async for result in pipeline.stream(range(3))]) == 3
        else:
            assert len(await pipeline.run(range(3))) == 3
        assert pipeline.get_stats().items_processed == 3
        kept = weakref.ref(pipeline)
        del pipeline
        assert kept() is None
    finally:
        gc.enable()
