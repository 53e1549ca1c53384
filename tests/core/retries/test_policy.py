"""Retry policy: a pure function of attempt, error, time and chance."""

from __future__ import annotations

import pickle
import random
from asyncio import CancelledError
from typing import Any

import pytest
import tenacity
from hypothesis import given
from hypothesis import strategies as st

from antflow import (
    AttemptTimeoutError,
    Backoff,
    GiveUp,
    ItemTimeoutError,
    Pipeline,
    RetryAfter,
    Stage,
)
from antflow.retry import ONCE, RetryPolicy, checked_wait, failure_of

BROKEN = ValueError("broken")


@pytest.mark.parametrize(
    ("attempts", "attempt", "follows"),
    [
        (1, 1, False),
        (2, 1, True),
        (2, 2, False),
        (3, 1, True),
        (3, 2, True),
        (3, 3, False),
        (3, 4, False),
    ],
)
def test_attempts_count_the_first_one_too(attempts: int, attempt: int, follows: bool) -> None:
    delay = RetryPolicy(attempts, wait=0.25).delay(attempt, BROKEN)
    assert delay == (0.25 if follows else None)


def test_no_wait_is_not_the_end() -> None:
    assert RetryPolicy(2).delay(1, BROKEN) == 0.0
    assert ONCE.delay(1, BROKEN) is None


@pytest.mark.parametrize(
    "error", [CancelledError(), KeyboardInterrupt(), SystemExit(), GeneratorExit(), BaseException()]
)
def test_only_an_exception_is_tried_again(error: BaseException) -> None:
    assert RetryPolicy(5, retry_on=BaseException).delay(1, error) is None


@pytest.mark.parametrize(
    ("retry_on", "never", "error", "follows"),
    [
        (Exception, (), BROKEN, True),
        (OSError, (), BROKEN, False),
        (OSError, (), ConnectionError(), True),
        ((OSError, ValueError), (), BROKEN, True),
        ((), (), BROKEN, False),
        (lambda error: "brok" in str(error), (), BROKEN, True),
        (lambda _: None, (), BROKEN, False),
        (Exception, ValueError, BROKEN, False),
        (lambda _: True, (KeyError, ValueError), BROKEN, False),
        (Exception, (), AttemptTimeoutError("late"), True),
        (TimeoutError, (), AttemptTimeoutError("late"), True),
        (Exception, (), ItemTimeoutError("of an inner pipeline"), True),
        (Exception, (), GiveUp(BROKEN), False),
    ],
)
def test_errors_decide_whether_another_attempt_follows(
    retry_on: Any, never: Any, error: Exception, follows: bool
) -> None:
    policy = RetryPolicy(5, retry_on=retry_on, never=never)
    assert (policy.delay(1, error) is not None) is follows


def test_a_task_that_asks_for_a_time_gets_it_whatever_the_policy_says() -> None:
    policy = RetryPolicy(3, wait=9.0, retry_on=OSError, never=RetryAfter)
    assert policy.delay(1, RetryAfter(2.5)) == 2.5
    assert policy.delay(3, RetryAfter(2.5)) is None


@pytest.mark.parametrize(
    ("timeout", "elapsed", "follows"),
    [(None, 1e9, True), (3.0, 1.9, True), (3.0, 2.0, True), (3.0, 2.1, False), (0.5, 0.0, False)],
)
def test_no_attempt_begins_after_the_timeout(
    timeout: float | None, elapsed: float, follows: bool
) -> None:
    delay = RetryPolicy(5, wait=1.0, timeout=timeout).delay(1, BROKEN, elapsed=elapsed)
    assert (delay is not None) is follows


# How long it waits


def test_backoff_grows_to_its_maximum() -> None:
    backoff = Backoff(initial=0.5, maximum=5.0, factor=3.0, jitter=False)
    assert [backoff.seconds(attempt) for attempt in (1, 2, 3, 4, 10_000)] == [0.5, 1.5, 4.5, 5, 5]
    assert Backoff(initial=0).seconds(10_000) == 0


@given(
    st.floats(0, 1e6), st.floats(0, 1e6), st.floats(1, 1e6), st.integers(1, 10**6), st.floats(0, 1)
)
def test_a_wait_never_exceeds_its_maximum(
    initial: float, maximum: float, factor: float, attempt: int, chance: float
) -> None:
    backoff = Backoff(initial, maximum, factor)
    assert 0 <= backoff.seconds(attempt, chance) <= maximum


def test_full_jitter_is_spread_evenly_between_0_and_the_wait() -> None:
    policy = RetryPolicy(9, wait=Backoff(initial=1.0, factor=2.0, maximum=60.0))
    draw = random.Random(5).random
    waits = [policy.delay(3, BROKEN, chance=draw()) or 0.0 for _ in range(20_000)]
    assert max(waits) <= 4.0
    tenths = [sum(n * 0.4 <= wait < (n + 1) * 0.4 for wait in waits) for n in range(10)]
    assert all(abs(tenth - 2000) < 5 * 45 for tenth in tenths)  # five standard deviations


def test_a_function_gets_the_attempt_and_the_error() -> None:
    seen: list[tuple[int, BaseException]] = []

    def wait(attempt: int, error: BaseException) -> float:
        seen.append((attempt, error))
        return attempt / 2

    assert RetryPolicy(5, wait=wait).delay(3, BROKEN) == 1.5
    assert seen == [(3, BROKEN)]


@pytest.mark.parametrize(
    ("strategy", "attempt", "seconds"),
    [
        (tenacity.wait_fixed(2), 3, 2),
        (tenacity.wait_exponential(multiplier=0.5), 3, 2),
        (tenacity.wait_fixed(1) + tenacity.wait_incrementing(2, 3), 2, 6),
        (tenacity.wait_chain(tenacity.wait_fixed(1), tenacity.wait_fixed(7)), 2, 7),
        (tenacity.wait_exception(lambda error: len(str(error))), 1, 6),
    ],
)
def test_wait_strategies_of_tenacity_are_understood(
    strategy: Any, attempt: int, seconds: float
) -> None:
    wait = checked_wait(strategy)
    assert wait is not None
    assert RetryPolicy(5, wait=wait).delay(attempt, BROKEN) == seconds


@pytest.mark.parametrize("answer", [-1, float("nan"), float("inf"), None, "1", True, 1e10])
def test_a_function_that_returns_no_seconds_is_an_error(answer: Any) -> None:
    with pytest.raises(ValueError, match=r"retry_wait returned .* after attempt 2; return a numb"):
        RetryPolicy(5, wait=lambda *_: answer).delay(2, BROKEN)


# What may be given, and what tasks raise


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"initial": -1}, "initial of Backoff is -1; give seconds"),
        ({"maximum": "1"}, "maximum of Backoff is '1'"),
        ({"maximum": float("inf")}, "maximum of Backoff is inf"),
        ({"factor": 0.5}, "factor of Backoff is 0.5; give a number, 1 or more"),
        ({"factor": float("nan")}, "factor of Backoff is nan"),
    ],
)
def test_a_backoff_that_makes_no_sense_is_refused(arguments: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Backoff(**arguments)


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), "1", None, True, 1.8e9])
def test_retry_after_takes_seconds(seconds: Any) -> None:
    with pytest.raises(
        ValueError, match=r"RetryAfter got .*; give seconds, 0 or more, at most 1,000,000,000"
    ):
        RetryAfter(seconds)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: RetryAfter(1, "x"), "cause of RetryAfter is 'x'; give an exception or None"),  # type: ignore[arg-type]
        (lambda: GiveUp("x"), "cause of GiveUp is 'x'; give an exception"),  # type: ignore[arg-type]
        (lambda: GiveUp(ValueError), "cause of GiveUp is <class 'ValueError'>"),  # type: ignore[arg-type]
    ],
)
def test_a_cause_is_an_exception(make: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        make()


def test_what_tasks_raise_can_be_pickled_and_says_why() -> None:
    after = pickle.loads(pickle.dumps(RetryAfter(2.5, BROKEN)))
    assert (after.seconds, str(after.cause)) == (2.5, "broken")
    assert str(after) == "try again after 2.5 seconds: broken"
    given_up = pickle.loads(pickle.dumps(GiveUp(BROKEN)))
    assert (str(given_up.cause), str(given_up)) == ("broken", "broken")


def test_an_item_fails_with_the_cause() -> None:
    assert failure_of(BROKEN) is BROKEN
    assert failure_of(GiveUp(BROKEN)) is BROKEN
    assert failure_of(RetryAfter(1, BROKEN)) is BROKEN
    without = RetryAfter(1)
    assert failure_of(without) is without


@pytest.mark.parametrize("name", ["retry_on", "retry_wait"])
async def test_a_function_that_raises_keyboard_interrupt_ends_the_run_and_loses_nothing(
    name: str,
) -> None:
    async def fail(_: object) -> None:
        raise BROKEN

    def interrupt(*_: object) -> Any:
        raise KeyboardInterrupt

    options: dict[str, Any] = {name: interrupt}
    stage = Stage(name="Work", workers=1, tasks=[fail], **options)
    pipeline = Pipeline([stage], autoload=False)
    with pytest.raises(KeyboardInterrupt):
        await pipeline.run(range(3))
    stats = pipeline.get_stats()
    assert (stats.items_failed, stats.items_outstanding) == (1, 0)
    assert stats.items_unprocessed == stats.items_fed - 1 == len(pipeline.unprocessed)
