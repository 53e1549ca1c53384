"""Plain data that users read: results, statistics and the states of workers."""

from __future__ import annotations

from asyncio import CancelledError, Future
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import (
    Any,
    Generic,
    Literal,
    Protocol,
    Self,
    TypeVar,
    overload,
    runtime_checkable,
)

from ._quantile import quantile
from ._tracebacks import location, raise_kept
from .events import ItemView as ItemView
from .events import StatusEvent as StatusEvent
from .events import StatusType as StatusType
from .events import TaskEvent as TaskEvent
from .events import TaskEventType as TaskEventType
from .exceptions import ItemDroppedError, as_exception
from .items import Item as Item

T = TypeVar("T")

TaskFunc = Callable[..., Any]
"""A task: a coroutine function runs on the event loop, a plain function in a thread."""

WorkerStatus = Literal["idle", "busy"]
"""Whether a worker holds an item."""

ActivityState = Literal["idle", "busy", "waiting", "blocked"]
"""What a worker does: it has no item; works, in a task or a hook; waits, because no item that is
there may start, or for a limit in a task; or is blocked, because the next stage has no room."""

ItemOutcome = Literal["succeeded", "failed", "dropped", "expanded"]
"""How an item ended: it went through, failed, was dropped on purpose, or became other items."""


Retry = tuple[str, int, int, int, Any]
"""The stage that tries an item again, the numbers of the task's and the stage's attempt that are
due, which task of the stage is due, and its input if it is not the first. A plain tuple: Python's
garbage collector leaves those alone."""


class ItemDetails:
    """What most items do without; made on first use.

    `carrier`, `metadata`, `error`, `stage` and `reason` belong to the result; so does `ended`, the
    outcome where it does not follow from the error. `attempts` were made by the stage named
    `attempted_by`. The others belong to the engine: `retry` says where the item resumes, `due_in`
    in which channel it precedes fresh items, `reply` who waits for its result.
    """

    __slots__ = (
        "attempted_by",
        "attempts",
        "carrier",
        "due_in",
        "ended",
        "error",
        "metadata",
        "reason",
        "reply",
        "retry",
        "stage",
    )

    def __init__(self) -> None:
        self.metadata: dict[str, Any] | None = None
        self.carrier: dict[str, str] | None = None
        self.error: BaseException | None = None
        self.stage: str | None = None
        self.reason: str | None = None
        self.ended: ItemOutcome | None = None
        self.attempts = 1
        self.attempted_by: str | None = None
        self.retry: Retry | None = None
        self.due_in: int | None = None
        self.reply: Future[PipelineResult] | None = None


class _Detail(Generic[T]):
    """An attribute of a result that is kept in its `details`.

    Args:
        default: returns its value while the result has none.
        is_kept: whether that is kept then, because it can be changed.
    """

    def __init__(self, default: Callable[[], T], *, is_kept: bool = False) -> None:
        self._default = default
        self._is_kept = is_kept

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, result: None, owner: type) -> Self: ...

    @overload
    def __get__(self, result: _Record, owner: type) -> T: ...

    def __get__(self, result: _Record | None, owner: type) -> Self | T:
        if result is None:
            return self
        found: T | None = None
        if result.details is not None:
            found = getattr(result.details, self._name)
        if found is None:
            found = self._default()
            if self._is_kept:
                self.__set__(result, found)
        return found

    def __set__(self, result: _Record, value: T) -> None:
        setattr(result.get_details(), self._name, value)


class _OutcomeOfResult:
    """The outcome, which is kept only where it does not follow from the error."""

    @overload
    def __get__(self, result: None, owner: type) -> Self: ...

    @overload
    def __get__(self, result: _Record, owner: type) -> ItemOutcome: ...

    def __get__(self, result: _Record | None, owner: type) -> Self | ItemOutcome:
        if result is None:
            return self
        details = result.details
        if details is None:
            return "succeeded"
        return details.ended or ("succeeded" if details.error is None else "failed")

    def __set__(self, result: _Record, outcome: ItemOutcome) -> None:
        if outcome in ("dropped", "expanded"):
            result.get_details().ended = outcome
        elif result.details is not None:
            result.details.ended = None


class _Record:
    """One object per item, from its feeding until it is a result.

    A second object, or a garbage-collected attribute that most items do without, costs wide
    pipelines 0.2 to 0.4 microseconds an item.
    """

    __slots__ = ("details", "priority", "queued_at")

    details: ItemDetails | None
    priority: int  # missing where no run has made the result
    queued_at: float
    carrier: _Detail[dict[str, str]] = _Detail(dict, is_kept=True)

    def get_details(self) -> ItemDetails:
        """Return the details, made on first use."""
        if self.details is None:
            self.details = ItemDetails()
        return self.details


@dataclass(init=False)
class PipelineResult(_Record):
    """The result of one item.

    Args:
        id: the item's own id; if it has none, its sequence number.
        value: the value that the last task returned; for a failure, the value that entered the
            stage in which the item failed.
        sequence_id: position in the order in which the items were read, from 0.
        metadata: the metadata that came with the item.
        error: the exception of the last attempt; None for a success.
        stage: name of the stage in which the item failed; None for a success.
        attempts: attempts made in the item's last stage: at its last task, or, with
            `retry="per_stage"`, at the whole stage; 0 if the stage skipped the item.
        outcome: "succeeded", "failed", "dropped" or "expanded"; None for what follows from
            `error`.
        reason: why the item was dropped; None for others.
    """

    __slots__ = ("id", "sequence_id", "value")

    id: Any
    value: Any
    sequence_id: int
    metadata: _Detail[dict[str, Any]] = _Detail(dict, is_kept=True)
    error: _Detail[BaseException | None] = _Detail(lambda: None)
    stage: _Detail[str | None] = _Detail(lambda: None)
    attempts: _Detail[int] = _Detail(lambda: 1)
    outcome: _OutcomeOfResult = _OutcomeOfResult()
    reason: _Detail[str | None] = _Detail(lambda: None)

    def __init__(
        self,
        id: Any,  # noqa: A002 - named as users name it
        value: Any,
        sequence_id: int,
        metadata: dict[str, Any] | None = None,
        error: BaseException | None = None,
        stage: str | None = None,
        attempts: int = 1,
        outcome: ItemOutcome | None = None,
        reason: str | None = None,
    ) -> None:
        self.id = id
        self.value = value
        self.sequence_id = sequence_id
        self.details = None
        if metadata is not None:
            self.metadata = metadata
        if error is not None:
            self.error = error
        if stage is not None:
            self.stage = stage
        if attempts != 1:
            self.attempts = attempts
        if outcome is not None:
            self.outcome = outcome
        if reason is not None:
            self.reason = reason

    def __copy__(self) -> PipelineResult:
        copied = replace(self)
        if self.details is not None and self.details.carrier:
            copied.carrier = self.carrier
        if hasattr(self, "priority"):  # of a result that a run has made
            copied.priority = self.priority
        return copied

    @property
    def is_success(self) -> bool:
        """Whether the item went through every stage."""
        return self.outcome == "succeeded"

    @property
    def location(self) -> str | None:
        """Where your code failed: the innermost frame of your own, as "fetch.py:4, in fetch".

        It is None for a success, and for an error that was raised outside of your code.
        """
        return None if self.error is None else location(self.error)

    def unwrap(self) -> Any:
        """Return the value of a success, or raise what kept the item from having one.

        Raises:
            ItemDroppedError: the item was dropped.
            TaskFailedError: a task raised CancelledError, which is the cause of this error; raised
                itself, it would look like a cancellation of the caller.
            BaseException: the error of the item.
        """
        if self.outcome == "dropped":
            raise ItemDroppedError(
                f"Item {self.id!r} was dropped ({self.reason or 'no reason given'}), so it has no "
                'value; look at its outcome, which is "dropped", before you unwrap it',
                reason=self.reason,
            )
        if isinstance(self.error, CancelledError):
            raise as_exception(self.error, self.stage)
        if self.error is not None:
            raise_kept(self.error)
        return self.value


@dataclass(slots=True)
class UnprocessedItem:
    """An item that was accepted but did not end; feeding it again puts it back at its stage.

    Args:
        id: the item's id.
        value: the value with which the item entered, or was to enter, `stage`.
        metadata: the metadata that came with the item.
        priority: the item's priority; lower goes first.
        stage: name of the stage that the item did not finish.
        sequence_id: position in the order in which the items were read, from 0.
        carrier: text that observers attached to the item, such as trace context.
    """

    id: Any
    value: Any
    metadata: dict[str, Any]
    priority: int
    stage: str
    sequence_id: int
    carrier: dict[str, str] = field(default_factory=dict)


DURATION_BOUNDS: tuple[float, ...] = (
    *(step * 10.0**decade for decade in range(-5, 3) for step in (1.0, 2.5, 5.0)),
    1000.0,
)
"""Upper bounds in seconds, inclusive: 1-2.5-5 in each decade from 10 microseconds to 1,000 s.

Every histogram of a run has these bounds.
"""


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many durations fell into each bucket.

    Args:
        bounds: upper bounds of the buckets in seconds, inclusive, in rising order.
        counts: observations in each bucket; there is one more than there are bounds, for the
            durations above the highest bound.
        sum: sum of all observed durations in seconds; NaN if it is not known.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float

    @property
    def count(self) -> int:
        """Number of observations."""
        return sum(self.counts)

    def quantile(self, q: float) -> float:
        """Estimate a quantile in seconds.

        The estimate lies in the right bucket; its place there is computed from the sum and the
        neighbouring buckets. If all observations are in one bucket, the median is their mean.

        Args:
            q: the quantile, from 0 to 1; 0.5 is the median.

        Returns:
            Seconds; NaN if nothing was observed. An estimate above the highest bound is cut down
            to it.

        Raises:
            ValueError: `q` is not from 0 to 1.
        """
        if not 0.0 <= q <= 1.0:
            raise ValueError(f"A quantile lies between 0 and 1, not {q!r}")
        return quantile(self.bounds, self.counts, self.sum, q)


@dataclass(frozen=True, slots=True)
class TaskStats:
    """Statistics of one task of a stage.

    Args:
        attempts: attempts that ended.
        failed: attempts that failed and after which no other was due.
        retried: attempts that failed and for which another was due.
        duration: how long the attempts took.
    """

    attempts: int
    failed: int
    retried: int
    duration: Histogram


@dataclass(frozen=True, slots=True)
class StageStats:
    """Statistics of one stage.

    Args:
        stage_name: the stage's name.
        pending_items: items that wait in front of the stage for a worker.
        in_progress_items: items that its workers hold.
        completed_items: items that it passed on, including those that it skipped.
        failed_items: items that failed in it.
        capacity: how many items may wait in front of it; None for no limit, 0 for a pull stage.
        workers: how many workers are in each state.
        seconds: seconds of work time in each state, added up over the workers; they never fall.
        fed_items: items that entered it, from outside or from the stage before.
        skipped_items: items that it passed on unchanged, because of `skip_if`.
        dropped_items: items that it dropped on purpose.
        unprocessed_items: items that it had not finished when the run stopped.
        retried_attempts: attempts that failed and for which another was due.
        queue_wait: how long items waited in front of it; an item that is tried again waits anew,
            from the moment when it is due.
        last_completion: Unix time of the last item that it passed on; None before the first.
        errors_by_type: failed items by exception class; beyond 50 classes, the rest is "other".
        tasks: statistics of each task, by the task's name.
        abandoned_threads: threads that still run a plain function whose attempt was cancelled, or
            that are still inside an input of the stage that is not read any more.
        parked_items: items that wait until their next attempt is due; they are neither pending nor
            in progress.
        limit_wait_share: of the seconds of `waiting`, the share in which a worker held an item, for
            which it waited for a limit or a rate; in the rest, items were parked. 1 without any.
    """

    stage_name: str
    pending_items: int
    in_progress_items: int
    completed_items: int
    failed_items: int
    capacity: int | None = None
    workers: dict[ActivityState, int] = field(default_factory=dict)
    seconds: dict[ActivityState, float] = field(default_factory=dict)
    fed_items: int = 0
    skipped_items: int = 0
    dropped_items: int = 0
    unprocessed_items: int = 0
    retried_attempts: int = 0
    queue_wait: Histogram = Histogram((), (0,), 0.0)
    last_completion: float | None = None
    errors_by_type: dict[str, int] = field(default_factory=dict)
    tasks: dict[str, TaskStats] = field(default_factory=dict)
    abandoned_threads: int = 0
    parked_items: int = 0
    limit_wait_share: float = 1.0


@dataclass(frozen=True, slots=True)
class PipelineStats:
    """Statistics of one run.

    At any moment `items_fed` is the sum of `items_processed`, `items_failed`, `items_dropped`,
    `items_unprocessed` and `items_outstanding`.

    Args:
        items_processed: items that went through every stage.
        items_failed: items that failed.
        items_in_flight: items that wait in front of a stage, are parked or are held by a worker.
        queue_sizes: how many items wait in front of each stage, by the stage's name.
        stage_stats: statistics of each stage, by the stage's name.
        items_fed: items that were accepted.
        items_dropped: items that were dropped on purpose.
        items_unprocessed: items that had not ended when the run stopped.
        items_outstanding: items that were accepted and have not ended yet.
        run_id: identifies the run in this process; the run's events have the same one.
    """

    items_processed: int
    items_failed: int
    items_in_flight: int
    queue_sizes: dict[str, int]
    stage_stats: dict[str, StageStats] = field(default_factory=dict)
    items_fed: int = 0
    items_dropped: int = 0
    items_unprocessed: int = 0
    items_outstanding: int = 0
    run_id: str = ""

    @property
    def bottleneck(self) -> str | None:
        """Name of the stage that holds up the others, judged by the whole run; None if none does.

        `find_bottleneck` has the definition.
        """
        return find_bottleneck(self.stage_stats.values())


BOTTLENECK_LOAD = 0.7
"""From this share of their time on, workers that are at work make their stage a bottleneck."""

SIMILAR_LOAD = 0.05
"""Two stages whose loads differ by less than this are about equally loaded."""


def find_bottleneck(stages: Iterable[StageStats]) -> str | None:
    """Return the name of the stage that holds up the others, or None.

    The load of a stage is the share of its workers' time in which they are busy or, while items
    are pending, wait for a limit or a rate. The stage with the highest load is the bottleneck if
    its load is at least 0.7; of several whose loads are within 0.05, it is the one with the fullest
    queue.

    Args:
        stages: the stages; the seconds of each state may be those of a shorter time than the run.
    """
    loads = [(_load(stage), stage) for stage in stages]
    highest = max((load for load, _ in loads), default=0.0)
    if len(loads) < 2 or highest < BOTTLENECK_LOAD:
        return None
    loaded = [stage for load, stage in loads if load >= highest - SIMILAR_LOAD]
    return max(loaded, key=_fullness).stage_name


def _load(stage: StageStats) -> float:
    seconds, total = stage.seconds, sum(stage.seconds.values())
    at_work = seconds.get("busy", 0.0)
    if stage.pending_items:
        at_work += seconds.get("waiting", 0.0) * stage.limit_wait_share
    return at_work / total if total else 0.0


def _fullness(stage: StageStats) -> float:
    """Return how full a queue is; one without a bound is full if it holds anything."""
    capacity = stage.capacity
    return stage.pending_items / capacity if capacity else float(stage.pending_items > 0)


@dataclass(slots=True)
class WorkerState:
    """The present state of one worker.

    Args:
        worker_name: the worker's name, `{stage}-W{number}`.
        stage: its stage's name.
        status: whether it holds an item; a worker that waits for room has already handed its item
            on, so it counts as idle, unless it waits for a pull stage.
        current_item_id: id of the item that it holds.
        current_task: the text that the task has set with `set_task_status`, or else the task's
            name.
        processing_since: Unix time at which the worker took the item.
        task_name: name of the running task.
        attempt: number of the running attempt, from 1.
    """

    worker_name: str
    stage: str
    status: WorkerStatus
    current_item_id: Any = None
    current_task: str | None = None
    processing_since: float | None = None
    task_name: str | None = None
    attempt: int | None = None


@dataclass(slots=True)
class WorkerMetrics:
    """The counts and times of one worker.

    Args:
        worker_name: the worker's name.
        stage: its stage's name.
        items_processed: items that it passed on.
        items_failed: items that failed while it worked on them.
        total_processing_time: seconds that it spent on items.
        last_active: Unix time at which it last finished an item; None before the first.
    """

    worker_name: str
    stage: str
    items_processed: int = 0
    items_failed: int = 0
    total_processing_time: float = 0.0
    last_active: float | None = None

    @property
    def avg_processing_time(self) -> float:
        """Mean seconds per item that it passed on; 0 before the first."""
        return self.total_processing_time / self.items_processed if self.items_processed else 0.0


@dataclass(frozen=True, slots=True)
class FailedItem:
    """One item that failed.

    Args:
        item_id: the item's id.
        error: the text of the exception.
        error_type: name of the exception's class.
        stage: name of the stage in which the item failed.
        attempts: attempts made: at the task that failed, or, with `retry="per_stage"`, at the
            whole stage.
        timestamp: Unix time of the failure.
        location: your innermost frame, as "fetch.py:4, in fetch"; None if there is none.
    """

    item_id: Any
    error: str
    error_type: str
    stage: str
    attempts: int
    timestamp: float
    location: str | None = None


@dataclass(frozen=True, slots=True)
class ErrorSummary:
    """The failures of a run: counts and details.

    Args:
        total_failed: number of items that failed.
        errors_by_type: number of failed items by the name of the exception's class.
        errors_by_stage: number of failed items by the name of the stage.
        failed_items: details of each item, in the order in which they failed.
    """

    total_failed: int
    errors_by_type: dict[str, int]
    errors_by_stage: dict[str, int]
    failed_items: list[FailedItem]

    def __str__(self) -> str:
        if not self.total_failed:
            return "No errors occurred"
        parts = [f"{self.total_failed} failed items"]
        for title, counts in ("By type", self.errors_by_type), ("By stage", self.errors_by_stage):
            if counts:
                parts += ["", f"{title}:"]
                parts += [f"  {name}: {count}" for name, count in _most_first(counts)]
        places = Counter(item.location for item in self.failed_items if item.location is not None)
        if places:
            parts += ["", "By location:"]
            parts += [f"  {name}: {count}" for name, count in places.most_common(_MOST_LOCATIONS)]
            if (more := len(places) - _MOST_LOCATIONS) > 0:
                parts.append(f"  ({more} more)")
        return "\n".join(parts)


_MOST_LOCATIONS = 5


def _most_first(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda entry: -entry[1])


@dataclass(frozen=True, slots=True)
class DashboardSnapshot:
    """The whole state of a run at one moment.

    Args:
        worker_states: the present state of each worker, by the worker's name.
        worker_metrics: the counts and times of each worker, by the worker's name.
        pipeline_stats: the statistics of the run.
        error_summary: the failures; the details cover the latest 1,000 at most.
        timestamp: Unix time of the snapshot.
        input_fraction: share of the input that has been read, from 0 to 1; None if the input does
            not say. An input says it with a method `fraction_read()`.
    """

    worker_states: dict[str, WorkerState]
    worker_metrics: dict[str, WorkerMetrics]
    pipeline_stats: PipelineStats
    error_summary: ErrorSummary
    timestamp: float
    input_fraction: float | None = None


@runtime_checkable
class DashboardProtocol(Protocol):
    """A display of a run: any object with these three methods, each plain or a coroutine function.

    They are called on the event loop, one at a time. If one raises an exception, that is logged,
    and the dashboard is not called again; the run goes on.

    A fourth method, `on_exit()`, is optional. It is called instead of `on_finish` if the process
    ends while a task holds the event loop: restore there what the dashboard has taken, such as the
    terminal. It is called in a thread of its own, maybe while another method is running, and the
    process waits for it for one second at most.
    """

    def on_start(self, pipeline: Any, total_items: int | None) -> Any:
        """Begin to show a run.

        Args:
            pipeline: the Pipeline.
            total_items: how many items there are; None if the input has no length.
        """

    def on_update(self, snapshot: DashboardSnapshot) -> Any:
        """Show the present state: right after `on_start`, then regularly, and at the end.

        Args:
            snapshot: the state of the run.
        """

    def on_finish(self, results: list[PipelineResult], summary: ErrorSummary) -> Any:
        """Stop showing the run; called however the run ended.

        Args:
            results: the successes that are kept, in input order; empty for a stream.
            summary: the failures.
        """
