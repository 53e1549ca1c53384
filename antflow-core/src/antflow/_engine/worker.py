"""One worker: takes an item, makes an attempt at it, and applies the outcome."""

from __future__ import annotations

import logging
from asyncio import CancelledError, Task, current_task
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from inspect import isawaitable
from math import inf
from time import time
from typing import Any, NamedTuple, Protocol

from antflow._faults import log_error
from antflow._limits import Limits
from antflow._plugins.dispatcher import is_cancellation_pending
from antflow._stats.counters import BLOCKED, BUSY, IDLE, WAITING
from antflow._stats.histogram import EDGES, SUM, add, bucket
from antflow._tracebacks import location, remove_own_frames
from antflow.context import CURRENT_WORKER, CurrentItem, acquire
from antflow.events import StatusType, TaskEvent, TaskEventType
from antflow.exceptions import text_of
from antflow.stage import ItemCallback
from antflow.types import FailedItem, PipelineResult

from .attempt import FIRST, Attempt, Kind, Outcome, classify_error
from .channel import Channel
from .failures import Failures
from .item import describe, note_attempts
from .loop_budget import LoopBudget
from .stage_runtime import BoundTask, StageRuntime

WORKING = (BUSY, WAITING)
"""The states of a worker that holds an item which it is not done with."""

NO_ATTEMPT = Attempt(0, 0, 0)
"""What is noted of an item that is skipped."""

UNMADE = Outcome(Kind.CANCEL, CancelledError())
"""The outcome of an attempt that was not begun, since the run or the worker is ending."""

_logger = logging.getLogger(__name__)


class WorkerRun(Protocol):
    """What a worker asks of its run."""

    clock: Callable[[], float]
    budget: LoopBudget
    failures: Failures

    def items_ended(self, number: int) -> None:
        """Count so many items more as ended."""

    def check_done(self) -> None:
        """Close the run if nothing is outstanding; asked when a worker finds no item."""

    def abort(self, error: BaseException | None = None) -> None:
        """End the run at once."""

    def on_worker_cancelled(self, worker: str) -> None:
        """End the run, unless it is ending already: the pool would shrink silently."""


class _StatusText(NamedTuple):
    """What a task has set: at which item, in which task, and when on the run's clock."""

    sequence_id: int
    task: BoundTask
    text: str
    at: float


class Worker:
    """Works on the items of one stage, one at a time, until the stage's input is closed.

    asyncio is the memory of a cancellation: one that ends a hook or a callback is found in the
    task's `cancelling()`, once the outcome is applied.

    Args:
        name: the worker's name.
        stage: the stage in this run.
        run: the run.
    """

    __slots__ = (
        "_limit_waits",
        "_limit_waits_of",
        "_reported",
        "_spent",
        "_status_text",
        "_waited",
        "_working_since",
        "attempt",
        "bound_task",
        "completed_at",
        "failed",
        "failed_at",
        "item",
        "name",
        "processed",
        "run",
        "since",
        "stage",
        "state",
        "task",
    )

    def __init__(self, name: str, stage: StageRuntime, run: WorkerRun) -> None:
        self.name = name
        self.stage = stage
        self.run = run
        self.task: Task[Any] | None = None
        self.item: PipelineResult | None = None
        self.bound_task: BoundTask | None = None
        self.attempt: Attempt | None = None
        self.state = IDLE
        self.since = 0.0
        self.completed_at = 0.0
        self.failed_at = 0.0
        self.processed = 0
        self.failed = 0
        self._reported = 0
        self._spent = 0.0
        self._working_since = 0.0
        self._waited = 0.0
        self._status_text: _StatusText | None = None
        self._limit_waits = 0
        self._limit_waits_of: object = None

    def loop(self) -> Coroutine[Any, Any, None]:
        """Return the loop that serves the stage, to be run as a task."""
        if not self.stage.is_simple:
            return self._run_general()
        return self._run_fast() if self.stage.dispatcher.is_silent else self._run_observed()

    # The three loops: one task without observers; one task; whatever a stage may ask for

    async def _run_fast(self) -> None:
        """Serve a stage of one task, at the price of one clock reading and no call per item."""
        self._begin()
        stage, budget, clock = self.stage, self.run.budget, self.run.clock
        input_, output = stage.input, stage.output
        queue, forwarded, capacity = input_.queue, output.queue, output.capacity
        is_bounded = capacity < inf
        take, forward = queue.popleft, forwarded.append
        call, total = stage.tasks[0].call, SUM
        waits, durations = stage.counters.queue_wait, stage.tasks[0].counters.duration
        # Most durations fall into the bucket of the one before.
        wait_above = wait_up_to = duration_above = duration_up_to = 0.0
        wait_bucket = duration_bucket = 0
        while (now := await self._wait_for_item()) is not None:
            while queue:
                item = take()
                if input_.has_waiters:
                    input_.make_room()
                waited = now - item.queued_at
                if not wait_above < waited <= wait_up_to:
                    wait_bucket = bucket(waited)
                    wait_above, wait_up_to = EDGES[wait_bucket : wait_bucket + 2]
                waits[wait_bucket] += 1
                waits[total] += waited
                self.item = item
                try:
                    value = await call(item.value)
                except BaseException as error:
                    failed = error
                else:
                    end = clock()
                    duration = end - now
                    if not duration_above < duration <= duration_up_to:
                        duration_bucket = bucket(duration)
                        duration_above, duration_up_to = EDGES[
                            duration_bucket : duration_bucket + 2
                        ]
                    durations[duration_bucket] += 1
                    durations[total] += duration
                    self.processed += 1
                    self.completed_at = now = item.queued_at = end
                    item.value = value
                    if output.append_directly:
                        forward(item)
                        may_be_overfull = is_bounded and len(forwarded) > capacity
                    else:
                        output.put(item)
                        may_be_overfull = True
                    if may_be_overfull and output.is_overfull():
                        self.since = now = await self._wait_for_room(output)
                    if now > budget.until and budget.should_yield(now, now - duration):
                        self.item = None
                        await budget.yield_now()
                        self.since = now = clock()
                    continue
                self._waited = waited
                now = await self._process_error(item, failed, now)
                del failed  # or its traceback and this frame would keep each other

    async def _run_observed(self) -> None:
        """Serve a stage of one task, and call the observers, at little more than their price.

        An attempt that does not succeed, or is not made, goes on in `_process`.
        """
        self._begin()
        stage, dispatcher, clock, budget = (
            self.stage,
            self.stage.dispatcher,
            self.run.clock,
            self.run.budget,
        )
        input_, output, bound, is_last = (
            stage.input,
            stage.output,
            stage.tasks[0],
            stage.next_stage is None,
        )
        queue, call, waits, task = input_.queue, bound.call, stage.counters.queue_wait, self.task
        assert task is not None
        while (now := await self._wait_for_item()) is not None:
            while queue:
                item = queue.popleft()
                if input_.has_waiters:
                    input_.make_room()
                self._waited = now - item.queued_at
                add(waits, self._waited)
                self.item, self.bound_task, self._status_text = item, bound, None
                self.since = begun = now
                self.attempt = FIRST if item.details is None else self._attempt_of(item)
                if dispatcher.status and self.attempt.task == 1:
                    pending = self._emit_status(item, "in_progress")
                    if pending is not None:
                        await pending
                if dispatcher.task_start:
                    event = self._task_event(bound, "start")
                    pending = dispatcher.emit(dispatcher.task_start, event)
                    if pending is not None:
                        await pending
                if input_.closed or task.cancelling():
                    sent_to = await self._finish(item, await self._end_unmade(bound))
                    now = await self._conclude(begun, sent_to)
                    continue
                start = clock()
                try:
                    value = await call(item.value)
                except BaseException as error:
                    failed = error
                else:
                    pending = self._end_succeeded(bound, clock() - start)
                    if pending is not None:
                        await pending
                    item.value = value
                    pending = None
                    if dispatcher.item_finish if is_last else dispatcher.status:
                        pending = self._emit_passed_on(item)
                    if pending is not None:
                        try:
                            await pending
                        finally:
                            self._forward(item)
                    else:
                        self._forward(item)
                    now = self.completed_at
                    if self._has_to_pause(now):
                        now = await self._conclude(begun, output)
                    self.item = self.bound_task = self.attempt = None
                    continue
                duration = clock() - start
                outcome = self._end_failed(bound, failed, duration)
                del failed  # or its traceback and this frame would keep each other
                if dispatcher.observes_tasks:
                    await self._emit_end(bound, outcome, duration)
                now = await self._conclude(begun, await self._finish(item, outcome))

    async def _run_general(self) -> None:
        """Serve any stage."""
        self._begin()
        input_, waits = self.stage.input, self.stage.counters.queue_wait
        output, clock = self.stage.output, self.run.clock
        while (now := await self._wait_for_item()) is not None:
            while (item := input_.get_nowait()) is not None:
                self._waited = now - item.queued_at
                add(waits, self._waited)
                self.item, self._status_text = item, None
                self.since = start = now
                sent_to = await self._process(item)
                now = clock()
                if sent_to is not output or self._has_to_pause(now):
                    now = await self._conclude(start, sent_to)
                self.item = self.bound_task = self.attempt = None
                input_.held -= 1

    def _begin(self) -> None:
        CURRENT_WORKER.set(self)
        self.task = current_task()
        self.stage.input.receiver_ready()

    async def _wait_for_item(self) -> float | None:
        """Return the time when there is an item to take, or None when there will be none."""
        input_ = self.stage.input
        self.item = None
        self._report_ended()
        while not input_.startable:
            self.set_state(IDLE)
            if not input_.closed:
                self.run.check_done()
            if input_.closed:
                return None
            await input_.wait_for_item()
        self.since = self.set_state(BUSY)
        return self.since

    def _report_ended(self) -> None:
        if self.stage.next_stage is None:
            self.run.items_ended(self.processed - self._reported)
            self._reported = self.processed

    def _has_to_pause(self, now: float) -> bool:
        """Return whether the worker, having forwarded an item, may have to wait, yield or end."""
        output, task = self.stage.output, self.task
        return (
            len(output.queue) > output.capacity
            or not output.append_directly
            or now > self.run.budget.until
            or (task is not None and task.cancelling() > 0)
        )

    async def _conclude(self, start: float, sent_to: Channel) -> float:
        """End the work on an item, its outcome being applied; return the time.

        Args:
            start: when the work began.
            sent_to: the channel that the item went to; where it is overfull, the worker waits.
        """
        self.bound_task = self.attempt = None
        if self.task is not None and self.task.cancelling():
            self.set_state(IDLE)
            raise CancelledError
        if sent_to is not self.stage.input and sent_to.is_overfull():
            await self._wait_for_room(sent_to)
        self.item = None
        return await self.run.budget.maybe_yield(start)

    async def _wait_for_room(self, output: Channel) -> float:
        """Wait, the item being handed over, until the next stage takes more; return the time."""
        self.set_state(BLOCKED)
        try:
            await output.wait_for_room()
        finally:
            now = self.set_state(BUSY)
        return now

    # One item

    async def _process(self, item: PipelineResult) -> Channel:
        """Run the stage's tasks on an item, from the task at which it resumes.

        Returns:
            The channel that the item went to.
        """
        stage = self.stage
        self.attempt = attempt = self._attempt_of(item)
        index, value = 0, item.value
        if attempt.task > 1:
            index, value = self._resume(item)
        elif (stage.stage.skip_if or stage.dispatcher.status) and not await self._enter(item):
            return stage.output
        for bound in stage.tasks[index:] if index else stage.tasks:
            self.bound_task, self.attempt = bound, attempt
            call = self._call if bound.semaphore is None else self._call_when_allowed
            result = await call(bound, value)
            if isinstance(result, Outcome):
                return await self._finish(item, result, index, value)
            index, value = index + 1, result
            attempt = FIRST if attempt.stage == 1 else Attempt(1, attempt.stage, attempt.stage)
        await self._pass_on(item, value, "completed", stage.stage.on_success)
        return stage.output

    async def _enter(self, item: PipelineResult) -> bool:
        """Begin a visit to the stage; return False if that was all: the item is skipped."""
        skip_if = self.stage.stage.skip_if
        if skip_if is not None and await self._is_skipped(skip_if, item):
            await self._pass_on(item, item.value, "skipped", self.stage.stage.on_skip)
            return False
        if self.stage.dispatcher.status:
            pending = self._emit_status(item, "in_progress")
            if pending is not None:
                await pending
        return True

    def _attempt_of(self, item: PipelineResult) -> Attempt:
        """Return the numbers of the attempt that is due; those of another stage are not ours."""
        details = item.details
        if details is None or details.attempted_by != self.stage.name:
            return FIRST
        task, stage = details.task_attempt, details.stage_attempt
        return Attempt(task, stage, max(task, stage))

    def _resume(self, item: PipelineResult) -> tuple[int, Any]:
        """Return the index of the task at which an item resumes, and the task's input."""
        details = item.get_details()
        task_input, details.task_input = details.task_input, None
        return details.task_index, task_input

    async def _process_error(
        self, item: PipelineResult, error: BaseException, start: float
    ) -> float:
        """Go on after the call of a stage of one task raised; return the time."""
        stage, bound, clock = self.stage, self.stage.tasks[0], self.run.clock
        self.bound_task, self.attempt = bound, self._attempt_of(item)
        outcome = self._end_failed(bound, error, clock() - start)
        del error  # or its traceback and this frame would keep each other
        if stage.dispatcher.observes_tasks:
            await self._emit_end(bound, outcome, clock() - start)
        sent_to: Channel = stage.input
        if outcome.kind is Kind.RETRY_TASK:  # nothing else follows from it
            self._retry(item, outcome, 0, None)
        else:
            sent_to = await self._finish(item, outcome)
        now = clock()
        if sent_to is not stage.input or self._has_to_pause(now):
            now = await self._conclude(start, sent_to)
        self.item = self.bound_task = self.attempt = self._status_text = None
        self.since = now
        return now

    # One attempt: its value, or an Outcome

    async def _call_when_allowed(self, bound: BoundTask, value: Any) -> Any:
        """Make one attempt, as soon as the task's limit allows it."""
        semaphore = bound.semaphore
        assert semaphore is not None
        if self._must_stop():
            return UNMADE
        try:
            await acquire(self, semaphore)
        except CancelledError as error:
            return Outcome(Kind.CANCEL, error)
        try:
            return await self._call(bound, value)
        finally:
            semaphore.release()

    async def _call(self, bound: BoundTask, value: Any) -> Any:
        """Make one attempt."""
        clock = self.run.clock
        if self._must_stop():
            return UNMADE
        if self.stage.dispatcher.task_start:
            pending = self._emit_start(bound)
            if pending is not None:
                await pending
            if self._must_stop():
                return await self._end_unmade(bound)
        start = clock()
        try:
            result = await bound.call(value)
        except BaseException as error:
            failed = error
        else:
            pending = self._end_succeeded(bound, clock() - start)
            if pending is not None:
                await pending
            return result
        duration = clock() - start
        outcome = self._end_failed(bound, failed, duration)
        del failed  # or its traceback and this frame would keep each other
        if self.stage.dispatcher.observes_tasks:
            await self._emit_end(bound, outcome, duration)
        return outcome

    def _emit_start(self, bound: BoundTask) -> Awaitable[None] | None:
        dispatcher = self.stage.dispatcher
        return dispatcher.emit(dispatcher.task_start, self._task_event(bound, "start"))

    def _end_succeeded(self, bound: BoundTask, duration: float) -> Awaitable[None] | None:
        """End an attempt that returned."""
        add(bound.counters.duration, duration)
        if self.task is not None and self.task.cancelling():
            self._forget_swallowed()
        if self.state == WAITING:
            self.set_state(BUSY)
        dispatcher = self.stage.dispatcher
        if not dispatcher.task_success:
            return None
        event = self._task_event(bound, "complete", duration)
        return dispatcher.emit(dispatcher.task_success, event)

    async def _end_unmade(self, bound: BoundTask) -> Outcome:
        """End an attempt whose start was emitted, and whose function is not to be called."""
        if self.stage.dispatcher.task_start:
            await self._emit_end(bound, Outcome(Kind.CANCEL, CancelledError()), None)
        return UNMADE

    def _end_failed(self, bound: BoundTask, error: BaseException, duration: float) -> Outcome:
        """Count an attempt that raised, and return what follows."""
        add(bound.counters.duration, duration)
        if self.state == WAITING:
            self.set_state(BUSY)
        if isinstance(error, GeneratorExit):  # the loop is closed: nothing can be awaited
            self._give_back(error)
            raise error
        if not isinstance(error, CancelledError):
            self._forget_swallowed()
        assert self.attempt is not None
        return classify_error(
            error,
            self.attempt,
            self.stage.task_policy,
            self.stage.stage_policy,
            is_cancelled=self.task is not None and self.task.cancelling() > 0,
            is_closed=self.stage.input.closed,
        )

    async def _emit_end(self, bound: BoundTask, outcome: Outcome, duration: float | None) -> None:
        kind: TaskEventType
        dispatcher, delay = self.stage.dispatcher, None
        if outcome.is_retry:
            kind, listeners, delay = "retry", dispatcher.task_retry, outcome.delay
        elif outcome.kind is Kind.CANCEL:
            kind, listeners = "cancel", dispatcher.task_cancelled
        else:
            kind, listeners = "fail", dispatcher.task_failure
            remove_own_frames(outcome.error)  # observers record it as the item's failure
        if listeners:
            event = self._task_event(bound, kind, duration, outcome.error, delay)
            pending = dispatcher.emit(listeners, event)
            if pending is not None:
                await pending

    def _must_stop(self) -> bool:
        """Return whether no further attempt is to be made."""
        return self.stage.input.closed or (self.task is not None and self.task.cancelling() > 0)

    def _forget_swallowed(self) -> None:
        """Take back cancellations that came to nothing, as a TaskGroup leaves before Python 3.13.

        One that is still to be delivered stands.
        """
        task = self.task
        if task is not None and not is_cancellation_pending(task):
            while task.cancelling():
                task.uncancel()

    def _task_event(
        self,
        bound: BoundTask,
        kind: TaskEventType,
        duration: float | None = None,
        error: BaseException | None = None,
        delay: float | None = None,
    ) -> TaskEvent:
        item, dispatcher = self.item, self.stage.dispatcher
        assert item is not None
        return TaskEvent(
            item.id,
            self.stage.name,
            bound.name,
            self.name,
            kind,
            1 if self.attempt is FIRST else self.attempt_number,
            time(),
            error,
            duration,
            delay,
            self._waited,
            dispatcher.pipeline,
            dispatcher.run_id,
        ).about(item)

    # What becomes of the item

    async def _pass_on(
        self, item: PipelineResult, value: Any, status: StatusType, callback: ItemCallback | None
    ) -> None:
        """Hand an item on; its outcome stands, whatever becomes of observers and the callback."""
        stage, next_stage = self.stage, self.stage.next_stage
        dispatcher = stage.dispatcher
        item.value = value
        try:
            if dispatcher.item_finish if next_stage is None else dispatcher.status:
                pending = self._emit_status(item, status, final=next_stage is None)
                if pending is not None:
                    await pending
            if callback is not None:
                await self._call_back(callback, item, value)
            if dispatcher.status and next_stage is not None:
                pending = dispatcher.emit_status(item, next_stage.name, "queued")
                if pending is not None:
                    await pending
        finally:
            if status == "skipped":
                stage.counters.skipped += 1
                self.attempt = NO_ATTEMPT
            self._forward(item)

    def _emit_passed_on(self, item: PipelineResult) -> Awaitable[None] | None:
        """Emit that an item is completed here, and queued for the next stage."""
        next_stage = self.stage.next_stage
        pending = self._emit_status(item, "completed", final=next_stage is None)
        if next_stage is None:
            return pending
        if pending is not None:
            return self._emit_queued_after(pending, item, next_stage)
        return self.stage.dispatcher.emit_status(item, next_stage.name, "queued")

    async def _emit_queued_after(
        self, pending: Awaitable[None], item: PipelineResult, next_stage: StageRuntime
    ) -> None:
        await pending
        queued = self.stage.dispatcher.emit_status(item, next_stage.name, "queued")
        if queued is not None:
            await queued

    def _forward(self, item: PipelineResult) -> None:
        """Deposit an item in the next stage or the results."""
        self.processed += 1
        attempt = self.attempt
        if attempt is not FIRST or item.details is not None:
            note_attempts(item, self.stage.name, self.attempt_number)
        self.completed_at = item.queued_at = self.run.clock()
        output = self.stage.output
        if output.append_directly:
            output.queue.append(item)
        else:
            output.put(item)

    async def _finish(
        self, item: PipelineResult, outcome: Outcome, task_index: int = 0, task_input: Any = None
    ) -> Channel:
        """Emit what an outcome means for the item, then apply it; return where the item went."""
        dispatcher, described = self.stage.dispatcher, {}
        try:
            if outcome.kind is Kind.FAIL:
                remove_own_frames(outcome.error)
                described = error_fields(outcome.error)
                if dispatcher.item_finish:
                    pending = self._emit_status(item, "failed", described, final=True)
                    if pending is not None:
                        await pending
                if self.stage.stage.on_failure is not None:
                    await self._call_back(self.stage.stage.on_failure, item, outcome.error)
            elif outcome.kind is Kind.RETRY_STAGE and dispatcher.status:
                described = error_fields(outcome.error)
                coming = {"attempt": self.attempt_number + 1, "retry": True, **described}
                pending = self._emit_status(item, "retrying", coming)
                if pending is not None:
                    await pending
        finally:
            self._apply(item, outcome, task_index, task_input, described)
        return self.stage.results if outcome.kind is Kind.FAIL else self.stage.input

    def _apply(
        self,
        item: PipelineResult,
        outcome: Outcome,
        task_index: int,
        task_input: Any,
        described: dict[str, str],
    ) -> None:
        """Do with an item what its outcome says; this cannot be interrupted."""
        if outcome.is_retry:
            self._retry(item, outcome, task_index, task_input)
        elif outcome.kind is Kind.FAIL:
            self._fail(item, outcome.error, described)
        else:
            if isinstance(outcome.error, Exception) and self.bound_task is not None:
                self.bound_task.counters.failed += 1
            self._give_back(outcome.error)

    def _retry(
        self, item: PipelineResult, outcome: Outcome, task_index: int, task_input: Any
    ) -> None:
        """Park an item until its next attempt is due."""
        stage, bound, attempt = self.stage, self.bound_task, self.attempt
        assert bound is not None
        assert attempt is not None
        stage.counters.retried += 1
        bound.counters.retried += 1
        details = item.get_details()
        details.attempted_by = stage.name
        item.queued_at = self.run.clock() + outcome.delay
        if outcome.kind is Kind.RETRY_TASK:
            details.task_attempt, details.stage_attempt = attempt.task + 1, attempt.stage
            details.task_index = task_index
            details.task_input = task_input
            details.attempts = attempt.task + 1
            stage.input.park(item, outcome.delay)
            return
        details.task_attempt, details.stage_attempt = 1, attempt.stage + 1
        details.attempts = attempt.stage + 1
        if outcome.delay > 0:
            stage.input.park(item, outcome.delay)
        else:  # behind what waits already, past the capacity: it is counted
            stage.input.put(item)

    def _fail(self, item: PipelineResult, error: BaseException, described: dict[str, str]) -> None:
        stage, bound = self.stage, self.bound_task
        if bound is not None:
            bound.counters.failed += 1
        note_attempts(item, stage.name, self.attempt_number)
        item.error, item.stage = error, stage.name
        self.failed += 1
        self.failed_at = self.run.clock()
        stage.counters.count_failure(error)
        self.run.items_ended(1)
        failed = FailedItem(
            item_id=item.id,
            error=described["error"],
            error_type=described["error_type"],
            stage=stage.name,
            attempts=item.attempts,
            timestamp=time(),
            location=location(error),
        )
        self.run.failures.add(item, failed)
        if not isinstance(error, Exception | CancelledError):
            self.run.abort(error)

    def _give_back(self, error: BaseException) -> None:
        """Put back the item, whose attempt was cancelled or not made.

        A run that is not closing is ended first, or another worker might take the item.
        """
        assert self.item is not None
        with suppress(RuntimeError):  # the loop is closed already
            if isinstance(error, GeneratorExit):
                self.run.abort(error)
            elif self.task is not None and self.task.cancelling():
                self.run.on_worker_cancelled(self.name)
        self.stage.input.put(self.item)

    def _emit_status(
        self,
        item: PipelineResult,
        status: StatusType,
        metadata: dict[str, Any] | None = None,
        *,
        final: bool = False,
    ) -> Awaitable[None] | None:
        return self.stage.dispatcher.emit_status(
            item, self.stage.name, status, self.name, metadata, final=final
        )

    # The user's other functions

    async def _is_skipped(self, skip_if: Callable[[Any], Any], item: PipelineResult) -> bool:
        try:
            answer = skip_if(item.value)
            return bool(await answer if isawaitable(answer) else answer)
        except BaseException as error:
            self._on_callback_error(error, "skip_if", item)
            return False

    async def _call_back(self, callback: ItemCallback, item: PipelineResult, argument: Any) -> None:
        try:
            answer = callback(item.id, argument, describe(item))
            if isawaitable(answer):
                await answer
        except BaseException as error:
            self._on_callback_error(error, "callback", item)

    def _on_callback_error(self, error: BaseException, role: str, item: PipelineResult) -> None:
        """Log an error beside the tasks; only what no task may raise ends the run."""
        if isinstance(error, GeneratorExit):
            raise error
        if isinstance(error, CancelledError) and self.task is not None and self.task.cancelling():
            return  # found in `cancelling()` when the outcome is applied
        if not isinstance(error, Exception | CancelledError):
            self.run.abort(error)
            return
        log_error(
            _logger,
            error,
            "Stage %r: the %s of item %r raised; the item goes on regardless.",
            self.stage.name,
            role,
            item.id,
        )

    # How its time goes

    def set_state(self, state: int) -> float:
        """Change to another state, and return the time."""
        now = self.run.clock()
        if state != self.state:
            self.stage.counters.move(self.state, state, now)
            works = state in WORKING
            if works != (self.state in WORKING):
                if not works:
                    self._spent += now - self._working_since
                self._working_since = now
            self.state = state
        return now

    @property
    def taken_at(self) -> float:
        """When the worker took the item that it holds, on the run's clock."""
        return max(self.since, self.completed_at)

    @property
    def seconds(self) -> float:
        """Seconds spent on items that it is done with."""
        if self.state not in WORKING:
            return self._spent
        return self._spent + max(0.0, self.taken_at - self._working_since)

    def stop(self) -> None:
        """Hold nothing any more, the run being over."""
        self.item = self._status_text = None
        self._spent = self.seconds
        self.state = IDLE

    # What the present task may ask of its worker

    @property
    def limits(self) -> Limits:
        """The limits of its stage."""
        return self.stage.limits

    @property
    def stage_name(self) -> str:
        """Its stage's name."""
        return self.stage.name

    @property
    def attempt_number(self) -> int:
        """Number of the attempt, from 1: of the task, or of the stage where that is retried."""
        if self.attempt is None:  # in the fast loop
            return 1 if self.item is None else self._attempt_of(self.item).number
        return self.attempt.number

    @property
    def status_text(self) -> str:
        """What the task has set, or else its name."""
        item, last, task = self.item, self._status_text, self.bound_task or self.stage.tasks[0]
        if item is None or last is None:
            return task.name
        return last.text if (last.sequence_id, last.task) == (item.sequence_id, task) else task.name

    def current_item(self) -> CurrentItem | None:
        """Return the item that it holds."""
        item = self.item
        if item is None:
            return None
        pipeline = self.stage.dispatcher.pipeline
        return CurrentItem(item, self.stage.name, self.attempt_number, pipeline)

    def set_status_text(self, text: str, min_interval: float) -> bool:
        """Set what the task is at; False if that was done less than `min_interval` seconds ago."""
        item, last, now = self.item, self._status_text, self.run.clock()
        if item is None:
            return False
        is_same = last is not None and last.sequence_id == item.sequence_id
        if last is not None and is_same and now - last.at < min_interval:
            return False
        task = self.bound_task or self.stage.tasks[0]
        self._status_text = _StatusText(item.sequence_id, task, text, now)
        return True

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Wait for a limit inside of this, to be cancelled when the run is closed.

        A task may return and leave something that still waits. The worker then counts as waiting
        until it looks again, which the fast loop does when its queue is empty.
        """
        attempt = self._present_attempt()
        if attempt != self._limit_waits_of:  # what an earlier one left behind does not count
            self._limit_waits_of, self._limit_waits = attempt, 0
        self._limit_waits += 1
        if self.stage.input.closed:
            self.cancel_limit_wait()
        if self.state == BUSY:
            self.set_state(WAITING)
        try:
            yield
        finally:
            if attempt == self._limit_waits_of:
                self._limit_waits -= 1
                is_present = attempt == self._present_attempt()
                if not self._limit_waits and is_present and self.state == WAITING:
                    self.set_state(BUSY)

    def _present_attempt(self) -> object:
        item = self.item
        if item is None:
            return None
        return item.sequence_id, self.bound_task or self.stage.tasks[0], self.attempt_number

    def cancel_limit_wait(self) -> None:
        """Cancel the attempt that waits for a limit, if one does; the run is closed.

        All of it is cancelled, and not the wait alone, because that may be in a task of the user's,
        where a cancellation need not end the attempt.
        """
        is_waiting = self._limit_waits and self._limit_waits_of == self._present_attempt()
        if is_waiting and self.task is not None and self.state in WORKING:
            self.task.cancel()


def error_fields(error: BaseException) -> dict[str, str]:
    """Return an error as events and summaries show it: its text and the name of its class."""
    try:
        text = str(error)
    except Exception:
        text = text_of(error)
    return {"error": text, "error_type": type(error).__name__}
