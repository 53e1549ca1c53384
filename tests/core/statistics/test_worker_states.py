"""What each worker does and has done, as `get_worker_states` and `get_worker_metrics` say it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from antflow import (
    Pipeline,
    WorkerMetrics,
    WorkerState,
    concurrency_limit,
    rate_limit,
    set_task_status,
)
from tests.helpers.runs import (
    STATES,
    age,
    fail,
    piped,
    refuse_odd,
    same,
    seconds_of,
    stage,
    start_with,
    watched_or_not,
    workers_of,
)
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, begun, settle


def state_of(pipeline: Pipeline, name: str = "Work-W0") -> WorkerState:
    return pipeline.get_worker_states()[name]


def metrics_of(pipeline: Pipeline, name: str = "Work-W0") -> WorkerMetrics:
    return pipeline.get_worker_metrics()[name]


@asynccontextmanager
async def running(pipeline: Pipeline, items: Any = (1,)) -> AsyncIterator[None]:
    """Run a pipeline meanwhile, and wait for its end."""
    run = await begun(pipeline.run(items))
    try:
        yield
    except BaseException:
        run.cancel()
        raise
    await run


# What readers are shown, in each situation


IDLE_STATE = WorkerState("Work-W0", "Work", "idle")


@simulated()
async def test_a_worker_without_an_item_is_idle() -> None:
    pipeline = piped(stage(same))
    assert state_of(pipeline) == IDLE_STATE
    assert metrics_of(pipeline) == WorkerMetrics("Work-W0", "Work")
    await pipeline.start()
    await settle()
    assert state_of(pipeline) == IDLE_STATE
    await pipeline.feed([1])
    await settle()
    assert state_of(pipeline) == IDLE_STATE
    await pipeline.join()
    assert state_of(pipeline) == IDLE_STATE


@watched_or_not
@simulated(tick=0.0)
async def test_a_worker_in_a_task_is_busy_with_it(watched: bool) -> None:
    gate = Gate("load")
    await asyncio.sleep(1000)
    pipeline = piped(stage(gate), watched=watched)
    async with running(pipeline, [{"id": "a", "value": 1}]):
        await asyncio.sleep(50)
        state = state_of(pipeline)
        assert age(state.processing_since) == 50
        state.processing_since = None
        assert state == WorkerState(
            "Work-W0", "Work", "busy", "a", "load", None, task_name="load", attempt=1
        )
        assert workers_of(pipeline) == [0, 1, 0, 0]
        gate.open()


@watched_or_not
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"task_attempts": 3, "task_wait_seconds": 0}, "first 1, second 1, second 2, second 3"),
        (
            {"retry": "per_stage", "stage_attempts": 3},
            "first 1, second 1, first 2, second 2, first 3, second 3",
        ),
    ],
)
@simulated()
async def test_a_worker_names_its_task_and_the_number_of_the_attempt(
    fields: dict[str, Any], expected: str, watched: bool
) -> None:
    first, second = Gate("first"), Gate("second")
    seen: list[str] = []
    pipeline = piped(stage(first, second, **fields), watched=watched)
    async with running(pipeline):
        while "second 3" not in seen:
            state = state_of(pipeline)
            seen.append(f"{state.task_name} {state.attempt}")
            if state.task_name == "first":
                first.let(1)
            elif state.attempt == 3:
                second.let(1)
            else:
                second.fail(1, ValueError())
            await settle()
    assert ", ".join(seen) == expected


async def call_limited(value: int) -> int:
    async with concurrency_limit():
        await asyncio.sleep(16)
    return value


async def call_rated(value: int) -> int:
    async with rate_limit():
        await asyncio.sleep(16)
    return value


async def sleep(value: int) -> int:
    await asyncio.sleep(16)
    return value


@watched_or_not
@pytest.mark.parametrize(
    ("task", "fields"),
    [
        (call_limited, {"call_concurrency": 1}),
        (call_rated, {"call_rate": 1, "call_rate_period": 16}),
        (sleep, {"task_concurrency_limits": {"sleep": 1}}),
    ],
    ids=["calls", "rate", "task"],
)
@simulated(tick=0.0)
async def test_a_worker_that_waits_for_a_limit_is_busy_with_the_item(
    task: Callable[[int], Any], fields: dict[str, Any], watched: bool
) -> None:
    pipeline = piped(stage(task, workers=2, **fields), watched=watched)
    async with running(pipeline, [1, 2]):
        await asyncio.sleep(8)
        assert workers_of(pipeline) == [0, 1, 1, 0]
        waiting = state_of(pipeline, "Work-W1")
        assert (waiting.status, waiting.current_item_id) == ("busy", 1)
        assert (waiting.task_name, waiting.attempt) == (task.__name__, 1)
        assert age(waiting.processing_since) == 8
    metrics = pipeline.get_worker_metrics()
    assert [worker.total_processing_time for worker in metrics.values()] == [16, 32]


@watched_or_not
@pytest.mark.parametrize(
    ("fields", "held", "processed"), [({"queue_capacity": 1}, None, 3), ({"pull": True}, 1, 2)]
)
@simulated()
async def test_a_blocked_worker_has_passed_its_item_on_unless_the_next_stage_pulls(
    fields: dict[str, Any], held: int | None, processed: int, watched: bool
) -> None:
    gate = Gate()
    pipeline = piped(stage(same), stage(gate, name="Last", **fields), watched=watched)
    async with running(pipeline, range(5)):
        state = state_of(pipeline)
        assert (state.status, state.current_item_id) == ("busy" if held else "idle", held)
        assert workers_of(pipeline) == [0, 0, 0, 1]
        assert metrics_of(pipeline).items_processed == processed
        gate.open()


@watched_or_not
@simulated(tick=0.0)
async def test_a_worker_is_blocked_without_an_item_while_its_stream_is_full(watched: bool) -> None:
    pipeline = piped(stage(same), watched=watched)
    async with pipeline.stream(range(9), buffer_size=1) as stream:
        await anext(stream)
        await asyncio.sleep(25)
        assert state_of(pipeline) == IDLE_STATE
        assert workers_of(pipeline) == [0, 0, 0, 1]
        assert seconds_of(pipeline) == [0, 0, 0, 25]


@pytest.mark.parametrize("role", ["skip_if", "on_success", "on_failure", "on_skip"])
@simulated()
async def test_a_worker_in_a_callback_is_busy_with_the_item(role: str) -> None:
    gate = Gate()

    async def callback(*_: Any) -> bool:
        await gate(role)
        return False

    async def task(value: int) -> int:
        if role == "on_failure":
            raise ValueError
        return value

    fields: dict[str, Any] = {"skip_if": lambda _: role == "on_skip", role: callback}
    pipeline = piped(stage(task, **fields))
    async with running(pipeline):
        state = state_of(pipeline)
        assert (state.status, state.current_item_id) == ("busy", 0)
        assert (state.task_name, state.attempt) == ("task", 1)
        assert workers_of(pipeline) == [0, 1, 0, 0]
        assert metrics_of(pipeline).last_active is None
        gate.open()


@watched_or_not
@simulated()
async def test_the_state_of_the_next_item_has_nothing_of_the_last(watched: bool) -> None:
    gate = Gate("second")

    async def first(value: int) -> int:
        set_task_status("loud")
        if value == 1:
            raise ValueError
        return value

    fields = {"task_attempts": 2, "task_wait_seconds": 0}
    pipeline = piped(stage(first, gate, **fields), watched=watched)
    async with running(pipeline, [1, 2]):
        state = state_of(pipeline)
        assert (state.current_item_id, state.attempt) == (1, 1)
        assert (state.current_task, state.task_name) == ("second", "second")
        gate.open()


@watched_or_not
@simulated(tick=0.0)
async def test_after_an_abort_workers_are_idle(watched: bool) -> None:
    gate = Gate()
    pipeline = piped(stage(gate), watched=watched)
    await start_with(pipeline, [1])
    await pipeline.shutdown(timeout=0)
    assert state_of(pipeline) == IDLE_STATE
    assert metrics_of(pipeline) == WorkerMetrics("Work-W0", "Work")


# What a worker has done


async def refuse_odd_slowly(value: int) -> int:
    await asyncio.sleep(4)
    return await refuse_odd(value)


async def fail_slowly(_: int) -> None:
    await asyncio.sleep(2)
    raise ValueError


async def answer_slowly(*_: Any) -> bool:
    await asyncio.sleep(4)
    return False


@watched_or_not
@pytest.mark.parametrize(
    ("task", "fields", "items", "processed", "failed", "seconds"),
    [
        (refuse_odd_slowly, {}, range(5), 3, 2, 20),
        (fail_slowly, {"task_attempts": 3, "task_wait_seconds": 8}, [1], 0, 1, 2 + 2 + 2),
        (fail_slowly, {"retry": "per_stage", "stage_attempts": 4}, [1, 2], 0, 2, 2 * 8),
        (sleep, {"skip_if": answer_slowly, "on_success": answer_slowly}, [1], 1, 0, 4 + 16 + 4),
        (fail, {"skip_if": lambda _: True}, range(3), 3, 0, 0),
    ],
    ids=["some fail", "retried", "stage retried", "callbacks", "skipped"],
)
@simulated(tick=0.0)
async def test_each_run_counts_the_items_of_a_worker_and_the_time_spent_on_them(
    task: Any,
    fields: dict[str, Any],
    items: Any,
    processed: int,
    failed: int,
    seconds: float,
    watched: bool,
) -> None:
    pipeline = piped(stage(task, **fields), watched=watched)
    for _ in range(2):
        await pipeline.run(items)
        metrics = metrics_of(pipeline)
        assert (metrics.items_processed, metrics.items_failed) == (processed, failed)
        assert metrics.total_processing_time == seconds
        assert metrics.avg_processing_time == (seconds / processed if processed else 0)
        await asyncio.sleep(100)
        assert age(metrics_of(pipeline).last_active) == 100
    assert state_of(pipeline) == IDLE_STATE
    assert workers_of(pipeline) == [0, 0, 0, 0]


@watched_or_not
@simulated(tick=0.0)
async def test_time_spent_does_not_include_the_wait_for_room(watched: bool) -> None:
    first, last = stage(sleep), stage(sleep, sleep, name="Last", pull=True)
    pipeline = piped(first, last, watched=watched)
    await pipeline.run(range(4))
    assert metrics_of(pipeline).total_processing_time == 4 * 16
    assert metrics_of(pipeline, "Last-W0").total_processing_time == 4 * 32


@watched_or_not
@simulated(tick=0.0)
async def test_time_spent_is_that_of_the_items_that_it_is_done_with_when_a_run_is_ended(
    watched: bool,
) -> None:
    pipeline = piped(stage(sleep), watched=watched)
    await start_with(pipeline, range(3))
    await asyncio.sleep(40)
    await pipeline.shutdown(timeout=0)
    await asyncio.sleep(100)
    metrics = metrics_of(pipeline)
    assert (metrics.items_processed, metrics.total_processing_time) == (2, 32)


async def limited(enter: Callable[[], Awaitable[Any]] | None = None) -> None:
    async with concurrency_limit():
        if enter is not None:
            await enter()


Left = list[asyncio.Task[None]]


async def time_out(left: Left) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(limited(), 4)


async def fail_beside_a_call(left: Left) -> None:
    await asyncio.gather(fail(1), limited())


async def leave_a_call_that_waits(left: Left) -> None:
    left.append(asyncio.ensure_future(limited()))
    await asyncio.sleep(1)


async def leave_a_call_that_waits_later(left: Left) -> None:
    async def limited_later() -> None:
        await asyncio.sleep(4)
        await limited()

    left.append(asyncio.ensure_future(limited_later()))


@pytest.mark.parametrize(
    ("act", "items", "watched", "workers"),
    [
        (time_out, 3, False, [0, 2, 0, 0]),
        (time_out, 3, True, [0, 2, 0, 0]),
        (fail_beside_a_call, 3, False, [0, 2, 0, 0]),
        (fail_beside_a_call, 3, True, [0, 2, 0, 0]),
        (leave_a_call_that_waits, 3, True, [0, 2, 0, 0]),  # the plain path does not look
        (leave_a_call_that_waits_later, 2, False, [1, 1, 0, 0]),
        (leave_a_call_that_waits_later, 2, True, [1, 1, 0, 0]),
    ],
)
@simulated(tick=0.0)
async def test_a_worker_does_not_wait_for_calls_of_an_earlier_item(
    act: Callable[[Left], Awaitable[None]], items: int, watched: bool, workers: list[int]
) -> None:
    hold, gate, left = Gate("hold"), Gate("gate"), Left()

    async def task(value: int) -> int:
        if value == 0:
            await limited(lambda: hold(value))
        elif value == 1:
            await act(left)
        else:
            await gate(value)
        return value

    pipeline = piped(stage(task, workers=2, call_concurrency=1), watched=watched)
    async with running(pipeline, range(items)):
        await asyncio.sleep(5)
        assert workers_of(pipeline) == workers
        hold.open()
        gate.open()
    await asyncio.gather(*left)


@watched_or_not
@simulated(tick=0.0)
async def test_the_end_of_a_wait_that_was_left_behind_ends_no_later_one(watched: bool) -> None:
    gate, keep = Gate(), Gate()
    left: list[asyncio.Task[None]] = []

    async def task(value: int) -> int:
        if value == 0:
            await limited(lambda: gate(value))
        elif value == 1:
            left.append(asyncio.ensure_future(limited()))
            await asyncio.sleep(1)
        else:
            await asyncio.gather(limited(lambda: keep("first")), limited())
        return value

    pipeline = piped(stage(task, workers=2, call_concurrency=1), watched=watched)
    async with running(pipeline, range(3)):
        await asyncio.sleep(2)
        gate.open()
        await asyncio.gather(*left)
        await settle()
        assert keep.waiting == ["first"]
        assert workers_of(pipeline)[STATES.index("waiting")] == 1  # for the second
        keep.open()
