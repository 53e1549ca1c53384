"""The events of items when a run is cancelled or shut down, or a stream is left.

Events are compared in the short form of `test_order_of_events.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from antflow import Pipeline, PipelineError, Stage, concurrency_limit
from tests.helpers.events import (
    LONG,
    ONCE,
    Chain,
    Stop,
    Task,
    Watcher,
    cancel,
    check_laws,
    give_up,
    passing,
    under_way,
    watched,
    worker,
)
from tests.helpers.runs import Failing, same, values
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, others

PASSED = "queued, in_progress, start task 1, complete task 1, completed"
CANCELLED = "queued, in_progress, start task 1, cancel task 1, unprocessed"

Running = asyncio.Task[Any]


async def shut_down(pipeline: Pipeline, running: Running, **options: Any) -> None:
    assert len(await pipeline.shutdown(**options)) == 2
    await running


async def cancel_run(pipeline: Pipeline, running: Running) -> None:
    await cancel(running)


async def cancel_worker(pipeline: Pipeline, running: Running) -> None:
    name = f"{pipeline.stages[len(pipeline.stages) // 2].name}-W0"
    worker(name).cancel()
    with pytest.raises(PipelineError, match=f"'{name}' was cancelled"):
        await running


STOPS: dict[str, Callable[[Pipeline, Running], Awaitable[None]]] = {
    "cancelled": cancel_run,
    "worker cancelled": cancel_worker,
    "timeout of 0": lambda *run: shut_down(*run, timeout=0),
    "timeout": lambda *run: shut_down(*run, timeout=5),
    "drain with timeout of 0": lambda *run: shut_down(*run, drain=True, timeout=0),
    "drain with timeout": lambda *run: shut_down(*run, drain=True, timeout=5),
}


@pytest.mark.parametrize("end", STOPS.values(), ids=STOPS)
@simulated()
async def test_a_stop_cancels_the_running_attempt_and_leaves_its_item(
    stop: Stop, end: Callable[[Pipeline, Running], Awaitable[None]]
) -> None:
    await end(*await stop.running())
    assert not others()
    stop.check(CANCELLED)


@pytest.mark.parametrize("end", [cancel_run, lambda *run: shut_down(*run, timeout=1)])
@pytest.mark.parametrize(
    ("fields", "last"),
    [
        ({"task_wait_seconds": 10 * LONG}, "retry task 1, unprocessed"),
        ({"retry": "per_stage"}, "retry task 1, retrying, unprocessed"),
    ],
    ids=["per_task", "per_stage"],
)
@simulated()
async def test_an_item_that_waits_for_a_retry_when_the_run_stops_is_left(
    stop: Stop,
    fields: dict[str, Any],
    last: str,
    end: Callable[[Pipeline, Running], Awaitable[None]],
) -> None:
    pipeline, running = await stop.running(**fields)
    stop.gate.fail(0, ValueError())
    await asyncio.sleep(LONG)
    assert stop.gate.waiting == [1]
    await end(pipeline, running)
    check_laws(stop.watcher)
    assert stop.watcher.of(0) == stop.chain.expect(f"queued, in_progress, start task 1, {last}")
    assert stop.watcher.of(1) == stop.chain.expect(CANCELLED)


@pytest.mark.parametrize(
    ("fields", "left", "last"),
    [({}, 2, "cancel task 1, unprocessed"), (ONCE, 1, "fail task 1, failed")],
    ids=["first attempt", "last attempt"],
)
@pytest.mark.parametrize("retry", ["per_task", "per_stage"])
@simulated()
async def test_no_retry_follows_an_attempt_that_fails_during_a_shutdown(
    stop: Stop, retry: str, fields: dict[str, Any], left: int, last: str
) -> None:
    pipeline, running = await stop.running(retry=retry, **fields)
    stopping = await under_way(pipeline.shutdown())
    stop.gate.fail(0, ValueError())
    assert len(await stopping) == left
    await running
    check_laws(stop.watcher)
    assert stop.watcher.of(0) == stop.chain.expect(f"queued, in_progress, start task 1, {last}")


@pytest.mark.parametrize("drain", [False, True])
@simulated()
async def test_a_shutdown_lets_the_running_attempt_end(stop: Stop, drain: bool) -> None:
    pipeline, running = await stop.running()
    stopping = await under_way(pipeline.shutdown(drain=drain))
    stop.gate.open()
    left = [] if drain else [1] if stop.chain.is_last else [0, 1]
    assert sorted(item.id for item in await stopping) == left
    await running
    if not drain:
        stop.check(PASSED)
    check_laws(stop.watcher)
    assert not drain or stop.watcher.of(0) == stop.watcher.of(1) == stop.chain.expect(PASSED)


@simulated()
async def test_a_shutdown_leaves_an_item_between_two_tasks(watcher: Watcher, chain: Chain) -> None:
    gate = Gate("one")
    pipeline = watched(chain.stages(gate, Failing(0, "two")), watcher)
    running = await under_way(pipeline.run([0]))
    stopping = await under_way(pipeline.shutdown())
    gate.open()
    assert values(await stopping) == [0]
    await running
    check_laws(watcher)
    entries = "queued, in_progress, start one 1, complete one 1, unprocessed"
    assert watcher.of(0) == chain.expect(entries)


@pytest.mark.parametrize("is_call_limit", [False, True], ids=["limit of the task", "of a call"])
@simulated()
async def test_a_shutdown_ends_the_wait_for_a_limit(
    watcher: Watcher, chain: Chain, is_call_limit: bool
) -> None:
    gate = Gate()

    async def limited(value: int) -> Any:
        async with concurrency_limit():
            return await gate(value)

    task = Task(limited if is_call_limit else gate)
    limit = {"call_concurrency": 1} if is_call_limit else {"task_concurrency_limits": {"task": 1}}
    pipeline = watched(chain.stages(task, workers=2, **limit), watcher)
    running = await under_way(pipeline.run([0, 1]))
    stopping = await under_way(pipeline.shutdown())
    gate.open()
    await stopping
    await running
    check_laws(watcher)
    waiting = CANCELLED if is_call_limit else "queued, in_progress, unprocessed"
    assert watcher.of(1) == chain.expect(waiting)
    cancelled = watcher.attempts("cancel")
    assert len(cancelled) == is_call_limit
    assert all(isinstance(event.error, asyncio.CancelledError) for event in cancelled)
    assert all(event.duration is not None for event in cancelled)


@simulated()
async def test_a_shutdown_before_the_start_leaves_what_was_fed(
    watcher: Watcher, chain: Chain
) -> None:
    pipeline = watched(chain.stages(Failing(0)), watcher)
    await pipeline.feed(range(3), target_stage=chain.name)
    left = await pipeline.shutdown()
    finals = [event.item_id for event in watcher.statuses() if event.final]
    assert finals == [item.id for item in left] == [0, 1, 2]
    assert not others()
    check_laws(watcher)
    assert watcher.of(0) == [f"queued {chain.name}", f"unprocessed {chain.name}!"]


# Tasks that handle their cancellation, or cause it


@pytest.mark.parametrize("retry", ["per_task", "per_stage"])
@pytest.mark.parametrize("returns", [True, False], ids=["returns", "raises"])
@simulated()
async def test_a_task_that_catches_its_cancellation(
    watcher: Watcher, chain: Chain, returns: bool, retry: str
) -> None:
    """It succeeds if it returns a value; if it raises another error, it counts as cancelled."""

    async def catch(value: int) -> int:
        try:
            await asyncio.sleep(10 * LONG)
        except asyncio.CancelledError:
            if returns:
                return value
        raise ValueError

    stages = chain.stages(Task(catch), retry=retry)
    await cancel(await under_way(watched(stages, watcher).run([0])))
    check_laws(watcher)
    assert watcher.of(0) == chain.expect_stop(PASSED if returns else CANCELLED)
    for event in watcher.attempts("cancel"):
        assert isinstance(event.error, ValueError)
        assert event.duration is not None


@pytest.mark.parametrize("waits", [True, False], ids=["and waits", "and returns"])
@simulated()
async def test_a_task_that_cancels_its_worker_ends_the_run(
    watcher: Watcher, chain: Chain, waits: bool
) -> None:
    async def cancel_worker(value: Any) -> Any:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(LONG) if waits else None
        return value

    pipeline = watched(chain.stages(Task(cancel_worker)), watcher)
    with pytest.raises(PipelineError, match="was cancelled"):
        await pipeline.run([0, 1])
    check_laws(watcher)
    last = CANCELLED if waits else PASSED
    lines = chain.before() + chain.lines(last)
    assert [line.rstrip("!") for line in watcher.of(0)][: len(lines)] == lines
    assert watcher.of(1)[-1].startswith("unprocessed")


@pytest.mark.parametrize("is_error", [False, True])
@simulated()
async def test_a_cancellation_that_a_task_swallows_is_forgotten(
    watcher: Watcher, is_error: bool
) -> None:
    async def swallow(value: int) -> int:
        try:
            await asyncio.sleep(LONG * (value == 0))
        except asyncio.CancelledError:
            if is_error:
                raise ValueError from None
        return await give_up(value) if value == 1 else value

    pipeline = watched([Stage("A", 1, [swallow], task_attempts=1)], watcher)
    running = asyncio.create_task(pipeline.run(range(3)))
    await asyncio.sleep(LONG / 2)
    worker("A-W0").cancel()
    await running
    check_laws(watcher)
    assert values(pipeline.results) == ([2] if is_error else [0, 2])
    assert watcher.of(1)[-2:] == ["fail A.swallow 1", "failed A!"]


# A stream that is left early


@pytest.mark.parametrize("leave", ["aclose", "with", "break"])
@simulated()
async def test_the_items_of_a_stream_that_is_left_early_end(
    watcher: Watcher, chain: Chain, leave: str
) -> None:
    gate = Gate("task")

    async def leave_early(pipeline: Pipeline) -> None:
        stream = pipeline.stream([0, 1, 2])
        if leave == "with":
            async with stream:
                await anext(stream)
            return
        await anext(stream)
        if leave == "aclose":
            await stream.aclose()

    pipeline = watched(chain.stages(gate), watcher)
    leaving = await under_way(leave_early(pipeline))
    gate.let(0)
    await leaving
    await asyncio.sleep(LONG)
    assert not others()
    check_laws(watcher)
    assert watcher.of(0) == chain.expect(PASSED)
    assert all(watcher.of(item_id)[-1].startswith("unprocessed") for item_id in (1, 2))


@simulated()
async def test_a_result_that_a_stream_did_not_yield_is_completed(watcher: Watcher) -> None:
    pipeline = watched([Stage("A", 1, [same])], watcher)
    async with pipeline.stream([0, 1]) as stream:
        await anext(stream)
        await asyncio.sleep(LONG)
    assert values(pipeline.undelivered) == [1]
    check_laws(watcher)
    assert watcher.of(1) == [*passing("A")[:-1], "completed A!"]
