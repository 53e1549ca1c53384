"""An item that is to be retried is parked in front of its stage, and holds no worker meanwhile."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
import weakref
from collections.abc import Collection
from typing import Any

import pytest

from antflow import PipelineError, current_item
from tests.helpers.runs import (
    Counted,
    Failing,
    assert_all_are_somewhere,
    left,
    now,
    piped,
    raised_by,
    same,
    seconds_of,
    stage,
    start_with,
    stats_of,
    values,
    watched_or_not,
    workers_of,
)
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, begun, others

each_loop = pytest.mark.parametrize(
    ("fields", "watched"),
    [({}, False), ({}, True), ({"skip_if": lambda value: False}, False)],
    ids=["plain", "watched", "general"],
)


class FailingOnce:
    """A task that takes some seconds, and fails in the first attempt at some values.

    `calls` lists the values, and `workers` the workers that called it, in the order of the calls.
    """

    def __init__(self, failing: Collection[int], seconds: float = 0.0) -> None:
        self.__name__ = "task"
        self.calls: list[int] = []
        self.workers: list[str] = []
        self._failing = set(failing)
        self._seconds = seconds

    async def __call__(self, value: int) -> int:
        task = asyncio.current_task()
        assert task is not None
        self.calls.append(value)
        self.workers.append(task.get_name())
        await asyncio.sleep(self._seconds)
        if value in self._failing:
            self._failing.remove(value)
            raise ValueError(value)
        return value


def parking(seconds: float = 100, **fields: Any) -> dict[str, Any]:
    """Return the fields of a stage that tries its tasks twice, after a wait."""
    return {"task_attempts": 2, "task_wait_seconds": seconds, **fields}


# No worker is held


@each_loop
@simulated(tick=0.0)
async def test_waits_for_retries_take_no_worker(fields: dict[str, Any], watched: bool) -> None:
    task = FailingOnce(range(0, 2000, 10), seconds=0.02)  # 5%, and none so late that it comes last
    ideal = (4000 + 200) * 0.02 / 20

    pipeline = piped(stage(task, workers=20, **parking(2), **fields), watched=watched)
    assert values(await pipeline.run(range(4000))) == list(range(4000))
    assert stats_of(pipeline).retried_attempts == 200
    assert now() <= 1.1 * ideal


@each_loop
@simulated(tick=0.0)
async def test_another_worker_may_make_the_next_attempt(
    fields: dict[str, Any], watched: bool
) -> None:
    gate = Gate()
    failing = FailingOnce([0])

    async def task(value: int) -> Any:
        return await (gate(value) if value else failing(value))

    pipeline = piped(stage(task, workers=2, **parking(), **fields), watched=watched)
    await start_with(pipeline, [0, 1, 2])
    assert sorted(gate.waiting) == [1, 2]
    (first,) = failing.workers
    (other,) = {"Work-W0", "Work-W1"} - {first}
    gate.let(pipeline.get_worker_states()[other].current_item_id)
    await asyncio.sleep(101)
    assert failing.workers == [first, other]
    gate.open()
    await pipeline.join()


# Where it resumes, and with which value

FIRST = [("one", 10), ("two", 11), ("three", 12)]
RESUMPTIONS = {"per_task": FIRST[2:], "per_stage": FIRST}


@watched_or_not
@pytest.mark.parametrize(("mode", "second"), RESUMPTIONS.items(), ids=RESUMPTIONS)
@simulated(tick=0.0)
async def test_it_resumes_at_the_right_task_with_the_right_value(
    mode: Any, second: list[tuple[str, int]], watched: bool
) -> None:
    calls: list[tuple[str, int]] = []

    async def one(value: int) -> int:
        calls.append(("one", value))
        return value + 1

    async def two(value: int) -> int:
        calls.append(("two", value))
        return value + 1

    async def three(value: int) -> int:
        calls.append(("three", value))
        if calls == FIRST:
            raise ValueError
        return value + 1

    pipeline = piped(stage(one, two, three, retry=mode, **parking()), watched=watched)
    (ended,) = await pipeline.run([10])
    assert (ended.value, ended.attempts) == (13, 2)
    assert calls == FIRST + second


@watched_or_not
@pytest.mark.parametrize("how", ["while it waits", "in the next attempt"])
@pytest.mark.parametrize("mode", ["per_task", "per_stage"])
@simulated(tick=0.0)
async def test_what_is_left_of_it_is_the_value_that_entered_the_stage(
    mode: Any, how: str, watched: bool
) -> None:
    async def add(value: int) -> int:
        return value + 1

    async def fail(value: int) -> None:
        await asyncio.sleep(1)
        raise ValueError

    second = stage(add, fail, name="Second", retry=mode, task_wait_seconds=100, task_attempts=3)
    pipeline = piped(stage(add), second, watched=watched)
    await pipeline.start()
    await pipeline.feed([{"id": "x", "value": 1, "size": "L"}])
    waits = 2 if mode == "per_stage" else 101  # until the next attempt has begun
    await asyncio.sleep(1.5 if how == "while it waits" else waits + 0.5)
    unprocessed = await pipeline.shutdown(timeout=0)
    assert [(item.id, item.value, item.stage, item.metadata) for item in unprocessed] == [
        ("x", 2, "Second", {"size": "L"})
    ]
    assert_all_are_somewhere(pipeline, ["x"])
    assert not others()


# In statistics


@each_loop
@simulated(tick=0.0)
async def test_it_is_parked_and_in_flight_and_not_pending(
    fields: dict[str, Any], watched: bool
) -> None:
    pipeline = piped(stage(Failing(1), **parking(), **fields), watched=watched)
    await start_with(pipeline, range(3))
    stats = pipeline.get_stats()
    found = stats.stage_stats["Work"]
    assert (found.parked_items, found.pending_items, found.in_progress_items) == (3, 0, 0)
    assert (stats.items_in_flight, stats.items_outstanding) == (3, 3)
    assert stats.queue_sizes == {"Work": 0}
    assert (found.retried_attempts, found.failed_items) == (3, 0)
    await pipeline.join()
    found = stats_of(pipeline)
    assert (found.parked_items, found.completed_items) == (0, 3)
    assert found.queue_wait.sum == 0


@each_loop
@simulated(tick=0.0)
async def test_workers_without_an_item_wait_as_long_as_one_is_parked(
    fields: dict[str, Any], watched: bool
) -> None:
    gate = Gate()
    failing = Failing(1)

    async def task(value: int) -> Any:
        return await (gate(value) if value else failing(value))

    pipeline = piped(stage(task, workers=4, **parking(), **fields), watched=watched)
    await pipeline.start()
    await asyncio.sleep(10)
    assert workers_of(pipeline) == [4, 0, 0, 0]
    await pipeline.feed([0, 1])
    await asyncio.sleep(90)
    assert workers_of(pipeline) == [0, 1, 3, 0]
    await asyncio.sleep(20)
    assert workers_of(pipeline) == [3, 1, 0, 0]
    gate.open()
    await pipeline.join()
    assert seconds_of(pipeline) == [4 * 10 + 3 * 10, 110, 3 * 100, 0]
    assert stats_of(pipeline).limit_wait_share == 0  # none of it was for a limit


# The end of a run


@pytest.mark.parametrize(
    ("arguments", "seconds", "unprocessed"),
    [
        ({}, 1, [7]),
        ({"timeout": 0}, 1, [7]),
        ({"drain": True}, 100, []),
        ({"drain": True, "timeout": 50}, 51, [7]),
        ({"drain": True, "timeout": 500}, 100, []),
    ],
    ids=str,
)
@watched_or_not
@simulated(tick=0.0)
async def test_shutdown_returns_parked_items_or_drains_them(
    arguments: dict[str, Any], seconds: float, unprocessed: list[int], watched: bool
) -> None:
    pipeline = piped(stage(Failing(1), **parking()), watched=watched)
    await start_with(pipeline, [7])
    await asyncio.sleep(1)
    assert values(await pipeline.shutdown(**arguments)) == unprocessed
    assert now() == seconds
    assert left(pipeline) == unprocessed
    assert stats_of(pipeline).parked_items == 0
    assert_all_are_somewhere(pipeline, [0])


@simulated(tick=0.0)
async def test_a_parked_item_that_is_left_has_all_its_attempts_in_the_next_run() -> None:
    task = Failing(2)
    pipeline = piped(stage(task, **parking()))
    await start_with(pipeline, [7])
    await pipeline.feed(await pipeline.shutdown())
    await pipeline.start()
    await pipeline.join()
    (result,) = pipeline.results
    assert (result.value, result.attempts) == (7, 2)


@simulated(tick=0.0)
async def test_process_waits_for_its_item_while_that_is_parked() -> None:
    async with piped(stage(Failing(1), **parking())) as pipeline:
        await pipeline.start()
        assert (await pipeline.process(7)).attempts == 2
        assert now() == 100
        waiting = await begun(pipeline.process(8))
        await pipeline.shutdown()
        assert isinstance(await raised_by(waiting), PipelineError)
        assert left(pipeline) == [8]


# In which order


@watched_or_not
@simulated(tick=0.0)
async def test_due_items_go_before_fresh_ones_and_behind_those_due_earlier(watched: bool) -> None:
    gate = Gate()
    failing = FailingOnce([0, 1, 2])

    async def task(value: int) -> Any:
        return await (gate if value == 3 else failing)(value)

    pipeline = piped(stage(task, **parking()), watched=watched)
    await start_with(pipeline, [0, 1, 2, 3])  # the last holds the worker
    await pipeline.feed([4, 5])
    await asyncio.sleep(200)
    assert stats_of(pipeline).pending_items == 5
    gate.open()
    await pipeline.join()
    assert failing.calls == [0, 1, 2, 0, 1, 2, 4, 5]


@simulated(tick=0.0)
async def test_a_due_item_goes_before_no_item_of_a_lower_priority_number() -> None:
    gate = Gate()
    failing = FailingOnce([0])

    async def task(value: int) -> Any:
        return await (gate if value == 1 else failing)(value)

    pipeline = piped(stage(task, **parking()))
    await start_with(pipeline, [0, 1])
    await pipeline.feed([2], priority=1)
    await pipeline.feed([3], priority=200)
    await asyncio.sleep(200)
    gate.open()
    await pipeline.join()
    assert failing.calls == [0, 2, 0, 3]


@simulated(tick=0.0)
async def test_items_are_due_by_time_and_not_by_the_order_in_which_they_failed() -> None:
    order: list[int] = []

    async def task(value: int) -> int:
        await asyncio.sleep(value)
        item = current_item()
        assert item is not None
        if item.attempt == 1:
            raise ValueError
        order.append(value)
        return value

    await piped(stage(task, workers=3, **parking())).run([3, 1, 2])
    assert order == [1, 2, 3]


# How many


@pytest.mark.parametrize(
    ("capacity", "parked"), [(5, 1000 + 5 + 1), (1500, 1500 + 1500 + 1)], ids=["5", "1500"]
)
@simulated(tick=0.0)
async def test_many_parked_items_hold_back_the_input(capacity: int, parked: int) -> None:
    """1,000 items may be parked, or as many as the queue holds; then no more enter the queue."""
    source = Counted(4000)
    pipeline = piped(stage(FailingOnce(range(4000)), queue_capacity=capacity, **parking()))
    running = await begun(pipeline.run(source))
    assert stats_of(pipeline).parked_items == parked
    assert source.read == parked + 1
    await asyncio.sleep(150)
    assert parked + 1 < source.read <= 2 * (parked + 1)
    assert values(await running) == list(range(4000))


@simulated(tick=0.0)
async def test_many_parked_items_hold_back_the_stage_before() -> None:
    second = stage(FailingOnce(range(1500)), name="Second", queue_capacity=5, **parking())
    pipeline = piped(stage(same), second)
    running = await begun(pipeline.run(range(1500)))
    assert 1000 < stats_of(pipeline, "Second").parked_items <= 1000 + 5 + 2
    assert workers_of(pipeline) == [0, 0, 0, 1]
    assert len(await running) == 1500


# Stages that pull


@watched_or_not
@pytest.mark.parametrize("workers", [1, 2])
@simulated(tick=0.0)
async def test_a_stage_that_pulls_takes_no_more_than_it_can_hold(
    workers: int, watched: bool
) -> None:
    task = FailingOnce(range(100), seconds=1)
    pull = stage(task, name="Pull", pull=True, workers=workers, **parking(10))
    pipeline = piped(stage(same), pull, watched=watched)
    running = await begun(pipeline.run(range(6)))
    most = 0
    while not running.done():
        found = stats_of(pipeline, "Pull")
        most = max(most, found.in_progress_items + found.parked_items)
        assert found.pending_items == 0
        await asyncio.sleep(0.5)
    assert most == workers
    assert values(await running) == list(range(6))
    assert now() == pytest.approx(6 / workers * 12, abs=0.5)


@simulated(tick=0.0)
async def test_a_result_does_not_keep_the_input_of_a_task_that_was_retried() -> None:
    class Loaded:
        """What the first task makes of a value."""

        is_tried = False

    made: list[weakref.ref[Loaded]] = []

    async def load(value: int) -> Loaded:
        loaded = Loaded()
        made.append(weakref.ref(loaded))
        return loaded

    async def count(loaded: Loaded) -> int:
        if not loaded.is_tried:
            loaded.is_tried = True
            raise ValueError
        return 1

    pipeline = piped(stage(load, count, task_attempts=2, task_wait_seconds=1))
    results = await pipeline.run(range(3))
    assert values(results) == [1, 1, 1]
    assert [result.attempts for result in results] == [2, 2, 2]
    gc.collect()
    assert [ref() for ref in made] == [None] * 3


# On another event loop


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop is not there")
def test_items_are_parked_on_uvloop_too() -> None:
    """Its handle of a timer that is already due does not know when."""
    import uvloop

    async def main() -> None:
        waits = {"task_attempts": 3, "task_wait_seconds": 1e-9}
        pipeline = piped(stage(FailingOnce(range(0, 300, 2)), workers=5, **waits))
        assert values(await pipeline.run(range(300))) == list(range(300))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop is not there")
@pytest.mark.parametrize(
    ("fields", "watched"), [({}, False), ({}, True), ({"skip_if": lambda _: False}, False)]
)
def test_no_item_waits_less_than_nothing_on_uvloop(fields: dict[str, Any], watched: bool) -> None:
    """Its time stands still while a task holds the loop, so that a retry is due too early."""
    import uvloop

    failed: set[int] = set()

    async def slow(value: int) -> int:
        time.sleep(0.003)  # noqa: ASYNC251 - it holds the loop
        if value not in failed:
            failed.add(value)
            raise ValueError
        return value

    async def main() -> None:
        work = stage(slow, task_attempts=2, task_wait_seconds=0.001, **fields)
        pipeline = piped(work, watched=watched)
        await pipeline.start()
        feeding = asyncio.ensure_future(pipeline.feed(range(40)))
        waits = []
        while stats_of(pipeline).completed_items < 40:
            await asyncio.sleep(0)
            waits.append(stats_of(pipeline).queue_wait.sum)
        await feeding
        await pipeline.join()
        assert waits == sorted(waits)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
