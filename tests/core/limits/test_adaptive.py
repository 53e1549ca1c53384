"""`Adaptive`: grows with successes, and halves once for each overload."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antflow import Adaptive, Limit, Pipeline, RetryAfter
from tests.helpers.attempts import Attempts, run_limited
from tests.helpers.runs import now, same, stage, start_with
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, settle


def allowed(limit: Limit) -> int | None:
    return limit.stats().concurrency


async def grow(limit: Limit, successes: int) -> None:
    await Pipeline([stage(same, limits=[limit])]).run(range(successes))


@pytest.mark.parametrize(
    ("successes", "expected"), [(0, 1), (1, 2), (2, 2), (3, 3), (5, 3), (6, 4), (10, 5), (40, 5)]
)
@simulated()
async def test_it_grows_by_one_after_as_many_successes_as_it_allows(
    successes: int, expected: int
) -> None:
    limit = Limit(concurrency=Adaptive(maximum=5))
    await grow(limit, successes)
    assert allowed(limit) == expected


@pytest.mark.parametrize("where", ["only", "first", "last"])
@pytest.mark.parametrize("how", ["fails", "is skipped", "is retried"])
@simulated()
async def test_what_is_no_success_lets_it_not_grow(where: str, how: str) -> None:
    def act(value: int) -> None:
        if how == "fails" or task.values.count(value) < 3:
            raise ValueError

    task, limit = Attempts(0, act), Limit(concurrency=Adaptive())
    fields: dict[str, Any] = {"limits": [limit], "task_wait_seconds": 0}
    if how == "is skipped":
        fields["skip_if"] = lambda value: True
    if how == "is retried":
        fields["task_attempts"] = 3
    stages = [stage(task, **fields)]
    if where == "first":
        stages.append(stage(same, name="Last"))
    elif where == "last":
        stages.insert(0, stage(same, name="First"))
    await Pipeline(stages).run(range(7), return_exceptions=True)
    assert allowed(limit) == (4 if how == "is retried" else 1)


@pytest.mark.parametrize("error", [RetryAfter(0), TimeoutError(), "task_timeout"], ids=str)
@simulated()
async def test_it_halves_once_for_all_attempts_that_met_one_overload(error: Any) -> None:
    async def task(value: int) -> None:
        await asyncio.sleep(1000 if error == "task_timeout" else 1)
        raise error

    limit = Limit(concurrency=Adaptive(minimum=12, maximum=12))
    low = Limit(concurrency=Adaptive(minimum=1, maximum=12), name="low")
    await grow(low, 12 * 11 // 2)
    assert allowed(low) == 12
    fields: dict[str, Any] = {"task_timeout": 1} if error == "task_timeout" else {}
    pipeline = Pipeline([stage(task, workers=20, limits=[limit, low], **fields)])
    await pipeline.run(range(12), return_exceptions=True)
    assert (allowed(limit), allowed(low)) == (12, 6)
    await pipeline.run(range(6), return_exceptions=True)
    assert allowed(low) == 3
    await pipeline.run(range(9), return_exceptions=True)  # three generations of three or fewer
    assert allowed(low) == 1


@simulated(tick=0.0)
async def test_a_late_attempt_of_an_earlier_generation_does_not_halve_it_again() -> None:
    def act(value: float) -> None:
        if value in (1, 2, 5):
            raise RetryAfter(0)

    limit = Limit(concurrency=Adaptive(minimum=1, maximum=8))
    await grow(limit, 28)
    task, halves = Attempts(lambda value: value, act), list[int | None]()
    pipeline = Pipeline([stage(task, workers=20, limits=[limit])])
    await start_with(pipeline, [1, 2, 4.5, 5, 100, 100, 100, 100, 0.25])
    for at in (0.5, 1.5, 2.5, 5.5):
        await asyncio.sleep(at - now())
        halves.append(allowed(limit))
    await pipeline.shutdown(timeout=0)
    assert halves == [8, 4, 4, 4]


@simulated()
async def test_another_error_does_not_halve_it() -> None:
    def act(value: int) -> None:
        raise ValueError

    limit = Limit(concurrency=Adaptive())
    await grow(limit, 6)
    task = Attempts(0, act)
    await Pipeline([stage(task, limits=[limit])]).run(range(5), return_exceptions=True)
    assert allowed(limit) == 4


@simulated(tick=0.0)
async def test_a_pause_halves_it_if_attempts_have_started_since_it_halved() -> None:
    limit = Limit(concurrency=Adaptive())
    await grow(limit, 28)
    assert allowed(limit) == 8
    limit.pause(1)
    limit.pause(2)
    assert allowed(limit) == 4


@simulated()
async def test_no_more_run_at_once_than_it_allows() -> None:
    task, limit = Attempts(1), Limit(concurrency=Adaptive(minimum=2, maximum=6))
    await run_limited(range(100), limit, task=task)
    assert task.most == 6
    assert task.times[:4] == pytest.approx([0, 0, 1, 1], abs=0.01)


@simulated()
async def test_each_key_adapts_by_itself() -> None:
    limit = Limit(concurrency=Adaptive(), key=lambda value: value[0], per=100)
    task = await run_limited(["a"] * 3 + ["b"], limit)
    assert len(task.starts) == 4
    assert {key.key: key.concurrency for key in limit.stats().busiest} == {"a": 3, "b": 2}
    assert limit.stats().concurrency is None
    limit.pause(1, key="a")
    assert {key.key: key.concurrency for key in limit.stats().busiest} == {"a": 1, "b": 2}


@simulated()
async def test_what_runs_when_it_halves_goes_on() -> None:
    gate, limit = Gate(), Limit(concurrency=Adaptive())
    await grow(limit, 6)
    pipeline = Pipeline([stage(gate, workers=9, limits=[limit])])
    await start_with(pipeline, range(8))
    assert gate.waiting == [0, 1, 2, 3]
    limit.pause(0)
    assert (allowed(limit), limit.stats().in_use, limit.stats().available) == (2, 4, 0)
    gate.let(0, 1)
    await settle()
    assert gate.waiting == [2, 3, 4]  # after two successes it allows three
    gate.open()
    await pipeline.join()
