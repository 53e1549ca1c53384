"""The stream of results: its order, its bounds, and every way to leave it."""

from __future__ import annotations

import asyncio
import gc
import itertools
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import pytest

from antflow import Pipeline, PipelineError, PipelineResult, ResultStream, Stage
from tests.helpers.runs import (
    SEEDS,
    Counted,
    CustomExit,
    Failing,
    InputBrokeError,
    cancel,
    refuse_odd,
    same,
    same_later,
    stage,
    values,
)
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, begun, others, settle, simulate


async def take(stream: AsyncIterator[PipelineResult], count: int) -> list[Any]:
    return [(await anext(stream)).value for _ in range(count)]


async def rest(stream: AsyncIterator[PipelineResult]) -> list[Any]:
    return [result.value async for result in stream]


async def collect(stream: ResultStream, found: list[PipelineResult]) -> None:
    """Add results to a list, which has them also when the stream ends in an error."""
    async for result in stream:
        found.append(result)  # noqa: PERF401


# Order and content


@pytest.mark.parametrize("buffer_size", [None, 0, 1, 100])
def test_results_come_in_order_of_completion(buffer_size: int | None) -> None:
    async def sleep(value: int) -> int:
        await asyncio.sleep(value)
        return value

    async def main() -> list[Any]:
        pipeline = Pipeline([stage(sleep, workers=5)])
        return await rest(pipeline.stream([3, 1, 4, 2, 5], buffer_size=buffer_size))

    assert simulate(main) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("buffer_size", [None, 0, 1, 2])
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("queue_capacity", [None, 0, 1])
def test_nothing_is_lost_whatever_the_sizes(
    buffer_size: int | None, workers: int, queue_capacity: int | None
) -> None:
    async def main() -> list[Any]:
        pipeline = Pipeline(
            [
                stage(refuse_odd, name="First", workers=workers, queue_capacity=queue_capacity),
                stage(same, name="Pull", pull=True),
                stage(same, name="Last", workers=workers),
            ]
        )
        return await rest(pipeline.stream(range(20), buffer_size=buffer_size))

    assert sorted(simulate(main)) == list(range(20))


@simulated
async def test_a_stream_of_nothing_ends_at_once() -> None:
    stream = Pipeline([stage(same)]).stream([])
    assert await rest(stream) == []
    assert await rest(stream) == []


@simulated
async def test_failures_are_yielded_and_not_kept() -> None:
    pipeline = Pipeline([stage(refuse_odd, name="Check"), stage(same, name="Last")])
    results = [result async for result in pipeline.stream([1, 2])]
    failure, success = results
    assert (failure.value, failure.stage, failure.is_success) == (1, "Check", False)
    assert isinstance(failure.error, ValueError)
    assert (success.value, success.stage, success.is_success) == (2, None, True)
    assert pipeline.failures == pipeline.results == pipeline.undelivered == []


@simulated
async def test_ids_metadata_and_attempts_come_along() -> None:
    pipeline = Pipeline([Stage("Work", 1, [Failing(1)])])
    (result,) = [r async for r in pipeline.stream([{"id": "x", "value": 1, "size": "L"}])]
    assert (result.id, result.metadata, result.attempts) == ("x", {"size": "L"}, 2)
    assert type(result) is PipelineResult


@simulated
async def test_the_first_result_comes_while_input_is_still_being_read() -> None:
    async def ask_for_more() -> AsyncIterator[str]:
        yield "first"
        await asyncio.get_running_loop().create_future()

    async with Pipeline([stage(same)]).stream(ask_for_more()) as stream:
        assert await take(stream, 1) == ["first"]


@simulated
async def test_a_stream_leaves_collect_results_as_it_is() -> None:
    pipeline = Pipeline([stage(same)])
    assert await rest(pipeline.stream([1])) == [1]
    assert pipeline.collect_results
    assert [result.value for result in await pipeline.run([2])] == [2]


@simulated
async def test_making_a_stream_starts_nothing() -> None:
    source = Counted()
    pipeline = Pipeline([stage(same)])
    stream = pipeline.stream(source)
    await settle()
    assert not others()
    await stream.aclose()
    assert await rest(stream) == []
    assert source.read == 0
    assert await rest(pipeline.stream([1])) == [1]


@pytest.mark.parametrize("size", ["5", 1.5, -1, True])
def test_a_bad_buffer_size_is_refused(size: Any) -> None:
    refusal = f"buffer_size of pipeline 'books' is {size!r}; give .* 0 or more"
    with pytest.raises(ValueError, match=refusal):
        Pipeline([stage(same)], name="books").stream([1], buffer_size=size)


def test_tasks_see_the_context_of_who_made_the_stream() -> None:
    variable: ContextVar[str] = ContextVar("variable", default="")

    async def look(value: int) -> str:
        return variable.get()

    async def main() -> list[Any]:
        variable.set("as it was made")
        stream = Pipeline([stage(look, workers=2)]).stream([1, 2])
        variable.set("as it was read")
        return await rest(stream)

    assert simulate(main) == ["as it was made"] * 2


# A slow consumer


@pytest.mark.parametrize(
    ("buffer_size", "ahead"),
    [
        # taken by the worker that waits with it: 1; in front of it: 2; read, without a place: 1
        (0, 1 + 2 + 1),
        (1, 1 + 1 + 2 + 1),
        (5, 5 + 1 + 2 + 1),
        (None, 10 + 1 + 2 + 1),
    ],
)
@simulated
async def test_input_is_read_no_faster_than_the_consumer_takes(
    buffer_size: int | None, ahead: int
) -> None:
    source = Counted()
    pipeline = Pipeline([stage(same, queue_capacity=2)])
    async with pipeline.stream(source, buffer_size=buffer_size) as stream:
        for taken in range(1, 50):
            assert await take(stream, 1) == [taken - 1]
            await settle()
            assert source.read <= taken + ahead
    assert source.read == 49 + ahead


@simulated
async def test_failures_wait_for_a_slow_consumer_too() -> None:
    source = Counted()

    async def fail(value: int) -> None:
        raise ValueError

    pipeline = Pipeline([stage(fail, queue_capacity=1), stage(same, name="Last")])
    async with pipeline.stream(source, buffer_size=1) as stream:
        await take(stream, 1)
        await settle()
        assert source.read <= 6


@simulated
async def test_a_buffer_of_none_is_ten_for_each_worker_of_the_last_stage() -> None:
    source = Counted()
    pipeline = Pipeline([stage(same, workers=3, queue_capacity=1)])
    stream = pipeline.stream(source)
    await take(stream, 1)
    await settle()
    await stream.aclose()
    assert len(pipeline.undelivered) == 30 + 3


# Leaving early


@simulated
async def test_break_cancels_attempts_within_a_few_turns_of_the_loop() -> None:
    gate = Gate()

    def opened(gate: Gate) -> Iterator[int]:
        asyncio.get_running_loop().call_later(1, gate.let, 0)
        yield from range(5)

    pipeline = Pipeline([stage(gate, workers=3)])
    async for _ in pipeline.stream(opened(gate)):
        break
    for _ in range(10):
        await asyncio.sleep(0)
    assert not others()
    assert gate.waiting == []
    assert sorted(left.value for left in pipeline.unprocessed) == [1, 2, 3, 4]


@simulated
async def test_a_stream_that_is_dropped_unread_leaves_nothing() -> None:
    Pipeline([stage(same)]).stream([1])
    gc.collect()
    await settle()
    assert not others()


@simulated
async def test_aclose_leaves_no_task_and_says_what_became_of_each_item() -> None:
    second = Gate("second")
    pipeline = Pipeline([stage(same, name="First"), stage(second, name="Second", workers=6)])
    stream = pipeline.stream(range(6))
    asyncio.get_running_loop().call_later(1, second.let, 0, 1, 2)
    assert await take(stream, 1) == [0]
    await settle()
    await stream.aclose()
    assert not others()
    assert [result.value for result in pipeline.undelivered] == [1, 2]
    assert all(type(result) is PipelineResult for result in pipeline.undelivered)
    assert [left.value for left in pipeline.unprocessed] == [3, 4, 5]
    stats = pipeline.get_stats()
    assert (stats.items_fed, stats.items_processed, stats.items_unprocessed) == (6, 3, 3)


@simulated
async def test_undelivered_failures_are_undelivered_and_not_kept_as_failures() -> None:
    pipeline = Pipeline([stage(refuse_odd)])
    async with pipeline.stream([0, 1, 2, 3]) as stream:
        await take(stream, 1)
        await settle()
    assert [(r.value, r.is_success) for r in pipeline.undelivered] == [
        (1, False),
        (2, True),
        (3, False),
    ]
    assert pipeline.failures == pipeline.results == []
    assert pipeline.unprocessed == []


@simulated
async def test_what_a_blocked_worker_had_finished_is_undelivered() -> None:
    pipeline = Pipeline([stage(same, workers=2)])
    async with pipeline.stream(range(9), buffer_size=0) as stream:
        await take(stream, 1)
        await settle()
    delivered = {0}
    undelivered = {result.value for result in pipeline.undelivered}
    unprocessed = {left.value for left in pipeline.unprocessed}
    assert len(undelivered) == 2
    assert sorted([*delivered, *undelivered, *unprocessed]) == list(range(9))


@simulated
async def test_a_stream_read_to_its_end_has_delivered_everything() -> None:
    pipeline = Pipeline([stage(same)])
    stream = pipeline.stream(range(3))
    await rest(stream)
    assert not others()
    await stream.aclose()
    assert pipeline.undelivered == []
    assert pipeline.unprocessed == []


@simulated
async def test_a_stream_that_is_closed_yields_nothing_more() -> None:
    stream = Pipeline([stage(same)]).stream(range(3))
    await take(stream, 1)
    await settle()
    await stream.aclose()
    await stream.aclose()
    assert await rest(stream) == []


async def leave_by_an_error(stream: ResultStream) -> None:
    async with stream:
        await take(stream, 1)
        raise InputBrokeError


@simulated
async def test_async_with_leaves_no_task() -> None:
    gate = Gate()
    pipeline = Pipeline([stage(gate, workers=2)])
    asyncio.get_running_loop().call_later(1, gate.let, 0)
    with pytest.raises(InputBrokeError):
        await leave_by_an_error(pipeline.stream(range(9)))
    assert not others()


@simulated
async def test_a_consumer_that_is_cancelled_loses_nothing_and_may_go_on() -> None:
    gate = Gate()
    pipeline = Pipeline([stage(gate)])
    stream = pipeline.stream([1, 2])
    consumer = await begun(take(stream, 1))
    consumer.cancel()
    await asyncio.wait([consumer])
    assert gate.waiting == [1]
    gate.open()
    assert await rest(stream) == [1, 2]


@simulated
async def test_a_consumer_task_that_is_cancelled_and_gone_leaves_no_task() -> None:
    gate = Gate()
    pipeline = Pipeline([stage(gate)])

    async def consume() -> None:
        async with pipeline.stream([1, 2]) as stream:
            await rest(stream)

    consumer = await begun(consume())
    await cancel(consumer)
    assert [left.value for left in pipeline.unprocessed] == [1, 2]


@simulated
async def test_a_time_out_around_anext_loses_nothing() -> None:
    async def sleep(value: int) -> int:
        await asyncio.sleep(10)
        return value

    stream = Pipeline([stage(sleep)]).stream(range(3))
    found: list[Any] = []
    timeouts = 0
    while len(found) < 3:
        try:
            found.append((await asyncio.wait_for(anext(stream), 4)).value)
        except TimeoutError:
            timeouts += 1
    assert found == [0, 1, 2]
    assert timeouts > 3
    assert await rest(stream) == []


@pytest.mark.parametrize("seed", range(20))
def test_a_result_that_meets_a_time_out_is_not_lost(seed: int) -> None:
    async def sleep(value: int) -> int:
        await asyncio.sleep(1)
        return value

    async def main() -> list[Any]:
        stream = Pipeline([stage(sleep)]).stream(range(4), buffer_size=0)
        found: list[Any] = []
        while len(found) < 4:
            try:
                found.append((await asyncio.wait_for(anext(stream), 1)).value)
            except TimeoutError:
                continue
        await stream.aclose()
        return found

    assert simulate(main, seed, tick=0.0) == [0, 1, 2, 3]


@simulated
async def test_a_task_that_does_not_end_when_cancelled_is_waited_for_by_aclose() -> None:
    ended: list[int] = []

    async def stubborn(value: int) -> int:
        if value == 0:
            return value
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(5)
            ended.append(value)
        return value

    stream = Pipeline([stage(stubborn)]).stream(range(2))
    await take(stream, 1)
    await settle()
    await stream.aclose()
    assert ended == [1]
    assert not others()


@simulated
async def test_aclose_that_is_cancelled_raises_once_no_task_is_left() -> None:
    async def stubborn(value: int) -> int:
        try:
            if value:
                await asyncio.sleep(100)
        finally:
            if value:
                await asyncio.sleep(5)
        return value

    stream = Pipeline([stage(stubborn)]).stream(range(2))
    await take(stream, 1)
    await settle()
    closing = await begun(stream.aclose())
    closing.cancel()
    await asyncio.wait([closing])
    assert not others()
    assert closing.cancelled()


@simulated
async def test_a_stream_left_before_it_has_begun_does_not_go_on() -> None:
    async def slow_to_end(value: int) -> int:
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            await asyncio.sleep(30)
            raise
        return value

    pipeline = Pipeline([stage(slow_to_end, workers=2)])
    async for _ in pipeline.stream(range(1000), buffer_size=1):
        break
    stream = pipeline.stream(range(1000), buffer_size=1)
    first = asyncio.create_task(anext(stream))
    await asyncio.sleep(2)
    await stream.aclose()
    await asyncio.wait([first])
    assert isinstance(first.exception(), StopAsyncIteration)
    assert values(await pipeline.run([1])) == [1]


@pytest.mark.parametrize("seed", SEEDS)
def test_closing_the_stream_from_inside_of_a_task_leaves_nothing(seed: int | None) -> None:
    async def close_at_3(value: int) -> int:
        if value == 3:
            await stream.aclose()
        return value

    async def main() -> list[Any]:
        consumer = asyncio.create_task(rest(stream))
        await asyncio.wait([consumer])
        assert not others()
        assert consumer.exception() is None
        return values(await pipeline.run([7, 8]))

    pipeline = Pipeline([stage(close_at_3, workers=2)])
    stream = pipeline.stream(range(10))
    assert simulate(main, seed) == [7, 8]


@simulated
async def test_a_task_of_a_stream_that_was_left_cannot_start_its_pipeline_again() -> None:
    found: list[BaseException] = []

    async def survive(value: int) -> int:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(10)
        try:
            await pipeline.start()
        except PipelineError as error:
            found.append(error)
        return value

    pipeline = Pipeline([Stage("Work", 1, [survive])])
    stream = pipeline.stream([1])
    step = await begun(anext(stream))
    step.cancel()
    await asyncio.wait([step])
    del stream, step
    await asyncio.sleep(1)
    assert not others()
    assert len(found) == 1
    assert "begin another run from outside" in str(found[0])


class Items(list[int]):
    """A list that a weak reference can be taken of."""


async def end(stream: ResultStream) -> None:
    await rest(stream)


async def end_and_close(stream: ResultStream) -> None:
    await rest(stream)
    await stream.aclose()


async def close_early(stream: ResultStream) -> None:
    await anext(stream)
    await stream.aclose()


async def close_unused(stream: ResultStream) -> None:
    await stream.aclose()


@pytest.mark.parametrize("finish", [end, end_and_close, close_early, close_unused])
@simulated
async def test_a_finished_stream_does_not_keep_its_input_alive(
    finish: Callable[[ResultStream], Awaitable[None]],
) -> None:
    pipeline = Pipeline([stage(same_later)])
    items = Items(range(5))
    alive = weakref.ref(items)
    stream = pipeline.stream(items)
    del items
    await finish(stream)
    gc.collect()
    assert alive() is None
    assert await rest(stream) == []


# Errors of the input, and of the run


@pytest.mark.parametrize("buffer_size", [None, 0, 1])
@simulated
async def test_an_input_s_error_is_raised_after_the_last_result(buffer_size: int | None) -> None:
    def broken() -> Iterator[int]:
        yield from range(5)
        raise InputBrokeError

    pipeline = Pipeline([stage(refuse_odd)])
    stream = pipeline.stream(broken(), buffer_size=buffer_size)
    assert await take(stream, 5) == [0, 1, 2, 3, 4]
    with pytest.raises(InputBrokeError):
        await anext(stream)
    assert not others()
    assert await rest(stream) == []
    assert pipeline.undelivered == []
    assert pipeline.unprocessed == []


@simulated
async def test_an_async_input_s_error_is_raised_after_the_last_result() -> None:
    async def broken() -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(1)
        raise InputBrokeError

    found: list[PipelineResult] = []
    with pytest.raises(InputBrokeError):
        await collect(Pipeline([stage(same)]).stream(broken()), found)
    assert [result.value for result in found] == [1]


@simulated
async def test_a_base_exception_of_a_task_is_raised_after_what_had_ended() -> None:
    async def exit_at_two(value: int) -> int:
        if value == 2:
            raise SystemExit(f"at {value}")
        return value

    pipeline = Pipeline([stage(exit_at_two)])
    stream = pipeline.stream(range(5))
    found: list[PipelineResult] = []
    with pytest.raises(SystemExit, match="at 2"):
        await collect(stream, found)
    assert [(r.value, r.is_success) for r in found] == [(0, True), (1, True), (2, False)]
    assert not others()
    assert [left.value for left in pipeline.unprocessed] == [3, 4]


async def stop_all_at_3(value: int) -> int:
    if value == 3:
        raise CustomExit
    return value


@simulated
async def test_closing_a_stream_raises_what_ended_its_run() -> None:
    stream = Pipeline([stage(stop_all_at_3)]).stream(range(10))
    await anext(stream)
    await settle()
    with pytest.raises(CustomExit):
        await stream.aclose()


async def leave_broken(error: BaseException | None) -> None:
    """Leave a stream whose run has ended by CustomExit, and raise something else meanwhile."""
    async with Pipeline([stage(stop_all_at_3)]).stream(range(10)) as stream:
        await anext(stream)
        await settle()
        if error is not None:
            raise error


def test_leaving_a_stream_raises_what_ended_its_run() -> None:
    with pytest.raises(CustomExit):
        simulate(leave_broken(None))


def test_the_error_of_the_body_wins_over_what_ended_the_stream() -> None:
    with pytest.raises(KeyError, match="of the body"):
        simulate(leave_broken(KeyError("of the body")))


# More than one


@simulated
async def test_a_stream_while_another_is_read_is_an_error_and_the_first_goes_on() -> None:
    pipeline = Pipeline([stage(same)], name="books")
    first = pipeline.stream([1, 2])
    assert await take(first, 1) == [1]
    with pytest.raises(PipelineError, match="'books' is already running"):
        await anext(pipeline.stream([3]))
    assert await rest(first) == [2]


@simulated
async def test_a_run_right_after_a_break_waits_for_what_is_being_cancelled() -> None:
    running: set[int] = set()

    async def slow_to_end(value: int) -> int:
        if value == 0:
            return value
        running.add(value)
        try:
            await asyncio.sleep(100 if value < 10 else 0)
        finally:
            await asyncio.sleep(2)
            running.discard(value)
        return value

    pipeline = Pipeline([stage(slow_to_end, workers=4)])
    async for _ in pipeline.stream(range(4)):
        await settle()
        break
    assert running == {1, 2, 3}
    assert [result.value for result in await pipeline.run([10])] == [10]
    assert running == set()
    async for _ in pipeline.stream(range(4)):
        break
    assert await rest(pipeline.stream([11])) == [11]


@simulated
async def test_a_run_right_after_a_break_can_be_cancelled_before_it_has_begun() -> None:
    source = Counted()

    async def slow_to_end(value: int) -> int:
        try:
            await asyncio.sleep(100 if value else 0)
        finally:
            await asyncio.sleep(2)
        return value

    pipeline = Pipeline([stage(slow_to_end, workers=2)])
    async for _ in pipeline.stream(range(2)):
        break
    run = asyncio.create_task(pipeline.run(source))
    await asyncio.sleep(1)
    run.cancel()
    await asyncio.sleep(10)
    is_cancelled = run.cancelled()
    run.cancel()
    await asyncio.wait([run])
    assert is_cancelled
    assert source.read == 0


@simulated
async def test_what_is_fed_right_after_a_break_is_for_the_next_run() -> None:
    pipeline = Pipeline([stage(same)])
    async for _ in pipeline.stream([1]):
        break
    await pipeline.feed([2])
    assert [result.value for result in await pipeline.run([3])] == [2, 3]


@pytest.mark.parametrize("seed", SEEDS)
def test_shutdown_leaves_no_task_of_a_stream_that_was_dropped(seed: int | None) -> None:
    async def end_slowly(value: Any) -> Any:
        try:
            await asyncio.sleep(value)
        finally:
            await asyncio.sleep(0.1)
        return value

    async def main() -> list[Any]:
        pipeline = Pipeline([stage(end_slowly, workers=2)])
        async for _ in pipeline.stream([0, *range(5, 15)]):
            break
        await pipeline.feed(["new"])
        left = await pipeline.shutdown()
        assert not others()
        return [item.value for item in left]

    assert "new" in simulate(main, seed)


@simulated
async def test_after_a_break_process_asks_for_a_start() -> None:
    pipeline = Pipeline([stage(same)])
    async for _ in pipeline.stream(range(100)):
        break
    with pytest.raises(PipelineError, match=r"is not running; call start\(\)"):
        await pipeline.process(5)
    await pipeline.shutdown()


@pytest.mark.parametrize("buffer_size", [0, 1, None])
@simulated
async def test_two_consumers_share_one_stream(buffer_size: int | None) -> None:
    stream = Pipeline([stage(same)]).stream(range(50), buffer_size=buffer_size)
    one, other = await asyncio.gather(rest(stream), rest(stream))
    assert sorted(one + other) == list(range(50))


# Feeding and asking while a stream is read


@simulated
async def test_a_consumer_feeds_the_pipeline_that_it_reads() -> None:
    pipeline = Pipeline([stage(same, queue_capacity=1)])
    found = []
    async for result in pipeline.stream([8], buffer_size=0):
        found.append(result.value)
        await pipeline.feed([half for half in [result.value // 2] * 2 if half])
    assert sorted(found) == [1] * 8 + [2] * 4 + [4] * 2 + [8]


@simulated
async def test_a_consumer_feeds_far_past_the_capacity_without_waiting_for_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pipeline = Pipeline([stage(same, queue_capacity=1)])
    found = []
    async for result in pipeline.stream([0], buffer_size=0):
        found.append(result.value)
        if result.value == 0:
            await pipeline.feed(range(1, 50))
    assert sorted(found) == list(range(50))
    (record,) = caplog.records
    assert "past its capacity" in record.getMessage()
    assert "'Work'" in record.getMessage()


@simulated
async def test_another_task_feeds_and_asks_a_pipeline_that_is_streamed() -> None:
    pipeline = Pipeline([stage(same)])
    gate = Gate()

    async def held_open() -> AsyncIterator[int]:
        await gate(1)
        yield 1

    consumer = await begun(rest(pipeline.stream(held_open())))
    await pipeline.feed([2])
    assert (await pipeline.process(3)).value == 3
    gate.open()
    assert sorted(await consumer) == [1, 2]


@simulated
async def test_process_refused_to_a_consumer_speaks_of_the_consumer() -> None:
    pipeline = Pipeline([stage(same)])
    async with pipeline.stream(itertools.count()) as stream:
        await anext(stream)
        with pytest.raises(PipelineError, match="consumer"):
            await pipeline.process(1)


@pytest.mark.parametrize("method", ["shutdown", "drain", "join"])
@simulated
async def test_a_consumer_that_ends_its_own_pipeline_is_not_left_hanging(method: str) -> None:
    pipeline = Pipeline([stage(same, queue_capacity=1)])
    found = []
    async for result in pipeline.stream(range(10), buffer_size=0):
        found.append(result.value)
        if result.value == 1:
            try:
                if method == "join":
                    await pipeline.join()
                else:
                    await pipeline.shutdown(drain=method == "drain")
            except PipelineError:
                await pipeline.shutdown()
    left = [item.value for item in pipeline.unprocessed]
    assert sorted(found + left) == list(range(len(found + left)))


@simulated
async def test_a_shutdown_from_another_task_ends_the_stream_after_what_had_ended() -> None:
    gate = Gate()
    pipeline = Pipeline([stage(gate, workers=2)])
    consumer = await begun(rest(pipeline.stream(range(10))))
    shutdown = await begun(pipeline.shutdown())
    gate.open()
    left = await shutdown
    assert await consumer == [0, 1]
    assert [item.value for item in left] == list(range(2, 10))
