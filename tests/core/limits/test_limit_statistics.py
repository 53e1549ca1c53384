"""What a `Limit` and its stages show: waiting, in use, available, keys, and the worker states."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from antflow import Limit, LimitStats, Pipeline, StatusTracker, TaskEvent, mark_waiting
from antflow.testing import Clock
from tests.helpers.attempts import Attempts
from tests.helpers.runs import (
    assert_all_are_somewhere,
    left,
    now,
    piped,
    same,
    seconds_of,
    stage,
    start_with,
    stats_of,
    workers_of,
)
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, begun, settle


def limit_of(pipeline: Pipeline, name: str = "limit") -> LimitStats:
    return stats_of(pipeline).limits[name]


@simulated()
async def test_a_limit_that_was_not_used_has_everything_available() -> None:
    assert Limit(rate=5).stats() == LimitStats(0, 0, available=5)
    assert Limit(concurrency=5).stats() == LimitStats(0, 0, available=5, concurrency=5)
    assert Limit(rate=5, key=str).stats() == LimitStats(0, 0)
    assert stats_of(Pipeline([stage(same)])).limits == {}
    assert limit_of(Pipeline([stage(same, limits=[Limit(rate=5)])])).available == 5


@simulated(tick=0.0)
async def test_what_waits_is_counted_by_limit() -> None:
    gate, total, each = Gate(), Limit(concurrency=3), Limit(concurrency=1, key=lambda value: value)
    pipeline = Pipeline([stage(gate, workers=6, limits=[total, each])])
    await start_with(pipeline, ["a", "a", "a", "b"])
    found = stats_of(pipeline)
    assert (found.parked_items, found.pending_items, found.in_progress_items) == (2, 0, 2)
    assert (limit_of(pipeline).waiting, limit_of(pipeline, "limit-2").waiting) == (0, 2)
    await pipeline.feed(["c", "d", "e"])
    await settle()
    found = stats_of(pipeline)
    assert (found.parked_items, found.pending_items, found.in_progress_items) == (2, 2, 3)
    assert (limit_of(pipeline).waiting, limit_of(pipeline).in_use) == (2, 3)
    assert (limit_of(pipeline).available, limit_of(pipeline).concurrency) == (0, 3)
    keyed = limit_of(pipeline, "limit-2")
    assert (keyed.waiting, keyed.in_use, keyed.keys) == (2, 3, 3)
    assert (keyed.busiest[0].key, keyed.busiest[0].waiting, keyed.busiest[0].in_use) == ("a", 2, 1)
    gate.open()
    await pipeline.join()
    for limit in (total, each):
        assert (limit.stats().waiting, limit.stats().in_use) == (0, 0)


@simulated(tick=0.0)
async def test_the_twenty_busiest_keys_are_shown() -> None:
    gate, limit = Gate(), Limit(concurrency=1, key=lambda value: value)
    pipeline = Pipeline([stage(gate, workers=50, limits=[limit])])
    await start_with(pipeline, [*range(30), 7, 7, 29])
    found = limit.stats()
    assert (found.keys, len(found.busiest)) == (30, 20)
    assert [(key.key, key.waiting) for key in found.busiest[:2]] == [(7, 2), (29, 1)]
    gate.open()
    await pipeline.join()


@simulated(tick=0.0)
async def test_available_are_the_units_that_the_window_has_left() -> None:
    limit = Limit(rate=4, per=8, burst=4, cost=lambda value: value)
    pipeline = Pipeline([stage(same, limits=[limit])])
    await pipeline.run([1])
    await asyncio.sleep(4)
    await pipeline.run([2])
    assert limit.stats().available == 1
    await asyncio.sleep(4)
    assert limit.stats().available == 2
    await asyncio.sleep(4)
    assert limit.stats().available == 4


@pytest.mark.parametrize(
    ("fields", "parked"),
    [
        ({"rate": 1, "per": 10}, 0),
        ({"concurrency": 1}, 0),
        ({"rate": 1, "per": 10, "key": lambda value: "all"}, 3),
        ({"concurrency": 1, "key": lambda value: "all"}, 3),
    ],
    ids=["rate", "concurrency", "rate by key", "concurrency by key"],
)
@simulated(tick=0.0)
async def test_workers_without_an_item_wait_while_items_wait_for_a_limit(
    fields: dict[str, Any], parked: int
) -> None:
    gate = Gate()
    pipeline = Pipeline([stage(gate, workers=3, limits=[Limit(**fields)])])
    await start_with(pipeline, range(4))
    found = stats_of(pipeline)
    assert workers_of(pipeline) == [0, 1, 2, 0]  # idle, busy, waiting, blocked
    assert (found.parked_items, found.pending_items) == (parked, 3 - parked)
    await asyncio.sleep(5)
    assert seconds_of(pipeline) == [0, 5, 10, 0]
    assert stats_of(pipeline).limit_wait_share == 1
    gate.open()
    await pipeline.join()
    assert workers_of(pipeline) == [0, 0, 0, 0]


@simulated(tick=0.0)
async def test_workers_are_idle_once_nothing_waits() -> None:
    limit = Limit(rate=1, per=4)
    pipeline = Pipeline([stage(same, workers=2, limits=[limit])])
    await start_with(pipeline, range(3))
    assert workers_of(pipeline) == [0, 0, 2, 0]
    await asyncio.sleep(8)
    await settle()
    assert workers_of(pipeline) == [2, 0, 0, 0]
    await pipeline.join()


@simulated(tick=0.0)
async def test_a_stage_that_waits_for_its_limit_is_the_bottleneck() -> None:
    limit = Limit(rate=1, per=1)
    stages = [stage(same, name="First"), stage(same, workers=3, limits=[limit], queue_capacity=2)]
    pipeline = Pipeline([*stages, stage(Attempts(0.2), name="Last")])
    run = await begun(pipeline.run(range(30)))
    await asyncio.sleep(20)
    assert pipeline.get_stats().bottleneck == "Work"
    await run


@simulated(tick=0.0)
async def test_an_event_says_for_which_limit_an_item_waited_and_how_long() -> None:
    events: list[TaskEvent] = []
    limits = [Limit(rate=1, per=2, name="calls"), Limit(concurrency=5, name="open")]
    tracker = StatusTracker(on_task_start=events.append, on_task_complete=events.append)
    await Pipeline([stage(same, workers=5, limits=limits)], status_tracker=tracker).run(range(3))
    starts = [event for event in events if event.event_type == "start"]
    assert [(event.limit, event.limit_wait) for event in starts] == [
        (None, 0),
        ("calls", 2),
        ("calls", 2),  # from the moment when it was the next to start
    ]
    assert all(event.limit_wait in (0, 2) for event in events)
    assert [event.queue_wait for event in starts] == [0, 2, 4]


@simulated(tick=0.0)
async def test_statistics_can_be_read_while_limits_change_in_another_thread() -> None:
    stop, errors, limit = threading.Event(), list[BaseException](), Limit(rate=1e6, key=str)

    def read() -> None:
        while not stop.is_set():
            try:
                limit.stats()
                pipeline.get_stats()
            except BaseException as error:
                errors.append(error)

    pipeline = Pipeline([stage(same, workers=5, limits=[limit])])
    thread = threading.Thread(target=read)
    thread.start()
    try:
        await pipeline.run(range(2000))
    finally:
        stop.set()
        thread.join()
    assert errors == []


# mark_waiting


@pytest.mark.parametrize("watched", [False, True])
@simulated(tick=0.0)
async def test_a_wait_that_a_task_marks_is_no_work(watched: bool) -> None:
    async def task(value: int) -> None:
        await asyncio.sleep(1)
        with mark_waiting():
            await asyncio.sleep(3)
        await asyncio.sleep(2)

    pipeline = piped(stage(task), watched=watched)
    run = await begun(pipeline.run([1]))
    assert workers_of(pipeline) == [0, 1, 0, 0]
    await asyncio.sleep(2)
    assert workers_of(pipeline) == [0, 0, 1, 0]
    await asyncio.sleep(3)
    assert workers_of(pipeline) == [0, 1, 0, 0]
    await run
    assert seconds_of(pipeline) == [0, 3, 3, 0]


@simulated(threads=True)
async def test_a_plain_function_marks_a_wait_in_its_thread() -> None:
    entered, may_end = threading.Event(), threading.Event()

    def task(value: int) -> int:
        with mark_waiting():
            entered.set()
            may_end.wait()
        return value

    pipeline = Pipeline([stage(task)])
    run = await begun(pipeline.run([1]))
    await asyncio.get_running_loop().run_in_executor(None, entered.wait)
    await settle()
    assert workers_of(pipeline) == [0, 0, 1, 0]
    may_end.set()
    assert len(await run) == 1


@simulated()
async def test_a_shutdown_ends_a_marked_wait_and_not_what_is_around_it() -> None:
    async def task(value: int) -> int:
        if value:
            with mark_waiting():
                await asyncio.sleep(1000)
        else:
            await asyncio.sleep(5)
        return value

    pipeline = Pipeline([stage(task, workers=2)])
    await start_with(pipeline, [0, 1])
    await pipeline.shutdown()
    assert left(pipeline) == [1]
    assert now() == pytest.approx(5, abs=0.1)
    assert_all_are_somewhere(pipeline, [0, 1])


def test_outside_of_a_task_a_marked_wait_does_nothing() -> None:
    with mark_waiting():
        pass


@simulated()
async def test_an_error_in_a_marked_wait_is_that_of_the_task() -> None:
    async def task(value: int) -> None:
        with mark_waiting():
            raise ValueError("no connection")

    pipeline = Pipeline([stage(task)])
    await pipeline.run([1, 2])
    assert [str(failure.error) for failure in pipeline.failures] == ["no connection"] * 2


# Pipeline.quick


@simulated(tick=0.0)
async def test_quick_takes_limits_for_each_of_its_stages() -> None:
    first, second, limit = Attempts(), Attempts(), Limit(rate=1, per=2)
    results = await Pipeline.quick(range(2), [first, second], limits=[limit])
    assert len(results) == 2
    assert sorted(first.times + second.times) == [0, 2, 4, 6]


@pytest.mark.parametrize("watched", [False, True])
def test_the_time_of_cost_is_no_part_of_the_attempt(watched: bool) -> None:
    clock = Clock()

    def cost(value: int) -> float:
        clock.advance(2)
        return 1

    async def fail(value: int) -> None:
        raise OSError

    fields = {"task_attempts": 3, "retry_wait": 1, "retry_timeout": 2.5}
    pipeline = piped(stage(fail, limits=[Limit(rate=100, cost=cost)], **fields), watched=watched)
    clock.run(pipeline.run([0]))
    (task,) = stats_of(pipeline).tasks.values()
    # The second attempt is due a second after the first, and the third would be too late.
    assert (task.attempts, task.duration.sum) == (2, 0)


@pytest.mark.parametrize("watched", [False, True])
@simulated(tick=0.0)
async def test_work_begins_after_an_item_that_its_cost_has_failed(watched: bool) -> None:
    async def wait(*_: Any) -> None:
        await asyncio.sleep(30)

    async def note_since(value: int) -> None:
        before = time.time()
        (state,) = pipeline.get_worker_states().values()
        since.append((before, state.processing_since, time.time()))

    since = list[tuple[float, float | None, float]]()
    limit = Limit(rate=100, cost=lambda value: -1 if value == 0 else 1)
    pipeline = piped(stage(note_since, limits=[limit], on_failure=wait), watched=watched)
    await pipeline.run([0, 1])
    ((before, begun, after),) = since
    assert begun is not None
    assert before <= begun <= after
