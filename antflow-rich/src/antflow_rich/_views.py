"""Views: everything a display shows of a run at one moment, as plain numbers and texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from antflow.stats import ActivityState

STATES: tuple[ActivityState, ...] = ("busy", "waiting", "blocked", "idle")
"""The states of a worker, in the order in which a bar shows them."""

Shares = tuple[float, float, float, float]
"""Shares of the workers' time in each of `STATES`; they add up to 1, or to 0 for no time."""


@dataclass(frozen=True, slots=True)
class ItemCounts:
    """The items of a run.

    Args:
        total: expected number of items; None if unknown.
        fed: items accepted so far.
        succeeded: items that went through every stage.
        failed: items that failed.
        dropped: items dropped on purpose.
        unprocessed: items left over when the run stopped.
        input_fraction: share of the input that has been read, from 0 to 1; None if unknown.
    """

    total: int | None = None
    fed: int = 0
    succeeded: int = 0
    failed: int = 0
    dropped: int = 0
    unprocessed: int = 0
    input_fraction: float | None = None

    @property
    def done(self) -> int:
        """Items that have ended, without those that a stopped run left over."""
        return self.succeeded + self.failed + self.dropped

    @property
    def remaining(self) -> int:
        """Items that have not ended, as far as is known."""
        return max((self.fed if self.total is None else self.total) - self.done, 0)

    @property
    def share(self) -> float | None:
        """The share that is done, from 0 to 1; None if unknown.

        Without a total, it is the share of the input that has been read, less the items in flight.
        """
        if self.total is not None:
            return min(self.done / self.total, 1.0) if self.total else 1.0
        if self.input_fraction is None:
            return None
        return self.input_fraction * (min(self.done / self.fed, 1.0) if self.fed else 1.0)

    @property
    def expected(self) -> float | None:
        """Items that have still to end, estimated where there is no total; None if unknown."""
        if self.total is not None:
            return self.remaining
        share = self.share
        return self.done / share - self.done if share else None


@dataclass(frozen=True, slots=True)
class LimitWait:
    """Items of a stage that wait for a limit.

    Args:
        name: name of the limit.
        items: how many wait.
        paused: seconds until the limit's pause ends; None if it is not paused.
    """

    name: str
    items: int
    paused: float | None = None


@dataclass(frozen=True, slots=True)
class StageView:
    """One stage.

    Args:
        name: name of the stage.
        workers: number of workers.
        busy: workers that work now.
        in_progress: items that workers hold.
        pending: items that wait in front of the stage.
        capacity: items that may wait there; None if unbounded.
        completed: items that it passed on.
        failed: items that failed in it.
        retried: attempts that were followed by a retry.
        parked: items that wait until their next attempt is due, or for their key of a limit.
        next_retry: seconds until the next attempt is due; None if there is none.
        has_limits: whether its items have to be allowed by limits.
        limit_wait: the limit for which most of its items wait; None if none waits for a limit.
        rate: items per second that left it recently.
        p50: estimated median of the seconds per attempt; NaN before the first.
        p95: the same for the 95th percentile.
        recent: shares of its workers' time recently.
        overall: shares of its workers' time since the run began.
        is_bottleneck: whether it limits the throughput of the run.
    """

    name: str
    workers: int = 0
    busy: int = 0
    in_progress: int = 0
    pending: int = 0
    capacity: int | None = None
    completed: int = 0
    failed: int = 0
    retried: int = 0
    rate: float = 0.0
    p50: float = float("nan")
    p95: float = float("nan")
    recent: Shares = (0.0, 0.0, 0.0, 0.0)
    overall: Shares = (0.0, 0.0, 0.0, 0.0)
    is_bottleneck: bool = False
    parked: int = 0
    next_retry: float | None = None
    has_limits: bool = False
    limit_wait: LimitWait | None = None


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One worker.

    Args:
        name: name of the worker.
        stage: name of its stage.
        item: id of the item that it holds, as text; None if it holds none.
        status: the task's status text, or the task's name.
        attempt: number of the attempt, from 1.
        age: seconds since it took the item.
        completed: items that it passed on.
        failed: items that failed at it.
        mean: mean seconds per item; NaN before the first.
    """

    name: str
    stage: str
    item: str | None = None
    status: str = ""
    attempt: int = 1
    age: float = 0.0
    completed: int = 0
    failed: int = 0
    mean: float = float("nan")


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """The items that failed with one class of exception.

    Args:
        error_type: name of the class.
        count: number of items.
        example: the latest of them; None if it is not kept any more.
    """

    error_type: str
    count: int
    example: Failure | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed item.

    Args:
        item: id of the item, as text.
        stage: name of the stage in which it failed.
        error_type: name of the exception's class.
        error: the exception's text, on one line.
        attempts: number of attempts made.
        age: seconds since it failed.
        location: the user's line that raised it, such as "fetch.py:4, in fetch"; empty if unknown.
    """

    item: str
    stage: str
    error_type: str
    error: str
    attempts: int = 1
    age: float = 0.0
    location: str = ""


@dataclass(frozen=True, slots=True)
class RunView:
    """A run at one moment.

    Args:
        name: name of the pipeline.
        counts: its items.
        elapsed: seconds since the display started.
        rate: items per second recently; of a finished run, on average.
        seconds_left: estimated seconds until the end; None if they cannot be estimated.
        stages: in the order of the pipeline.
        workers: first those that hold an item, the longest-held item first, then the idle ones;
            no more than a screen has room for.
        busy_workers: number of workers that hold an item.
        groups: failed items by type, the most frequent first.
        failures: the latest first; no more than a screen has room for.
        history: items per second in each span of time since the run began.
        span: length of one span of the history, in seconds.
        faults: number of exceptions raised by each plugin's hooks.
        was_interrupted: whether the run stopped before all items were done.
    """

    name: str
    counts: ItemCounts = ItemCounts()
    elapsed: float = 0.0
    rate: float = 0.0
    seconds_left: float | None = None
    stages: tuple[StageView, ...] = ()
    workers: tuple[WorkerView, ...] = ()
    busy_workers: int = 0
    groups: tuple[ErrorGroup, ...] = ()
    failures: tuple[Failure, ...] = ()
    history: tuple[float, ...] = ()
    span: float = 1.0
    faults: Mapping[str, int] = field(default_factory=dict[str, int])
    was_interrupted: bool = False

    @property
    def bottleneck(self) -> StageView | None:
        """The stage that limits the throughput; None if there is none."""
        return next((stage for stage in self.stages if stage.is_bottleneck), None)

    @property
    def parked(self) -> int:
        """The number of parked items, in all stages."""
        return sum(stage.parked for stage in self.stages)

    @property
    def next_retry(self) -> float | None:
        """Seconds until the next attempt of one is due; None if there is none."""
        times = (stage.next_retry for stage in self.stages)
        return min((each for each in times if each is not None), default=None)

    @property
    def limited_stage(self) -> StageView | None:
        """The stage with the most items that wait for a limit; None if there is none."""
        waiting = [stage for stage in self.stages if stage.limit_wait is not None]
        return max(waiting, key=_items_that_wait_for_a_limit, default=None)

    @property
    def total_workers(self) -> int:
        """The number of workers of all stages."""
        return sum(stage.workers for stage in self.stages)


def _items_that_wait_for_a_limit(stage: StageView) -> int:
    return 0 if stage.limit_wait is None else stage.limit_wait.items
