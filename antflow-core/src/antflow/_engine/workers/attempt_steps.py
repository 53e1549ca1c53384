"""The steps of an attempt around the call of its task: what is asked, emitted and decided."""

from __future__ import annotations

from asyncio import CancelledError, timeout
from collections.abc import Awaitable
from dataclasses import replace
from functools import partial
from math import inf
from random import random
from time import time
from typing import Any

from antflow._engine.base.outcome import (
    FIRST,
    UNMADE,
    AttemptCounts,
    Kind,
    Outcome,
    classify_error,
)
from antflow._engine.channels.channel import is_cancelled, is_to_be_dropped
from antflow._engine.limiting.limiter import slow_down
from antflow._errors.tracebacks import limit_traceback, remove_own_frames, unchanged_traceback
from antflow._runners.timeouts import TimedOut, call_with_timeout
from antflow._stats.counters import BUSY, WAITING
from antflow._stats.histogram import add
from antflow.context import acquire
from antflow.events import READ_ONLY_TASK_EVENT, TaskEvent, TaskEventType
from antflow.exceptions import GiveUp, ItemTimeoutError, RetryAfter

from .exits import ask_skip_if, give_back
from .stage_runtime import StageRuntime
from .worker import Worker

OVERLOADS = (RetryAfter, TimeoutError)
RETRIES = (Kind.RETRY_TASK, Kind.RETRY_STAGE)


# Before the call


async def enter(worker: Worker) -> Outcome | None:
    """Begin with an item where there is something to ask before its tasks are called.

    Returns:
        None if its tasks are to be called, unless it `is_skipped`; or else what follows.
    """
    attempt, stage = worker.attempt, worker.stage
    attempt.index, attempt.task, attempt.is_skipped = 0, stage.tasks[0], False
    if attempt.grant is not None and attempt.grant.error is not None:  # of `key` or `cost`
        return Outcome(Kind.FAIL, attempt.grant.error)
    if stage.stage.item_timeout is not None:
        _set_deadline(worker, stage.stage.item_timeout)
    if attempt.counts is not FIRST and _resume(worker):
        return None  # `skip_if` was asked at the first attempt
    if stage.stage.skip_if is not None:
        attempt.is_skipped = await ask_skip_if(worker, stage.stage.skip_if)
        if worker.must_stop and not attempt.is_skipped:  # as `skip_if` may have been cancelled
            return UNMADE
    return None


def _resume(worker: Worker) -> bool:
    """Resume at the task that has failed, with that task's input; return whether one has."""
    attempt = worker.attempt
    item, counts = attempt.item, attempt.counts
    assert item is not None
    assert counts is not None
    if counts.task == 1:
        return False
    details = item.get_details()
    assert details.retry is not None
    name, task, stage, index, task_input, begun = details.retry
    details.retry = name, task, stage, index, None, begun  # or the result would keep the value
    if index:
        attempt.index, attempt.task, attempt.value = index, worker.stage.tasks[index], task_input
    return True


def go_to_next_task(worker: Worker) -> bool:
    """Have the next task of the stage called; return whether there is one."""
    attempt, tasks = worker.attempt, worker.stage.tasks
    counts, index = attempt.counts, attempt.index + 1
    if index == len(tasks):
        return False
    assert counts is not None
    attempt.index, attempt.task = index, tasks[index]
    if counts is not FIRST:
        is_stage_retried = counts.stage > 1
        attempt.counts = (
            AttemptCounts(1, counts.stage, counts.stage, counts.begun)
            if is_stage_retried
            else FIRST
        )
    return True


async def acquire_permit(worker: Worker) -> Outcome | None:
    """Wait until the limit of the task, if it has one, and the time of the item allow an attempt.

    Returns:
        None if the attempt may begin, and holds the permit, or else what follows.
    """
    attempt = worker.attempt
    semaphore = attempt.task.semaphore
    if worker.must_stop:
        return UNMADE
    if semaphore is not None:
        # The worker counts as waiting meanwhile; closing the run cancels the wait.
        attempt.is_calling = True
        try:
            async with timeout(_seconds_left(worker) if worker.stage.has_item_timeout else None):
                await acquire(worker, semaphore)
        except CancelledError:
            worker.end_interrupt()
            return UNMADE
        except TimeoutError:
            return _end_of_time(worker)
        finally:
            attempt.is_calling = False
        attempt.permit = semaphore
    if worker.must_stop:
        return UNMADE
    is_late = worker.stage.has_item_timeout and _seconds_left(worker) <= 0
    return _end_of_time(worker) if is_late else None


def emit_start(worker: Worker) -> Awaitable[None] | None:
    """Emit that an attempt begins."""
    dispatcher = worker.stage.dispatcher
    return dispatcher.emit(dispatcher.task_start, _task_event(worker, "start"))


async def end_unmade(worker: Worker) -> Outcome:
    """End an attempt whose start was emitted, and whose function is not to be called."""
    await _emit_end(worker, UNMADE, None)
    return UNMADE


# The time that an item has in a stage


def _set_deadline(worker: Worker, seconds: float) -> None:
    """Set when the item times out, as it is first taken; at a further attempt, that stands."""
    attempt = worker.attempt
    assert attempt.item is not None
    details = attempt.item.get_details()
    if details.deadline is None or attempt.counts is FIRST:
        details.deadline = attempt.since + seconds


def _seconds_left(worker: Worker) -> float:
    """Return in how many seconds the item times out; infinity if it does not."""
    item = worker.attempt.item
    deadline = None if item is None or item.details is None else item.details.deadline
    if deadline is None or not worker.stage.has_item_timeout:
        return inf
    return deadline - worker.run.clock()


def _item_timeout_error(worker: Worker) -> ItemTimeoutError:
    stage = worker.stage.stage
    return ItemTimeoutError(
        f"The item took more than {stage.item_timeout:g} seconds in stage {stage.name!r}"
    )


def _end_of_time(worker: Worker, cause: BaseException | None = None) -> Outcome:
    """Count an item for which no attempt can begin in its time, and return its outcome."""
    late, grant = _item_timeout_error(worker), worker.attempt.grant
    late.__cause__ = cause
    worker.stage.counters.timeouts += 1
    if cause is None and grant is not None:  # no attempt was made at this task
        grant.refund()
    return Outcome(Kind.FAIL, late)


async def call_in_item_time(worker: Worker, value: Any) -> Any:
    """Call the task of a stage with `item_timeout`, for as long as the item has."""
    seconds, attempt = _seconds_left(worker), worker.attempt
    if seconds <= 0:
        raise TimedOut(_item_timeout_error(worker))
    if attempt.grant is not None:
        attempt.grant.is_used = True
    name = f"task {attempt.task.name!r} of stage {worker.stage.name!r}"
    error = partial(_item_timeout_error, worker)
    return await call_with_timeout(attempt.task.call, value, seconds, error, name)


# Its end


def emit_success(worker: Worker, duration: float) -> Awaitable[None] | None:
    """Emit that an attempt has returned a value, after so many seconds."""
    dispatcher = worker.stage.dispatcher
    event = _task_event(worker, "complete", duration, result=worker.attempt.value)
    return dispatcher.emit(dispatcher.task_success, event)


async def end_failed(worker: Worker, error: BaseException, duration: float) -> Outcome:
    """End an attempt that raised, and return what follows."""
    outcome = judge(worker, error, duration)
    if worker.stage.dispatcher.observes_tasks:
        await _emit_end(worker, outcome, duration)
    return outcome


def judge(worker: Worker, error: BaseException, duration: float) -> Outcome:
    """Count an attempt that raised, and decide what follows."""
    # The decision itself is a pure function, `classify_error`.
    attempt, task, stage = worker.attempt, worker.task, worker.stage
    item, counts = attempt.item, attempt.counts
    assert task is not None
    assert item is not None
    assert counts is not None
    add(attempt.task.counters.duration, duration)
    if worker.state == WAITING:
        worker.set_state(BUSY)
    if isinstance(error, GeneratorExit):  # the loop is closed: nothing can be awaited
        give_back(worker, error)
        raise error
    worker.end_interrupt()
    if isinstance(error, CancelledError) and is_cancelled(item):
        return Outcome(Kind.DROP, error)
    is_worker_cancelled = task.cancelling() > 0
    if is_worker_cancelled and not isinstance(error, CancelledError):
        worker.uncancel_swallowed()
        is_worker_cancelled = task.cancelling() > 0
    raised, error = error, _count_kind(stage, error)
    is_out_of_time = error is not raised and isinstance(error, ItemTimeoutError)
    limit_traceback(error)
    if isinstance(error, OVERLOADS):
        error = slow_down(stage.name, stage.limiter, attempt.grant, error)
    if is_out_of_time:
        return Outcome(Kind.FAIL, error)
    now, begun = 0.0, None
    if stage.has_retry_timeout:
        now = worker.run.clock()
        begun = _begin_of_first(worker, counts, now - duration)
    outcome = classify_error(
        error,
        counts,
        stage.task_policy,
        stage.stage_policy,
        elapsed=0.0 if begun is None else now - begun,
        chance=random(),
        is_cancelled=is_worker_cancelled,
        is_closed=stage.input.closed or is_to_be_dropped(item),
    )
    is_late = stage.has_item_timeout and outcome.delay >= _seconds_left(worker)
    if is_late and outcome.kind in RETRIES:
        return _end_of_time(worker, error)
    return outcome if begun is None else replace(outcome, begun=begun)


def _count_kind(stage: StageRuntime, error: BaseException) -> BaseException:
    """Count an error that the statistics name, and return it as the user sees it."""
    if isinstance(error, TimedOut):
        stage.counters.timeouts += 1
        return error.error
    if isinstance(error, GiveUp):
        stage.counters.give_ups += 1
    return error


def _begin_of_first(worker: Worker, counts: AttemptCounts, begun: float) -> float:
    """Return when the first attempt began, on the run's clock.

    Args:
        begun: when the present one began.
    """
    if counts.begun is not None:
        return counts.begun
    is_stage_retried = worker.stage.stage.retry == "per_stage"
    # An attempt at a stage of several tasks begins with the first of them.
    return worker.attempt.since if is_stage_retried and not worker.stage.is_simple else begun


# Events


async def _emit_end(worker: Worker, outcome: Outcome, duration: float | None) -> None:
    kind: TaskEventType
    dispatcher, delay = worker.stage.dispatcher, None
    if outcome.kind in (Kind.CANCEL, Kind.DROP):
        kind, listeners = "cancel", dispatcher.task_cancelled
    elif outcome.kind is Kind.FAIL:
        kind, listeners = "fail", dispatcher.task_failure
        remove_own_frames(outcome.error)  # observers record it as the item's failure
    else:
        kind, listeners, delay = "retry", dispatcher.task_retry, outcome.delay
    if listeners:
        event = _task_event(worker, kind, duration, outcome.error, delay)
        with unchanged_traceback(outcome.error):
            pending = dispatcher.emit(listeners, event)
            if pending is not None:
                await pending


def _task_event(
    worker: Worker,
    kind: TaskEventType,
    duration: float | None = None,
    error: BaseException | None = None,
    delay: float | None = None,
    result: Any = None,
) -> TaskEvent:
    attempt, stage = worker.attempt, worker.stage
    item, grant, dispatcher = attempt.item, attempt.grant, stage.dispatcher
    assert item is not None
    event = TaskEvent(
        item.id,
        stage.name,
        attempt.task.name,
        worker.name,
        kind,
        1 if attempt.counts is FIRST else attempt.number,
        time(),
        error,
        duration,
        delay,
        attempt.waited,
        dispatcher.pipeline,
        dispatcher.run_id,
        result=result,
    )
    if grant is not None and grant.wait is not None:
        event.limit, event.limit_wait = grant.wait
    # `event.about(item)` without the call, which would be a tenth of the event's price.
    event._item = item  # type: ignore[misc]  # noqa: SLF001 - a slot of its base
    event.__class__ = READ_ONLY_TASK_EVENT
    return event
