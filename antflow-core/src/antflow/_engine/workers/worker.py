"""The state of one worker: its item and attempt, its time, and what its tasks may ask."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Task, get_running_loop
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from heapq import heappush
from typing import Any, NamedTuple

from antflow._cancellation import is_cancellation_pending
from antflow._engine.base.outcome import FIRST, Attempt
from antflow._engine.base.run_state import RunState
from antflow._engine.channels.channel import is_cancelled
from antflow._engine.limiting.limit_waiter import is_running
from antflow._limits.grant import Grant
from antflow._stats.counters import BUSY, IDLE, WAITING
from antflow.context import CurrentItem
from antflow.results import PipelineResult

from .failures import Failures
from .stage_runtime import BoundTask, StageRuntime, worker_name

WORKING = (BUSY, WAITING)
"""The states of a worker that holds an item which it is not done with."""


class _StatusText(NamedTuple):
    """What a task has set: at which item, in which task, and when on the run's clock."""

    sequence_id: int
    task: BoundTask
    text: str
    at: float


class Worker:
    """Works on the items of one stage, one at a time; `loops` has what it does.

    asyncio is the memory of a cancellation: one that ends a hook or a callback is found in the
    task's `cancelling()` once the outcome is applied.

    A worker that was one too many and stopped may be started again, and goes on counting.

    Args:
        number: the worker's, in its stage.
        stage: the stage in this run.
        run: the state of the run.
        failures: of the run.
    """

    __slots__ = (
        "_spent",
        "_waits",
        "_working_since",
        "attempt",
        "bound_task",
        "calls_without_hooks",
        "completed_at",
        "failed",
        "failed_at",
        "failures",
        "grant",
        "is_calling",
        "is_interrupted",
        "item",
        "name",
        "number",
        "processed",
        "reported",
        "run",
        "since",
        "stage",
        "state",
        "status",
        "task",
        "waited",
    )

    def __init__(self, number: int, stage: StageRuntime, run: RunState, failures: Failures) -> None:
        self.number = number
        self.name = worker_name(stage.stage, number)
        self.stage = stage
        self.run = run
        self.failures = failures
        self.task: Task[Any] | None = None
        self.item: PipelineResult | None = None
        self.bound_task: BoundTask | None = None
        self.attempt: Attempt | None = None  # None in the loop without observers, and in between
        self.grant: Grant | None = None  # what its item holds of the stage's limits
        self.is_calling = False  # whether the task's function runs, or waits for its limit
        self.is_interrupted = False  # whether a cancellation of its attempt is to be taken back
        self.calls_without_hooks = False  # so that `attempt` says it; see `is_interruptible`
        self.waited = 0.0  # seconds for which the item waited in front of the stage
        self.processed = 0
        self.reported = 0  # of those, when items that have ended were last counted
        self.failed = 0
        self.since = 0.0
        self.completed_at = 0.0
        self.failed_at = 0.0
        self.state = IDLE
        self._spent = 0.0
        self._working_since = 0.0
        self.status: _StatusText | None = None  # what a task has set
        self._waits: AttemptWaits | None = None

    # Its asyncio task

    @property
    def is_cancelled(self) -> bool:
        """Whether its task has been cancelled."""
        return self.task is not None and self.task.cancelling() > 0

    @property
    def is_cancel_pending(self) -> bool:
        """Whether a cancellation of its task is still to be delivered."""
        return self.task is not None and is_cancellation_pending(self.task)

    @property
    def is_interruptible(self) -> bool:
        """Whether a cancellation now ends the attempt alone: not a hook, and not the worker."""
        if self.calls_without_hooks:
            return self.attempt is None
        return self.is_calling

    @property
    def must_stop(self) -> bool:
        """Whether no further attempt is to be made, at this item or at any."""
        if self.stage.input.closed or (self.task is not None and self.task.cancelling() > 0):
            return True
        item = self.item
        return item is not None and item.details is not None and is_cancelled(item)

    def interrupt(self) -> None:
        """Cancel the attempt that runs; the worker stays."""
        task = self.task
        if task is None or self.is_interrupted:
            return
        task.cancel()
        if self.is_cancel_pending:  # Python 3.13 would not deliver one that is taken back
            self.is_interrupted = True
            get_running_loop().call_soon(self._end_delivered_interrupt)
        else:
            task.uncancel()

    def end_interrupt(self) -> None:
        """Take back the cancellation of an attempt, which has received it."""
        if self.is_interrupted and self.task is not None:
            self.is_interrupted = False
            self.task.uncancel()

    def _end_delivered_interrupt(self) -> None:
        if self.is_interrupted and self.is_cancel_pending:
            get_running_loop().call_soon(self._end_delivered_interrupt)
        else:
            self.end_interrupt()

    def uncancel_swallowed(self) -> None:
        """Take back cancellations that the task's function has swallowed."""
        # A TaskGroup that fails leaves one behind before Python 3.13, and so do timeouts that
        # cancel their task and raise something else. One that is still to be delivered stands.
        task = self.task
        self.end_interrupt()
        if task is not None and task.cancelling() and not self.is_cancel_pending:
            while task.cancelling():
                task.uncancel()

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
        # Snapshots of thousands of workers ask; `max` would be a tenth of their time.
        since, completed = self.since, self.completed_at
        return since if since > completed else completed  # noqa: FURB136

    @property
    def seconds(self) -> float:
        """Seconds spent on items that it is done with."""
        # The present item does not count: the figure belongs beside the number of items done.
        if self.state not in WORKING:
            return self._spent
        return self._spent + max(0.0, self.taken_at - self._working_since)

    def discount_item(self) -> None:
        """Leave out the time spent on the item that it holds, which it has not done."""
        self._spent, self._working_since = self.seconds, self.run.clock()

    def release_limits(self) -> None:
        """Release the limits that its item holds; it has not succeeded."""
        grant, self.grant = self.grant, None
        if grant is not None:
            grant.release(self.run.clock())

    def stop(self) -> None:
        """Hold nothing any more, the run being over."""
        self.item = self.status = self._waits = None
        self._spent = self.seconds
        self.state = IDLE

    def leave(self) -> None:
        """Stop while the run goes on, being one too many; the worker is idle."""
        self.task = None
        heappush(self.stage.stopped, self.number)
        self.stage.counters.add(-1, self.run.clock())
        self.stage.note_surplus()

    # Its attempt

    def attempt_of(self, item: PipelineResult) -> Attempt:
        """Return the numbers of the attempt that is due; those of another stage are not ours."""
        details = item.details
        retry = None if details is None else details.retry
        if retry is None or retry[0] != self.stage.name:
            return FIRST
        _, task, stage, _, _, begun = retry
        return Attempt(task, stage, max(task, stage), begun)

    @property
    def attempt_number(self) -> int:
        """Number of the attempt, from 1: of the task, or of the stage where that is retried."""
        if self.attempt is None:
            return 1 if self.item is None else self.attempt_of(self.item).number
        return self.attempt.number

    @property
    def current_task(self) -> BoundTask:
        """The task that it runs, or else the first of its stage."""
        return self.bound_task or self.stage.tasks[0]

    # What the present task may ask of its worker

    def current_item(self) -> CurrentItem | None:
        """Return the item that it holds."""
        item = self.item
        if item is None:
            return None
        pipeline = self.stage.dispatcher.pipeline
        return CurrentItem(item, self.stage.name, self.attempt_number, pipeline, self.run.state)

    @property
    def status_text(self) -> str:
        """What the task has set, or else its name."""
        item, last, task = self.item, self.status, self.current_task
        if item is None or last is None:
            return task.name
        return last.text if (last.sequence_id, last.task) == (item.sequence_id, task) else task.name

    def set_status_text(self, text: str, min_interval: float) -> bool:
        """Set what the task is at; False if that was done less than `min_interval` seconds ago."""
        item, last, now = self.item, self.status, self.run.clock()
        if item is None:
            return False
        is_same = last is not None and last.sequence_id == item.sequence_id
        if last is not None and is_same and now - last.at < min_interval:
            return False
        self.status = _StatusText(item.sequence_id, self.current_task, text, now)
        return True

    @property
    def waits(self) -> AttemptWaits:
        """The waits inside of its present attempt."""
        attempt = self.present_attempt
        if self._waits is None or self._waits.attempt != attempt:
            self._waits = AttemptWaits(self, attempt)
        return self._waits

    @property
    def present_attempt(self) -> object:
        """Identifies its present attempt; None between two items."""
        item = self.item
        return None if item is None else (item.sequence_id, self.current_task, self.attempt_number)

    def cancel_waits(self) -> None:
        """Cancel the attempt if it waits for a limit; the run is closed."""
        if self._waits is not None:
            self._waits.cancel()


class AttemptWaits:
    """The waits for limits inside of one attempt; its worker is waiting while there is any.

    A task may return and leave something that still waits. The worker then counts as waiting until
    it looks again, which the loop without observers does when its queue is empty.

    Args:
        worker: makes the attempt.
        attempt: identifies the attempt.
    """

    __slots__ = ("_count", "_worker", "attempt")

    def __init__(self, worker: Worker, attempt: object) -> None:
        self.attempt = attempt
        self._worker = worker
        self._count = 0

    @contextmanager
    def mark(self) -> Iterator[None]:
        """Wait inside of this, to be cancelled when the run is closed."""
        self._begin()
        try:
            yield
        finally:
            self._end()

    @contextmanager
    def mark_anywhere(self) -> Iterator[None]:
        """Wait inside of this, as inside `mark`; also in a thread in which the task runs."""
        loop = self._worker.run.loop
        if loop is None or is_running(loop):
            with self.mark():
                yield
            return
        _call_soon(loop, self._begin)
        try:
            yield
        finally:
            _call_soon(loop, self._end)

    def cancel(self) -> None:
        """Cancel the attempt if it waits.

        All of it is cancelled, and not the wait alone, because that may be in a task of the user's,
        where a cancellation need not end the attempt.
        """
        worker = self._worker
        is_waiting = self._count > 0 and self._is_present and worker.state in WORKING
        if is_waiting and worker.task is not None:
            worker.task.cancel()

    def _begin(self) -> None:
        self._count += 1
        worker = self._worker
        if worker.stage.input.closed:
            self.cancel()
        if worker.state == BUSY:
            worker.set_state(WAITING)

    def _end(self) -> None:
        self._count -= 1
        if not self._count and self._is_present and self._worker.state == WAITING:
            self._worker.set_state(BUSY)

    @property
    def _is_present(self) -> bool:
        return self.attempt == self._worker.present_attempt


def _call_soon(loop: AbstractEventLoop, call: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # it is closed, and the task's thread was abandoned
        loop.call_soon_threadsafe(call)
