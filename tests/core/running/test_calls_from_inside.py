"""What tasks and callbacks may ask of their own pipeline, and of others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from antflow import Pipeline, PipelineError, TaskEvent, hookimpl
from tests.helpers.runs import (
    double,
    fail,
    indirectly,
    now,
    only_error,
    same,
    stage,
    start_with,
    values,
)
from tests.helpers.simulated import simulated
from tests.helpers.task_factories import each_task_factory
from tests.helpers.virtual_time import Gate, begun, others

# Waiting for the run that waits for the task


WAITS = [
    *((method, "directly") for method in ("join", "shutdown", "process", "run")),
    *(
        (method, how)
        for how in ("gather", "wait_for", "task")
        for method in ("join", "process", "shutdown")
    ),
]


@pytest.mark.parametrize(("method", "how"), WAITS)
@simulated()
async def test_a_task_cannot_wait_for_its_own_pipeline(method: str, how: str) -> None:
    async def wait(value: int) -> None:
        items = {"process": [value], "run": [[value]], "join": [], "shutdown": []}
        arguments: Any = items[method]
        call: Callable[[], Any] = lambda: getattr(pipeline, method)(*arguments)  # noqa: E731
        await (call() if how == "directly" else indirectly(call, how))

    pipeline = Pipeline([stage(wait)], name="books")
    await pipeline.run([1])
    error = only_error(pipeline)
    assert isinstance(error, PipelineError)
    assert "'books'" in str(error)
    assert method == "run" or f"{method}()" in str(error)


@pytest.mark.parametrize("method", ["join", "shutdown"])
@simulated()
async def test_a_callback_cannot_wait_for_its_own_pipeline(
    method: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def wait(*_: Any) -> None:
        await getattr(pipeline, method)()

    pipeline = Pipeline([stage(same, on_success=wait)])
    assert values(await pipeline.run([1])) == [1]
    (record,) = caplog.records
    assert record.exc_info
    assert isinstance(record.exc_info[1], PipelineError)


Call = Coroutine[Any, Any, Any]


async def in_a_group(call: Call) -> Any:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(call)
    return task.result()


async def by_wait(call: Call) -> Any:
    task = asyncio.create_task(call)
    await asyncio.wait([task], timeout=1000)
    return task.result()


async def late(call: Call) -> Any:
    task = asyncio.create_task(call)
    await asyncio.sleep(10)
    return await task


INDIRECT_WAITS: list[Callable[[Call], Any]] = [
    asyncio.gather,
    asyncio.create_task,
    lambda call: asyncio.wait_for(call, 1000),
    asyncio.shield,
    lambda call: asyncio.gather(asyncio.shield(asyncio.wait_for(call, 1000))),
    in_a_group,
    by_wait,
]
LATE_WAITS: list[Callable[[Call], Any]] = [late, lambda call: asyncio.create_task(late(call))]
"""Begun when the shutdown has closed the run."""
PLACES = ["task", "on_success", "skip_if", "hook"]


def calling(place: str, call: Callable[[], Any]) -> Pipeline:
    """Return a pipeline of two workers that awaits a call once, at this place."""
    calls = [call]

    async def call_once(*arguments: Any) -> Any:
        if calls:
            await calls.pop()()
        return arguments[0] if place == "task" else False

    class Hooks:
        @hookimpl
        async def antflow_task_success(self, event: TaskEvent) -> None:
            await call_once(event)

    functions: dict[str, Any] = {} if place in ("task", "hook") else {place: call_once}
    task = call_once if place == "task" else same
    plugins = [Hooks()] if place == "hook" else []
    return Pipeline([stage(task, workers=2, **functions)], plugins=plugins)


@each_task_factory
@pytest.mark.parametrize(
    ("wait", "place", "options"),
    [
        *((wait, "task", {}) for wait in INDIRECT_WAITS + LATE_WAITS),
        *((wait, place, {}) for wait in (asyncio.gather, late) for place in PLACES[1:]),
        *((wait, "task", {"drain": True}) for wait in (asyncio.gather, late)),
        *((wait, "task", {"timeout": 9999}) for wait in (asyncio.gather, late)),
    ],
)
@simulated()
async def test_a_shutdown_that_its_own_worker_waits_for_is_refused(
    wait: Callable[[Call], Any], place: str, options: dict[str, Any], factory: Any
) -> None:
    async def stop() -> None:
        with pytest.raises((PipelineError, ExceptionGroup)) as caught:
            await wait(pipeline.shutdown(**options))
        error: Any = caught.value
        errors.append(error.exceptions[0] if isinstance(error, ExceptionGroup) else error)

    asyncio.get_running_loop().set_task_factory(factory)
    errors: list[Exception] = []
    pipeline = calling(place, stop)
    await pipeline.run([1, 2, 3])
    (error,) = errors
    assert isinstance(error, PipelineError)
    assert "shutdown()" in str(error)
    assert pipeline.plugin_faults == {}
    assert wait in LATE_WAITS or len(pipeline.results) == 3  # the run goes on
    assert not others()


@each_task_factory
@pytest.mark.parametrize("drain", [False, True])
@pytest.mark.parametrize(
    ("place", "goes_on"), [("task", 0), ("task", 1), *((place, 50) for place in PLACES)]
)
@simulated(tick=0.0)
async def test_a_shutdown_that_a_worker_does_not_wait_for_ends_the_run(
    place: str, goes_on: float, drain: bool, factory: Any
) -> None:
    async def stop() -> None:
        stopping.append(asyncio.create_task(pipeline.shutdown(drain=drain)))
        if goes_on:
            await asyncio.sleep(goes_on)

    asyncio.get_running_loop().set_task_factory(factory)
    stopping: list[asyncio.Task[list[Any]]] = []
    pipeline = calling(place, stop)
    await pipeline.run(range(100))
    assert await stopping[0] == pipeline.unprocessed
    assert now() == goes_on
    stats = pipeline.get_stats()
    assert stats.items_outstanding == 0
    assert stats.items_fed == stats.items_processed + stats.items_unprocessed
    if drain:  # all but the value that was just being read
        assert stats.items_unprocessed <= 1
    assert not others()


@simulated()
async def test_a_task_cannot_join_the_pipeline_that_waits_for_its_own() -> None:
    async def join_outer(_: int) -> None:
        await outer.join()

    async def run_inner(value: int) -> None:
        inner = Pipeline([stage(join_outer)])
        await inner.run([value])
        error = only_error(inner)
        assert error is not None
        raise error

    outer = Pipeline([stage(run_inner)])
    await outer.run([1])
    assert isinstance(only_error(outer), PipelineError)


@simulated()
async def test_a_task_may_run_another_pipeline() -> None:
    inner = stage(double, name="Inner")

    async def run_inner(value: int) -> list[Any]:
        return values(await Pipeline([inner]).run([value, value + 1]))

    outer = Pipeline([stage(run_inner, name="Outer", workers=2)])
    assert values(await outer.run([1, 2])) == [[2, 4], [4, 6]]


# Feeding


def crawling(depth: int, target: str | None = None, **fields: Any) -> Pipeline:
    """Return a pipeline that feeds two longer texts of each text shorter than `depth`."""

    async def visit(text: str) -> str:
        if len(text) < depth:
            await pipeline.feed([text + "a", text + "b"], target_stage=target)
        return text

    stages = [stage(same, name="First", queue_capacity=1), stage(visit, name="Last", **fields)]
    pipeline = Pipeline(stages)
    return pipeline


@pytest.mark.parametrize("target", ["First", "Last"])
@pytest.mark.parametrize("fields", [{"pull": True}, {"workers": 4, "queue_capacity": 1}])
@pytest.mark.parametrize("end", ["join", "drain"])
@simulated()
async def test_a_task_feeds_its_own_pipeline_also_while_that_is_ended(
    end: str, fields: dict[str, Any], target: str
) -> None:
    pipeline = crawling(depth=5, target=target, **fields)
    await pipeline.start()
    await pipeline.feed([""])
    await (pipeline.join() if end == "join" else pipeline.shutdown(drain=True))
    assert len(set(values(pipeline.results))) == len(pipeline.results) == 2**6 - 1


@pytest.mark.parametrize("role", ["on_success", "on_failure", "on_skip", "skip_if"])
@simulated()
async def test_a_callback_feeds_its_own_pipeline(role: str) -> None:
    async def feed_once(*_: Any) -> None:
        if pipeline.get_stats().items_fed < 10:
            await pipeline.feed(["more"] * 5)

    options: dict[str, Any] = {"skip_if": lambda _: role == "on_skip", role: feed_once}
    task = fail if role == "on_failure" else same
    pipeline = Pipeline([stage(task, queue_capacity=1, **options)])
    await pipeline.run(["one"])
    assert len(pipeline.results) + len(pipeline.failures) == 11


@simulated()
async def test_a_task_that_a_task_makes_feeds_past_the_capacity_too() -> None:
    async def spread(value: int) -> int:
        if value == 0:
            await asyncio.gather(*(pipeline.feed([number]) for number in range(1, 9)))
        return value

    pipeline = Pipeline([stage(spread, queue_capacity=1)])
    assert values(await pipeline.run([0])) == list(range(9))


@simulated()
async def test_what_a_task_feeds_during_a_shutdown_is_unprocessed() -> None:
    gate = Gate()

    async def feed_at_last(value: int) -> int:
        await gate(value)
        await pipeline.feed([value + 1])
        return value

    pipeline = Pipeline([stage(feed_at_last)])
    await start_with(pipeline, [1])
    shutdown = await begun(pipeline.shutdown())
    gate.open()
    assert values(await shutdown) == [2]
    assert values(pipeline.results) == [1]


@pytest.mark.parametrize("begin", ["run", "start"])
@simulated()
async def test_a_pipeline_that_a_task_runs_feeds_the_outer_one_past_capacity(begin: str) -> None:
    async def feed_outer(value: int) -> int:
        await outer.feed(["from the inner one"] * 3)
        return value

    async def run_inner(value: Any) -> Any:
        if value == 0:
            inner = Pipeline([stage(feed_outer, name="Inner")])
            await inner.run([1])
            assert inner.failures == []
        return value

    outer = Pipeline([stage(run_inner, name="Outer", queue_capacity=1)])
    if begin == "run":
        await outer.run([0])
    else:
        await start_with(outer, [0])
        await outer.join()
    assert outer.failures == []
    assert len(outer.results) == 4
