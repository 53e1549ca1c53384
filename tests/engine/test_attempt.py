"""What follows an attempt that raised."""

from __future__ import annotations

from asyncio import CancelledError

import pytest

from antflow._engine.base.outcome import FIRST, AttemptCounts, Kind, Outcome, classify_error
from antflow.retry import ONCE, RetryPolicy

DRAWN = {"elapsed": 0.0, "chance": 1.0}
TASK = RetryPolicy(3, wait=2.0, never=(KeyError,))
STAGE = RetryPolicy(2, wait=5.0, never=(LookupError,))
BROKEN = ValueError("broken")
LAST = AttemptCounts(3, 2, 3)


@pytest.mark.parametrize(
    ("error", "attempt", "task_policy", "stage_policy", "kind", "delay"),
    [
        # The task is tried again first, and then the stage, each by its own number.
        (BROKEN, FIRST, ONCE, ONCE, Kind.FAIL, 0.0),
        (BROKEN, FIRST, TASK, ONCE, Kind.RETRY_TASK, 2.0),
        (BROKEN, AttemptCounts(2, 1, 2), TASK, ONCE, Kind.RETRY_TASK, 2.0),
        (BROKEN, AttemptCounts(3, 1, 3), TASK, ONCE, Kind.FAIL, 0.0),
        (BROKEN, FIRST, ONCE, STAGE, Kind.RETRY_STAGE, 5.0),
        (BROKEN, AttemptCounts(1, 2, 2), ONCE, STAGE, Kind.FAIL, 0.0),
        (BROKEN, FIRST, TASK, STAGE, Kind.RETRY_TASK, 2.0),
        (BROKEN, AttemptCounts(3, 1, 3), TASK, STAGE, Kind.RETRY_STAGE, 5.0),
        (BROKEN, AttemptCounts(1, 2, 2), TASK, STAGE, Kind.RETRY_TASK, 2.0),
        (BROKEN, AttemptCounts(1, 3, 3), TASK, RetryPolicy(5), Kind.RETRY_TASK, 2.0),
        (BROKEN, LAST, TASK, STAGE, Kind.FAIL, 0.0),
        # Without a wait it is a retry all the same.
        (BROKEN, FIRST, RetryPolicy(2), ONCE, Kind.RETRY_TASK, 0.0),
        (BROKEN, FIRST, ONCE, RetryPolicy(2), Kind.RETRY_STAGE, 0.0),
        # An error that one policy never retries is left to the other.
        (KeyError(), FIRST, TASK, RetryPolicy(2), Kind.RETRY_STAGE, 0.0),
        (KeyError(), FIRST, TASK, STAGE, Kind.FAIL, 0.0),
        # Only an Exception is tried again; a CancelledError of the task's own is a failure.
        (CancelledError(), FIRST, TASK, STAGE, Kind.FAIL, 0.0),
        (GeneratorExit(), FIRST, TASK, STAGE, Kind.FAIL, 0.0),
        (KeyboardInterrupt(), FIRST, TASK, STAGE, Kind.FAIL, 0.0),
    ],
)
def test_an_error_is_followed_as_the_policies_say(
    error: BaseException,
    attempt: AttemptCounts,
    task_policy: RetryPolicy,
    stage_policy: RetryPolicy,
    kind: Kind,
    delay: float,
) -> None:
    outcome = classify_error(
        error, attempt, task_policy, stage_policy, is_cancelled=False, is_closed=False, **DRAWN
    )
    assert outcome == Outcome(kind, error, delay)


@pytest.mark.parametrize(
    ("error", "attempt", "is_cancelled", "is_closed", "kind"),
    [
        # A cancellation of the worker is no error of the task, though errors may come with it.
        (CancelledError(), FIRST, True, False, Kind.CANCEL),
        (CancelledError(), LAST, True, True, Kind.CANCEL),
        (GeneratorExit(), FIRST, True, False, Kind.CANCEL),
        (BROKEN, FIRST, True, False, Kind.RETRY_TASK),
        (BROKEN, LAST, True, False, Kind.FAIL),
        (KeyboardInterrupt(), FIRST, True, False, Kind.FAIL),
        # Once the run is closed no attempt can follow: what could be retried is unprocessed.
        (BROKEN, FIRST, False, True, Kind.CANCEL),
        (BROKEN, AttemptCounts(3, 1, 3), False, True, Kind.CANCEL),
        (BROKEN, LAST, False, True, Kind.FAIL),
        (CancelledError(), FIRST, False, True, Kind.FAIL),
        (KeyboardInterrupt(), FIRST, False, True, Kind.FAIL),
    ],
)
def test_an_end_of_the_worker_or_the_run_comes_first(
    error: BaseException, attempt: AttemptCounts, is_cancelled: bool, is_closed: bool, kind: Kind
) -> None:
    outcome = classify_error(
        error, attempt, TASK, STAGE, is_cancelled=is_cancelled, is_closed=is_closed, **DRAWN
    )
    assert (outcome.kind, outcome.error) == (kind, error)
    assert outcome.delay == (2.0 if kind in (Kind.RETRY_TASK, Kind.RETRY_STAGE) else 0.0)
