"""Each difference from antflow 0.10 that docs/migration.md lists has a test or an entry here.

A test is named as its row. Rows about names that are gone, about calls that raise, and about what
one expression returns, are entries of GONE, REFUSED and RETURNED.
"""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.util
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import aclosing, suppress
from functools import wraps
from importlib.metadata import metadata, requires, version
from pathlib import Path
from typing import Any

import pytest

import antflow
from antflow import (
    DashboardSnapshot,
    ErrorSummary,
    Pipeline,
    PipelineError,
    PipelineResult,
    Stage,
    StageValidationError,
    StatusEvent,
    StatusTracker,
    TaskEvent,
    TaskFailedError,
    current_item,
    rate_limit,
    set_task_status,
)
from tests.helpers.virtual_time import Gate, SimulatedLoop, others, settle, simulate

PAGE = Path(__file__).parents[2] / "docs" / "migration.md"


def rows() -> Iterator[str]:
    """Yield the first cell of each row of the tables of differences."""
    is_listed = False
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        first = line.partition("|")[2].partition("|")[0].strip()
        if first == "what":
            is_listed = True
        elif not first:
            is_listed = False
        elif is_listed and set(first) != {"-"}:
            yield first


def test_every_row_of_the_page_has_a_test() -> None:
    def test_name(row: str) -> str:
        return f"test_{re.sub(r'[^a-z0-9]+', '_', row.lower())}"

    tests = [name for name in globals() if name.startswith("test_")]
    of_tables = [name for name in tests if name.startswith(("test_every_row", "test_rows_"))]
    entries = map(test_name, [*GONE, *REFUSED, *RETURNED])
    assert sorted(map(test_name, rows())) == sorted({*tests} - {*of_tables} | {*entries})


def simulated(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in virtual time."""

    @wraps(test)
    def run_simulated(*args: Any, **kwargs: Any) -> None:
        simulate(lambda: test(*args, **kwargs))

    return run_simulated


def now() -> float:
    return asyncio.get_running_loop().time()


async def same(value: Any) -> Any:
    return value


async def fail(value: Any) -> Any:
    raise ValueError(f"no {value}")


async def slow(value: Any) -> Any:
    await asyncio.sleep(60)
    return value


class Broken:
    """A task that fails some times, then returns its value."""

    def __init__(self, failures: int = 99) -> None:
        self.calls = 0
        self._failures = failures

    async def __call__(self, value: Any) -> Any:
        self.calls += 1
        await asyncio.sleep(1)
        if self.calls <= self._failures:
            raise ConnectionError(f"attempt {self.calls}")
        return value


def stage(*tasks: Any, name: str = "Work", workers: int = 1, **fields: Any) -> Stage:
    fields = {"task_attempts": 1, "task_wait_seconds": 0, **fields}
    return Stage(name, workers, list(tasks or [same]), **fields)


def pipeline_of(*tasks: Any, **fields: Any) -> Pipeline:
    """Return a pipeline of one stage."""
    return Pipeline([stage(*tasks, **fields)])


def values(results: list[PipelineResult]) -> list[Any]:
    return [result.value for result in results]


def run(*stages: Stage, items: Any = (1,), tracker: StatusTracker | None = None) -> list[Any]:
    """Run items through stages and return the values that come out."""
    return values(simulate(Pipeline(stages, status_tracker=tracker).run(items), threads=True))


def ended(pipeline: Pipeline, items: Any = (1,)) -> Pipeline:
    """Return a pipeline after a run."""
    simulate(pipeline.run(items), threads=True)
    return pipeline


async def started(pipeline: Pipeline, items: Any) -> Pipeline:
    """Return a pipeline that has begun with its items."""
    await pipeline.start()
    await pipeline.feed(items)
    await settle()
    return pipeline


class Dashboard:
    """Notes how it is called."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def on_start(self, pipeline: Any, total_items: int | None) -> None:
        self.calls.append(("on_start", total_items))

    def on_update(self, snapshot: DashboardSnapshot) -> None:
        self.calls.append(("on_update", snapshot.pipeline_stats.items_processed))

    def on_finish(self, results: list[PipelineResult], summary: ErrorSummary) -> None:
        self.calls.append(("on_finish", len(results)))


def show(items: Any = (1, 2), **options: Any) -> list[Any]:
    """Run with a dashboard and return how it was called."""
    dashboard = Dashboard()
    simulate(pipeline_of().run(items, custom_dashboard=dashboard, **options))
    return dashboard.calls


def show_on(dashboard: Any) -> None:
    simulate(pipeline_of().run([1], custom_dashboard=dashboard))


# Tables


GONE = {
    "AsyncExecutor": "AsyncExecutor AsyncFuture WaitStrategy ExecutorShutdownError",
    "install_fast_loop": "install_fast_loop",
    "OpenTelemetry": "telemetry configure_telemetry telemetry_enabled",
    "antflow.display": "display",
    "antflow.utils": "utils",
    "get_worker_state": "context.get_worker_state context.worker_state_var",
    "Names away from home": "pipeline.StatusEvent pipeline.TaskEvent pipeline.StageStats",
}
"""Rows about what antflow does not have any more: the names."""


@pytest.mark.parametrize("names", GONE.values(), ids=GONE)
def test_rows_about_names_that_are_gone(names: str) -> None:
    for name in names.split():
        module, _, attribute = f"antflow.{name}".rpartition(".")
        assert not hasattr(importlib.import_module(module), attribute)
        assert module != "antflow" or not importlib.util.find_spec(f"antflow.{name}")


async def cancel_itself(value: int) -> int:
    if value == 1:
        raise asyncio.CancelledError
    return value


async def is_odd(value: int) -> bool:
    return value % 2 == 1


async def double(value: int) -> int:
    return 2 * value


async def feed_deeper(page: int) -> int:
    if page < 100:
        await DEEPER.feed([page + 100, page + 200, page + 300])
    return page


DEEPER = pipeline_of(feed_deeper, queue_capacity=2)


def later(value: Any) -> Awaitable[Any]:
    return same(value)


def split(text: str) -> Iterator[str]:
    yield from text.split()


async def streamed(pipeline: Pipeline, items: Any, **options: Any) -> list[Any]:
    return sorted([result.value async for result in pipeline.stream(items, **options)])


async def numbers() -> AsyncIterator[int]:
    yield 1
    yield 2


async def call_limited(_: int) -> float:
    async with rate_limit():
        return round(now())


async def name_stage(value: int) -> str:
    item = current_item()
    return f"{value} {item and item.stage}"


async def set_statuses(_: int) -> list[bool]:
    first = [set_task_status("one"), set_task_status("two", min_interval=5)]
    await asyncio.sleep(6)
    return [*first, set_task_status("three", min_interval=5)]


RETURNED: dict[str, tuple[Callable[[], Any], Any]] = {
    "Small stream buffers": (
        lambda: simulate(streamed(pipeline_of(), range(100), buffer_size=1)),
        list(range(100)),
    ),
    "Items in whole-stage retry": (
        lambda: run(stage(Broken(2), name="First", retry="per_stage"), stage(), items=["x"]),
        ["x"],
    ),
    "Tasks that raise CancelledError": (lambda: run(stage(cancel_itself), items=[1, 2]), [2]),
    "Feeding from a task": (lambda: len(simulate(DEEPER.run([1, 2, 3]))), 12),
    "Items injected into a stream": (
        lambda: simulate(streamed(DEEPER, [1, 2])),
        [1, 2, 101, 102, 201, 202, 301, 302],
    ),
    "Coroutine functions as skip_if": (
        lambda: run(stage(double, skip_if=is_odd), items=[1, 2]),
        [1, 4],
    ),
    "Input without a length": (
        lambda: [simulate(streamed(pipeline_of(), each)) for each in (iter((1, 2)), numbers())],
        [[1, 2], [1, 2]],
    ),
    "Call rates below 1": (
        lambda: run(stage(call_limited, call_rate=0.5, call_rate_period=60), items=[1, 2]),
        [0, 120],
    ),
    "Python version": (lambda: metadata("antflow-core")["Requires-Python"], ">=3.11"),
    "What is installed with it": (
        lambda: [re.split(r"\W", line)[0] for line in requires("antflow-core") or []],
        ["pluggy"],
    ),
    "Version number": (lambda: antflow.__version__, version("antflow-core")),
    "Type hints": (lambda: Path(antflow.__file__).with_name("py.typed").exists(), True),
    "Plain functions as tasks": (lambda: run(stage(lambda value: value + 1)), [2]),
    "Stages of a pipeline": (lambda: type(pipeline_of().stages), tuple),
    "Repeated tasks in quick": (
        lambda: values(simulate(Pipeline.quick([1], [name_stage, name_stage]))),
        ["1 NameStage NameStage2"],
    ),
    "Statuses": (
        lambda: " ".join(StatusTracker().get_stats()),
        "queued in_progress completed failed retrying skipped dropped unprocessed",
    ),
    "Text of an error summary": (
        lambda: str(ended(pipeline_of(fail), [1, 2, 3]).get_error_summary())[:14],
        "3 failed items",
    ),
    "set_task_status with min_interval": (lambda: run(stage(set_statuses)), [[True, False, True]]),
    "Text of TaskFailedError": (
        lambda: str(TaskFailedError("fetch", ValueError("no page"))),
        "Task 'fetch' failed: ValueError('no page')",
    ),
    "on_update": (
        lambda: show(dashboard_update_interval=60),
        [("on_start", 2), ("on_update", 0), ("on_update", 2), ("on_finish", 2)],
    ),
    "total_items": (lambda: show(iter((1, 2)))[0], ("on_start", None)),
}
"""Rows about what is returned now: an expression, and its value."""


@pytest.mark.parametrize(("returned", "expected"), RETURNED.values(), ids=RETURNED)
def test_rows_about_what_is_returned(returned: Callable[[], Any], expected: Any) -> None:
    assert returned() == expected


class Partial:
    def on_start(self, pipeline: Any, total_items: int | None) -> None: ...


class Emitter:
    async def _emit(self, event: StatusEvent) -> None: ...


def feed_with_priority(priority: Any) -> None:
    simulate(pipeline_of().feed([1], priority=priority))


def tracked_by(tracker: Any) -> Pipeline:
    return Pipeline([stage()], status_tracker=tracker)


REFUSED: dict[str, tuple[type[Exception], str, list[Callable[[], object]]]] = {
    "Values that make no sense": (
        StageValidationError,
        "Work",
        [
            lambda: pipeline_of(queue_capacity=-1),
            lambda: pipeline_of(task_wait_seconds=-1),
            lambda: pipeline_of(task_concurrency_limits={"same": 0}),
            lambda: pipeline_of(call_concurrency=0),
            lambda: pipeline_of(call_rate=0),
        ],
    ),
    "Pull stages with a capacity": (
        StageValidationError,
        "queue_capacity=3",
        [lambda: Pipeline([stage(), stage(name="Pulls", pull=True, queue_capacity=3)])],
    ),
    "Generator functions as tasks": (
        StageValidationError,
        "generator",
        [lambda: run(stage(split))],
    ),
    "Single items where many are expected": (
        TypeError,
        r"\[(text|mapping)\]",
        [lambda: ended(pipeline_of(), "text"), lambda: ended(pipeline_of(), {"id": 1, "value": 2})],
    ),
    "Priorities": (ValueError, "priority", [lambda: feed_with_priority("high")]),
    "Buffer sizes below 0": (
        ValueError,
        "buffer_size",
        [lambda: pipeline_of().stream([1], buffer_size=-1)],
    ),
    "Objects like a tracker": (PipelineError, "StatusTracker", [lambda: tracked_by(Emitter())]),
    "Two displays at once": (
        ValueError,
        "Cannot use both",
        [lambda: show(progress=True), lambda: show(dashboard="compact")],
    ),
    "Dashboards without a method": (ValueError, "on_update", [lambda: show_on(Partial())]),
    "Update interval of 0": (
        ValueError,
        "dashboard_update_interval",
        [lambda: show(dashboard_update_interval=0)],
    ),
}
"""Rows about what raises now: the exception, a part of its text, and calls that raise it."""


@pytest.mark.parametrize(("kind", "text", "calls"), REFUSED.values(), ids=REFUSED)
def test_rows_about_what_is_refused(
    kind: type[Exception], text: str, calls: list[Callable[[], object]]
) -> None:
    for call in calls:
        with pytest.raises(kind, match=text):
            call()


# Faults of 0.10 that are gone


def test_failures_of_a_run() -> None:
    pipeline = ended(pipeline_of(fail), ["x"])
    assert pipeline.results == []
    assert [str(failure.error) for failure in pipeline.failures] == ["no x"]
    (result,) = simulate(pipeline.run(["y"], return_exceptions=True))
    assert isinstance(result.error, ValueError)


def test_raising_tracker_callbacks(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(event: TaskEvent) -> None:
        raise KeyError(event.task_name)

    task = Broken(failures=0)
    tracker = StatusTracker(on_task_complete=refuse)
    assert run(stage(task, task_attempts=3), items=["x"], tracker=tracker) == ["x"]
    assert task.calls == 1
    assert "KeyError" in caplog.text


@simulated
async def test_cancelling_a_run() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await pipeline_of(slow).run([1])
    assert others() == set()
    assert now() < 1.01


@simulated
async def test_idle_pipelines() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulatedLoop)
    async with pipeline_of(workers=50) as pipeline:
        await started(pipeline, [])
        before, tasks = loop.steps, len(others())
        await asyncio.sleep(3600)
        assert loop.steps - before < 10
        assert tasks < 5


@simulated
async def test_two_runs_at_once() -> None:
    pipeline = pipeline_of(slow)
    first = asyncio.ensure_future(pipeline.run([1, 2]))
    await settle()
    with pytest.raises(PipelineError, match="already running"):
        await pipeline.run([3])
    assert values(await first) == [1, 2]


def test_exceptions_that_are_no_exception() -> None:
    async def leave(value: int) -> int:
        raise SystemExit(value)

    async def main() -> None:
        with pytest.raises(SystemExit):
            await pipeline_of(leave).run([3])

    simulate(main)


def test_tasks_that_wait_for_their_own_pipeline() -> None:
    async def wait(method: str) -> None:
        await getattr(pipeline, method)()

    pipeline = pipeline_of(wait)
    failures = ended(pipeline, ["join", "shutdown"]).failures
    assert [type(failure.error) for failure in failures] == [PipelineError] * 2


@simulated
async def test_feeding_a_pipeline_that_stops() -> None:
    pipeline = await started(pipeline_of(slow, queue_capacity=1), [])
    feeding = asyncio.ensure_future(pipeline.feed(range(10)))
    await settle()
    await pipeline.shutdown()
    with pytest.raises(PipelineError, match="stopped"):
        await feeding


def test_several_event_loops() -> None:
    pipeline = pipeline_of(slow, call_concurrency=1, call_rate=1)
    for value in (1, 2):
        assert values(simulate(pipeline.run([value]))) == [value]


def test_ids_that_cannot_be_hashed() -> None:
    tracker = StatusTracker()
    assert run(stage(), items=[{"id": ["x"], "value": 1}], tracker=tracker) == [1]
    assert tracker.get_tracked_ids() == ["['x']"]


def test_attempts_of_failed_items() -> None:
    tracker = StatusTracker()
    run(stage(fail, task_attempts=3), tracker=tracker)
    assert [item.attempts for item in tracker.get_failed_items()] == [3]


def test_private_names() -> None:
    for name in ("_results", "_queues", "_retry_queues", "_worker_states", "_shutdown"):
        assert not hasattr(pipeline_of(), name)


# Defining a pipeline


def test_order_of_the_fields_of_stage() -> None:
    def is_small(value: int) -> bool:
        return value < 10

    made = Stage("Work", 1, [same], "per_task", 1, 0.0, 1, False, {}, None, None, is_small, 5)
    assert (made.skip_if, made.queue_capacity, made.on_skip) == (is_small, 5, None)
    fields = {field.name for field in dataclasses.fields(Stage) if field.kw_only}
    as_before = {"on_skip", "pull", "call_concurrency", "call_rate", "call_rate_period"}
    new = {"retry_wait", "retry_on", "never_retry", "retry_timeout", "max_parked"}
    assert fields == {*as_before, *new, "task_timeout", "item_timeout"}


def test_functions_that_return_an_awaitable() -> None:
    def at_once(value: Any) -> Awaitable[Any]:
        return asyncio.get_running_loop().create_task(same(value))

    pipeline = ended(Pipeline([stage(later, name="Later"), stage(at_once, name="At once")]))
    (failure,) = pipeline.failures
    assert (failure.stage, type(failure.error)) == ("At once", RuntimeError)


def test_tasks_of_a_stage() -> None:
    tasks = {"same": same}.values()
    with pytest.raises(StageValidationError, match="list of tasks"):
        Pipeline([Stage("Work", 1, tasks)])  # type: ignore[arg-type]
    for sequence in (list(tasks), tuple(tasks)):
        assert run(Stage("Work", 1, sequence)) == [1]


def test_retries_of_whole_stages_in_the_builder() -> None:
    task = Broken()
    simulate(Pipeline.create().add("Work", task, retries=5, retry_policy="per_stage").run([1]))
    assert task.calls == 5


# Running and stopping


def test_second_run() -> None:
    pipeline = ended(ended(pipeline_of(), ["a", "b"]), ["c"])
    assert [(result.id, result.value) for result in pipeline.results] == [(0, "c")]
    assert pipeline.get_stats().items_processed == 1
    assert pipeline.get_worker_metrics()["Work-W0"].items_processed == 1


@simulated
async def test_restart_after_join() -> None:
    pipeline = pipeline_of()
    for value in ("a", "b"):
        await started(pipeline, [value])
        await pipeline.join()
    assert values(pipeline.results) == ["b"]


@simulated
async def test_join_before_start() -> None:
    pipeline = pipeline_of()
    with pytest.raises(PipelineError, match="not started"):
        await pipeline.join()
    await pipeline.run([1])
    await pipeline.join()
    await pipeline.feed([2])
    with pytest.raises(PipelineError, match="not started"):
        await pipeline.join()


@simulated
async def test_time_limit_around_join() -> None:
    pipeline = pipeline_of(slow)
    for is_to_go_on in (True, False):
        await started(pipeline, [1])
        joining = asyncio.ensure_future(pipeline.join())
        await asyncio.wait([joining], timeout=1)
        if not is_to_go_on:
            joining.cancel()
        await asyncio.wait([joining])
        assert values(pipeline.results) == ([1] if is_to_go_on else [])
    await started(pipeline, [1])
    await pipeline.shutdown(drain=True, timeout=1)
    assert len(pipeline.unprocessed) == 1


@simulated
async def test_feeding_during_join() -> None:
    pipeline = await started(pipeline_of(slow), [1])
    joining = asyncio.ensure_future(pipeline.join())
    await settle()
    with pytest.raises(PipelineError, match="about to end"):
        await pipeline.feed([2])
    await joining


@simulated
async def test_results_as_items() -> None:
    pipeline = Pipeline([stage(), stage(fail, name="Second")])
    await pipeline.run([1])
    await pipeline.run(pipeline.failures)
    assert [(each.id, each.stage) for each in pipeline.failures] == [(0, "Second")]
    results = await pipeline_of().run(["x"])
    with pytest.raises(ValueError, match=r"Item\(result\.value"):
        await pipeline.run(results)


def test_calls_on_another_event_loop() -> None:
    async def main() -> None:
        pipeline = await started(pipeline_of(), [])
        with pytest.raises(PipelineError, match="feed_threadsafe"):
            await asyncio.to_thread(asyncio.run, pipeline.feed([1]))
        await asyncio.to_thread(lambda: pipeline.feed_threadsafe([2]).result())
        await pipeline.join()
        assert values(pipeline.results) == [2]

    simulate(main, threads=True)


def broken_input() -> Iterator[int]:
    yield 1
    yield 2
    raise KeyError("no third")


def test_input_that_raises() -> None:
    pipeline = pipeline_of(slow)
    with pytest.raises(KeyError):
        simulate(pipeline.run(broken_input()))
    assert values(pipeline.results) == [1, 2]


def test_waits_between_attempts() -> None:
    calls: list[tuple[int, int]] = []

    async def work(number: int) -> None:
        calls.append((number, round(now())))
        if len(calls) == 1:
            raise ConnectionError("once")

    run(stage(work, task_attempts=2, task_wait_seconds=60), items=[1, 2, 3])
    assert calls == [(1, 0), (2, 0), (3, 0), (1, 60)]


@simulated
async def test_retries_at_shutdown() -> None:
    task = Broken()
    pipeline = await started(pipeline_of(task, task_attempts=4, task_wait_seconds=60), [1])
    await asyncio.sleep(30)
    left = await pipeline.shutdown()
    assert (task.calls, len(left), len(pipeline.failures)) == (1, 1, 0)


@simulated
async def test_what_shutdown_leaves(caplog: pytest.LogCaptureFixture) -> None:
    pipeline = await started(pipeline_of(slow), ["a", "b", "c"])
    left = await pipeline.shutdown()
    assert left == pipeline.unprocessed
    await started(pipeline, left)
    await pipeline.join()
    assert values(pipeline.results) == ["b", "c"]
    assert "2 items were returned" in caplog.text


@simulated
async def test_items_between_two_stages_at_shutdown() -> None:
    stages = [stage(slow, name="First"), stage(name="Second")]
    pipeline = await started(Pipeline(stages), ["a", "b"])
    await pipeline.shutdown()
    left = [(item.value, item.stage) for item in pipeline.unprocessed]
    assert left == [("b", "First"), ("a", "Second")]
    await pipeline.start()
    await pipeline.join()
    assert pipeline.results == []


@simulated
async def test_leaving_async_with_by_an_exception() -> None:
    with suppress(KeyError):
        async with pipeline_of(slow) as pipeline:
            await started(pipeline, [1])
            raise KeyError
    assert now() < 1


@simulated
async def test_feeding_a_pull_stage() -> None:
    gate = Gate()
    pipeline = Pipeline([stage(name="First"), stage(gate, name="Pulls", pull=True)])
    await pipeline.start()
    await pipeline.feed(["a"], target_stage="Pulls")
    await pipeline.feed(["b"], target_stage="Pulls")
    assert gate.waiting == ["a"]
    gate.open()
    await pipeline.join()
    assert values(pipeline.results) == ["a", "b"]


# Streams


@pytest.mark.parametrize(("buffer_size", "least", "most"), [(None, 1, 50), (2000, 1000, 1000)])
@simulated
async def test_default_buffer_of_a_stream(buffer_size: int | None, least: int, most: int) -> None:
    items = iter(range(1000))
    async with pipeline_of().stream(items, buffer_size=buffer_size) as results:
        await anext(results)
        await settle()
        assert least <= next(items, 1000) <= most


@simulated
async def test_leaving_a_stream() -> None:
    gate = Gate()
    pipeline = pipeline_of(gate, workers=3)
    async with pipeline.stream(["a", "b", "c"]) as results:
        waiting = asyncio.ensure_future(anext(results))
        await settle()
        gate.let("a")
        await waiting
        gate.let("b")
        await settle()
    assert values(pipeline.undelivered) == ["b"]
    assert [item.value for item in pipeline.unprocessed] == ["c"]


@simulated
async def test_methods_of_a_stream() -> None:
    stream = pipeline_of().stream([1])
    assert isinstance(stream, AsyncIterator)
    assert not hasattr(stream, "asend")
    assert not hasattr(stream, "athrow")
    async with aclosing(stream) as results:
        assert (await anext(results)).value == 1


@simulated
async def test_failures_in_a_stream() -> None:
    seen: list[str] = []
    pipeline = pipeline_of(fail, on_failure=lambda *_: seen.append("on_failure"))
    async with aclosing(pipeline.stream([1])) as results:
        await anext(results)
        assert seen == ["on_failure"]


# Callbacks of a stage


def test_on_success() -> None:
    def note(*_: Any) -> None:
        seen.append(len(pipeline.results))

    seen: list[int] = []
    pipeline = pipeline_of(on_success=note)
    ended(pipeline)
    assert seen == [0]


def test_queued_in_the_next_stage() -> None:
    async def note(event: StatusEvent) -> None:
        await asyncio.sleep(60 if event.status == "queued" else 0)
        events.append((event.stage, event.status))

    events: list[Any] = []
    run(stage(name="First"), stage(name="Second"), tracker=StatusTracker(note))
    assert events[2:5] == [("First", "completed"), ("Second", "queued"), ("Second", "in_progress")]


def test_callbacks_that_return_an_awaitable() -> None:
    async def save(value: Any) -> None:
        await asyncio.sleep(1)
        saved.append(value)

    saved: list[Any] = []
    run(stage(on_success=lambda item_id, value, described: save(value)))
    assert saved == [1]


def test_dict_of_a_callback() -> None:
    def write(item_id: Any, value: Any, described: dict[str, Any]) -> None:
        dicts.append(dict(described))
        described["value"] = "changed"
        item = current_item()
        assert item is not None
        item.metadata["seen"] = True

    dicts: list[dict[str, Any]] = []
    item = {"id": "x", "value": 1, "size": "L"}
    (result,) = ended(pipeline_of(on_success=write), [item]).results
    assert dicts == [item]
    assert (result.value, result.metadata) == (1, {"size": "L", "seen": True})


# Trackers


def test_plain_functions_as_tracker_callbacks() -> None:
    events: list[Any] = []
    assert run(stage(), tracker=StatusTracker(events.append, on_task_start=events.append)) == [1]
    assert len(events) == 4


def test_errors_of_tracker_callbacks(caplog: pytest.LogCaptureFixture) -> None:
    async def refuse(event: StatusEvent) -> None:
        raise KeyError(event.status)

    pipeline = Pipeline([stage()], status_tracker=StatusTracker(refuse))
    for runs in (1, 2):
        ended(pipeline, range(5))
        assert len(caplog.records) == runs


@simulated
async def test_items_left_when_a_run_stops() -> None:
    tracker = StatusTracker()
    pipeline = await started(Pipeline([stage(slow)], status_tracker=tracker), [1, 2, 3])
    await pipeline.shutdown()
    counts = {status: count for status, count in tracker.get_stats().items() if count}
    assert counts == {"completed": 1, "unprocessed": 2}


def test_one_tracker_for_several_runs() -> None:
    tracker = StatusTracker()
    pipeline = Pipeline([stage()], status_tracker=tracker)
    ended(ended(pipeline, ["x"]), ["x"])
    assert tracker.get_tracked_ids() == [0]
    assert len({event.run_id for event in tracker.get_history(0)}) == 2


def test_error_summary_of_several_runs() -> None:
    tracker = StatusTracker()
    pipeline = Pipeline([stage(fail)], status_tracker=tracker)
    ended(ended(pipeline, [{"id": "x"}]), [{"id": "y"}])
    assert pipeline.get_error_summary().total_failed == 1
    assert tracker.get_error_summary().total_failed == 2


def test_events_in_a_history() -> None:
    events: list[StatusEvent] = []
    tracker = StatusTracker(events.append)
    run(stage(), tracker=tracker)
    history = tracker.get_history(0)
    assert history == events
    assert history is not tracker.get_history(0)
    assert events[0].item.id == 0
    with pytest.raises(LookupError, match="history"):
        history[0].item.id  # noqa: B018 - reading it raises


def limited() -> tuple[list[float], list[float | None]]:
    """Run two items through a task that takes a minute, one at a time."""
    starts: list[float] = []
    durations: list[float | None] = []

    async def on_task_start(event: TaskEvent) -> None:
        starts.append(now())
        await asyncio.sleep(1)

    tracker = StatusTracker(
        on_task_start=on_task_start,
        on_task_complete=lambda event: durations.append(event.duration),
    )
    limit = {"slow": 1}
    run(stage(slow, workers=2, task_concurrency_limits=limit), items=[1, 2], tracker=tracker)
    return starts, durations


def test_start_of_a_limited_task() -> None:
    assert limited()[0] == pytest.approx([0, 61], abs=0.1)


def test_durations_of_task_events() -> None:
    assert limited()[1] == pytest.approx([60, 60], abs=0.1)


# Statistics and results


def test_error_summary_without_a_tracker() -> None:
    summary = ended(pipeline_of(fail), [1, 2, 3]).get_error_summary()
    assert summary.errors_by_type == {"ValueError": 3}
    assert summary.errors_by_stage == {"Work": 3}
    assert len(summary.failed_items) == 3


def test_many_failures() -> None:
    tracker = StatusTracker()
    pipeline = Pipeline([stage(fail)], collect_results=False, status_tracker=tracker)
    summary = ended(pipeline, range(10_003)).get_error_summary()
    assert (summary.total_failed, len(summary.failed_items)) == (10_003, 10_000)
    assert len(tracker.get_failed_items()) == 10_003


def test_worker_states_and_metrics() -> None:
    pipeline = pipeline_of()
    before = pipeline.get_worker_metrics()["Work-W0"]
    ended(pipeline)
    assert before.items_processed == 0
    assert pipeline.get_worker_metrics()["Work-W0"].items_processed == 1


def test_frozen_snapshots() -> None:
    stats = pipeline_of().get_stats()
    with pytest.raises(dataclasses.FrozenInstanceError):
        stats.items_processed = 3  # type: ignore[misc]
    assert not hasattr(stats, "__dict__")
    assert dataclasses.replace(stats, items_processed=3).items_processed == 3
    assert dataclasses.asdict(stats)["items_processed"] == 0


def test_results_as_objects() -> None:
    (result,) = ended(pipeline_of(), [{"id": "x", "value": 1, "size": "L"}]).results
    with pytest.raises(AttributeError):
        result.note = "mine"  # type: ignore[attr-defined]
    fields = {"id": "x", "value": 1, "sequence_id": 0, "metadata": {"size": "L"}, "error": None}
    fields |= {"stage": None, "attempts": 1, "outcome": "succeeded", "reason": None}
    assert dataclasses.asdict(result) == fields


@simulated
async def test_queue_sizes() -> None:
    gate = Gate()
    last = stage(gate, name="Last", queue_capacity=2)
    pipeline = Pipeline([stage(name="First", workers=3), last])
    await pipeline.start()
    feeding = asyncio.ensure_future(pipeline.feed(range(10)))
    await settle()
    stats = pipeline.get_stats()
    assert stats.queue_sizes["Last"] == 2 + 3
    assert stats.stage_stats["First"].completed_items == 1 + 2 + 3
    gate.open()
    await feeding
    await pipeline.join()


def test_time_spent_by_a_worker() -> None:
    stages = [stage(name="First"), stage(slow, name="Last", queue_capacity=1)]
    pipeline = ended(Pipeline(stages), range(5))
    assert pipeline.get_worker_metrics()["First-W0"].total_processing_time < 1
    assert pipeline.get_stats().stage_stats["First"].seconds["blocked"] > 60


# Displays


def test_built_in_displays(capsys: pytest.CaptureFixture[str]) -> None:
    simulate(pipeline_of().run([1], progress=True))
    assert "1 of 1 item" in capsys.readouterr().err
    names: list[Any] = ["compact", "detailed", "full"]
    for name in names:
        with pytest.raises(ValueError, match="antflow-rich"):
            simulate(pipeline_of().run([1], dashboard=name))


def test_other_values_of_progress() -> None:
    nothings: list[Any] = [None, 0, ""]
    for nothing in nothings:
        assert values(simulate(pipeline_of().run([1], nothing))) == [1]
    with pytest.raises(ValueError, match="buffer_size"):
        pipeline_of().stream([1], 10)  # type: ignore[arg-type]


def test_dashboards_that_raise(caplog: pytest.LogCaptureFixture) -> None:
    class Faulty(Dashboard):
        def on_update(self, snapshot: DashboardSnapshot) -> None:
            super().on_update(snapshot)
            raise KeyError("no colours")

    dashboard = Faulty()
    assert values(simulate(pipeline_of().run([1], custom_dashboard=dashboard))) == [1]
    assert dashboard.calls == [("on_start", 1), ("on_update", 0)]
    assert "no colours" in caplog.text


def test_on_finish() -> None:
    dashboard = Dashboard()
    with pytest.raises(KeyError):
        simulate(pipeline_of().run(broken_input(), custom_dashboard=dashboard))
    assert dashboard.calls[-1] == ("on_finish", 2)


# Log


def test_handler() -> None:
    names = [name for name in logging.getLogger().manager.loggerDict if name[:7] == "antflow"]
    loggers = map(logging.getLogger, names)
    assert all(not logger.handlers and not logger.level for logger in loggers)


def test_loggers(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(*_: Any) -> None:
        raise KeyError("no")

    run(stage(on_success=refuse))
    (record,) = caplog.records
    assert record.name.startswith("antflow._")


def test_failed_and_skipped_items(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    run(stage(fail), items=[1, 2])
    run(stage(skip_if=bool), items=[1])
    (record,) = caplog.records
    assert record.name == "antflow"
    assert record.getMessage().startswith("2 of 2 items failed: ValueError x2 in Work: no 1 (item ")
