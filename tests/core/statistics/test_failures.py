"""What failed, as a pipeline says it: counts by type and stage, and the items one by one."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from antflow import (
    DashboardSnapshot,
    ErrorSummary,
    FailedItem,
    Pipeline,
    PipelineResult,
    StatusTracker,
)
from tests.helpers.runs import (
    Failing,
    Use,
    by_feed,
    by_process,
    by_run,
    by_stream,
    fail,
    piped,
    same,
    stage,
    start_with,
    watched_or_not,
)
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, settle

in_either_mode = pytest.mark.parametrize(
    "fields",
    [{"task_attempts": 3, "task_wait_seconds": 0}, {"retry": "per_stage", "stage_attempts": 3}],
)


each_use = pytest.mark.parametrize("use", [by_run, by_stream, by_feed, by_process])


def said_of(failed: FailedItem) -> tuple[Any, str, str, str, int]:
    """Return all that is said of a failed item, but for the time."""
    return failed.item_id, failed.error, failed.error_type, failed.stage, failed.attempts


async def refuse_some(value: int) -> int:
    if value % 4 == 1:
        raise ValueError(f"{value} is odd")
    if value % 4 == 2:
        raise KeyError(value)
    return value


async def refuse_many(value: int) -> int:
    if value > 2:
        raise KeyError(value)
    return value


@watched_or_not
@each_use
@simulated()
async def test_failures_are_counted_by_type_and_stage_and_described(
    use: Use, watched: bool
) -> None:
    first, second = stage(refuse_some, name="A"), stage(refuse_many, name="B")
    pipeline = piped(first, second, stage(same, name="C"), watched=watched)
    before = time.time()
    await use(pipeline, [*range(7), {"id": "seven", "value": 7}])
    summary = pipeline.get_error_summary()
    assert summary.total_failed == 7
    assert summary.errors_by_type == {"ValueError": 2, "KeyError": 5}
    assert summary.errors_by_stage == {"A": 4, "B": 3}
    described = sorted(map(said_of, summary.failed_items), key=lambda each: str(each[0]))
    assert [each[0] for each in described] == [1, 2, 3, 4, 5, 6, "seven"]
    assert described[0] == (1, "1 is odd", "ValueError", "A", 1)
    assert described[-1] == ("seven", "7", "KeyError", "B", 1)
    assert all(before <= failed.timestamp <= time.time() for failed in summary.failed_items)


@simulated()
async def test_a_snapshot_shows_the_latest_failed_items_and_the_end_all_of_them() -> None:
    ended: list[ErrorSummary] = []

    class Silent:
        def on_start(self, pipeline: Pipeline, total_items: int | None) -> None: ...

        def on_update(self, snapshot: DashboardSnapshot) -> None: ...

        def on_finish(self, results: list[PipelineResult], summary: ErrorSummary) -> None:
            ended.append(summary)

    async def refuse(value: int) -> int:
        raise ValueError(value)

    pipeline = piped(stage(refuse))
    await pipeline.run(range(1005), custom_dashboard=Silent())
    ended.append(pipeline.get_error_summary())
    shown, asked = ([one.item_id for one in summary.failed_items] for summary in ended)
    assert shown == asked == list(range(1005))
    latest = pipeline.get_dashboard_snapshot().error_summary
    assert [one.item_id for one in latest.failed_items] == list(range(5, 1005))
    assert latest.total_failed == 1005


@watched_or_not
@each_use
@pytest.mark.parametrize(
    ("fields", "attempts"),
    [
        ({"task_attempts": 1}, 1),
        ({"task_attempts": 4, "task_wait_seconds": 1}, 4),
        ({"task_attempts": 4, "stage_attempts": 9, "task_wait_seconds": 0}, 4),
        ({"retry": "per_stage", "stage_attempts": 1}, 1),
        ({"retry": "per_stage", "stage_attempts": 5, "task_attempts": 9}, 5),
    ],
    ids=str,
)
@simulated()
async def test_the_attempts_of_a_failed_item_are_those_that_were_made(
    fields: dict[str, Any], attempts: int, use: Use, watched: bool
) -> None:
    pipeline = piped(stage(same, fail, **fields), watched=watched)
    await use(pipeline, range(3))
    summary = pipeline.get_error_summary()
    assert [one.attempts for one in summary.failed_items] == [attempts] * 3


@watched_or_not
@in_either_mode
@simulated()
async def test_the_attempts_in_earlier_stages_do_not_count(
    fields: dict[str, Any], watched: bool
) -> None:
    task = Failing(2)
    pipeline = piped(stage(task, name="A", **fields), stage(fail, name="B"), watched=watched)
    await pipeline.run([1])
    (failed,) = pipeline.get_error_summary().failed_items
    assert (len(task.calls), failed.stage, failed.attempts) == (3, "B", 1)


@watched_or_not
@pytest.mark.parametrize("error", [asyncio.CancelledError(), asyncio.CancelledError("why")])
@simulated()
async def test_an_error_that_is_not_tried_again_was_the_last_attempt(
    error: BaseException, watched: bool
) -> None:
    calls: list[int] = []

    async def fail_then_give_up(value: int) -> None:
        calls.append(value)
        raise error if len(calls) == 2 else ValueError

    one = stage(fail_then_give_up, task_attempts=5, task_wait_seconds=0)
    pipeline = piped(one, watched=watched)
    await pipeline.run([1])
    (failed,) = pipeline.get_error_summary().failed_items
    assert said_of(failed) == (0, str(error), "CancelledError", "Work", 2)


@watched_or_not
@simulated()
async def test_a_pipeline_and_its_tracker_agree_on_what_failed(watched: bool) -> None:
    tracker = StatusTracker(on_task_start=(lambda event: None) if watched else None)
    stages = [stage(refuse_some, name="A", task_attempts=2, task_wait_seconds=0)]
    stages += [stage(refuse_many, name="B", retry="per_stage", stage_attempts=3)]
    pipeline = Pipeline(stages, status_tracker=tracker)
    await pipeline.run(range(8))
    ours, theirs = pipeline.get_error_summary(), tracker.get_error_summary()
    assert ours.total_failed == theirs.total_failed == 7
    assert ours.errors_by_type == theirs.errors_by_type
    assert ours.errors_by_stage == theirs.errors_by_stage
    assert sorted(map(said_of, ours.failed_items)) == sorted(map(said_of, theirs.failed_items))


@simulated()
async def test_failed_items_stand_in_the_order_in_which_they_failed() -> None:
    async def fail_slowly(value: int) -> None:
        await asyncio.sleep(10 - value)
        raise ValueError

    pipeline = piped(stage(fail_slowly, workers=4))
    await pipeline.run(range(4))
    assert [one.item_id for one in pipeline.get_error_summary().failed_items] == [3, 2, 1, 0]


@simulated()
async def test_what_failed_can_be_read_before_during_and_after_a_run() -> None:
    gate = Gate()
    pipeline = piped(stage(gate))
    nothing = ErrorSummary(0, {}, {}, [])
    assert pipeline.get_error_summary() == nothing
    running = asyncio.ensure_future(pipeline.run(range(3)))
    for number in range(3):
        await settle()
        assert pipeline.get_error_summary().total_failed == number
        gate.fail(number, ValueError())
    await running
    assert pipeline.get_error_summary().errors_by_stage == {"Work": 3}
    gate.open()
    await pipeline.run(range(3))
    assert pipeline.get_error_summary() == nothing


@watched_or_not
@simulated()
async def test_what_was_cancelled_skipped_or_left_has_not_failed(watched: bool) -> None:
    gate = Gate()
    one = stage(gate, workers=2, skip_if=lambda value: value == 0)
    pipeline = piped(one, watched=watched)
    await start_with(pipeline, range(5))
    await pipeline.shutdown(timeout=0)
    assert pipeline.get_error_summary() == ErrorSummary(0, {}, {}, [])


@simulated()
async def test_a_failure_that_ends_the_run_is_among_what_failed() -> None:
    class StopAllError(BaseException):
        """What ends a run."""

    async def stop_all(value: int) -> None:
        raise StopAllError("enough")

    pipeline = piped(stage(stop_all))
    with pytest.raises(StopAllError):
        await pipeline.run([1, 2])
    summary = pipeline.get_error_summary()
    assert [said_of(one) for one in summary.failed_items] == [
        (0, "enough", "StopAllError", "Work", 1)
    ]


@simulated()
async def test_past_fifty_types_failures_are_counted_as_other_and_named_one_by_one() -> None:
    kinds = [type(f"Number{number}Error", (Exception,), {}) for number in range(60)]

    async def raise_one(value: int) -> None:
        raise kinds[value]

    pipeline = piped(stage(raise_one))
    await pipeline.run(range(60))
    summary = pipeline.get_error_summary()
    assert summary.errors_by_type["other"] == 10
    assert sum(summary.errors_by_type.values()) == summary.total_failed == 60
    names = [one.error_type for one in summary.failed_items]
    assert names == [f"Number{number}Error" for number in range(60)]


@pytest.mark.parametrize(
    ("use", "collect_results", "kept"),
    [
        (by_run, True, 10_500),
        (by_run, False, 10_000),
        (by_feed, True, 10_000),
        (by_stream, True, 10_000),
    ],
)
@simulated()
async def test_of_very_many_failures_the_latest_are_kept_and_all_are_counted(
    use: Use, collect_results: bool, kept: int
) -> None:
    pipeline = piped(stage(fail), collect_results=collect_results)
    await use(pipeline, range(10_500))
    summary = pipeline.get_error_summary()
    assert summary.total_failed == 10_500
    assert summary.errors_by_type == {"ValueError": 10_500}
    assert summary.errors_by_stage == {"Work": 10_500}
    assert [one.item_id for one in summary.failed_items] == list(range(10_500 - kept, 10_500))


class UnreadableError(Exception):
    """An error that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError


class WrongTextError(Exception):
    """An error whose text is none."""

    def __str__(self) -> str:
        return 5  # type: ignore[return-value]  # noqa: PLE0307


@watched_or_not
@in_either_mode
@each_use
@pytest.mark.parametrize(
    ("error", "problem"), [(UnreadableError, "RuntimeError"), (WrongTextError, "TypeError")]
)
@simulated()
async def test_an_error_without_a_text_is_retried_and_fails_like_any_other(
    error: type[Exception], problem: str, use: Use, fields: dict[str, Any], watched: bool
) -> None:
    async def raise_it(value: int) -> int:
        if value == 1:
            raise error
        return value

    pipeline = piped(stage(raise_it, **fields), watched=watched)
    await use(pipeline, range(3))
    summary = pipeline.get_error_summary()
    (failed,) = summary.failed_items
    assert (failed.error_type, failed.item_id, failed.attempts) == (error.__name__, 1, 3)
    assert problem in failed.error
    assert error.__name__ in str(summary)
    assert pipeline.get_stats().items_processed == 2
