"""`start`, `feed`, `join` and `async with`: what each waits for, and what it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from antflow import Pipeline, PipelineError
from tests.helpers.inputs import broken_after, broken_later, later
from tests.helpers.runs import (
    Counted,
    InputBrokeError,
    double,
    ids,
    left,
    now,
    refuse_odd,
    same,
    stage,
    start_with,
    values,
)
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, begun, others, settle

Call = Callable[[Pipeline], Coroutine[Any, Any, Any]]


@simulated()
async def test_start_feed_join() -> None:
    pipeline = Pipeline([stage(double)])
    await pipeline.start()
    await pipeline.feed([1, 2])
    await pipeline.feed_async(later([3]))
    await pipeline.join()
    assert not others()
    assert (ids(pipeline.results), values(pipeline.results)) == ([0, 1, 2], [2, 4, 6])


@simulated()
async def test_join_of_an_idle_pipeline_ends_it() -> None:
    pipeline = Pipeline([stage(same, workers=3)])
    await start_with(pipeline, [])
    await pipeline.join()
    await pipeline.join()
    assert pipeline.results == []


# Feeding


@simulated()
async def test_what_is_fed_before_the_run_is_part_of_it() -> None:
    pipeline = Pipeline([stage(same)])
    await pipeline.feed([1])
    stats = pipeline.get_stats()
    assert stats.items_fed == stats.items_outstanding == 1
    assert values(await pipeline.run([2])) == [1, 2]


@simulated()
async def test_a_feed_before_the_start_waits_while_the_stage_is_full_and_warns_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = Counted(5)
    pipeline = Pipeline([stage(same, queue_capacity=2)], name="books")
    await pipeline.feed([-2])
    assert not caplog.records
    feeds = [await begun(pipeline.feed(source)), await begun(pipeline.feed(["late"]))]
    assert source.read == 2
    assert not any(feed.done() for feed in feeds)
    await pipeline.start()
    await asyncio.gather(*feeds)
    await pipeline.join()
    assert len(pipeline.results) == 7
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    for word in ("'books'", "not started", "'Work'", "start()"):
        assert word in record.getMessage()


@simulated(threads=True)
async def test_feed_puts_items_into_the_stage_that_is_named() -> None:
    pipeline = Pipeline([stage(double, name="Double"), stage(str, name="Text")])
    await pipeline.start()
    await pipeline.feed([1], target_stage="Text")
    await pipeline.feed([1], target_stage="Double")
    await pipeline.feed([1])
    await pipeline.join()
    assert values(pipeline.results) == ["1", "2", "2"]
    stages = pipeline.get_stats().stage_stats
    assert (stages["Double"].fed_items, stages["Text"].fed_items) == (2, 3)


@simulated()
async def test_a_feed_whose_input_raises_raises_and_what_was_read_goes_on() -> None:
    pipeline = Pipeline([stage(same)])
    await pipeline.start()
    with pytest.raises(InputBrokeError):
        await pipeline.feed(broken_after(2))
    with pytest.raises(InputBrokeError):
        await pipeline.feed_async(broken_later(1))
    await pipeline.join()
    assert values(pipeline.results) == [0, 1, 0]


@simulated()
async def test_join_waits_for_feeds_begun_before_it_and_a_later_one_is_refused() -> None:
    source, pipeline = Counted(1), Pipeline([stage(same)], name="books")
    await pipeline.start()
    feed = await begun(pipeline.feed(later([1, 2])))
    join = await begun(pipeline.join())
    with pytest.raises(PipelineError, match=r"'books' is about to end.*before join"):
        await pipeline.feed(source)
    assert source.read == 0
    await asyncio.gather(feed, join)
    assert values(pipeline.results) == [1, 2]


@simulated()
async def test_a_cancelled_feed_has_not_fed_the_value_that_it_had_read() -> None:
    source, gate = Counted(), Gate()
    pipeline = Pipeline([stage(gate, queue_capacity=1)])
    await pipeline.start()
    feed = await begun(pipeline.feed(source))
    assert source.read == 3
    feed.cancel()
    await asyncio.wait([feed])
    assert feed.cancelled()
    gate.open()
    await pipeline.join()
    assert values(pipeline.results) == [0, 1]


@pytest.mark.parametrize(("is_started", "results", "unprocessed"), [(1, [0], [1]), (0, [], [0])])
@simulated()
async def test_a_shutdown_ends_a_feed_that_waits_at_a_full_stage(
    is_started: int, results: list[int], unprocessed: list[int]
) -> None:
    gate = Gate()
    pipeline = Pipeline([stage(gate, queue_capacity=1)], name="books")
    if is_started:
        await pipeline.start()
    feed = await begun(pipeline.feed(range(5)))
    shutdown = asyncio.create_task(pipeline.shutdown())
    with pytest.raises(PipelineError, match=r"'books' was stopped.*read last was not fed"):
        await feed
    gate.open()
    assert values(await shutdown) == unprocessed
    assert values(pipeline.results) == results


@pytest.mark.parametrize("drain", [False, True])
@simulated()
async def test_a_feed_that_waits_for_its_input_does_not_hold_up_a_shutdown(drain: bool) -> None:
    gate = Gate()

    async def slow_input() -> AsyncIterator[int]:
        yield 1
        yield await gate(2)

    pipeline = Pipeline([stage(same)])
    await pipeline.start()
    feed = await begun(pipeline.feed(slow_input()))
    assert await pipeline.shutdown(drain=drain) == []
    assert values(pipeline.results) == [1]
    gate.open()
    with pytest.raises(PipelineError, match=r"was stopped.*read last was not fed"):
        await feed
    assert pipeline.get_stats().items_fed == 1


@simulated()
async def test_feeding_after_a_run_keeps_its_outcomes_until_the_next_one_starts() -> None:
    pipeline = Pipeline([stage(refuse_odd)])
    await pipeline.run([1, 2])
    await pipeline.feed([4])
    assert (values(pipeline.results), values(pipeline.failures)) == ([2], [1])
    stats = pipeline.get_stats()
    assert (stats.items_fed, stats.items_outstanding, stats.items_failed) == (1, 1, 0)
    await pipeline.start()
    await pipeline.join()
    assert values(pipeline.results) == [4]


@simulated()
async def test_what_the_last_run_left_is_there_until_the_next_one_starts() -> None:
    pipeline = Pipeline([stage(same)])
    await pipeline.start()
    await pipeline.feed([1, 2])
    unprocessed = await pipeline.shutdown()
    await pipeline.feed(unprocessed[:1])
    assert pipeline.unprocessed == unprocessed != []
    await pipeline.shutdown()  # of the run that was fed and never started
    assert pipeline.unprocessed == unprocessed[:1]


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
@simulated()
async def test_many_feeds_at_once_into_several_stages(seed: int | None) -> None:
    names = ["First", "Second", "Third"]
    pipeline = Pipeline([stage(same, name=name, workers=2, queue_capacity=1) for name in names])
    await pipeline.start()
    given = {
        (name, feed): [{"id": (name, feed, number)} for number in range(10)]
        for name in names
        for feed in range(3)
    }
    await asyncio.gather(*(pipeline.feed(items, *key) for key, items in given.items()))
    await pipeline.join()
    assert len(pipeline.results) == 90
    assert set(ids(pipeline.results)) == {item["id"] for items in given.values() for item in items}
    stages = pipeline.get_stats().stage_stats
    assert [stages[name].completed_items for name in names] == [30, 60, 90]


@simulated()
async def test_feeds_into_a_full_stage_go_on_in_the_order_in_which_they_came() -> None:
    gate = Gate()
    pipeline = Pipeline([stage(gate, queue_capacity=1)])
    await pipeline.start()
    feeds = [asyncio.create_task(pipeline.feed([number])) for number in range(6)]
    await settle()
    assert [feed.done() for feed in feeds] == [True, True, False, False, False, False]
    gate.open()
    await asyncio.gather(*feeds)
    await pipeline.join()
    assert gate.entered == [0, 1, 2, 3, 4, 5]


# What is refused


async def process_after_a_run(pipeline: Pipeline) -> None:
    await pipeline.run([1])
    await pipeline.process(1)


async def join_what_was_fed_after_a_run(pipeline: Pipeline) -> None:
    await pipeline.run([1])
    await pipeline.feed([2])
    try:
        await pipeline.join()
    finally:
        await pipeline.shutdown()


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (Pipeline.join, r"'books' is not started; call start\(\)"),
        (join_what_was_fed_after_a_run, r"'books' is not started; call start\(\)"),
        (lambda pipeline: pipeline.process(1), r"'books' is not running; call start\(\)"),
        (process_after_a_run, r"'books' is not running; call start\(\)"),
    ],
)
@simulated()
async def test_a_pipeline_that_is_not_started_asks_for_a_start(call: Call, text: str) -> None:
    with pytest.raises(PipelineError, match=text):
        await call(Pipeline([stage(same)], name="books"))


@pytest.mark.parametrize("is_started", [True, False])
@simulated()
async def test_a_feed_to_an_unknown_stage_is_an_error_and_reads_nothing(is_started: bool) -> None:
    source = Counted(1)
    text = r"'Wrok' not found in pipeline 'books'.*'Work', 'Last'"
    async with Pipeline([stage(same), stage(same, name="Last")], name="books") as pipeline:
        if is_started:
            await pipeline.start()
        with pytest.raises(ValueError, match=text):
            await pipeline.feed(source, target_stage="Wrok")
        assert source.read == 0


# async with


@simulated()
async def test_async_with_does_not_start_the_pipeline() -> None:
    gate = Gate()
    async with Pipeline([stage(gate)]) as pipeline:
        await pipeline.feed([1])
        await settle()
        assert gate.entered == []
    assert left(pipeline) == [1]


@simulated()
async def test_leaving_async_with_lets_attempts_end_and_takes_nothing_new() -> None:
    gate = Gate()
    asyncio.get_running_loop().call_later(5, gate.open)
    async with Pipeline([stage(gate)]) as pipeline:
        await start_with(pipeline, [1, 2])
    assert now() >= 5
    assert not others()
    assert (values(pipeline.results), left(pipeline)) == ([1], [2])


@simulated()
async def test_leaving_async_with_by_an_exception_cancels_attempts() -> None:
    async def leave_by_an_error() -> None:
        async with pipeline:
            raise InputBrokeError

    pipeline = Pipeline([stage(Gate())])
    await start_with(pipeline, [1, 2])
    with pytest.raises(InputBrokeError):
        await leave_by_an_error()
    assert not others()
    assert now() < 1
    assert left(pipeline) == [1, 2]
