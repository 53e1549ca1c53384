"""Each difference from antflow 0.10 that docs/migration.md lists has a test.

COVERED names the tests of tests/core for most rows. GONE and RETURNED have rows about
names that are gone and about what one expression returns. A test of this
module is named as its row.
"""

from __future__ import annotations

import asyncio
import importlib.util
import re
from collections.abc import Awaitable, Callable, Iterator
from importlib.metadata import distribution, metadata
from pathlib import Path
from typing import Any

import pytest

import antflow
from antflow import (
    AsyncFuture,
    Pipeline,
    StageValidationError,
    StatusEvent,
    StatusTracker,
    TaskEvent,
    TaskFailedError,
)
from tests.helpers.runs import fail, now, run, same, stage, start_with
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import SimulatedLoop, others, simulate
from tests.integration.plugins.installing import requirements

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "migration.md"


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

    tests = {name for name in globals() if name.startswith("test_")}
    of_tables = {name for name in tests if name.startswith(("test_every_row", "test_rows_"))}
    covered = [row for tests_of_rows in COVERED.values() for row in tests_of_rows]
    entries = map(test_name, [*covered, *GONE, *RETURNED])
    assert sorted(map(test_name, rows())) == sorted([*tests - of_tables, *entries])


COVERED = {
    "definition/test_builder": {
        "Retries of whole stages in the builder": "retries_is_how_many_attempts_are_made",
    },
    "definition/test_public_names": {
        "Version number": "the_version_is_that_of_the_distribution",
        "Handler": "importing_changes_nothing_in_the_process",
    },
    "definition/test_results": {
        "Results as objects": "fields_can_be_set_and_other_attributes_cannot",
    },
    "definition/test_signatures": {"Order of the fields of Stage": "signatures_are_as_listed"},
    "definition/test_snapshots": {
        "Text of an error summary": "the_text_of_a_summary_counts_failures_by_type_and_stage",
    },
    "definition/test_stage": {
        "Values that make no sense": (
            "a_bad_setting_is_refused_with_the_stage_the_value_and_the_remedy"
        ),
        "Tasks of a stage": "a_bad_setting_is_refused_with_the_stage_the_value_and_the_remedy",
        "Generator functions as tasks": "a_generator_function_is_refused_as_a_task",
    },
    "displays/test_choice_of_display": {
        "Built-in displays": "progress_without_a_plugin_writes_plain_lines",
        "Two displays at once": "invalid_options_are_rejected_before_anything_is_read",
        "Other values of progress": "invalid_options_are_rejected_before_anything_is_read",
        "Dashboards without a method": "invalid_options_are_rejected_before_anything_is_read",
        "Update interval of 0": "invalid_options_are_rejected_before_anything_is_read",
    },
    "displays/test_dashboard_calls": {
        "on_update": "it_is_updated_at_the_begin_in_each_interval_and_at_the_end",
        "total_items": "on_start_gets_the_number_of_items_where_it_is_known",
    },
    "displays/test_failing_dashboards": {
        "Dashboards that raise": (
            "a_dashboard_that_raises_is_logged_and_dropped_and_the_run_goes_on"
        ),
        "on_finish": "the_dashboard_of_a_run_that_an_error_ends_finishes",
    },
    "executor/test_attempts": {
        "Plain functions in an executor": (
            "a_plain_function_sees_arguments_and_may_return_a_coroutine"
        ),
    },
    "executor/test_calls": {
        "Timeouts of map and map_iter": "errors_and_time_limits",
        "Errors in map and map_iter": "a_map_that_is_left_cancels_its_calls",
        "Input of map_iter": "map_iter_reads_no_more_than_it_runs",
        "exception() of a call that has not ended": "errors_and_time_limits",
        "Calls that a shutdown cancels": "shutdown_cancels_what_waits_and_lets_running_calls_end",
    },
    "failures/test_failures": {
        "Failed and skipped items": (
            "one_warning_says_what_failed_unless_the_caller_got_the_failures"
        ),
    },
    "failures/test_task_errors": {
        "Tasks that raise CancelledError": (
            "a_cancelled_error_of_a_task_fails_its_item_and_is_not_retried"
        ),
        "Exceptions outside Exception": (
            "another_base_exception_ends_the_run_and_is_raised_as_it_is"
        ),
    },
    "feeding/test_fed_again": {"Results as items": "a_failure_goes_back_to_where_it_failed"},
    "feeding/test_inputs": {
        "Input without a length": "an_input_is_read_to_its_end",
        "Single items where many are expected": "one_item_is_refused_where_many_are_expected",
    },
    "feeding/test_priorities": {
        "Priorities": "a_bad_priority_is_refused_before_anything_is_counted",
    },
    "hooks/test_events_of_a_stopped_run": {
        "Items left when a run stops": "a_stop_cancels_the_running_attempt_and_leaves_its_item",
    },
    "hooks/test_order_of_events": {
        "on_success": "on_success_is_called_between_completed_and_queued",
    },
    "hooks/test_raising_hooks": {
        "Errors of tracker callbacks": "faults_are_counted_and_logged_anew_in_each_run",
    },
    "hooks/test_tracker": {
        "Raising tracker callbacks": "a_callback_that_raises_changes_nothing",
        "Ids that cannot be hashed": "an_id_that_is_not_hashable_is_tracked",
        "Attempts of failed items": "failed_items_have_their_number_of_attempts",
        "Plain functions as tracker callbacks": "a_callback_is_awaited",
        "One tracker for several runs": "a_tracker_keeps_its_histories_for_the_next_run",
        "Error summary of several runs": "the_error_summary_is_about_the_remembered_items",
        "Events in a history": "events_of_a_history_have_no_item",
        "Objects like a tracker": "a_pipeline_rejects_any_other_tracker",
    },
    "limits/test_rate": {
        "Call rates below 1": "the_burst_of_a_rate_is_followed_by_evenly_spaced_calls",
    },
    "retries/test_attempts": {
        "Items in whole-stage retry": "an_item_has_its_attempts_at_these_times",
    },
    "retries/test_parking": {"Waits between attempts": "waits_for_retries_take_no_worker"},
    "running/test_callbacks": {
        "Coroutine functions as skip_if": "a_skipped_item_keeps_its_value_and_goes_on",
        "Dict of a callback": "what_a_callback_does_to_its_dict_does_not_reach_the_item",
    },
    "running/test_calls_from_inside": {
        "Feeding from a task": "a_task_that_a_task_makes_feeds_past_the_capacity_too",
        "Tasks that wait for their own pipeline": "a_task_cannot_wait_for_its_own_pipeline",
    },
    "running/test_other_threads": {
        "Calls on another event loop": "calls_on_another_loop_are_refused_and_the_run_goes_on",
    },
    "running/test_quick": {"Repeated tasks in quick": "stages_of_one_name_are_numbered"},
    "running/test_run": {
        "Failures of a run": "a_failure_has_its_error_its_stage_and_what_entered_the_stage",
        "Two runs at once": "two_runs_at_once_are_an_error_and_the_first_goes_on",
        "Several event loops": "one_pipeline_runs_on_one_loop_after_another",
        "Second run": "a_second_run_starts_from_nothing",
        "Input that raises": "what_was_read_is_finished_before_the_error_of_the_input_is_raised",
    },
    "running/test_start_feed_join": {
        "Feeding a pipeline that stops": "a_shutdown_ends_a_feed_that_waits_at_a_full_stage",
        "Restart after join": "feeding_after_a_run_keeps_its_outcomes_until_the_next_one_starts",
        "Join before start": "a_pipeline_that_is_not_started_asks_for_a_start",
        "Feeding during join": "join_waits_for_feeds_begun_before_it_and_a_later_one_is_refused",
        "Leaving async with by an exception": (
            "leaving_async_with_by_an_exception_cancels_attempts"
        ),
        "Items between two stages at shutdown": (
            "what_the_last_run_left_is_there_until_the_next_one_starts"
        ),
    },
    "running/test_task_functions": {
        "Plain functions as tasks": (
            "coroutine_functions_run_on_the_loop_and_plain_ones_in_a_thread"
        ),
    },
    "running/test_task_status": {
        "set_task_status with min_interval": "a_status_that_comes_too_early_is_left_out",
    },
    "statistics/test_failures": {
        "Error summary without a tracker": ("failures_are_counted_by_type_and_stage_and_described"),
        "Many failures": "of_very_many_failures_the_latest_are_kept_and_all_are_counted",
    },
    "statistics/test_snapshot": {
        "Feeding a pull stage": "a_feeder_may_leave_one_item_in_front_of_a_pull_stage",
        "Worker states and metrics": "what_was_read_does_not_change_any_more",
    },
    "statistics/test_worker_states": {
        "Queue sizes": "a_blocked_worker_has_passed_its_item_on_unless_the_next_stage_pulls",
        "Time spent by a worker": "time_spent_does_not_include_the_wait_for_room",
    },
    "stopping/test_run_ends": {
        "Cancelling a run": "cancelling_run_cancels_tasks_that_sleep",
        "Time limit around join": "cancelling_join_cancels_everything_also_feeds",
        "Retries at shutdown": "an_attempt_that_ends_after_a_shutdown_is_the_last",
        "What shutdown leaves": "a_warning_says_how_many_items_were_left_and_where",
    },
    "streaming/test_stream": {
        "Small stream buffers": "nothing_is_lost_whatever_the_sizes",
        "Items injected into a stream": "another_task_feeds_and_asks_a_pipeline_that_is_streamed",
        "Default buffer of a stream": "input_is_read_no_faster_than_the_consumer_takes",
        "Buffer sizes below 0": "a_bad_buffer_size_is_refused",
        "Leaving a stream": "aclose_leaves_no_task_and_says_what_became_of_each_item",
    },
}
"""Rows that a test of tests/core is about: modules, and the row of each test."""


@pytest.mark.parametrize("module", COVERED)
def test_rows_have_tests_in_the_module_that_is_named(module: str) -> None:
    text = (TESTS / "core" / f"{module}.py").read_text(encoding="utf-8")
    for name in COVERED[module].values():
        assert f"def test_{name}(" in text


GONE = {
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


def attributes_of_a_stream() -> list[bool]:
    stream = Pipeline([stage(same)]).stream([])
    return [hasattr(stream, name) for name in ("aclose", "__anext__", "__aenter__", "asend")]


RETURNED: dict[str, tuple[Callable[[], Any], Any]] = {
    "Python version": (lambda: metadata("antflow-core")["Requires-Python"], ">=3.11"),
    "What is installed with it": (
        lambda: requirements(distribution("antflow-core")),
        ["pluggy"],
    ),
    "Type hints": (lambda: Path(antflow.__file__).with_name("py.typed").exists(), True),
    "Stages of a pipeline": (lambda: type(Pipeline([stage(same)]).stages), tuple),
    "Methods of a stream": (attributes_of_a_stream, [True, True, True, False]),
    "set_result and set_exception": (
        lambda: [hasattr(AsyncFuture, name) for name in ("set_result", "set_exception")],
        [False, False],
    ),
    "Statuses": (
        lambda: " ".join(StatusTracker().get_stats()),
        "queued in_progress completed failed retrying skipped dropped unprocessed",
    ),
    "Frozen snapshots": (lambda: hasattr(Pipeline([stage(same)]).get_stats(), "__dict__"), False),
    "Text of TaskFailedError": (
        lambda: str(TaskFailedError("fetch", ValueError("no page"))),
        "Task 'fetch' failed: ValueError('no page')",
    ),
}
"""Rows about what is returned now: an expression, and its value."""


@pytest.mark.parametrize(("returned", "expected"), RETURNED.values(), ids=RETURNED)
def test_rows_about_what_is_returned(returned: Callable[[], Any], expected: Any) -> None:
    assert returned() == expected


def test_private_names() -> None:
    for name in ("_results", "_queues", "_retry_queues", "_worker_states", "_shutdown"):
        assert not hasattr(Pipeline([stage(same)]), name)


def test_pull_stages_with_a_capacity() -> None:
    with pytest.raises(StageValidationError, match="queue_capacity=3"):
        Pipeline([stage(same), stage(same, name="Pulls", pull=True, queue_capacity=3)])


@simulated()
async def test_idle_pipelines() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulatedLoop)
    async with Pipeline([stage(same, workers=50)]) as pipeline:
        await start_with(pipeline, [])
        before, tasks = loop.steps, len(others())
        await asyncio.sleep(3600)
        assert loop.steps - before < 10
        assert tasks < 5


def test_functions_that_return_an_awaitable() -> None:
    def later(value: Any) -> Awaitable[Any]:
        return same(value)

    def at_once(value: Any) -> Awaitable[Any]:
        return asyncio.get_running_loop().create_task(same(value))

    pipeline = run([stage(later, name="Later"), stage(at_once, name="At once")], [1], threads=True)
    (failure,) = pipeline.failures
    assert (failure.stage, type(failure.error)) == ("At once", RuntimeError)


@simulated()
async def test_failures_in_a_stream() -> None:
    seen: list[str] = []
    pipeline = Pipeline([stage(fail, on_failure=lambda *_: seen.append("on_failure"))])
    async with pipeline.stream([1]) as results:
        await anext(results)
        assert seen == ["on_failure"]


def test_queued_in_the_next_stage() -> None:
    async def note(event: StatusEvent) -> None:
        await asyncio.sleep(60 if event.status == "queued" else 0)
        events.append((event.stage, event.status))

    events: list[Any] = []
    stages = stage(same, name="First"), stage(same, name="Second")
    simulate(Pipeline(stages, status_tracker=StatusTracker(note)).run([1]))
    assert events[2:5] == [("First", "completed"), ("Second", "queued"), ("Second", "in_progress")]


def test_callbacks_that_return_an_awaitable() -> None:
    async def save(value: Any) -> None:
        await asyncio.sleep(1)
        saved.append(value)

    saved: list[Any] = []
    run([stage(same, on_success=lambda item_id, value, described: save(value))], [1])
    assert saved == [1]


def limited() -> tuple[list[float], list[float | None]]:
    """Run two items through a task that takes a minute, one at a time."""
    starts: list[float] = []
    durations: list[float | None] = []

    async def slow(value: Any) -> None:
        await asyncio.sleep(60)

    async def on_task_start(event: TaskEvent) -> None:
        starts.append(now())
        await asyncio.sleep(1)

    tracker = StatusTracker(
        on_task_start=on_task_start,
        on_task_complete=lambda event: durations.append(event.duration),
    )
    stages = [stage(slow, workers=2, task_concurrency_limits={"slow": 1})]
    simulate(Pipeline(stages, status_tracker=tracker).run([1, 2]))
    return starts, durations


def test_start_of_a_limited_task() -> None:
    assert limited()[0] == pytest.approx([0, 61], abs=0.1)


def test_durations_of_task_events() -> None:
    assert limited()[1] == pytest.approx([60, 60], abs=0.1)


def test_loggers(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(*_: Any) -> None:
        raise KeyError("no")

    run([stage(same, on_success=refuse)], [1])
    (record,) = caplog.records
    assert record.name.startswith("antflow._")
