"""A `Limit` with keys holds for each key on its own, and items of other keys pass."""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import Any

import pytest

from antflow import ItemHandle, Limit, Pipeline
from tests.helpers.attempts import Attempts, run_limited
from tests.helpers.runs import Counted, now, piped, raised_by, stage, start_with, stats_of
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, settle


def host(value: str) -> str | None:
    """Return the first letter; no key for a dot."""
    return None if value[0] == "." else value[0]


@simulated(tick=0.0)
async def test_each_key_has_the_rate_and_the_concurrency_for_itself() -> None:
    limit = Limit(rate=1, per=2, concurrency=1, key=host)
    task = await run_limited(["a1", "a2", "a3", "b1", "b2", ".", "."], limit, task=Attempts(3))
    assert task.of("a1") == task.of("b1") == [0]
    assert task.of("a2") == task.of("b2") == [3]
    assert task.of("a3") == [6]
    assert task.of(".") == [0, 0]  # None is unlimited


@pytest.mark.parametrize("workers", [1, 3])
@simulated(tick=0.0)
async def test_the_items_of_a_key_keep_their_order_and_those_of_others_pass(workers: int) -> None:
    limit = Limit(rate=1, key=host)
    items = ["a1", "a2", "a3", "b1", "a4", "b2", "c1"]
    task = await run_limited(items, limit, workers=workers)
    assert task.values == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]
    assert task.times == [0, 0, 0, 1, 1, 2, 3]


@simulated(tick=0.0)
async def test_a_more_urgent_item_goes_first_in_its_key() -> None:
    task, limit = Attempts(), Limit(rate=1, key=host)
    pipeline = Pipeline([stage(task, limits=[limit])])
    await start_with(pipeline, ["a1", "a2", "b1", "b2"])
    await pipeline.feed(["a0"], priority=1)
    await pipeline.join()
    assert task.values == ["a1", "b1", "a0", "b2", "a2"]


@pytest.mark.parametrize(("max_parked", "end"), [(1, 5.0), (3, 1.0), (None, 1.0)])
@simulated(tick=0.0)
async def test_max_parked_bounds_how_many_may_be_overtaken(
    max_parked: int | None, end: float
) -> None:
    task, limit = Attempts(), Limit(rate=1, key=host)
    items = ["a1", "a2", "a3", "a4", "b1", "c1", "b2"]
    await run_limited(items, limit, task=task, max_parked=max_parked)
    assert task.of("b1") == ([0] if end == 1.0 else [2])
    assert max(task.of("b2")) <= end
    assert task.of("a4") == [3]


@simulated()
async def test_the_input_waits_while_too_many_items_wait_for_their_keys() -> None:
    inputs, limit = Counted(), Limit(concurrency=1, key=lambda value: "all")
    gate = Gate()
    fields = {"workers": 2, "max_parked": 5, "queue_capacity": 3}
    pipeline = Pipeline([stage(gate, limits=[limit], **fields)])
    await pipeline.start()
    feeding = asyncio.ensure_future(raised_by(pipeline.feed(inputs)))
    await settle()
    assert inputs.read <= 1 + 5 + 3 + 2
    found = stats_of(pipeline)
    assert (found.parked_items, found.pending_items, found.in_progress_items) == (5, 3, 1)
    await pipeline.shutdown(timeout=0)
    await asyncio.wait([feeding])


@simulated(tick=0.0)
async def test_an_item_waits_for_the_keys_of_two_limits() -> None:
    one = Limit(rate=1, per=4, key=lambda value: value[0])
    two = Limit(concurrency=1, key=lambda value: value[1])
    task = await run_limited(["ax", "bx", "by", "ay", "cz"], one, two, task=Attempts(1))
    assert {*task.starts} == {(0, "ax"), (0, "by"), (0, "cz"), (4, "bx"), (4, "ay")}


@simulated(tick=0.0)
async def test_a_limit_without_keys_holds_up_all_keys() -> None:
    total, each = Limit(rate=1), Limit(concurrency=1, key=host)
    task = await run_limited(["a1", "a2", "b1", "c1"], total, each, task=Attempts(1.5))
    assert task.starts == [(0, "a1"), (1, "b1"), (2, "a2"), (3, "c1")]


@simulated(tick=0.0)
async def test_a_small_cost_does_not_overtake_a_large_one_of_its_key() -> None:
    limit = Limit(rate=4, burst=4, key=lambda item: item[0], cost=lambda item: item[1])
    task = await run_limited([("a", 3), ("a", 4), ("a", 1), ("b", 1)], limit)
    assert task.starts == [(0, ("a", 3)), (0, ("b", 1)), (1, ("a", 4)), (2, ("a", 1))]


@simulated(tick=0.0)
async def test_three_hosts_one_of_them_slow_do_not_hold_each_other_up() -> None:
    async def time_of(hosts: dict[str, int]) -> dict[str, float]:
        ends: dict[str, float] = {}

        async def fetch(item: tuple[str, int]) -> None:
            await asyncio.sleep(0.1)
            ends[item[0]] = now() - began

        def key(item: tuple[str, int]) -> str | None:
            return "slow" if item[0] == "slow" else None

        limit = Limit(rate=10, key=key)
        began, most = now(), max(hosts.values())
        items = [(name, number) for number in range(most) for name in hosts if number < hosts[name]]
        await Pipeline([stage(fetch, workers=24, limits=[limit])]).run(items)
        return ends

    alone = await time_of({"one": 1000, "two": 1000})
    with_slow = await time_of({"one": 1000, "slow": 600, "two": 1000})
    assert with_slow["one"] <= 1.1 * alone["one"]
    assert with_slow["two"] <= 1.1 * alone["two"]
    assert with_slow["slow"] == pytest.approx(60, rel=0.02)


@pytest.mark.parametrize("rate", [1, 1000], ids=["others wait for keys", "nothing waits"])
@pytest.mark.parametrize("watched", [False, True])
@simulated(tick=0.0)
async def test_a_key_may_submit_an_item_that_goes_first(rate: int, watched: bool) -> None:
    def key(value: str) -> str:
        if value == "b1":
            pipeline.submit_nowait("c1", priority=1)
        return value[0]

    task = Attempts()
    limits = [Limit(rate=rate, burst=1, key=key)]
    pipeline: Pipeline[Any, Any] = piped(stage(task, limits=limits), watched=watched)
    await pipeline.run(["a1", "a2", "b1", "b2"])
    assert sorted(task.values) == ["a1", "a2", "b1", "b2", "c1"]
    assert task.values.index("c1") < task.values.index("b1")


@pytest.mark.parametrize("rate", [1, 1000], ids=["others wait for keys", "nothing waits"])
@pytest.mark.parametrize("watched", [False, True])
@simulated(tick=0.0)
async def test_a_key_may_cancel_its_item(rate: int, watched: bool) -> None:
    handles: dict[str, ItemHandle[Any]] = {}

    def key(value: str) -> str:
        if value == "b1":
            handles[value].cancel()
        return value[0]

    task = Attempts()
    limits = [Limit(rate=rate, burst=1, key=key)]
    pipeline: Pipeline[Any, Any] = piped(stage(task, limits=limits), watched=watched)
    async with pipeline.running():
        for value in ["a1", "a2", "b1", "b2"]:
            handles[value] = pipeline.submit_nowait(value)
    assert sorted(task.values) == ["a1", "a2", "b2"]


@simulated(tick=0.0)
async def test_a_key_may_cancel_any_number_of_items_in_a_row() -> None:
    handles: dict[int, ItemHandle[Any]] = {}

    def key(value: int) -> str:
        if value:
            handles[value].cancel()
        return "all"

    items = range(2 * sys.getrecursionlimit())
    work = stage(Attempts(), limits=[Limit(rate=1e6, key=key)], queue_capacity=len(items))
    pipeline: Pipeline[Any, Any] = Pipeline([work])
    async with pipeline.running():
        for value in items:
            handles[value] = pipeline.submit_nowait(value)
    stats = pipeline.get_stats()
    assert (stats.items_processed, stats.items_dropped) == (1, len(items) - 1)


@simulated(tick=0.0)
async def test_a_key_that_cannot_be_compared_fails_its_item() -> None:
    class Ambiguous:
        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            raise TypeError("ambiguous")

    total, each = Limit(rate=1, per=0.1), Limit(concurrency=1, key=lambda value: Ambiguous())
    pipeline = Pipeline([stage(Attempts(), workers=2, limits=[total, each])])
    assert len(await pipeline.run(range(4))) == 1  # there is no other key yet
    assert [str(item.error) for item in pipeline.failures] == ["ambiguous"] * 3


@simulated(tick=0.0)
async def test_a_key_is_forgotten_some_time_after_its_use() -> None:
    limit = Limit(rate=1, per=2, key=lambda value: value)
    task = Attempts()
    await run_limited(range(100), limit, task=task)
    assert limit.stats().keys == 100
    await asyncio.sleep(2)
    await run_limited(range(100, 200), limit, task=task)
    assert limit.stats().keys <= 101


@simulated(tick=0.0)
async def test_a_key_that_is_in_use_is_not_forgotten() -> None:
    gate = Gate()

    async def task(value: int) -> None:
        await (gate(value) if value < 3 else asyncio.sleep(1))

    limit = Limit(concurrency=1, per=1, key=lambda value: value or "held")
    pipeline = Pipeline([stage(task, workers=3, limits=[limit])])
    await start_with(pipeline, [0])
    await pipeline.feed(range(3, 40))
    await asyncio.sleep(30)
    await pipeline.feed([0])
    await settle()
    assert gate.entered == [0]
    found = {each.key: each for each in limit.stats().busiest}
    assert (found["held"].in_use, found["held"].waiting) == (1, 1)
    gate.open()
    await pipeline.join()
    assert gate.entered == [0, 0]


@simulated(tick=0.0)
async def test_a_key_whose_window_is_not_over_is_not_forgotten() -> None:
    limit = Limit(rate=1, per=10, key=lambda value: value)
    task = Attempts()
    await run_limited(["a"], limit, task=task)
    await asyncio.sleep(5)
    await run_limited([*range(50), "a"], limit, task=task)
    assert task.of("a") == [0, 10]


@simulated(tick=0.0)
async def test_memory_is_flat_over_keys_that_never_repeat() -> None:
    kept: list[int] = []

    async def task(value: int) -> None:
        if value % 100 == 0:
            await asyncio.sleep(0.1)
        if value % 10_000 == 9_999:
            gc.collect()
            kept.append(len(gc.get_objects()))

    limit = Limit(rate=1, per=0.1, key=lambda value: value)
    pipeline = Pipeline([stage(task, limits=[limit])], collect_results=False)
    await pipeline.run(range(100_000))
    assert limit.stats().keys < 500
    assert max(kept) - kept[0] < 2_000
