"""What one worker holds and is at, as its tasks, its run and readers may ask."""

from __future__ import annotations

from asyncio import Task
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

from ._accounting import BLOCKED, BUSY, IDLE, WAITING
from ._item import ItemRecord
from ._limits import Limits
from ._stage_run import StageRun, Step
from ._turn import Turns
from .context import CurrentItem
from .types import WorkerMetrics, WorkerState

WORKING = (BUSY, WAITING)
"""The states of a worker that holds an item which it is not done with."""


class RunForWorker(Protocol):
    """What a worker asks of its run."""

    clock: Callable[[], float]
    turns: Turns
    outer_worker: object | None

    def ended(self, items: int) -> None:
        """Learn that so many items more have ended."""

    def note_failure(self) -> None:
        """See whether too many items have failed; asked after each that does."""

    def check(self) -> None:
        """See whether everything is done; asked by who has nothing left to do."""

    async def pause(self, seconds: float) -> bool:
        """Wait; False when the run was closed before the time was over."""

    def abort(self, error: BaseException | None = None) -> None:
        """End the run at once."""

    def lose_worker(self, worker_name: str) -> None:
        """Learn that a worker is being cancelled; unless the run does that, it has to end."""


_Attempt = tuple[int, Step, int]
"""Which attempt: the item's sequence number, the task, and the number of the attempt."""


class _Remark(NamedTuple):
    """What a task said of itself: at which item, in which task, and when on the run's clock."""

    sequence_id: int
    step: Step
    text: str
    at: float


class Desk:
    """What a worker holds, how its time goes, and what its tasks say and wait for.

    Args:
        name: names the worker.
        post: the stage in this run.
        run: the run.
    """

    __slots__ = (
        "_remark",
        "_spent",
        "_took_up_at",
        "_waits",
        "_waits_of",
        "activity",
        "attempt",
        "completed_at",
        "failed",
        "failed_at",
        "is_cut_short",
        "item",
        "name",
        "post",
        "processed",
        "run",
        "since",
        "step",
        "task",
    )

    def __init__(self, name: str, post: StageRun, run: RunForWorker) -> None:
        self.name = name
        self.post = post
        self.run = run
        self.item: ItemRecord | None = None
        self.step: Step | None = None
        self.attempt = 1
        self.since = 0.0
        self.completed_at = 0.0
        self.failed_at = 0.0
        self.processed = 0
        self.failed = 0
        self.activity = IDLE
        self.task: Task[Any] | None = None
        self.is_cut_short = False
        self._spent = 0.0
        self._took_up_at = 0.0
        self._remark: _Remark | None = None
        self._waits = 0
        self._waits_of: _Attempt | None = None

    # How its time goes

    def turn_to(self, activity: int) -> float:
        """Change to another activity, and return the time."""
        now = self.run.clock()
        if activity != self.activity:
            self.post.account.move(self.activity, activity, now)
            works = activity in WORKING
            if works != (self.activity in WORKING):
                if not works:
                    self._spent += now - self._took_up_at
                self._took_up_at = now
            self.activity = activity
        return now

    @property
    def taken_at(self) -> float:
        """When the worker took the item that it holds, on the run's clock."""
        return max(self.since, self.completed_at)

    @property
    def seconds(self) -> float:
        """Seconds spent on items that it is done with, the waits between attempts included."""
        if self.activity not in WORKING:
            return self._spent
        return self._spent + max(0.0, self.taken_at - self._took_up_at)

    def retire(self) -> None:
        """Hold nothing any more, the run being over."""
        self.item = self._remark = None
        self._spent = self.seconds
        self.activity = IDLE

    # What readers are shown

    def state(self, to_unix: float) -> WorkerState:
        """Return what the worker does now.

        Args:
            to_unix: turns a time on the run's clock into Unix time, when added.
        """
        item, last, post = self.item, self._remark, self.post
        has_handed_on = self.activity == BLOCKED and not post.keeps_items
        if item is None or has_handed_on:
            return WorkerState(self.name, post.name, "idle")
        step = self.step or post.steps[0]
        task = said = step.name
        if last is not None and last.sequence_id == item.sequence_id and last.step is step:
            said = last.text
        return WorkerState(
            self.name,
            post.name,
            "busy",
            item.id,
            said,
            self.taken_at + to_unix,
            task,
            self.attempt_number,
        )

    def metrics(self, to_unix: float) -> WorkerMetrics:
        """Return what the worker has done.

        Args:
            to_unix: as for `state`.
        """
        processed, failed = self.processed, self.failed
        last = max(self.completed_at, self.failed_at) + to_unix if processed or failed else None
        return WorkerMetrics(self.name, self.post.name, processed, failed, self.seconds, last)

    # What the present task may ask of its worker

    @property
    def limits(self) -> Limits:
        """The limits of its stage."""
        return self.post.limits

    @property
    def stage_name(self) -> str:
        """Its stage's name."""
        return self.post.name

    @property
    def attempt_number(self) -> int:
        """Number of the attempt, from 1: of the task, or of the stage where that is retried."""
        item = self.item
        extra = None if item is None else item.extra
        return self.attempt if extra is None else max(self.attempt, extra.stage_attempt)

    def current_item(self) -> CurrentItem | None:
        """Return the item that it holds."""
        item = self.item
        if item is None:
            return None
        pipeline = self.post.notifier.pipeline
        return CurrentItem(item, self.post.name, self.attempt_number, pipeline)

    def say(self, text: str, min_interval: float) -> bool:
        """Say what it is at; False if that was done less than `min_interval` seconds ago."""
        item, last, now = self.item, self._remark, self.run.clock()
        if item is None:
            return False
        is_same = last is not None and last.sequence_id == item.sequence_id
        if last is not None and is_same and now - last.at < min_interval:
            return False
        self._remark = _Remark(item.sequence_id, self.step or self.post.steps[0], text, now)
        return True

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Wait for a limit inside of this, to be cut short when the run is closed.

        A task may return and leave something that still waits. The worker then counts as waiting
        until it looks again, which the plain path does when its queue is empty.
        """
        attempt = self._present_attempt()
        if attempt != self._waits_of:  # what an earlier one left behind does not count
            self._waits_of, self._waits = attempt, 0
        self._waits += 1
        if self.post.inbox.closed:
            self.cut_short()
        if self.activity == BUSY:
            self.turn_to(WAITING)
        try:
            yield
        finally:
            if attempt == self._waits_of:
                self._waits -= 1
                if not self._waits and attempt == self._present_attempt():
                    self.resume()

    def resume(self) -> None:
        """Be busy again, if the worker counts as waiting."""
        if self.activity == WAITING:
            self.turn_to(BUSY)

    def _present_attempt(self) -> _Attempt | None:
        item = self.item
        if item is None:
            return None
        return item.sequence_id, self.step or self.post.steps[0], self.attempt_number

    def cut_short(self) -> None:
        """Cancel the attempt that waits for a limit, if one does.

        All of it is cancelled, and not the wait alone, because that may be in a task of the user's,
        where a cancellation need not end the attempt.
        """
        is_waiting = self._waits and self._waits_of == self._present_attempt()
        if is_waiting and self.task and self.activity in WORKING and not self.is_cut_short:
            self.is_cut_short = True
            self.task.cancel()
