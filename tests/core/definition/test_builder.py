"""The fluent builder: each option, what it refuses, and that what it builds stands alone."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from antflow import (
    Pipeline,
    PipelineBuilder,
    PipelineError,
    Stage,
    StageValidationError,
    StatusTracker,
    rate_limit,
)
from antflow.builder import BaseBuilder
from tests.helpers.runs import double, fail, same, values
from tests.helpers.virtual_time import simulate
from tests.naming import id_of


def note(*_: Any) -> None:
    """Nothing."""


def only_stage(builder: PipelineBuilder) -> Stage:
    (stage,) = builder.build().stages
    return stage


# Stages


def test_create_begins_a_builder_without_stages() -> None:
    builder = Pipeline.create()
    assert type(builder) is PipelineBuilder
    assert isinstance(builder, BaseBuilder)
    with pytest.raises(PipelineError, match="must have at least one stage"):
        builder.build()


def test_a_stage_has_the_documented_defaults() -> None:
    stage = only_stage(Pipeline.create().add("Fetch", same))
    assert (stage.name, stage.workers, list(stage.tasks)) == ("Fetch", 5, [same])
    assert stage.retry == "per_task"
    assert (stage.task_attempts, stage.stage_attempts) == (3, 3)
    made_by_hand = Stage("Fetch", 5, [same])
    for field in fields(Stage):
        assert getattr(stage, field.name) == getattr(made_by_hand, field.name)


def test_stages_stand_in_the_order_in_which_they_were_added() -> None:
    pipeline = Pipeline.create().add("A", same).add("B", double).add("C", same, double).build()
    assert [stage.name for stage in pipeline.stages] == ["A", "B", "C"]
    assert [list(stage.tasks) for stage in pipeline.stages] == [[same], [double], [same, double]]


def test_workers_can_be_given() -> None:
    assert only_stage(Pipeline.create().add("A", same, workers=9)).workers == 9


def test_retries_counts_attempts_of_each_task() -> None:
    stage = only_stage(Pipeline.create().add("A", same, retries=7))
    assert (stage.retry, stage.task_policy.attempts, stage.stage_policy.attempts) == (
        "per_task",
        7,
        1,
    )


def test_retries_counts_attempts_of_the_stage_where_that_is_tried_again() -> None:
    stage = only_stage(Pipeline.create().add("A", same, retries=7, retry_policy="per_stage"))
    assert (stage.retry, stage.task_policy.attempts, stage.stage_policy.attempts) == (
        "per_stage",
        1,
        7,
    )


@pytest.mark.parametrize(
    ("options", "made"),
    [
        ({"retries": 4, "task_wait_seconds": 0}, 4),
        ({"retries": 4, "retry_policy": "per_stage"}, 4),
        ({"retries": 1}, 1),
        ({"retries": 1, "retry_policy": "per_stage"}, 1),
        ({"task_wait_seconds": 0}, 3),
    ],
    ids=str,
)
def test_so_many_attempts_are_made(options: dict[str, Any], made: int) -> None:
    async def main() -> None:
        pipeline = Pipeline.create().add("A", fail, **options).build()
        assert await pipeline.run([0]) == []
        assert [failure.attempts for failure in pipeline.failures] == [made]

    simulate(main)


GIVEN: dict[str, Any] = {
    "task_attempts": 8,
    "stage_attempts": 9,
    "task_wait_seconds": 0.25,
    "unpack_args": True,
    "task_concurrency_limits": {"same": 2},
    "on_success": note,
    "on_failure": note,
    "skip_if": note,
    "on_skip": note,
    "queue_capacity": 17,
    "call_concurrency": 2,
    "call_rate": 2.5,
    "call_rate_period": 8,
    "never_retry": (NameError,),
}


@pytest.mark.parametrize(("field", "value"), GIVEN.items(), ids=list(GIVEN))
def test_any_other_field_of_a_stage_is_passed_on(field: str, value: Any) -> None:
    stage = only_stage(Pipeline.create().add("A", same, **{field: value}))
    assert getattr(stage, field) == value


def test_a_stage_may_pull() -> None:
    pipeline = Pipeline.create().add("A", same).add("B", same, pull=True).build()
    assert [stage.pull for stage in pipeline.stages] == [False, True]


def test_every_field_of_a_stage_can_be_given_in_some_way() -> None:
    otherwise = {"name", "workers", "tasks", "retry", "pull"}
    assert {field.name for field in fields(Stage)} == otherwise | set(GIVEN)


@pytest.mark.parametrize("policy", ["per_task", "per_stage"])
def test_attempts_that_are_given_by_their_own_name_win(policy: Any) -> None:
    stage = only_stage(
        Pipeline.create().add(
            "A", same, retries=2, retry_policy=policy, task_attempts=5, stage_attempts=6
        )
    )
    assert (stage.task_attempts, stage.stage_attempts) == (5, 6)


# What it refuses


@pytest.mark.parametrize("field", ["colour", "timeout", "_"])
def test_what_is_no_field_of_a_stage_is_refused_with_what_is(field: str) -> None:
    unknown: dict[str, Any] = {field: 1}
    with pytest.raises(StageValidationError, match="'Fetch'") as caught:
        Pipeline.create().add("Fetch", same, **unknown)
    assert repr(field) in str(caught.value)
    assert [name for name in GIVEN if name not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("field", "remedy"), [("tasks", "after the name"), ("retry", "retry_policy")]
)
def test_what_has_another_name_here_is_refused_with_that(field: str, remedy: str) -> None:
    otherwise: dict[str, Any] = {field: "per_stage"}
    with pytest.raises(StageValidationError, match="'Fetch'") as caught:
        Pipeline.create().add("Fetch", same, **otherwise)
    assert field in str(caught.value)
    assert remedy in str(caught.value)


@pytest.mark.parametrize(
    ("name", "tasks", "options", "text"),
    [
        ("A", [], {}, "'A' must have at least one task"),
        ("A", [None], {}, "cannot be called"),
        ("A", [[same]], {}, "cannot be called"),
        ("", [same], {}, "must be a non-empty string"),
        ("A", [same], {"workers": 0}, "'A' must have at least 1 worker, not 0"),
        ("A", [same], {"retries": 0}, "task_attempts=0"),
        ("A", [same], {"retries": 1.5}, "task_attempts=1.5"),
        ("A", [same], {"retry_policy": "never"}, "Invalid retry policy"),
        ("A", [same], {"call_rate": -1}, "call_rate=-1"),
        ("A", [same], {"task_concurrency_limits": {"other": 1}}, "unknown task 'other'"),
    ],
)
def test_a_bad_stage_is_refused_when_the_pipeline_is_built(
    name: str, tasks: list[Any], options: dict[str, Any], text: str
) -> None:
    builder = Pipeline.create().add("First", same).add(name, *tasks, **options)
    with pytest.raises(StageValidationError) as caught:
        builder.build()
    assert text in str(caught.value)


def test_two_stages_of_one_name_are_refused() -> None:
    with pytest.raises(StageValidationError, match="Duplicate stage name 'A'"):
        Pipeline.create().add("A", same).add("A", same).build()


def test_a_first_stage_that_pulls_is_refused() -> None:
    with pytest.raises(PipelineError, match="first stage"):
        Pipeline.create().add("A", same, pull=True).build()


@pytest.mark.parametrize("tracker", [5, StatusTracker, print], ids=id_of)
def test_what_is_no_tracker_is_refused(tracker: Any) -> None:
    with pytest.raises(PipelineError, match="give a StatusTracker"):
        Pipeline.create().add("A", same).with_tracker(tracker).build()


@pytest.mark.parametrize("use", ["run", "stream"])
def test_what_is_refused_in_build_is_refused_in_run_and_stream(use: str) -> None:
    async def main() -> None:
        with pytest.raises(PipelineError, match="must have at least one stage"):
            await getattr(Pipeline.create(), use)([1])

    simulate(main)


# The other options


def test_every_step_returns_the_builder() -> None:
    builder = Pipeline.create()
    assert builder.add("A", same) is builder
    assert builder.with_tracker(StatusTracker()) is builder
    assert builder.collect_results() is builder
    assert builder.collect_results(False) is builder


def test_a_pipeline_can_be_named() -> None:
    assert Pipeline.create().add("A", same).build().name == "pipeline"
    assert Pipeline.create(name="books").add("A", same).build().name == "books"


def test_a_tracker_is_told_what_happens() -> None:
    tracker = StatusTracker()

    async def main() -> None:
        await Pipeline.create().add("A", same).with_tracker(tracker).run([1, 2])
        assert tracker.get_stats()["completed"] == 2

    simulate(main)


def test_the_last_tracker_given_is_the_one() -> None:
    first, second = StatusTracker(), StatusTracker()

    async def main() -> None:
        await Pipeline.create().with_tracker(first).add("A", same).with_tracker(second).run([1])
        assert (first.get_tracked_ids(), second.get_tracked_ids()) == ([], [0])

    simulate(main)


@pytest.mark.parametrize(
    ("steps", "kept"),
    [
        (lambda builder: builder, [1, 2]),
        (lambda builder: builder.collect_results(), [1, 2]),
        (lambda builder: builder.collect_results(True), [1, 2]),
        (lambda builder: builder.collect_results(False), []),
        (lambda builder: builder.collect_results(False).collect_results(), [1, 2]),
    ],
)
def test_results_are_kept_unless_told_otherwise(
    steps: Callable[[PipelineBuilder], PipelineBuilder], kept: list[int]
) -> None:
    async def main() -> None:
        pipeline = steps(Pipeline.create().add("A", same)).build()
        assert values(await pipeline.run([1, 2])) == kept
        assert values(pipeline.results) == kept
        assert pipeline.get_stats().items_processed == 2

    simulate(main)


# Built twice


def test_built_twice_are_two_pipelines_that_run_at_once() -> None:
    async def later(value: int) -> int:
        await asyncio.sleep(1)
        return value

    async def main() -> None:
        builder = Pipeline.create().add("A", later)
        first, second = builder.build(), builder.build()
        assert first is not second
        found = await asyncio.gather(first.run([1, 2]), second.run([3]))
        assert [values(results) for results in found] == [[1, 2], [3]]
        assert (values(first.results), values(second.results)) == ([1, 2], [3])

    simulate(main)


def test_what_is_added_later_is_not_in_what_was_built_before() -> None:
    builder = Pipeline.create().add("A", same)
    first = builder.build()
    second = builder.add("B", double).collect_results(False).build()
    assert [stage.name for stage in first.stages] == ["A"]
    assert [stage.name for stage in second.stages] == ["A", "B"]
    assert (first.collect_results, second.collect_results) == (True, False)


def test_a_builder_that_was_refused_can_be_completed() -> None:
    builder = Pipeline.create()
    with pytest.raises(PipelineError):
        builder.build()
    assert len(builder.add("A", same).build().stages) == 1


def test_built_twice_have_a_rate_each() -> None:
    calls: list[float] = []

    async def call(value: int) -> None:
        async with rate_limit():
            calls.append(asyncio.get_running_loop().time())

    async def main() -> None:
        builder = Pipeline.create().add("A", call, call_rate=1, call_rate_period=16)
        for _ in range(2):
            await builder.build().run([0])
        assert calls == [0, 0]

    simulate(main, tick=0.0)


# Run and stream


def test_run_builds_and_runs() -> None:
    async def main() -> None:
        builder = Pipeline.create().add("A", double).add("B", double)
        assert values(await builder.run([1, 2])) == [4, 8]
        assert values(await builder.run([3])) == [12]

    simulate(main)


def test_stream_builds_and_streams() -> None:
    async def main() -> None:
        builder = Pipeline.create().add("A", double, workers=1)
        assert [result.value async for result in builder.stream([1, 2])] == [2, 4]
        assert [result.value async for result in builder.stream([3])] == [6]

    simulate(main)


def test_two_streams_of_one_builder_may_run_at_once() -> None:
    async def main() -> None:
        builder = Pipeline.create().add("A", double)
        async with builder.stream([1]) as first, builder.stream([2]) as second:
            assert ((await anext(first)).value, (await anext(second)).value) == (2, 4)

    simulate(main)


def test_run_may_return_failures_in_their_places() -> None:
    async def main() -> None:
        builder = Pipeline.create().add("A", fail, retries=1)
        (result,) = await builder.run([1], return_exceptions=True)
        assert isinstance(result.error, ValueError)

    simulate(main)


def test_stream_takes_a_buffer_size() -> None:
    async def main() -> None:
        builder = Pipeline.create().add("A", same)
        with pytest.raises(ValueError, match="buffer_size"):
            builder.stream([1], buffer_size=-1)
        assert [result.value async for result in builder.stream([1, 2], buffer_size=0)] == [1, 2]

    simulate(main)


@pytest.mark.parametrize("method", ["run", "stream"])
def test_run_and_stream_take_what_those_of_a_pipeline_take(method: str) -> None:
    mine = inspect.signature(getattr(PipelineBuilder, method))
    theirs = inspect.signature(getattr(Pipeline, method))
    assert mine == theirs
