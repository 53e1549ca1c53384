"""The threads of a stage: how many there are, what they see, and what becomes of them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import logging
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Any, NoReturn

import pytest

from antflow import Pipeline
from tests.helpers.runs import cancel, run, stage, stats_of, values
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import begun, simulate

COLOUR: ContextVar[str] = ContextVar("colour", default="none")
PATIENCE_SECONDS = 10
"""How long a test that is broken waits for a thread; one that is not never waits."""


def here(_: Any) -> threading.Thread:
    return threading.current_thread()


def end_of(thread: threading.Thread) -> bool:
    thread.join(PATIENCE_SECONDS)
    return not thread.is_alive()


# How many


@simulated(threads=True)
async def test_one_call_after_another_needs_one_thread_which_ends_with_the_run() -> None:
    pipeline = Pipeline([stage(here, workers=3)])
    await pipeline.start()
    used = {(await pipeline.process(number)).value for number in range(10)}
    (thread,) = used
    assert (thread.name, thread.daemon, thread.is_alive()) == ("Work-T0", True, True)
    await pipeline.join()
    assert not thread.is_alive()
    (result,) = await pipeline.run([1])
    assert result.value is not thread


def test_as_many_plain_functions_run_at_once_as_there_are_workers_and_end_with_the_run() -> None:
    number = 40  # more than the default executor of most machines has
    meeting = threading.Barrier(number, timeout=PATIENCE_SECONDS)

    def meet(value: int) -> threading.Thread:
        meeting.wait()
        return here(value)

    async def main() -> None:
        pipeline = Pipeline([stage(meet, workers=number)])
        used = set(values(await pipeline.run(range(2 * number))))
        assert {thread.name for thread in used} == {f"Work-T{index}" for index in range(number)}
        assert not [thread for thread in used if thread.is_alive()]

    simulate(main, threads=True)


@simulated(threads=True)
async def test_a_plain_function_does_not_hold_the_loop() -> None:
    ended = threading.Event()
    pipeline = Pipeline([stage(lambda _: ended.wait(PATIENCE_SECONDS))])
    running = await begun(pipeline.run([1]))
    assert pipeline.get_worker_states()["Work-W0"].status == "busy"
    ended.set()
    assert values(await running) == [True]


@pytest.mark.parametrize("is_cancelled", [False, True])
@simulated(threads=True)
async def test_the_lifespan_is_left_when_the_threads_have_ended(
    monkeypatch: pytest.MonkeyPatch, is_cancelled: bool
) -> None:
    """A run that is cancelled while they end still waits for them."""
    loop = asyncio.get_running_loop()
    call_soon, calls = loop.call_soon_threadsafe, itertools.count(1)
    used: list[threading.Thread] = []
    were_alive: list[bool] = []

    def delay_the_end(callback: Callable[..., Any], *args: Any) -> Any:
        if next(calls) == 1:  # the result
            return call_soon(callback, *args)
        if is_cancelled:
            call_soon(running.cancel)
        return call_soon(loop.call_later, 1, callback, *args)

    @contextlib.asynccontextmanager
    async def lifespan(_: Pipeline) -> AsyncIterator[None]:
        yield
        were_alive.extend(thread.is_alive() for thread in used)

    pipeline = Pipeline([stage(lambda value: used.append(here(value)))], lifespan=lifespan)
    running = asyncio.ensure_future(pipeline.run([1]))
    with monkeypatch.context() as patch:
        patch.setattr(loop, "call_soon_threadsafe", delay_the_end)
        await asyncio.wait([running])
    assert (running.cancelled(), were_alive) == (is_cancelled, [False])


def test_a_plain_function_is_retried_in_the_same_thread() -> None:
    calls = itertools.count(1)
    used: list[threading.Thread] = []

    def fail_twice(value: int) -> int:
        used.append(here(value))
        if (number := next(calls)) < 3:
            raise [ValueError, StopIteration][number - 1]
        return value

    pipeline = run([stage(fail_twice, task_attempts=3)], [7], threads=True)
    assert pipeline.results[0].attempts == 3
    assert used == used[:1] * 3


# What a thread sees, and keeps


@simulated(threads=True)
async def test_a_plain_function_sees_the_context_of_its_worker_and_leaves_it_as_it_is() -> None:
    def paint(_: Any) -> str:
        seen = COLOUR.get()
        COLOUR.set("green")
        return seen

    COLOUR.set("red")
    pipeline = Pipeline([stage(paint, paint, workers=2)])
    assert values(await pipeline.run([1, 2])) == ["red", "red"]
    assert COLOUR.get() == "red"


class Value:
    """What can be referred to weakly."""


@simulated(threads=True)
async def test_an_idle_thread_keeps_nothing_of_what_it_did() -> None:
    pipeline = Pipeline([stage(id)])
    await pipeline.start()
    value, gone = Value(), threading.Event()
    weakref.finalize(value, gone.set)
    await pipeline.process(value)
    del value
    assert await asyncio.to_thread(gone.wait, PATIENCE_SECONDS)
    await pipeline.join()


def test_a_failed_call_keeps_no_cycle_of_what_it_was_given() -> None:
    def fail(_: Any) -> NoReturn:
        raise ValueError

    async def main() -> None:
        pipeline = Pipeline([stage(fail)])
        await pipeline.start()
        value = Value()
        kept = weakref.ref(value)
        result = await pipeline.process(value)
        assert isinstance(result.error, ValueError)
        del value, result
        await pipeline.process(1)
        assert kept() is None
        await pipeline.join()

    gc.disable()
    try:
        simulate(main, threads=True)
    finally:
        gc.enable()


# Abandoned


class Slow:
    """A plain function that runs until the test lets it go on."""

    def __init__(self) -> None:
        self.has_begun, self.may_end = threading.Event(), threading.Event()
        self.thread: threading.Thread | None = None

    def __call__(self, value: Any) -> Any:
        self.thread = here(value)
        self.has_begun.set()
        assert self.may_end.wait(PATIENCE_SECONDS)
        return value

    async def abandon(self, pipeline: Pipeline) -> None:
        """Cancel a run while this is called in its stage."""
        running = await begun(pipeline.run([1]))
        assert await asyncio.to_thread(self.has_begun.wait, PATIENCE_SECONDS)
        await cancel(running)

    def end(self) -> bool:
        self.may_end.set()
        assert self.thread is not None
        return end_of(self.thread)


@pytest.fixture
def slow() -> Iterator[Slow]:
    made = Slow()
    yield made
    made.may_end.set()


@simulated(threads=True)
async def test_the_thread_of_a_cancelled_call_is_abandoned_until_its_function_returns(
    slow: Slow, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = Pipeline([stage(slow, name="Parse")])
    await slow.abandon(pipeline)
    assert stats_of(pipeline, "Parse").abandoned_threads == 1
    assert slow.thread is not None
    assert slow.thread.is_alive()
    assert await asyncio.to_thread(slow.end)
    while stats_of(pipeline, "Parse").abandoned_threads:
        await asyncio.sleep(0.001)
    (text,) = [text for text in caplog.messages if "abandoned" in text]
    for part in ("'Parse'", "Slow", "coroutine function"):
        assert part in text


@simulated(threads=True)
async def test_a_call_cancelled_as_its_answer_arrives_abandons_no_thread(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    loop = asyncio.get_running_loop()
    call_soon = loop.call_soon_threadsafe
    pipeline = Pipeline([stage(here)])
    running = asyncio.ensure_future(pipeline.run([1]))

    def call_soon_and_cancel(callback: Callable[..., Any], *args: Any) -> Any:
        return call_soon(lambda: (callback(*args), running.cancel()))

    with monkeypatch.context() as patch:
        patch.setattr(loop, "call_soon_threadsafe", call_soon_and_cancel)
        await asyncio.wait([running])
    assert running.cancelled()
    assert stats_of(pipeline).abandoned_threads == 0
    assert not [text for text in caplog.messages if "abandoned" in text]


def test_a_thread_that_is_there_after_its_loop_was_closed_ends_quietly(
    slow: Slow, caplog: pytest.LogCaptureFixture
) -> None:
    simulate(lambda: slow.abandon(Pipeline([stage(slow)])), threads=True)
    assert slow.end()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
