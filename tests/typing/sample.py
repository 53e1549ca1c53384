"""A program that uses what the packages offer, to see that its types are what they should be.

It runs under no test: mypy and pyright check it, here and against the installed wheels.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, assert_type

from prometheus_client import CollectorRegistry

from antflow import (
    DashboardProtocol,
    DashboardSnapshot,
    ErrorSummary,
    Pipeline,
    PipelineBuilder,
    PipelineResult,
    PipelineStats,
    ResultStream,
    Stage,
    StageStats,
    StatusEvent,
    StatusTracker,
    TaskEvent,
    UnprocessedItem,
    current_item,
    hookimpl,
    rate_limit,
    set_task_status,
)
from antflow_cli import main
from antflow_otel import OTel
from antflow_prometheus import MetricsServer, Prometheus, start_http_server
from antflow_rich import Rich


async def fetch(page: str) -> str:
    async with rate_limit():
        assert_type(set_task_status(f"fetching {page}", min_interval=0.5), bool)
    item = current_item()
    if item is not None:
        assert_type(item.attempt, int)
        assert_type(item.metadata, dict[str, Any])
    return page


def measure(text: str) -> int:
    return len(text)


class Line:
    """A display of one's own."""

    def on_start(self, pipeline: Pipeline, total_items: int | None) -> None:
        assert_type(pipeline.name, str)

    def on_update(self, snapshot: DashboardSnapshot) -> None:
        assert_type(snapshot.pipeline_stats, PipelineStats)

    def on_finish(self, results: list[PipelineResult], summary: ErrorSummary) -> None:
        assert_type(summary.errors_by_type, dict[str, int])


def make_display() -> DashboardProtocol:
    return Line()


class Watcher:
    """A plugin of one's own."""

    @hookimpl
    def antflow_item_status(self, event: StatusEvent) -> None:
        assert_type(event.final, bool)

    @hookimpl(tryfirst=True)
    async def antflow_task_success(self, event: TaskEvent) -> None:
        assert_type(event.duration, float | None)


async def pages() -> AsyncIterator[str]:
    yield "/"


def make_pipeline() -> Pipeline:
    return Pipeline(
        [
            Stage("Fetch", workers=4, tasks=[fetch], call_rate=100, task_attempts=2),
            Stage("Measure", workers=1, tasks=[measure], queue_capacity=10),
        ],
        status_tracker=StatusTracker(on_task_fail=lambda event: assert_type(event, TaskEvent)),
        name="pages",
        plugins=[
            Watcher(),
            Prometheus(registry=CollectorRegistry(), buckets=(0.1, 1.0)),
            Rich(),
            OTel(),
        ],
    )


async def run_it() -> None:
    pipeline = make_pipeline()
    assert_type(await pipeline.run(["/"], custom_dashboard=make_display()), list[PipelineResult])
    assert_type(await Pipeline.quick(["/"], [fetch, measure], workers=2), list[PipelineResult])
    assert_type(pipeline.stream(["/"]), ResultStream)
    async with pipeline.stream(pages()) as results:
        async for result in results:
            assert_type(result, PipelineResult)
            assert_type(result.error, BaseException | None)
    async with pipeline:
        await pipeline.start()
        await pipeline.feed(["/a", "/b"], target_stage="Fetch")
        assert_type(await pipeline.process("/c"), PipelineResult)
        assert_type(await pipeline.shutdown(drain=True, timeout=5), list[UnprocessedItem])
    stats = pipeline.get_stats()
    assert_type(stats.stage_stats["Fetch"], StageStats)
    assert_type(stats.stage_stats["Fetch"].queue_wait.quantile(0.5), float)


def build_it() -> None:
    builder = Pipeline.create(name="built").add("Fetch", fetch, workers=4, retries=5)
    assert_type(builder, PipelineBuilder[str, str])
    assert_type(builder.build(), Pipeline[str, str])
    builder.add(
        "Measure",
        measure,
        task_wait_seconds=0.5,
        task_concurrency_limits={"measure": 2},
        queue_capacity=None,
        on_skip=lambda id_, value, payload: None,
        pull=True,
        call_rate=10,
    )


async def misspell_it(pipeline: Pipeline, builder: PipelineBuilder) -> None:
    """Each line has a misspelt keyword, or one of a wrong type, and is refused."""
    Stage("Fetch", wokers=4, tasks=[fetch])  # type: ignore[call-arg]
    Pipeline([], autolaod=False)  # type: ignore[call-arg]
    Pipeline.create(nme="built")  # type: ignore[call-arg]
    builder.add("Fetch", fetch, wokers=4)  # type: ignore[call-overload]
    builder.add("Fetch", fetch, task_atempts=4)  # type: ignore[call-overload]
    builder.add("Fetch", fetch, task_attempts="4")  # type: ignore[call-overload]
    await pipeline.run(["/"], progres=True)  # type: ignore[call-arg]
    await pipeline.feed(["/"], target="Fetch")  # type: ignore[call-arg]


def list_it() -> None:
    assert_type(main(["plugins"]), int)


def serve_it() -> None:
    with start_http_server(0) as server:
        assert_type(server, MetricsServer)
        assert_type(server.port, int)
        assert_type(server.url, str)
