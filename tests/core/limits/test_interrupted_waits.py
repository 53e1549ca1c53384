"""What ends the wait for a limit, when, and where the item is then."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest

from antflow import (
    Pipeline,
    PipelineError,
    StatusTracker,
    TaskEvent,
    concurrency_limit,
    hookimpl,
    rate_limit,
)
from tests.helpers.limits import Limit, both_limits, by_gather, calls_at, in_a_task_group
from tests.helpers.runs import (
    CustomExit,
    assert_all_are_somewhere,
    cancel,
    double,
    fail,
    left,
    now,
    only_error,
    piped,
    raised_by,
    same,
    stage,
    start_with,
    values,
    watched_or_not,
    workers_of,
)
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, begun, others, settle

# What is waited for


class Wait(NamedTuple):
    """The fields of a stage, and its task, which holds "first" at a gate while others wait."""

    fields: dict[str, Any]
    task: Callable[[Gate], Callable[[Any], Any]]


def calling(limit: Limit, how: Callable[..., Awaitable[Any]]) -> Any:
    def make(gate: Gate) -> Callable[[Any], Any]:
        async def visit(value: Any) -> Any:
            async def call() -> None:
                async with limit():
                    await gate(value)

            await how(call, 1)
            return value

        return visit

    return make


async def once(call: Callable[[], Awaitable[None]], times: int) -> None:
    await call()


async def with_a_time_limit(call: Callable[[], Awaitable[None]], times: int) -> None:
    async with asyncio.timeout(10_000):
        await asyncio.wait_for(call(), 10_000)


def itself(gate: Gate) -> Gate:
    gate.__name__ = "visit"
    return gate


ONE_CALL: dict[str, Any] = {"call_concurrency": 1}
ONE_RATE: dict[str, Any] = {"call_rate": 1, "call_rate_period": 1e6}
ONE_TASK: dict[str, Any] = {"task_concurrency_limits": {"visit": 1}}
WAITS = {
    "task": Wait(ONE_TASK, itself),
    "calls": Wait(ONE_CALL, calling(concurrency_limit, once)),
    "calls, gather": Wait(ONE_CALL, calling(concurrency_limit, by_gather)),
    "calls, group": Wait(ONE_CALL, calling(concurrency_limit, in_a_task_group)),
    "calls, time limit": Wait(ONE_CALL, calling(concurrency_limit, with_a_time_limit)),
    "rate": Wait(ONE_RATE, calling(rate_limit, once)),
}
each_limit = pytest.mark.parametrize("wait", ["task", "calls", "rate"])
VALUES = ["first", "second", "third"]


class CancelledAttempts:
    """A plugin that lists the items of attempts that were cancelled."""

    def __init__(self) -> None:
        self.ids: list[Any] = []

    @hookimpl
    def antflow_task_cancelled(self, event: TaskEvent) -> None:
        self.ids.append(event.item_id)


class Scene:
    """A pipeline whose item "first" holds what "second" and "third" wait for.

    Args:
        wait: what they wait for.
        watched: whether the pipeline has a tracker.
        fields: further fields of the stage.
    """

    def __init__(self, wait: Wait, watched: bool = False, **fields: Any) -> None:
        self.gate = Gate()
        self.cancelled = CancelledAttempts()
        self.tracker = StatusTracker(on_task_start=lambda event: None) if watched else None
        work = stage(wait.task(self.gate), workers=3, **{**wait.fields, **fields})
        self.pipeline = Pipeline(
            [work, stage(same, name="Last")],
            status_tracker=self.tracker,
            plugins=[self.cancelled] if watched else (),
        )

    async def set_up(self) -> None:
        await start_with(self.pipeline, VALUES)
        self.check()

    def check(self) -> None:
        assert self.gate.waiting == ["first"]
        assert workers_of(self.pipeline) == [0, 1, 2, 0]


# What interrupts it


async def shut_down(scene: Scene) -> None:
    await scene.set_up()
    shutdown = await begun(scene.pipeline.shutdown())
    assert not shutdown.done()
    assert workers_of(scene.pipeline) == [2, 1, 0, 0]
    scene.gate.open()
    assert values(await shutdown) == left(scene.pipeline)


def shut_down_with(**arguments: Any) -> Callable[[Scene], Coroutine[Any, Any, None]]:
    async def shut_down(scene: Scene) -> None:
        await scene.set_up()
        await scene.pipeline.shutdown(**arguments)

    return shut_down


async def cancel_the_shutdown(scene: Scene) -> None:
    await scene.set_up()
    await cancel(await begun(scene.pipeline.shutdown()))


async def cancel_the_run(scene: Scene) -> None:
    running = await begun(scene.pipeline.run(VALUES))
    scene.check()
    await cancel(running)


async def leave_the_stream(scene: Scene) -> None:
    async with scene.pipeline.stream(VALUES) as stream:
        taking = await begun(anext(stream))
        scene.check()
        taking.cancel()
        await asyncio.wait([taking])


async def leave_async_with(scene: Scene) -> None:
    async with scene.pipeline:
        await scene.set_up()
        scene.gate.open()


async def end_by_an_exit(scene: Scene) -> None:
    await scene.set_up()
    scene.gate.fail("first", CustomExit())
    error = await raised_by(scene.pipeline.join())
    assert error is only_error(scene.pipeline)


class Interruption(NamedTuple):
    """What ends the waits, what is unprocessed then, and after how many seconds."""

    interrupt: Callable[[Scene], Coroutine[Any, Any, None]]
    unprocessed: list[str]
    seconds: float = 0


FIRST_MOVED_ON = ["second", "third", "first"]  # the first is in front of the next stage
INTERRUPTIONS = {
    "shutdown": Interruption(shut_down, FIRST_MOVED_ON),
    "shutdown, timeout=0": Interruption(shut_down_with(timeout=0), VALUES),
    "shutdown, timeout=8": Interruption(shut_down_with(timeout=8), VALUES, 8),
    "drain, timeout=8": Interruption(shut_down_with(drain=True, timeout=8), VALUES, 8),
    "cancelled shutdown": Interruption(cancel_the_shutdown, VALUES),
    "cancelled run": Interruption(cancel_the_run, VALUES),
    "left stream": Interruption(leave_the_stream, VALUES),
    "left async with": Interruption(leave_async_with, FIRST_MOVED_ON),
    "exit": Interruption(end_by_an_exit, ["second", "third"]),
}


@watched_or_not
@pytest.mark.parametrize(
    ("interruption", "wait"),
    [
        *((interruption, "calls, gather") for interruption in INTERRUPTIONS),
        *(("shutdown", wait) for wait in WAITS if wait != "calls, gather"),
    ],
)
@simulated(tick=0.0)
async def test_an_interrupted_wait_ends_in_time_and_its_item_is_unprocessed(
    interruption: str, wait: str, watched: bool
) -> None:
    scene = Scene(WAITS[wait], watched)
    interrupt, unprocessed, seconds = INTERRUPTIONS[interruption]
    await interrupt(scene)
    assert left(scene.pipeline) == unprocessed
    assert now() == seconds
    assert not others()
    assert_all_are_somewhere(scene.pipeline, range(3))
    if scene.tracker is not None:
        history = scene.tracker.get_history(1)
        assert [event.status for event in history] == ["queued", "in_progress", "unprocessed"]
        assert [event.final for event in history] == [False, False, True]
        # What waits for its task has begun no attempt that could be cancelled.
        expected = [] if wait == "task" else [1, 2]
        assert sorted(item_id for item_id in scene.cancelled.ids if item_id) == expected


@each_limit
@pytest.mark.parametrize(
    "retried", [{"task_attempts": 2, "task_wait_seconds": 0}, {"retry": "per_stage"}]
)
@simulated(tick=0.0)
async def test_a_wait_in_a_second_attempt_is_interrupted_and_calls_no_callback(
    wait: str, retried: dict[str, Any]
) -> None:
    called, failed = list[Any](), list[Any]()

    def fails_at_first(gate: Gate) -> Callable[[Any], Any]:
        task = WAITS[wait].task(gate)

        async def visit(value: Any) -> Any:
            if value not in failed:
                failed.append(value)
                raise ValueError
            return await task(value)

        return visit

    def note(item_id: Any, *_: Any) -> None:
        called.append(item_id)

    scene = Scene(
        WAITS[wait]._replace(task=fails_at_first), on_failure=note, on_success=note, **retried
    )
    await shut_down(scene)
    assert left(scene.pipeline) == FIRST_MOVED_ON
    assert called == [0]


@each_limit
@simulated()
async def test_an_item_whose_wait_was_interrupted_can_be_fed_again(wait: str) -> None:
    fields, task = WAITS[wait]
    scene = Scene(Wait({**fields, "call_rate_period": 4}, task))
    await scene.set_up()
    scene.gate.open()
    unprocessed = await scene.pipeline.shutdown()
    await scene.pipeline.start()
    await scene.pipeline.feed(unprocessed)
    await scene.pipeline.join()
    assert {"second", "third"} <= set(values(scene.pipeline.results))
    assert scene.pipeline.failures == []


@simulated()
async def test_process_raises_when_the_wait_of_its_item_is_interrupted() -> None:
    scene = Scene(WAITS["calls"])
    await scene.set_up()
    processing = await begun(scene.pipeline.process("fourth"))
    scene.gate.open()
    await scene.pipeline.shutdown()
    with pytest.raises(PipelineError, match="unprocessed"):
        await processing
    assert "fourth" in left(scene.pipeline)


@watched_or_not
@simulated()
async def test_an_item_interrupted_in_a_later_task_keeps_the_value_that_entered_the_stage(
    watched: bool,
) -> None:
    gate = Gate()
    task = calling(concurrency_limit, once)(gate)
    pipeline = piped(stage(double, task, workers=2, call_concurrency=1), watched=watched)
    await start_with(pipeline, [3, 4])
    gate.open()
    assert values(await pipeline.shutdown()) == [4]


# What waits for the limits


both_ends = pytest.mark.parametrize(
    "end", [Pipeline.join, functools.partial(Pipeline.shutdown, drain=True)]
)


@pytest.mark.parametrize("wait", ["task", "calls"])
@both_ends
@simulated()
async def test_join_and_drain_wait_for_limits(
    wait: str, end: Callable[[Pipeline], Coroutine[Any, Any, Any]]
) -> None:
    scene = Scene(WAITS[wait])
    await scene.set_up()
    ending = asyncio.ensure_future(end(scene.pipeline))
    for value in VALUES:
        await settle()
        assert not ending.done()
        scene.gate.let(value)
    await ending
    assert sorted(values(scene.pipeline.results)) == VALUES
    assert scene.pipeline.unprocessed == []


@both_ends
@simulated(tick=0.0)
async def test_join_and_drain_wait_for_a_rate(
    end: Callable[[Pipeline], Coroutine[Any, Any, Any]],
) -> None:
    pipeline = Pipeline([stage(calls_at([]), workers=2, call_rate=1, call_rate_period=16)])
    await pipeline.start()
    await pipeline.feed(range(4))
    await end(pipeline)
    assert (len(pipeline.results), now()) == (4, 48)


# An attempt that does not end where its wait is interrupted


@watched_or_not
@pytest.mark.parametrize(
    ("fails", "fields", "ended"),
    [
        (False, {}, "results"),
        (True, {}, "failures"),
        (True, {"task_attempts": 2}, "unprocessed"),
        (True, {"retry": "per_stage", "stage_attempts": 2}, "unprocessed"),
    ],
)
@simulated(tick=0.0)
async def test_a_task_that_swallows_the_cancellation_keeps_its_outcome(
    fails: bool, fields: dict[str, Any], ended: str, watched: bool
) -> None:
    gate = Gate()

    async def stubborn(value: str) -> Any:
        try:
            async with concurrency_limit():
                return await gate(value)
        except asyncio.CancelledError:
            await asyncio.sleep(4)
            if fails:
                raise ValueError from None
            return value

    pipeline = piped(stage(stubborn, workers=2, call_concurrency=1, **fields), watched=watched)
    await start_with(pipeline, ["first", "second"])
    gate.open()
    await pipeline.shutdown()
    assert values(pipeline.results)[0] == "first"
    assert values(getattr(pipeline, ended))[-1] == "second"
    assert_all_are_somewhere(pipeline, range(2))
    assert now() == 4
    assert not others()


@simulated(tick=0.0)
async def test_the_cancellation_of_a_worker_that_a_task_swallowed_is_undone() -> None:
    gate = Gate()
    counts: list[int] = []

    async def stubborn(value: str) -> str:
        try:
            async with concurrency_limit():
                return str(await gate(value))
        except asyncio.CancelledError:
            return "kept"

    def note(*_: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        counts.append(task.cancelling())

    pipeline = Pipeline([stage(stubborn, workers=2, call_concurrency=1, on_success=note)])
    await start_with(pipeline, ["first", "second"])
    gate.open()
    await pipeline.shutdown()
    assert counts == [0, 0]


@watched_or_not
@simulated(tick=0.0)
async def test_a_wait_that_begins_after_the_shutdown_is_interrupted_too(watched: bool) -> None:
    gate, before = Gate(), Gate()

    async def task(value: str) -> str:
        await before(value)
        async with concurrency_limit():
            return str(await gate(value))

    pipeline = piped(stage(task, workers=2, call_concurrency=1), watched=watched)
    await start_with(pipeline, ["first", "second"])
    before.let("first")
    await settle()
    shutdown = await begun(pipeline.shutdown())
    before.let("second")
    await settle()
    assert gate.entered == ["first"]
    gate.open()
    assert values(await shutdown) == ["second"]


@both_limits
@simulated(tick=0.0)
async def test_after_the_shutdown_a_call_that_need_not_wait_goes_through(
    limit: Limit, field: str
) -> None:
    gate = Gate()

    async def task(value: str) -> str:
        await gate(value)
        async with limit():
            return value

    pipeline = Pipeline([stage(task, **{field: 1})])
    await start_with(pipeline, ["only"])
    shutdown = await begun(pipeline.shutdown())
    gate.open()
    assert await shutdown == []
    assert values(pipeline.results) == ["only"]


async def limited() -> None:
    async with concurrency_limit():
        pass


@simulated()
async def test_a_sub_task_left_behind_by_an_earlier_attempt_does_not_end_a_later_one() -> None:
    gate, attempts = Gate(), list[str]()

    async def task(value: str) -> Any:
        if value == "first":
            return await calling(concurrency_limit, once)(gate)(value)
        attempts.append(value)
        if len(attempts) == 1:
            await asyncio.gather(fail(value), limited())
        return await gate(value)

    fields = {"task_attempts": 2, "task_wait_seconds": 0, "call_concurrency": 1}
    pipeline = Pipeline([stage(task, workers=2, **fields)])
    await start_with(pipeline, ["first", "second"])
    shutdown = await begun(pipeline.shutdown())
    assert gate.waiting == ["first", "second"]
    gate.open()
    assert await shutdown == []
    assert values(pipeline.results) == ["first", "second"]
    await settle()


# Callbacks that wait


@watched_or_not
@pytest.mark.parametrize(
    ("role", "value", "ended"),
    [
        ("on_success", "good", "results"),
        ("on_failure", "bad", "failures"),
        ("on_skip", "skip", "results"),
    ],
)
@simulated(tick=0.0)
async def test_a_callback_s_wait_is_interrupted_and_the_item_s_outcome_stands(
    role: str, value: str, ended: str, watched: bool, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()

    async def call_back(*_: Any) -> None:
        await limited()

    async def task(value: str) -> str:
        if value == "first":
            async with concurrency_limit():
                await gate(value)
        if value == "bad":
            raise ValueError
        return value

    callbacks: dict[str, Any] = {"skip_if": lambda value: value == "skip", role: call_back}
    pipeline = piped(stage(task, workers=2, call_concurrency=1, **callbacks), watched=watched)
    await start_with(pipeline, ["first"])
    await pipeline.feed([value])
    await settle()
    assert workers_of(pipeline) == [0, 1, 1, 0]
    gate.open()
    assert await pipeline.shutdown() == []
    assert value in values(getattr(pipeline, ended))
    assert not others()
    assert_all_are_somewhere(pipeline, range(2))
    assert [record for record in caplog.records if record.name != "antflow"] == []


@watched_or_not
@simulated(tick=0.0)
async def test_a_wait_in_skip_if_is_interrupted_and_the_item_is_unprocessed(watched: bool) -> None:
    gate = Gate()

    async def skip_if(value: str) -> bool:
        async with concurrency_limit():
            await gate(value)
        return False

    pipeline = piped(stage(same, workers=2, skip_if=skip_if, call_concurrency=1), watched=watched)
    await start_with(pipeline, ["first", "second"])
    gate.open()
    left = await pipeline.shutdown()
    assert "second" in values(left)
    assert pipeline.failures == []
    assert_all_are_somewhere(pipeline, range(2))


# A pipeline inside of a task


@both_limits
@simulated(tick=0.0)
async def test_a_task_that_waits_for_another_pipeline_does_not_wait_for_a_limit(
    limit: Limit, field: str
) -> None:
    async def inner(value: int) -> int:
        async with limit():
            await asyncio.sleep(4)
        return value

    async def outer(value: int) -> list[Any]:
        fields = {field: 1, "call_rate_period": 4}
        return values(
            await Pipeline([stage(inner, name="Inner", workers=3, **fields)]).run(range(3))
        )

    pipeline = Pipeline([stage(outer, name="Outer")])
    await pipeline.start()
    await pipeline.feed([0])
    await asyncio.sleep(1)
    assert workers_of(pipeline, "Outer") == [0, 1, 0, 0]
    assert await pipeline.shutdown() == []
    assert values(pipeline.results) == [[0, 1, 2]]


# Whatever the order of events


@asynccontextmanager
async def no_limit() -> AsyncIterator[None]:
    yield


@pytest.mark.parametrize("seed", range(20))
@simulated()
async def test_a_shutdown_at_any_moment_loses_nothing(seed: int) -> None:
    """Permits are passed on in the very callbacks in which the run is closed."""
    limits = (no_limit, concurrency_limit, rate_limit)

    async def task(value: int) -> int:
        async with limits[value % 3]():
            await asyncio.sleep(value % 4)
        if value % 5 == 4:
            raise ValueError
        return value

    fields: dict[str, Any] = {"call_concurrency": 2, "call_rate": 2, "call_rate_period": 4}
    fields |= {"task_attempts": 1 + seed % 2, "task_wait_seconds": seed % 3}
    fields |= {"task_concurrency_limits": {"task": 5}}
    pipeline = Pipeline([stage(task, workers=7, **fields), stage(same, name="Last")])
    await pipeline.start()
    await pipeline.feed(range(20))
    await asyncio.sleep(seed / 4)
    await pipeline.shutdown(timeout=None if seed % 4 else seed % 7)
    assert not others()
    assert_all_are_somewhere(pipeline, range(20))
