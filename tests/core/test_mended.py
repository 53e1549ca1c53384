"""The edges of a run: another run right behind it, calls from inside of it, and odd arguments.

What a pipeline promises has to hold there too; each of these tests is about one such corner.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import itertools
import re
import sys
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from math import nan
from typing import Any, TypeVar, cast

import pytest

from antflow import (
    Pipeline,
    PipelineError,
    PipelineStats,
    Stage,
    StageStats,
    StageValidationError,
    TaskFunc,
    UnprocessedItem,
)
from antflow._stream import ResultStream
from tests.core.run_parts import SEEDS, CustomExit, only_error, same, stage, values
from tests.core.simulation import Gate, others, settle, simulate

T = TypeVar("T")

REAL_SECONDS = 10  # after which a test on a real loop has hung

CALLER: ContextVar[str] = ContextVar("caller", default="nobody")


class Items(list[int]):
    """A list that a weak reference can be taken of."""


async def same_later(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


def same_in_a_thread(value: Any) -> Any:
    return value


async def fail_later(value: Any) -> Any:
    await asyncio.sleep(1)
    raise ValueError(value)


async def stop_all_at_3(value: int) -> int:
    if value == 3:
        raise CustomExit
    return value


async def rest(stream: ResultStream) -> list[Any]:
    return [result.value async for result in stream]


async def once_free(call: Callable[[], Awaitable[T]]) -> T:
    """Call again and again until the pipeline is free."""
    while True:
        try:
            return await call()
        except PipelineError:
            await asyncio.sleep(0)


def on_real_loop(main: Callable[[], Coroutine[Any, Any, T]], factory: Any = None) -> T:
    """Run a coroutine on asyncio's own loop, with a task factory, and see that no task is left."""

    async def limited() -> T:
        asyncio.get_running_loop().set_task_factory(factory)
        async with asyncio.timeout(REAL_SECONDS):
            result = await main()
        assert not others()
        return result

    return asyncio.run(limited())


# One run right behind another


@pytest.mark.parametrize("seed", SEEDS)
def test_run_returns_its_own_results_though_others_wait_to_run(seed: int | None) -> None:
    async def main() -> list[list[Any]]:
        pipeline = Pipeline([stage(same)])

        async def run(item: str) -> list[Any]:
            return values(await once_free(lambda: pipeline.run([item])))

        return list(await asyncio.gather(run("a"), run("b"), run("c")))

    assert simulate(main, seed) == [["a"], ["b"], ["c"]]


@pytest.mark.parametrize("seed", SEEDS)
def test_run_returns_its_own_failures_though_others_wait_to_run(seed: int | None) -> None:
    async def fail(value: str) -> str:
        raise ValueError(value)

    async def main() -> list[list[str]]:
        pipeline = Pipeline([stage(fail)])

        async def run(item: str) -> list[str]:
            results = await once_free(lambda: pipeline.run([item], return_exceptions=True))
            return [str(result.error) for result in results]

        return list(await asyncio.gather(run("a"), run("b"), run("c")))

    assert simulate(main, seed) == [["a"], ["b"], ["c"]]


@pytest.mark.parametrize("seed", SEEDS)
def test_shutdown_returns_its_own_items_though_the_next_start_waits(seed: int | None) -> None:
    async def main() -> list[int]:
        gate = Gate()
        pipeline = Pipeline([stage(gate)])
        await pipeline.start()
        await pipeline.feed(range(5))
        await settle()
        stop = asyncio.create_task(pipeline.shutdown())
        await settle()
        restart = asyncio.create_task(once_free(pipeline.start))
        gate.open()
        left = await stop
        await restart
        await pipeline.shutdown()
        return [item.value for item in left]

    assert simulate(main, seed) == [1, 2, 3, 4]


# Shutdown during retries


@pytest.mark.parametrize("wait", [0, 5])
def test_shutdown_ends_a_task_that_would_be_retried_for_ever(wait: float) -> None:
    async def main() -> float:
        pipeline = Pipeline([stage(fail_later, task_attempts=10**9, task_wait_seconds=wait)])
        await pipeline.start()
        await pipeline.feed([1])
        await asyncio.sleep(9.5)
        begin = asyncio.get_running_loop().time()
        await pipeline.shutdown()
        assert [item.value for item in pipeline.unprocessed] == [1]
        return asyncio.get_running_loop().time() - begin

    assert simulate(main) < 1


@pytest.mark.parametrize("seconds", [0.5, 1.5, 6.5, 9.5], ids="after {}s".format)
@pytest.mark.parametrize(
    "retry",
    [
        {"task_attempts": 10**9, "task_wait_seconds": 0},
        {"task_attempts": 10**9, "task_wait_seconds": 5},
        {"retry": "per_stage", "stage_attempts": 10**9},
    ],
    ids=["at once", "after a wait", "per stage"],
)
def test_a_retry_that_does_not_follow_is_not_counted(retry: dict[str, Any], seconds: float) -> None:
    async def main() -> StageStats:
        pipeline = Pipeline([stage(fail_later, **retry)])
        await pipeline.start()
        await pipeline.feed([1])
        await asyncio.sleep(seconds)
        await pipeline.shutdown()
        return pipeline.get_stats().stage_stats["Work"]

    stats = simulate(main)
    task = stats.tasks["fail_later"]
    assert task.attempts - task.failed == task.retried == stats.retried_attempts
    assert task.failed == 1


def test_shutdown_between_two_tasks_counts_no_retry() -> None:
    async def main() -> StageStats:
        gate = Gate()
        pipeline = Pipeline([Stage("Work", 1, [gate, same])])
        await pipeline.start()
        await pipeline.feed([1])
        await settle()
        stop = asyncio.create_task(pipeline.shutdown())
        await settle()
        gate.open()
        assert [item.value for item in await stop] == [1]
        return pipeline.get_stats().stage_stats["Work"]

    stats = simulate(main)
    assert stats.retried_attempts == 0
    counts = {
        name: (task.attempts, task.failed, task.retried) for name, task in stats.tasks.items()
    }
    assert counts == {"gate": (1, 0, 0), "same": (0, 0, 0)}


# Shutdown and join, with others in the way


@pytest.mark.parametrize("seed", SEEDS)
def test_draining_ends_though_feeders_wait_at_a_full_stage(seed: int | None) -> None:
    async def main() -> None:
        gate = Gate()
        pipeline = Pipeline(
            [stage(same, name="First"), stage(gate, name="Second", queue_capacity=1)]
        )
        await pipeline.start()
        await pipeline.feed(range(6))
        await settle()
        feeds = [asyncio.create_task(pipeline.feed([10 + n], "Second")) for n in range(6)]
        await settle()
        gate.open()
        assert await pipeline.shutdown(drain=True) == []
        outcomes = await asyncio.gather(*feeds, return_exceptions=True)
        fed = [10 + n for n, outcome in enumerate(outcomes) if outcome is None]
        assert sorted(values(pipeline.results)) == [*range(6), *fed]
        assert {type(outcome) for outcome in outcomes if outcome} <= {PipelineError}

    simulate(main, seed)


def indirectly(call: Callable[[], Coroutine[Any, Any, Any]], way: str) -> Awaitable[Any]:
    """Await a call in another task than the one that waits for it."""
    if way == "gather":
        return asyncio.gather(call())
    if way == "wait_for":
        return asyncio.wait_for(call(), 5)
    return asyncio.ensure_future(call())


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


@pytest.mark.parametrize("way", ["gather", "wait_for", "task"])
@pytest.mark.parametrize("method", ["join", "shutdown"])
def test_cancelling_run_ends_a_task_that_waits_for_the_end(method: str, way: str) -> None:
    async def wait(_: int) -> None:
        await indirectly(getattr(pipeline, method), way)

    async def main() -> None:
        run = asyncio.create_task(pipeline.run([1, 2]))
        await settle()
        run.cancel()
        await asyncio.wait([run])
        assert not others()

    pipeline = Pipeline([stage(wait)])
    simulate(main)


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


# Odd priorities


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


# Other task factories


def only_loop_and_coroutine(loop: Any, coroutine: Any) -> asyncio.Task[Any]:
    return asyncio.Task(coroutine, loop=loop)


def test_run_works_with_a_task_factory_that_takes_only_loop_and_coroutine() -> None:
    async def main() -> list[Any]:
        pipeline = Pipeline([stage(same, workers=2), stage(same_later, name="Second")])
        return values(await pipeline.run([1, 2, 3]))

    assert on_real_loop(main, only_loop_and_coroutine) == [1, 2, 3]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there are no eager tasks yet")
@pytest.mark.parametrize("task", [same, same_later, same_in_a_thread])
class TestEagerTasks:
    """Each way to use a pipeline, where tasks begin to run as soon as they are made."""

    @staticmethod
    def pipeline(task: TaskFunc, capacity: int | None = None) -> Pipeline:
        return Pipeline(
            [
                stage(task, name=name, workers=2, queue_capacity=capacity)
                for name in ("First", "Second")
            ]
        )

    @staticmethod
    def run_eagerly(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return on_real_loop(main, vars(asyncio)["eager_task_factory"])

    @pytest.mark.parametrize("capacity", [None, 0, 1])
    def test_run(self, task: TaskFunc, capacity: int | None) -> None:
        async def main() -> list[Any]:
            return values(await self.pipeline(task, capacity).run(range(30)))

        assert self.run_eagerly(main) == list(range(30))

    def test_stream(self, task: TaskFunc) -> None:
        async def main() -> list[Any]:
            return await rest(self.pipeline(task).stream(range(30), buffer_size=1))

        assert sorted(self.run_eagerly(main)) == list(range(30))

    def test_leaving_a_stream(self, task: TaskFunc) -> None:
        async def main() -> None:
            async with self.pipeline(task).stream(itertools.count()) as stream:
                await anext(stream)

        self.run_eagerly(main)

    def test_process(self, task: TaskFunc) -> None:
        async def main() -> list[Any]:
            pipeline = self.pipeline(task)
            await pipeline.start()
            found = [(await pipeline.process(number)).value for number in range(3)]
            found += values(await asyncio.gather(*map(pipeline.process, range(3, 6))))
            await pipeline.join()
            assert pipeline.results == []
            return found

        assert self.run_eagerly(main) == list(range(6))

    def test_feed_and_join(self, task: TaskFunc) -> None:
        async def main() -> list[Any]:
            pipeline = self.pipeline(task, 1)
            await pipeline.start()
            await pipeline.feed(range(30))
            await pipeline.join()
            return values(pipeline.results)

        assert self.run_eagerly(main) == list(range(30))

    def test_shutdown(self, task: TaskFunc) -> None:
        async def main() -> None:
            pipeline = self.pipeline(task)
            await pipeline.start()
            await pipeline.feed(range(30))
            left = [item.value for item in await pipeline.shutdown()]
            assert sorted(values(pipeline.results) + left) == list(range(30))

        self.run_eagerly(main)


# Cancelling and leaving


@pytest.mark.parametrize("turns", range(10))
def test_process_that_is_cancelled_as_the_run_ends_is_cancelled(turns: int) -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(Gate())])
        await pipeline.start()
        request = asyncio.create_task(pipeline.process(1))
        await settle()
        stop = asyncio.create_task(pipeline.shutdown(timeout=0))
        for _ in range(turns):
            await asyncio.sleep(0)
        was_waiting = request.cancel()
        await asyncio.wait([request, stop])
        assert request.cancelled() == was_waiting
        if not was_waiting:
            assert isinstance(request.exception(), PipelineError)

    simulate(main)


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


def test_closing_a_stream_raises_what_ended_its_run() -> None:
    async def main() -> None:
        stream = Pipeline([stage(stop_all_at_3)]).stream(range(10))
        await anext(stream)
        await settle()
        with pytest.raises(CustomExit):
            await stream.aclose()

    simulate(main)


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
            await rest(stream)

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
def test_a_finished_stream_does_not_keep_its_input_alive(
    finish: Callable[[ResultStream], Awaitable[None]],
) -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(same_later)])
        items = Items(range(5))
        alive = weakref.ref(items)
        stream = pipeline.stream(items)
        del items
        await finish(stream)
        gc.collect()
        assert alive() is None
        assert await rest(stream) == []

    simulate(main)


# Other threads and other loops


def test_statistics_read_from_another_thread_are_never_negative() -> None:
    negative: set[tuple[str, int]] = set()
    over = threading.Event()
    pipeline = Pipeline(
        [stage(same, name="First", workers=2), stage(same, name="Second", workers=2)],
        collect_results=False,
    )

    def watch() -> None:
        while not over.is_set():
            stats = pipeline.get_stats()
            counts = {
                "in flight": stats.items_in_flight,
                "outstanding": stats.items_outstanding,
                "processed": stats.items_processed,
            }
            for name, one in stats.stage_stats.items():
                counts[f"{name} pending"] = one.pending_items
                counts[f"{name} in progress"] = one.in_progress_items
                counts |= {f"{name} {state}": number for state, number in one.workers.items()}
            negative.update(found for found in counts.items() if found[1] < 0)

    async def main() -> None:
        await pipeline.run(range(20_000))

    watcher = threading.Thread(target=watch)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        watcher.start()
        on_real_loop(main)
    finally:
        over.set()
        watcher.join()
        sys.setswitchinterval(interval)
    assert not negative


async def run_again(pipeline: Pipeline) -> list[Any]:
    return values(await pipeline.run([1, 2]))


async def stream_again(pipeline: Pipeline) -> list[Any]:
    return await rest(pipeline.stream([1, 2]))


async def feed_again(pipeline: Pipeline) -> list[Any]:
    await pipeline.start()
    await pipeline.feed([1, 2])
    await pipeline.join()
    return values(pipeline.results)


async def feed_first(pipeline: Pipeline) -> list[Any]:
    await pipeline.feed([1, 2])
    await pipeline.start()
    await pipeline.join()
    return values(pipeline.results)


async def process_again(pipeline: Pipeline) -> list[Any]:
    await pipeline.start()
    found = values([await pipeline.process(1), await pipeline.process(2)])
    await pipeline.shutdown()
    return found


async def shut_down_first(pipeline: Pipeline) -> list[Any]:
    await pipeline.shutdown()
    return await run_again(pipeline)


async def begin(_: Pipeline) -> None:
    """Leave the pipeline as it is: just started."""


async def process_one(pipeline: Pipeline) -> None:
    await pipeline.process(0)


async def leave_one_at_work(pipeline: Pipeline) -> None:
    await pipeline.feed([9, 9])
    await asyncio.sleep(0)


@pytest.mark.parametrize("before", [begin, process_one, leave_one_at_work])
@pytest.mark.parametrize(
    "after",
    [run_again, stream_again, feed_again, feed_first, process_again, shut_down_first],
)
def test_a_pipeline_whose_loop_was_closed_works_on_another(
    before: Callable[[Pipeline], Coroutine[Any, Any, None]],
    after: Callable[[Pipeline], Coroutine[Any, Any, list[Any]]],
) -> None:
    async def wait_for_ever_at_9(value: int) -> int:
        if value == 9:
            await asyncio.Event().wait()
        return value

    pipeline = Pipeline([stage(wait_for_ever_at_9)])
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # it complains of the tasks that go with it
    loop.run_until_complete(pipeline.start())
    loop.run_until_complete(before(pipeline))
    loop.close()
    assert on_real_loop(lambda: after(pipeline)) == [1, 2]


@pytest.mark.parametrize(
    "call", [lambda pipeline: pipeline.join(), lambda pipeline: pipeline.process(1)]
)
def test_a_pipeline_whose_loop_was_closed_asks_for_a_start(
    call: Callable[[Pipeline], Coroutine[Any, Any, Any]],
) -> None:
    pipeline = Pipeline([stage(same)])
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)
    loop.run_until_complete(pipeline.start())
    loop.run_until_complete(pipeline.feed([1]))
    loop.close()
    with pytest.raises(PipelineError, match=r"call start\(\)"):
        on_real_loop(lambda: call(pipeline))


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


def test_a_stream_left_before_it_has_begun_does_not_go_on() -> None:
    async def slow_to_end(value: int) -> int:
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            await asyncio.sleep(30)
            raise
        return value

    async def main() -> None:
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

    simulate(main)


def test_process_does_not_wait_for_a_run_that_its_own_item_ended() -> None:
    def refuse(loop: asyncio.AbstractEventLoop, coro: Any, **_: Any) -> asyncio.Task[Any]:
        if "_serve" in coro.__qualname__:
            raise RuntimeError("no more tasks")
        return asyncio.Task(coro, loop=loop)

    async def main() -> None:
        pipeline = Pipeline([stage(same)])
        await pipeline.start()
        asyncio.get_running_loop().set_task_factory(cast(Any, refuse))
        with pytest.raises(PipelineError, match=r"pipeline\.unprocessed"):
            await pipeline.process(1)
        assert [left.value for left in pipeline.unprocessed] == [1]

    asyncio.run(main())


# Odd tasks


def answering_at_once(task: Callable[[Any], Awaitable[Any]]) -> TaskFunc:
    """Decorate a coroutine function with what returns a plain value, as a cache does."""

    @functools.wraps(task)
    def answer(value: Any) -> Any:
        return ("cached", value)

    return answer


class Elastic:
    """An object that has whatever attribute is asked for."""

    def __getattr__(self, name: str) -> Any:
        return Elastic()

    def __call__(self, value: Any) -> Any:
        return ("elastic", value)


@pytest.mark.parametrize("unpack_args", [False, True])
@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (answering_at_once(same), ("cached", 1)),
        (functools.partial(answering_at_once(same)), ("cached", 1)),
        (Elastic(), ("elastic", 1)),
    ],
    ids=["wraps", "partial of wraps", "dynamic attributes"],
)
def test_an_unusual_callable_works_as_a_task(
    task: TaskFunc, expected: Any, unpack_args: bool
) -> None:
    async def main() -> list[Any]:
        pipeline = Pipeline([stage(task, unpack_args=unpack_args)])
        return values(await pipeline.run([1], return_exceptions=True))

    assert simulate(main, threads=True) == [expected]


async def generate(value: Any) -> AsyncIterator[Any]:
    yield value


@pytest.mark.parametrize("task", [generate, functools.partial(generate)], ids=["plain", "partial"])
def test_an_async_generator_function_is_refused_as_a_task(task: TaskFunc) -> None:
    with pytest.raises(StageValidationError, match="'Fetch'"):
        Stage("Fetch", 1, [same, task]).validate()
    with pytest.raises(StageValidationError, match="'Fetch'"):
        Pipeline([stage(task, name="Fetch")])


def test_workers_of_a_stream_run_in_the_context_that_called_stream() -> None:
    async def caller(_: int) -> str:
        return CALLER.get()

    async def main() -> list[Any]:
        CALLER.set("stream")
        stream = Pipeline([stage(caller, workers=2)]).stream([1, 2])
        CALLER.set("first step")
        return await rest(stream)

    assert simulate(main) == ["stream", "stream"]


# What data is made of


def test_what_comes_after_queue_capacity_in_a_stage_is_keyword_only() -> None:
    arguments: list[Any] = ["Work", 1, [same], "per_task", 3, 1.0, 3, True, {}, None, None, None, 5]
    assert Stage(*arguments).queue_capacity == 5
    with pytest.raises(TypeError):
        Stage(*[*arguments, print])
    assert Stage(*arguments, on_skip=print).on_skip is print


def test_statistics_can_be_built_from_their_first_five_fields() -> None:
    one = StageStats("Work", 1, 2, 3, 4)
    assert one == StageStats(
        stage_name="Work",
        pending_items=1,
        in_progress_items=2,
        completed_items=3,
        failed_items=4,
    )
    assert (one.stage_name, one.pending_items, one.in_progress_items) == ("Work", 1, 2)
    assert (one.completed_items, one.failed_items) == (3, 4)
    every = PipelineStats(3, 4, 3, {"Work": 1}, {"Work": one})
    assert every == PipelineStats(
        items_processed=3,
        items_failed=4,
        items_in_flight=3,
        queue_sizes={"Work": 1},
        stage_stats={"Work": one},
    )
    assert every.stage_stats["Work"] is one


def test_statistics_that_were_built_share_nothing() -> None:
    first, second = StageStats("A", 0, 0, 0, 0), StageStats("B", 0, 0, 0, 0)
    first.tasks["x"] = first.errors_by_type["x"] = None  # type: ignore[assignment]
    assert not second.tasks
    assert not second.errors_by_type


# What errors say


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


@pytest.mark.parametrize("size", ["5", 1.5, -1, True])
def test_a_bad_buffer_size_is_refused(size: Any) -> None:
    with pytest.raises(ValueError, match=f"buffer_size.*{re.escape(repr(size))}"):
        Pipeline([stage(same)]).stream([1], buffer_size=size)


@pytest.mark.parametrize("drain", [False, True])
@pytest.mark.parametrize("timeout", ["5", -1])
def test_a_bad_timeout_is_refused_before_anything_is_closed(timeout: Any, drain: bool) -> None:
    async def main() -> list[Any]:
        pipeline = Pipeline([stage(same_later)])
        await pipeline.start()
        await pipeline.feed([1])
        with pytest.raises(ValueError, match=f"timeout.*{re.escape(repr(timeout))}"):
            await pipeline.shutdown(drain=drain, timeout=timeout)
        await pipeline.feed([2])
        await pipeline.join()
        return values(pipeline.results)

    assert simulate(main) == [1, 2]


async def run_all(pipeline: Pipeline, items: Any) -> list[Any]:
    return values(await pipeline.run(items))


async def stream_all(pipeline: Pipeline, items: Any) -> list[Any]:
    return await rest(pipeline.stream(items))


async def feed_all(pipeline: Pipeline, items: Any) -> list[Any]:
    await pipeline.start()
    try:
        await pipeline.feed(items)
    finally:
        await pipeline.join()
    return values(pipeline.results)


USES = [run_all, stream_all, feed_all]
Use = Callable[[Pipeline, Any], Coroutine[Any, Any, list[Any]]]


@pytest.mark.parametrize("items", [5, None])
@pytest.mark.parametrize("use", USES)
def test_items_that_are_not_iterable_are_refused(use: Use, items: Any) -> None:
    async def main() -> None:
        with pytest.raises(TypeError, match=repr(items)) as caught:
            await use(Pipeline([stage(same)], name="orders"), items)
        assert "'orders'" in str(caught.value)
        assert "list" in str(caught.value)

    simulate(main)


class Indexed:
    """What can be iterated over by its indices only."""

    def __getitem__(self, index: int) -> int:
        if index < 3:
            return index * 10
        raise IndexError


@pytest.mark.parametrize("use", USES)
def test_items_may_be_what_has_only_indices(use: Use) -> None:
    async def main() -> list[Any]:
        return await use(Pipeline([stage(same)]), Indexed())

    assert simulate(main) == [0, 10, 20]


def test_process_refused_to_a_consumer_speaks_of_the_consumer() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(same)])
        async with pipeline.stream(itertools.count()) as stream:
            await anext(stream)
            with pytest.raises(PipelineError, match="consumer"):
                await pipeline.process(1)

    simulate(main)


def test_a_task_of_a_stream_that_was_left_cannot_start_its_pipeline_again() -> None:
    found: list[BaseException] = []

    async def main() -> None:
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
        step = asyncio.ensure_future(anext(stream))
        await settle()
        step.cancel()
        await asyncio.wait([step])
        del stream, step
        await asyncio.sleep(1)
        assert not others()

    simulate(main)
    assert len(found) == 1
    assert "begin another run from outside" in str(found[0])


def test_a_run_that_drains_while_its_display_begins_finishes_what_was_fed_before() -> None:
    class Slow:
        async def on_start(self, pipeline: Pipeline, total_items: int | None) -> None:
            await asyncio.sleep(10)

        def on_update(self, snapshot: object) -> None:
            """Show nothing."""

        def on_finish(self, results: object, summary: object) -> None:
            """Show nothing."""

    async def main() -> None:
        pipeline = Pipeline([Stage("Work", 1, [same])])
        await pipeline.feed([1, 2])
        running = asyncio.ensure_future(pipeline.run([3], custom_dashboard=Slow()))
        await settle()
        assert await pipeline.shutdown(drain=True) == []
        assert [result.value for result in await running] == [1, 2]

    simulate(main)
