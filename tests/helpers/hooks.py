"""Plugins that record the calls of their hooks, and runs with them."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any, get_args

import pytest

from antflow import (
    ErrorSummary,
    Pipeline,
    Stage,
    StatusEvent,
    StatusType,
    TaskEvent,
    current_item,
    hookimpl,
    hookspecs,
)
from tests.helpers.runs import CustomExit, same, start_with

START, FINISH = "antflow_pipeline_start", "antflow_pipeline_finish"
ARGUMENTS = {
    name: tuple(inspect.signature(spec).parameters)
    for name, spec in vars(hookspecs).items()
    if name.startswith("antflow_")
}
OBSERVED = [
    hook
    for hook in ARGUMENTS
    if hook not in {"antflow_add_options", "antflow_configure", "antflow_dashboard"}
]
LONG = 1000.0
STATUSES = get_args(StatusType)
FAULTS = [ValueError("of the hook"), asyncio.CancelledError(), CustomExit()]
EXITS = [KeyboardInterrupt(), SystemExit(3)]


class Journal:
    """A plugin that records all events and the hooks of the run."""

    antflow_name = "journal"

    def __init__(self, calls: list[str] | None = None) -> None:
        self.calls: list[str] = [] if calls is None else calls

    @hookimpl
    def antflow_pipeline_start(self, pipeline: Pipeline, total_items: int | None) -> Any:
        self.calls.append(f"start {total_items}")

    @hookimpl
    def antflow_item_status(self, event: StatusEvent) -> Any:
        self.calls.append(f"{event.status}{'!' if event.final else ''}")

    @hookimpl
    def antflow_task_start(self, event: TaskEvent) -> None:
        self.calls.append(f"task {event.event_type}")

    antflow_task_success = antflow_task_start
    antflow_task_retry = antflow_task_start
    antflow_task_failure = antflow_task_start
    antflow_task_cancelled = antflow_task_start

    @hookimpl
    def antflow_pipeline_finish(self) -> Any:
        self.calls.append("finish")

    def check(self) -> None:
        """Check that one run started, finished last, and ended each attempt."""
        kinds = Counter(call.partition(" ")[0] for call in self.calls if "task" not in call)
        assert kinds["start"] == kinds["finish"] == 1
        assert self.calls[0].startswith(("start", "queued"))
        assert self.calls[-1] == "finish"
        ends = ("complete", "retry", "fail", "cancel")
        assert self.calls.count("task start") == sum(
            self.calls.count(f"task {end}") for end in ends
        )


class Ends:
    """A plugin that records only start and finish."""

    antflow_name = "ends"

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.failed: list[tuple[dict[str, int], int]] = []

    @hookimpl
    def antflow_pipeline_start(self, total_items: int | None) -> None:
        self.calls.append(f"start {total_items}")

    @hookimpl
    def antflow_pipeline_finish(self, pipeline: Pipeline, error_summary: ErrorSummary) -> None:
        self.calls.append("finish")
        self.failed.append((error_summary.errors_by_type, pipeline.get_stats().items_failed))

    def check(self, runs: int = 1) -> None:
        assert [each.partition(" ")[0] for each in self.calls] == ["start", "finish"] * runs


class Faulty:
    """A plugin that raises in one hook, at once or after a second."""

    def __init__(
        self, hook: str, error: BaseException, *, slow: bool = False, name: str = "faulty"
    ) -> None:
        self.antflow_name = name
        self.calls: list[Any] = []

        def fail(event: Any) -> None:
            self.calls.append(event)
            raise error

        async def fail_later(event: Any) -> None:
            await asyncio.sleep(1)
            fail(event)

        act: Callable[..., Any] = fail_later if slow else fail
        has_event = ARGUMENTS[hook] == ("event",)
        setattr(self, hook, hookimpl(act if has_event else lambda: act(None)))

    @property
    def item_id(self) -> Any:
        """The item of the first call; None for a hook of the run."""
        return getattr(self.calls[0], "item_id", None)


def pipeline(*plugins: object, tasks: Any = (same,), **options: Any) -> Pipeline:
    stage = Stage("Work", 1, list(tasks), task_attempts=1)
    return Pipeline([stage], plugins=plugins, **options)


def hooked(**functions: Callable[..., Any]) -> Any:
    """Return a plugin whose class has these functions as hooks."""
    marked = {f"antflow_{name}": hookimpl(function) for name, function in functions.items()}
    return type("Hooked", (), marked)()


def check_conservation(of: Pipeline) -> None:
    stats = of.get_stats()
    ended = stats.items_processed + stats.items_failed + stats.items_dropped
    assert stats.items_fed == ended + stats.items_unprocessed + stats.items_outstanding
    assert stats.items_outstanding == 0
    assert stats.items_unprocessed == len(of.unprocessed)


async def by_run(of: Pipeline) -> None:
    await of.run(["x", "y"])


async def by_feeding(of: Pipeline) -> None:
    await of.start()
    await of.feed(["x", "y"])
    await of.join()


async def drain(stream: AsyncIterator[Any]) -> None:
    async for _ in stream:
        pass


async def by_streaming(of: Pipeline) -> None:
    await drain(of.stream(["x", "y"]))


async def by_shutdown(of: Pipeline) -> None:
    async with of:
        await start_with(of, ["x", "y"])


EACH_USE = pytest.mark.parametrize("use", [by_run, by_streaming, by_feeding, by_shutdown])


class Scoping:
    """A plugin that returns a journal for each run."""

    antflow_name = "scoping"

    def __init__(self, make: Callable[[], object] = Journal) -> None:
        self.made: list[Any] = []
        self._make = make

    @hookimpl
    async def antflow_pipeline_start(self) -> object:
        await asyncio.sleep(0)
        self.made.append(self._make())
        return self.made[-1]


async def check(value: Any) -> Any:
    item = current_item()
    assert item is not None
    if value == "once" and item.attempt == 1:
        raise ValueError(value)
    if value == "never":
        raise LookupError(value)
    if value == "long":
        await asyncio.sleep(LONG)
    return value
