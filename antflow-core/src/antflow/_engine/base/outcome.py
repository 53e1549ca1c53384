"""What follows an attempt that raised: a pure decision."""

from __future__ import annotations

from asyncio import CancelledError
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from antflow._errors.tracebacks import set_on
from antflow.retry import RetryPolicy, failure_of


class Kind(Enum):
    """What becomes of the item of an attempt that did not succeed."""

    RETRY_TASK = auto()
    RETRY_STAGE = auto()
    FAIL = auto()
    CANCEL = auto()
    DROP = auto()


RETRY_TASK = Kind.RETRY_TASK  # for the hot path: looking up a member of an enum takes a call


@dataclass(slots=True)  # neither frozen nor a NamedTuple: they take twice as long to make
class Outcome:
    """The outcome of an attempt that did not succeed; that of one that did is its value.

    Args:
        delay: seconds until the next attempt, if there is one.
        begun: when the first attempt began, where the policy asks for it.
    """

    kind: Kind
    error: BaseException
    delay: float = 0.0
    begun: float | None = None


UNMADE = Outcome(Kind.CANCEL, CancelledError())
"""The outcome of an attempt that was not made, since the run or the worker is ending."""


class AttemptCounts(NamedTuple):
    """How many attempts an item has taken, from 1, with the present one.

    Args:
        task: attempts at the task.
        stage: attempts at the stage as a whole.
        number: the attempt's number as events and results give it: the higher of the two.
        begun: when the first attempt began, on the run's clock; None for a first attempt, and where
            the policy does not ask for it.
    """

    task: int
    stage: int
    number: int
    begun: float | None = None


FIRST = AttemptCounts(1, 1, 1)

NO_ATTEMPT = AttemptCounts(0, 0, 0)
"""What is noted of an item that was skipped."""


def classify_error(
    error: BaseException,
    counts: AttemptCounts,
    task_policy: RetryPolicy,
    stage_policy: RetryPolicy,
    *,
    elapsed: float,
    chance: float,
    is_cancelled: bool,
    is_closed: bool,
) -> Outcome:
    """Decide what follows an exception.

    Args:
        elapsed: seconds since the start of the first attempt.
        chance: a number from 0 to 1 that was drawn at random.
        is_cancelled: whether the worker itself is being cancelled.
        is_closed: whether the run takes nothing more, so that no attempt can follow.
    """
    # A task's own CancelledError is a failure like any other; only the worker's own counts here.
    if is_cancelled and isinstance(error, CancelledError | GeneratorExit):
        return Outcome(Kind.CANCEL, error)
    try:
        kind = RETRY_TASK
        delay = task_policy.delay(counts.task, error, elapsed=elapsed, chance=chance)
        if delay is None:
            kind = Kind.RETRY_STAGE
            delay = stage_policy.delay(counts.stage, error, elapsed=elapsed, chance=chance)
    except BaseException as fault:  # of a function of the user
        if fault is not error:
            set_on(fault, "__cause__", error)
        return Outcome(Kind.FAIL, fault)
    if delay is None:
        return Outcome(Kind.FAIL, failure_of(error))
    if is_closed:  # the item is unprocessed, so that it can be fed again
        return Outcome(Kind.CANCEL, error)
    return Outcome(kind, error, delay)
