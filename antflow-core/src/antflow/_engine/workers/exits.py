"""Apply the outcome of an attempt: pass the item on, park it, fail it, or give it back."""

from __future__ import annotations

import logging
from asyncio import CancelledError
from collections.abc import Awaitable, Callable
from contextlib import suppress
from inspect import isawaitable
from time import time
from typing import Any

from antflow._cancellation import await_in_time, is_closing
from antflow._engine.base.item import describe, note_attempts
from antflow._engine.base.outcome import FIRST, NO_ATTEMPT, UNMADE, Kind, Outcome
from antflow._engine.channels.channel import Channel
from antflow._errors.safe_logging import log_error
from antflow._errors.texts import shown
from antflow._errors.tracebacks import (
    limit_traceback,
    location,
    remove_own_frames,
    unchanged_traceback,
)
from antflow.events import StatusType
from antflow.exceptions import PipelineError, text_of
from antflow.results import FailedItem, PipelineResult
from antflow.stage import ItemCallback

from .stage_runtime import StageRuntime
from .worker import Worker

_logger = logging.getLogger(__name__)


# An item that is passed on


async def pass_on(
    worker: Worker, item: PipelineResult, status: StatusType, callback: ItemCallback | None
) -> None:
    """Hand an item on; its outcome stands, whatever becomes of observers and the callback."""
    # The deposit is in `finally`, so that a cancellation during a hook does not lose the item.
    dispatcher, next_stage = worker.stage.dispatcher, worker.stage.next_stage
    try:
        if dispatcher.item_finish if next_stage is None else dispatcher.status:
            pending = emit_status(worker, item, status, final=next_stage is None)
            if pending is not None:
                await pending
        if callback is not None:
            await _call_back(worker, callback, item, item.value)
        if dispatcher.status and next_stage is not None:
            pending = dispatcher.emit_status(item, next_stage.name, "queued")
            if pending is not None:
                await pending
    finally:
        if status == "skipped":
            worker.stage.counters.skipped += 1
            worker.attempt = NO_ATTEMPT
            if worker.grant is not None:
                worker.grant.refund()
                worker.release_limits()
        forward(worker, item)


def pass_on_at_once(worker: Worker, item: PipelineResult) -> Awaitable[None] | None:
    """Hand a completed item on, at once if no observer has to be awaited for that.

    Returns:
        An awaitable that hands it on; None if that is done.
    """
    dispatcher, next_stage = worker.stage.dispatcher, worker.stage.next_stage
    if dispatcher.item_finish if next_stage is None else dispatcher.status:
        pending = emit_status(worker, item, "completed", final=next_stage is None)
        if pending is not None:
            return _pass_on_after(pending, worker, item, next_stage)
        if next_stage is not None:
            pending = dispatcher.emit_status(item, next_stage.name, "queued")
            if pending is not None:
                return _pass_on_after(pending, worker, item, None)
    forward(worker, item)
    return None


async def _pass_on_after(
    pending: Awaitable[None],
    worker: Worker,
    item: PipelineResult,
    next_stage: StageRuntime | None,
) -> None:
    try:
        await pending
        if next_stage is not None:
            queued = worker.stage.dispatcher.emit_status(item, next_stage.name, "queued")
            if queued is not None:
                await queued
    finally:
        forward(worker, item)


def forward(worker: Worker, item: PipelineResult) -> None:
    """Deposit an item in the next stage or the results."""
    worker.processed += 1
    if item.details is not None or worker.attempt is not FIRST:
        note_attempts(item, worker.stage.name, worker.attempt_number)
    worker.attempt = None  # the outcome is applied
    worker.completed_at = item.queued_at = worker.run.clock()
    output = worker.stage.output
    # Before the worker waits for room: two stages that share a limit could wait for each other.
    grant = worker.grant
    if grant is not None:
        worker.grant = None
        grant.release(worker.completed_at, has_succeeded=True)
    if output.append_directly:
        output.queue.append(item)
    else:
        output.put(item)


# An attempt that did not succeed


async def finish(
    worker: Worker,
    item: PipelineResult,
    outcome: Outcome,
    task_index: int = 0,
    task_input: Any = None,
) -> Channel:
    """Emit what an outcome means for the item, apply it, and return where the item went.

    Args:
        worker: holds the item.
        item: the item.
        outcome: of its attempt.
        task_index: which task of the stage was attempted.
        task_input: what it was called with.
    """
    stage, dispatcher = worker.stage, worker.stage.dispatcher
    try:
        if outcome.kind is Kind.FAIL:
            remove_own_frames(outcome.error)
            with unchanged_traceback(outcome.error):
                await _emit_failed(worker, item, outcome.error)
        elif outcome.kind is Kind.RETRY_STAGE and dispatcher.status:
            described = error_fields(outcome.error)
            coming = {"attempt": worker.attempt_number + 1, "retry": True, **described}
            pending = emit_status(worker, item, "retrying", coming)
            if pending is not None:
                await pending
    finally:
        apply(worker, item, outcome, task_index, task_input)
    return stage.results if outcome.kind is Kind.FAIL else stage.input


async def _emit_failed(worker: Worker, item: PipelineResult, error: BaseException) -> None:
    if worker.stage.dispatcher.item_finish:
        pending = emit_status(worker, item, "failed", error_fields(error), final=True)
        if pending is not None:
            await pending
    if worker.stage.stage.on_failure is not None:
        await _call_back(worker, worker.stage.stage.on_failure, item, error)


def apply(
    worker: Worker,
    item: PipelineResult,
    outcome: Outcome,
    task_index: int = 0,
    task_input: Any = None,
) -> None:
    """Do with an item what its outcome says, in one synchronous step."""
    if outcome.kind is Kind.RETRY_TASK:
        retry_task(worker, item, outcome, worker.run.clock(), task_index, task_input)
    elif outcome.kind is Kind.RETRY_STAGE:
        _retry_stage(worker, item, outcome, worker.run.clock())
    elif outcome.kind is Kind.FAIL:
        _fail(worker, item, outcome.error)
    elif outcome.kind is Kind.DROP:
        note_attempts(item, worker.stage.name, worker.attempt_number)
        worker.stage.input.enqueue(item)  # which drops it
    else:
        if outcome is not UNMADE:
            note_attempts(item, worker.stage.name, worker.attempt_number)
        if isinstance(outcome.error, Exception) and worker.bound_task is not None:
            worker.bound_task.counters.failed += 1
        give_back(worker, item, outcome.error)
    worker.attempt = None
    if worker.grant is not None:
        worker.release_limits()


def retry_task(
    worker: Worker,
    item: PipelineResult,
    outcome: Outcome,
    now: float,
    task_index: int = 0,
    task_input: Any = None,
) -> None:
    """Park an item until it resumes at the task that failed, with that task's input."""
    attempt, stage = worker.attempt, worker.stage
    assert attempt is not None
    begun = outcome.begun
    retry = stage.name, attempt.task + 1, attempt.stage, task_index, task_input, begun
    item.get_details().retry = retry
    _count_retry(worker, item, now + outcome.delay)
    stage.input.park(item, outcome.delay)


def _retry_stage(worker: Worker, item: PipelineResult, outcome: Outcome, now: float) -> None:
    """Park an item until it begins anew with the first task."""
    attempt, stage = worker.attempt, worker.stage
    assert attempt is not None
    details = item.get_details()
    details.retry = stage.name, 1, attempt.stage + 1, 0, None, outcome.begun
    _count_retry(worker, item, now + outcome.delay)
    if outcome.delay > 0:
        stage.input.park(item, outcome.delay)
    else:  # behind what waits already, past the capacity: it is counted
        details.retried_in = None
        stage.input.enqueue(item)


def _count_retry(worker: Worker, item: PipelineResult, due: float) -> None:
    item.queued_at = due
    worker.stage.counters.retried += 1
    if worker.bound_task is not None:
        worker.bound_task.counters.retried += 1


def _fail(worker: Worker, item: PipelineResult, error: BaseException) -> None:
    stage = worker.stage
    if worker.bound_task is not None:
        worker.bound_task.counters.failed += 1
    note_attempts(item, stage.name, worker.attempt_number)
    item.error, item.stage = error, stage.name
    worker.failed += 1
    worker.failed_at = worker.run.clock()
    worker.run.ended_items += 1
    stage.counters.count_failure(error)
    described = error_fields(error)
    failed = FailedItem(
        item_id=item.id,
        error=described["error"],
        error_type=described["error_type"],
        stage=stage.name,
        attempts=item.attempts,
        timestamp=time(),
        location=location(error),
    )
    worker.failures.add(item, failed)
    if not isinstance(error, Exception | CancelledError):  # KeyboardInterrupt and the like
        worker.run.abort(error)


def give_back(worker: Worker, item: PipelineResult, error: BaseException) -> None:
    """Put back an item whose attempt was cancelled or not made.

    A run that is not closing is ended first, or another worker might take the item.
    """
    with suppress(RuntimeError):  # the loop is closed already
        if isinstance(error, GeneratorExit):
            worker.run.abort(error)
        # A worker that was cancelled from outside is gone: the pool must not shrink silently.
        elif worker.is_cancelled and not worker.run.is_closed:
            worker.run.abort(cancelled_from_outside(worker.run.name, worker.name))
    worker.attempt = None
    if worker.grant is not None:
        worker.release_limits()
    worker.stage.input.put(item)


def cancelled_from_outside(pipeline: str, worker: str) -> PipelineError:
    """Return the error of a run whose worker was cancelled: the pool would shrink silently."""
    return PipelineError(
        f"Pipeline {pipeline!r} was stopped: its worker {worker!r} was cancelled from outside of "
        "the pipeline or by the task that it ran. Raise an exception to fail an item; cancel what "
        "called run(), or call shutdown(), to stop the pipeline."
    )


def emit_status(
    worker: Worker,
    item: PipelineResult,
    status: StatusType,
    metadata: dict[str, Any] | None = None,
    *,
    final: bool = False,
) -> Awaitable[None] | None:
    """Emit that an item changed its status in the worker's stage."""
    stage = worker.stage
    return stage.dispatcher.emit_status(
        item, stage.name, status, worker.name, metadata, final=final
    )


def error_fields(error: BaseException) -> dict[str, str]:
    """Return an error as events and summaries show it: its text and the name of its class."""
    try:
        text = str(error)
    except BaseException:
        text = text_of(error)
    return {"error": text, "error_type": type(error).__name__}


# The user's other functions


async def is_skipped(worker: Worker, skip_if: Callable[[Any], Any], item: PipelineResult) -> bool:
    """Return what `skip_if` says of an item; one that raises does not skip it."""
    is_cancelled, is_true = worker.is_cancelled, False
    try:
        answer = skip_if(item.value)
        is_true = bool(await answer if isawaitable(answer) else answer)
    except BaseException as error:
        is_cancelled |= _on_callback_error(worker, error, "skip_if", item)
    if not is_cancelled:
        worker.uncancel_swallowed()
    return is_true


async def _call_back(
    worker: Worker, callback: ItemCallback, item: PipelineResult, argument: Any
) -> None:
    is_cancelled = worker.is_cancelled
    try:
        answer = callback(item.id, argument, describe(item))
        if isawaitable(answer):
            await (await_in_time(answer) if is_cancelled else answer)
    except BaseException as error:
        is_cancelled |= _on_callback_error(worker, error, "callback", item)
    if not is_cancelled:
        worker.uncancel_swallowed()


def _on_callback_error(
    worker: Worker, error: BaseException, role: str, item: PipelineResult
) -> bool:
    """Log an error beside the tasks; only what no task may raise ends the run.

    Returns:
        Whether it is a cancellation of the worker, which then stands.
    """
    if is_closing(error, worker.task):
        raise error
    if isinstance(error, CancelledError) and worker.is_cancelled:
        return True  # found in `cancelling()` when the outcome is applied
    limit_traceback(error)
    if not isinstance(error, Exception | CancelledError):
        worker.run.abort(error)
        return False
    log_error(
        _logger,
        error,
        "Stage %r: the %s of item %s raised; the item goes on regardless.",
        worker.stage.name,
        role,
        shown(item.id),
    )
    return False
