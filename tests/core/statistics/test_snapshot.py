"""What can be read of a run: counts, seconds by state, histograms, workers, from any thread."""

from __future__ import annotations

import asyncio
import copy
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from antflow import DashboardSnapshot, Pipeline, Stage
from tests.helpers.runs import (
    age,
    fail,
    fail_later,
    piped,
    refuse_odd,
    same,
    seconds_of,
    stage,
    start_with,
    stats_of,
    values,
    workers_of,
)
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, begun, settle


def sleeper(seconds: float, name: str = "sleep") -> Callable[..., Any]:
    async def sleep(value: Any) -> Any:
        await asyncio.sleep(seconds)
        return value

    sleep.__name__ = name
    return sleep


# Counts


@simulated()
async def test_a_stage_counts_what_entered_it_and_what_became_of_it() -> None:
    last = stage(fail, name="Second", skip_if=lambda value: value > 3)
    pipeline = Pipeline([stage(refuse_odd, name="First"), last])
    await pipeline.run(range(10))
    first, second = stats_of(pipeline, "First"), stats_of(pipeline, "Second")
    assert (first.stage_name, second.stage_name) == ("First", "Second")
    assert (first.fed_items, first.completed_items, first.failed_items) == (10, 5, 5)
    assert (second.fed_items, second.completed_items, second.failed_items) == (5, 3, 2)
    assert (first.skipped_items, second.skipped_items) == (0, 3)
    for one in (first, second):
        assert (one.pending_items, one.in_progress_items, one.dropped_items) == (0, 0, 0)
        assert (one.unprocessed_items, one.abandoned_threads) == (0, 0)


@simulated()
async def test_items_that_wait_that_are_at_work_and_that_are_left_are_counted_by_stage() -> None:
    gate = Gate()
    pipeline = Pipeline([stage(gate, workers=2), stage(same, name="Last")])
    await start_with(pipeline, range(7))
    stats = stats_of(pipeline)
    assert (stats.fed_items, stats.pending_items, stats.in_progress_items) == (7, 5, 2)
    gate.let(0)
    await settle()
    stats = stats_of(pipeline)
    assert (stats.pending_items, stats.in_progress_items, stats.completed_items) == (4, 2, 1)
    await pipeline.shutdown(timeout=0)
    stats = stats_of(pipeline)
    assert (stats.pending_items, stats.in_progress_items, stats.unprocessed_items) == (0, 0, 6)
    assert stats_of(pipeline, "Last").unprocessed_items == 0
    assert pipeline.get_stats().items_unprocessed == 6
    assert pipeline.get_stats().items_outstanding == 0


@pytest.mark.parametrize(
    ("fields", "capacity"),
    [({}, 30), ({"queue_capacity": 7}, 7), ({"queue_capacity": 0}, None), ({"pull": True}, 0)],
)
def test_capacity_as_it_is_in_effect(fields: dict[str, Any], capacity: int | None) -> None:
    pipeline = Pipeline([stage(same), stage(same, name="Last", workers=3, **fields)])
    assert stats_of(pipeline, "Last").capacity == capacity


@pytest.mark.parametrize(
    ("retry", "seconds", "is_parked"),
    [
        ({"task_attempts": 10**9, "task_wait_seconds": 0}, 0.5, False),
        ({"task_attempts": 10**9, "task_wait_seconds": 0}, 9.5, False),
        ({"task_attempts": 10**9, "task_wait_seconds": 5}, 0.5, False),
        ({"task_attempts": 10**9, "task_wait_seconds": 5}, 1.5, True),
        ({"task_attempts": 10**9, "task_wait_seconds": 5}, 6.5, False),
        ({"task_attempts": 10**9, "task_wait_seconds": 5}, 9.5, True),
        ({"retry": "per_stage", "stage_attempts": 10**9}, 0.5, False),
        ({"retry": "per_stage", "stage_attempts": 10**9}, 9.5, False),
    ],
)
@simulated()
async def test_a_retry_is_counted_as_soon_as_it_is_due_and_not_when_the_run_is_closed(
    retry: dict[str, Any], seconds: float, is_parked: bool
) -> None:
    pipeline = Pipeline([stage(fail_later, **retry)])
    await pipeline.start()
    await pipeline.feed([1])
    await asyncio.sleep(seconds)
    await pipeline.shutdown()
    task = stats_of(pipeline).tasks["fail_later"]
    assert task.attempts - task.failed == task.retried == stats_of(pipeline).retried_attempts
    assert task.failed == (0 if is_parked else 1)


@simulated()
async def test_shutdown_between_two_tasks_counts_no_retry() -> None:
    gate = Gate()
    pipeline = Pipeline([Stage("Work", 1, [gate, same])])
    await start_with(pipeline, [1])
    stop = await begun(pipeline.shutdown())
    gate.open()
    assert values(await stop) == [1]
    tasks = stats_of(pipeline).tasks
    assert [(tasks[name].attempts, tasks[name].retried) for name in tasks] == [(1, 0), (0, 0)]
    assert stats_of(pipeline).retried_attempts == 0


# Pull stages


@simulated()
async def test_what_a_pull_stage_has_not_taken_is_in_progress_in_the_stage_before() -> None:
    gate = Gate()
    pipeline = Pipeline([stage(same, name="Made", workers=3), stage(gate, name="P", pull=True)])
    run = await begun(pipeline.run(range(10)))
    made, pull = stats_of(pipeline, "Made"), stats_of(pipeline, "P")
    assert (pull.pending_items, pull.in_progress_items, pull.fed_items) == (0, 1, 1)
    assert (made.in_progress_items, made.completed_items, made.pending_items) == (3, 1, 6)
    assert workers_of(pipeline, "Made") == [0, 0, 0, 3]
    assert pipeline.get_stats().queue_sizes == {"Made": 6, "P": 0}
    assert pipeline.get_stats().items_outstanding == 10
    states = pipeline.get_worker_states()
    held = [state for state in states.values() if state.stage == "Made"]
    assert sorted(state.current_item_id for state in held) == [1, 2, 3]
    gate.let(0)
    await settle()
    made, pull = stats_of(pipeline, "Made"), stats_of(pipeline, "P")
    assert (pull.pending_items, pull.in_progress_items, pull.completed_items) == (0, 1, 1)
    assert (made.in_progress_items, made.completed_items) == (3, 2)
    gate.open()
    await run


@simulated()
async def test_a_skipped_item_that_a_pull_stage_has_not_taken_is_in_progress_too() -> None:
    gate = Gate()
    made = stage(same, name="Made", workers=4, skip_if=lambda value: value % 2 == 1)
    pipeline = Pipeline([made, stage(gate, name="P", pull=True)])
    await start_with(pipeline, range(6))
    found = []
    for value in range(6):
        stats = stats_of(pipeline, "Made")
        found.append((stats.in_progress_items, stats.completed_items, stats.skipped_items))
        gate.let(value)
        await settle()
    assert found == [(4, 1, 0), (4, 2, 1), (3, 3, 1), (2, 4, 2), (1, 5, 2), (0, 6, 3)]
    await pipeline.join()


@simulated()
async def test_a_pull_stage_takes_what_is_held_by_priority_and_then_by_arrival() -> None:
    gate = Gate()
    pipeline = Pipeline([stage(same, name="Made", workers=4), stage(gate, name="P", pull=True)])
    await start_with(pipeline, ["taken"])
    for value, priority in (("c", 7), ("a", 5), ("d", 7), ("b", 5)):
        await pipeline.feed([value], priority=priority)
        await settle()
    gate.open()
    await pipeline.join()
    assert gate.entered == ["taken", "a", "b", "c", "d"]


@simulated()
async def test_a_feeder_may_leave_one_item_in_front_of_a_pull_stage() -> None:
    gate = Gate()
    pipeline = Pipeline([stage(same), stage(gate, name="P", pull=True)])
    await pipeline.start()
    feed = await begun(pipeline.feed(range(5), target_stage="P"))
    assert pipeline.get_stats().items_fed == 2
    gate.open()
    await feed
    await pipeline.join()
    assert len(pipeline.results) == 5


# Seconds by state


@simulated(tick=0.0)
async def test_before_the_start_items_are_pending_and_no_time_is_counted() -> None:
    pipeline = Pipeline([stage(same, workers=3)])
    assert seconds_of(pipeline) == [0, 0, 0, 0]
    await pipeline.feed([1, 2])
    await asyncio.sleep(40)
    stats = stats_of(pipeline)
    assert (stats.pending_items, stats.fed_items, stats.last_completion) == (2, 2, None)
    assert pipeline.get_stats().queue_sizes == {"Work": 2}
    assert seconds_of(pipeline) == [0, 0, 0, 0]
    await pipeline.start()
    await pipeline.join()
    assert seconds_of(pipeline) == [0, 0, 0, 0]
    assert stats_of(pipeline).queue_wait.sum == 80


@simulated(tick=0.0)
async def test_idle_and_busy_seconds_to_the_microsecond() -> None:
    pipeline = Pipeline([stage(sleeper(4), workers=3)])
    await pipeline.start()
    await asyncio.sleep(10)
    assert workers_of(pipeline) == [3, 0, 0, 0]
    assert seconds_of(pipeline) == [30, 0, 0, 0]
    await pipeline.feed([1, 2])
    await asyncio.sleep(1)
    assert workers_of(pipeline) == [1, 2, 0, 0]
    assert seconds_of(pipeline) == [31, 2, 0, 0]
    await asyncio.sleep(9)
    assert workers_of(pipeline) == [3, 0, 0, 0]
    assert seconds_of(pipeline) == [30 + 10 + 6 + 6, 8, 0, 0]
    await pipeline.join()
    assert workers_of(pipeline) == [0, 0, 0, 0]
    assert seconds_of(pipeline) == [52, 8, 0, 0]
    await asyncio.sleep(100)
    assert seconds_of(pipeline) == [52, 8, 0, 0]


@pytest.mark.parametrize("fields", [{"queue_capacity": 1}, {"pull": True}])
@simulated(tick=0.0)
async def test_blocked_seconds_are_those_without_room_downstream(fields: dict[str, Any]) -> None:
    pipeline = Pipeline([stage(same), stage(sleeper(10), name="Last", **fields)])
    run = asyncio.create_task(pipeline.run(range(6)))
    await asyncio.sleep(1)
    assert workers_of(pipeline) == [0, 0, 0, 1]
    await run
    idle, busy, waiting, blocked = seconds_of(pipeline)
    assert idle + blocked == 60
    assert busy == waiting == 0
    held_from_start = 1 if "pull" in fields else 2
    assert blocked == 10 * (6 - held_from_start)
    assert seconds_of(pipeline, "Last") == [0, 60, 0, 0]


@simulated(tick=0.0)
async def test_seconds_of_all_states_add_up_to_workers_times_time() -> None:
    async def mixed(value: int) -> int:
        await asyncio.sleep(value % 4)
        if value % 5 == 0:
            raise ValueError
        return value

    pipeline = Pipeline(
        [
            stage(mixed, name="First", workers=3, task_attempts=2, task_wait_seconds=2),
            stage(mixed, name="Second", workers=2, queue_capacity=1, retry="per_stage"),
        ]
    )
    run = asyncio.create_task(pipeline.run(range(40)))
    last = [0.0] * 8
    for second in range(1, 20):
        await asyncio.sleep(1)
        assert sum(seconds_of(pipeline, "First")) == pytest.approx(3 * second)
        assert sum(seconds_of(pipeline, "Second")) == pytest.approx(2 * second)
        seconds = seconds_of(pipeline, "First") + seconds_of(pipeline, "Second")
        assert all(now >= before for now, before in zip(seconds, last, strict=True))
        last = seconds
    await run


# Histograms


@simulated(tick=0.0)
async def test_queue_wait_is_how_long_items_waited() -> None:
    pipeline = Pipeline([stage(sleeper(10)), stage(same, name="Last")])
    await pipeline.run(range(4))
    wait = stats_of(pipeline).queue_wait
    assert (wait.count, wait.sum) == (4, 0 + 10 + 20 + 30)
    assert counts(wait.bounds, wait.counts) == {1e-05: 1, 10: 1, 25: 1, 50: 1}
    last = stats_of(pipeline, "Last").queue_wait
    assert (last.count, last.sum) == (4, 0)


def counts(bounds: tuple[float, ...], numbers: tuple[int, ...]) -> dict[float, int]:
    """Return the buckets that are not empty, by their upper bound."""
    return {bound: n for bound, n in zip(bounds, numbers, strict=False) if n}


@simulated(tick=0.0)
async def test_queue_wait_counts_each_attempt_at_a_stage() -> None:
    async def fail_slowly(value: int) -> None:
        await asyncio.sleep(10)
        raise ValueError

    pipeline = Pipeline([stage(fail_slowly, retry="per_stage", stage_attempts=2)])
    await pipeline.run([1, 2])
    wait = stats_of(pipeline).queue_wait
    assert (wait.count, wait.sum) == (4, 0 + 10 + 10 + 10)


@simulated(tick=0.0)
async def test_tasks_are_counted_by_their_name() -> None:
    tasks = sleeper(1, "one"), sleeper(2, "two"), sleeper(3, "two"), fail
    pipeline = Pipeline([stage(*tasks)])
    await pipeline.run([1, 2])
    counted = stats_of(pipeline).tasks.items()
    found = {name: (task.attempts, task.failed, task.duration.sum) for name, task in counted}
    assert found == {"one": (2, 0, 2), "two": (4, 0, 10), "fail": (2, 2, 0)}


@simulated()
async def test_a_whole_stage_retry_counts_for_the_task_that_failed() -> None:
    pipeline = Pipeline([stage(same, fail, retry="per_stage", stage_attempts=3)])
    await pipeline.run([1])
    stats = stats_of(pipeline)
    assert stats.retried_attempts == 2
    same_stats, fail_stats = stats.tasks["same"], stats.tasks["fail"]
    assert (same_stats.attempts, same_stats.retried, same_stats.failed) == (3, 0, 0)
    assert (fail_stats.attempts, fail_stats.retried, fail_stats.failed) == (3, 2, 1)


# Times of day


@simulated(tick=0.0)
async def test_the_last_completion_is_the_unix_time_of_the_last_item_that_did_not_fail() -> None:
    async def sleep_or_fail(value: int) -> int:
        await asyncio.sleep(value)
        if value == 30:
            raise ValueError
        return value

    pipeline = Pipeline([stage(sleep_or_fail)])
    await pipeline.run([30])
    assert stats_of(pipeline).last_completion is None
    await pipeline.run([50, 1, 30])
    await asyncio.sleep(100)
    assert age(pipeline.get_worker_metrics()["Work-W0"].last_active) == 100
    assert age(stats_of(pipeline).last_completion) == 130


@pytest.mark.parametrize("fields", [{}, {"skip_if": lambda value: False}])
@simulated(tick=0.0)
async def test_taking_an_item_is_no_completion(fields: dict[str, Any]) -> None:
    gate = Gate()
    pipeline = Pipeline([stage(gate, **fields)])
    await start_with(pipeline, [1])
    gate.let(1)
    await asyncio.sleep(100)
    await pipeline.feed([2])
    await asyncio.sleep(50)
    assert gate.waiting == [2]
    assert age(stats_of(pipeline).last_completion) == 150
    assert age(pipeline.get_worker_metrics()["Work-W0"].last_active) == 150
    gate.open()
    await pipeline.join()


@simulated(tick=0.0)
async def test_getting_room_downstream_is_no_completion() -> None:
    gate = Gate()
    pipeline = Pipeline([stage(same), stage(gate, name="Last", queue_capacity=1)])
    await pipeline.start()
    await pipeline.feed(range(3))
    await asyncio.sleep(100)
    gate.let(0)
    await asyncio.sleep(50)
    assert age(stats_of(pipeline).last_completion) == 150
    gate.open()
    await pipeline.join()


@pytest.mark.parametrize("fields", [{}, {"skip_if": lambda value: False}])
@simulated(tick=0.0)
async def test_processing_since_is_when_the_worker_took_the_item_for_this_attempt(
    fields: dict[str, Any],
) -> None:
    async def fail_slowly(value: int) -> None:
        await asyncio.sleep(10)
        raise ValueError

    pipeline = Pipeline([stage(fail_slowly, task_attempts=3, task_wait_seconds=100, **fields)])
    run = asyncio.create_task(pipeline.run([1]))
    ages = []
    for _ in range(4):
        await asyncio.sleep(5)
        since = pipeline.get_worker_states()["Work-W0"].processing_since
        ages.append(None if since is None else age(since))
        await asyncio.sleep(50)
    assert ages == [5, None, 5, None]
    await run


# Reading


@simulated(tick=0.0)
async def test_what_was_read_does_not_change_any_more() -> None:
    pipeline = Pipeline([stage(fail, task_attempts=2)])
    await pipeline.start()
    early = pipeline.get_stats()
    kept = copy.deepcopy(early)
    await pipeline.feed(range(5))
    await asyncio.sleep(100)
    assert early == kept
    assert pipeline.get_stats() != early
    await pipeline.join()


@simulated(tick=0.0)
async def test_reading_changes_nothing() -> None:
    pipeline = Pipeline([stage(fail)])
    await pipeline.run([1])
    assert pipeline.get_stats() == pipeline.get_stats()
    pipeline.get_stats().stage_stats.clear()
    stats_of(pipeline).errors_by_type["wrong"] = 1
    summary = pipeline.get_error_summary()
    summary.failed_items.clear()
    summary.errors_by_type.clear()
    summary.errors_by_stage.clear()
    assert stats_of(pipeline).errors_by_type == {"ValueError": 1}
    again = pipeline.get_error_summary()
    assert (len(again.failed_items), again.errors_by_type) == (1, {"ValueError": 1})


def test_another_thread_takes_snapshots_while_items_move_and_fail() -> None:
    kinds = [type(f"Number{number}Error", (Exception,), {}) for number in range(60)]
    reading, enough = threading.Event(), threading.Event()
    read: list[DashboardSnapshot] = []

    async def raise_one(value: int) -> int:
        if value % 2:
            raise kinds[value % 60]
        return value

    def numbers() -> Iterator[int]:
        for number in range(1_000_000):
            reading.set()
            if enough.is_set():
                return
            yield number

    def take_snapshots() -> None:
        reading.wait(10)
        try:
            read.extend(pipeline.get_dashboard_snapshot() for _ in range(20))
        finally:
            enough.set()

    stages = stage(raise_one, workers=5), stage(same, name="Last", workers=5)
    pipeline = Pipeline(stages, collect_results=False)
    reader = threading.Thread(target=take_snapshots)
    reader.start()
    asyncio.run(pipeline.run(numbers()))
    reader.join(10)
    assert len(read) == 20
    for counts in (
        [snapshot.pipeline_stats.items_fed for snapshot in read],
        [snapshot.pipeline_stats.items_processed for snapshot in read],
        [snapshot.error_summary.total_failed for snapshot in read],
    ):
        assert counts == sorted(counts)


def test_statistics_read_from_another_thread_are_never_negative() -> None:
    lowest: Counter[str] = Counter()
    over = threading.Event()
    pipeline = Pipeline(
        [stage(same, name="First", workers=2), stage(same, name="Second", workers=2)],
        collect_results=False,
    )

    def watch() -> None:
        while not over.is_set():
            stats = pipeline.get_stats()
            counts = {
                "in flight": stats.items_in_flight,
                "outstanding": stats.items_outstanding,
                "processed": stats.items_processed,
            }
            for name, one in stats.stage_stats.items():
                counts[f"{name} pending"] = one.pending_items
                counts[f"{name} in progress"] = one.in_progress_items
                counts |= {f"{name} {state}": number for state, number in one.workers.items()}
            lowest.update({name: min(0, count) for name, count in counts.items()})

    watcher = threading.Thread(target=watch)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        watcher.start()
        asyncio.run(pipeline.run(range(20_000)))
    finally:
        over.set()
        watcher.join()
        sys.setswitchinterval(interval)
    assert lowest
    assert set(lowest.values()) == {0}


def test_a_run_begins_while_another_thread_reads() -> None:
    async def use(pipeline: Pipeline) -> None:
        over = threading.Event()

        def watch() -> None:
            while not over.is_set():
                pipeline.get_stats()

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            async with pipeline.running():
                handle = await pipeline.submit(0)
                assert (await handle).value == 0
                await pipeline.feed([1, 2])
        finally:
            over.set()
            watcher.join()
        assert sorted(values(pipeline.results)) == [1, 2]
        assert pipeline.get_stats().items_processed == 3

    async def main() -> None:
        for _ in range(50):  # about ten of which failed while reading could replace the run
            await use(Pipeline([stage(same, name=f"Stage {number}") for number in range(3)]))

    asyncio.run(main())


# All at once


@simulated(tick=0.0)
async def test_a_snapshot_for_dashboards_is_all_that_can_be_read() -> None:
    gate = Gate()
    pipeline = piped(stage(gate, workers=2), stage(fail, name="Last"))
    running = await begun(pipeline.run(range(4)))
    gate.let(0)
    await settle()
    before = time.time()
    snapshot = pipeline.get_dashboard_snapshot()
    assert type(snapshot) is DashboardSnapshot
    assert before <= snapshot.timestamp <= time.time()
    assert list(snapshot.worker_states) == list(snapshot.worker_metrics)
    assert list(snapshot.worker_states) == ["Work-W0", "Work-W1", "Last-W0"]
    states = snapshot.worker_states.values()
    assert sorted(state.status for state in states) == ["busy", "busy", "idle"]
    assert sum(one.items_processed for one in snapshot.worker_metrics.values()) == 1
    assert snapshot.worker_metrics["Last-W0"].items_failed == 1
    assert snapshot.pipeline_stats.items_in_flight == 3
    assert snapshot.error_summary == pipeline.get_error_summary()
    gate.open()
    await running
