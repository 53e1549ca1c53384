"""The ways of an item out of an attempt: on, back to wait, to the failures, or left unprocessed.

Every outcome leaves by `settle`, which emits what it means and applies it. Only the loop without
observers may append a success to the next channel itself.
"""

from __future__ import annotations

import logging
from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from inspect import isawaitable
from time import time
from typing import Any

from antflow._cancellation import await_in_time, is_closing
from antflow._engine.base.item import describe, note_attempts
from antflow._engine.base.outcome import FIRST, NO_ATTEMPT, UNMADE, Kind, Outcome
from antflow._errors.safe_logging import log_error
from antflow._errors.texts import shown
from antflow._errors.tracebacks import (
    limit_traceback,
    location,
    remove_own_frames,
    unchanged_traceback,
)
from antflow.events import StatusType
from antflow.exceptions import text_of
from antflow.results import FailedItem, PipelineResult
from antflow.stage import ItemCallback

from .worker import Worker

_logger = logging.getLogger(__name__)


def settle(worker: Worker, outcome: Outcome | None) -> Awaitable[None] | None:
    """Emit what an outcome means for the item, call back, and apply it.

    Args:
        worker: has made the attempt.
        outcome: None if the stage is done with the item, whose value is that of the attempt.

    Returns:
        None if all is done, or else an awaitable that does the rest.
    """
    if outcome is None:
        attempt = worker.attempt
        assert attempt.item is not None
        attempt.item.value = attempt.value
        if not worker.stage.may_call_back:
            return _pass_on(worker)
    # The outcome stands, whatever becomes of observers and callbacks.
    steps = _announcements(worker, outcome)
    try:
        pending = next(steps, None)
    except BaseException:
        apply(worker, outcome)
        raise
    if pending is not None:
        return _settle_after(pending, steps, worker, outcome)
    apply(worker, outcome)
    return None


def _pass_on(worker: Worker) -> Awaitable[None] | None:
    """Pass the item on in a stage that calls nothing back, at the price of no generator."""
    pending = _emit_passed(worker)
    if pending is not None:
        return _settle_after(pending, _announce_queued(worker), worker, None)
    pending = _emit_queued(worker)
    if pending is not None:
        return _settle_after(pending, iter(()), worker, None)
    forward(worker)
    return None


async def _settle_after(
    pending: Awaitable[None],
    steps: Iterator[Awaitable[None]],
    worker: Worker,
    outcome: Outcome | None,
) -> None:
    try:
        await pending
        for each in steps:
            await each
    finally:
        apply(worker, outcome)


# What observers and callbacks are told; each step that is not done at once is yielded


def _announcements(worker: Worker, outcome: Outcome | None) -> Iterator[Awaitable[None]]:
    if outcome is None:
        return _announce_passed(worker)
    if outcome.kind is Kind.FAIL:
        return _announce_failed(worker, outcome.error)
    if outcome.kind is Kind.RETRY_STAGE and worker.stage.dispatcher.status:
        return _announce_retry(worker, outcome.error)
    return iter(())


def _announce_passed(worker: Worker) -> Iterator[Awaitable[None]]:
    attempt, stage = worker.attempt, worker.stage.stage
    assert attempt.item is not None
    pending = _emit_passed(worker)
    if pending is not None:
        yield pending
    callback = stage.on_skip if attempt.is_skipped else stage.on_success
    if callback is not None:
        yield _call_back(worker, callback, attempt.item.value)
    yield from _announce_queued(worker)


def _announce_queued(worker: Worker) -> Iterator[Awaitable[None]]:
    pending = _emit_queued(worker)
    if pending is not None:
        yield pending


def _emit_passed(worker: Worker) -> Awaitable[None] | None:
    """Emit that the stage is done with the item."""
    stage = worker.stage
    dispatcher, is_last = stage.dispatcher, stage.output.stage is None
    if not (dispatcher.item_finish if is_last else dispatcher.status):
        return None
    status: StatusType = "skipped" if worker.attempt.is_skipped else "completed"
    return emit_status(worker, status, final=is_last)


def _emit_queued(worker: Worker) -> Awaitable[None] | None:
    """Emit that the item is about to wait in front of the next stage, if there is one."""
    stage, item = worker.stage, worker.attempt.item
    following = stage.output.stage
    if following is None or not stage.dispatcher.status:
        return None
    assert item is not None
    return stage.dispatcher.emit_status(item, following, "queued")


def _announce_retry(worker: Worker, error: BaseException) -> Iterator[Awaitable[None]]:
    coming = {"attempt": worker.attempt.number + 1, "retry": True, **error_fields(error)}
    pending = emit_status(worker, "retrying", coming)
    if pending is not None:
        yield pending


def _announce_failed(worker: Worker, error: BaseException) -> Iterator[Awaitable[None]]:
    remove_own_frames(error)
    with unchanged_traceback(error):
        if worker.stage.dispatcher.item_finish:
            pending = emit_status(worker, "failed", error_fields(error), final=True)
            if pending is not None:
                yield pending
        if worker.stage.stage.on_failure is not None:
            yield _call_back(worker, worker.stage.stage.on_failure, error)


def emit_status(
    worker: Worker,
    status: StatusType,
    metadata: dict[str, Any] | None = None,
    *,
    final: bool = False,
) -> Awaitable[None] | None:
    """Emit that the worker's item changed its status in its stage."""
    item, stage = worker.attempt.item, worker.stage
    assert item is not None
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


# What becomes of the item, each in one synchronous step


def apply(worker: Worker, outcome: Outcome | None) -> None:
    """Do with the item what an outcome says, and release the limits that it holds."""
    attempt = worker.attempt
    if outcome is None:
        if attempt.is_skipped:
            _note_skipped(worker)
        forward(worker)
        return
    item = attempt.item
    assert item is not None
    if outcome.kind is Kind.FAIL:
        _fail(worker, item, outcome.error)
    else:
        attempt.sent_to = worker.stage.input
        if outcome.kind is Kind.RETRY_TASK:
            retry_task(worker, outcome, worker.run.clock())
        elif outcome.kind is Kind.RETRY_STAGE:
            _retry_stage(worker, outcome, worker.run.clock())
        elif outcome.kind is Kind.DROP:
            note_attempts(item, worker.stage.name, attempt.number)
            worker.stage.input.enqueue(item)  # which drops it
        else:
            if outcome is not UNMADE:
                note_attempts(item, worker.stage.name, attempt.number)
            if isinstance(outcome.error, Exception):
                attempt.task.counters.failed += 1
            give_back(worker, outcome.error)
    attempt.counts = attempt.status = None  # the outcome is applied
    worker.release_limits()


def forward(worker: Worker) -> None:
    """Deposit the item in the next stage or the results."""
    attempt, stage = worker.attempt, worker.stage
    item, channel = attempt.item, stage.output.channel
    assert item is not None
    worker.processed += 1
    if item.details is not None or attempt.counts is not FIRST:
        note_attempts(item, stage.name, attempt.number)
    attempt.counts = None
    worker.completed_at = item.queued_at = worker.run.clock()
    # Before the worker waits for room: two stages that share a limit could wait for each other.
    if attempt.grant is not None:
        grant, attempt.grant = attempt.grant, None
        grant.release(worker.completed_at, has_succeeded=True)
    attempt.sent_to = channel
    if channel.append_directly:
        channel.queue.append(item)
    else:
        channel.put(item)


def _note_skipped(worker: Worker) -> None:
    attempt = worker.attempt
    worker.stage.counters.skipped += 1
    attempt.counts = NO_ATTEMPT
    if attempt.grant is not None:
        attempt.grant.refund()
        worker.release_limits()


def retry_task(worker: Worker, outcome: Outcome, now: float) -> None:
    """Park the item until it resumes at the task that failed, with that task's input."""
    attempt, stage = worker.attempt, worker.stage
    item, counts = attempt.item, attempt.counts
    assert item is not None
    assert counts is not None
    task_input = attempt.value if attempt.index else None  # the first task's is the item's value
    retry = stage.name, counts.task + 1, counts.stage, attempt.index, task_input, outcome.begun
    item.get_details().retry = retry
    _count_retry(worker, item, now + outcome.delay)
    stage.input.park(item, outcome.delay)


def _retry_stage(worker: Worker, outcome: Outcome, now: float) -> None:
    """Park the item until it begins anew with the first task."""
    attempt, stage = worker.attempt, worker.stage
    item, counts = attempt.item, attempt.counts
    assert item is not None
    assert counts is not None
    details = item.get_details()
    details.retry = stage.name, 1, counts.stage + 1, 0, None, outcome.begun
    _count_retry(worker, item, now + outcome.delay)
    if outcome.delay > 0:
        stage.input.park(item, outcome.delay)
    else:  # behind what waits already, past the capacity: it is counted
        details.retried_in = None
        stage.input.enqueue(item)


def _count_retry(worker: Worker, item: PipelineResult, due: float) -> None:
    item.queued_at = due
    worker.stage.counters.retried += 1
    worker.attempt.task.counters.retried += 1


def _fail(worker: Worker, item: PipelineResult, error: BaseException) -> None:
    attempt, stage = worker.attempt, worker.stage
    attempt.sent_to = stage.results
    attempt.task.counters.failed += 1
    note_attempts(item, stage.name, attempt.number)
    item.error, item.stage = error, stage.name
    worker.failed += 1
    worker.failed_at = worker.run.clock()
    worker.run.ended_early += 1
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


def give_back(worker: Worker, error: BaseException) -> None:
    """Put back the item of an attempt that was cancelled or not made.

    A run that is not closing is ended first, or another worker might take the item.
    """
    attempt = worker.attempt
    item = attempt.item
    assert item is not None
    with suppress(RuntimeError):  # the loop is closed already
        if isinstance(error, GeneratorExit):
            worker.run.abort(error)
        # A worker that was cancelled from outside is gone: the pool must not shrink silently.
        elif worker.is_cancelled and not worker.run.is_closed:
            worker.run.abort(worker.run.cancelled_from_outside(worker.name))
    attempt.counts = None
    worker.release_limits()
    worker.stage.input.put(item)


# The user's other functions


async def ask_skip_if(worker: Worker, skip_if: Callable[[Any], Any]) -> bool:
    """Return whether `skip_if` says that the item skips the stage; one that raises does not."""
    is_cancelled, is_true = worker.is_cancelled, False
    try:
        answer = skip_if(worker.attempt.value)
        is_true = bool(await answer if isawaitable(answer) else answer)
    except BaseException as error:
        is_cancelled |= _on_callback_error(worker, error, "skip_if")
    if not is_cancelled:
        worker.uncancel_swallowed()
    return is_true


async def _call_back(worker: Worker, callback: ItemCallback, argument: Any) -> None:
    item, is_cancelled = worker.attempt.item, worker.is_cancelled
    assert item is not None
    try:
        answer = callback(item.id, argument, describe(item))
        if isawaitable(answer):
            await (await_in_time(answer) if is_cancelled else answer)
    except BaseException as error:
        is_cancelled |= _on_callback_error(worker, error, "callback")
    if not is_cancelled:
        worker.uncancel_swallowed()


def _on_callback_error(worker: Worker, error: BaseException, role: str) -> bool:
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
    item = worker.attempt.item
    assert item is not None
    log_error(
        _logger,
        error,
        "Stage %r: the %s of item %s raised; the item goes on regardless.",
        worker.stage.name,
        role,
        shown(item.id),
    )
    return False
