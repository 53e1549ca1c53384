"""Each difference from antflow 0.10 that docs/migration.md lists has a test of its name here."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.util
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import aclosing
from importlib.metadata import metadata, requires, version
from pathlib import Path
from typing import Any

import pytest

import antflow
import antflow.context
import antflow.pipeline
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


def test_page_and_tests_belong_together() -> None:
    listed = [f"test_{re.sub(r'[^a-z0-9]+', '_', row.lower())}" for row in rows()]
    tests = [name for name in globals() if name.startswith("test_") and "page_and" not in name]
    assert sorted(listed) == sorted(tests)


def now() -> float:
    return asyncio.get_running_loop().time()


async def same(value: Any) -> Any:
    return value


async def fail(value: Any) -> Any:
    raise ValueError(f"no {value}")


async def slow(value: Any) -> Any:
    await asyncio.sleep(60)
    return value


def stage(*tasks: Any, name: str = "Work", workers: int = 1, **fields: Any) -> Stage:
    fields = {"task_attempts": 1, "task_wait_seconds": 0, **fields}
    return Stage(name, workers, list(tasks or [same]), **fields)


def values(results: list[PipelineResult]) -> list[Any]:
    return [result.value for result in results]


def run(*stages: Stage, items: Any = (1,), tracker: StatusTracker | None = None) -> list[Any]:
    """Run items through stages and return the values that come out."""
    return values(simulate(Pipeline(stages, status_tracker=tracker).run(items)))


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
    simulate(Pipeline([stage()]).run(items, custom_dashboard=dashboard, **options))
    return dashboard.calls


# Faults of 0.10 that are gone


def test_items_in_whole_stage_retry() -> None:
    task = Broken(failures=2)
    first = stage(task, name="First", retry="per_stage")
    assert run(first, stage(name="Second"), items=["x"]) == ["x"]
    assert task.calls == 3


def test_small_stream_buffers() -> None:
    async def main() -> int:
        stream = Pipeline([stage()]).stream(range(100), buffer_size=1)
        return len([result async for result in stream])

    assert simulate(main) == 100


def test_failures_of_a_run() -> None:
    pipeline = Pipeline([stage(fail)])
    assert simulate(pipeline.run(["x"])) == []
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


def test_cancelling_a_run() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await Pipeline([stage(slow)]).run([1])
        assert others() == set()
        return now()

    assert simulate(main) == pytest.approx(1, abs=0.01)


def test_idle_pipelines() -> None:
    async def main() -> tuple[int, int]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulatedLoop)
        async with Pipeline([stage(workers=50)]) as pipeline:
            await pipeline.start()
            await settle()
            before, tasks = loop.steps, len(others())
            await asyncio.sleep(3600)
            return loop.steps - before, tasks

    steps, tasks = simulate(main)
    assert steps < 10
    assert tasks < 5


def test_two_runs_at_once() -> None:
    async def main() -> list[Any]:
        pipeline = Pipeline([stage(slow)])
        first = asyncio.ensure_future(pipeline.run([1, 2]))
        await settle()
        with pytest.raises(PipelineError, match="already running"):
            await pipeline.run([3])
        return values(await first)

    assert simulate(main) == [1, 2]


def test_tasks_that_raise_cancellederror() -> None:
    async def give_up(value: int) -> int:
        if value == 1:
            raise asyncio.CancelledError
        return value

    pipeline = Pipeline([stage(give_up)])
    assert values(simulate(pipeline.run([1, 2]))) == [2]
    assert values(pipeline.failures) == [1]


def test_exceptions_that_are_no_exception() -> None:
    async def leave(value: int) -> int:
        raise SystemExit(value)

    async def main() -> None:
        with pytest.raises(SystemExit):
            await Pipeline([stage(leave)]).run([3])

    simulate(main)


def test_feeding_from_a_task() -> None:
    async def visit(page: int) -> int:
        if page < 100:
            await pipeline.feed([page + 100, page + 200, page + 300])
        return page

    pipeline = Pipeline([stage(visit, queue_capacity=2)])
    assert len(simulate(pipeline.run([1, 2, 3]))) == 12


def test_tasks_that_wait_for_their_own_pipeline() -> None:
    async def wait(method: str) -> None:
        await getattr(pipeline, method)()

    pipeline = Pipeline([stage(wait)])
    simulate(pipeline.run(["join", "shutdown"]))
    assert [type(failure.error) for failure in pipeline.failures] == [PipelineError] * 2


def test_feeding_a_pipeline_that_stops() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(slow, queue_capacity=1)])
        await pipeline.start()
        feeding = asyncio.ensure_future(pipeline.feed(range(10)))
        await settle()
        await pipeline.shutdown()
        with pytest.raises(PipelineError, match="stopped"):
            await feeding

    simulate(main)


def test_coroutine_functions_as_skip_if() -> None:
    async def is_odd(value: int) -> bool:
        return value % 2 == 1

    async def double(value: int) -> int:
        return 2 * value

    assert run(stage(double, skip_if=is_odd), items=[1, 2]) == [1, 4]


def test_items_injected_into_a_stream() -> None:
    async def main() -> list[int]:
        return sorted([result.value async for result in pipeline.stream([1, 2])])

    async def visit(page: int) -> int:
        if page < 10:
            await pipeline.feed([page + 10])
        return page

    pipeline = Pipeline([stage(visit)])
    assert simulate(main) == [1, 2, 11, 12]


def test_input_without_a_length() -> None:
    async def numbers() -> AsyncIterator[int]:
        yield 1
        yield 2

    async def main() -> list[list[int]]:
        pipeline = Pipeline([stage()])
        inputs: list[Any] = [(number for number in (1, 2)), numbers()]
        return [[result.value async for result in pipeline.stream(items)] for items in inputs]

    assert simulate(main) == [[1, 2], [1, 2]]


def test_several_event_loops() -> None:
    pipeline = Pipeline([stage(slow, call_concurrency=1, call_rate=1)])
    for value in (1, 2):
        assert values(simulate(pipeline.run([value]))) == [value]


def test_call_rates_below_1() -> None:
    async def call(value: int) -> float:
        async with rate_limit():
            return now()

    limited = stage(call, call_rate=0.5, call_rate_period=60)
    first, second = run(limited, items=[1, 2])
    assert second - first == pytest.approx(120, abs=1)


def test_ids_that_cannot_be_hashed() -> None:
    tracker = StatusTracker()
    assert run(stage(), items=[{"id": ["x"], "value": 1}], tracker=tracker) == [1]
    assert tracker.get_tracked_ids() == ["['x']"]


def test_attempts_of_failed_items() -> None:
    tracker = StatusTracker()
    run(stage(fail, task_attempts=3), tracker=tracker)
    assert [item.attempts for item in tracker.get_failed_items()] == [3]


# The package, and its names


def test_python_version() -> None:
    assert metadata("antflow-core")["Requires-Python"] == ">=3.11"


def test_what_is_installed_with_it() -> None:
    needed = {re.split(r"\W", line)[0] for line in requires("antflow-core") or []}
    assert needed & {"rich", "tenacity", "uvloop"} == set()


def test_version_number() -> None:
    assert antflow.__version__ == version("antflow-core")


def test_type_hints() -> None:
    assert Path(antflow.__file__).with_name("py.typed").exists()


def test_asyncexecutor() -> None:
    for name in ("AsyncExecutor", "AsyncFuture", "WaitStrategy", "ExecutorShutdownError"):
        assert not hasattr(antflow, name)


def test_install_fast_loop() -> None:
    assert not hasattr(antflow, "install_fast_loop")


def is_module(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def test_opentelemetry() -> None:
    assert not is_module("antflow.telemetry")
    assert not hasattr(antflow, "configure_telemetry")
    assert not hasattr(antflow, "telemetry_enabled")


def test_antflow_display() -> None:
    assert not is_module("antflow.display")


def test_antflow_utils() -> None:
    assert not is_module("antflow.utils")
    pipeline = Pipeline([stage(fail, task_attempts=2)])
    simulate(pipeline.run([1]))
    assert type(pipeline.failures[0].error) is ValueError


def test_get_worker_state() -> None:
    assert not hasattr(antflow.context, "get_worker_state")
    assert not hasattr(antflow.context, "worker_state_var")

    async def who(value: int) -> tuple[Any, Any]:
        item = current_item()
        return item and item.id, pipeline.get_worker_states()["Work-W0"].current_item_id

    pipeline = Pipeline([stage(who)])
    assert values(simulate(pipeline.run([{"id": "x"}]))) == [("x", "x")]


def test_names_away_from_home() -> None:
    for name in ("StatusEvent", "TaskEvent", "StageStats"):
        assert not hasattr(antflow.pipeline, name)
        assert hasattr(antflow, name)


def test_private_names() -> None:
    pipeline = Pipeline([stage()])
    for name in ("_results", "_queues", "_retry_queues", "_worker_states", "_shutdown"):
        assert not hasattr(pipeline, name)
    assert not hasattr(antflow.pipeline, "RendezvousChannel")


# Defining a pipeline


def test_order_of_the_fields_of_stage() -> None:
    def is_odd(value: int) -> bool:
        return value % 2 == 1

    made = Stage("Work", 1, [same], "per_task", 1, 0.0, 1, False, {}, None, None, is_odd, 5)
    assert (made.skip_if, made.queue_capacity, made.on_skip) == (is_odd, 5, None)
    fields = {field.name for field in dataclasses.fields(Stage) if field.kw_only}
    as_before = {"on_skip", "pull", "call_concurrency", "call_rate", "call_rate_period"}
    assert fields == {*as_before, "never_retry"}


def test_plain_functions_as_tasks() -> None:
    pipeline = Pipeline([stage(lambda value: value + 1)])
    assert values(simulate(pipeline.run([1]), threads=True)) == [2]


def test_functions_that_return_an_awaitable() -> None:
    def later(value: Any) -> Awaitable[Any]:
        return same(value)

    def at_once(value: Any) -> Awaitable[Any]:
        return asyncio.get_running_loop().create_task(same(value))

    pipeline = Pipeline([stage(later, name="Later"), stage(at_once, name="At once")])
    assert simulate(pipeline.run([1]), threads=True) == []
    (failure,) = pipeline.failures
    assert (failure.stage, type(failure.error)) == ("At once", RuntimeError)


def test_values_that_make_no_sense() -> None:
    senseless: list[dict[str, Any]] = [
        {"queue_capacity": -1},
        {"task_wait_seconds": -1},
        {"task_concurrency_limits": {"same": 0}},
        {"call_concurrency": 0},
        {"call_rate": 0},
    ]
    for fields in senseless:
        with pytest.raises(StageValidationError):
            Pipeline([stage(**fields)])
    assert run(stage(queue_capacity=0), items=range(100)) == list(range(100))


def test_tasks_of_a_stage() -> None:
    tasks = {"same": same}.values()
    with pytest.raises(StageValidationError, match="list of tasks"):
        Pipeline([Stage("Work", 1, tasks)])  # type: ignore[arg-type]
    for sequence in (list(tasks), tuple(tasks)):
        assert run(Stage("Work", 1, sequence)) == [1]


def test_pull_stages_with_a_capacity() -> None:
    with pytest.raises(StageValidationError, match="queue_capacity=3"):
        Pipeline([stage(), stage(name="Pulls", pull=True, queue_capacity=3)])


def test_stages_of_a_pipeline() -> None:
    stages = [stage()]
    assert Pipeline(stages).stages == tuple(stages)


def test_generator_functions_as_tasks() -> None:
    def split(text: str) -> Iterator[str]:
        yield from text.split()

    with pytest.raises(StageValidationError, match="generator"):
        Pipeline([stage(split)])


def test_repeated_tasks_in_quick() -> None:
    async def fetch(value: int) -> str:
        item = current_item()
        return f"{value} {item and item.stage}"

    results = simulate(Pipeline.quick([1], [fetch, fetch]))
    assert values(results) == ["1 Fetch Fetch2"]


def test_retries_of_whole_stages_in_the_builder() -> None:
    task = Broken()
    builder = Pipeline.create().add("Work", task, retries=5, retry_policy="per_stage")
    simulate(builder.run([1]))
    assert task.calls == 5


# Running and stopping


def test_second_run() -> None:
    pipeline = Pipeline([stage()])
    simulate(pipeline.run(["a", "b"]))
    results = simulate(pipeline.run(["c"]))
    assert [(result.id, result.value) for result in results] == [(0, "c")]
    assert pipeline.get_stats().items_processed == 1
    assert pipeline.get_worker_metrics()["Work-W0"].items_processed == 1


def test_restart_after_join() -> None:
    async def main() -> list[Any]:
        pipeline = Pipeline([stage()])
        for value in ("a", "b"):
            await pipeline.start()
            await pipeline.feed([value])
            await pipeline.join()
        return values(pipeline.results)

    assert simulate(main) == ["b"]


def test_join_before_start() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage()])
        with pytest.raises(PipelineError, match="not started"):
            await pipeline.join()
        await pipeline.run([1])
        await pipeline.join()
        await pipeline.feed([2])
        with pytest.raises(PipelineError, match="not started"):
            await pipeline.join()

    simulate(main)


def test_time_limit_around_join() -> None:
    async def main() -> list[Any]:
        pipeline = Pipeline([stage(slow)])
        kept = []
        for is_to_go_on in (True, False):
            await pipeline.start()
            await pipeline.feed([1])
            joining = asyncio.ensure_future(pipeline.join())
            await asyncio.wait([joining], timeout=1)
            if not is_to_go_on:
                joining.cancel()
            await asyncio.wait([joining])
            kept.append(values(pipeline.results))
        await pipeline.start()
        await pipeline.feed([1])
        await pipeline.shutdown(drain=True, timeout=1)
        return [*kept, len(pipeline.unprocessed)]

    assert simulate(main) == [[1], [], 1]


def test_feeding_during_join() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(slow)])
        await pipeline.start()
        await pipeline.feed([1])
        joining = asyncio.ensure_future(pipeline.join())
        await settle()
        with pytest.raises(PipelineError, match="about to end"):
            await pipeline.feed([2])
        await joining

    simulate(main)


def test_single_items_where_many_are_expected() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(same)])
        for items in ("text", {"a": 1}, {"id": 1, "value": 2}):
            with pytest.raises(TypeError, match=r"\[(text|mapping)\]"):
                await pipeline.run(items)
        assert values(await pipeline.run(list({"a": 1}))) == ["a"]

    simulate(main)


def test_results_as_items() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(same), stage(fail, name="Second")])
        await pipeline.run([1])
        failures = pipeline.failures
        await pipeline.run(failures)
        assert [(each.id, each.stage) for each in pipeline.failures] == [(0, "Second")]
        results = await Pipeline([stage(same)]).run(["x"])
        with pytest.raises(ValueError, match=r"Item\(result\.value"):
            await pipeline.run(results)

    simulate(main)


def test_calls_on_another_event_loop() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(same)])
        await pipeline.start()
        with pytest.raises(PipelineError, match="feed_threadsafe"):
            await asyncio.to_thread(asyncio.run, pipeline.feed([1]))
        await asyncio.to_thread(lambda: pipeline.feed_threadsafe([2]).result())
        await pipeline.join()
        assert values(pipeline.results) == [2]

    simulate(main, threads=True)


def test_input_that_raises() -> None:
    def numbers() -> Iterator[int]:
        yield 1
        yield 2
        raise KeyError("no third")

    async def main() -> list[Any]:
        pipeline = Pipeline([stage(slow)])
        with pytest.raises(KeyError):
            await pipeline.run(numbers())
        return values(pipeline.results)

    assert simulate(main) == [1, 2]


def test_waits_between_attempts() -> None:
    calls: list[tuple[int, float]] = []

    async def work(number: int) -> None:
        calls.append((number, now()))
        if len(calls) == 1:
            raise ConnectionError("once")

    async def main() -> list[tuple[int, float]]:
        began = now()
        await Pipeline([stage(work, task_attempts=2, task_wait_seconds=60)]).run([1, 2, 3])
        return [(number, round(at - began)) for number, at in calls]

    assert simulate(main) == [(1, 0), (2, 0), (3, 0), (1, 60)]


def test_retries_at_shutdown() -> None:
    async def main() -> list[Any]:
        task = Broken()
        pipeline = Pipeline([stage(task, task_attempts=4, task_wait_seconds=60)])
        await pipeline.start()
        await pipeline.feed([1])
        await asyncio.sleep(30)
        left = await pipeline.shutdown()
        return [task.calls, len(left), len(pipeline.failures)]

    assert simulate(main) == [1, 1, 0]


def test_what_shutdown_leaves(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> list[Any]:
        pipeline = Pipeline([stage(slow)])
        await pipeline.start()
        await pipeline.feed(["a", "b", "c"])
        await settle()
        left = await pipeline.shutdown()
        assert left == pipeline.unprocessed
        await pipeline.start()
        await pipeline.feed(left)
        await pipeline.join()
        return values(pipeline.results)

    assert simulate(main) == ["b", "c"]
    assert "2 items were returned" in caplog.text


def test_items_between_two_stages_at_shutdown() -> None:
    async def main() -> list[Any]:
        pipeline = Pipeline([stage(slow, name="First"), stage(name="Second")])
        await pipeline.start()
        await pipeline.feed(["a", "b"])
        await settle()
        await pipeline.shutdown()
        left = [(item.value, item.stage) for item in pipeline.unprocessed]
        await pipeline.start()
        await pipeline.join()
        return [*left, *values(pipeline.results)]

    assert simulate(main) == [("b", "First"), ("a", "Second")]


def test_leaving_async_with_by_an_exception() -> None:
    async def leave() -> None:
        async with Pipeline([stage(slow)]) as pipeline:
            await pipeline.start()
            await pipeline.feed([1])
            await settle()
            raise KeyError

    async def main() -> float:
        with pytest.raises(KeyError):
            await leave()
        return now()

    assert simulate(main) < 1


def test_feeding_a_pull_stage() -> None:
    async def main() -> list[Any]:
        gate = Gate()
        pipeline = Pipeline([stage(name="First"), stage(gate, name="Pulls", pull=True)])
        await pipeline.start()
        await pipeline.feed(["a"], target_stage="Pulls")
        await pipeline.feed(["b"], target_stage="Pulls")
        waiting = list(gate.waiting)
        gate.open()
        await pipeline.join()
        return [*waiting, *values(pipeline.results)]

    assert simulate(main) == ["a", "a", "b"]


def test_priorities() -> None:
    with pytest.raises(ValueError, match="priority"):
        simulate(Pipeline([stage()]).feed([1], priority="high"))  # type: ignore[arg-type]


# Streams


def test_default_buffer_of_a_stream() -> None:
    async def main() -> list[int]:
        read: list[int] = []

        def numbers() -> Iterator[int]:
            for number in range(1000):
                read.append(number)
                yield number

        pipeline = Pipeline([stage()])
        counts = []
        for buffer_size in (None, 2000):
            read.clear()
            async with pipeline.stream(numbers(), buffer_size=buffer_size) as results:
                await anext(results)
                await settle()
                counts.append(len(read))
        return counts

    bounded, unbounded = simulate(main)
    assert bounded < 50
    assert unbounded == 1000


def test_buffer_sizes_below_0() -> None:
    with pytest.raises(ValueError, match="buffer_size"):
        Pipeline([stage()]).stream([1], buffer_size=-1)


def test_leaving_a_stream() -> None:
    async def main() -> None:
        gate = Gate()
        pipeline = Pipeline([stage(gate, workers=3)])
        async with pipeline.stream(["a", "b", "c"]) as results:
            waiting = asyncio.ensure_future(anext(results))
            await settle()
            gate.let("a")
            await waiting
            gate.let("b")
            await settle()
        assert values(pipeline.undelivered) == ["b"]
        assert [item.value for item in pipeline.unprocessed] == ["c"]

    simulate(main)


def test_methods_of_a_stream() -> None:
    stream = Pipeline([stage()]).stream([1])
    assert isinstance(stream, AsyncIterator)
    assert not hasattr(stream, "asend")
    assert not hasattr(stream, "athrow")

    async def main() -> Any:
        async with aclosing(stream) as results:
            return (await anext(results)).value

    assert simulate(main) == 1


def test_failures_in_a_stream() -> None:
    seen: list[Any] = []

    async def main() -> list[Any]:
        pipeline = Pipeline([stage(fail, on_failure=lambda *_: seen.append("on_failure"))])
        async with aclosing(pipeline.stream([1])) as results:
            await anext(results)
            return list(seen)

    assert simulate(main) == ["on_failure"]


# Callbacks of a stage


def test_on_success() -> None:
    def note(item_id: Any, value: Any, described: dict[str, Any]) -> None:
        seen.append(len(pipeline.results))

    seen: list[int] = []
    pipeline = Pipeline([stage(on_success=note)])
    simulate(pipeline.run([1]))
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
    pipeline = Pipeline([stage(on_success=write)])
    (result,) = simulate(pipeline.run([{"id": "x", "value": 1, "size": "L"}]))
    assert dicts == [{"id": "x", "value": 1, "size": "L"}]
    assert (result.value, result.metadata) == (1, {"size": "L", "seen": True})


# Trackers


def test_plain_functions_as_tracker_callbacks() -> None:
    events: list[Any] = []
    tracker = StatusTracker(events.append, on_task_start=events.append)
    assert run(stage(), tracker=tracker) == [1]
    assert len(events) == 4


def test_errors_of_tracker_callbacks(caplog: pytest.LogCaptureFixture) -> None:
    async def refuse(event: StatusEvent) -> None:
        raise KeyError(event.status)

    pipeline = Pipeline([stage()], status_tracker=StatusTracker(refuse))
    for runs in (1, 2):
        simulate(pipeline.run(range(5)))
        assert len(caplog.records) == runs


def test_statuses() -> None:
    assert list(StatusTracker().get_stats()) == [
        "queued",
        "in_progress",
        "completed",
        "failed",
        "retrying",
        "skipped",
        "dropped",
        "unprocessed",
    ]


def test_items_left_when_a_run_stops() -> None:
    async def main() -> dict[str, int]:
        tracker = StatusTracker()
        pipeline = Pipeline([stage(slow)], status_tracker=tracker)
        await pipeline.start()
        await pipeline.feed([1, 2, 3])
        await settle()
        await pipeline.shutdown()
        return {status: count for status, count in tracker.get_stats().items() if count}

    assert simulate(main) == {"completed": 1, "unprocessed": 2}


def test_one_tracker_for_several_runs() -> None:
    tracker = StatusTracker()
    pipeline = Pipeline([stage()], status_tracker=tracker)
    for _ in range(2):
        simulate(pipeline.run(["x"]))
    assert tracker.get_tracked_ids() == [0]
    assert len({event.run_id for event in tracker.get_history(0)}) == 2


def test_error_summary_of_several_runs() -> None:
    tracker = StatusTracker()
    pipeline = Pipeline([stage(fail)], status_tracker=tracker)
    for item_id in ("x", "y"):
        simulate(pipeline.run([{"id": item_id}]))
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
        history[0].item.id  # noqa: B018 - it is the asking that raises


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
    starts, _ = limited()
    assert starts == pytest.approx([0, 61], abs=0.1)


def test_durations_of_task_events() -> None:
    _, durations = limited()
    assert durations == pytest.approx([60, 60], abs=0.1)


def test_objects_like_a_tracker() -> None:
    class Tracker:
        async def _emit(self, event: StatusEvent) -> None: ...

    with pytest.raises(PipelineError, match="StatusTracker"):
        Pipeline([stage()], status_tracker=Tracker())  # type: ignore[arg-type]


# Statistics and results


def failed_summary() -> ErrorSummary:
    pipeline = Pipeline([stage(fail)])
    simulate(pipeline.run([1, 2, 3]))
    return pipeline.get_error_summary()


def test_error_summary_without_a_tracker() -> None:
    summary = failed_summary()
    assert summary.errors_by_type == {"ValueError": 3}
    assert summary.errors_by_stage == {"Work": 3}
    assert len(summary.failed_items) == 3


def test_many_failures() -> None:
    tracker = StatusTracker()
    pipeline = Pipeline([stage(fail)], collect_results=False, status_tracker=tracker)
    simulate(pipeline.run(range(10_003)))
    summary = pipeline.get_error_summary()
    assert (summary.total_failed, len(summary.failed_items)) == (10_003, 10_000)
    assert len(tracker.get_failed_items()) == 10_003


def test_text_of_an_error_summary() -> None:
    assert str(failed_summary()).startswith("3 failed items")


def test_worker_states_and_metrics() -> None:
    pipeline = Pipeline([stage()])
    before = pipeline.get_worker_metrics()["Work-W0"]
    simulate(pipeline.run([1]))
    assert before.items_processed == 0
    assert pipeline.get_worker_metrics()["Work-W0"].items_processed == 1


def test_frozen_snapshots() -> None:
    stats = Pipeline([stage()]).get_stats()
    with pytest.raises(dataclasses.FrozenInstanceError):
        stats.items_processed = 3  # type: ignore[misc]
    assert not hasattr(stats, "__dict__")
    assert dataclasses.replace(stats, items_processed=3).items_processed == 3
    assert dataclasses.asdict(stats)["items_processed"] == 0


def test_results_as_objects() -> None:
    (result,) = simulate(Pipeline([stage()]).run([{"id": "x", "value": 1, "size": "L"}]))
    with pytest.raises(AttributeError):
        result.note = "mine"  # type: ignore[attr-defined]
    assert dataclasses.asdict(result) == {
        "id": "x",
        "value": 1,
        "sequence_id": 0,
        "metadata": {"size": "L"},
        "error": None,
        "stage": None,
        "attempts": 1,
        "outcome": "succeeded",
        "reason": None,
    }


def test_queue_sizes() -> None:
    async def main() -> None:
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

    simulate(main)


def test_time_spent_by_a_worker() -> None:
    pipeline = Pipeline([stage(name="First"), stage(slow, name="Last", queue_capacity=1)])
    simulate(pipeline.run(range(5)))
    assert pipeline.get_worker_metrics()["First-W0"].total_processing_time < 1
    assert pipeline.get_stats().stage_stats["First"].seconds["blocked"] > 60


def test_set_task_status_with_min_interval() -> None:
    async def speak(value: int) -> list[bool]:
        said = [set_task_status("one"), set_task_status("two", min_interval=5)]
        await asyncio.sleep(6)
        return [*said, set_task_status("three", min_interval=5)]

    assert run(stage(speak)) == [[True, False, True]]


def test_text_of_taskfailederror() -> None:
    error = TaskFailedError("fetch", ValueError("no page"))
    assert str(error) == "Task 'fetch' failed: ValueError('no page')"
    assert str(error.original_exception) == "no page"


# Displays


def test_built_in_displays(capsys: pytest.CaptureFixture[str]) -> None:
    simulate(Pipeline([stage()]).run([1], progress=True))
    assert "1 of 1 item" in capsys.readouterr().err
    asked: list[dict[str, Any]] = [
        {"dashboard": "compact"},
        {"dashboard": "detailed"},
        {"dashboard": "full"},
    ]
    for options in asked:
        with pytest.raises(ValueError, match="antflow-rich"):
            simulate(Pipeline([stage()]).run([1], **options))


def test_two_displays_at_once() -> None:
    with pytest.raises(ValueError, match="Cannot use both"):
        show(progress=True)
    with pytest.raises(ValueError, match="Cannot use both"):
        show(dashboard="compact")


def test_other_values_of_progress() -> None:
    pipeline = Pipeline([stage()])
    for nothing in (None, 0, ""):
        assert values(simulate(pipeline.run([1], nothing))) == [1]  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="buffer_size"):
        pipeline.stream([1], 10)  # type: ignore[arg-type]


def test_dashboards_that_raise(caplog: pytest.LogCaptureFixture) -> None:
    class Faulty(Dashboard):
        def on_update(self, snapshot: DashboardSnapshot) -> None:
            super().on_update(snapshot)
            raise KeyError("no colours")

    dashboard = Faulty()
    results = simulate(Pipeline([stage()]).run([1], custom_dashboard=dashboard))
    assert values(results) == [1]
    assert dashboard.calls == [("on_start", 1), ("on_update", 0)]
    assert "no colours" in caplog.text


def test_dashboards_without_a_method() -> None:
    class Partial:
        def on_start(self, pipeline: Any, total_items: int | None) -> None: ...

    with pytest.raises(ValueError, match="on_update"):
        simulate(Pipeline([stage()]).run([1], custom_dashboard=Partial()))  # type: ignore[arg-type]


def test_on_finish() -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise KeyError("no second")

    async def main() -> list[Any]:
        dashboard = Dashboard()
        with pytest.raises(KeyError):
            await Pipeline([stage()]).run(numbers(), custom_dashboard=dashboard)
        return dashboard.calls

    assert simulate(main)[-1] == ("on_finish", 1)


def test_on_update() -> None:
    assert show(dashboard_update_interval=60) == [
        ("on_start", 2),
        ("on_update", 0),
        ("on_update", 2),
        ("on_finish", 2),
    ]


def test_total_items() -> None:
    assert show(number for number in (1, 2))[0] == ("on_start", None)


def test_update_interval_of_0() -> None:
    with pytest.raises(ValueError, match="dashboard_update_interval"):
        show(dashboard_update_interval=0)


# Log


def loggers() -> list[logging.Logger]:
    existing = logging.getLogger().manager.loggerDict
    return [logging.getLogger(name) for name in existing if name.partition(".")[0] == "antflow"]


def test_handler() -> None:
    assert all(not logger.handlers and not logger.level for logger in loggers())


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
