"""Inputs that are read in a thread: what it sees, how it ends, and what becomes of the values."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from antflow import Pipeline, PipelineError, TooManyFailuresError, hookimpl
from tests.helpers.observers import observe
from tests.helpers.runs import (
    CustomExit,
    Indexed,
    InputBrokeError,
    assert_all_are_somewhere,
    cancel,
    fail,
    ids,
    raised_by,
    same,
    stage,
    stats_of,
    values,
)
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, begun, settle, simulate

COLOUR: ContextVar[str] = ContextVar("colour", default="none")
PATIENCE_SECONDS = 10
"""How long a test that is broken waits for a thread; one that is not never waits."""

Use = Callable[[Pipeline, Any], Coroutine[Any, Any, list[Any]]]


async def by_run(pipeline: Pipeline, items: Any) -> list[Any]:
    return values(await pipeline.run(items, read_in_thread=True))


async def by_stream(pipeline: Pipeline, items: Any) -> list[Any]:
    stream = pipeline.stream(items, read_in_thread=True)
    return sorted([result.value async for result in stream])


async def by_feed(pipeline: Pipeline, items: Any) -> list[Any]:
    await pipeline.start()
    try:
        await pipeline.feed(items, read_in_thread=True)
    finally:
        await pipeline.join()
    return values(pipeline.results)


async def by_builder(_: Pipeline, items: Any) -> list[Any]:
    builder = Pipeline.create().add("Work", same)
    return values(await builder.run(items, read_in_thread=True))


each_use = pytest.mark.parametrize("use", [by_run, by_stream, by_feed, by_builder])


async def until(event: threading.Event) -> None:
    """Wait for a thread, while the loop goes on."""
    assert await asyncio.to_thread(event.wait, PATIENCE_SECONDS)


class Blocking:
    """An input that blocks in its thread before one of its values, until it is let go."""

    def __init__(self, count: int, blocks_at: int | None = None) -> None:
        self.read: list[int] = []
        self.blocks, self.closed = threading.Event(), threading.Event()
        self.closed_in: threading.Thread | None = None
        self.thread: threading.Thread | None = None
        self._count, self._blocks_at = count, blocks_at
        self._go = threading.Event()

    def __iter__(self) -> Iterator[int]:
        self.thread = threading.current_thread()
        try:
            for number in range(self._count):
                if number == self._blocks_at:
                    self.blocks.set()
                    assert self._go.wait(PATIENCE_SECONDS)
                self.read.append(number)
                yield number
        finally:
            self.closed_in = threading.current_thread()
            self.closed.set()

    def let_go(self) -> None:
        self._go.set()


FULL = 13
"""Values of which one is worked on, one waits, one waits for room and ten are read ahead."""


async def until_full(items: Blocking, full: int = FULL) -> None:
    """Wait until so much was read, and the thread that did it waits."""
    while len(items.read) < full:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.01)  # the simulated loop waits really for threads, if only briefly


# What is read


@each_use
@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (list, []),
        (lambda: [3], [3]),
        (lambda: range(100), list(range(100))),
        (lambda: iter(range(100)), list(range(100))),
        (lambda: (number for number in range(100)), list(range(100))),
        (Indexed, [0, 1, 2]),
    ],
    ids=["empty", "one", "range", "iterator", "generator", "indexed"],
)
@simulated(threads=True)
async def test_all_is_read(use: Use, make: Callable[[], Any], expected: list[int]) -> None:
    pipeline = Pipeline([stage(same, workers=2)])
    assert sorted(await use(pipeline, make())) == expected


@each_use
@simulated(threads=True)
async def test_it_is_read_in_a_daemon_thread_that_sees_the_context_and_ends(use: Use) -> None:
    seen: list[Any] = []

    def look() -> Iterator[int]:
        seen.append((threading.current_thread(), COLOUR.get()))
        yield 1

    COLOUR.set("red")
    assert await use(Pipeline([stage(same)], name="books"), look()) == [1]
    ((thread, colour),) = seen
    assert thread is not threading.current_thread()
    assert thread.daemon
    assert thread.name.endswith("-input")
    assert colour == "red"
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()


def test_a_stream_sees_the_context_of_the_call() -> None:
    def look() -> Iterator[str]:
        yield COLOUR.get()

    async def main() -> list[str]:
        COLOUR.set("red")
        stream = Pipeline([stage(same)]).stream(look(), read_in_thread=True)
        COLOUR.set("blue")
        return [result.value async for result in stream]

    assert simulate(main, threads=True) == ["red"]


@pytest.mark.parametrize("use", [by_run, by_stream])
@simulated(threads=True)
async def test_the_loop_goes_on_while_the_input_blocks(use: Use) -> None:
    items = Blocking(3, blocks_at=2)
    pipeline = Pipeline([stage(same)])
    running = await begun(use(pipeline, items))
    await until(items.blocks)
    while pipeline.get_stats().items_processed < 2:
        await asyncio.sleep(0.01)  # tasks work on what was read before
    assert not running.done()
    items.let_go()
    assert await running == [0, 1, 2]


@simulated(threads=True)
async def test_the_total_is_known_where_the_input_has_a_length() -> None:
    totals: list[int | None] = []

    class Total:
        @hookimpl
        def antflow_pipeline_start(self, total_items: int | None) -> None:
            totals.append(total_items)

    pipeline = Pipeline([stage(same)], plugins=[Total()])
    await pipeline.run([1, 2], read_in_thread=True)
    await pipeline.run(iter([1, 2]), read_in_thread=True)
    assert totals == [2, None]


# What cannot be read


async def later() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("items", "words"),
    [(later(), "leave out read_in_thread"), ("text", "text"), (5, "single item")],
    ids=["async", "text", "number"],
)
@each_use
@simulated(threads=True)
async def test_what_cannot_be_read_in_a_thread_is_refused(use: Use, items: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        await use(Pipeline([stage(same)]), items)


@pytest.mark.parametrize("error", [InputBrokeError(), ValueError(), CustomExit()])
@pytest.mark.parametrize("after", [0, 3])
@each_use
@simulated(threads=True)
async def test_an_exception_of_the_input_is_raised(
    use: Use, after: int, error: BaseException
) -> None:
    def breaking() -> Iterator[int]:
        yield from range(after)
        raise error

    pipeline = Pipeline([stage(same)])
    assert await raised_by(use(pipeline, breaking())) is error
    if isinstance(error, Exception) and use is not by_builder:
        assert pipeline.get_stats().items_processed == after


class Ending:
    """An iterator whose end is an exception that asyncio knows, too."""

    def __init__(self, end: BaseException) -> None:
        self._end = end
        self._left = 2

    def __iter__(self) -> Ending:
        return self

    def __next__(self) -> int:
        self._left -= 1
        if self._left < 0:
            raise self._end
        return self._left


@simulated(threads=True)
async def test_stop_iteration_is_the_end_and_stop_async_iteration_is_an_error() -> None:
    pipeline = Pipeline([stage(same)])
    assert await by_run(pipeline, Ending(StopIteration())) == [1, 0]
    with pytest.raises(RuntimeError, match="StopAsyncIteration"):
        await by_run(pipeline, Ending(StopAsyncIteration()))


# Stopping


@pytest.mark.parametrize("watched", [False, True], ids=["plain", "watched"])
@pytest.mark.parametrize("stop", ["cancel the run", "time limit", "cancel the feed"])
@pytest.mark.parametrize("seed", [None, 1, 2])
@simulated(threads=True)
async def test_a_thread_that_is_abandoned_feeds_no_more(
    watched: bool, stop: str, seed: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    items = Blocking(5, blocks_at=3)
    pipeline = Pipeline([stage(same), stage(same, name="Last")], name="books")
    if watched:
        observe(pipeline, Noting())
    if is_fed := stop == "cancel the feed":
        await pipeline.start()
        call: asyncio.Task[Any] = await begun(pipeline.feed(items, "Last", read_in_thread=True))
    else:
        call = await begun(pipeline.run(items, read_in_thread=True))
    await until(items.blocks)
    if stop == "time limit":
        await pipeline.shutdown(timeout=1)
        assert ids(await call) == [0, 1, 2]
    else:
        call.cancel()
        await asyncio.wait([call])
        assert call.cancelled()
    name = "Last" if is_fed else "Work"
    assert stats_of(pipeline, name).abandoned_threads == 1
    items.let_go()
    await until(items.closed)
    while stats_of(pipeline, name).abandoned_threads:
        await asyncio.sleep(0.01)
    if is_fed:
        await pipeline.join()
    assert_all_are_somewhere(pipeline, [0, 1, 2])
    assert items.read == [0, 1, 2, 3]
    assert items.closed_in is items.thread
    (text,) = [text for text in caplog.messages if "abandoned" in text]
    assert "'books'" in text


@pytest.mark.parametrize("stop", ["shutdown", "drain", "stream", "max_failures"])
@pytest.mark.parametrize("seed", [None, 1, 2])
@simulated(threads=True)
async def test_a_graceful_stop_waits_for_the_value_that_is_being_read(
    stop: str, seed: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    items = Blocking(5, blocks_at=3)
    task = fail if stop == "max_failures" else same
    pipeline = Pipeline([stage(task, task_attempts=1)], max_failures=2)
    use = by_stream if stop == "stream" else by_run
    running = await begun(use(pipeline, items))
    await until(items.blocks)
    stopping = None
    if stop != "max_failures":
        stopping = await begun(pipeline.shutdown(drain=stop == "drain"))
        assert not stopping.done()
    await settle()
    assert not running.done()
    items.let_go()
    error = await raised_by(running)
    assert isinstance(error, TooManyFailuresError) == (stop == "max_failures")
    assert stats_of(pipeline).abandoned_threads == 0
    if stop == "stream":
        assert pipeline.get_stats().items_fed == len(items.read)
    else:
        assert_all_are_somewhere(pipeline, items.read)
    assert stopping is None or await stopping == pipeline.unprocessed
    assert items.read == [0, 1, 2, 3]
    assert items.closed_in is items.thread
    assert not [text for text in caplog.messages if "abandoned" in text]


@each_use
@simulated(threads=True)
async def test_where_no_thread_can_be_started_the_error_is_raised(
    use: Use, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    error = RuntimeError("can't start new thread")
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.endswith("-input"):
            raise error
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    pipeline = Pipeline([stage(same)])
    assert await raised_by(use(pipeline, [1])) is error
    if use is not by_builder:
        assert stats_of(pipeline).abandoned_threads == 0
    assert not caplog.records


class Noting:
    """An async observer of what is queued."""

    async def antflow_item_start(self, event: Any) -> None:
        await asyncio.sleep(0)


@pytest.mark.parametrize("watched", [False, True], ids=["plain", "watched"])
@pytest.mark.parametrize("stop", ["cancel", "shutdown", "drain", "timeout"])
@pytest.mark.parametrize("seed", [None, 1, 2])
@simulated(threads=True)
async def test_each_value_that_was_read_is_part_of_the_run(
    watched: bool, stop: str, seed: int | None
) -> None:
    items = Blocking(1000)
    gate = Gate()
    pipeline = Pipeline([stage(gate, queue_capacity=1)])
    if watched:
        observe(pipeline, Noting())
    running = await begun(pipeline.run(items, read_in_thread=True))
    await until_full(items)
    if stop == "cancel":
        await cancel(running)
    else:
        options: dict[str, Any] = {"drain": {"drain": True}, "timeout": {"timeout": 0}}
        stopping = await begun(pipeline.shutdown(**options.get(stop, {})))
        gate.open()
        left = await stopping
        assert ids(await running) == ids(pipeline.results)
        assert (left == []) == (stop == "drain")
    assert stats_of(pipeline).abandoned_threads == 0
    assert_all_are_somewhere(pipeline, items.read)
    assert len(items.read) == FULL
    assert items.closed.is_set()  # by the time that the run is over
    assert items.closed_in is items.thread


@simulated(threads=True)
async def test_a_stream_that_is_left_closes_its_input() -> None:
    items = Blocking(1000)
    pipeline = Pipeline([stage(same, queue_capacity=1)])
    async with pipeline.stream(items, buffer_size=1, read_in_thread=True) as stream:
        assert (await anext(stream)).value == 0
        await until_full(items, FULL + 2)  # one is taken, and one waits to be taken
    taken = [0, *ids(pipeline.undelivered), *ids(pipeline.unprocessed)]
    assert sorted(taken) == items.read
    assert items.closed_in is items.thread


@simulated(threads=True)
async def test_an_error_in_closing_the_input_is_raised() -> None:
    def stubborn() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            raise InputBrokeError

    pipeline = Pipeline([stage(Gate(), queue_capacity=1)])
    running = await begun(pipeline.run(stubborn(), read_in_thread=True))
    await settle()
    with pytest.raises(InputBrokeError):
        await pipeline.shutdown(timeout=0)
    await raised_by(running)
    await pipeline.start()
    feeding = await begun(pipeline.feed(stubborn(), read_in_thread=True))
    await settle()
    await pipeline.shutdown(timeout=0)
    assert isinstance(await raised_by(feeding), InputBrokeError)


@simulated(threads=True)
async def test_a_feed_that_is_stopped_closes_its_input() -> None:
    items = Blocking(1000)
    gate = Gate()
    pipeline = Pipeline([stage(gate, queue_capacity=1)])
    await pipeline.start()
    feeding = await begun(pipeline.feed(items, read_in_thread=True))
    await until_full(items)
    await pipeline.shutdown(timeout=0)
    assert isinstance(await raised_by(feeding), PipelineError)
    assert items.closed_in is items.thread
    assert stats_of(pipeline).abandoned_threads == 0


def test_a_thread_that_is_there_after_its_loop_was_closed_ends_quietly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    items = Blocking(5, blocks_at=1)

    async def main() -> None:
        pipeline = Pipeline([stage(same)])
        running = await begun(pipeline.run(items, read_in_thread=True))
        await until(items.blocks)
        await cancel(running)

    with caplog.at_level(logging.ERROR):
        simulate(main, threads=True)
        items.let_go()
        assert items.closed.wait(PATIENCE_SECONDS)
        assert items.thread is not None
        items.thread.join(PATIENCE_SECONDS)
    assert not caplog.records
