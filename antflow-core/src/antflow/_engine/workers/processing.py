"""Process an item in a stage: run its tasks, and make the attempts at each."""

from __future__ import annotations

from asyncio import CancelledError, timeout
from collections.abc import Awaitable
from dataclasses import replace
from functools import partial
from math import inf
from random import random
from time import time
from typing import Any

from antflow._engine.base.outcome import FIRST, UNMADE, Attempt, Kind, Outcome, classify_error
from antflow._engine.channels.channel import Channel, is_cancelled, is_to_be_dropped
from antflow._engine.limiting.limiter import slow_down
from antflow._errors.tracebacks import limit_traceback, remove_own_frames, unchanged_traceback
from antflow._runners.calls import Call
from antflow._runners.time_limits import TimeLimitReached, call_in_time
from antflow._stats.counters import BUSY, WAITING
from antflow._stats.histogram import add
from antflow.context import acquire
from antflow.events import READ_ONLY_TASK_EVENT, TaskEvent, TaskEventType
from antflow.exceptions import GiveUp, ItemTimeoutError, RetryAfter
from antflow.results import PipelineResult

from .exits import emit_status, finish, give_back, is_skipped, pass_on
from .stage_runtime import BoundTask, StageRuntime
from .worker import Worker

OVERLOADS = (RetryAfter, TimeoutError)
RETRIES = (Kind.RETRY_TASK, Kind.RETRY_STAGE)


async def process(worker: Worker, item: PipelineResult) -> Channel:
    """Run the stage's tasks on an item, from the task at which it resumes.

    Returns:
        The channel that the item went to.
    """
    stage, definition = worker.stage, worker.stage.stage
    worker.attempt = attempt = worker.attempt_of(item)
    index, value = 0, item.value
    attempt_once = _attempt if definition.item_timeout is None else _attempt_in_time
    if definition.item_timeout is not None:
        _set_deadline(worker, item, definition.item_timeout)
    if attempt.task > 1:
        index, value = _resumption(item)
    else:
        if definition.skip_if is not None:
            if await is_skipped(worker, definition.skip_if, item):
                await pass_on(worker, item, "skipped", definition.on_skip)
                return stage.output
            if worker.must_stop:  # as `skip_if` may have been cancelled
                return await finish(worker, item, UNMADE)
        if stage.dispatcher.status:
            pending = emit_status(worker, item, "in_progress")
            if pending is not None:
                await pending
    for bound in stage.tasks[index:] if index else stage.tasks:
        worker.bound_task, worker.attempt = bound, attempt
        attempt_task = attempt_once if bound.semaphore is None else _attempt_when_allowed
        result = await attempt_task(worker, item, bound, value)
        if isinstance(result, Outcome):
            try:
                return await finish(worker, item, result, index, value)
            finally:
                del result, value, item  # or the traceback and this frame would keep each other
        index, value = index + 1, result
        again = attempt.stage > 1
        attempt = Attempt(1, attempt.stage, attempt.stage, attempt.begun) if again else FIRST
    item.value = value
    await pass_on(worker, item, "completed", definition.on_success)
    return stage.output


def _set_deadline(worker: Worker, item: PipelineResult, seconds: float) -> None:
    """Set when an item times out, as it is first taken; at a further attempt, that stands."""
    details, attempt = item.get_details(), worker.attempt
    if details.deadline is None or attempt is FIRST:
        details.deadline = worker.since + seconds


def _seconds_left(worker: Worker, item: PipelineResult) -> float:
    """Return in how many seconds an item times out; infinity if it does not."""
    deadline = None if item.details is None else item.details.deadline
    if deadline is None or worker.stage.stage.item_timeout is None:
        return inf
    return deadline - worker.run.clock()


def _item_timeout_error(worker: Worker) -> ItemTimeoutError:
    stage = worker.stage.stage
    return ItemTimeoutError(
        f"The item took more than {stage.item_timeout:g} seconds in stage {stage.name!r}"
    )


def _end_of_time(worker: Worker, cause: BaseException | None = None) -> Outcome:
    """Count an item for which no attempt can begin in its time, and return its outcome."""
    late = _item_timeout_error(worker)
    late.__cause__ = cause
    worker.stage.counters.timeouts += 1
    if cause is None and worker.grant is not None:  # no attempt was made at this task
        worker.grant.refund()
    return Outcome(Kind.FAIL, late)


async def _call(worker: Worker, item: PipelineResult, bound: BoundTask, value: Any) -> Any:
    """Call a task of a stage with `item_timeout`, for as long as the item has."""
    seconds = _seconds_left(worker, item)
    if seconds <= 0:
        raise TimeLimitReached(_item_timeout_error(worker))
    if worker.grant is not None:
        worker.grant.is_used = True
    name = f"task {bound.name!r} of stage {worker.stage.name!r}"
    error = partial(_item_timeout_error, worker)
    return await call_in_time(bound.call, value, seconds, error, name)


def _resumption(item: PipelineResult) -> tuple[int, Any]:
    """Return the index of the task at which an item resumes, and what it is called with."""
    details = item.get_details()
    assert details.retry is not None
    name, task, stage, index, task_input, begun = details.retry
    details.retry = name, task, stage, index, None, begun  # or the result would keep the value
    return index, task_input if index else item.value


async def _attempt_when_allowed(
    worker: Worker, item: PipelineResult, bound: BoundTask, value: Any
) -> Any:
    """Make one attempt, as soon as the task's limit allows it."""
    semaphore = bound.semaphore
    assert semaphore is not None
    if worker.must_stop:
        return UNMADE
    has_deadline = worker.stage.stage.item_timeout is not None
    # The worker counts as waiting meanwhile; closing the run cancels the wait.
    worker.is_calling = True
    try:
        if has_deadline:
            async with timeout(_seconds_left(worker, item)):
                await acquire(worker, semaphore)
        else:
            await acquire(worker, semaphore)
    except CancelledError:
        worker.end_interrupt()
        return UNMADE
    except TimeoutError:
        return _end_of_time(worker)
    finally:
        worker.is_calling = False
    attempt_once = _attempt_in_time if has_deadline else _attempt
    try:
        return await attempt_once(worker, item, bound, value)
    finally:
        semaphore.release()


async def _attempt_in_time(
    worker: Worker, item: PipelineResult, bound: BoundTask, value: Any
) -> Any:
    """Make one attempt in a stage with `item_timeout`, for as long as the item has."""
    if worker.must_stop:
        return UNMADE
    if _seconds_left(worker, item) <= 0:
        return _end_of_time(worker)
    return await _attempt(worker, item, bound, value, partial(_call, worker, item, bound))


async def _attempt(
    worker: Worker, item: PipelineResult, bound: BoundTask, value: Any, call: Call | None = None
) -> Any:
    """Make one attempt; return its value, or an Outcome if it did not succeed.

    Args:
        worker: holds the item.
        item: the item.
        bound: the task.
        value: what the task is called with.
        call: calls it; None for the task's own call.
    """
    clock = worker.run.clock
    if worker.must_stop:
        return UNMADE
    if worker.stage.dispatcher.task_start:
        pending = emit_start(worker, item, bound)
        if pending is not None:
            await pending
        if worker.must_stop:
            return await end_unmade(worker, item, bound)
    start = clock()
    worker.is_calling = True
    try:
        result = await (bound.call if call is None else call)(value)
    except BaseException as error:
        worker.is_calling = False
        failed = error
    else:
        worker.is_calling = False
        pending = end_succeeded(worker, item, bound, result, clock() - start)
        if pending is not None:
            await pending
        return result
    try:
        return await end_failed(worker, item, bound, failed, clock() - start)
    finally:
        del failed, item, call  # or the traceback and this frame would keep each other


def emit_start(worker: Worker, item: PipelineResult, bound: BoundTask) -> Awaitable[None] | None:
    """Emit that an attempt starts."""
    dispatcher = worker.stage.dispatcher
    return dispatcher.emit(dispatcher.task_start, _task_event(worker, item, bound, "start"))


async def end_unmade(worker: Worker, item: PipelineResult, bound: BoundTask) -> Outcome:
    """End an attempt whose start was emitted, and whose function is not to be called."""
    await _emit_end(worker, item, bound, Outcome(Kind.CANCEL, CancelledError()), None)
    return UNMADE


def end_succeeded(
    worker: Worker, item: PipelineResult, bound: BoundTask, value: Any, duration: float
) -> Awaitable[None] | None:
    """End an attempt that returned a value."""
    add(bound.counters.duration, duration)
    if worker.task is not None and worker.task.cancelling():
        worker.uncancel_swallowed()
    if worker.state == WAITING:
        worker.set_state(BUSY)
    dispatcher = worker.stage.dispatcher
    if not dispatcher.task_success:
        return None
    event = _task_event(worker, item, bound, "complete", duration, result=value)
    return dispatcher.emit(dispatcher.task_success, event)


async def end_failed(
    worker: Worker, item: PipelineResult, bound: BoundTask, error: BaseException, duration: float
) -> Outcome:
    """End an attempt that raised, and return what follows."""
    outcome = judge(worker, item, bound, error, duration)
    if worker.stage.dispatcher.observes_tasks:
        await _emit_end(worker, item, bound, outcome, duration)
    return outcome


def judge(
    worker: Worker, item: PipelineResult, bound: BoundTask, error: BaseException, duration: float
) -> Outcome:
    """Count an attempt that raised, and decide what follows."""
    # The decision itself is a pure function, `classify_error`.
    add(bound.counters.duration, duration)
    if worker.state == WAITING:
        worker.set_state(BUSY)
    task, stage, attempt = worker.task, worker.stage, worker.attempt
    assert task is not None
    assert attempt is not None
    if isinstance(error, GeneratorExit):  # the loop is closed: nothing can be awaited
        give_back(worker, item, error)
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
        error = slow_down(stage.name, stage.limiter, worker.grant, error)
    if is_out_of_time:
        return Outcome(Kind.FAIL, error)
    now, begun = 0.0, None
    if stage.has_retry_timeout:
        now = worker.run.clock()
        begun = _begin_of_first(worker, attempt, now - duration)
    outcome = classify_error(
        error,
        attempt,
        stage.task_policy,
        stage.stage_policy,
        elapsed=0.0 if begun is None else now - begun,
        chance=random(),
        is_cancelled=is_worker_cancelled,
        is_closed=stage.input.closed or is_to_be_dropped(item),
    )
    has_deadline = stage.stage.item_timeout is not None
    if has_deadline and outcome.kind in RETRIES and outcome.delay >= _seconds_left(worker, item):
        return _end_of_time(worker, error)
    return outcome if begun is None else replace(outcome, begun=begun)


def _count_kind(stage: StageRuntime, error: BaseException) -> BaseException:
    """Count an error that the statistics name, and return it as the user sees it."""
    if isinstance(error, TimeLimitReached):
        stage.counters.timeouts += 1
        return error.error
    if isinstance(error, GiveUp):
        stage.counters.give_ups += 1
    return error


def _begin_of_first(worker: Worker, attempt: Attempt, begun: float) -> float:
    """Return when the first attempt began, on the run's clock.

    Args:
        worker: made the attempt.
        attempt: its numbers.
        begun: when it began itself.
    """
    if attempt.begun is not None:
        return attempt.begun
    is_stage_retried = worker.stage.stage.retry == "per_stage"
    # An attempt at a stage of several tasks begins with the first of them.
    return worker.since if is_stage_retried and not worker.stage.is_simple else begun


async def _emit_end(
    worker: Worker,
    item: PipelineResult,
    bound: BoundTask,
    outcome: Outcome,
    duration: float | None,
) -> None:
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
        event = _task_event(worker, item, bound, kind, duration, outcome.error, delay)
        with unchanged_traceback(outcome.error):
            pending = dispatcher.emit(listeners, event)
            if pending is not None:
                await pending


def _task_event(
    worker: Worker,
    item: PipelineResult,
    bound: BoundTask,
    kind: TaskEventType,
    duration: float | None = None,
    error: BaseException | None = None,
    delay: float | None = None,
    result: Any = None,
) -> TaskEvent:
    dispatcher = worker.stage.dispatcher
    event = TaskEvent(
        item.id,
        worker.stage.name,
        bound.name,
        worker.name,
        kind,
        1 if worker.attempt is FIRST else worker.attempt_number,
        time(),
        error,
        duration,
        delay,
        worker.waited,
        dispatcher.pipeline,
        dispatcher.run_id,
        result=result,
    )
    if worker.grant is not None and worker.grant.wait is not None:
        event.limit, event.limit_wait = worker.grant.wait
    # `event.about(item)` without the call, which would be a tenth of the event's price.
    event._item = item  # type: ignore[misc]  # noqa: SLF001 - a slot of its base
    event.__class__ = READ_ONLY_TASK_EVENT
    return event
