"""When an async generator that a run reads, or that is fed, is closed."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from antflow import Pipeline, PipelineError
from tests.helpers.runs import CustomExit, cancel, now, raised_by, stage, values
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate


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


Stop = Callable[[Pipeline, AsyncIterator[int]], Coroutine[Any, Any, None]]


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

    consumer = asyncio.create_task(consume())
    await asyncio.sleep(0.0105)
    await cancel(consumer)


async def cancel_the_run(pipeline: Pipeline, source: AsyncIterator[int]) -> None:
    run = asyncio.create_task(pipeline.run(source))
    await asyncio.sleep(0.0105)
    await cancel(run)


async def shut_down_the_run(pipeline: Pipeline, source: AsyncIterator[int]) -> None:
    run = asyncio.create_task(pipeline.run(source))
    await asyncio.sleep(0.0105)
    began = now()
    await pipeline.shutdown()
    await run
    assert now() - began < 1  # however long the next value takes


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


@pytest.mark.parametrize("pause", [0.001, 1000, 0], ids=["slow", "very slow", "full stage"])
@pytest.mark.parametrize("stop", STOPS)
@simulated()
async def test_a_generator_is_closed_when_its_run_is_stopped(stop: Stop, pause: float) -> None:
    async def work(value: int) -> int:
        await asyncio.sleep(0 if pause else 0.001)
        if value == 5 and stop is fail_the_run:
            raise CustomExit
        return value

    source = Source(pause)
    await stop(Pipeline([stage(work, queue_capacity=1)]), source.generator)
    assert source.is_closed


@simulated()
async def test_a_drain_waits_for_the_generator_to_clean_up() -> None:
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

    pipeline = Pipeline([stage(slow)])
    running = asyncio.create_task(pipeline.run(numbers()))
    await asyncio.sleep(0.5)
    await pipeline.shutdown(drain=True)
    assert values(await running) == [0, 1, 2]
    assert ends == ["cleaned up"]


@pytest.mark.parametrize("stop", ["shutdown", "cancel"])
@simulated()
async def test_a_generator_that_is_fed_stays_open(stop: str) -> None:
    gate, source = Gate(), Source()
    pipeline = Pipeline([stage(gate, queue_capacity=1)])
    await pipeline.start()
    feed = asyncio.create_task(pipeline.feed(source.generator))
    await asyncio.sleep(1)
    if stop == "shutdown":
        await pipeline.shutdown(timeout=0)
        assert isinstance(await raised_by(feed), PipelineError)
    else:
        feed.cancel()
        assert isinstance(await raised_by(feed), asyncio.CancelledError)
    gate.open()
    await pipeline.shutdown(timeout=0)
    assert not source.is_closed
    await anext(source.generator)
    await source.generator.aclose()
