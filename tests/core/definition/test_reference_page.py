"""The reference page, name by name and parameter by parameter: what it states has a test here.

`PAGE` holds the names of the page with their signatures and, in our words, what it says of each.
A test says by `@shows` which of these places it is about. At the end it is checked that no place
is without a test.
"""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import inspect
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple, TypeVar

import pytest

import antflow
from antflow import (
    DashboardProtocol,
    DashboardSnapshot,
    ErrorSummary,
    Pipeline,
    PipelineBuilder,
    PipelineError,
    PipelineResult,
    PipelineStats,
    Stage,
    StageValidationError,
    StatusEvent,
    StatusTracker,
    TaskEvent,
    WorkerMetrics,
    WorkerState,
)
from tests.helpers.runs import double, same, values
from tests.helpers.virtual_time import Gate, others, settle, simulate

Test = TypeVar("Test", bound=Callable[..., object])

REQUIRED = inspect.Parameter.empty


class Entry(NamedTuple):
    """What the page has on one name.

    Args:
        kind: "class", "method", "coroutine", "class method", "class coroutine", "property" or
            "async iterator".
        parameters: with their defaults, in order.
        statements: what else it says.
    """

    kind: str
    parameters: dict[str, Any]
    statements: tuple[str, ...] = ()


STAGE_DEFAULTS: dict[str, Any] = {
    "retry": "per_task",
    "task_attempts": 3,
    "task_wait_seconds": 1.0,
    "stage_attempts": 3,
    "unpack_args": False,
    "task_concurrency_limits": {},
    "on_success": None,
    "on_failure": None,
    "skip_if": None,
    "queue_capacity": None,
}
FEEDING = {"items": REQUIRED, "target_stage": None, "priority": 100}

PAGE: dict[str, Entry] = {
    "Stage": Entry(
        "class",
        {"name": REQUIRED, "workers": REQUIRED, "tasks": REQUIRED, **STAGE_DEFAULTS},
        ("is a dataclass",),
    ),
    "Stage.validate": Entry("method", {}, ("raises StageValidationError",)),
    "Pipeline": Entry(
        "class",
        {"stages": REQUIRED, "collect_results": True, "status_tracker": None},
        (
            "the usage example",
            "each stage has workers of its own, and works on an item by itself",
            "items go from one stage to the next",
            "raises PipelineError without stages",
            "raises StageValidationError for an invalid stage",
        ),
    ),
    "Pipeline.results": Entry(
        "property", {}, ("in the order of the input", "empty without collect_results")
    ),
    "Pipeline.create": Entry("class method", {}, ("returns the builder",)),
    "Pipeline.quick": Entry(
        "class coroutine",
        {
            "items": REQUIRED,
            "tasks": REQUIRED,
            "workers": 5,
            "retries": 3,
            "progress": False,
            "dashboard": None,
        },
        ("one task is one stage", "a list is a stage for each", "returns results"),
    ),
    "Pipeline.get_stats": Entry("method", {}, ("returns the present statistics",)),
    "Pipeline.get_worker_names": Entry("method", {}, ("before any run", "the example")),
    "Pipeline.get_worker_states": Entry("method", {}, ("returns WorkerState by worker",)),
    "Pipeline.get_worker_metrics": Entry("method", {}, ("returns WorkerMetrics by worker",)),
    "Pipeline.get_dashboard_snapshot": Entry(
        "method", {}, ("returns states, metrics and statistics",)
    ),
    "Pipeline.get_error_summary": Entry(
        "method", {}, ("in detail with a tracker", "counts without one")
    ),
    "Pipeline.feed": Entry("coroutine", FEEDING, ("raises ValueError for an unknown stage",)),
    "Pipeline.feed_async": Entry("coroutine", FEEDING, ("raises ValueError for an unknown stage",)),
    "Pipeline.start": Entry(
        "coroutine", {}, ("processes in the background", "raises PipelineError when running")
    ),
    "Pipeline.join": Entry("coroutine", {}, ("waits for all items", "stops the workers")),
    "Pipeline.run": Entry(
        "coroutine",
        {
            "items": REQUIRED,
            "progress": False,
            "dashboard": None,
            "custom_dashboard": None,
            "dashboard_update_interval": 0.5,
        },
        (
            "start, feed and join in one",
            "returns results",
            "progress and dashboard exclude each other",
            "updates make no events",
            "a tracker is called at once, without an interval",
        ),
    ),
    "Pipeline.stream": Entry(
        "async iterator",
        {"items": REQUIRED, "progress": False},
        (
            "yields results as soon as they complete",
            "in the order of completion",
            "a break shuts the pipeline down",
            "keeps no results, whatever collect_results says",
            "leaves collect_results as it was",
        ),
    ),
    "Pipeline.shutdown": Entry("coroutine", {}, ("stops", "may leave items unprocessed")),
    "Pipeline.__aexit__": Entry("coroutine", {}, ("shuts down",)),
}
PLACES = {
    place
    for name, entry in PAGE.items()
    for place in [
        *(f"{name}({parameter})" for parameter in entry.parameters),
        *(f"{name}: {statement}" for statement in entry.statements),
    ]
}
SHOWN: set[str] = set()


def shows(*places: str) -> Callable[[Test], Test]:
    """Say which places of the page a test is about."""
    unknown = set(places) - PLACES
    assert not unknown, f"not on the page: {unknown}"

    def note(test: Test) -> Test:
        assert test.__name__.startswith("test_")
        SHOWN.update(places)
        return test

    return note


def named(path: str) -> Any:
    """Return what the page calls so."""
    thing: Any = antflow
    for part in path.split("."):
        thing = getattr(thing, part)
    return thing


async def add_one(value: int) -> int:
    return value + 1


async def fail(value: Any) -> Any:
    raise ValueError(f"no {value}")


async def slow(value: Any) -> Any:
    await asyncio.sleep(1)
    return value


async def wait_for(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


async def later(items: list[Any]) -> AsyncIterator[Any]:
    for item in items:
        await asyncio.sleep(1)
        yield item


class Flaky:
    """A task that fails some times, then returns its value."""

    def __init__(self, failures: int) -> None:
        self.calls: list[Any] = []
        self._failures = failures

    async def __call__(self, value: Any) -> Any:
        self.calls.append(value)
        if len(self.calls) <= self._failures:
            raise ConnectionError(f"attempt {len(self.calls)}")
        return value


class Dashboard:
    """Notes how it is called, and when."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, float]] = []
        self.started: tuple[Any, int | None] | None = None
        self.snapshots: list[DashboardSnapshot] = []
        self.finished: tuple[list[PipelineResult], ErrorSummary] | None = None

    def on_start(self, pipeline: Pipeline, total_items: int | None) -> None:
        self.started = (pipeline, total_items)
        self._note("on_start")

    def on_update(self, snapshot: DashboardSnapshot) -> None:
        self.snapshots.append(snapshot)
        self._note("on_update")

    def on_finish(self, results: list[PipelineResult], summary: ErrorSummary) -> None:
        self.finished = (results, summary)
        self._note("on_finish")

    def _note(self, call: str) -> None:
        self.calls.append((call, asyncio.get_running_loop().time()))


# Signatures


@pytest.mark.parametrize("name", [name for name in PAGE if PAGE[name].kind != "property"])
def test_a_signature_begins_as_on_the_page(name: str) -> None:
    ours = [
        parameter
        for parameter in inspect.signature(named(name)).parameters.values()
        if parameter.name != "self"
    ]
    page = PAGE[name].parameters
    for parameter, (expected, default) in zip(ours, page.items(), strict=False):
        assert parameter.name == expected
        assert parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        if name != "Stage":  # whose defaults are looked at below
            assert parameter.default == default
    assert len(ours) >= len(page)


@pytest.mark.parametrize(
    "name",
    [name for name in PAGE if PAGE[name].kind != "property" and not name.endswith("__")],
)
def test_what_we_add_to_a_signature_may_be_left_out(name: str) -> None:
    parameters = inspect.signature(named(name)).parameters.values()
    added = [one for one in parameters if one.name not in {"self", *PAGE[name].parameters}]
    assert all(parameter.default is not REQUIRED for parameter in added)


def test_stages_fields_are_in_the_order_of_the_page() -> None:
    fields = [field.name for field in dataclasses.fields(Stage)]
    assert fields[: len(PAGE["Stage"].parameters)] == list(PAGE["Stage"].parameters)


@pytest.mark.parametrize("field", STAGE_DEFAULTS)
def test_a_field_of_stage_has_the_default_of_the_page(field: str) -> None:
    assert getattr(Stage("Work", 1, [same]), field) == STAGE_DEFAULTS[field]


def kind_of(name: str) -> str:
    owner, _, attribute = name.rpartition(".")
    if not owner:
        return "class"
    plain = inspect.getattr_static(named(owner), attribute)
    if isinstance(plain, property):
        return "property"
    called = "coroutine" if inspect.iscoroutinefunction(named(name)) else "method"
    return f"class {called}" if isinstance(plain, classmethod) else called


@pytest.mark.parametrize("name", PAGE)
def test_a_name_is_of_the_kind_that_the_page_says(name: str) -> None:
    kind = PAGE[name].kind
    assert kind_of(name) == ("method" if kind == "async iterator" else kind)


# Stage


@shows("Stage: is a dataclass")
def test_a_stage_is_a_dataclass() -> None:
    stage = Stage("Work", 1, [same])
    assert dataclasses.is_dataclass(stage)
    assert dataclasses.replace(stage, workers=2) == Stage("Work", 2, [same])


@shows("Stage(name)")
def test_name_names_the_stage_in_statistics_and_events() -> None:
    events: list[StatusEvent] = []
    pipeline = Pipeline([Stage("Fetch", 1, [same])], status_tracker=StatusTracker(events.append))
    simulate(pipeline.run([1]))
    assert list(pipeline.get_stats().stage_stats) == ["Fetch"]
    assert {event.stage for event in events} == {"Fetch"}


@shows("Stage(workers)")
def test_workers_is_how_many_items_are_worked_on_at_once() -> None:
    async def main() -> int:
        gate = Gate()
        pipeline = Pipeline([Stage("Work", 3, [gate])])
        await pipeline.start()
        await pipeline.feed(range(10))
        await settle()
        at_once = len(gate.waiting)
        gate.open()
        await pipeline.join()
        return at_once

    assert simulate(main) == 3


@shows("Stage(tasks)")
def test_tasks_run_one_after_the_other_on_each_item() -> None:
    pipeline = Pipeline([Stage("Work", 1, [double, add_one, double])])
    assert values(simulate(pipeline.run([1, 2]))) == [6, 10]


@shows("Stage(retry)")
@pytest.mark.parametrize(("retry", "first_calls"), [("per_task", 1), ("per_stage", 3)])
def test_retry_says_whether_the_task_or_the_stage_is_tried_again(
    retry: Any, first_calls: int
) -> None:
    first, second = Flaky(0), Flaky(2)
    stage = Stage("Work", 1, [first, second], retry, task_wait_seconds=0)
    assert values(simulate(Pipeline([stage]).run([7]))) == [7]
    assert (len(first.calls), len(second.calls)) == (first_calls, 3)


@shows("Stage(task_attempts)")
@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_task_attempts_is_how_often_a_task_is_called(attempts: int) -> None:
    task = Flaky(9)
    stage = Stage("Work", 1, [task], task_attempts=attempts, task_wait_seconds=0)
    assert simulate(Pipeline([stage]).run([1])) == []
    assert len(task.calls) == attempts


@shows("Stage(task_wait_seconds)")
def test_task_wait_seconds_is_what_passes_between_two_attempts() -> None:
    async def main() -> float:
        await Pipeline([Stage("Work", 1, [Flaky(2)], task_wait_seconds=60)]).run([1])
        return asyncio.get_running_loop().time()

    assert simulate(main) == pytest.approx(120, abs=0.1)


@shows("Stage(stage_attempts)")
@pytest.mark.parametrize("attempts", [1, 4])
def test_stage_attempts_is_how_often_the_stage_is_tried(attempts: int) -> None:
    task = Flaky(9)
    stage = Stage("Work", 1, [task], retry="per_stage", stage_attempts=attempts)
    assert simulate(Pipeline([stage]).run([1])) == []
    assert len(task.calls) == attempts


@shows("Stage(unpack_args)")
def test_unpack_args_passes_a_dict_as_keywords_and_a_sequence_as_positions() -> None:
    async def subtract(a: int, b: int = 0) -> int:
        return a - b

    pipeline = Pipeline([Stage("Work", 1, [subtract], unpack_args=True)])
    items = [{"b": 1, "a": 3}, (5, 1), [9, 3], 7]
    assert values(simulate(pipeline.run(items))) == [2, 4, 6, 7]


@shows("Stage(task_concurrency_limits)")
def test_task_concurrency_limits_bound_the_workers_inside_of_a_task() -> None:
    async def main() -> list[int]:
        first, second = Gate("first"), Gate("second")
        limits = {"second": 2}
        stage = Stage("Work", 5, [first, second], task_concurrency_limits=limits)
        first.open()
        pipeline = Pipeline([stage])
        await pipeline.start()
        await pipeline.feed(range(5))
        await settle()
        at_once = [len(first.entered), len(second.waiting)]
        second.open()
        await pipeline.join()
        return at_once

    assert simulate(main) == [5, 2]


@shows("Stage(on_success)")
def test_on_success_gets_id_value_and_a_dict() -> None:
    calls: list[Any] = []
    stage = Stage("Work", 1, [double], on_success=lambda *arguments: calls.append(arguments))
    simulate(Pipeline([stage]).run([{"id": "x", "value": 2, "size": "L"}]))
    assert calls == [("x", 4, {"id": "x", "value": 4, "size": "L"})]


@shows("Stage(on_failure)")
def test_on_failure_gets_id_error_and_a_dict() -> None:
    calls: list[Any] = []
    stage = Stage(
        "Work",
        1,
        [fail],
        task_attempts=1,
        on_failure=lambda *arguments: calls.append(arguments),
    )
    simulate(Pipeline([stage]).run([{"id": "x", "value": 2, "size": "L"}]))
    ((item_id, error, described),) = calls
    assert (item_id, described) == ("x", {"id": "x", "value": 2, "size": "L"})
    assert isinstance(error, ValueError)


@shows("Stage(skip_if)")
def test_skip_if_says_which_values_pass_untouched() -> None:
    stages = [Stage("Double", 1, [double], skip_if=lambda value: value > 2)]
    assert values(simulate(Pipeline(stages).run([1, 2, 3]))) == [2, 4, 3]


@shows("Stage(queue_capacity)")
@pytest.mark.parametrize(("capacity", "waiting"), [(None, 20), (4, 4)])
def test_queue_capacity_bounds_what_waits_in_front(capacity: int | None, waiting: int) -> None:
    async def main() -> int:
        gate = Gate()
        pipeline = Pipeline([Stage("Work", 2, [gate], queue_capacity=capacity)])
        await pipeline.start()
        feeding = asyncio.ensure_future(pipeline.feed(range(50)))
        await settle()
        sizes = pipeline.get_stats().queue_sizes
        gate.open()
        await feeding
        await pipeline.join()
        return sizes["Work"]

    assert simulate(main) == waiting


@shows("Stage.validate: raises StageValidationError")
@pytest.mark.parametrize(
    "fields",
    [
        {"retry": "sometimes"},
        {"workers": 0},
        {"tasks": []},
        {"task_attempts": 0},
        {"stage_attempts": 0},
        {"task_concurrency_limits": {"unheard_of": 1}},
    ],
)
def test_validate_raises_for_what_contradicts_itself(fields: dict[str, Any]) -> None:
    stage = Stage(**{"name": "Work", "workers": 1, "tasks": [same], **fields})
    with pytest.raises(StageValidationError, match="Work"):
        stage.validate()


def test_validate_says_nothing_of_a_valid_stage() -> None:
    Stage("Work", 1, [same]).validate()


# Pipeline: the overview and the constructor


@shows("Pipeline: the usage example", "Pipeline(stages)", "Pipeline.run: returns results")
def test_the_usage_example() -> None:
    async def fetch_data(url: str) -> str:
        return f"page of {url}"

    async def process_data(data: str) -> str:
        return data.upper()

    stage1 = Stage(name="Fetch", workers=5, tasks=[fetch_data])
    stage2 = Stage(name="Process", workers=2, tasks=[process_data])
    pipeline = Pipeline(stages=[stage1, stage2])
    results = simulate(pipeline.run(["http://example.com/1", "http://example.com/2"]))
    assert isinstance(results, list)
    assert [f"ID: {result.id}, Value: {result.value}" for result in results] == [
        "ID: 0, Value: PAGE OF HTTP://EXAMPLE.COM/1",
        "ID: 1, Value: PAGE OF HTTP://EXAMPLE.COM/2",
    ]


@shows("Pipeline: each stage has workers of its own, and works on an item by itself")
def test_a_slow_item_holds_no_other_stage_and_no_other_worker() -> None:
    async def main() -> list[float]:
        stages = [Stage("First", 2, [wait_for]), Stage("Second", 2, [same])]
        return [result.value async for result in Pipeline(stages).stream([10, 1, 1, 1])]

    assert simulate(main) == [1, 1, 1, 10]


@shows("Pipeline: items go from one stage to the next")
def test_each_stage_gets_what_the_one_before_returned() -> None:
    stages = [Stage("Double", 1, [double]), Stage("More", 1, [add_one]), Stage("Text", 1, [double])]
    assert values(simulate(Pipeline(stages).run([1, 2]))) == [6, 10]


@shows("Pipeline(collect_results)", "Pipeline.results: empty without collect_results")
@pytest.mark.parametrize("collect", [True, False])
def test_collect_results_says_whether_results_are_kept(collect: bool) -> None:
    pipeline = Pipeline([Stage("Work", 1, [double])], collect_results=collect)
    results = simulate(pipeline.run([1, 2]))
    assert values(results) == values(pipeline.results) == ([2, 4] if collect else [])
    assert pipeline.get_stats().items_processed == 2


@shows("Pipeline(status_tracker)")
def test_a_status_tracker_learns_the_status_of_each_item() -> None:
    tracker = StatusTracker()
    simulate(Pipeline([Stage("Work", 1, [same])], status_tracker=tracker).run([5]))
    assert [event.status for event in tracker.get_history(0)] == [
        "queued",
        "in_progress",
        "completed",
    ]


@shows("Pipeline: raises PipelineError without stages")
def test_no_stages_is_a_pipeline_error() -> None:
    with pytest.raises(PipelineError, match="at least one stage"):
        Pipeline([])


@shows("Pipeline: raises StageValidationError for an invalid stage")
def test_an_invalid_stage_is_a_stage_validation_error() -> None:
    with pytest.raises(StageValidationError, match="Broken"):
        Pipeline([Stage("Good", 1, [same]), Stage("Broken", 0, [same])])


@shows("Pipeline.results: in the order of the input")
def test_results_are_in_the_order_of_the_input() -> None:
    pipeline = Pipeline([Stage("Wait", 3, [wait_for])])
    simulate(pipeline.run([3, 2, 1]))
    assert values(pipeline.results) == [3, 2, 1]


@shows("Pipeline.create: returns the builder")
def test_create_returns_a_builder_that_chains() -> None:
    builder = Pipeline.create()
    assert isinstance(builder, PipelineBuilder)
    built = builder.add("Double", double, workers=2).add("More", add_one).build()
    assert isinstance(built, Pipeline)
    assert values(simulate(built.run([1, 2]))) == [3, 5]


# Pipeline.quick


@shows(
    "Pipeline.quick(items)",
    "Pipeline.quick: one task is one stage",
    "Pipeline.quick: returns results",
)
def test_quick_runs_items_through_one_task() -> None:
    results = simulate(Pipeline.quick([1, 2], double))
    assert all(isinstance(result, PipelineResult) for result in results)
    assert values(results) == [2, 4]


@shows("Pipeline.quick(tasks)", "Pipeline.quick: a list is a stage for each")
def test_quick_makes_a_stage_of_each_task() -> None:
    stages: list[str] = []

    async def note(value: int) -> int:
        item = antflow.current_item()
        stages.append(item.stage if item else "")
        return value

    async def note_again(value: int) -> int:
        return await note(value)

    assert values(simulate(Pipeline.quick([1], [note, double, note_again]))) == [2]
    assert stages == ["Note", "NoteAgain"]


@shows("Pipeline.quick(workers)")
@pytest.mark.parametrize(("options", "seconds"), [({}, 2), ({"workers": 1}, 10)])
def test_quick_has_so_many_workers_a_stage(options: dict[str, Any], seconds: int) -> None:
    async def main() -> float:
        await Pipeline.quick(range(10), slow, **options)
        return asyncio.get_running_loop().time()

    assert simulate(main) == pytest.approx(seconds, abs=0.1)


@shows("Pipeline.quick(retries)")
@pytest.mark.parametrize(("options", "calls"), [({}, 3), ({"retries": 1}, 1), ({"retries": 5}, 5)])
def test_quick_makes_so_many_attempts(options: dict[str, Any], calls: int) -> None:
    task = Flaky(9)
    assert simulate(Pipeline.quick([1], task, **options)) == []
    assert len(task.calls) == calls


@shows("Pipeline.quick(progress)", "Pipeline.quick(dashboard)")
@pytest.mark.parametrize(
    "options",
    [{"dashboard": name} for name in ("compact", "detailed", "full")],
)
def test_quick_asks_for_a_display(
    options: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="antflow-rich"):
        simulate(Pipeline.quick([1], same, **options))
    simulate(Pipeline.quick([1], same, progress=True))
    assert "1 of 1 item" in capsys.readouterr().err


# Reading a pipeline


@shows("Pipeline.get_stats: returns the present statistics")
def test_get_stats_returns_the_present_statistics() -> None:
    async def main() -> None:
        gate = Gate()
        pipeline = Pipeline([Stage("Work", 1, [gate])])
        await pipeline.start()
        await pipeline.feed(["a", "b", "c"])
        await settle()
        gate.let("a")
        await settle()
        stats = pipeline.get_stats()
        assert isinstance(stats, PipelineStats)
        assert (stats.items_processed, stats.items_failed, stats.items_in_flight) == (1, 0, 2)
        assert stats.queue_sizes == {"Work": 1}
        stage = stats.stage_stats["Work"]
        assert (stage.pending_items, stage.in_progress_items, stage.completed_items) == (1, 1, 1)
        gate.open()
        await pipeline.join()
        assert pipeline.get_stats().items_processed == 3

    simulate(main)


@shows("Pipeline.get_worker_names: before any run", "Pipeline.get_worker_names: the example")
def test_the_example_of_get_worker_names() -> None:
    pipeline = Pipeline(
        stages=[
            Stage(name="Fetch", workers=3, tasks=[same]),
            Stage(name="Process", workers=2, tasks=[same]),
        ]
    )
    assert pipeline.get_worker_names() == {
        "Fetch": ["Fetch-W0", "Fetch-W1", "Fetch-W2"],
        "Process": ["Process-W0", "Process-W1"],
    }


@shows("Pipeline.get_worker_states: returns WorkerState by worker")
def test_get_worker_states_says_who_holds_what() -> None:
    async def main() -> dict[str, WorkerState]:
        gate = Gate("visit")
        pipeline = Pipeline([Stage("Work", 2, [gate])])
        await pipeline.start()
        await pipeline.feed([{"id": "x", "value": 1}])
        await settle()
        states = pipeline.get_worker_states()
        gate.open()
        await pipeline.join()
        assert {state.status for state in pipeline.get_worker_states().values()} == {"idle"}
        return states

    states = simulate(main)
    assert list(states) == ["Work-W0", "Work-W1"]
    (busy,) = (state for state in states.values() if state.status == "busy")
    assert isinstance(busy, WorkerState)
    assert (busy.stage, busy.current_item_id, busy.current_task) == ("Work", "x", "visit")
    assert busy.processing_since is not None


@shows("Pipeline.get_worker_metrics: returns WorkerMetrics by worker")
def test_get_worker_metrics_says_what_each_has_done() -> None:
    pipeline = Pipeline([Stage("Work", 1, [slow])])
    simulate(pipeline.run([1, 2]))
    (metrics,) = pipeline.get_worker_metrics().values()
    assert isinstance(metrics, WorkerMetrics)
    assert (metrics.worker_name, metrics.stage) == ("Work-W0", "Work")
    assert (metrics.items_processed, metrics.items_failed) == (2, 0)
    assert metrics.avg_processing_time == pytest.approx(1, abs=0.01)


@shows("Pipeline.get_dashboard_snapshot: returns states, metrics and statistics")
def test_get_dashboard_snapshot_has_it_all() -> None:
    pipeline = Pipeline([Stage("Work", 1, [same])])
    simulate(pipeline.run([1]))
    snapshot = pipeline.get_dashboard_snapshot()
    assert isinstance(snapshot, DashboardSnapshot)
    assert snapshot.worker_states == pipeline.get_worker_states()
    assert snapshot.worker_metrics.keys() == {"Work-W0"}
    assert snapshot.pipeline_stats.items_processed == 1
    assert snapshot.error_summary.total_failed == 0
    assert snapshot.timestamp > 0


@shows(
    "Pipeline.get_error_summary: in detail with a tracker",
    "Pipeline.get_error_summary: counts without one",
)
@pytest.mark.parametrize("tracked", [True, False])
def test_get_error_summary_tells_what_failed(tracked: bool) -> None:
    stage = Stage("Work", 1, [fail], task_attempts=1)
    pipeline = Pipeline([stage], status_tracker=StatusTracker() if tracked else None)
    simulate(pipeline.run(["x", "y"]))
    summary = pipeline.get_error_summary()
    assert isinstance(summary, ErrorSummary)
    assert summary.total_failed == 2
    assert summary.errors_by_type == {"ValueError": 2}
    assert summary.errors_by_stage == {"Work": 2}
    assert [item.error for item in summary.failed_items] == ["no x", "no y"]


# Feeding


async def feed_all(pipeline: Pipeline, how: str, items: list[Any], **options: Any) -> None:
    if how == "feed":
        await pipeline.feed(items, **options)
    else:
        await pipeline.feed_async(later(items), **options)


both_ways_to_feed = pytest.mark.parametrize("how", ["feed", "feed_async"])


@shows("Pipeline.feed(items)", "Pipeline.feed_async(items)")
@both_ways_to_feed
def test_items_that_are_fed_are_processed(how: str) -> None:
    async def main() -> list[Any]:
        pipeline = Pipeline([Stage("Double", 1, [double])])
        await pipeline.start()
        await feed_all(pipeline, how, [1, 2])
        await pipeline.join()
        return values(pipeline.results)

    assert simulate(main) == [2, 4]


@shows("Pipeline.feed(target_stage)", "Pipeline.feed_async(target_stage)")
@both_ways_to_feed
@pytest.mark.parametrize(("options", "value"), [({}, 5), ({"target_stage": "More"}, 3)])
def test_target_stage_is_where_items_enter(how: str, options: dict[str, Any], value: int) -> None:
    async def main() -> list[Any]:
        pipeline = Pipeline([Stage("Double", 1, [double]), Stage("More", 1, [add_one])])
        await pipeline.start()
        await feed_all(pipeline, how, [2], **options)
        await pipeline.join()
        return values(pipeline.results)

    assert simulate(main) == [value]


@shows("Pipeline.feed(priority)", "Pipeline.feed_async(priority)")
@both_ways_to_feed
def test_a_lower_priority_goes_first_and_100_is_the_default(how: str) -> None:
    async def main() -> list[Any]:
        gate = Gate()
        pipeline = Pipeline([Stage("Work", 1, [gate])])
        await pipeline.start()
        await pipeline.feed(["blocker"])
        await settle()
        await feed_all(pipeline, how, ["late"], priority=101)
        await feed_all(pipeline, how, ["usual", "as usual"])
        await feed_all(pipeline, how, ["early"], priority=99)
        gate.open()
        await pipeline.join()
        return gate.entered

    assert simulate(main) == ["blocker", "early", "usual", "as usual", "late"]


@shows(
    "Pipeline.feed: raises ValueError for an unknown stage",
    "Pipeline.feed_async: raises ValueError for an unknown stage",
)
@both_ways_to_feed
def test_an_unknown_target_stage_is_a_value_error(how: str) -> None:
    pipeline = Pipeline([Stage("Work", 1, [same])])
    with pytest.raises(ValueError, match="'Wrok' not found"):
        simulate(feed_all(pipeline, how, [1], target_stage="Wrok"))


# Starting and ending


@shows("Pipeline.start: processes in the background")
def test_start_returns_and_items_are_processed_as_they_come() -> None:
    async def main() -> list[int]:
        pipeline = Pipeline([Stage("Work", 1, [slow])])
        await pipeline.start()
        seen = []
        for number in range(2):
            await pipeline.feed([number])
            await asyncio.sleep(5)
            seen.append(pipeline.get_stats().items_processed)
        await pipeline.join()
        return seen

    assert simulate(main) == [1, 2]


@shows("Pipeline.start: raises PipelineError when running")
def test_a_second_start_is_a_pipeline_error() -> None:
    async def main() -> None:
        async with Pipeline([Stage("Work", 1, [same])]) as pipeline:
            await pipeline.start()
            with pytest.raises(PipelineError, match="already running"):
                await pipeline.start()

    simulate(main)


@shows("Pipeline.join: waits for all items", "Pipeline.join: stops the workers")
def test_join_waits_for_everything_fed_and_then_for_the_workers() -> None:
    async def main() -> None:
        pipeline = Pipeline([Stage("First", 1, [slow]), Stage("Second", 1, [slow])])
        await pipeline.start()
        await pipeline.feed(range(5))
        await pipeline.join()
        assert values(pipeline.results) == [0, 1, 2, 3, 4]
        assert others() == set()

    simulate(main)


@shows("Pipeline.shutdown: stops", "Pipeline.shutdown: may leave items unprocessed")
def test_shutdown_lets_what_runs_end_and_leaves_the_rest() -> None:
    async def main() -> None:
        pipeline = Pipeline([Stage("Work", 1, [slow])])
        await pipeline.start()
        await pipeline.feed(["a", "b"])
        await asyncio.sleep(0.5)
        await pipeline.shutdown()
        assert others() == set()
        assert values(pipeline.results) == ["a"]
        assert [item.value for item in pipeline.unprocessed] == ["b"]

    simulate(main)


@shows("Pipeline.__aexit__: shuts down")
def test_leaving_async_with_shuts_down() -> None:
    async def main() -> None:
        async with Pipeline([Stage("Work", 1, [slow])]) as pipeline:
            await pipeline.start()
            await pipeline.feed(["a"])
            await asyncio.sleep(0.5)
        assert others() == set()
        assert values(pipeline.results) == ["a"]

    simulate(main)


# Pipeline.run


@shows("Pipeline.run(items)", "Pipeline.run: start, feed and join in one")
def test_run_does_what_start_feed_and_join_do() -> None:
    async def step_by_step() -> list[PipelineResult]:
        pipeline = Pipeline([Stage("Double", 2, [double])])
        await pipeline.start()
        await pipeline.feed([1, 2, 3])
        await pipeline.join()
        return pipeline.results

    at_once = simulate(Pipeline([Stage("Double", 2, [double])]).run([1, 2, 3]))
    assert at_once == simulate(step_by_step)


def ask(method: str, **options: Any) -> None:
    """Run or stream with displays asked for."""

    async def main() -> None:
        pipeline = Pipeline([Stage("Work", 1, [same])])
        if method == "run":
            await pipeline.run([1], **options)
        else:
            async for _ in pipeline.stream([1], **options):
                pass

    simulate(main)


@shows("Pipeline.run(progress)", "Pipeline.stream(progress)")
@pytest.mark.parametrize("method", ["run", "stream"])
def test_progress_is_shown_on_standard_error(
    method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(method, progress=False)
    assert capsys.readouterr() == ("", "")
    ask(method, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "1 of 1 item" in err


@shows("Pipeline.run(dashboard)")
@pytest.mark.parametrize("name", ["compact", "detailed", "full"])
def test_dashboard_asks_for_a_display_that_antflow_rich_has(name: str) -> None:
    ask("run", dashboard=None)
    with pytest.raises(ValueError, match=f"{name}.*antflow-rich"):
        ask("run", dashboard=name)


@shows("Pipeline.run: progress and dashboard exclude each other")
@pytest.mark.parametrize("method", ["run", "stream"])
def test_progress_and_dashboard_at_once_are_a_value_error(method: str) -> None:
    with pytest.raises(ValueError, match="Cannot use both"):
        ask(method, progress=True, dashboard="compact")


def run_shown(items: list[Any], **options: Any) -> Dashboard:
    dashboard = Dashboard()
    assert isinstance(dashboard, DashboardProtocol)
    pipeline = Pipeline([Stage("Work", 1, [slow])])
    simulate(pipeline.run(items, custom_dashboard=dashboard, **options))
    assert dashboard.started == (pipeline, len(items))
    return dashboard


@shows("Pipeline.run(custom_dashboard)")
def test_a_custom_dashboard_is_started_updated_and_finished() -> None:
    dashboard = run_shown([1, 2])
    names = [name for name, _ in dashboard.calls]
    assert (names[0], names[-1]) == ("on_start", "on_finish")
    assert set(names[1:-1]) == {"on_update"}
    assert dashboard.snapshots[-1].pipeline_stats.items_processed == 2
    assert dashboard.finished is not None
    results, summary = dashboard.finished
    assert (values(results), summary.total_failed) == ([1, 2], 0)


@shows("Pipeline.run(dashboard_update_interval)")
@pytest.mark.parametrize(
    ("options", "interval"), [({}, 0.5), ({"dashboard_update_interval": 2}, 2)]
)
def test_a_dashboard_is_updated_each_interval(options: dict[str, Any], interval: float) -> None:
    dashboard = run_shown([1] * 10, **options)
    times = [time for name, time in dashboard.calls if name == "on_update"]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert gaps[:-1] == pytest.approx([interval] * (len(gaps) - 1), abs=0.01)
    assert len(gaps) == pytest.approx(10 / interval, abs=1)


@shows("Pipeline.run: updates make no events")
def test_updates_of_a_dashboard_make_no_events() -> None:
    def statuses(**options: Any) -> list[str]:
        events: list[StatusEvent] = []
        tracker = StatusTracker(events.append)
        pipeline = Pipeline([Stage("Work", 1, [slow])], status_tracker=tracker)
        simulate(pipeline.run([1, 2], **options))
        return [event.status for event in events]

    options = {"custom_dashboard": Dashboard(), "dashboard_update_interval": 0.01}
    assert statuses(**options) == statuses()


@shows("Pipeline.run: a tracker is called at once, without an interval")
def test_a_tracker_is_called_when_it_happens() -> None:
    times: list[float] = []

    def note(event: TaskEvent) -> None:
        times.append(asyncio.get_running_loop().time())

    tracker = StatusTracker(on_task_start=note, on_task_complete=note)
    simulate(Pipeline([Stage("Work", 1, [slow])], status_tracker=tracker).run([1]))
    assert times == pytest.approx([0, 1], abs=0.001)


# Pipeline.stream


@shows("Pipeline.stream(items)", "Pipeline.stream: in the order of completion")
def test_stream_yields_in_the_order_of_completion() -> None:
    async def main() -> list[float]:
        results = Pipeline([Stage("Wait", 3, [wait_for])]).stream([3, 1, 2])
        assert isinstance(results, AsyncIterator)
        return [result.value async for result in results]

    assert simulate(main) == [1, 2, 3]


@shows("Pipeline.stream: yields results as soon as they complete")
def test_stream_yields_each_result_when_it_is_there() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        pipeline = Pipeline([Stage("Work", 1, [slow])])
        return [loop.time() async for _ in pipeline.stream(range(3))]

    assert simulate(main) == pytest.approx([1, 2, 3], abs=0.01)


@shows("Pipeline.stream: a break shuts the pipeline down")
def test_a_break_ends_the_run() -> None:
    async def main() -> None:
        pipeline = Pipeline([Stage("Work", 2, [slow])])
        async for _ in pipeline.stream(range(100)):
            break
        await settle()
        assert others() == set()
        assert pipeline.get_stats().items_in_flight == 0

    simulate(main)


@shows(
    "Pipeline.stream: keeps no results, whatever collect_results says",
    "Pipeline.stream: leaves collect_results as it was",
)
@pytest.mark.parametrize("collect", [True, False])
def test_stream_keeps_no_results_and_collect_results_stays(collect: bool) -> None:
    async def main() -> None:
        pipeline = Pipeline([Stage("Double", 1, [double])], collect_results=collect)
        assert [result.value async for result in pipeline.stream([1, 2])] == [2, 4]
        assert pipeline.results == []
        assert pipeline.collect_results is collect
        assert values(await pipeline.run([3])) == ([6] if collect else [])

    simulate(main)


# What else existing programs rely on: where names are found, and what texts contain

NAMES: dict[str, str] = {
    "antflow": """
        Pipeline PipelineBuilder Stage StatusTracker StatusEvent TaskEvent PipelineResult
        UnprocessedItem PipelineStats StageStats WorkerState WorkerMetrics DashboardSnapshot
        DashboardProtocol ErrorSummary FailedItem StatusType TaskEventType TaskFunc WorkerStatus
        set_task_status current_item concurrency_limit rate_limit call_rate_has_capacity
        AntFlowError PipelineError StageValidationError TaskFailedError __version__
    """,
    "antflow.pipeline": "Pipeline Stage PipelineBuilder",
    "antflow.types": """
        PipelineResult UnprocessedItem PipelineStats StageStats WorkerState WorkerMetrics
        DashboardSnapshot DashboardProtocol ErrorSummary FailedItem StatusEvent TaskEvent StatusType
        TaskEventType TaskFunc WorkerStatus
    """,
    "antflow.exceptions": "AntFlowError PipelineError StageValidationError TaskFailedError",
    "antflow.tracker": "StatusTracker StatusEvent",
    "antflow.context": """
        set_task_status current_item concurrency_limit rate_limit call_rate_has_capacity
    """,
}


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module in NAMES for name in NAMES[module].split()]
)
def test_a_name_is_the_same_wherever_it_is_imported_from(module: str, name: str) -> None:
    assert getattr(importlib.import_module(module), name) is getattr(antflow, name)


FIELDS: dict[str, str] = {
    "PipelineResult": "id value sequence_id metadata error",
    "PipelineStats": "items_processed items_failed items_in_flight queue_sizes stage_stats",
    "StageStats": "stage_name pending_items in_progress_items completed_items failed_items",
    "WorkerState": "worker_name stage status current_item_id current_task processing_since",
    "WorkerMetrics": """
        worker_name stage items_processed items_failed total_processing_time last_active
    """,
    "DashboardSnapshot": "worker_states worker_metrics pipeline_stats error_summary timestamp",
    "ErrorSummary": "total_failed errors_by_type errors_by_stage failed_items",
    "FailedItem": "item_id error error_type stage attempts timestamp",
    "StatusEvent": "item_id stage status worker timestamp metadata",
    "TaskEvent": "item_id stage task_name worker event_type attempt timestamp error duration",
    "StatusTracker": "on_status_change on_task_start on_task_complete on_task_retry on_task_fail",
    "UnprocessedItem": "id value metadata priority stage sequence_id",
    "TaskFailedError": "task_name original_exception",
}


@pytest.mark.parametrize("name", FIELDS)
def test_what_users_read_and_make_takes_its_fields_in_this_order(name: str) -> None:
    expected = FIELDS[name].split()
    parameters = list(inspect.signature(getattr(antflow, name)).parameters)
    assert parameters[: len(expected)] == expected


def stage(**fields: Any) -> Stage:
    return Stage(**{"name": "Work", "workers": 1, "tasks": [same], **fields})


@pytest.mark.parametrize(
    ("stages", "kind", "text"),
    [
        ([stage(retry="never")], StageValidationError, "Invalid retry policy"),
        ([stage(workers=0)], StageValidationError, "must have at least 1 worker"),
        ([stage(tasks=[])], StageValidationError, "must have at least one task"),
        ([], PipelineError, "must have at least one stage"),
        ([stage(pull=True)], PipelineError, "first stage"),
        (
            [stage(), stage(name="Pulls", pull=True, retry="per_stage")],
            StageValidationError,
            "per_stage",
        ),
        ([stage(), stage()], StageValidationError, "Duplicate stage name"),
        ([stage(task_concurrency_limits={"x": 1})], StageValidationError, "unknown task"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_text_of_an_error_contains_what_programs_look_for(
    stages: list[Stage], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text):
        Pipeline(stages)


def test_what_is_discarded_is_called_so_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Pipeline([stage(tasks=[slow])]) as pipeline:
            await pipeline.start()
            await pipeline.feed([1, 2, 3])
            await settle()

    simulate(main)
    assert any("2 items were discarded" in record.getMessage() for record in caplog.records)


# The table itself


def test_no_place_on_the_page_is_without_a_test() -> None:
    assert sorted(PLACES - SHOWN) == []


def test_every_name_of_the_page_has_a_place() -> None:
    unplaced = [
        name
        for name in PAGE
        if not any(place.startswith((f"{name}(", f"{name}:")) for place in PLACES)
    ]
    assert unplaced == []


def test_a_test_of_a_place_that_is_not_on_the_page_is_refused() -> None:
    with pytest.raises(AssertionError, match="not on the page"):
        shows("Pipeline.run(colour)")
