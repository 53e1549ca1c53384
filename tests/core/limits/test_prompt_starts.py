"""An item starts as soon as its limits allow it and a worker is free."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antflow import Limit, Pipeline
from tests.helpers.attempts import Attempts, run_limited
from tests.helpers.runs import stage, start_with
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import settle

Costly = tuple[str, int]


def host(value: str) -> str | None:
    """Return the first letter; no key for a dot."""
    return None if value[0] == "." else value[0]


def key_of(value: Costly) -> str | None:
    return host(value[0])


def cost_of(value: Costly) -> int:
    return value[1]


SEVERAL: dict[str, tuple[dict[str, Any], list[float]]] = {
    "concurrency": ({"concurrency": 3}, [5, 5, 5, 15]),
    "burst": ({"rate": 10, "burst": 10}, [5, 5, 5, 5]),
    "rate": ({"rate": 1}, [5, 6, 7, 8]),
}


@pytest.mark.parametrize("case", SEVERAL)
@simulated(tick=0.0)
async def test_several_items_of_a_key_that_waited_run_at_once(case: str) -> None:
    fields, times = SEVERAL[case]
    limit = Limit(key=host, **fields)
    limit.pause(5)
    task = await run_limited(["a1", "a2", "a3", "a4"], limit, task=Attempts(10), workers=9)
    assert task.times == times


@simulated(tick=0.0)
async def test_the_most_urgent_item_goes_first_of_all_keys_that_are_free() -> None:
    task, limit = Attempts(0.5), Limit(concurrency=9, key=host)
    limit.pause(5)
    pipeline = Pipeline([stage(task, limits=[limit])])
    await start_with(pipeline, ["a1", "a2", "b1", "c1"])
    await pipeline.feed(["d1"], priority=1)
    await settle()
    await pipeline.join()
    assert task.values == ["d1", "a1", "b1", "c1", "a2"]


DROPPED: dict[str, list[Limit]] = {
    "its key": [Limit(rate=10, per=100, burst=10, key=key_of, cost=cost_of)],
    "a limit without keys": [
        Limit(rate=10, per=100, burst=10, cost=cost_of),
        Limit(concurrency=9, key=key_of),
    ],
}


@pytest.mark.parametrize("case", DROPPED)
@simulated(tick=0.0)
async def test_a_dropped_item_that_waited_for_its_key_holds_up_no_other(case: str) -> None:
    task, limits = Attempts(), DROPPED[case]
    pipeline = Pipeline([stage(task, workers=3, limits=limits)])
    async with pipeline.running():
        if len(limits) == 1:
            await pipeline.submit(("a", 5))
        else:  # both wait for their keys, and then for the limit without keys
            for key in "ab":
                limits[1].pause(1, key=key)
        large = await pipeline.submit(("a", 6))
        await pipeline.submit(("a", 1) if len(limits) == 1 else ("b", 1))
        await settle()
        await pipeline.submit((".", 5), priority=1)
        await asyncio.sleep(2)
        large.cancel()
    assert (task.of(("a", 1)) or task.of(("b", 1))) == [2]


@simulated(tick=0.0)
async def test_a_dropped_item_passes_on_the_turn_of_its_stage() -> None:
    limit, tasks = Limit(rate=3, per=3, cost=cost_of), [Attempts(), Attempts()]
    first, second = (Pipeline([stage(task, limits=[limit])]) for task in tasks)
    async with first.running(), second.running():
        await first.submit(("a", 1))
        large = await first.submit(("b", 3))
        await settle()
        await second.submit(("c", 1))
        await asyncio.sleep(2)
        large.cancel()
    assert tasks[1].times == [2]


@simulated(tick=0.0)
async def test_a_stage_without_a_free_worker_passes_on_the_turns_of_its_keys() -> None:
    limit = Limit(rate=3, per=3, key=key_of, cost=cost_of)
    tasks = [Attempts(lambda value: 10 if value[0] == "." else 0), Attempts()]
    first, second = (Pipeline([stage(task, limits=[limit])]) for task in tasks)
    async with first.running(), second.running():
        await first.submit(("a1", 1))
        await first.submit(("a2", 3))
        await settle()
        await second.submit(("a3", 1))
        await asyncio.sleep(2)
        await first.submit((".", 1))
    assert tasks[1].times == [2]


@simulated(tick=0.0)
async def test_a_stage_whose_items_wait_for_a_full_line_passes_on_its_turn() -> None:
    shared, hosts = Limit(concurrency=1), Limit(concurrency=1, key=host)
    tasks = [Attempts(), Attempts(1)]
    first = Pipeline([stage(tasks[0], limits=[shared, hosts], max_parked=1)])
    second = Pipeline([stage(tasks[1], limits=[shared])])
    hosts.pause(100)
    await start_with(first, ["a1"])
    await start_with(second, ["b1", "b2"])
    await first.feed(["."])
    await settle()
    await first.feed(["a2"], priority=1)
    await asyncio.gather(first.join(), second.join())
    assert tasks[1].times == [0, 1]


@simulated(tick=0.0)
async def test_an_item_for_which_no_line_has_room_starts_when_its_key_is_free() -> None:
    hosts = Limit(concurrency=9, key=host)
    users = Limit(concurrency=9, key=lambda value: None if value[1] == "." else value[1])
    hosts.pause(1, key="a")
    users.pause(100, key="x")
    task = Attempts()
    pipeline = Pipeline([stage(task, workers=2, limits=[hosts, users], max_parked=1)])
    await start_with(pipeline, ["ax", "a."])
    await pipeline.join()
    assert (task.of("a."), task.of("ax")) == ([1], [100])


@simulated(tick=0.0)
async def test_stages_that_share_a_limit_do_not_pass_on_their_turns_for_ever() -> None:
    shared, hosts = Limit(concurrency=1), Limit(concurrency=1, key=host)
    tasks = [Attempts(1), Attempts(1)]
    pipelines = [Pipeline([stage(each, limits=[shared, hosts], max_parked=1)]) for each in tasks]
    hosts.pause(100, key="a")
    hosts.pause(5, key="b")
    for pipeline in pipelines:
        await start_with(pipeline, ["b1"])
        await pipeline.feed(["a1"], priority=1)  # more urgent, and its key waits for longer
    await asyncio.sleep(4)
    other = asyncio.create_task(run_limited(["c1"], shared, task=Attempts(2)))
    await asyncio.gather(other, *(pipeline.join() for pipeline in pipelines))
    assert sorted(tasks[0].of("b1") + tasks[1].of("b1")) == [6, 7]
