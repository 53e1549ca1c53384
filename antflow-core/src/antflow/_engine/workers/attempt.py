"""`Attempt`: an item in the hands of a worker, and what its task may ask."""

from __future__ import annotations

from asyncio import Semaphore
from typing import Any, NamedTuple

from antflow._engine.base.outcome import FIRST, AttemptCounts
from antflow._engine.base.run_state import RunState
from antflow._engine.channels.channel import Channel
from antflow._limits.grant import Grant
from antflow.context import CurrentItem
from antflow.results import PipelineResult

from .stage_runtime import StageRuntime, StageTask


class _StatusText(NamedTuple):
    """What a task has set: at which item, in which task, and when on the run's clock."""

    sequence_id: int
    task: StageTask
    text: str
    at: float


class Attempt:
    """An attempt at an item: the task and what it is called with, and what the attempt holds.

    A worker has one, and uses it again for each attempt: an object for each would cost a tenth of a
    no-op item's time.

    Args:
        stage: the stage in this run.
        run: the state of the run.

    Attributes:
        item: the item; None between two items.
        task: the task that is called.
        index: the task's place in the stage.
        value: what the task is called with, and then what it returned.
        counts: which attempt it is; None once the outcome is applied.
        grant: what the item holds of the stage's limits.
        since: when the worker took the item, on the run's clock.
        waited: seconds for which the item waited in front of the stage.
        is_calling: whether the task's function runs, or waits for its limit.
        is_skipped: whether `skip_if` has answered that no task is to be called.
        permit: the limit of the task, while the attempt is inside.
        sent_to: the channel that the item went to, once the outcome is applied.
    """

    __slots__ = (
        "_run",
        "_stage",
        "counts",
        "grant",
        "index",
        "is_calling",
        "is_skipped",
        "item",
        "permit",
        "sent_to",
        "since",
        "status",
        "task",
        "value",
        "waited",
    )

    def __init__(self, stage: StageRuntime, run: RunState) -> None:
        self._stage = stage
        self._run = run
        self.item: PipelineResult | None = None
        self.task: StageTask = stage.tasks[0]
        self.index = 0
        self.value: Any = None
        self.counts: AttemptCounts | None = None
        self.grant: Grant | None = None
        self.since = 0.0
        self.waited = 0.0
        self.is_calling = False
        self.is_skipped = False
        self.permit: Semaphore | None = None
        self.sent_to: Channel = stage.input
        self.status: _StatusText | None = None  # what a task has set

    @property
    def items(self) -> tuple[PipelineResult, ...]:
        """The items that the attempt is made at."""
        return () if self.item is None else (self.item,)

    @property
    def is_first(self) -> bool:
        """Whether the item begins with the first task, and does not skip the stage."""
        return self.counts is not None and self.counts.task == 1 and not self.is_skipped

    def counts_of(self, item: PipelineResult) -> AttemptCounts:
        """Return which attempt at an item is due; those of another stage are not counted."""
        retry = None if item.details is None else item.details.retry
        if retry is None or retry[0] != self._stage.name:
            return FIRST
        _, task, stage, _, _, begun = retry
        return AttemptCounts(task, stage, max(task, stage), begun)

    @property
    def number(self) -> int:
        """Number of the attempt, from 1: of the task, or of the stage where that is retried."""
        if self.counts is not None:
            return self.counts.number
        return 1 if self.item is None else self.counts_of(self.item).number

    @property
    def identity(self) -> object:
        """Equal for the same attempt, and for no other; None between two items."""
        item = self.item
        return None if item is None else (item.sequence_id, self.task, self.number)

    def take_grant(self) -> Grant | None:
        """Return what the item holds of the limits; the attempt holds nothing from now on."""
        grant, self.grant = self.grant, None
        return grant

    def release_permit(self) -> None:
        """Let another attempt at the task begin."""
        permit, self.permit = self.permit, None
        if permit is not None:
            permit.release()

    def clear(self) -> None:
        """Hold no item any more."""
        self.item = self.value = self.counts = None

    # What the task may ask

    def current_item(self) -> CurrentItem | None:
        """Return the item, as the task sees it."""
        if self.item is None:
            return None
        stage = self._stage
        pipeline = stage.dispatcher.pipeline
        return CurrentItem(self.item, stage.name, self.number, pipeline, self._run.state)

    @property
    def status_text(self) -> str:
        """What the task has set, or else its name."""
        item, last, task = self.item, self.status, self.task
        if item is None or last is None:
            return task.name
        return last.text if (last.sequence_id, last.task) == (item.sequence_id, task) else task.name

    def set_status_text(self, text: str, min_interval: float) -> bool:
        """Set what the task is at; False if that was done less than `min_interval` seconds ago."""
        item, last, now = self.item, self.status, self._run.clock()
        if item is None:
            return False
        is_same = last is not None and last.sequence_id == item.sequence_id
        if last is not None and is_same and now - last.at < min_interval:
            return False
        self.status = _StatusText(item.sequence_id, self.task, text, now)
        return True
