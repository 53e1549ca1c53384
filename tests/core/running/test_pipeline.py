"""Pipeline, the face of the engine: what each of its methods promises."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextvars import ContextVar
from math import nan
from typing import Any, cast

import pytest

from antflow import Pipeline, PipelineError, PipelineResult, Stage, UnprocessedItem
from tests.helpers.runs import (
    Counted,
    Indexed,
    InputBrokeError,
    Use,
    by_feed,
    by_run,
    by_stream,
    double,
    indirectly,
    only_error,
    refuse_odd,
    same,
    same_later,
    stage,
    start_with,
    values,
)
from tests.helpers.virtual_time import Gate, begun, others, settle, simulate
from tests.naming import id_of


async def later(items: Iterable[Any]) -> AsyncIterator[Any]:
    for item in items:
        await asyncio.sleep(1)
        yield item


def broken_after(count: int) -> Iterator[int]:
    yield from range(count)
    raise InputBrokeError


async def broken_later(count: int) -> AsyncIterator[int]:
    async for number in later(range(count)):
        yield number
    raise InputBrokeError


# run


def test_run_returns_results_in_input_order_though_the_last_ends_first() -> None:
    async def slow_at_first(value: int) -> int:
        await asyncio.sleep(10 - value)
        return value

    async def main() -> list[PipelineResult]:
        return await Pipeline([stage(slow_at_first, workers=5)]).run(range(5))

    assert values(simulate(main)) == [0, 1, 2, 3, 4]


def test_an_item_goes_through_all_stages_in_order() -> None:
    async def main() -> list[PipelineResult]:
        stages = [stage(double, name="Double"), stage(str, name="Text"), stage(len, name="Length")]
        return await Pipeline(stages).run([1, 50])

    assert values(simulate(main, threads=True)) == [1, 3]


def test_run_of_nothing_returns_nothing() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(same)])
        assert await pipeline.run([]) == []
        assert pipeline.results == pipeline.failures == []
        assert pipeline.unprocessed == []

    simulate(main)


def test_a_failure_is_kept_with_its_error_its_stage_and_what_entered_the_stage() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(double, name="Double"), stage(fail, name="Check")])
        assert await pipeline.run([21]) == []
        (failure,) = pipeline.failures
        assert (failure.id, failure.value, failure.stage, failure.attempts) == (0, 42, "Check", 1)
        assert isinstance(failure.error, KeyError)
        assert not failure.is_success

    async def fail(value: int) -> int:
        raise KeyError(value)

    simulate(main)


def test_failures_are_in_input_order() -> None:
    async def fail(value: int) -> None:
        await asyncio.sleep(10 - value)
        raise ValueError

    async def main() -> None:
        pipeline = Pipeline([stage(fail, workers=3)])
        await pipeline.run(range(3))
        assert values(pipeline.failures) == [0, 1, 2]

    simulate(main)


def test_return_exceptions_gives_each_failure_its_place() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(refuse_odd)])
        results = await pipeline.run(range(4), return_exceptions=True)
        assert values(results) == [0, 1, 2, 3]
        assert [result.is_success for result in results] == [True, False, True, False]
        assert values(pipeline.results) == [0, 2]
        assert values(pipeline.failures) == [1, 3]

    simulate(main)


def test_a_failure_keeps_id_and_metadata() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(refuse_odd)])
        await pipeline.run([{"id": "x", "value": 1, "size": "L"}])
        (failure,) = pipeline.failures
        assert (failure.id, failure.value, failure.metadata) == ("x", 1, {"size": "L"})

    simulate(main)


def test_without_collecting_results_are_counted_and_failures_kept() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(refuse_odd)], collect_results=False)
        assert await pipeline.run(range(4)) == []
        assert await pipeline.run(range(4), return_exceptions=True) == []
        assert pipeline.results == []
        assert values(pipeline.failures) == [1, 3]
        assert pipeline.get_stats().items_processed == 2

    simulate(main)


@pytest.mark.parametrize("workers", [1, 3])
def test_an_async_iterable_is_an_input(workers: int) -> None:
    async def main() -> None:
        results = await Pipeline([stage(double, workers=workers)]).run(later(range(3)))
        assert values(results) == [0, 2, 4]

    simulate(main)


def test_work_begins_while_input_is_still_being_read() -> None:
    gate = Gate()

    async def main() -> None:
        run = asyncio.create_task(Pipeline([stage(gate)]).run(later(["first", "second"])))
        await asyncio.sleep(1.5)
        assert gate.waiting == ["first"]
        gate.open()
        assert values(await run) == ["first", "second"]

    simulate(main)


def test_an_endless_input_is_read_one_ahead_of_the_room_for_it() -> None:
    source, gate = Counted(), Gate()

    async def main() -> None:
        pipeline = Pipeline([stage(gate, workers=2, queue_capacity=3)], collect_results=False)
        run = await begun(pipeline.run(source))
        assert source.read == 2 + 3 + 1
        gate.let(0)
        await settle()
        assert source.read == 2 + 3 + 1 + 1
        run.cancel()
        await asyncio.wait([run])
        assert pipeline.get_stats().items_fed == source.read

    simulate(main)


def test_an_endless_input_of_tasks_that_never_suspend_can_be_cancelled() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(same), stage(double, name="Next")], collect_results=False)
        run = asyncio.create_task(pipeline.run(Counted()))
        await asyncio.sleep(0.02)
        run.cancel()
        await asyncio.wait([run])
        stats = pipeline.get_stats()
        assert stats.items_processed > 100
        assert stats.items_fed == stats.items_processed + stats.items_unprocessed
        assert pipeline.results == []

    simulate(main)


@pytest.mark.parametrize("broken", [broken_after, broken_later])
def test_what_was_read_is_finished_before_the_input_s_error_is_raised(broken: Any) -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(refuse_odd), stage(double, name="Double")])
        with pytest.raises(InputBrokeError):
            await pipeline.run(broken(4))
        assert not others()
        assert values(pipeline.results) == [0, 4]
        assert values(pipeline.failures) == [1, 3]
        assert pipeline.unprocessed == []

    simulate(main)


def test_an_input_that_raises_at_once_is_an_error() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(same)])
        with pytest.raises(InputBrokeError):
            await pipeline.run(broken_after(0))
        assert pipeline.get_stats().items_fed == 0

    simulate(main)


def test_an_input_s_keyboard_interrupt_ends_the_run() -> None:
    gate = Gate()

    def interrupted() -> Iterator[int]:
        yield 1
        raise KeyboardInterrupt

    async def main() -> None:
        pipeline = Pipeline([stage(gate)])
        with pytest.raises(KeyboardInterrupt):
            await pipeline.run(interrupted())
        assert not others()
        assert values_left(pipeline) == [1]

    simulate(main)


def values_left(pipeline: Pipeline) -> list[Any]:
    return [left.value for left in pipeline.unprocessed]


@pytest.mark.parametrize("name", [7, None, b"books", ""])
def test_what_is_no_name_is_refused(name: Any) -> None:
    with pytest.raises(PipelineError, match=f"not {name!r}"):
        Pipeline([stage(same)], name=name)


@pytest.mark.parametrize(
    ("stages", "named"),
    [(["x"], "'x'"), ("W", "'W'"), (Stage("Lonely", 1, [same]), "Lonely"), (5, "5")],
    ids=["list of texts", "text", "stage", "number"],
)
def test_what_is_no_list_of_stages_is_refused(stages: Any, named: str) -> None:
    with pytest.raises(PipelineError, match=named) as caught:
        Pipeline(stages)
    assert "list of stages" in str(caught.value)


def test_a_generator_of_stages_makes_a_pipeline() -> None:
    async def main() -> list[Any]:
        stages: Any = (stage(same, name=name) for name in ("First", "Second"))
        pipeline = Pipeline(stages)
        assert list(pipeline.get_worker_names()) == ["First", "Second"]
        return values(await pipeline.run([1]))

    assert simulate(main) == [1]


@pytest.mark.parametrize("items", [17, None], ids=id_of)
def test_what_is_no_input_is_refused_by_name(items: Any) -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(same)], name="books")
        for enter in (pipeline.run, pipeline.feed):
            with pytest.raises(TypeError, match=refusal):
                await enter(items)
        with pytest.raises(TypeError, match=refusal):
            pipeline.stream(items)
        await pipeline.start()
        with pytest.raises(TypeError, match=refusal):
            await pipeline.feed(items)
        await pipeline.join()
        assert await pipeline.run([]) == []

    refusal = re.escape(f"'books' takes items from an iterable or async iterable, not from {items}")
    refusal += "; put a single item in a list"
    simulate(main)


@pytest.mark.parametrize("use", [by_run, by_stream, by_feed])
def test_items_may_be_what_has_only_indices(use: Use) -> None:
    async def main() -> list[Any]:
        return await use(Pipeline([stage(same)]), Indexed())

    assert simulate(main) == [0, 1, 2]


def test_tasks_see_the_context_of_who_called_run() -> None:
    variable: ContextVar[str] = ContextVar("variable", default="")

    async def look(value: int) -> str:
        seen = variable.get()
        variable.set(f"of worker {value}")
        return seen

    async def main() -> None:
        variable.set("of the caller")
        results = await Pipeline([stage(look, workers=2)]).run([1])
        assert values(results) == ["of the caller"]
        assert variable.get() == "of the caller"

    simulate(main)


def test_workers_run_in_the_context_of_start_whoever_wakes_them() -> None:
    variable: ContextVar[str] = ContextVar("variable", default="")

    async def look(value: int) -> str:
        return variable.get()

    async def main() -> None:
        pipeline = Pipeline([stage(look)])
        variable.set("at the start")
        await pipeline.start()
        variable.set("at the feeding")
        await pipeline.feed([1])
        await pipeline.join()
        assert values(pipeline.results) == ["at the start"]

    simulate(main)


# One run after the other, and two at once


def test_a_second_run_starts_from_nothing() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(refuse_odd)])
        await pipeline.run(range(4))
        assert values(await pipeline.run([6])) == [6]
        assert values(pipeline.results) == [6]
        assert pipeline.failures == []
        stats = pipeline.get_stats()
        assert (stats.items_fed, stats.items_processed, stats.items_failed) == (1, 1, 0)
        assert pipeline.results[0].sequence_id == 0

    simulate(main)


def test_one_pipeline_runs_on_one_loop_after_the_other() -> None:
    pipeline = Pipeline([stage(double)])

    async def main() -> list[Any]:
        return values(await pipeline.run([1, 2]))

    assert simulate(main) == simulate(main) == asyncio.run(main()) == [2, 4]


def test_two_runs_at_once_are_an_error_and_the_first_is_unharmed() -> None:
    gate = Gate()

    async def main() -> None:
        pipeline = Pipeline([stage(gate)], name="books")
        first = await begun(pipeline.run([1, 2]))
        source = Counted(1)
        for second in (pipeline.run(source), pipeline.start(), anext(pipeline.stream(source))):
            with pytest.raises(PipelineError, match=r"'books' is already running.*second Pipeline"):
                await second
        assert source.read == 0
        gate.open()
        assert values(await first) == [1, 2]

    simulate(main)


def test_run_on_a_started_pipeline_is_an_error() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(same)])
        await pipeline.start()
        with pytest.raises(PipelineError, match="already running"):
            await pipeline.run([1])
        await pipeline.feed([2])
        await pipeline.join()
        assert values(pipeline.results) == [2]

    simulate(main)


def test_one_stage_serves_two_pipelines_at_once() -> None:
    gate = Gate()
    shared = stage(gate)

    async def main() -> None:
        runs = [asyncio.create_task(Pipeline([shared]).run([number])) for number in range(2)]
        await settle()
        assert gate.waiting == [0, 1]
        gate.open()
        assert [values(await run) for run in runs] == [[0], [1]]

    simulate(main)


# start, feed, join


def test_start_feed_join() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(double)])
        await pipeline.start()
        await pipeline.feed([1, 2])
        await pipeline.feed_async(later([3]))
        await pipeline.join()
        assert not others()
        assert values(pipeline.results) == [2, 4, 6]
        assert [result.id for result in pipeline.results] == [0, 1, 2]

    simulate(main)


def test_join_of_an_idle_pipeline_ends_it() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(same, workers=3)])
        await pipeline.start()
        await settle()
        await pipeline.join()
        await pipeline.join()
        assert pipeline.results == []

    simulate(main)


def test_a_joined_pipeline_starts_again_from_nothing() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(same)])
        for value in (1, 2):
            await pipeline.start()
            await pipeline.feed([value])
            await pipeline.join()
            assert values(pipeline.results) == [value]
            assert pipeline.get_stats().items_fed == 1

    simulate(main)


def test_what_is_fed_before_the_start_is_run_after_it() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(same)])
        await pipeline.feed([1, 2])
        assert pipeline.get_stats().items_fed == 2
        assert pipeline.get_stats().items_outstanding == 2
        await pipeline.start()
        await pipeline.join()
        assert values(pipeline.results) == [1, 2]

    simulate(main)


def test_what_is_fed_before_run_is_part_of_it() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(same)])
        await pipeline.feed([1])
        assert values(await pipeline.run([2])) == [1, 2]

    simulate(main)


def test_feed_before_the_start_waits_for_room_and_warns_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = Counted(5)

    async def main() -> None:
        pipeline = Pipeline([stage(same, queue_capacity=2)], name="books")
        feeds = [asyncio.create_task(pipeline.feed(source))]
        await settle()
        assert source.read == 3
        feeds.append(asyncio.create_task(pipeline.feed(["late"])))
        await settle()
        assert not any(feed.done() for feed in feeds)
        await pipeline.start()
        await asyncio.gather(*feeds)
        await pipeline.join()
        assert len(pipeline.results) == 6

    simulate(main)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    for word in ("'books'", "not started", "'Work'", "start()"):
        assert word in record.getMessage()


def test_feed_before_the_start_with_room_warns_of_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(same, queue_capacity=2)])
        await pipeline.feed([1, 2])
        await pipeline.start()
        await pipeline.join()

    simulate(main)
    assert not caplog.records


def test_feed_puts_items_into_the_stage_that_is_named() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(double, name="Double"), stage(str, name="Text")])
        await pipeline.start()
        await pipeline.feed([1], target_stage="Text")
        await pipeline.feed([1], target_stage="Double")
        await pipeline.feed([1])
        await pipeline.join()
        assert values(pipeline.results) == ["1", "2", "2"]
        stages = pipeline.get_stats().stage_stats
        assert (stages["Double"].fed_items, stages["Text"].fed_items) == (2, 3)

    simulate(main, threads=True)


@pytest.mark.parametrize("is_started", [True, False])
def test_feed_to_an_unknown_stage_is_an_error_and_reads_nothing(is_started: bool) -> None:
    source = Counted(1)

    async def main() -> None:
        async with Pipeline([stage(same), stage(same, name="Last")], name="books") as pipeline:
            if is_started:
                await pipeline.start()
            with pytest.raises(
                ValueError, match=r"'Wrok' not found in pipeline 'books'.*'Work', 'Last'"
            ):
                await pipeline.feed(source, target_stage="Wrok")
            assert source.read == 0

    simulate(main)


def test_feed_of_an_input_that_raises_raises_and_what_was_read_goes_on() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(same)])
        await pipeline.start()
        with pytest.raises(InputBrokeError):
            await pipeline.feed(broken_after(2))
        with pytest.raises(InputBrokeError):
            await pipeline.feed_async(broken_later(1))
        await pipeline.join()
        assert values(pipeline.results) == [0, 1, 0]

    simulate(main)


def test_join_waits_for_feeds_begun_before_it_and_a_later_one_is_refused() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(same)], name="books")
        await pipeline.start()
        feed = await begun(pipeline.feed(later([1, 2])))
        join = await begun(pipeline.join())
        source = Counted(1)
        with pytest.raises(PipelineError, match=r"'books' is about to end.*before join"):
            await pipeline.feed(source)
        assert source.read == 0
        await asyncio.gather(feed, join)
        assert values(pipeline.results) == [1, 2]

    simulate(main)


def test_a_cancelled_feed_has_not_fed_the_value_that_it_had_read() -> None:
    source, gate = Counted(), Gate()

    async def main() -> None:
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

    simulate(main)


def test_a_feed_that_waits_for_room_is_told_of_a_shutdown() -> None:
    gate = Gate()

    async def main() -> None:
        pipeline = Pipeline([stage(gate, queue_capacity=1)], name="books")
        await pipeline.start()
        feed = await begun(pipeline.feed(range(5)))
        shutdown = asyncio.create_task(pipeline.shutdown())
        with pytest.raises(PipelineError, match=r"'books' was stopped.*read last was not fed"):
            await feed
        gate.open()
        assert [left.value for left in await shutdown] == [1]
        assert values(pipeline.results) == [0]

    simulate(main)


def test_a_feed_that_waits_before_the_start_is_told_of_a_shutdown() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(same, queue_capacity=1)])
        feed = await begun(pipeline.feed(range(5)))
        assert [left.value for left in await pipeline.shutdown()] == [0]
        with pytest.raises(PipelineError, match="was stopped"):
            await feed

    simulate(main)


@pytest.mark.parametrize("drain", [False, True])
def test_a_feed_that_waits_for_its_input_does_not_hold_up_a_shutdown(drain: bool) -> None:
    gate = Gate()

    async def slow_input() -> AsyncIterator[int]:
        yield 1
        yield await gate(2)

    async def main() -> None:
        pipeline = Pipeline([stage(same)])
        await pipeline.start()
        feed = await begun(pipeline.feed(slow_input()))
        assert await pipeline.shutdown(drain=drain) == []
        assert values(pipeline.results) == [1]
        gate.open()
        with pytest.raises(PipelineError, match=r"was stopped.*read last was not fed"):
            await feed
        assert pipeline.get_stats().items_fed == 1

    simulate(main)


def test_join_without_a_start_is_an_error() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(same)], name="books")
        with pytest.raises(PipelineError, match=r"'books' is not started; call start\(\)"):
            await pipeline.join()

    simulate(main)


def test_join_without_a_second_start_is_an_error_when_more_was_fed() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(same)], name="books")
        await pipeline.run([1])
        await pipeline.feed([2])
        with pytest.raises(PipelineError, match=r"'books' is not started; call start\(\)"):
            await pipeline.join()
        await pipeline.shutdown()

    simulate(main)


def test_feeding_after_a_run_makes_the_next_one_which_keeps_the_last_results_until_it_starts() -> (
    None
):
    async def main() -> None:
        pipeline = Pipeline([stage(refuse_odd)])
        await pipeline.run([1, 2])
        assert (values(pipeline.results), values(pipeline.failures)) == ([2], [1])
        await pipeline.feed([4])
        assert (values(pipeline.results), values(pipeline.failures)) == ([2], [1])
        stats = pipeline.get_stats()
        assert (stats.items_fed, stats.items_outstanding, stats.items_failed) == (1, 1, 0)
        await pipeline.start()
        await pipeline.join()
        assert values(pipeline.results) == [4]

    simulate(main)


def test_what_the_last_run_left_is_there_until_the_next_one_starts() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(same)])
        await pipeline.start()
        await pipeline.feed([1, 2])
        left = await pipeline.shutdown()
        await pipeline.feed(left[:1])
        assert pipeline.unprocessed == left != []
        await pipeline.shutdown()  # of the run that was fed and never started
        assert pipeline.unprocessed == left[:1]

    simulate(main)


def test_a_failing_item_stops_nothing_else() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(refuse_odd)])
        await pipeline.start()
        await pipeline.feed([1, 2, 3, 4])
        await pipeline.join()
        assert values(pipeline.results) == [2, 4]
        assert values(pipeline.failures) == [1, 3]

    simulate(main)


# Priorities


def test_lower_priorities_go_first_and_equal_ones_in_order_of_arrival() -> None:
    gate = Gate()

    async def main() -> None:
        pipeline = Pipeline([stage(gate)])
        await start_with(pipeline, ["held"])
        await pipeline.feed(["a", "b"])
        await pipeline.feed(["last"], priority=200)
        await pipeline.feed(["first"], priority=1)
        await pipeline.feed(["c"])
        gate.open()
        await pipeline.join()

    simulate(main)
    assert gate.entered == ["held", "first", "a", "b", "c", "last"]


def test_priorities_count_before_the_start_too() -> None:
    gate = Gate()
    gate.open()

    async def main() -> None:
        pipeline = Pipeline([stage(gate)])
        await pipeline.feed(["c"], priority=3)
        await pipeline.feed(["a"], priority=-1)
        await pipeline.feed(["b"], priority=2)
        await pipeline.start()
        await pipeline.join()

    simulate(main)
    assert gate.entered == ["a", "b", "c"]


def test_an_item_keeps_its_priority_in_the_next_stage() -> None:
    first, second = Gate(), Gate()
    first.open()

    async def main() -> None:
        pipeline = Pipeline([stage(first, name="First"), stage(second, name="Second")])
        await start_with(pipeline, ["held", "low"])
        await pipeline.feed(["high"], priority=1)
        await settle()
        second.open()
        await pipeline.join()

    simulate(main)
    assert first.entered == ["held", "low", "high"]
    assert second.entered == ["held", "high", "low"]


Enter = Callable[[Pipeline, Any], Awaitable[Any]]


def feed_with(pipeline: Pipeline, priority: Any) -> Awaitable[Any]:
    return pipeline.feed(["bad"], priority=priority)


def process_with(pipeline: Pipeline, priority: Any) -> Awaitable[Any]:
    return pipeline.process("bad", priority=priority)


def feed_back(pipeline: Pipeline, priority: Any) -> Awaitable[Any]:
    return pipeline.feed([UnprocessedItem("x", "bad", {}, priority, "Work", 0)])


def process_back(pipeline: Pipeline, priority: Any) -> Awaitable[Any]:
    return pipeline.process(UnprocessedItem("x", "bad", {}, priority, "Work", 0))


@pytest.mark.parametrize("enter", [feed_with, process_with, feed_back, process_back])
@pytest.mark.parametrize("priority", ["high", None, nan])
def test_a_bad_priority_is_refused_before_anything_is_counted(enter: Enter, priority: Any) -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(same_later)])
        await pipeline.start()
        await pipeline.feed([1])
        with pytest.raises(ValueError, match=re.escape(repr(priority))):
            await enter(pipeline, priority)
        await pipeline.feed([2])
        await pipeline.join()
        assert values(pipeline.results) == [1, 2]
        assert pipeline.get_stats().items_fed == 2

    simulate(main)


# process


def test_process_returns_the_result_which_is_kept_nowhere_else() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(double), stage(double, name="Again")])
        await pipeline.start()
        result = await pipeline.process({"id": "x", "value": 1, "size": "L"})
        assert (result.id, result.value, result.metadata) == ("x", 4, {"size": "L"})
        await pipeline.feed([5])
        await pipeline.join()
        assert values(pipeline.results) == [20]
        assert pipeline.get_stats().items_processed == 2

    simulate(main)


def test_process_returns_a_failure_as_a_result() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(refuse_odd)])
        await pipeline.start()
        result = await pipeline.process(3)
        assert (result.value, result.stage, str(result.error)) == (3, "Work", "3 is odd")
        await pipeline.join()
        assert pipeline.failures == []
        assert pipeline.get_stats().items_failed == 1

    simulate(main)


def test_each_caller_of_process_gets_the_result_of_its_own_item() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(sleep_that_long, workers=3, queue_capacity=1)])
        await pipeline.start()
        numbers = [3, 1, 2, 5, 4]
        results = await asyncio.gather(*(pipeline.process(number) for number in numbers))
        assert values(results) == numbers
        await pipeline.join()
        assert pipeline.results == []

    async def sleep_that_long(value: int) -> int:
        await asyncio.sleep(value)
        return value

    simulate(main)


def test_process_overtakes_what_has_a_higher_priority_number() -> None:
    gate = Gate()

    async def main() -> None:
        pipeline = Pipeline([stage(gate)])
        await pipeline.start()
        await pipeline.feed(["held", "waiting"])
        call = await begun(pipeline.process("urgent", priority=1))
        gate.open()
        await call
        await pipeline.join()

    simulate(main)
    assert gate.entered == ["held", "urgent", "waiting"]


def test_the_item_of_a_cancelled_process_goes_on_and_its_result_is_kept() -> None:
    gate = Gate()

    async def main() -> None:
        pipeline = Pipeline([stage(gate)])
        await pipeline.start()
        call = await begun(pipeline.process(1))
        call.cancel()
        await asyncio.wait([call])
        assert gate.waiting == [1]
        gate.open()
        await pipeline.join()
        assert values(pipeline.results) == [1]

    simulate(main)


def test_a_result_that_a_cancelled_process_does_not_take_any_more_is_kept() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(same)])
        await pipeline.start()
        call = asyncio.create_task(pipeline.process(1))
        while not pipeline.get_stats().items_processed:
            await asyncio.sleep(0)
        assert not call.done()  # it has been answered, and has not had its turn yet
        call.cancel()
        await asyncio.wait([call])
        await pipeline.join()
        taken = [] if call.cancelled() else [call.result()]
        assert values(pipeline.results + taken) == [1]

    simulate(main)


def test_a_process_cancelled_while_it_waits_for_room_feeds_nothing() -> None:
    gate = Gate()

    async def main() -> None:
        pipeline = Pipeline([stage(gate, queue_capacity=1)])
        await pipeline.start()
        await pipeline.feed([1, 2])
        call = await begun(pipeline.process(3))
        call.cancel()
        await asyncio.wait([call])
        gate.open()
        await pipeline.join()
        assert values(pipeline.results) == [1, 2]
        assert pipeline.get_stats().items_fed == 2

    simulate(main)


def test_a_shutdown_tells_those_who_wait_for_process() -> None:
    gate = Gate()

    async def main() -> None:
        pipeline = Pipeline([stage(gate, queue_capacity=1)], name="books")
        await pipeline.start()
        calls = [asyncio.create_task(pipeline.process(number)) for number in range(3)]
        await settle()
        shutdown = await begun(pipeline.shutdown())
        gate.open()
        assert [left.value for left in await shutdown] == [1]
        running, waiting, outside = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(running, PipelineResult)
        assert running.value == 0
        assert isinstance(waiting, PipelineError)
        assert "'books'" in str(waiting)
        assert "pipeline.unprocessed" in str(waiting)
        assert isinstance(outside, PipelineError)
        assert "'books' was stopped before it took the item" in str(outside)

    simulate(main)


@pytest.mark.parametrize("turns", range(10))
def test_process_that_is_cancelled_as_the_run_ends_is_cancelled(turns: int) -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(Gate())])
        await pipeline.start()
        request = await begun(pipeline.process(1))
        stop = asyncio.create_task(pipeline.shutdown(timeout=0))
        for _ in range(turns):
            await asyncio.sleep(0)
        was_waiting = request.cancel()
        await asyncio.wait([request, stop])
        assert request.cancelled() == was_waiting
        if not was_waiting:
            assert isinstance(request.exception(), PipelineError)

    simulate(main)


def test_process_does_not_wait_for_a_run_that_its_own_item_ended() -> None:
    def refuse(*_: Any, **__: Any) -> asyncio.Task[Any]:
        raise RuntimeError("no more tasks")

    async def main() -> None:
        pipeline = Pipeline([stage(same)])
        await pipeline.start()
        loop = asyncio.get_running_loop()
        loop.set_task_factory(cast(Any, refuse))
        with pytest.raises(PipelineError, match=r"pipeline\.unprocessed"):
            await pipeline.process(1)
        loop.set_task_factory(None)
        assert [left.value for left in pipeline.unprocessed] == [1]

    asyncio.run(main())


def test_process_on_a_pipeline_that_is_not_running_is_an_error() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(same)], name="books")
        with pytest.raises(PipelineError, match=r"'books' is not running; call start\(\)"):
            await pipeline.process(1)
        await pipeline.run([1])
        with pytest.raises(PipelineError, match=r"'books' is not running; call start\(\)"):
            await pipeline.process(1)

    simulate(main)


def test_process_after_join_has_begun_is_an_error() -> None:
    gate = Gate()

    async def main() -> None:
        pipeline = Pipeline([stage(gate)], name="books")
        await pipeline.start()
        await pipeline.feed([1])
        join = await begun(pipeline.join())
        with pytest.raises(PipelineError, match="'books' is about to end"):
            await pipeline.process(2)
        gate.open()
        await join

    simulate(main)


def test_join_waits_for_items_of_process() -> None:
    gate = Gate()

    async def main() -> None:
        pipeline = Pipeline([stage(gate)])
        await pipeline.start()
        call = await begun(pipeline.process(1))
        join = await begun(pipeline.join())
        assert not join.done()
        gate.open()
        await join
        assert (await call).value == 1

    simulate(main)


# What a task must not ask of its own pipeline


@pytest.mark.parametrize("method", ["join", "shutdown", "process"])
def test_waiting_for_oneself_inside_a_task_is_an_error(method: str) -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(misuse)], name="books")
        pipelines.append(pipeline)
        await pipeline.run([1])
        (failure,) = pipeline.failures
        assert isinstance(failure.error, PipelineError)
        for word in ("'books'", f"{method}()"):
            assert word in str(failure.error)

    pipelines: list[Pipeline] = []

    async def misuse(value: int) -> None:
        arguments = [value] if method == "process" else []
        await getattr(pipelines[0], method)(*arguments)

    simulate(main)


@pytest.mark.parametrize("method", ["join", "shutdown"])
def test_waiting_for_oneself_inside_a_callback_is_an_error(
    method: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        pipelines.append(Pipeline([stage(same, on_success=misuse)], name="books"))
        assert values(await pipelines[0].run([1])) == [1]

    pipelines: list[Pipeline] = []

    async def misuse(*_: Any) -> None:
        await getattr(pipelines[0], method)()

    simulate(main)
    (record,) = caplog.records
    assert record.exc_info
    assert isinstance(record.exc_info[1], PipelineError)


@pytest.mark.parametrize("way", ["gather", "wait_for", "task"])
def test_a_task_cannot_join_its_own_pipeline_indirectly(way: str) -> None:
    async def join(_: int) -> None:
        await indirectly(pipeline.join, way)

    async def main() -> BaseException | None:
        await pipeline.run([1])
        return only_error(pipeline)

    pipeline = Pipeline([stage(join)])
    assert isinstance(simulate(main), PipelineError)


def test_a_task_cannot_join_the_pipeline_that_waits_for_its_own() -> None:
    async def join_outer(_: int) -> None:
        await outer.join()

    async def run_inner(value: int) -> None:
        inner = Pipeline([stage(join_outer)])
        await inner.run([value])
        error = only_error(inner)
        assert error is not None
        raise error

    async def main() -> BaseException | None:
        await outer.run([1])
        return only_error(outer)

    outer = Pipeline([stage(run_inner)])
    assert isinstance(simulate(main), PipelineError)


def test_run_inside_a_task_of_the_same_pipeline_is_an_error() -> None:
    async def main() -> None:
        pipelines.append(Pipeline([stage(misuse)]))
        await pipelines[0].run([1])
        assert isinstance(pipelines[0].failures[0].error, PipelineError)

    pipelines: list[Pipeline] = []

    async def misuse(value: int) -> None:
        await pipelines[0].run([value])

    simulate(main)


def test_a_task_may_run_another_pipeline() -> None:
    inner = stage(double, name="Inner")

    async def run_inner(value: int) -> list[Any]:
        return values(await Pipeline([inner]).run([value, value + 1]))

    async def main() -> None:
        results = await Pipeline([stage(run_inner, name="Outer", workers=2)]).run([1, 2])
        assert values(results) == [[2, 4], [4, 6]]

    simulate(main)


# async with


def test_async_with_does_not_start_the_pipeline() -> None:
    gate = Gate()

    async def main() -> None:
        async with Pipeline([stage(gate)]) as pipeline:
            await pipeline.feed([1])
            await settle()
            assert gate.entered == []
        assert values_left(pipeline) == [1]

    simulate(main)


def test_run_inside_async_with() -> None:
    async def main() -> None:
        async with Pipeline([stage(double)]) as pipeline:
            assert values(await pipeline.run([1])) == [2]
        assert values(pipeline.results) == [2]
        assert pipeline.unprocessed == []

    simulate(main)


def test_leaving_async_with_lets_attempts_end_and_takes_nothing_new() -> None:
    gate = Gate()

    async def main() -> None:
        timer = asyncio.get_running_loop().call_later(5, gate.open)
        async with Pipeline([stage(gate)]) as pipeline:
            await start_with(pipeline, [1, 2])
        assert timer.when() <= asyncio.get_running_loop().time()
        assert not others()
        assert values(pipeline.results) == [1]
        assert values_left(pipeline) == [2]

    simulate(main)


async def leave_by_an_error(pipeline: Pipeline) -> None:
    async with pipeline:
        raise InputBrokeError


def test_leaving_async_with_by_an_exception_cancels_attempts() -> None:
    gate = Gate()

    async def main() -> None:
        pipeline = Pipeline([stage(gate)])
        await start_with(pipeline, [1, 2])
        with pytest.raises(InputBrokeError):
            await leave_by_an_error(pipeline)
        assert not others()
        assert asyncio.get_running_loop().time() < 1
        assert values_left(pipeline) == [1, 2]

    simulate(main)


# Watching


def test_results_and_failures_can_be_read_while_it_runs() -> None:
    gate = Gate()

    async def main() -> None:
        pipeline = Pipeline([stage(gate, workers=3)])
        run = await begun(pipeline.run([1, 2, 3]))
        assert pipeline.results == []
        gate.let(2)
        gate.fail(3, ValueError())
        await settle()
        assert values(pipeline.results) == [2]
        assert values(pipeline.failures) == [3]
        assert pipeline.unprocessed == []
        gate.open()
        assert values(await run) == [1, 2]

    simulate(main)


def test_statistics_before_any_run_are_all_zero() -> None:
    stats = Pipeline([stage(same), stage(same, name="Last")]).get_stats()
    assert (stats.items_fed, stats.items_processed, stats.items_failed) == (0, 0, 0)
    assert (stats.items_in_flight, stats.items_outstanding) == (0, 0)
    assert (stats.items_dropped, stats.items_unprocessed) == (0, 0)
    assert stats.queue_sizes == {"Work": 0, "Last": 0}
    assert list(stats.stage_stats) == ["Work", "Last"]


def test_statistics_during_a_run() -> None:
    first, second = Gate(), Gate()

    async def main() -> None:
        pipeline = Pipeline([stage(first, name="First", workers=2), stage(second, name="Second")])
        run = await begun(pipeline.run(range(10)))
        first.let(0)
        first.fail(1, ValueError())
        await settle()
        stats = pipeline.get_stats()
        assert stats.items_fed == 10
        assert (stats.items_processed, stats.items_failed) == (0, 1)
        assert stats.items_in_flight == stats.items_outstanding == 9
        assert stats.queue_sizes == {"First": 6, "Second": 0}
        first.open()
        second.open()
        await run

    simulate(main)


def test_statistics_after_a_run() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(refuse_odd), stage(same, name="Last")])
        await pipeline.run(range(5))
        stats = pipeline.get_stats()
        assert (stats.items_fed, stats.items_processed, stats.items_failed) == (5, 3, 2)
        assert stats.items_in_flight == stats.items_outstanding == stats.items_unprocessed == 0
        assert stats.queue_sizes == {"Work": 0, "Last": 0}

    simulate(main)


def test_worker_names_are_known_before_any_run() -> None:
    pipeline = Pipeline([stage(same, name="Fetch", workers=2), stage(same, name="Save")])
    assert pipeline.get_worker_names() == {"Fetch": ["Fetch-W0", "Fetch-W1"], "Save": ["Save-W0"]}


def test_worker_metrics_of_a_team_add_up() -> None:
    async def sleep(value: int) -> None:
        await asyncio.sleep(1)

    async def main() -> None:
        pipeline = Pipeline([stage(sleep, workers=4)])
        await pipeline.run(range(10))
        team = pipeline.get_worker_metrics().values()
        assert sum(worker.items_processed for worker in team) == 10
        assert max(worker.items_processed for worker in team) <= 3

    simulate(main)
