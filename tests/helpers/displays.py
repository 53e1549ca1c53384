"""A dashboard that records its calls, and the functions that show a run on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from antflow import DashboardSnapshot, ErrorSummary, Pipeline, PipelineResult
from tests.helpers.runs import now, same, stage, values
from tests.helpers.virtual_time import others, settle

METHODS = ["on_start", "on_update", "on_finish"]
CALLS = ["on_start", "on_update", "on_update", "on_finish"]
"""The calls of a run that is shorter than an interval."""

each_method = pytest.mark.parametrize("method", METHODS)
sync_or_async = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


async def sleep(value: Any) -> Any:
    await asyncio.sleep(1)
    return value


def piped(*tasks: Any, **fields: Any) -> Pipeline:
    return Pipeline([stage(*(tasks or (same,)), **fields)])


class Recorder:
    """A dashboard that records each call and, if one is set, does `acts[method]` in it."""

    def __init__(self, **acts: Callable[[], Any]) -> None:
        self.acts = acts
        self.calls: list[str] = []
        self.times: list[float] = []
        self.pipeline: Pipeline | None = None
        self.total_items: int | None = -1
        self.snapshots: list[DashboardSnapshot] = []
        self.results: list[PipelineResult] | None = None
        self.summary: ErrorSummary | None = None

    def on_start(self, pipeline: Pipeline, total_items: int | None) -> Any:
        self.pipeline, self.total_items = pipeline, total_items
        return self._act("on_start")

    def on_update(self, snapshot: DashboardSnapshot) -> Any:
        self.snapshots.append(snapshot)
        return self._act("on_update")

    def on_finish(self, results: list[PipelineResult], summary: ErrorSummary) -> Any:
        self.results, self.summary = results, summary
        return self._act("on_finish")

    def _act(self, method: str) -> Any:
        self.calls.append(method)
        self.times.append(now())
        return self.acts[method]() if method in self.acts else None

    @property
    def updates(self) -> list[float]:
        """When it was updated."""
        return [at for at, call in zip(self.times, self.calls, strict=True) if call == "on_update"]


Use = Callable[..., Coroutine[Any, Any, list[Any]]]


async def by_run(pipeline: Pipeline, items: Any, **options: Any) -> list[Any]:
    return values(await pipeline.run(items, **options))


async def by_stream(pipeline: Pipeline, items: Any, **options: Any) -> list[Any]:
    async with pipeline.stream(items, **options) as stream:
        return [result.value async for result in stream]


async def by_builder_run(pipeline: Pipeline, items: Any, **options: Any) -> list[Any]:
    (only,) = pipeline.stages
    builder = Pipeline.create().add(only.name, *only.tasks, workers=only.workers, retries=1)
    return values(await builder.run(items, **options))


async def by_builder_stream(pipeline: Pipeline, items: Any, **options: Any) -> list[Any]:
    (only,) = pipeline.stages
    builder = Pipeline.create().add(only.name, *only.tasks, workers=only.workers, retries=1)
    return [result.value async for result in builder.stream(items, **options)]


async def by_quick(pipeline: Pipeline, items: Any, **options: Any) -> list[Any]:
    (only,) = pipeline.stages
    tasks = list(only.tasks)
    return values(await Pipeline.quick(items, tasks, workers=1, retries=1, **options))


CUSTOM = [by_run, by_stream, by_builder_run, by_builder_stream]
each_use = pytest.mark.parametrize("use", CUSTOM)
run_or_stream = pytest.mark.parametrize("use", [by_run, by_stream])


async def cancelled(call: Coroutine[Any, Any, Any], seconds: float = 1, times: int = 1) -> None:
    """Cancel a call after some seconds, and see that nothing of it is left."""
    task = asyncio.ensure_future(call)
    await asyncio.sleep(seconds)
    for _ in range(times):
        task.cancel()
        await settle()
    await asyncio.wait([task])
    assert task.cancelled()
    assert not others()
