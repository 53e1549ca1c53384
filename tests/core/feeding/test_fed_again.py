"""Failures, and items that a run left, fed again: where they go on, and as what."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from antflow import CurrentItem, Item, Pipeline, PipelineResult, UnprocessedItem, current_item
from tests.helpers.observers import observe
from tests.helpers.runs import (
    Failing,
    Use,
    by_feed,
    by_process,
    by_run,
    by_stream,
    fail,
    same,
    stage,
    start_with,
    values,
)
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, begun, settle


def the_item() -> CurrentItem:
    item = current_item()
    assert item is not None
    return item


each_use = pytest.mark.parametrize("use", [by_run, by_stream, by_feed, by_process])


async def left_of(pipeline: Pipeline, *items: Any, **arguments: Any) -> list[UnprocessedItem]:
    """Feed items, and return them as a shutdown before the start does."""
    await pipeline.feed(items, **arguments)
    return await pipeline.shutdown()


# What a run left


@simulated()
async def test_an_item_that_was_left_goes_on_in_its_stage_as_what_it_was() -> None:
    first, second = Gate("first"), Gate("second")
    pipeline = Pipeline([stage(first, name="First"), stage(second, name="Second")])
    await pipeline.start()
    await pipeline.feed([{"id": "x", "value": 1, "size": "L"}], priority=7)
    await pipeline.feed([{"id": "y", "value": 2}], priority=8)
    await settle()
    first.let(1)
    await settle()
    left = await pipeline.shutdown(timeout=0)
    x, y = sorted(left, key=lambda item: str(item.id))
    assert x == UnprocessedItem("x", 1, {"size": "L"}, 7, "Second", 0)
    assert y == UnprocessedItem("y", 2, {}, 8, "First", 1)

    first.open()
    second.open()
    results = await pipeline.run(left)
    assert first.entered == [1, 2, 2]
    assert second.entered == [1, 1, 2]
    assert [(each.id, each.value, each.sequence_id) for each in results] == [
        ("x", 1, 0),
        ("y", 2, 1),
    ]
    assert results[0].metadata == {"size": "L"}


@simulated()
async def test_an_item_that_was_left_keeps_its_priority() -> None:
    gate = Gate()
    gate.open()
    pipeline = Pipeline([stage(gate)])
    await pipeline.feed(["low"], priority=9)
    left = await left_of(pipeline, "high", priority=1)
    assert [(item.value, item.priority) for item in left] == [("high", 1), ("low", 9)]
    await pipeline.feed(reversed(left), priority=5)
    await pipeline.run([])
    assert gate.entered == ["high", "low"]


@simulated()
async def test_items_are_numbered_without_a_number_twice() -> None:
    pipeline = Pipeline([stage(same)])
    one, other = await left_of(pipeline, "a", "b"), await left_of(pipeline, "c")
    await pipeline.feed([*one, *other])
    await pipeline.feed(["new"])
    results = await pipeline.run([*one, "newer"])
    assert values(results) == ["a", "b", "c", "new", "a", "b", "newer"]
    assert [result.sequence_id for result in results] == list(range(7))
    assert [result.id for result in results] == [0, 1, 0, 3, 0, 1, 6]


@simulated()
async def test_an_item_whose_feed_was_cancelled_keeps_its_number_for_the_next_try() -> None:
    gate = Gate()
    pipeline = Pipeline([stage(gate, queue_capacity=1)])
    await pipeline.start()
    await pipeline.feed(["busy", "waiting"])
    left = UnprocessedItem("x", "x", {}, 100, "Work", 50)
    feeding = await begun(pipeline.feed([left]))
    feeding.cancel()
    await settle()
    gate.open()
    await pipeline.feed([left, "new"])
    await pipeline.join()
    assert sorted(result.sequence_id for result in pipeline.results) == [0, 1, 50, 51]


@each_use
@simulated()
async def test_an_item_that_was_left_skips_the_stages_before_its_own(use: Use) -> None:
    pipeline = Pipeline([stage(fail, name="First"), stage(same, name="Last")])
    assert await use(pipeline, await left_of(pipeline, 7, target_stage="Last")) == [7]


@simulated()
async def test_feeding_again_and_again_finishes_everything() -> None:
    done: list[int] = []

    async def take_a_second(value: int) -> int:
        await asyncio.sleep(1)
        done.append(value)
        return value

    pipeline = Pipeline([stage(take_a_second, name=name) for name in ("First", "Second")])
    left: list[Any] = list(range(4))
    rounds = 0
    while left and rounds < 100:
        await pipeline.start()
        await pipeline.feed(left)
        await asyncio.sleep(2.5)
        left = list(await pipeline.shutdown())
        rounds += 1
    assert rounds > 1
    assert sorted(done) == sorted(list(range(4)) * 2)


# Failures


class Carrying:
    """An observer that attaches text to each item when it enters."""

    def antflow_item_start(self, event: Any) -> None:
        event.item.carrier["trace"] = f"of {event.item_id}"


def failed_in_second() -> tuple[Pipeline, list[Any]]:
    """Return a pipeline that fails in its second stage once, and what its second stage sees."""
    seen: list[Any] = []

    async def add_one(value: int) -> int:
        return value + 1

    async def look(value: Any) -> Any:
        item = the_item()
        about = dict(item.metadata), item.priority, dict(item.carrier)
        seen.append((item.id, value, *about, item.attempt))
        return value

    stages = [stage(add_one, name="First"), stage(look, Failing(times=1), name="Second")]
    return observe(Pipeline(stages), Carrying()), seen


GIVEN = Item(1, id="a", metadata={"k": "v"}, priority=7)


@each_use
@simulated()
async def test_a_failure_goes_back_to_where_it_failed(use: Use) -> None:
    pipeline, seen = failed_in_second()
    (failure,) = await pipeline.run([GIVEN], return_exceptions=True)
    before = copy.deepcopy(failure.metadata)
    assert await use(pipeline, [failure]) == [2]
    assert failure.metadata == before
    assert failure.error is not None
    assert seen == [("a", 2, {"k": "v"}, 7, {"trace": "of a"}, 1)] * 2


@pytest.mark.parametrize(
    "change",
    [copy.copy, copy.deepcopy, lambda result: pickle.loads(pickle.dumps(result))],
    ids=["copy", "deepcopy", "pickle"],
)
@simulated()
async def test_a_copy_of_a_failure_keeps_what_the_item_has(
    change: Callable[[PipelineResult], PipelineResult],
) -> None:
    pipeline, seen = failed_in_second()
    await pipeline.run([GIVEN])
    await pipeline.run([change(pipeline.failures[0])])
    assert seen[0] == seen[1]


@pytest.mark.parametrize("end", ["failed", "left"])
@simulated()
async def test_an_item_that_is_fed_again_twice_has_two_copies_of_what_it_has(end: str) -> None:
    seen: list[Any] = []

    async def work(value: Any) -> None:
        item = the_item()
        seen.append((item.carrier.get("trace"), item.metadata["size"]))
        item.carrier["trace"] = f"call {len(seen)}"
        item.metadata["size"] = "L"
        if len(seen) == 1:
            await (fail(value) if end == "failed" else asyncio.sleep(9))

    pipeline = Pipeline([stage(work)])
    await start_with(pipeline, [Item(1, metadata={"size": "S"})])
    left = await pipeline.shutdown(timeout=0)
    again: list[Any] = [*pipeline.failures, *left]
    again[0].metadata["size"] = "M"
    await pipeline.run(again * 2)
    assert seen == [(None, "S"), ("call 1", "M"), ("call 1", "M")]
    assert again[0].metadata == {"size": "M"}


@simulated()
async def test_a_value_may_be_mended_before_the_failure_is_fed_again() -> None:
    async def invert(value: int) -> float:
        return 1 / value

    pipeline = Pipeline([stage(same), stage(invert, name="Invert")])
    await pipeline.run([0, 2])
    (failure,) = pipeline.failures
    failure.value = 4
    assert values(await pipeline.run([failure])) == [0.25]


@simulated()
async def test_failures_keep_their_numbers_among_other_items() -> None:
    failing = Failing(times=1)

    async def once(value: int) -> int:
        return await failing(value) if value == 1 else value

    pipeline = Pipeline([stage(once)])
    await pipeline.run([0, 1, 2])
    results = await pipeline.run([*pipeline.failures, "new"])
    assert [(each.id, each.sequence_id, each.value) for each in results] == [
        (1, 1, 1),
        (2, 2, "new"),
    ]


@simulated()
async def test_the_consumer_of_a_stream_may_feed_its_failures() -> None:
    done = asyncio.Event()

    async def source() -> AsyncIterator[str]:
        yield "x"
        await done.wait()

    pipeline = Pipeline([stage(Failing(times=2))])
    outcomes = []
    async for result in pipeline.stream(source()):
        outcomes.append((result.id, result.sequence_id, result.is_success))
        if result.is_success:
            done.set()
        else:
            await pipeline.feed([result])
    assert outcomes == [(0, 0, False), (0, 1, False), (0, 2, True)]


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (PipelineResult("a", 1, 0), ["'a'", "not a failure", "Item(result.value"]),
        (PipelineResult("a", 1, 0, error=ValueError()), ["'a'", "not a failure"]),
        (
            PipelineResult("a", 1, 0, error=ValueError(), stage="Gone"),
            ["'a'", "'Gone' not found", "'Work'"],
        ),
        (UnprocessedItem("a", 1, {}, 100, "Gone", 0), ["'a'", "'Gone' not found", "'Work'"]),
    ],
    ids=["success", "without a stage", "of another stage", "left by another stage"],
)
@pytest.mark.parametrize("use", [by_run, by_stream, by_feed])
@simulated()
async def test_a_result_that_belongs_to_no_stage_is_refused(
    use: Use, result: Any, words: list[str]
) -> None:
    pipeline = Pipeline([stage(same)])
    with pytest.raises(ValueError, match="'a'") as caught:
        await use(pipeline, [0, result, 1])
    assert [word for word in words if word not in str(caught.value)] == []
    assert pipeline.get_stats().items_fed == 1


@simulated()
async def test_a_failure_that_no_run_has_made_gets_the_priority_of_the_feed() -> None:
    async def look(value: Any) -> Any:
        return the_item().priority

    pipeline = Pipeline([stage(look)])
    await pipeline.feed([PipelineResult("a", 1, 0, error=ValueError(), stage="Work")], priority=3)
    assert values(await pipeline.run([])) == [3]
