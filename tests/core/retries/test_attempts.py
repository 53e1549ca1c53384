"""Attempts at a task and at a stage: how many, when, with which value, and on every path."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antflow import Pipeline, Stage
from tests.helpers.runs import CustomExit, Failing, fail, piped, run, same, stage, stats_of, values
from tests.helpers.simulated import simulated

# How many, and when


@pytest.mark.parametrize(
    ("fields", "fails", "times"),
    [
        ({}, 99, [0, 1, 2]),
        ({"task_attempts": 1}, 99, [0]),
        ({"task_attempts": 3, "task_wait_seconds": 60}, 2, [0, 60, 120]),
        ({"task_attempts": 50, "task_wait_seconds": 0}, 99, [0] * 50),
        ({"retry": "per_stage"}, 99, [0] * 3),
        ({"retry": "per_stage", "task_wait_seconds": 50}, 2, [0] * 3),
        ({"retry": "per_stage", "task_attempts": 5, "stage_attempts": 2}, 99, [0] * 2),
    ],
    ids=str,
)
@simulated(tick=0.0)
async def test_an_item_has_its_attempts_at_these_times(
    fields: dict[str, Any], fails: int, times: list[float]
) -> None:
    task = Failing(fails)
    pipeline = Pipeline([Stage("Work", 1, [same, task], **fields)])
    (ended,) = await pipeline.run([7], return_exceptions=True)
    assert task.times == times
    assert ended.attempts == len(times)
    if fails < len(times):
        assert (ended.value, ended.error) == (7, None)
    else:
        assert str(ended.error) == f"7, attempt {len(times)}"


@pytest.mark.parametrize(
    ("stages", "attempts"),
    [([[1, 0]], 1), ([[0, 1]], 2), ([[1], [0]], 1), ([[0], [1]], 2), ([[1], [99]], 3)],
)
@simulated()
async def test_the_attempts_of_a_result_are_those_of_the_last_task(
    stages: list[list[int]], attempts: int
) -> None:
    """Each number says how many attempts at a task fail."""
    pipeline = Pipeline(
        Stage(f"Stage {number}", 1, [Failing(fails, f"task {fails}") for fails in tasks])
        for number, tasks in enumerate(stages)
    )
    (ended,) = await pipeline.run([7], return_exceptions=True)
    assert ended.attempts == attempts


@simulated()
async def test_an_item_whose_stage_is_retried_goes_behind_those_that_wait_at_its_priority() -> None:
    task = Failing(1)
    pipeline = Pipeline([Stage("Work", 1, [task], retry="per_stage")])
    await pipeline.feed(["a", "b"], priority=5)
    await pipeline.feed(["later"], priority=6)
    await pipeline.start()
    await pipeline.join()
    assert task.calls == ["a", "b", "a", "b", "later", "later"]


def test_each_stage_has_its_own_attempts() -> None:
    stages = [Stage(name, 1, [Failing(2)], retry="per_stage") for name in ("First", "Second")]
    pipeline = run(stages, [7])
    assert values(pipeline.results) == [7]
    assert pipeline.results[0].attempts == 3


def test_a_failure_of_a_whole_stage_keeps_what_entered_it() -> None:
    async def add(value: int) -> int:
        return value + 1

    pipeline = run([Stage("Add", 1, [add]), Stage("Work", 1, [add, fail], "per_stage")], [7])
    (failure,) = pipeline.failures
    assert (failure.value, failure.stage, failure.attempts) == (8, "Work", 3)


# The two loops of a worker, and the paths through the general one

PATHS: dict[str, dict[str, Any]] = {
    "plain": {},
    "observed": {"observed": True},
    "several tasks": {"tasks": "before"},
    "skip_if": {"skip_if": lambda value: False},
    "on_success": {"on_success": lambda *_: None},
}


def piped_by(path: str, task: Any, **fields: Any) -> Pipeline:
    """Return a pipeline whose first stage is served by the loop of this path."""
    fields.update(PATHS[path])
    observed = fields.pop("observed", False)
    tasks = [same, task] if fields.pop("tasks", None) else [task]
    return piped(stage(*tasks, **fields), stage(same, name="Last"), watched=observed)


@pytest.mark.parametrize("path", list(PATHS))
@pytest.mark.parametrize("fails", [0, 1, 2, 3])
@simulated(tick=0.0)
async def test_every_path_gives_the_same_outcome(path: str, fails: int) -> None:
    task = Failing(fails, "task")
    pipeline = piped_by(path, task, workers=2, task_attempts=3, task_wait_seconds=10)
    await pipeline.run(["a", "b", "c"])
    is_success = fails < 3
    ended = pipeline.results if is_success else pipeline.failures
    assert values(ended) == ["a", "b", "c"]
    assert [result.attempts for result in ended] == [1 if is_success else 3] * 3
    assert [result.stage for result in ended] == [None if is_success else "Work"] * 3
    stats = stats_of(pipeline)
    assert (stats.completed_items, stats.failed_items) == ((3, 0) if is_success else (0, 3))
    assert stats.retried_attempts == 3 * min(fails, 2)
    assert stats.tasks["task"].attempts == 3 * min(fails + 1, 3)
    assert stats.seconds["waiting"] == pytest.approx(20 * min(fails, 2))


@pytest.mark.parametrize("path", list(PATHS))
@pytest.mark.parametrize("error", [asyncio.CancelledError(), CustomExit(), SystemExit(3)])
@simulated()
async def test_every_path_fails_alike_by_what_is_no_exception(
    path: str, error: BaseException
) -> None:
    async def task(value: int) -> int:
        if value == 1:
            raise error
        return value

    pipeline = piped_by(path, task)
    if isinstance(error, asyncio.CancelledError):
        await pipeline.run(range(3))
    else:
        with pytest.raises(type(error)):
            await pipeline.run(range(3))
    (failure,) = pipeline.failures
    assert (failure.value, failure.attempts, failure.error) == (1, 1, error)
