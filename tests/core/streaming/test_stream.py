"""The stream of results: its order, its bounds, and leaving it."""

from __future__ import annotations

import asyncio
import gc
import itertools
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import pytest

from antflow import (
    Pipeline,
    PipelineError,
    PipelineResult,
    ResultStream,
    Stage,
    UnprocessedItem,
)
from tests.helpers.runs import (
    SEEDS,
    Counted,
    CustomExit,
    InputBrokeError,
    fail,
    left,
    refuse_odd,
    same,
    same_later,
    stage,
    values,
)
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, begun, others, settle


async def take(stream: AsyncIterator[PipelineResult], count: int) -> list[Any]:
    return [(await anext(stream)).value for _ in range(count)]


@simulated()
async def test_an_input_knows_the_number_of_the_item_that_it_yields_next() -> None:
    told: dict[int, Any] = {}
    left_over = UnprocessedItem("a", 7, {}, 100, "Work", 1)

    async def reading() -> AsyncIterator[Any]:
        for value in 5, left_over, 6, left_over:
            told[stream.next_sequence_id(value)] = value
            yield value

    stream = Pipeline([stage(same)]).stream(reading())
    with pytest.raises(PipelineError, match="has not begun"):
        stream.next_sequence_id(5)
    numbers = {result.sequence_id: result.value async for result in stream}
    assert numbers == {0: 5, 1: 7, 2: 6, 3: 7}
    assert told == {0: 5, 1: left_over, 2: 6, 3: left_over}


async def rest(stream: AsyncIterator[PipelineResult]) -> list[Any]:
    return [result.value async for result in stream]


async def collect(stream: ResultStream, found: list[PipelineResult]) -> None:
    """Add results to a list, which has them also when the stream ends in an error."""
    async for result in stream:
        found.append(result)  # noqa: PERF401


# Order and content


@pytest.mark.parametrize("buffer_size", [None, 0, 1, 100])
@simulated()
async def test_results_come_in_order_of_completion(buffer_size: int | None) -> None:
    async def sleep(value: int) -> int:
        await asyncio.sleep(value)
        return value

    pipeline = Pipeline([stage(sleep, workers=5)])
    assert await rest(pipeline.stream([3, 1, 4, 2, 5], buffer_size=buffer_size)) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("buffer_size", [None, 0, 1, 2])
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("queue_capacity", [None, 0, 1])
@simulated()
async def test_nothing_is_lost_whatever_the_sizes(
    buffer_size: int | None, workers: int, queue_capacity: int | None
) -> None:
    pipeline = Pipeline(
        [
            stage(refuse_odd, name="First", workers=workers, queue_capacity=queue_capacity),
            stage(same, name="Pull", pull=True),
            stage(same, name="Last", workers=workers),
        ]
    )
    found = await rest(pipeline.stream(range(20), buffer_size=buffer_size))
    assert sorted(found) == list(range(20))


@simulated()
async def test_failures_are_yielded_and_not_kept() -> None:
    pipeline = Pipeline([stage(refuse_odd, name="Check"), stage(same, name="Last")])
    results = [result async for result in pipeline.stream([1, 2])]
    failure, success = results
    assert (failure.value, failure.stage, failure.is_success) == (1, "Check", False)
    assert isinstance(failure.error, ValueError)
    assert (success.value, success.stage, success.is_success) == (2, None, True)
    assert pipeline.failures == pipeline.results == pipeline.undelivered == []


@simulated()
async def test_a_stream_leaves_collect_results_as_it_is() -> None:
    pipeline = Pipeline([stage(same)])
    assert await rest(pipeline.stream([1])) == [1]
    assert pipeline.collect_results
    assert values(await pipeline.run([2])) == [2]


@simulated()
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


@simulated()
async def test_tasks_see_the_context_in_which_the_stream_was_made() -> None:
    variable: ContextVar[str] = ContextVar("variable", default="")

    async def look(value: int) -> str:
        return variable.get()

    variable.set("as it was made")
    stream = Pipeline([stage(look, workers=2)]).stream([1, 2])
    variable.set("as it was read")
    assert await rest(stream) == ["as it was made"] * 2


# A slow consumer


@pytest.mark.parametrize("task", [same, fail])
@pytest.mark.parametrize(
    ("buffer_size", "workers", "ahead"),
    [
        # held by workers that wait; in front of them: 2; read, and without a place: 1
        (0, 1, 1 + 2 + 1),
        (1, 1, 1 + 1 + 2 + 1),
        (5, 1, 5 + 1 + 2 + 1),
        (None, 1, 10 + 1 + 2 + 1),
        (None, 3, 30 + 3 + 2 + 1),
    ],
)
@simulated()
async def test_input_is_read_no_faster_than_the_consumer_takes(
    buffer_size: int | None, workers: int, ahead: int, task: Any
) -> None:
    source = Counted()
    pipeline = Pipeline([stage(task, workers=workers, queue_capacity=2)])
    async with pipeline.stream(source, buffer_size=buffer_size) as stream:
        for taken in range(1, 50):
            assert await take(stream, 1) == [taken - 1]
            await settle()
            assert source.read <= taken + ahead
    assert source.read == 49 + ahead


# Leaving early


def slow_to_end(seconds: float = 5, ended: list[int] | None = None) -> Callable[[int], Any]:
    """Return a task that sleeps for a value but 0, and takes some seconds to end."""

    async def task(value: int) -> int:
        try:
            await asyncio.sleep(100 if value else 0)
        finally:
            await asyncio.sleep(seconds if value else 0)
            if ended is not None:
                ended.append(value)
        return value

    return task


@simulated()
async def test_break_cancels_attempts_within_a_few_callbacks() -> None:
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


@simulated()
async def test_aclose_leaves_no_task_and_says_what_became_of_each_item() -> None:
    second = Gate("second")
    pipeline = Pipeline([stage(same, name="First"), stage(second, name="Second", workers=6)])
    stream = pipeline.stream(range(6))
    asyncio.get_running_loop().call_later(1, second.let, 0, 1, 2)
    assert await take(stream, 1) == [0]
    await settle()
    await stream.aclose()
    await stream.aclose()
    assert not others()
    assert await rest(stream) == []
    assert values(pipeline.undelivered) == [1, 2]
    assert all(type(result) is PipelineResult for result in pipeline.undelivered)
    assert left(pipeline) == [3, 4, 5]
    stats = pipeline.get_stats()
    assert (stats.items_fed, stats.items_processed, stats.items_unprocessed) == (6, 3, 3)


@simulated()
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


@pytest.mark.parametrize("seed", range(20))
@simulated(tick=0.0)
async def test_a_result_that_meets_a_time_out_is_not_lost(seed: int) -> None:
    async def sleep(value: int) -> int:
        await asyncio.sleep(1)
        return value

    stream = Pipeline([stage(sleep)]).stream(range(4), buffer_size=0)
    found: list[Any] = []
    while len(found) < 4:
        with suppress(TimeoutError):
            found.append((await asyncio.wait_for(anext(stream), 1)).value)
    await stream.aclose()
    assert found == [0, 1, 2, 3]


@pytest.mark.parametrize("is_cancelled", [False, True])
@simulated()
async def test_aclose_ends_when_no_task_is_left_though_it_is_cancelled_itself(
    is_cancelled: bool,
) -> None:
    ended: list[int] = []
    stream = Pipeline([stage(slow_to_end(5, ended))]).stream(range(2))
    await take(stream, 1)
    await settle()
    closing = await begun(stream.aclose())
    if is_cancelled:
        closing.cancel()
    await asyncio.wait([closing])
    assert closing.cancelled() == is_cancelled
    assert ended == ([0] if is_cancelled else [0, 1])
    assert not others()


@simulated()
async def test_a_stream_left_before_it_has_begun_does_not_go_on() -> None:
    pipeline = Pipeline([stage(slow_to_end(30), workers=2)])
    async for _ in pipeline.stream(range(1000), buffer_size=1):
        break
    stream = pipeline.stream(range(1000), buffer_size=1)
    first = asyncio.create_task(anext(stream))
    await asyncio.sleep(2)
    await stream.aclose()
    await asyncio.wait([first])
    assert isinstance(first.exception(), StopAsyncIteration)
    assert values(await pipeline.run([0])) == [0]


@pytest.mark.parametrize("seed", SEEDS)
@simulated()
async def test_closing_the_stream_from_inside_of_a_task_leaves_nothing(seed: int | None) -> None:
    async def close_at_3(value: int) -> int:
        if value == 3:
            await stream.aclose()
        return value

    pipeline = Pipeline([stage(close_at_3, workers=2)])
    stream = pipeline.stream(range(10))
    consumer = asyncio.create_task(rest(stream))
    await asyncio.wait([consumer])
    assert not others()
    assert consumer.exception() is None
    assert values(await pipeline.run([7, 8])) == [7, 8]


@simulated()
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


@pytest.mark.parametrize(("taken", "is_closed"), [(0, True), (1, True), (5, False), (5, True)])
@simulated()
async def test_a_finished_stream_does_not_keep_its_input_alive(taken: int, is_closed: bool) -> None:
    items = Items(range(5))
    alive = weakref.ref(items)
    stream = Pipeline([stage(same_later)]).stream(items)
    del items
    await take(stream, taken)
    if is_closed:
        await stream.aclose()
    assert await rest(stream) == []
    gc.collect()
    assert alive() is None


# Errors of the input, and of the run


def broken() -> Iterator[int]:
    yield from range(5)
    raise InputBrokeError


async def broken_later() -> AsyncIterator[int]:
    for number in range(5):
        yield number
    await asyncio.sleep(1)
    raise InputBrokeError


@pytest.mark.parametrize("make_input", [broken, broken_later])
@pytest.mark.parametrize("buffer_size", [None, 0, 1])
@simulated()
async def test_an_input_s_error_is_raised_after_the_last_result(
    buffer_size: int | None, make_input: Callable[[], Any]
) -> None:
    pipeline = Pipeline([stage(refuse_odd)])
    stream = pipeline.stream(make_input(), buffer_size=buffer_size)
    assert await take(stream, 5) == [0, 1, 2, 3, 4]
    with pytest.raises(InputBrokeError):
        await anext(stream)
    assert not others()
    assert await rest(stream) == []
    assert pipeline.undelivered == []
    assert pipeline.unprocessed == []


@simulated()
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
    assert left(pipeline) == [3, 4]


async def stop_all_at_3(value: int) -> int:
    if value == 3:
        raise CustomExit
    return value


async def break_the_run(stream: ResultStream) -> None:
    await anext(stream)
    await settle()


@simulated()
async def test_closing_a_stream_raises_what_ended_its_run() -> None:
    stream = Pipeline([stage(stop_all_at_3)]).stream(range(10))
    await break_the_run(stream)
    with pytest.raises(CustomExit):
        await stream.aclose()


@pytest.mark.parametrize("error", [None, KeyError("of the body")])
@simulated()
async def test_leaving_a_stream_raises_what_ended_its_run_unless_the_body_raises(
    error: BaseException | None,
) -> None:
    with pytest.raises(CustomExit if error is None else KeyError):  # noqa: PT012
        async with Pipeline([stage(stop_all_at_3)]).stream(range(10)) as stream:
            await break_the_run(stream)
            if error is not None:
                raise error


# More than one


@simulated()
async def test_a_stream_while_another_is_read_is_an_error_and_the_first_goes_on() -> None:
    pipeline = Pipeline([stage(same)], name="books")
    first = pipeline.stream([1, 2])
    assert await take(first, 1) == [1]
    with pytest.raises(PipelineError, match="'books' is already running"):
        await anext(pipeline.stream([3]))
    assert await rest(first) == [2]


@simulated()
async def test_a_run_right_after_a_break_waits_for_what_is_being_cancelled() -> None:
    ended: list[int] = []
    pipeline = Pipeline([stage(slow_to_end(2, ended), workers=4)])
    async for _ in pipeline.stream(range(4)):
        await settle()
        break
    assert ended == [0]
    assert values(await pipeline.run([0])) == [0]
    assert sorted(ended) == [0, 0, 1, 2, 3]
    async for _ in pipeline.stream(range(4)):
        break
    assert await rest(pipeline.stream([0])) == [0]


@simulated()
async def test_a_run_right_after_a_break_can_be_cancelled_before_it_has_begun() -> None:
    source = Counted()
    pipeline = Pipeline([stage(slow_to_end(2), workers=2)])
    async for _ in pipeline.stream(range(2)):
        break
    run = asyncio.create_task(pipeline.run(source))
    await asyncio.sleep(1)
    run.cancel()
    await asyncio.sleep(10)
    assert run.cancelled()
    assert source.read == 0


@simulated()
async def test_what_is_fed_right_after_a_break_is_for_the_next_run() -> None:
    pipeline = Pipeline([stage(same)])
    async for _ in pipeline.stream([1]):
        break
    await pipeline.feed([2])
    assert values(await pipeline.run([3])) == [2, 3]


@pytest.mark.parametrize("seed", SEEDS)
@simulated()
async def test_shutdown_leaves_no_task_of_a_stream_that_was_dropped(seed: int | None) -> None:
    pipeline = Pipeline([stage(slow_to_end(0.1), workers=2)])
    async for _ in pipeline.stream(range(15)):
        break
    await pipeline.feed(["new"])
    assert "new" in values(await pipeline.shutdown())
    assert not others()


@simulated()
async def test_after_a_break_process_asks_for_a_start() -> None:
    pipeline = Pipeline([stage(same)])
    async for _ in pipeline.stream(range(100)):
        break
    with pytest.raises(PipelineError, match=r"is not running; call start\(\)"):
        await pipeline.process(5)
    await pipeline.shutdown()


@pytest.mark.parametrize("buffer_size", [0, 1, None])
@simulated()
async def test_two_consumers_share_one_stream(buffer_size: int | None) -> None:
    stream = Pipeline([stage(same)]).stream(range(50), buffer_size=buffer_size)
    one, other = await asyncio.gather(rest(stream), rest(stream))
    assert sorted(one + other) == list(range(50))


# Feeding and asking while a stream is read


@simulated()
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


@simulated()
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


@simulated()
async def test_process_refused_to_a_consumer_speaks_of_the_consumer() -> None:
    pipeline = Pipeline([stage(same)])
    async with pipeline.stream(itertools.count()) as stream:
        await anext(stream)
        with pytest.raises(PipelineError, match="consumer"):
            await pipeline.process(1)


@pytest.mark.parametrize("method", ["shutdown", "drain", "join"])
@simulated()
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
    found += left(pipeline)
    assert sorted(found) == list(range(len(found)))


@simulated()
async def test_a_shutdown_from_another_task_ends_the_stream_after_what_had_ended() -> None:
    gate = Gate()
    pipeline = Pipeline([stage(gate, workers=2)])
    consumer = await begun(rest(pipeline.stream(range(10))))
    shutdown = await begun(pipeline.shutdown())
    gate.open()
    unprocessed = await shutdown
    assert await consumer == [0, 1]
    assert values(unprocessed) == list(range(2, 10))
