"""What ends the wait for a limit: shutdown, abort, cancellation, and what a task does about it."""

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
    now,
    only_error,
    same,
    stage,
    start_with,
    stats_of,
    values,
    watched_or_not,
    workers_of,
)
from tests.helpers.simulated import exact_time, simulated
from tests.helpers.virtual_time import Gate, begun, others, settle

# Shutdown, abort and cancellation while attempts wait


class Wait(NamedTuple):
    """One way to wait: the fields of the stage, and its task, which holds "first" at a gate."""

    fields: dict[str, Any]
    task: Callable[[Gate], Callable[[Any], Any]]


def limited_by(limit: Limit) -> Callable[[Gate], Callable[[Any], Any]]:
    def make(gate: Gate) -> Callable[[Any], Any]:
        async def visit(value: Any) -> Any:
            async with limit():
                return await gate(value)

        return visit

    return make


def in_sub_tasks_of(limit: Limit, way: Callable[..., Awaitable[None]]) -> Any:
    def make(gate: Gate) -> Callable[[Any], Any]:
        async def visit(value: Any) -> Any:
            async def call() -> None:
                async with limit():
                    await gate(value)

            await way(call, 1)
            return value

        return visit

    return make


def with_a_time_limit(limit: Limit) -> Callable[[Gate], Callable[[Any], Any]]:
    def make(gate: Gate) -> Callable[[Any], Any]:
        async def visit(value: Any) -> Any:
            async with asyncio.timeout(10_000):
                return await asyncio.wait_for(limited_by(limit)(gate)(value), 10_000)

        return visit

    return make


def itself(gate: Gate) -> Gate:
    gate.__name__ = "visit"
    return gate


ONE_CALL: dict[str, Any] = {"call_concurrency": 1}
ONE_RATE: dict[str, Any] = {"call_rate": 1, "call_rate_period": 1e6}
ONE_TASK: dict[str, Any] = {"task_concurrency_limits": {"visit": 1}}
WAITS = {
    "task": Wait(ONE_TASK, itself),
    "calls": Wait(ONE_CALL, limited_by(concurrency_limit)),
    "calls, gather": Wait(ONE_CALL, in_sub_tasks_of(concurrency_limit, by_gather)),
    "calls, group": Wait(ONE_CALL, in_sub_tasks_of(concurrency_limit, in_a_task_group)),
    "calls, time limit": Wait(ONE_CALL, with_a_time_limit(concurrency_limit)),
    "rate": Wait(ONE_RATE, limited_by(rate_limit)),
    "rate, gather": Wait(ONE_RATE, in_sub_tasks_of(rate_limit, by_gather)),
    "rate, group": Wait(ONE_RATE, in_sub_tasks_of(rate_limit, in_a_task_group)),
    "rate, time limit": Wait(ONE_RATE, with_a_time_limit(rate_limit)),
}
each_wait = pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
each_wait_that_ends = pytest.mark.parametrize(
    "wait", [wait for wait in WAITS.values() if wait.fields is not ONE_RATE]
)


class Scene:
    """A started pipeline whose item "first" holds what "second" and "third" wait for."""

    def __init__(self, wait: Wait, watched: bool = False, **fields: Any) -> None:
        self.gate = Gate()
        self.tracker = StatusTracker(on_task_start=lambda event: None) if watched else None
        task = wait.task(self.gate)
        self.pipeline = Pipeline(
            [stage(task, workers=3, **{**wait.fields, **fields}), stage(same, name="Last")],
            status_tracker=self.tracker,
        )

    async def set_up(self) -> None:
        await start_with(self.pipeline, ["first", "second", "third"])
        assert self.gate.waiting == ["first"]
        assert workers_of(self.pipeline) == [0, 1, 2, 0]


@watched_or_not
@each_wait
@exact_time
async def test_shutdown_cuts_a_wait_short_at_once_and_lets_the_attempt_that_runs_end(
    wait: Wait, watched: bool
) -> None:
    scene = Scene(wait, watched)

    await scene.set_up()
    shutdown = await begun(scene.pipeline.shutdown())
    assert not shutdown.done()
    assert now() == 0
    assert workers_of(scene.pipeline) == [2, 1, 0, 0]
    scene.gate.open()
    left = await shutdown
    assert [(item.value, item.stage) for item in left] == [
        ("second", "Work"),
        ("third", "Work"),
        ("first", "Last"),
    ]
    assert_all_are_somewhere(scene.pipeline, range(3))
    assert not others()


@watched_or_not
@each_wait
@simulated
async def test_what_was_cut_short_can_be_fed_again(wait: Wait, watched: bool) -> None:
    scene = Scene(wait._replace(fields={**wait.fields, "call_rate_period": 4}), watched)

    await scene.set_up()
    scene.gate.open()
    left = await scene.pipeline.shutdown()
    await scene.pipeline.start()
    await scene.pipeline.feed(left)
    await scene.pipeline.join()
    assert {"second", "third"} <= set(values(scene.pipeline.results))
    assert scene.pipeline.failures == []


@watched_or_not
@each_wait
@pytest.mark.parametrize("timeout", [0, 8])
@exact_time
async def test_at_the_time_limit_of_shutdown_all_attempts_are_cancelled(
    wait: Wait, watched: bool, timeout: float
) -> None:
    scene = Scene(wait, watched)

    await scene.set_up()
    left = await scene.pipeline.shutdown(timeout=timeout)
    assert values(left) == ["first", "second", "third"]
    assert now() == timeout
    assert not others()
    assert_all_are_somewhere(scene.pipeline, range(3))


@watched_or_not
@each_wait_that_ends
@pytest.mark.parametrize("end", [Pipeline.join, functools.partial(Pipeline.shutdown, drain=True)])
@simulated
async def test_join_and_drain_wait_for_limits(
    wait: Wait, watched: bool, end: Callable[[Pipeline], Coroutine[Any, Any, Any]]
) -> None:
    scene = Scene(wait, watched)

    await scene.set_up()
    ending = asyncio.ensure_future(end(scene.pipeline))
    for value in ("first", "second", "third"):
        await settle()
        assert not ending.done()
        scene.gate.let(value)
    await ending
    assert sorted(values(scene.pipeline.results)) == ["first", "second", "third"]
    assert scene.pipeline.unprocessed == []


@pytest.mark.parametrize("end", [Pipeline.join, functools.partial(Pipeline.shutdown, drain=True)])
@exact_time
async def test_join_and_drain_wait_for_a_rate(
    end: Callable[[Pipeline], Coroutine[Any, Any, Any]],
) -> None:
    pipeline = Pipeline([stage(calls_at([]), workers=2, call_rate=1, call_rate_period=16)])
    await pipeline.start()
    await pipeline.feed(range(4))
    await end(pipeline)
    assert len(pipeline.results) == 4
    assert now() == 48


@each_wait
@exact_time
async def test_at_the_time_limit_of_a_drain_waits_are_cancelled(wait: Wait) -> None:
    scene = Scene(wait)

    await scene.set_up()
    left = await scene.pipeline.shutdown(drain=True, timeout=8)
    assert values(left) == ["first", "second", "third"]
    assert now() == 8
    assert not others()


@watched_or_not
@each_wait
@exact_time
async def test_cancelling_run_cancels_waits_at_once(wait: Wait, watched: bool) -> None:
    scene = Scene(wait, watched)

    running = await begun(scene.pipeline.run(["first", "second", "third"]))
    await cancel(running)
    assert values(scene.pipeline.unprocessed) == ["first", "second", "third"]
    assert_all_are_somewhere(scene.pipeline, range(3))


@each_wait
@exact_time
async def test_a_cancellation_after_a_shutdown_ends_what_was_left_to_run(wait: Wait) -> None:
    scene = Scene(wait)

    await scene.set_up()
    shutdown = await begun(scene.pipeline.shutdown())
    shutdown.cancel()
    await asyncio.wait([shutdown])
    assert not others()
    assert values(scene.pipeline.unprocessed) == ["first", "second", "third"]


@each_wait
@simulated
async def test_what_ends_the_run_cancels_waits(wait: Wait) -> None:
    scene = Scene(wait)

    await scene.set_up()
    scene.gate.fail("first", CustomExit())
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - a task group wraps it
        await scene.pipeline.join()
    assert caught.value is only_error(scene.pipeline)
    assert not others()
    assert values(scene.pipeline.unprocessed) == ["second", "third"]
    assert values(scene.pipeline.failures) == ["first"]


@each_wait
@exact_time
async def test_leaving_a_stream_cancels_waits(wait: Wait) -> None:
    scene = Scene(wait)

    async with scene.pipeline.stream(["first", "second", "third"]) as stream:
        following = await begun(anext(stream))
        following.cancel()
        await asyncio.wait([following])
    assert not others()
    assert values(scene.pipeline.unprocessed) == ["first", "second", "third"]


@each_wait
@exact_time
async def test_leaving_async_with_cuts_waits_short(wait: Wait) -> None:
    scene = Scene(wait)

    async with scene.pipeline:
        await scene.set_up()
        scene.gate.open()
    assert not others()
    assert {"second", "third"} <= set(values(scene.pipeline.unprocessed))


@each_wait
@exact_time
async def test_who_waits_for_process_is_told_that_a_wait_was_cut_short(wait: Wait) -> None:
    scene = Scene(wait)

    await scene.set_up()
    processing = await begun(scene.pipeline.process("fourth"))
    scene.gate.open()
    left = await scene.pipeline.shutdown()
    with pytest.raises(PipelineError, match="unprocessed"):
        await processing
    assert "fourth" in values(left)


@each_wait
@exact_time
async def test_no_callback_is_told_of_a_wait_that_was_cut_short(wait: Wait) -> None:
    told: list[Any] = []

    def note(*arguments: Any) -> None:
        told.append(arguments[0])

    scene = Scene(wait, on_failure=note, on_success=note)

    await scene.set_up()
    scene.gate.open()
    await scene.pipeline.shutdown()
    assert told == [0]


@each_wait
@exact_time
async def test_a_wait_in_a_second_attempt_is_cut_short_too(wait: Wait) -> None:
    failed: list[Any] = []

    def fails_at_first(gate: Gate) -> Callable[[Any], Any]:
        task = wait.task(gate)

        async def visit(value: Any) -> Any:
            if value not in failed:
                failed.append(value)
                raise ValueError
            return await task(value)

        return visit

    retried: dict[str, Any] = {"task_attempts": 2, "task_wait_seconds": 0}
    scene = Scene(wait._replace(task=fails_at_first), **retried)

    await scene.set_up()
    scene.gate.open()
    left = await scene.pipeline.shutdown()
    assert values(left)[:2] == ["second", "third"]


@each_wait
@exact_time
async def test_a_wait_of_an_item_that_started_the_stage_anew_is_cut_short_too(wait: Wait) -> None:
    scene = Scene(wait, retry="per_stage", stage_attempts=3)

    await scene.set_up()
    scene.gate.open()
    left = await scene.pipeline.shutdown()
    assert values(left)[:2] == ["second", "third"]
    assert scene.pipeline.failures == []


@watched_or_not
@simulated
async def test_an_item_cut_short_in_a_later_task_is_left_with_what_entered_the_stage(
    watched: bool,
) -> None:
    gate = Gate()

    async def limited(value: int) -> int:
        async with concurrency_limit():
            await gate(value)
        return value

    tracker = StatusTracker() if watched else None
    one = stage(double, limited, workers=2, call_concurrency=1)
    pipeline = Pipeline([one], status_tracker=tracker)
    await start_with(pipeline, [3, 4])
    gate.open()
    assert values(await pipeline.shutdown()) == [4]


class Watcher:
    """A dashboard that notes attempts that were cancelled, and the worker's state at that time."""

    def __init__(self) -> None:
        self.cancelled: list[tuple[Any, str]] = []

    def on_start(self, pipeline: Pipeline, total_items: int | None) -> None:
        """Nothing."""

    def on_update(self, snapshot: Any) -> None:
        """Nothing."""

    def on_finish(self, results: Any, summary: Any) -> None:
        """Nothing."""

    @hookimpl
    def antflow_task_cancelled(self, event: TaskEvent) -> None:
        self.cancelled.append((event.item_id, type(event.error).__name__))


@pytest.mark.parametrize("wait", [WAITS["calls"], WAITS["rate, group"]], ids=["calls", "rate"])
@exact_time
async def test_an_attempt_that_was_cut_short_is_told_as_cancelled(wait: Wait) -> None:
    scene, watcher = Scene(wait), Watcher()

    running = asyncio.ensure_future(
        scene.pipeline.run(["first", "second", "third"], custom_dashboard=watcher)
    )
    await settle()
    scene.gate.open()
    assert values(await scene.pipeline.shutdown())[:2] == ["second", "third"]
    await running
    assert watcher.cancelled == [(1, "CancelledError"), (2, "CancelledError")]


@exact_time
async def test_what_waits_for_a_task_has_begun_no_attempt_to_be_cancelled() -> None:
    scene, watcher = Scene(WAITS["task"]), Watcher()

    running = asyncio.ensure_future(
        scene.pipeline.run(["first", "second", "third"], custom_dashboard=watcher)
    )
    await settle()
    scene.gate.open()
    assert values(await scene.pipeline.shutdown())[:2] == ["second", "third"]
    await running
    assert watcher.cancelled == []
    assert stats_of(scene.pipeline).tasks["visit"].attempts == 1


@each_wait
@exact_time
async def test_the_statuses_of_an_item_that_was_cut_short(wait: Wait) -> None:
    scene = Scene(wait, watched=True)

    await scene.set_up()
    scene.gate.open()
    await scene.pipeline.shutdown()
    assert scene.tracker is not None
    history = scene.tracker.get_history(1)
    assert [event.status for event in history] == ["queued", "in_progress", "unprocessed"]
    assert [event.final for event in history] == [False, False, True]


# An attempt that does not end where its wait is cut short


class Outcome(NamedTuple):
    """What a task does about its wait being cut short, and where its item is to be then."""

    task: Callable[[], Awaitable[Any]]
    fields: dict[str, Any]
    result: list[Any]
    errors: list[str]
    left: list[Any]


async def answer() -> str:
    return "kept"


async def answer_later() -> str:
    await asyncio.sleep(4)
    return "kept"


async def raise_another() -> None:
    raise ValueError


async def raise_another_later() -> None:
    await asyncio.sleep(4)
    raise ValueError


OUTCOMES = {
    "returns": Outcome(answer, {}, ["kept"], [], []),
    "returns later": Outcome(answer_later, {}, ["kept"], [], []),
    "fails": Outcome(raise_another, {}, [], ["ValueError"], []),
    "fails later": Outcome(raise_another_later, {}, [], ["ValueError"], []),
    "fails, to be retried": Outcome(raise_another, {"task_attempts": 2}, [], [], ["second"]),
    "fails, to be started anew": Outcome(
        raise_another, {"retry": "per_stage", "stage_attempts": 2}, [], [], ["second"]
    ),
}


@watched_or_not
@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES)
@both_limits
@exact_time
async def test_a_task_that_swallows_the_cancellation_keeps_its_outcome(
    limit: Limit, field: str, outcome: Outcome, watched: bool
) -> None:
    gate = Gate()

    async def stubborn(value: str) -> Any:
        try:
            async with limit():
                return await gate(value)
        except asyncio.CancelledError:
            return await outcome.task()

    fields = {field: 1, "call_rate_period": 1e6, **outcome.fields}
    pipeline = Pipeline(
        [stage(stubborn, workers=2, **fields)],
        status_tracker=StatusTracker() if watched else None,
    )
    await start_with(pipeline, ["first", "second"])
    gate.open()
    left = await pipeline.shutdown()
    assert values(pipeline.results) == ["first", *outcome.result]
    assert [type(failure.error).__name__ for failure in pipeline.failures] == outcome.errors
    assert values(left) == outcome.left
    assert_all_are_somewhere(pipeline, range(2))
    assert not others()


@exact_time
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
@exact_time
async def test_an_attempt_that_was_cut_short_cleans_up_at_leisure(watched: bool) -> None:
    gate, cleaned = Gate(), list[float]()

    async def tidy(value: str) -> str:
        try:
            async with concurrency_limit():
                return str(await gate(value))
        finally:
            await asyncio.sleep(4)
            cleaned.append(now())

    pipeline = Pipeline(
        [stage(tidy, workers=2, call_concurrency=1)],
        status_tracker=StatusTracker() if watched else None,
    )
    await start_with(pipeline, ["first", "second"])
    gate.open()
    assert values(await pipeline.shutdown()) == ["second"]
    assert values(pipeline.results) == ["first"]
    assert cleaned == [4, 4]


@watched_or_not
@exact_time
async def test_a_wait_that_begins_after_the_shutdown_is_cut_short_too(watched: bool) -> None:
    gate, before = Gate(), Gate()

    async def task(value: str) -> str:
        await before(value)
        async with concurrency_limit():
            return str(await gate(value))

    pipeline = Pipeline(
        [stage(task, workers=2, call_concurrency=1)],
        status_tracker=StatusTracker() if watched else None,
    )
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
@exact_time
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


@exact_time
async def test_attempts_that_are_past_their_limit_end_normally() -> None:
    gate = Gate()

    async def task(value: int) -> int:
        async with rate_limit(), concurrency_limit():
            pass
        return int(await gate(value))

    pipeline = Pipeline([stage(task, workers=4, call_rate=9, call_concurrency=1)])
    await start_with(pipeline, range(4))
    shutdown = await begun(pipeline.shutdown())
    assert gate.waiting == [0, 1, 2, 3]
    gate.open()
    assert await shutdown == []
    assert values(pipeline.results) == [0, 1, 2, 3]


@simulated
async def test_a_sub_task_left_behind_by_an_earlier_attempt_does_not_end_a_later_one() -> None:
    gate, attempts = Gate(), list[str]()

    async def limited() -> None:
        async with concurrency_limit():
            pass

    async def task(value: str) -> str:
        if value == "first":
            async with concurrency_limit():
                return str(await gate(value))
        attempts.append(value)
        if len(attempts) == 1:
            await asyncio.gather(fail(value), limited())
        return str(await gate(value))

    fields = {"task_attempts": 2, "task_wait_seconds": 0, "call_concurrency": 1}
    pipeline = Pipeline([stage(task, workers=2, **fields)])
    await start_with(pipeline, ["first", "second"])
    assert gate.waiting == ["first", "second"]
    shutdown = await begun(pipeline.shutdown())
    assert gate.waiting == ["first", "second"]
    gate.open()
    assert await shutdown == []
    assert values(pipeline.results) == ["first", "second"]
    await settle()


@simulated
async def test_a_sub_task_left_behind_does_not_make_the_worker_look_as_if_it_waited() -> None:
    hold, gate = Gate("hold"), Gate("gate")

    async def limited() -> None:
        async with concurrency_limit():
            pass

    async def task(value: int) -> int:
        if value == 0:
            async with concurrency_limit():
                await hold(value)
        elif value == 1:
            await asyncio.gather(fail(value), limited())
        return int(await gate(value))

    pipeline = Pipeline([stage(task, workers=2, call_concurrency=1)])
    running = await begun(pipeline.run(range(3)))
    assert (hold.waiting, gate.waiting) == ([0], [2])
    assert workers_of(pipeline) == [0, 2, 0, 0]
    hold.open()
    gate.open()
    await running


# Callbacks that wait


class Callback(NamedTuple):
    """A callback that waits for a limit, and the value that makes it be called."""

    role: str
    value: str
    ended: str


CALLBACKS = [
    Callback("on_success", "good", "results"),
    Callback("on_failure", "bad", "failures"),
    Callback("on_skip", "skip", "results"),
]


@watched_or_not
@both_limits
@pytest.mark.parametrize("callback", CALLBACKS, ids=lambda callback: callback.role)
@exact_time
async def test_a_callback_s_wait_is_cut_short_and_the_item_s_outcome_stands(
    callback: Callback,
    limit: Limit,
    field: str,
    watched: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    gate = Gate()

    async def limited(*_: Any) -> None:
        async with limit():
            pass

    async def task(value: str) -> str:
        if value == "first":
            async with limit():
                await gate(value)
        if value == "bad":
            raise ValueError
        return value

    fields: dict[str, Any] = {field: 1, "call_rate_period": 1e6}
    fields |= {"skip_if": lambda value: value == "skip", callback.role: limited}
    pipeline = Pipeline(
        [stage(task, workers=2, **fields)],
        status_tracker=StatusTracker() if watched else None,
    )
    await start_with(pipeline, ["first"])
    await pipeline.feed([callback.value])
    await settle()
    assert workers_of(pipeline) == [0, 1, 1, 0]
    gate.open()
    assert await pipeline.shutdown() == []
    assert callback.value in values(getattr(pipeline, callback.ended))
    assert not others()
    assert_all_are_somewhere(pipeline, range(2))
    assert [record for record in caplog.records if record.name != "antflow"] == []


@watched_or_not
@both_limits
@exact_time
async def test_a_wait_in_skip_if_is_cut_short_and_the_item_is_unprocessed(
    limit: Limit, field: str, watched: bool
) -> None:
    gate = Gate()

    async def skip_if(value: str) -> bool:
        async with limit():
            await gate(value)
        return False

    pipeline = Pipeline(
        [stage(same, workers=2, skip_if=skip_if, **{field: 1, "call_rate_period": 1e6})],
        status_tracker=StatusTracker() if watched else None,
    )
    await start_with(pipeline, ["first", "second"])
    gate.open()
    left = await pipeline.shutdown()
    assert "second" in values(left)
    assert pipeline.failures == []
    assert_all_are_somewhere(pipeline, range(2))


# A pipeline inside of a task


@both_limits
@exact_time
async def test_a_task_that_waits_for_another_pipeline_does_not_wait_for_a_limit(
    limit: Limit, field: str
) -> None:
    """What the inner pipeline waits for is its own affair: the outer attempt runs, and ends."""

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


@pytest.mark.parametrize("seed", range(60))
@simulated
async def test_a_shutdown_at_any_moment_loses_nothing(seed: int) -> None:
    """Permits are handed on in the very turns in which the run is closed."""
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
