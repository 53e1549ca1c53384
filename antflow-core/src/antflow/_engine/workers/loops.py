"""A worker's main loop, which ends when its stage's input is closed.

There are three: `run_fast` for one task without observers, `run_observed` for one task with them,
and `run_general` for any stage.

With `run_general` alone, a pipeline that calls one function per item would lose a third of its
speed, and one with observers a fifth.
"""

from __future__ import annotations

from asyncio import CancelledError, Task, current_task
from collections.abc import Callable, Coroutine
from math import inf
from typing import Any

from antflow._engine.base.outcome import FIRST, RETRY_TASK, UNMADE, Kind, Outcome
from antflow._engine.channels.channel import Channel, is_cancelled
from antflow._limits.grant import CURRENT_HOLDER
from antflow._stats.counters import BLOCKED, BUSY, IDLE
from antflow._stats.histogram import EDGES, SUM, add, bucket
from antflow.context import CURRENT_WORKER
from antflow.results import PipelineResult

from .exits import emit_status, finish, give_back, pass_on_at_once, retry_task
from .processing import emit_start, end_failed, end_succeeded, end_unmade, judge, process
from .worker import Worker


def work(worker: Worker) -> Coroutine[Any, Any, None]:
    """Return the loop that serves the worker's stage, to be run as a task."""
    if not worker.stage.is_simple:
        return _guarded(worker, run_general)
    if worker.stage.dispatcher.is_silent:
        worker.calls_without_hooks = True
        return run_fast(worker)
    return _guarded(worker, run_observed)


async def _guarded(worker: Worker, loop: Callable[[Worker], Coroutine[Any, Any, None]]) -> None:
    """Run a worker's loop; give its item back if the event loop is closed while a hook runs."""
    try:
        await worker.run.leave_eager_step()
        await loop(worker)
    except GeneratorExit as error:
        if worker.item is not None and worker.attempt is not None:
            give_back(worker, worker.item, error)
        raise


async def run_fast(worker: Worker) -> None:  # noqa: C901, PLR0912, PLR0915 - a call per item is 5% of its time
    """Serve a stage of one task without observers: one clock reading and no call per item."""
    # Where the stage has limits, there are two readings, and two calls that take and release them.
    await worker.run.leave_eager_step()
    _begin(worker)
    stage, budget, clock = worker.stage, worker.run.budget, worker.run.clock
    input_, output = stage.input, stage.output
    queue, waiters, forwarded, capacity = (
        input_.queue,
        input_.waiters,
        output.queue,
        output.capacity,
    )
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
                grant = worker.grant = limiter.last_grant
                if grant is not None and grant.error is not None:
                    now = await _conclude_refused(worker, item, now)
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
            worker.item = item
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
                    worker.grant = None
                    grant.release(end, has_succeeded=True)
                if output.append_directly:
                    append(item)
                    may_be_overfull = is_bounded and len(forwarded) > capacity
                else:
                    output.put(item)
                    may_be_overfull = True
                if may_be_overfull:
                    if output.is_overfull():
                        worker.since = now = await _wait_for_room(worker, output)
                    # While there are any, all deposits come here (`note_senders`): to look after
                    # each item would cost 1 to 2%.
                    if receivers.surplus:
                        break
                if now > budget.until and budget.should_yield(now, now - duration):
                    worker.item = None
                    await budget.yield_now()
                    worker.since = now = clock()
                    if receivers.surplus:
                        break
                continue
            worker.waited = waited
            end = clock()
            worker.bound_task = stage.tasks[0]
            worker.attempt = FIRST if item.details is None else worker.attempt_of(item)
            outcome = judge(worker, item, stage.tasks[0], failed, end - now)
            del failed  # or its traceback and this frame would keep each other
            if outcome.kind is RETRY_TASK and end <= budget.until and limiter is None:
                retry_task(worker, item, outcome, end)  # nothing else follows
                now = end
            else:
                now = await _conclude(worker, now, await finish(worker, item, outcome))
            worker.item = worker.bound_task = worker.attempt = worker.status = None
            worker.since = now
            if receivers.surplus:
                break
        item = value = outcome = grant = None  # an idle worker keeps nothing of the last item alive


async def run_observed(worker: Worker) -> None:  # noqa: C901, PLR0912, PLR0915 - as above
    """Serve a stage of one task, and call the observers, at little more than their price."""
    task = _begin(worker)
    stage, dispatcher, clock = worker.stage, worker.stage.dispatcher, worker.run.clock
    input_, output, bound, budget = stage.input, stage.output, stage.tasks[0], worker.run.budget
    queue, waiters, forwarded, capacity = (
        input_.queue,
        input_.waiters,
        output.queue,
        output.capacity,
    )
    item: PipelineResult | None
    outcome: Outcome | None
    call, waits, limiter = bound.call, stage.counters.queue_wait, stage.limiter
    receivers = input_.receivers
    while (now := await _wait_for_item(worker)) is not None:
        while queue or limiter is not None:
            if limiter is None:
                item = queue.popleft()
                if waiters.any:
                    waiters.wake()
            else:
                item = input_.get_nowait()
                if item is None:
                    break
                worker.grant = limiter.last_grant
                if worker.grant is not None and worker.grant.error is not None:
                    now = await _conclude_refused(worker, item, now)
                    if receivers.surplus:
                        break
                    continue
            worker.waited = now - item.queued_at if now > item.queued_at else 0.0
            add(waits, worker.waited)
            attempt = FIRST if item.details is None else worker.attempt_of(item)
            worker.item, worker.bound_task, worker.attempt = item, bound, attempt
            worker.since = begun = now
            worker.status = None
            if dispatcher.status and attempt.task == 1:
                pending = emit_status(worker, item, "in_progress")
                if pending is not None:
                    await pending
            is_observed = dispatcher.task_start
            if is_observed:
                pending = emit_start(worker, item, bound)
                if pending is not None:
                    await pending
            # The start was emitted, so its end is, too, though the function is not called.
            if (
                input_.closed
                or task.cancelling()
                or (item.details is not None and is_cancelled(item))
            ):
                outcome = await end_unmade(worker, item, bound) if is_observed else UNMADE
                now = await _conclude(worker, begun, await finish(worker, item, outcome))
                if receivers.surplus:
                    break
                continue
            start = clock()
            worker.is_calling = True
            try:
                value = await call(item.value)
            except BaseException as error:
                worker.is_calling = False
                failed = error
            else:
                worker.is_calling = False
                pending = end_succeeded(worker, item, bound, value, clock() - start)
                if pending is not None:
                    await pending
                item.value = value
                pending = pass_on_at_once(worker, item)
                if pending is not None:
                    await pending
                now = worker.completed_at
                if (
                    len(forwarded) > capacity
                    or not output.append_directly
                    or now > budget.until
                    or task.cancelling()
                ):
                    now = await _conclude(worker, begun, output)
                    if receivers.surplus:
                        break
                worker.item = worker.bound_task = None
                continue
            outcome = await end_failed(worker, item, bound, failed, clock() - start)
            del failed  # or its traceback and this frame would keep each other
            now = await _conclude(worker, begun, await finish(worker, item, outcome))
            if receivers.surplus:
                break
        item = value = pending = outcome = None  # an idle worker keeps nothing of the last item


async def run_general(worker: Worker) -> None:
    """Serve any stage."""
    _begin(worker)
    stage, clock = worker.stage, worker.run.clock
    input_, output, waits = stage.input, stage.output, stage.counters.queue_wait
    limiter, receivers = stage.limiter, input_.receivers
    while (now := await _wait_for_item(worker)) is not None:
        while (item := input_.get_nowait()) is not None:
            worker.waited = now - item.queued_at if now > item.queued_at else 0.0
            add(waits, worker.waited)
            worker.item = item
            if limiter is not None:
                worker.grant = limiter.last_grant
            worker.since = start = now
            worker.status = None
            is_refused = worker.grant is not None and worker.grant.error is not None
            sent_to = await (_refuse if is_refused else process)(worker, item)
            now = clock()
            has_paused = sent_to is not output or _has_to_pause(worker, now)
            if has_paused:
                now = await _conclude(worker, start, sent_to)
            _release(worker)
            input_.held -= 1
            if has_paused and receivers.surplus:
                break
        worker.status = None


async def _refuse(worker: Worker, item: PipelineResult) -> Channel:
    """Fail an item with what `key` or `cost` of a limit raised."""
    assert worker.grant is not None
    assert worker.grant.error is not None
    return await finish(worker, item, Outcome(Kind.FAIL, worker.grant.error))


async def _conclude_refused(worker: Worker, item: PipelineResult, now: float) -> float:
    """Fail an item as `_refuse` does, in a loop for one task; return the time."""
    worker.waited = max(0.0, now - item.queued_at)
    add(worker.stage.counters.queue_wait, worker.waited)
    worker.item, worker.bound_task = item, worker.stage.tasks[0]
    worker.attempt = FIRST if item.details is None else worker.attempt_of(item)
    worker.since, worker.status = now, None
    worker.since = await _conclude(worker, now, await _refuse(worker, item))
    return worker.since


def _begin(worker: Worker) -> Task[Any]:
    CURRENT_WORKER.set(worker)
    if worker.stage.limiter is not None:
        CURRENT_HOLDER.set(worker)
        worker.stage.limiter.holders[worker] = None
    task = worker.task = current_task()
    assert task is not None
    worker.stage.input.receivers.arrive()
    return task


async def _wait_for_item(worker: Worker) -> float | None:
    """Return the time when there is an item to take, or None when the worker has to stop."""
    stage, run, input_ = worker.stage, worker.run, worker.stage.input
    worker.item = None
    # Ended items are summed here rather than per item: only a worker without one can end the run.
    if stage.next_stage is None:
        run.ended_items += worker.processed - worker.reported
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
    worker.since = worker.set_state(BUSY)
    return worker.since


def _has_to_pause(worker: Worker, now: float) -> bool:
    """Return whether the worker, done with an item, may have to wait, to yield or to end."""
    output, task = worker.stage.output, worker.task
    return (
        len(output.queue) > output.capacity
        or not output.append_directly
        or now > worker.run.budget.until
        or (task is not None and task.cancelling() > 0)
    )


async def _conclude(worker: Worker, start: float, sent_to: Channel) -> float:
    """Wait, yield or end as need be, the outcome of an item being applied; return the time.

    Args:
        worker: the worker.
        start: when the work on the item began.
        sent_to: the channel that the item went to; where it is overfull, the worker waits.
    """
    if worker.is_cancelled:
        if sent_to is worker.stage.input:
            worker.discount_item()
        worker.set_state(IDLE)
        raise CancelledError
    if sent_to is not worker.stage.input and sent_to.is_overfull():
        await _wait_for_room(worker, sent_to)
    _release(worker)
    return await worker.run.budget.maybe_yield(start)


def _release(worker: Worker) -> None:
    worker.item = worker.bound_task = worker.attempt = None


async def _wait_for_room(worker: Worker, output: Channel) -> float:
    """Wait, the item being handed over, until the next stage takes more; return the time."""
    worker.set_state(BLOCKED)
    # Of an item that was skipped, no task was run.
    has_skipped = worker.bound_task is None and worker.stage.stage.skip_if is not None
    try:
        await output.waiters.wait_as_sender(has_skipped=has_skipped)
    finally:
        now = worker.set_state(BUSY)
    return now
