"""Plain data that users read: results, statistics and the states of workers."""

from __future__ import annotations

from collections.abc import Callable
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
from .events import ItemView as ItemView
from .events import StatusEvent as StatusEvent
from .events import StatusType as StatusType
from .events import TaskEvent as TaskEvent
from .events import TaskEventType as TaskEventType

T = TypeVar("T")

TaskFunc = Callable[..., Any]
"""A task: a coroutine function, which runs on the loop, or a plain one, which runs in a thread."""

WorkerStatus = Literal["idle", "busy"]
"""Whether a worker holds an item."""

ActivityState = Literal["idle", "busy", "waiting", "blocked"]
"""What a worker's time goes into: input awaited, work, a retry awaited, room downstream awaited."""


class _Rare:
    __slots__ = ("attempts", "carrier", "error", "metadata", "stage")

    def __init__(self) -> None:
        self.metadata: dict[str, Any] = {}
        self.carrier: dict[str, str] = {}
        self.error: BaseException | None = None
        self.stage: str | None = None
        self.attempts = 1


class _Rarely(Generic[T]):
    """An attribute of a result that is kept in its `rare`.

    Args:
        usual: returns its value while the result has no `rare`; None to make the `rare` instead.
    """

    def __init__(self, usual: Callable[[], T] | None = None) -> None:
        self._usual = usual

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, result: None, owner: type) -> Self: ...

    @overload
    def __get__(self, result: _Record, owner: type) -> T: ...

    def __get__(self, result: _Record | None, owner: type) -> Self | T:
        if result is None:
            return self
        if result.rare is None:
            if self._usual is not None:
                return self._usual()
            result.rare = _Rare()
        found: T = getattr(result.rare, self._name)
        return found

    def __set__(self, result: _Record, value: T) -> None:
        if result.rare is None:
            result.rare = _Rare()
        setattr(result.rare, self._name, value)


class _Record:
    """One object an item, from its feeding until it is a result: two would cost more than this.

    Most results have no metadata and no error, and succeeded at the first attempt: what says
    otherwise is kept apart in `rare`. The other three are the engine's, until the item ends.
    """

    __slots__ = ("extra", "priority", "queued_at", "rare")

    rare: _Rare | None
    carrier: _Rarely[dict[str, str]] = _Rarely()


@dataclass(init=False)
class PipelineResult(_Record):
    """What became of one item.

    Args:
        id: the item's own id, else its sequence number.
        value: what the last task returned; of a failure, what entered the stage that failed.
        sequence_id: position in the order in which the items were read, from 0.
        metadata: whatever else came with the item.
        error: what the last attempt raised; None for a success.
        stage: name of the stage that it failed in; None for a success.
        attempts: how many attempts the stage that it ended in made: of the last task, or of the
            stage as a whole where that is what is retried; 0 where the stage skipped it.
    """

    __slots__ = ("id", "sequence_id", "value")

    id: Any
    value: Any
    sequence_id: int
    metadata: _Rarely[dict[str, Any]] = _Rarely()
    error: _Rarely[BaseException | None] = _Rarely(lambda: None)
    stage: _Rarely[str | None] = _Rarely(lambda: None)
    attempts: _Rarely[int] = _Rarely(lambda: 1)

    def __init__(
        self,
        id: Any,  # noqa: A002 - named as users name it
        value: Any,
        sequence_id: int,
        metadata: dict[str, Any] | None = None,
        error: BaseException | None = None,
        stage: str | None = None,
        attempts: int = 1,
    ) -> None:
        self.id = id
        self.value = value
        self.sequence_id = sequence_id
        self.rare = None
        if metadata is not None:
            self.metadata = metadata
        if error is not None:
            self.error = error
        if stage is not None:
            self.stage = stage
        if attempts != 1:
            self.attempts = attempts

    def __copy__(self) -> PipelineResult:
        return replace(self)

    @property
    def is_success(self) -> bool:
        """Whether the item went through every stage."""
        return self.error is None


@dataclass(slots=True)
class UnprocessedItem:
    """An item that was accepted and did not end; feeding it again puts it back at its stage.

    Args:
        id: the item's id.
        value: what entered the stage that it is to be fed to.
        metadata: whatever else came with the item.
        priority: its priority, lower first.
        stage: name of the stage that it did not finish.
        sequence_id: position in the order in which the items were read.
        carrier: what observers attached to it.
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

Every histogram of a run has these.
"""


@dataclass(frozen=True, slots=True)
class Histogram:
    """How often durations fell into each bucket.

    Args:
        bounds: upper bounds in seconds, inclusive, rising.
        counts: observations per bucket, one more than there are bounds: the last has no bound.
        sum: seconds, over all observations; NaN where that is not known.
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

        It lies in the right bucket. Where in it follows from the sum and from the buckets beside
        it; where all is in one bucket, half of it is at the mean.

        Args:
            q: from 0 to 1.

        Returns:
            NaN when nothing was observed; the highest bound for what lies above it.

        Raises:
            ValueError: q is outside 0 to 1.
        """
        if not 0.0 <= q <= 1.0:
            raise ValueError(f"A quantile lies between 0 and 1, not {q!r}")
        return quantile(self.bounds, self.counts, self.sum, q)


@dataclass(frozen=True, slots=True)
class TaskStats:
    """Statistics of one task of a stage.

    Args:
        attempts: attempts that ended.
        failed: attempts that failed with none to follow.
        retried: attempts that failed with another to follow.
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
        pending_items: items that wait in front of it.
        in_progress_items: items that its workers hold.
        completed_items: items that it passed on, those it skipped among them.
        failed_items: items that failed in it.
        capacity: items that may wait in front of it; None if without bound, 0 for a pull stage.
        workers: how many workers are in each state.
        seconds: worker-seconds spent in each state; each only ever rises.
        fed_items: items that entered it, from outside or from the stage before.
        skipped_items: items that it passed on untouched.
        dropped_items: items that it dropped on purpose.
        unprocessed_items: items that were left with it when the run stopped.
        retried_attempts: attempts that were followed by another.
        queue_wait: how long items waited in front of it.
        last_completion: Unix time of the last item that it passed on; None before the first.
        errors_by_type: failed items by exception class; past 50 classes, the rest as "other".
        tasks: statistics per task, by the task's name.
        abandoned_threads: threads that still run a plain function whose attempt was cancelled.
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


@dataclass(frozen=True, slots=True)
class PipelineStats:
    """Statistics of one run.

    At any moment `items_fed` is the sum of `items_processed`, `items_failed`, `items_dropped`,
    `items_unprocessed` and `items_outstanding`.

    Args:
        items_processed: items that went through every stage.
        items_failed: items that failed.
        items_in_flight: items that wait in front of a stage or are held by a worker.
        queue_sizes: items that wait in front of each stage.
        stage_stats: statistics by stage name.
        items_fed: items that were accepted.
        items_dropped: items dropped on purpose.
        items_unprocessed: items left over when the run stopped.
        items_outstanding: items accepted that have not ended.
        run_id: names the run, uniquely in this process, as its events do.
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


@dataclass(slots=True)
class WorkerState:
    """What one worker does now.

    Args:
        worker_name: the worker's name, `{stage}-W{number}`.
        stage: its stage's name.
        status: whether it holds an item; who waits for room has handed its item on, and is idle
            here, unless it waits for a pull stage.
        current_item_id: that item's id.
        current_task: what the task says of itself, else the task's name.
        processing_since: Unix time at which the worker took the item.
        task_name: name of the task that runs.
        attempt: number of the attempt, from 1.
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
    """What one worker has done.

    Args:
        worker_name: the worker's name.
        stage: its stage's name.
        items_processed: items that it passed on.
        items_failed: items that failed in its hands.
        total_processing_time: seconds spent on items.
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
        """Seconds per item passed on; 0 before the first."""
        return self.total_processing_time / self.items_processed if self.items_processed else 0.0


@dataclass(frozen=True, slots=True)
class FailedItem:
    """One item that failed.

    Args:
        item_id: the item's id.
        error: the error as text.
        error_type: name of its class.
        stage: name of the stage that it failed in.
        attempts: how many attempts were made: of the task, or of the stage as a whole where that
            is what is retried.
        timestamp: Unix time.
    """

    item_id: Any
    error: str
    error_type: str
    stage: str
    attempts: int
    timestamp: float


@dataclass(frozen=True, slots=True)
class ErrorSummary:
    """What failed, in total and in detail.

    Args:
        total_failed: number of items that failed.
        errors_by_type: failed items by exception class.
        errors_by_stage: failed items by stage.
        failed_items: the items, in the order in which they failed.
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
        return "\n".join(parts)


def _most_first(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda entry: -entry[1])


@dataclass(frozen=True, slots=True)
class DashboardSnapshot:
    """The whole state of a run at one moment.

    Args:
        worker_states: what each worker does, by its name.
        worker_metrics: what each worker has done, by its name.
        pipeline_stats: the statistics of the run.
        error_summary: what failed; of the items, the latest 1,000 at most.
        timestamp: Unix time.
    """

    worker_states: dict[str, WorkerState]
    worker_metrics: dict[str, WorkerMetrics]
    pipeline_stats: PipelineStats
    error_summary: ErrorSummary
    timestamp: float


@runtime_checkable
class DashboardProtocol(Protocol):
    """A display of a run: any object with these three methods, each plain or a coroutine function.

    They are called on the event loop, one at a time. One that raises is logged, and the dashboard
    is not called again; the run goes on.

    A fourth one, `on_exit()`, is optional: it gives back what the dashboard has taken, such as the
    terminal, where the process ends while a task holds the event loop, so that there is no
    `on_finish`. It is called in a thread of its own, maybe while another method is under way, and
    waited for a second at most.
    """

    def on_start(self, pipeline: Any, total_items: int | None) -> Any:
        """Begin.

        Args:
            pipeline: the Pipeline.
            total_items: how many items there are; None where the input does not say.
        """

    def on_update(self, snapshot: DashboardSnapshot) -> Any:
        """Show the present state: at once after `on_start`, then regularly, and at the end."""

    def on_finish(self, results: list[PipelineResult], summary: ErrorSummary) -> Any:
        """End, however the run ended.

        Args:
            results: the successes that are kept, in input order; none of a stream.
            summary: what failed.
        """
