"""A worker's main loop, which ends when its stage's input is closed.

There are two: `run_general`, and `run_fast` for one task without observers, which is twice as fast.
"""

from __future__ import annotations

from asyncio import CancelledError, Task, current_task
from bisect import bisect_left
from collections.abc import Coroutine
from functools import partial
from math import inf
from typing import Any

from antflow._engine.base.outcome import FIRST, RETRY_TASK, UNMADE, Kind, Outcome
from antflow._engine.channels.channel import Channel, is_cancelled
from antflow._engine.channels.pull_channel import PullChannel
from antflow._limits.grant import CURRENT_HOLDER
from antflow._stats.counters import BLOCKED, BUSY, IDLE, WAITING
from antflow._stats.histogram import EDGES, SUM, add, bucket
from antflow.context import CURRENT_WORKER
from antflow.results import PipelineResult
from antflow.stats import DURATION_BOUNDS

from .attempt_steps import (
    acquire_permit,
    call_in_item_time,
    emit_start,
    emit_success,
    end_failed,
    end_unmade,
    enter,
    go_to_next_task,
    judge,
)
from .exits import emit_status, give_back, retry_task, settle
from .worker import Worker


def work(worker: Worker) -> Coroutine[Any, Any, None]:
    """Return the loop that serves the worker's stage, to be run as a task."""
    if worker.stage.is_simple and worker.stage.dispatcher.is_silent:
        return run_fast(worker)
    return _guarded(worker)


async def _guarded(worker: Worker) -> None:
    """Run the general loop; give its item back if the event loop is closed while a hook runs."""
    try:
        await worker.run.leave_eager_step()
        await run_general(worker)
    except GeneratorExit as error:
        if worker.attempt.item is not None and worker.attempt.counts is not None:
            give_back(worker, error)
        raise


async def run_fast(worker: Worker) -> None:  # noqa: C901, PLR0912, PLR0915 - a call per item is 5% of its time
    """Serve a stage of one task without observers: one clock reading and no call per item."""
    # Where the stage has limits, there are two readings, and two calls that take and release them.
    await worker.run.leave_eager_step()
    _begin(worker)
    stage, budget, clock = worker.stage, worker.run.budget, worker.run.clock
    attempt, input_, output = worker.attempt, stage.input, stage.output.channel
    attempt.is_calling = True  # but for the moments when an outcome is applied
    queue, waiters = input_.queue, input_.waiters
    forwarded, capacity = output.queue, output.capacity
    is_bounded = capacity < inf
    receivers, take, append = input_.receivers, queue.popleft, forwarded.append
    item: PipelineResult | None
    outcome: Outcome | None
    call, total, limiter, grant = stage.tasks[0].call, SUM, stage.limiter, None
    waits, durations = stage.counters.queue_wait, stage.tasks[0].counters.duration
    # Most durations fall into the bucket of the one before.
    wait_above = wait_up_to = duration_above = duration_up_to = 0.0
    wait_bucket = duration_bucket = 0
    while (now := await _wait_for_item(worker)) is not None:
        while queue or limiter is not None:
            if limiter is None:
                item = take()
                if waiters.any:
                    waiters.wake()
            else:
                item = input_.get_nowait()
                if item is None:
                    break
                grant = attempt.grant = limiter.last_grant
                if grant is not None and grant.error is not None:
                    now = await _fail_refused(worker, item, grant.error, now)
                    if receivers.surplus:
                        break
                    continue
                now = clock()  # `key` and `cost` are no part of the attempt
            waited = now - item.queued_at  # the end of one item is the start of the next
            if not wait_above < waited <= wait_up_to:
                waited = max(waited, 0.0)  # a retry's timer may fire a moment early
                wait_bucket = bucket(waited)
                wait_above, wait_up_to = EDGES[wait_bucket : wait_bucket + 2]
            waits[wait_bucket] += 1
            waits[total] += waited
            attempt.item = item
            try:
                value = await call(item.value)
            except BaseException as error:  # only then is a swallowed cancellation looked for
                failed = error
            else:
                end = clock()
                duration = end - now
                if not duration_above < duration <= duration_up_to:
                    duration_bucket = bucket(duration)
                    duration_above, duration_up_to = EDGES[duration_bucket : duration_bucket + 2]
                durations[duration_bucket] += 1
                durations[total] += duration
                worker.processed += 1
                worker.completed_at = now = item.queued_at = end
                item.value = value
                # No await from here to the deposit: an item is never in between.
                if grant is not None:
                    attempt.grant = None
                    grant.release(end, has_succeeded=True)
                if output.append_directly:
                    append(item)
                    may_be_overfull = is_bounded and len(forwarded) > capacity
                else:
                    output.put(item)
                    may_be_overfull = True
                if may_be_overfull:
                    if output.is_overfull():
                        attempt.since = now = await _wait_for_room(worker, output)
                    # While there are any, all deposits come here (`note_senders`): to look after
                    # each item would cost 1 to 2%.
                    if receivers.surplus:
                        break
                if now > budget.until and budget.should_yield(now, now - duration):
                    attempt.item = None
                    await budget.yield_now()
                    attempt.since = now = clock()
                    if receivers.surplus:
                        break
                continue
            end = clock()
            attempt.is_calling, attempt.waited = False, waited
            attempt.counts = FIRST if item.details is None else attempt.counts_of(item)
            outcome = judge(worker, failed, end - now)
            del failed  # or its traceback and this frame would keep each other
            if outcome.kind is RETRY_TASK and end <= budget.until and limiter is None:
                retry_task(worker, outcome, end)  # nothing else follows
                now = end
            else:
                pending = settle(worker, outcome)
                if pending is not None:
                    await pending
                now = await _conclude(worker, now)
            attempt.clear()
            attempt.status, attempt.since, attempt.is_calling = None, now, True
            if receivers.surplus:
                break
        # An idle worker keeps nothing of the last item alive.
        item = value = outcome = grant = pending = None


async def run_general(worker: Worker) -> None:  # noqa: C901, PLR0912, PLR0915 - a call per item is 5% of its time
    """Serve any stage, and call the observers."""
    task = _begin(worker)
    stage, attempt, run = worker.stage, worker.attempt, worker.run
    clock, budget, limiter, dispatcher = run.clock, run.budget, stage.limiter, stage.dispatcher
    input_, output, waits = stage.input, stage.output.channel, stage.counters.queue_wait
    take, receivers = input_.get_nowait, input_.receivers
    forwarded, capacity = output.queue, output.capacity
    pulled = input_ if isinstance(input_, PullChannel) else None
    is_plain, has_permits = stage.has_one_call, stage.has_permits
    has_one_task = len(stage.tasks) == 1
    call_in_time = partial(call_in_item_time, worker) if stage.has_item_timeout else None
    outcome: Outcome | None
    while (now := await _wait_for_item(worker)) is not None:
        while (item := take()) is not None:
            start = attempt.since = now
            waited = attempt.waited = now - item.queued_at if now > item.queued_at else 0.0
            waits[bisect_left(DURATION_BOUNDS, waited)] += 1
            waits[SUM] += waited
            attempt.item, attempt.value = item, item.value
            attempt.counts = FIRST if item.details is None else attempt.counts_of(item)
            if limiter is not None:
                attempt.grant = limiter.last_grant
            outcome = None
            # Whether anything was called or awaited since the item was taken.
            has_changed = limiter is not None or not is_plain or item.details is not None
            if has_changed:
                outcome = await enter(worker)
            if dispatcher.status and outcome is None and attempt.is_first:
                has_changed = True
                pending = emit_status(worker, "in_progress")
                if pending is not None:
                    await pending
            # One round for each task.
            while outcome is None and not attempt.is_skipped:
                try:
                    if has_permits:
                        outcome = await acquire_permit(worker)
                        if outcome is not None:
                            break
                    # Nothing is emitted for an attempt that is not made.
                    if has_changed and worker.must_stop:
                        outcome = UNMADE
                        break
                    if dispatcher.task_start:
                        pending = emit_start(worker)
                        if pending is not None:
                            await pending
                        # Its start was emitted, so that its end is, too.
                        if (
                            input_.closed
                            or task.cancelling()
                            or (item.details is not None and is_cancelled(item))
                        ):
                            outcome = await end_unmade(worker)
                            break
                    begun = clock()
                    attempt.is_calling = True
                    try:
                        attempt.value = await (call_in_time or attempt.task.call)(attempt.value)
                    except BaseException as error:
                        attempt.is_calling = False
                        failed = error
                    else:
                        attempt.is_calling = False
                        duration = clock() - begun
                        durations = attempt.task.counters.duration
                        durations[bisect_left(DURATION_BOUNDS, duration)] += 1
                        durations[SUM] += duration
                        if task.cancelling():
                            worker.uncancel_swallowed()
                        if worker.state == WAITING:
                            worker.set_state(BUSY)
                        if dispatcher.task_success:
                            pending = emit_success(worker, duration)
                            if pending is not None:
                                await pending
                        if has_one_task or not go_to_next_task(worker):
                            break
                        has_changed = True
                        continue
                    outcome = await end_failed(worker, failed, clock() - begun)
                    del failed  # or its traceback and this frame would keep each other
                finally:
                    if has_permits:
                        attempt.release_permit()
            pending = settle(worker, outcome)
            if pending is not None:
                await pending
            now = worker.completed_at  # of this item, unless it did not get through
            has_paused = (
                outcome is not None
                or len(forwarded) > capacity
                or not output.append_directly
                or now > budget.until
                or task.cancelling()
            )
            if has_paused:
                now = await _conclude(worker, start)
            if pulled is not None:
                pulled.held -= 1
            if has_paused and receivers.surplus:
                break
        attempt.clear()
        item = outcome = pending = None  # as above


async def _fail_refused(
    worker: Worker, item: PipelineResult, error: BaseException, now: float
) -> float:
    """Fail an item with what `key` or `cost` of a limit raised; return the time."""
    attempt = worker.attempt
    attempt.is_calling, attempt.waited, attempt.since = False, max(0.0, now - item.queued_at), now
    add(worker.stage.counters.queue_wait, attempt.waited)
    attempt.item = item
    attempt.counts = FIRST if item.details is None else attempt.counts_of(item)
    pending = settle(worker, Outcome(Kind.FAIL, error))
    if pending is not None:
        await pending
    attempt.since = now = await _conclude(worker, now)
    attempt.is_calling = True
    return now


def _begin(worker: Worker) -> Task[Any]:
    CURRENT_WORKER.set(worker)
    if worker.stage.limiter is not None:
        CURRENT_HOLDER.set(worker.attempt)
        worker.stage.limiter.holders[worker.attempt] = None
    task = worker.task = current_task()
    assert task is not None
    worker.stage.input.receivers.arrive()
    return task


async def _wait_for_item(worker: Worker) -> float | None:
    """Return the time when there is an item to take, or None when the worker has to stop."""
    run, input_, output = worker.run, worker.stage.input, worker.stage.output
    worker.attempt.item = None
    if output.stage is None:
        # Reported here rather than per item: only a worker without one can end the run.
        output.reported += worker.processed - worker.reported
        worker.reported = worker.processed
    while input_.receivers.surplus or not input_.startable():
        worker.set_state(IDLE)
        if worker.is_cancel_pending:
            raise CancelledError  # by its task, and the run may end before it is delivered
        if not input_.closed:
            run.check_done()
        if input_.closed:
            return None
        if not await input_.wait_for_item(worker.leave):
            return None  # at once: the worker's number may be in use again
        if run.budget.is_long():  # many may have been woken in this turn
            await run.budget.yield_now()
    now = worker.attempt.since = worker.set_state(BUSY)
    return now


async def _conclude(worker: Worker, start: float) -> float:
    """Wait, yield or end as need be, the outcome being applied; return the time.

    Args:
        start: when the work on the item began.
    """
    input_, sent_to = worker.stage.input, worker.attempt.sent_to
    if worker.is_cancelled:
        if sent_to is input_:
            worker.discount_item()
        worker.set_state(IDLE)
        raise CancelledError
    if sent_to is not input_ and sent_to.is_overfull():
        await _wait_for_room(worker, sent_to)
    worker.attempt.clear()
    return await worker.run.budget.maybe_yield(start)


async def _wait_for_room(worker: Worker, output: Channel) -> float:
    """Wait, the item being handed over, until the next stage takes more; return the time."""
    worker.set_state(BLOCKED)
    try:
        await output.waiters.wait_as_sender(has_skipped=worker.attempt.is_skipped)
    finally:
        now = worker.set_state(BUSY)
    return now
