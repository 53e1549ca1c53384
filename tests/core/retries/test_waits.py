"""Waits between attempts, as a stage makes them: no worker is held, and errors decide."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from antflow import Backoff, GiveUp, Pipeline, PipelineResult, RetryAfter, Stage
from tests.helpers.simulated import simulated


@dataclass(frozen=True)
class Frozen(Exception):
    """Refuses that its attributes are set."""

    code: int


class Unprepared(GiveUp):
    """Has no cause, since it does not call the constructor of its base."""

    def __init__(self, status: int) -> None:
        Exception.__init__(self, status)


class Task:
    """A task that raises some errors in turn, and notes when it was called."""

    __name__ = "task"

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.times: list[float] = []

    async def __call__(self, value: Any) -> Any:
        self.times.append(round(asyncio.get_running_loop().time(), 3))
        if self.errors:
            raise self.errors.pop(0)
        return value


async def run(task: Task, **options: Any) -> tuple[Pipeline, list[float], PipelineResult]:
    """Run one item; return the pipeline, the waits between attempts, and the item's result."""
    stage = Stage(**{"name": "Work", "workers": 1, "tasks": [task], "task_attempts": 9, **options})
    pipeline = Pipeline([stage], autoload=False)
    (result,) = await pipeline.run([7], return_exceptions=True)
    waits = [round(b - a, 3) for a, b in zip(task.times, task.times[1:], strict=False)]
    return pipeline, waits, result


async def async_function(*_: object) -> bool:
    return False


def fail_frozen(_: object) -> bool:
    raise Frozen(7)


def broken(number: int) -> list[BaseException]:
    return [OSError(n) for n in range(number)]


@pytest.mark.parametrize(
    ("options", "waits"),
    [
        ({}, [1, 1, 1]),
        ({"task_wait_seconds": 3}, [3, 3, 3]),
        ({"task_wait_seconds": 3, "retry_wait": 0.5}, [0.5, 0.5, 0.5]),
        ({"retry_wait": Backoff(jitter=False)}, [0.5, 1, 2]),
        ({"retry_wait": lambda attempt, _: attempt * 10}, [10, 20, 30]),
        ({"retry_wait": lambda _, error: error.args[0]}, [0, 1, 2]),
        ({"retry": "per_stage", "stage_attempts": 9}, [0, 0, 0]),
        ({"retry": "per_stage", "stage_attempts": 9, "retry_wait": 2}, [2, 2, 2]),
    ],
)
@simulated(tick=0.0)
async def test_an_item_waits_as_the_stage_says(options: Any, waits: list[float]) -> None:
    _, found, result = await run(Task(*broken(3)), **options)
    assert found == waits
    assert (result.is_success, result.attempts) == (True, 4)


@simulated(tick=0.0)
async def test_jitter_stays_below_the_wait_and_differs() -> None:
    _, waits, _ = await run(Task(*broken(8)), retry_wait=Backoff(initial=10, maximum=40))
    assert all(0 <= wait <= most for wait, most in zip(waits, [10, 20] + [40] * 6, strict=True))
    assert len(set(waits)) > 4


@simulated(tick=0.0)
async def test_a_task_says_when_it_may_be_called_again() -> None:
    task = Task(RetryAfter(2.5), OSError(), RetryAfter(0, OSError()))
    _, waits, result = await run(task, retry_on=OSError, never_retry=RetryAfter)
    assert waits == [2.5, 1, 0]
    assert result.attempts == 4


@pytest.mark.parametrize(
    ("errors", "options", "error", "attempts"),
    [
        ([RetryAfter(1, OSError("busy"))], {"task_attempts": 1}, "OSError('busy')", 1),
        ([RetryAfter(1)], {"task_attempts": 1}, "RetryAfter(1, None)", 1),
        ([OSError(), GiveUp(KeyError("gone"))], {}, "KeyError('gone')", 2),
        ([GiveUp(KeyError("gone"))], {"retry": "per_stage"}, "KeyError('gone')", 1),
        ([KeyError("bad")], {"retry_on": OSError}, "KeyError('bad')", 1),
        ([OSError(), KeyError("bad")], {"retry_on": lambda e: e.args == ()}, "KeyError('bad')", 2),
        ([KeyError("bad")], {"never_retry": LookupError}, "KeyError('bad')", 1),
        (broken(9), {"retry_timeout": 2.5}, "OSError(2)", 3),
        (broken(9), {"retry_timeout": 3}, "OSError(3)", 4),
        ([RetryAfter(60, OSError("busy"))], {"retry_timeout": 30}, "OSError('busy')", 1),
        ([GiveUp(Frozen(1))], {}, "Frozen(code=1)", 1),
        ([RetryAfter(1, Frozen(1))], {"task_attempts": 1}, "Frozen(code=1)", 1),
        ([Unprepared(1)], {"task_attempts": 1}, "Unprepared(1)", 1),
        (
            broken(9),
            {"retry": "per_stage", "stage_attempts": 9, "retry_wait": 1, "retry_timeout": 1.5},
            "OSError(1)",
            2,
        ),
    ],
)
@simulated(tick=0.0)
async def test_an_item_fails_when_no_attempt_follows(
    errors: list[BaseException], options: Any, error: str, attempts: int
) -> None:
    _, _, result = await run(Task(*errors), **options)
    assert (repr(result.error), result.attempts) == (error, attempts)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"retry_wait": lambda *_: -1}, "retry_wait returned -1 after attempt 1"),
        ({"retry_wait": lambda *_: 1 / 0}, "division by zero"),
        ({"retry_on": lambda _: 1 / 0}, "division by zero"),
        ({"retry_on": async_function}, "retry_on returned an awaitable; give a function that is"),
        ({"retry_wait": async_function}, "retry_wait returned an awaitable; give a function that"),
        ({"retry_on": fail_frozen}, "7"),
    ],
)
@simulated(tick=0.0)
async def test_an_error_of_a_policys_function_is_the_items(options: Any, text: str) -> None:
    _, _, result = await run(Task(OSError("first")), **options)
    assert text in str(result.error)
    assert repr(result.error and result.error.__cause__) == "OSError('first')"


@pytest.mark.parametrize("seconds", [None, float("nan"), -1, "1"])
@simulated(tick=0.0)
async def test_an_error_that_asks_for_no_seconds_is_a_failure_with_the_remedy(seconds: Any) -> None:
    asked = RetryAfter(1)
    asked.seconds = seconds
    _, _, result = await run(Task(asked), task_attempts=1)
    assert str(result.error) == (
        "RetryAfter has no number of seconds; call super().__init__(seconds)"
    )
    assert result.error is not None
    assert result.error.__cause__ is asked


@simulated(tick=0.0)
async def test_the_timeout_of_retries_counts_from_the_first_task_of_a_stage() -> None:
    async def slow(value: int) -> int:
        await asyncio.sleep(2)
        return value

    task = Task(*broken(9))
    stage = Stage(
        name="Work",
        workers=1,
        tasks=[slow, task],
        retry="per_stage",
        stage_attempts=9,
        retry_wait=1,
        retry_timeout=6.5,
    )
    await Pipeline([stage], autoload=False).run([1])
    assert task.times == [2, 5, 8]  # begun at 0, 3 and 6


@simulated(tick=0.0)
async def test_statistics_say_what_is_waited_for_and_until_when() -> None:
    task = Task(RetryAfter(30), GiveUp(KeyError()))
    stage = Stage(name="Work", workers=4, tasks=[task])
    pipeline = Pipeline([stage], autoload=False)
    async with pipeline:
        await pipeline.start()
        await pipeline.feed([1])
        await asyncio.sleep(10)
        stats = pipeline.get_stats().stage_stats["Work"]
        assert (stats.parked_items, stats.in_progress_items) == (1, 0)
        assert stats.workers["waiting"] == 4
        assert stats.next_retry is not None
        snapshot = pipeline.get_dashboard_snapshot()
        assert stats.next_retry - snapshot.timestamp == pytest.approx(20, abs=0.5)
        await pipeline.join()
    stats = pipeline.get_stats().stage_stats["Work"]
    assert (stats.retried_attempts, stats.give_ups, stats.next_retry) == (1, 1, None)


@simulated(tick=0.0)
async def test_more_than_max_parked_items_make_the_input_wait() -> None:
    read = 0

    def items() -> Any:
        nonlocal read
        while read < 100:
            read += 1
            yield read

    stage = Stage(
        name="Work",
        workers=2,
        tasks=[Task(*broken(20))],
        retry_wait=60,
        queue_capacity=3,
        max_parked=10,
    )
    pipeline = Pipeline([stage], autoload=False)
    running = asyncio.ensure_future(pipeline.run(items()))
    await asyncio.sleep(30)
    assert pipeline.get_stats().stage_stats["Work"].parked_items == pytest.approx(10, abs=6)
    assert read < 30
    assert len(await running) == 100


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"retry_wait": "x"}, "has retry_wait='x'; give seconds, 0 or more, a Backoff, a wait"),
        ({"retry_wait": -1}, "has retry_wait=-1;"),
        ({"retry_wait": Backoff}, "has retry_wait=<class 'antflow.retry.Backoff'>;"),
        ({"retry_on": 5}, "has retry_on=5; give a type of exceptions, a tuple of types, or a"),
        ({"retry_on": int}, "has retry_on=<class 'int'>;"),
        ({"retry_on": (OSError, "x")}, r"has retry_on=\(<class 'OSError'>, 'x'\);"),
        ({"retry_timeout": -1}, "has retry_timeout=-1; give seconds, above 0, or None"),
        ({"task_timeout": 0}, "has task_timeout=0; give seconds, above 0, or None for no limit"),
        ({"item_timeout": "1"}, "has item_timeout='1'; give seconds, above 0"),
        ({"max_parked": 0}, "has max_parked=0; give a number of items, 1 or more"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(options: Any, text: str) -> None:
    stage = Stage(name="Work", workers=1, tasks=[print], **options)
    with pytest.raises(Exception, match=text):
        Pipeline([stage], autoload=False)
