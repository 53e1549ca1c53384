"""Attempts at a task and at a stage: how many, when, with which value, and on every path."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antflow import Pipeline, Stage
from tests.helpers.runs import (
    CustomExit,
    Failing,
    fail,
    piped,
    run,
    run_exactly,
    same,
    stage,
    values,
)
from tests.helpers.simulated import simulated

# Retries per task


def test_a_task_is_tried_again_after_the_wait() -> None:
    task = Failing(2)
    pipeline = run([Stage("Work", 1, [task], task_attempts=3, task_wait_seconds=60)], [7], tick=0.0)
    assert values(pipeline.results) == [7]
    assert pipeline.results[0].attempts == 3
    assert task.times == pytest.approx([0, 60, 120])


def test_by_default_a_task_is_tried_three_times_a_second_apart() -> None:
    task = Failing(99)
    pipeline = run([Stage("Work", 1, [task])], [7], tick=0.0)
    (failure,) = pipeline.failures
    assert (failure.attempts, str(failure.error)) == (3, "7, attempt 3")
    assert task.times == pytest.approx([0, 1, 2])


def test_one_attempt_is_not_tried_again() -> None:
    task = Failing(99)
    pipeline = run([Stage("Work", 1, [task], task_attempts=1)], [7])
    assert pipeline.failures[0].attempts == len(task.calls) == 1


def test_a_wait_of_nothing_takes_no_time() -> None:
    task = Failing(99)
    run([Stage("Work", 1, [task], task_attempts=50, task_wait_seconds=0)], [7], tick=0.0)
    assert task.times == [0.0] * 50


@simulated
async def test_others_are_worked_on_while_an_item_waits_for_its_next_attempt() -> None:
    task = Failing(1)
    pipeline = Pipeline([Stage("Work", 2, [task], task_wait_seconds=100)])
    task.calls.append("good")  # its next call succeeds
    results = await pipeline.run(["bad", "good", "good"])
    assert values(results) == ["bad", "good", "good"]
    assert task.calls == ["good", "bad", "good", "good", "bad"]


def test_each_task_has_attempts_of_its_own_and_earlier_ones_are_not_repeated() -> None:
    first, second = Failing(2, "first"), Failing(2, "second")
    pipeline = run([Stage("Work", 1, [first, second], task_wait_seconds=1)], [7])
    assert values(pipeline.results) == [7]
    assert (len(first.calls), len(second.calls)) == (3, 3)


@simulated
async def test_attempts_are_those_of_the_last_task() -> None:
    pipeline = Pipeline([Stage("Work", 1, [Failing(2), same])])
    (result,) = await pipeline.run([7])
    assert result.attempts == 1
    (result,) = await Pipeline([Stage("Work", 1, [same, Failing(1)])]).run([7])
    assert result.attempts == 2


def test_attempts_are_those_of_the_stage_that_the_item_ended_in() -> None:
    retried, plain = Stage("Retried", 1, [Failing(1)]), Stage("Plain", 1, [same])
    assert run([retried, plain], [7]).results[0].attempts == 1
    retried.tasks = [Failing(1)]
    assert run([plain, retried], [7]).results[0].attempts == 2
    retried.tasks = [Failing(1)]
    once = Stage("Once", 1, [fail], task_attempts=1)
    assert run([retried, once], [7]).failures[0].attempts == 1


def test_the_error_is_that_of_the_last_attempt() -> None:
    pipeline = run([Stage("Work", 1, [Failing(99)], task_attempts=4)], [7])
    assert str(pipeline.failures[0].error) == "7, attempt 4"


# Retries per stage


def test_a_whole_stage_is_tried_again_from_its_first_task_without_a_wait() -> None:
    first, second = Failing(0, "first"), Failing(2, "second")
    anew = Stage("Work", 1, [first, second], retry="per_stage", task_wait_seconds=50)
    pipeline = run([anew], [7], tick=0.0)
    assert values(pipeline.results) == [7]
    assert pipeline.results[0].attempts == 3
    assert (first.times, second.times) == ([0.0] * 3, [0.0] * 3)


def test_a_stage_is_tried_three_times_by_default() -> None:
    task = Failing(99)
    pipeline = run([Stage("Work", 1, [same, task], retry="per_stage")], [7])
    assert pipeline.failures[0].attempts == len(task.calls) == 3


def test_task_attempts_do_not_count_when_the_stage_is_retried() -> None:
    task = Failing(99)
    run([Stage("Work", 1, [task], "per_stage", task_attempts=5, stage_attempts=2)], [7])
    assert len(task.calls) == 2


def test_an_item_tried_anew_starts_with_the_value_that_entered_the_stage() -> None:
    entered: list[int] = []

    async def add(value: int) -> int:
        entered.append(value)
        return value + 1

    pipeline = run([Stage("Work", 1, [add, Failing(1)], retry="per_stage")], [7])
    assert entered == [7, 7]
    assert values(pipeline.results) == [8]


@simulated
async def test_an_item_tried_anew_goes_behind_those_that_wait_at_its_priority() -> None:
    task = Failing(1)
    pipeline = Pipeline([Stage("Work", 1, [task], retry="per_stage")])
    await pipeline.feed(["a", "b"], priority=5)
    await pipeline.feed(["later"], priority=6)
    await pipeline.start()
    await pipeline.join()
    assert task.calls == ["a", "b", "a", "b", "later", "later"]


def test_stage_attempts_start_afresh_in_the_next_stage() -> None:
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


# The three loops of a worker

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
def test_every_path_gives_the_same_outcome(path: str, fails: int) -> None:
    task = Failing(fails, "task")

    async def main() -> Pipeline:
        pipeline = piped_by(path, task, workers=2, task_attempts=3, task_wait_seconds=10)
        await pipeline.run(["a", "b", "c"])
        return pipeline

    pipeline = run_exactly(main)
    is_success = fails < 3
    ended = pipeline.results if is_success else pipeline.failures
    assert values(ended) == ["a", "b", "c"]
    assert [result.attempts for result in ended] == [1 if is_success else 3] * 3
    assert [result.stage for result in ended] == [None if is_success else "Work"] * 3
    stats = pipeline.get_stats().stage_stats["Work"]
    assert (stats.completed_items, stats.failed_items) == ((3, 0) if is_success else (0, 3))
    assert stats.retried_attempts == 3 * min(fails, 2)
    assert stats.tasks["task"].attempts == 3 * min(fails + 1, 3)
    assert stats.seconds["waiting"] == pytest.approx(20 * min(fails, 2))


@pytest.mark.parametrize("path", list(PATHS))
@pytest.mark.parametrize("error", [asyncio.CancelledError(), CustomExit(), SystemExit(3)])
@simulated
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
