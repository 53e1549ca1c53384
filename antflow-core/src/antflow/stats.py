"""Statistics of a pipeline and its stages, as immutable snapshots."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from math import isnan, nan
from operator import mul
from typing import Literal

ActivityState = Literal["idle", "busy", "waiting", "blocked"]
"""The state of a worker. An idle one has no item. A busy one runs a task or a hook. A waiting one
waits for a limit, or has only items that may not start yet. A blocked one waits for room in the
next stage."""


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
class KeyStats:
    """What is in use of a limit for one key.

    Args:
        key: the key.
        waiting: items that wait for it.
        in_use: attempts that hold it.
        available: units that its window has left, or attempts that may start if it has no rate; 0
            while it is paused or no attempt may start.
        concurrency: attempts that may run at once at present; None for no bound.
        paused_until: Unix time of the end of a pause; None if it is not paused.
    """

    key: Hashable
    waiting: int
    in_use: int
    available: float
    concurrency: int | None
    paused_until: float | None


@dataclass(frozen=True, slots=True)
class LimitStats:
    """What is in use of a limit.

    Args:
        waiting: items that wait for it. In the statistics of a stage, those of the stage.
        in_use: attempts that hold it. In the statistics of a stage, those of the stage.
        available: units that its window has left, or attempts that may start if it has no rate; 0
            while it is paused or no attempt may start. None for a limit with keys.
        concurrency: attempts that may run at once at present; None for no bound, and for a limit
            with keys.
        paused_until: Unix time of the end of a pause; None if it is not paused. For a limit with
            keys, that of a pause of all keys.
        keys: number of keys in use, or that were until `per` seconds ago.
        busiest: the 20 busiest keys, the one with the most waiting items first.
    """

    waiting: int
    in_use: int
    available: float | None = None
    concurrency: int | None = None
    paused_until: float | None = None
    keys: int = 0
    busiest: tuple[KeyStats, ...] = ()


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
        seconds: seconds in each state, added up over the workers; they never fall.
        fed_items: items that entered it, from outside or from the stage before.
        skipped_items: items that it passed on unchanged, because of `skip_if`.
        dropped_items: items that it dropped on purpose.
        unprocessed_items: items that it had not finished when the run stopped.
        retried_attempts: attempts that failed and for which another was due.
        queue_wait: how long items waited in front of it; the wait of a retry begins when it is
            due.
        last_completion: Unix time of the last item that it passed on; None before the first.
        errors_by_type: failed items by exception class; beyond 50 classes, the rest is "other".
        tasks: statistics of each task, by the task's name.
        abandoned_threads: threads that still run a plain function whose attempt was cancelled, or
            that are still inside an input of the stage that is not read any more.
        parked_items: items that wait until their next attempt is due, or for their key of a limit;
            they are neither pending nor in progress.
        timeouts: attempts that took more than `task_timeout`, and items that took more than
            `item_timeout`.
        give_ups: attempts that ended with a GiveUp.
        next_retry: Unix time when the next parked item is due; None if none is parked for a retry.
        limits: statistics of each of its limits, by the limit's name.
        limit_wait_share: of the seconds of `waiting`, the share in which workers waited for a limit
            or a rate; in the rest, items were only parked for retries. 1 without any.
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
    timeouts: int = 0
    give_ups: int = 0
    next_retry: float | None = None
    limits: dict[str, LimitStats] = field(default_factory=dict)

    @property
    def waits_for(self) -> str | None:
        """Name of the limit for which most of its items wait; None if none waits for a limit."""
        name = max(self.limits, key=lambda name: self.limits[name].waiting, default=None)
        return name if name is not None and self.limits[name].waiting else None


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
        run_id: identifies the run, across processes; the run's events have the same one.
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
        """Name of the stage that limits the run's speed, over the whole run; None if none does.

        See `find_bottleneck` for the definition.
        """
        return find_bottleneck(self.stage_stats.values())


BOTTLENECK_LOAD = 0.7
"""The share of its workers' time from which on a stage can be a bottleneck."""

SIMILAR_LOAD = 0.05
"""Two stages whose loads differ by less than this are about equally loaded."""


def find_bottleneck(stages: Iterable[StageStats]) -> str | None:
    """Return the name of the stage that limits the speed of the others, or None.

    The load of a stage is the share of its workers' time in which they are busy or, if items are
    pending or wait for a limit in these statistics, wait for a limit or a rate. The stage with the
    highest load is the bottleneck if its load is at least 0.7; of several whose loads are within
    0.05, it is the one with the fullest queue.

    Args:
        stages: the stages; their seconds may be those of a part of the run.
    """
    # Blocked time is no load: a blocked worker waits for the next stage. Nor is the time in which
    # items are only parked: more workers would not make them due sooner.
    loads = [(_load(stage), stage) for stage in stages]
    highest = max((load for load, _ in loads), default=0.0)
    # A single stage holds up no other. Below the bound, workers have time to spare.
    if len(loads) < 2 or highest < BOTTLENECK_LOAD:
        return None
    # Loads this close differ by chance; the queue shows where items pile up.
    loaded = [stage for load, stage in loads if load >= highest - SIMILAR_LOAD]
    return max(loaded, key=_fullness).stage_name


def _load(stage: StageStats) -> float:
    seconds, total = stage.seconds, sum(stage.seconds.values())
    at_work = seconds.get("busy", 0.0)
    if _queued(stage):
        at_work += seconds.get("waiting", 0.0) * stage.limit_wait_share
    return at_work / total if total else 0.0


def _fullness(stage: StageStats) -> float:
    """Return how full a queue is; one without a bound is full if it holds anything."""
    capacity, queued = stage.capacity, _queued(stage)
    return queued / capacity if capacity else float(queued > 0)


def _queued(stage: StageStats) -> int:
    """Return how many items are pending or wait for a limit."""
    # Items that wait for their key are parked, so that those of other keys pass; items that wait
    # for a limit without keys are pending. A limit counts both where it holds up both.
    waiting = (limit.waiting for limit in stage.limits.values())
    return max(stage.pending_items, *waiting, 0)


# Quantiles of histograms

HALF = 0.5  # of a bucket's width


def quantile(bounds: Sequence[float], counts: Sequence[int], total: float, q: float) -> float:
    """Return an estimate of a quantile, in seconds; NaN where nothing was observed.

    It assumes that the observations in a bucket are spread evenly around the mean that
    `bucket_means` estimates, as widely as the bucket's bounds allow.

    Args:
        bounds: upper bounds in seconds, inclusive, rising.
        counts: observations per bucket, one more than there are bounds: the last has no bound.
        total: sum of all observations in seconds; NaN if it is not known.
        q: the quantile, from 0 to 1.
    """
    number = sum(counts)
    if not number:
        return nan
    rank = q * number
    reached = list(accumulate(counts))
    index = next(i for i, n in enumerate(reached) if n >= rank and counts[i])
    if index == len(bounds):
        return bounds[-1]  # all that is known of it is that it is longer
    share = (rank - reached[index] + counts[index]) / counts[index]
    mean = bucket_means(bounds, counts, total)[index]
    position = mean + (2.0 * share - 1.0) * min(mean, 1.0 - mean)
    lower = bounds[index - 1] if index else 0.0
    return lower + (bounds[index] - lower) * position


def bucket_means(bounds: Sequence[float], counts: Sequence[int], total: float) -> list[float]:
    """Return the estimated mean of each bucket, as a share of its width from 0 to 1.

    The estimate is first made from the neighbouring buckets. Then all means are moved by the same
    share of their distance to one end, so that they add up to the known sum. If all observations
    are in one bucket, the result is their exact mean.
    """
    # The sum says nothing if it is unknown, or if a part of it lies above the last bound.
    if isnan(total) or counts[-1]:
        return [HALF] * len(bounds)
    edges = (0.0, *bounds)
    widths = [upper - lower for lower, upper in pairwise(edges)]
    held = list(zip(counts, widths, strict=False))
    means = means_from_neighbours([n / width if width else 0.0 for n, width in held])
    rooms = [n * width for n, width in held]
    room = sum(rooms)
    taken = sum(map(mul, rooms, means))
    wanted = total - sum(n * lower for n, lower in zip(counts, edges, strict=True))
    if not room:
        return means
    if wanted <= taken:
        scale = max(wanted, 0.0) / taken
        return [each * scale for each in means]
    scale = max(room - wanted, 0.0) / (room - taken)
    return [1.0 - (1.0 - each) * scale for each in means]


def means_from_neighbours(densities: Sequence[float]) -> list[float]:
    """Return the mean of each bucket as its neighbours suggest it, as a share of its width.

    Args:
        densities: observations per second of a bucket's width.
    """
    # The mean lies towards the denser neighbour; between equal ones it is the middle.
    before, after = (0.0, *densities[:-1]), (*densities[1:], 0.0)
    return [
        (above + HALF * own) / (below + own + above) if own else HALF
        for below, own, above in zip(before, densities, after, strict=True)
    ]
