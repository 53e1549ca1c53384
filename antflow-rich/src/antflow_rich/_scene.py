"""All that a display shows of a run at one moment, as plain figures and texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from antflow.stats import ActivityState

STATES: tuple[ActivityState, ...] = ("busy", "waiting", "blocked", "idle")
"""In the order in which a bar shows them."""

Shares = tuple[float, float, float, float]
"""What part of the workers' time goes into each of `STATES`; the sum is 1, or 0 for no time."""


@dataclass(frozen=True, slots=True)
class Counts:
    """The items of a run.

    Args:
        total: how many there are to be; None where that is unknown.
        fed: accepted so far.
        succeeded: went through every stage.
        failed: failed.
        dropped: dropped on purpose.
        unprocessed: left over when the run stopped.
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
        """Items that have ended, but for those that a stopped run left over."""
        return self.succeeded + self.failed + self.dropped

    @property
    def remaining(self) -> int:
        """Items that have not ended, as far as is known."""
        return max((self.fed if self.total is None else self.total) - self.done, 0)

    @property
    def share(self) -> float | None:
        """The part that is done, from 0 to 1; None where it is unknown.

        Without a total, it is the share of the input that has been read, less what is in flight.
        """
        if self.total is not None:
            return min(self.done / self.total, 1.0) if self.total else 1.0
        if self.input_fraction is None:
            return None
        return self.input_fraction * (min(self.done / self.fed, 1.0) if self.fed else 1.0)

    @property
    def expected(self) -> float | None:
        """Items that are still to end, estimated where there is no total; None if unknown."""
        if self.total is not None:
            return self.remaining
        share = self.share
        return self.done / share - self.done if share else None


@dataclass(frozen=True, slots=True)
class StageScene:
    """One stage.

    Args:
        name: its name.
        workers: how many it has.
        busy: how many of them work now.
        in_progress: items that they hold.
        pending: items that wait in front of it.
        capacity: items that may wait there; None if without bound.
        completed: items that it passed on.
        failed: items that failed in it.
        retried: attempts after which another was due.
        rate: items a second that left it lately.
        p50: seconds that half of the attempts at its tasks took at most, about; NaN before the
            first.
        p95: the same for 95 of 100 attempts.
        lately: what its workers' time went into lately.
        overall: what it went into since the run began.
        is_bottleneck: whether it holds up the run.
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
    lately: Shares = (0.0, 0.0, 0.0, 0.0)
    overall: Shares = (0.0, 0.0, 0.0, 0.0)
    is_bottleneck: bool = False


@dataclass(frozen=True, slots=True)
class WorkerScene:
    """One worker.

    Args:
        name: its name.
        stage: its stage's name.
        item: id of the item that it holds, as text; None where it holds none.
        status: what the task says of itself, else the task's name.
        attempt: number of the attempt, from 1.
        age: seconds since it took the item.
        completed: items that it passed on.
        failed: items that failed in its hands.
        mean: seconds it needed an item; NaN before the first.
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
    """Items that failed with one class of exception.

    Args:
        error_type: name of the class.
        count: how many items.
        example: the latest of them; None where it is not known any more.
    """

    error_type: str
    count: int
    example: Failure | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """One item that failed.

    Args:
        item: the item's id, as text.
        stage: name of the stage that it failed in.
        error_type: name of the exception's class.
        error: the exception's text, on one line.
        attempts: how many attempts were made.
        age: seconds since then.
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
class Scene:
    """A run at one moment.

    Args:
        name: the pipeline's name.
        counts: its items.
        elapsed: seconds since the display began.
        rate: items a second that ended lately; of a run that is over, on average.
        left: seconds that the rest will take, as far as can be said; None where it cannot.
        stages: in the order of the pipeline.
        workers: those that hold an item, the one that has had its item longest first, then the
            others; no more than a screen has room for.
        busy_workers: how many hold an item.
        groups: failed items by type, the most frequent first.
        failures: the latest first; no more than a screen has room for.
        history: items a second in each of as many spans of equal length, since the run began.
        span: seconds of one span of the history.
        faults: exceptions that plugins' hooks raised, by plugin.
        was_interrupted: whether it was stopped before all was done.
    """

    name: str
    counts: Counts = Counts()
    elapsed: float = 0.0
    rate: float = 0.0
    left: float | None = None
    stages: tuple[StageScene, ...] = ()
    workers: tuple[WorkerScene, ...] = ()
    busy_workers: int = 0
    groups: tuple[ErrorGroup, ...] = ()
    failures: tuple[Failure, ...] = ()
    history: tuple[float, ...] = ()
    span: float = 1.0
    faults: Mapping[str, int] = field(default_factory=dict[str, int])
    was_interrupted: bool = False

    @property
    def bottleneck(self) -> StageScene | None:
        """The stage that holds up the run, where one does."""
        return next((stage for stage in self.stages if stage.is_bottleneck), None)

    @property
    def total_workers(self) -> int:
        """How many workers all stages have."""
        return sum(stage.workers for stage in self.stages)
