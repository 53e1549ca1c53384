"""One run while it lasts: full stages, feeding from everywhere and again, and its input."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from antflow import Pipeline, PipelineError, UnprocessedItem
from tests.helpers.runs import (
    CustomExit,
    cancel,
    fail,
    ids,
    same,
    sleep_long,
    stage,
    start_with,
    values,
)
from tests.helpers.virtual_time import Gate, begun, others, settle, simulate

# Full stages


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("queue_capacity", [0, 1, 2])
def test_a_whole_stage_is_retried_though_it_is_full(workers: int, queue_capacity: int) -> None:
    async def main() -> None:
        pipeline = Pipeline(
            [
                stage(same, name="First"),
                stage(
                    fail_twice,
                    name="Second",
                    workers=workers,
                    retry="per_stage",
                    queue_capacity=queue_capacity,
                ),
                stage(same, name="Last", pull=True),
            ]
        )
        assert values(await pipeline.run(range(20))) == list(range(20))

    calls: dict[int, int] = {}

    async def fail_twice(value: int) -> int:
        calls[value] = calls.get(value, 0) + 1
        if calls[value] < 3:
            raise ValueError
        return value

    simulate(main)


def test_whole_stage_retry_does_not_fill_a_stage_past_its_bound() -> None:
    longest = 0

    async def main() -> None:
        nonlocal longest
        pipeline = Pipeline(
            [
                stage(same, name="First", workers=2),
                stage(
                    note,
                    name="Second",
                    retry="per_stage",
                    queue_capacity=1,
                    stage_attempts=5,
                ),
            ]
        )
        pipelines.append(pipeline)
        await pipeline.run(range(100))
        assert len(pipeline.failures) == 100

    pipelines: list[Pipeline] = []

    async def note(value: int) -> None:
        nonlocal longest
        longest = max(longest, pipelines[0].get_stats().queue_sizes["Second"])
        raise ValueError

    simulate(main)
    assert longest <= 1 + 2 + 1


# Very many workers


def test_ten_thousand_workers() -> None:
    async def main() -> None:
        pipeline = Pipeline(
            [stage(same, name="Wide", workers=10_000), stage(same, name="Last", workers=10_000)]
        )
        await start_with(pipeline, [1])
        assert len(others()) <= 4
        assert pipeline.get_stats().stage_stats["Wide"].workers["idle"] == 10_000
        await pipeline.join()
        assert values(pipeline.results) == [1]

    simulate(main)


def test_ten_thousand_workers_all_at_work() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(sleep_long, workers=10_000)])
        run = await begun(pipeline.run(range(10_000)))
        assert pipeline.get_stats().stage_stats["Work"].in_progress_items == 10_000
        await cancel(run)
        assert len(pipeline.unprocessed) == 10_000

    simulate(main)


# Feeding from everywhere


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_feeders_at_once_into_several_stages(seed: int | None) -> None:
    async def main() -> None:
        names = ["First", "Second", "Third"]
        pipeline = Pipeline([stage(same, name=name, workers=2, queue_capacity=1) for name in names])
        await pipeline.start()
        feeds = [
            pipeline.feed(
                [{"id": (name, feeder, number)} for number in range(10)],
                target_stage=name,
                priority=feeder,
            )
            for name in names
            for feeder in range(3)
        ]
        await asyncio.gather(*feeds)
        await pipeline.join()
        expected = {(name, feeder, n) for name in names for feeder in range(3) for n in range(10)}
        assert set(ids(pipeline.results)) == expected
        assert len(pipeline.results) == 90
        stages = pipeline.get_stats().stage_stats
        assert [stages[name].completed_items for name in names] == [30, 60, 90]

    simulate(main, seed)


def test_feeders_into_a_full_stage_go_on_in_the_order_in_which_they_came() -> None:
    gate = Gate()

    async def main() -> None:
        pipeline = Pipeline([stage(gate, queue_capacity=1)])
        await pipeline.start()
        feeds = [asyncio.create_task(pipeline.feed([number])) for number in range(6)]
        await settle()
        assert [feed.done() for feed in feeds] == [True, True, False, False, False, False]
        gate.open()
        await asyncio.gather(*feeds)
        await pipeline.join()

    simulate(main)
    assert gate.entered == [0, 1, 2, 3, 4, 5]


def crawl(pipelines: list[Pipeline], depth: int, target: str | None = None) -> Callable[[str], Any]:
    """Make a task that feeds two longer texts of each text shorter than `depth`."""

    async def visit(text: str) -> str:
        if len(text) < depth:
            await pipelines[0].feed([text + "a", text + "b"], target_stage=target)
        return text

    return visit


@pytest.mark.parametrize("workers", [1, 4])
def test_a_crawler_feeds_its_own_pipeline(workers: int, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        pipelines: list[Pipeline] = []
        visit = crawl(pipelines, depth=7)
        pipelines.append(
            Pipeline([stage(visit, workers=workers, queue_capacity=1), stage(same, name="Last")])
        )
        results = await pipelines[0].run([""])
        assert len(set(values(results))) == len(results) == 2**8 - 1

    simulate(main)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    for word in ("'Work'", "past its capacity", "from outside"):
        assert word in record.getMessage()


def test_a_late_stage_feeds_an_early_one() -> None:
    async def main() -> None:
        pipelines: list[Pipeline] = []
        visit = crawl(pipelines, depth=6, target="First")
        stages = [stage(same, name="First", queue_capacity=1), stage(visit, name="Last", pull=True)]
        pipelines.append(Pipeline(stages))
        assert len(await pipelines[0].run([""])) == 2**7 - 1

    simulate(main)


@pytest.mark.parametrize("role", ["on_success", "on_failure", "on_skip", "skip_if"])
def test_a_callback_feeds_its_own_pipeline(role: str) -> None:
    async def main() -> None:
        async def feed_once(*_: Any) -> None:
            if pipeline.get_stats().items_fed < 10:
                await pipeline.feed(["more"] * 5)

        one = stage(
            fail if role == "on_failure" else same,
            queue_capacity=1,
            skip_if=(lambda value: True) if role == "on_skip" else None,
        )
        setattr(one, role, feed_once)
        pipeline = Pipeline([one])
        await pipeline.run(["one"])
        assert len(pipeline.results) + len(pipeline.failures) == 11

    simulate(main)


def test_a_task_that_a_task_makes_feeds_without_waiting_too() -> None:
    async def main() -> None:
        async def spread(value: int) -> int:
            if value == 0:
                await asyncio.gather(*(pipeline.feed([number]) for number in range(1, 9)))
            return value

        pipeline = Pipeline([stage(spread, queue_capacity=1)])
        assert values(await pipeline.run([0])) == list(range(9))

    simulate(main)


def test_a_crawler_feeds_while_its_pipeline_is_joined_or_drained() -> None:
    async def main() -> None:
        for end in ("join", "drain"):
            pipelines: list[Pipeline] = []
            pipeline = Pipeline([stage(crawl(pipelines, depth=5))])
            pipelines.append(pipeline)
            await pipeline.start()
            await pipeline.feed([""])
            await (pipeline.join() if end == "join" else pipeline.shutdown(drain=True))
            assert len(pipeline.results) == 2**6 - 1

    simulate(main)


def test_what_a_crawler_feeds_during_a_shutdown_is_unprocessed() -> None:
    gate = Gate()

    async def main() -> None:
        async def feed_at_last(value: int) -> int:
            await gate(value)
            await pipeline.feed([value + 1])
            return value

        pipeline = Pipeline([stage(feed_at_last)])
        await start_with(pipeline, [1])
        shutdown = await begun(pipeline.shutdown())
        gate.open()
        assert values(await shutdown) == [2]
        assert values(pipeline.results) == [1]

    simulate(main)


@pytest.mark.parametrize("way", ["run", "start"])
def test_a_pipeline_that_a_task_runs_feeds_the_outer_one_without_a_deadlock(way: str) -> None:
    async def main() -> None:
        async def feed_outer(value: int) -> int:
            await outer.feed(["from the inner one"] * 3)
            return value

        async def run_inner(value: Any) -> Any:
            if value == 0:
                inner = Pipeline([stage(feed_outer, name="Inner")])
                await inner.run([1])
                assert inner.failures == []
            return value

        outer = Pipeline([stage(run_inner, name="Outer", queue_capacity=1)])
        if way == "run":
            await outer.run([0])
        else:
            await start_with(outer, [0])
            await outer.join()
        assert outer.failures == []
        assert len(outer.results) == 4

    simulate(main)


# What is left is fed again


def test_what_is_fed_back_goes_on_where_it_was_as_what_it_was() -> None:
    first, second = Gate("first"), Gate("second")

    async def main() -> None:
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
        await pipeline.start()
        await pipeline.feed(left)
        await pipeline.join()
        assert first.entered == [1, 2, 2]
        assert second.entered == [1, 1, 2]
        x_result, y_result = pipeline.results
        assert (x_result.id, x_result.value, x_result.metadata) == ("x", 1, {"size": "L"})
        assert [result.sequence_id for result in (x_result, y_result)] == [0, 1]

    simulate(main)


def test_what_is_fed_back_keeps_its_priority() -> None:
    gate = Gate()

    async def main() -> None:
        pipeline = Pipeline([stage(gate)])
        await pipeline.feed(["low"], priority=9)
        await pipeline.feed(["high"], priority=1)
        left = await pipeline.shutdown()
        assert [(item.value, item.priority) for item in left] == [("high", 1), ("low", 9)]
        gate.open()
        await pipeline.feed(reversed(left), priority=5)
        await pipeline.start()
        await pipeline.join()

    simulate(main)
    assert gate.entered == ["high", "low"]


def test_new_items_are_numbered_after_those_that_are_fed_back() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(same)])
        await pipeline.feed(range(5))
        left = await pipeline.shutdown()
        await pipeline.feed(left)
        await pipeline.feed(["new"])
        results = await pipeline.run(["newer"])
        assert ids(results) == [0, 1, 2, 3, 4, 5, 6]
        assert values(results)[5:] == ["new", "newer"]

    simulate(main)


def test_what_is_fed_back_behind_new_items_gets_a_number_that_nobody_has() -> None:
    async def left_of(pipeline: Pipeline, *values: str) -> list[UnprocessedItem]:
        await pipeline.feed(values)
        return await pipeline.shutdown()

    async def main() -> None:
        pipeline = Pipeline([stage(same)])
        one, other = await left_of(pipeline, "a", "b"), await left_of(pipeline, "c")
        await pipeline.feed([*one, *other, "new"])
        results = await pipeline.run(one)
        assert values(results) == ["a", "b", "c", "new", "a", "b"]
        assert [result.sequence_id for result in results] == list(range(6))

    simulate(main)


def test_what_was_not_fed_keeps_its_number_for_the_next_try() -> None:
    async def main() -> None:
        gate = Gate()
        pipeline = Pipeline([stage(gate, queue_capacity=1)])
        await pipeline.start()
        await pipeline.feed(["busy", "waiting"])
        left = UnprocessedItem("x", "x", {}, 100, pipeline.stages[0].name, 50)
        feeding = await begun(pipeline.feed([left]))
        feeding.cancel()
        await settle()
        gate.open()
        await pipeline.feed([left, "new"])
        await pipeline.join()
        numbers = [result.sequence_id for result in pipeline.results]
        assert sorted(numbers) == [0, 1, 50, 51]

    simulate(main)


def test_run_stream_and_process_take_what_was_left_too() -> None:
    async def left_of(pipeline: Pipeline) -> list[UnprocessedItem]:
        await pipeline.feed([{"id": "x", "value": 1}], target_stage="Last")
        return await pipeline.shutdown()

    async def main() -> None:
        pipeline = Pipeline([stage(fail, name="First"), stage(same, name="Last")])
        assert ids(await pipeline.run(await left_of(pipeline))) == ["x"]
        stream = pipeline.stream(await left_of(pipeline))
        assert [result.id async for result in stream] == ["x"]
        (left,) = await left_of(pipeline)
        await pipeline.start()
        assert (await pipeline.process(left)).is_success
        await pipeline.join()

    simulate(main)


def test_what_was_left_in_an_unknown_stage_is_refused_by_name() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(same)])
        left = UnprocessedItem("x", 1, {}, 100, "Gone", 0)
        with pytest.raises(ValueError, match=r"'Gone' not found.*'Work'"):
            await pipeline.feed([left])
        assert await pipeline.shutdown() == []

    simulate(main)


def test_again_and_again_until_nothing_is_left() -> None:
    done: list[int] = []

    async def two_at_a_time(value: int) -> int:
        await asyncio.sleep(1)
        done.append(value)
        return value

    async def main() -> int:
        pipeline = Pipeline([stage(two_at_a_time, name=name) for name in ("First", "Second")])
        left: list[Any] = list(range(4))
        for rounds in range(1, 100):
            await pipeline.start()
            await pipeline.feed(left)
            await asyncio.sleep(2.5)
            left = list(await pipeline.shutdown())
            if not left:
                return rounds
        raise AssertionError("never done")

    assert simulate(main) > 1
    assert sorted(done) == sorted(list(range(4)) * 2)


# What becomes of the input


class Source:
    """An endless async generator, which may pause after each number, and whether it was closed."""

    def __init__(self, pause: float = 0) -> None:
        self.is_closed = False
        self._pause = pause
        self.generator = self._generate()

    async def _generate(self) -> AsyncGenerator[int, None]:
        try:
            for number in itertools.count():
                yield number
                if self._pause:
                    await asyncio.sleep(self._pause)
        finally:
            await asyncio.sleep(0.02)
            self.is_closed = True


async def leave_by_break(pipeline: Pipeline, source: AsyncIterator[int]) -> None:
    async with pipeline.stream(source) as stream:
        async for result in stream:
            if result.value == 3:
                break


async def leave_by_aclose(pipeline: Pipeline, source: AsyncIterator[int]) -> None:
    stream = pipeline.stream(source)
    await anext(stream)
    await stream.aclose()


async def leave_by_shutdown(pipeline: Pipeline, source: AsyncIterator[int]) -> None:
    stream = pipeline.stream(source)
    await anext(stream)
    await pipeline.shutdown()


async def cancel_the_consumer(pipeline: Pipeline, source: AsyncIterator[int]) -> None:
    async def consume() -> None:
        async with pipeline.stream(source) as stream:
            async for _ in stream:
                pass

    await cancel_after_a_while(consume())


async def cancel_the_run(pipeline: Pipeline, source: AsyncIterator[int]) -> None:
    await cancel_after_a_while(pipeline.run(source))


async def cancel_after_a_while(call: Coroutine[Any, Any, object]) -> None:
    task = asyncio.create_task(call)
    await asyncio.sleep(0.0105)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def shut_down_the_run(pipeline: Pipeline, source: AsyncIterator[int]) -> None:
    run = asyncio.create_task(pipeline.run(source))
    await asyncio.sleep(0.0105)
    await pipeline.shutdown()
    await asyncio.wait([run])


async def fail_the_run(pipeline: Pipeline, source: AsyncIterator[int]) -> None:
    with pytest.raises(CustomExit):
        await pipeline.run(source)


STOPS = [
    leave_by_break,
    leave_by_aclose,
    leave_by_shutdown,
    cancel_the_consumer,
    cancel_the_run,
    shut_down_the_run,
    fail_the_run,
]


@pytest.mark.parametrize("pause", [0.001, 0], ids=["awaited", "waiting for room"])
@pytest.mark.parametrize("stop", STOPS)
def test_an_async_generator_is_closed_when_its_run_is_stopped(
    stop: Callable[[Pipeline, AsyncIterator[int]], Coroutine[Any, Any, None]], pause: float
) -> None:
    async def work(value: int) -> int:
        await asyncio.sleep(0 if pause else 0.001)
        if value == 5 and stop is fail_the_run:
            raise CustomExit
        return value

    async def main() -> None:
        source = Source(pause)
        await stop(Pipeline([stage(work, queue_capacity=1)]), source.generator)
        assert source.is_closed

    simulate(main)


def test_a_drain_lets_the_input_clean_up_even_after_the_last_item() -> None:
    ends: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            for number in range(3):
                yield number
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(3)
            ends.append("cleaned up")

    async def slow(value: int) -> int:
        await asyncio.sleep(1)
        return value

    async def main() -> None:
        pipeline = Pipeline([stage(slow)])
        running = asyncio.create_task(pipeline.run(numbers()))
        await asyncio.sleep(0.5)
        await pipeline.shutdown(drain=True)
        assert values(await running) == [0, 1, 2]
        assert ends == ["cleaned up"]

    simulate(main)


@asynccontextmanager
async def feeding(source: Source) -> AsyncIterator[tuple[Pipeline, asyncio.Task[None]]]:
    """A pipeline that is being fed from a source, and has no room for more at present."""
    gate = Gate()
    pipeline = Pipeline([stage(gate, queue_capacity=1)])
    await pipeline.start()
    feed = asyncio.create_task(pipeline.feed(source.generator))
    await asyncio.sleep(1)
    yield pipeline, feed
    gate.open()
    await pipeline.shutdown(timeout=0)
    assert not source.is_closed
    await anext(source.generator)
    await source.generator.aclose()


def test_an_async_generator_that_is_fed_stays_open_at_shutdown() -> None:
    async def main() -> None:
        async with feeding(Source()) as (pipeline, feed):
            await pipeline.shutdown(timeout=0)
            with pytest.raises(PipelineError):
                await feed

    simulate(main)


def test_an_async_generator_that_is_fed_stays_open_when_the_feed_is_cancelled() -> None:
    async def main() -> None:
        async with feeding(Source()) as (_, feed):
            feed.cancel()
            with pytest.raises(asyncio.CancelledError):
                await feed

    simulate(main)
