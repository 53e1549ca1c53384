"""Pauses of a `Limit`, and the end of every wait for one when a pipeline is shut down."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import pytest

from antflow import Limit, Pipeline, RetryAfter
from tests.helpers.attempts import Attempts, run_limited, worst_window
from tests.helpers.runs import (
    age,
    assert_all_are_somewhere,
    left,
    now,
    same,
    stage,
    start_with,
    stats_of,
    values,
)
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, begun, settle


def host(value: str) -> str:
    return value[0]


# Pauses


@pytest.mark.parametrize("workers", [1, 5])
@simulated(tick=0.0)
async def test_no_attempt_starts_in_a_pause(workers: int) -> None:
    limit = Limit(concurrency=10)
    task = Attempts(1, lambda value: limit.pause(5) if value == "stop" else None)
    await run_limited(["stop", 1, 2], limit, task=task, workers=workers)
    # Those that run go on.
    assert task.times == ([0, 0, 0] if workers == 5 else [0, 6, 7])


@simulated(tick=0.0)
async def test_a_pause_may_come_from_anywhere_and_the_longest_counts() -> None:
    task, limit = Attempts(), Limit(rate=10, burst=10)
    limit.pause(3)
    limit.pause(7)
    limit.pause(2)
    await run_limited([1, 2], limit, task=task)
    assert task.times == [7, 7]


@simulated(tick=0.0)
async def test_the_window_holds_after_a_pause() -> None:
    task, limit = Attempts(), Limit(rate=4, per=8, burst=4)
    running = asyncio.ensure_future(run_limited(range(20), limit, task=task))
    await asyncio.sleep(7)
    limit.pause(4)
    await running
    assert task.times[:8] == [0, 0, 0, 0, 11, 11, 11, 11]
    assert worst_window([(time, 1) for time in task.times], 8) == 4


@simulated(tick=0.0)
async def test_one_key_can_be_paused_by_itself() -> None:
    limit = Limit(concurrency=10, key=host)
    limit.pause(5, key="a")
    task = await run_limited(["a1", "b1", "a2"], limit)
    assert task.starts == [(0, "b1"), (5, "a1"), (5, "a2")]


@simulated(tick=0.0)
async def test_a_pause_of_all_keys_holds_for_those_that_come_later() -> None:
    limit = Limit(concurrency=10, key=host)
    limit.pause(5)
    limit.pause(8, key="a")
    assert (await run_limited(["a1", "b1"], limit)).starts == [(5, "b1"), (8, "a1")]


@pytest.mark.parametrize("mode", ["per_task", "per_stage"])
@pytest.mark.parametrize(
    ("pause", "times"),
    [
        (False, {"a1": [0, 4], "a2": [1], "b1": [2], "b2": [3]}),
        (True, {"a1": [0, 4], "a2": [5], "b1": [6], "b2": [7]}),
        ("host", {"a1": [0, 5], "a2": [4], "b1": [1], "b2": [2]}),
        ("total", {"a1": [0, 4], "a2": [5], "b1": [6], "b2": [7]}),
    ],
    ids=str,
)
@simulated(tick=0.0)
async def test_retry_after_pauses_the_limits_of_its_stage(
    pause: bool | str, times: dict[str, list[float]], mode: Any
) -> None:
    def answer(value: str) -> None:
        if value == "a1" and task.values.count("a1") == 1:
            raise RetryAfter(4, pause=pause)

    limits = Limit(rate=1, name="total"), Limit(concurrency=3, key=host, name="host")
    task = Attempts(0, answer)
    fields = {"retry": mode, "task_attempts": 2, "stage_attempts": 2, "workers": 1}
    await run_limited([*times], *limits, task=task, **fields)
    assert {value: task.of(value) for value in times} == times


@simulated(tick=0.0)
async def test_retry_after_pauses_the_key_of_its_item_alone() -> None:
    def answer(value: str) -> None:
        if value == "a1" and task.values.count("a1") == 1:
            raise RetryAfter(4, pause=True)

    task, limit = Attempts(0, answer), Limit(concurrency=5, key=host)
    await run_limited(["a1", "b1", "a2"], limit, task=task, task_attempts=2, workers=1)
    assert sorted(task.starts) == [(0, "a1"), (0, "b1"), (4, "a1"), (4, "a2")]


@pytest.mark.parametrize("pause", [False, True, "tokens"])
def test_retry_after_is_pickled_with_its_pause(pause: bool | str) -> None:
    error = pickle.loads(pickle.dumps(RetryAfter(2.5, ValueError("slow"), pause=pause)))
    assert (error.seconds, error.pause, str(error.cause)) == (2.5, pause, "slow")


@simulated(tick=0.0)
async def test_statistics_show_a_pause() -> None:
    limit, keyed = Limit(rate=5), Limit(rate=5, key=host)
    pipeline = Pipeline([stage(Attempts(), limits=[limit, keyed])])
    limit.pause(60)
    keyed.pause(30, key="a")
    await start_with(pipeline, ["a1"])
    found = limit.stats()
    assert (found.available, age(found.paused_until)) == (0, -60)
    (key,) = keyed.stats().busiest
    assert (key.key, key.available, age(key.paused_until)) == ("a", 0, -30)
    assert keyed.stats().paused_until is None
    keyed.pause(90)
    assert age(keyed.stats().paused_until) == age(keyed.stats().busiest[0].paused_until) == -90
    await pipeline.join()
    assert limit.stats().paused_until is None
    assert now() == 90


# Shutdown


WAITS: dict[str, Any] = {
    "a rate": {"rate": 1, "per": 1000},
    "a concurrency": {"concurrency": 1},
    "keys": {"concurrency": 1, "key": lambda value: "all"},
    "a rate by key": {"rate": 1, "per": 1000, "key": lambda value: "all"},
}


@pytest.mark.parametrize("seed", [None, 1, 2])
@pytest.mark.parametrize("pull", [False, True])
@pytest.mark.parametrize("limit", WAITS)
@simulated()
async def test_a_shutdown_ends_every_wait_at_once(limit: str, pull: bool, seed: int | None) -> None:
    gate, limits = Gate(), [Limit(**WAITS[limit])]
    is_pulled = pull and limits[0].key is None
    second = stage(gate, name="Second", workers=3, pull=is_pulled, limits=limits)
    pipeline = Pipeline([stage(same, name="First"), second])
    await start_with(pipeline, range(6))
    while not gate.entered:
        await asyncio.sleep(0)
    await settle()
    assert gate.entered == [0]
    ending = await begun(pipeline.shutdown())
    gate.open()
    await ending
    assert now() < 1
    assert values(pipeline.results) == [0]
    assert sorted(left(pipeline)) == [1, 2, 3, 4, 5]
    assert_all_are_somewhere(pipeline, range(6))
    assert (limits[0].stats().waiting, limits[0].stats().in_use) == (0, 0)


@simulated(tick=0.0)
async def test_a_drain_waits_for_limits_as_long_as_it_may() -> None:
    limit = Limit(rate=1, per=10)
    pipeline = Pipeline([stage(Attempts(), limits=[limit])])
    await start_with(pipeline, range(5))
    await pipeline.shutdown(drain=True, timeout=25)
    assert (values(pipeline.results), sorted(left(pipeline)), now()) == ([0, 1, 2], [3, 4], 25)


@simulated(tick=0.0)
async def test_what_was_left_waits_for_the_limit_in_the_next_run() -> None:
    task, limit = Attempts(), Limit(rate=1, per=10, key=lambda value: value % 2)
    pipeline = Pipeline([stage(task, limits=[limit])])
    await start_with(pipeline, range(4))
    unprocessed = await pipeline.shutdown()
    assert now() == 0
    await pipeline.start()
    await pipeline.feed(unprocessed)
    await pipeline.join()
    assert task.starts == [(0, 0), (0, 1), (10, 2), (10, 3)]


@simulated(tick=0.0)
async def test_a_cancelled_run_releases_what_its_attempts_held() -> None:
    limit = Limit(concurrency=2, key=lambda value: value % 2)
    pipeline = Pipeline([stage(Gate(), workers=3, limits=[limit])])
    run = await begun(pipeline.run(range(8)))
    assert limit.stats().in_use == 3
    run.cancel()
    await asyncio.wait([run])
    found = limit.stats()
    assert (found.in_use, found.waiting) == (0, 0)
    assert [key.in_use for key in found.busiest] == [0, 0]
    await run_limited(range(4), limit)
    assert stats_of(pipeline).limits["limit"].in_use == 0
