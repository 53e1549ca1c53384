"""The state of one worker: its asyncio task, how its time goes, and the waits of its attempt."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Task, get_running_loop
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from heapq import heappush
from typing import Any

from antflow._cancellation import is_cancellation_pending
from antflow._engine.base.run_state import RunState
from antflow._engine.channels.channel import is_cancelled
from antflow._engine.limiting.limit_waiter import is_running
from antflow._stats.counters import BUSY, IDLE, WAITING

from .attempt import Attempt
from .failures import Failures
from .stage_runtime import StageRuntime, worker_name

WORKING = (BUSY, WAITING)
"""The states of a worker that holds an item which it is not done with."""


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
        "completed_at",
        "failed",
        "failed_at",
        "failures",
        "is_interrupted",
        "name",
        "number",
        "processed",
        "reported",
        "run",
        "stage",
        "state",
        "task",
    )

    def __init__(self, number: int, stage: StageRuntime, run: RunState, failures: Failures) -> None:
        self.number = number
        self.name = worker_name(stage.stage, number)
        self.stage = stage
        self.run = run
        self.failures = failures
        self.task: Task[Any] | None = None
        self.attempt = Attempt(stage, run)
        self.is_interrupted = False  # whether a cancellation of its attempt is to be taken back
        self.processed = 0
        self.reported = 0  # of those, to the edge
        self.failed = 0
        self.completed_at = 0.0
        self.failed_at = 0.0
        self.state = IDLE
        self._spent = 0.0
        self._working_since = 0.0
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
    def must_stop(self) -> bool:
        """Whether no further attempt is to be made, at this item or at any."""
        if self.stage.input.closed or (self.task is not None and self.task.cancelling() > 0):
            return True
        item = self.attempt.item
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
        since, completed = self.attempt.since, self.completed_at
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
        grant = self.attempt.take_grant()
        if grant is not None:
            grant.release(self.run.clock())

    def stop(self) -> None:
        """Hold nothing any more, the run being over."""
        self.attempt.clear()
        self.attempt.status = self._waits = None
        self._spent = self.seconds
        self.state = IDLE

    def leave(self) -> None:
        """Stop while the run goes on, being one too many; the worker is idle."""
        self.task = None
        heappush(self.stage.stopped, self.number)
        self.stage.counters.add(-1, self.run.clock())
        self.stage.note_surplus()

    # Waits inside of its attempt

    @property
    def waits(self) -> AttemptWaits:
        """The waits inside of its present attempt."""
        attempt = self.attempt.identity
        if self._waits is None or self._waits.attempt != attempt:
            self._waits = AttemptWaits(self, attempt)
        return self._waits

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
        return self.attempt == self._worker.attempt.identity


def _call_soon(loop: AbstractEventLoop, call: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # it is closed, and the task's thread was abandoned
        loop.call_soon_threadsafe(call)
