"""The builder: each option, what it refuses, and that what it builds is independent."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from antflow import (
    Limit,
    Pipeline,
    PipelineBuilder,
    PipelineError,
    Stage,
    StatusTracker,
    rate_limit,
)
from tests.helpers.runs import double, fail, same, values
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import simulate


def note(*_: Any) -> None:
    """Nothing."""


def only_stage(builder: PipelineBuilder) -> Stage:
    (stage,) = builder.build().stages
    return stage


# Stages


def test_a_stage_has_five_workers_and_the_defaults_of_stages() -> None:
    assert only_stage(Pipeline.create().add("Fetch", same)) == Stage("Fetch", 5, [same])
    assert only_stage(Pipeline.create().add("Fetch", same, workers=9)).workers == 9


def test_stages_are_in_the_order_in_which_they_were_added() -> None:
    builder = Pipeline.create(name="books").add("A", same).add("B", double, pull=True)
    pipeline = builder.add("C", same, double).build()
    assert pipeline.name == "books"
    assert [stage.name for stage in pipeline.stages] == ["A", "B", "C"]
    assert [list(stage.tasks) for stage in pipeline.stages] == [[same], [double], [same, double]]
    assert [stage.pull for stage in pipeline.stages] == [False, True, False]


@pytest.mark.parametrize(
    ("options", "made"),
    [
        ({"retries": 4, "task_wait_seconds": 0}, 4),
        ({"retries": 4, "retry_policy": "per_stage"}, 4),
        ({"retries": 1}, 1),
        ({"retries": 1, "retry_policy": "per_stage"}, 1),
        ({"task_wait_seconds": 0}, 3),
        ({"retries": 2, "task_attempts": 5}, 5),
        ({"retries": 2, "stage_attempts": 6, "retry_policy": "per_stage"}, 6),
    ],
    ids=str,
)
@simulated()
async def test_retries_is_how_many_attempts_are_made(options: dict[str, Any], made: int) -> None:
    pipeline = Pipeline.create().add("A", fail, **options).build()
    assert await pipeline.run([0]) == []
    assert [failure.attempts for failure in pipeline.failures] == [made]


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
    "retry_wait": 0.5,
    "retry_on": OSError,
    "never_retry": (NameError,),
    "retry_timeout": 30,
    "max_parked": 50,
    "task_timeout": 5,
    "item_timeout": 60.0,
    "limits": [Limit(rate=3)],
}


def test_every_other_field_of_a_stage_can_be_given_by_its_name() -> None:
    given_otherwise = {"name", "workers", "tasks", "retry", "pull"}
    assert {field.name for field in fields(Stage)} == given_otherwise | set(GIVEN)
    expected = Stage("A", 5, [same], **GIVEN)
    assert only_stage(Pipeline.create().add("A", same, **GIVEN)) == expected


# What it refuses


@pytest.mark.parametrize(
    ("builder", "text"),
    [
        (Pipeline.create(), "must have at least one stage"),
        (Pipeline.create().add("A"), "'A' must have at least one task"),
        (Pipeline.create().add("A", same).add("B", same, retries=0), "'B' has task_attempts=0"),
        (Pipeline.create().add("A", same).add("A", same), "Duplicate stage name 'A'"),
        (Pipeline.create().add("A", same, pull=True), "first stage"),
        *(
            (Pipeline.create().add("A", same).with_tracker(tracker), "give a StatusTracker")  # type: ignore[arg-type]
            for tracker in (5, StatusTracker, print)
        ),
    ],
)
@simulated()
async def test_build_run_and_stream_refuse_what_a_pipeline_refuses(
    builder: PipelineBuilder, text: str
) -> None:
    calls = builder.build, lambda: builder.run([1]), lambda: builder.stream([1])
    for call in calls:
        with pytest.raises(PipelineError) as caught:
            await call()  # type: ignore[misc]
        assert text in str(caught.value)


def test_a_builder_that_was_refused_can_be_completed() -> None:
    builder = Pipeline.create()
    with pytest.raises(PipelineError):
        builder.build()
    assert len(builder.add("A", same).build().stages) == 1


# The other options


@simulated()
async def test_the_last_tracker_is_used() -> None:
    first, second = StatusTracker(), StatusTracker()

    await Pipeline.create().with_tracker(first).add("A", same).with_tracker(second).run([1])
    assert (first.get_tracked_ids(), second.get_tracked_ids()) == ([], [0])


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
@simulated()
async def test_results_are_kept_unless_collect_results_is_false(
    steps: Callable[[PipelineBuilder], PipelineBuilder], kept: list[int]
) -> None:
    pipeline = steps(Pipeline.create().add("A", same)).build()
    assert values(await pipeline.run([1, 2])) == kept
    assert values(pipeline.results) == kept
    assert pipeline.get_stats().items_processed == 2


# Several pipelines of one builder


@simulated()
async def test_two_pipelines_of_one_builder_run_at_once() -> None:
    async def later(value: int) -> int:
        await asyncio.sleep(1)
        return value

    builder = Pipeline.create().add("A", later)
    first, second = builder.build(), builder.build()
    found = await asyncio.gather(first.run([1, 2]), second.run([3]))
    assert [values(results) for results in found] == [[1, 2], [3]]
    assert (values(first.results), values(second.results)) == ([1, 2], [3])


def test_a_pipeline_has_no_stage_that_was_added_later() -> None:
    builder = Pipeline.create().add("A", same)
    first = builder.build()
    second = builder.add("B", double).collect_results(False).build()
    assert [stage.name for stage in first.stages] == ["A"]
    assert [stage.name for stage in second.stages] == ["A", "B"]
    assert (first.collect_results, second.collect_results) == (True, False)


def test_two_pipelines_of_one_builder_have_a_rate_each() -> None:
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


@simulated()
async def test_run_builds_a_pipeline_and_runs_it() -> None:
    builder = Pipeline.create().add("A", double).add("B", double)
    assert values(await builder.run([1, 2])) == [4, 8]
    assert values(await builder.run([3])) == [12]
    (result,) = await builder.add("C", fail, retries=1).run([1], return_exceptions=True)
    assert isinstance(result.error, ValueError)


@simulated()
async def test_stream_builds_a_pipeline_and_streams_its_results() -> None:
    builder = Pipeline.create().add("A", double, workers=1)
    assert [result.value async for result in builder.stream([1, 2])] == [2, 4]
    assert [result.value async for result in builder.stream([3], buffer_size=0)] == [6]
    with pytest.raises(ValueError, match="buffer_size"):
        builder.stream([1], buffer_size=-1)
    async with builder.stream([1]) as first, builder.stream([2]) as second:
        assert ((await anext(first)).value, (await anext(second)).value) == (2, 4)


@pytest.mark.parametrize("method", ["run", "stream"])
def test_run_and_stream_have_the_signatures_of_those_of_a_pipeline(method: str) -> None:
    mine = inspect.signature(getattr(PipelineBuilder, method))
    assert mine == inspect.signature(getattr(Pipeline, method))
