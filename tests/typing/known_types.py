"""Typed programs: what type checkers know of their results.

It runs under no test: mypy and pyright check it, here and against the installed wheels.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar, assert_type

from antflow import (
    Item,
    ItemHandle,
    Pipeline,
    PipelineBuilder,
    PipelineResult,
    ResultStream,
    Stage,
    StatusTracker,
)

T = TypeVar("T")


async def fetch(page: str) -> bytes:
    return page.encode()


def measure(content: bytes) -> int:
    return len(content)


async def half(number: float) -> float | None:
    return number / 2 or None


def same(value: T) -> T:
    return value


async def later(value: T) -> T:
    return value


class Page:
    def __init__(self, content: bytes) -> None:
        self.content = content


class Counter:
    async def __call__(self, content: bytes) -> int:
        return len(content)


def of_future(page: str) -> asyncio.Future[bytes]:
    return asyncio.ensure_future(fetch(page))


async def pages() -> AsyncIterator[str]:
    yield "/"


async def one_task_or_a_tuple() -> None:
    one = await Pipeline.quick(["/"], fetch)
    assert_type(one, list[PipelineResult[bytes]])
    assert_type(one[0].value, bytes)
    assert_type(one[0].unwrap(), bytes)
    assert_type(await Pipeline.quick([b""], measure, 3), list[PipelineResult[int]])
    assert_type(await Pipeline.quick(["/"], of_future), list[PipelineResult[bytes]])
    assert_type(await Pipeline.quick(["/"], (fetch,)), list[PipelineResult[bytes]])
    assert_type(await Pipeline.quick(pages(), (fetch, measure)), list[PipelineResult[int]])
    assert_type(await Pipeline.quick(["/"], (fetch, Page)), list[PipelineResult[Page]])
    assert_type(await Pipeline.quick(["/"], (fetch, Counter())), list[PipelineResult[int]])
    assert_type(await Pipeline.quick(["/"], (fetch, partial(measure))), list[PipelineResult[int]])
    three = await Pipeline.quick(["/"], (fetch, measure, half), workers=2, task_timeout=5)
    assert_type(three, list[PipelineResult[float | None]])
    four = await Pipeline.quick(["/"], (fetch, later, measure, same))
    assert_type(four, list[PipelineResult[int]])
    five = await Pipeline.quick(["/"], (fetch, measure, same, half, str))
    assert_type(five, list[PipelineResult[str]])
    # The types of a list are Any.
    assert_type(await Pipeline.quick(["/"], [fetch, measure]), list[PipelineResult[Any]])


async def builder() -> None:
    first = Pipeline.create(name="pages").with_tracker(StatusTracker()).add("Fetch", fetch)
    assert_type(first, PipelineBuilder[str, bytes])
    second = first.add("Measure", measure, workers=2, retries=1, call_rate=10).with_plugins()
    assert_type(second, PipelineBuilder[str, int])
    assert_type(second.build(), Pipeline[str, int])
    assert_type(await second.run(["/"]), list[PipelineResult[int]])
    assert_type(second.stream(pages()), ResultStream[int])
    third = second.add("Half", half, pull=True).add("Same", same)
    assert_type(third.build(), Pipeline[str, float | None])
    # What a stage with several tasks, `skip_if` or `unpack_args` returns is Any.
    assert_type(first.add("Both", measure, half), PipelineBuilder[str, Any])
    assert_type(first.add("Skips", measure, skip_if=len), PipelineBuilder[str, Any])
    assert_type(first.add("Unpacks", divmod, unpack_args=True), PipelineBuilder[str, Any])


async def pipeline(pages_to_lengths: Pipeline[str, int]) -> None:
    results = await pages_to_lengths.run(["/", Item("/a", id=1), {"id": 2, "value": "/b"}])
    assert_type(results[0].value, int)
    assert_type(pages_to_lengths.results, list[PipelineResult[int]])
    assert_type(pages_to_lengths.undelivered, list[PipelineResult[int]])
    assert_type(pages_to_lengths.failures, list[PipelineResult[Any]])
    await pages_to_lengths.run(pages_to_lengths.failures)
    async with pages_to_lengths.stream(pages()) as stream:
        assert_type(stream, ResultStream[int])
        async for result in stream:
            assert_type(result.value, int)
    assert_type(pages_to_lengths.run_sync(["/"])[0].value, int)
    for result in pages_to_lengths.stream_sync(["/"]):
        assert_type(result.value, int)
    async with pages_to_lengths.running() as running:
        assert_type(running, Pipeline[str, int])
        assert_type((await running.process("/")).value, int)
        handle = await running.submit("/", expires_in=5)
        assert_type(handle, ItemHandle[int])
        assert_type((await handle).value, int)
        assert_type((await running.submit_nowait("/")).unwrap(), int)
        assert_type(running.process_threadsafe("/"), Future[PipelineResult[int]])


def written_types(result: PipelineResult[float], lengths: Pipeline[str, int]) -> None:
    pages_to_lengths: Pipeline[str, int] = Pipeline([Stage("Fetch", 4, [fetch, measure])])
    assert_type(pages_to_lengths, Pipeline[str, int])
    assert_type(result.value, float)
    assert_type(PipelineResult(0, 1, 0), PipelineResult[int])
    as_object: PipelineResult[object] = result
    as_float: Pipeline[str, float] = lengths
    show(as_object, as_float)


def show(*_: object) -> None:
    """Use values."""
