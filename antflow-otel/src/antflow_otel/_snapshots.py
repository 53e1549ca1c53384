"""Snapshots of a run's metrics, taken from the statistics of its pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from operator import add

from antflow import Histogram, Pipeline, PipelineStats, StageStats, TaskStats

from . import _metric_specs as specs
from ._attributes import ERROR, ITEM_STATE, OUTCOME, PIPELINE, PLUGIN, STAGE, TASK, WORKER_STATE
from ._labels import OTHER, LabelLimiter
from ._metric_specs import MetricSpec

Series = tuple[tuple[str, str], ...]
"""The attributes of one series of a metric: names and values."""

Point = tuple[MetricSpec, Series, float]
BucketCounts = tuple[float, ...]
"""How many durations fell into each bucket, and at the end their sum in seconds."""

UNNAMED_ERROR = "_OTHER"
"""The value of `error.type`, by the semantic conventions, for an error without a type."""


class MetricsSnapshot:
    """The metrics of one or more runs at one moment, by metric and series."""

    def __init__(self) -> None:
        self.points: dict[MetricSpec, dict[Series, float]] = {}
        self.durations: dict[MetricSpec, dict[Series, BucketCounts]] = {}

    def merge_monotonic(self, later: MetricsSnapshot) -> None:
        """Replace this snapshot by a later one of the same run; counters never decrease."""
        for spec, rows in later.points.items():
            known = self.points.get(spec, {})
            # A counter may be the difference of two that were read one after the other while the
            # run went on, and so be lower than it was.
            higher = {each: max(value, known.get(each, 0)) for each, value in rows.items()}
            self.points[spec] = known | higher if spec.is_monotonic else rows
        self.durations = later.durations

    def add(self, other: MetricsSnapshot, *, has_ended: bool) -> None:
        """Add the snapshot of another run.

        Args:
            other: the snapshot.
            has_ended: whether that run has ended, so that its gauges count as 0.
        """
        for spec, rows in other.points.items():
            for series, value in rows.items():
                self.add_point(spec, series, 0 if has_ended and not spec.is_monotonic else value)
        for spec, counted in other.durations.items():
            for series, counts in counted.items():
                self.add_durations(spec, series, counts)

    def add_point(self, spec: MetricSpec, series: Series, value: float) -> None:
        """Add a value to a series."""
        rows = self.points.setdefault(spec, {})
        rows[series] = rows.get(series, 0) + value

    def add_durations(self, spec: MetricSpec, series: Series, counts: BucketCounts) -> None:
        """Add durations to a series."""
        rows = self.durations.setdefault(spec, {})
        known = rows.get(series)
        rows[series] = counts if known is None else tuple(map(add, known, counts))

    def copy(self) -> MetricsSnapshot:
        """Return a copy, to which other snapshots may be added."""
        copy = MetricsSnapshot()
        copy.add(self, has_ended=False)
        return copy


def take_snapshot(
    pipeline: Pipeline, stats: PipelineStats, limiter: LabelLimiter, *, with_durations: bool
) -> MetricsSnapshot:
    """Return the metrics of a run.

    Args:
        pipeline: the pipeline of the run.
        stats: the statistics of the run.
        limiter: gives the labels.
        with_durations: whether to include the bucket counts of durations.
    """
    snapshot = MetricsSnapshot()
    label = limiter.label(pipeline.name, PIPELINE)
    attributes = ((PIPELINE, label),)
    for spec, series, value in _pipeline_points(stats, attributes):
        snapshot.add_point(spec, series, value)
    faults = dict.fromkeys(pipeline.plugin_names, 0) | pipeline.plugin_faults
    for plugin, number in faults.items():
        plugin_label = limiter.label(plugin, PLUGIN, label)
        snapshot.add_point(specs.PLUGIN_ERRORS, (*attributes, (PLUGIN, plugin_label)), number)
    for stage in stats.stage_stats.values():
        _add_stage(snapshot, stage, attributes, limiter, with_durations=with_durations)
    return snapshot


def _add_stage(
    snapshot: MetricsSnapshot,
    stage: StageStats,
    parent: Series,
    limiter: LabelLimiter,
    *,
    with_durations: bool,
) -> None:
    pipeline_label = parent[0][1]
    label = limiter.label(stage.stage_name, STAGE, pipeline_label)
    attributes = (*parent, (STAGE, label))
    for spec, series, value in _stage_points(stage, attributes, limiter):
        snapshot.add_point(spec, series, value)
    if with_durations:
        waits = bucket_counts(stage.queue_wait)
        snapshot.add_durations(specs.ITEM_WAIT_QUANTILE, attributes, waits)
    for name, task in stage.tasks.items():
        series = (*attributes, (TASK, limiter.label(name, TASK, pipeline_label, label)))
        for spec, _, value in _task_points(task, series):
            snapshot.add_point(spec, series, value)
        if with_durations:
            durations = bucket_counts(task.duration)
            snapshot.add_durations(specs.ATTEMPT_DURATION_QUANTILE, series, durations)


def bucket_counts(durations: Histogram) -> BucketCounts:
    """Return a histogram's counts and its sum in one row, to be added and subtracted."""
    return (*durations.counts, durations.sum)


def _pipeline_points(stats: PipelineStats, series: Series) -> Iterator[Point]:
    yield specs.RUNS_STARTED, series, 1
    yield specs.RUNS, series, 1
    yield specs.ITEMS_FED, series, stats.items_fed
    yield specs.ITEMS, series, stats.items_outstanding
    outcomes = {
        "succeeded": stats.items_processed,
        "failed": stats.items_failed,
        "dropped": stats.items_dropped,
        "unprocessed": stats.items_unprocessed,
    }
    for outcome, number in outcomes.items():
        yield specs.ITEMS_ENDED, (*series, (OUTCOME, outcome)), number


def _stage_points(stage: StageStats, series: Series, limiter: LabelLimiter) -> Iterator[Point]:
    yield specs.STAGE_ENTERED, series, stage.fed_items
    outcomes = {
        "completed": stage.completed_items - stage.skipped_items,
        "skipped": stage.skipped_items,
        "dropped": stage.dropped_items,
        "unprocessed": stage.unprocessed_items,
        # Failed items are counted below, by the class of the error. This series, always 0, exists
        # from the start, so that a rate sees the first failure.
        "failed": 0,
    }
    for outcome, number in outcomes.items():
        yield specs.STAGE_LEFT, (*series, (OUTCOME, outcome)), number
    parents = tuple(value for _, value in series)
    for name, number in stage.errors_by_type.items():
        error = error_type(limiter, name, *parents)
        yield specs.STAGE_LEFT, (*series, (OUTCOME, "failed"), (ERROR, error)), number
    yield specs.STAGE_ITEMS, (*series, (ITEM_STATE, "pending")), stage.pending_items
    yield specs.STAGE_ITEMS, (*series, (ITEM_STATE, "in_progress")), stage.in_progress_items
    if stage.capacity is not None:
        yield specs.STAGE_CAPACITY, series, stage.capacity
    for state, workers in stage.workers.items():
        yield specs.WORKERS, (*series, (WORKER_STATE, state)), workers
    for state, seconds in stage.seconds.items():
        yield specs.WORKER_TIME, (*series, (WORKER_STATE, state)), seconds
    yield specs.THREADS, series, stage.abandoned_threads


def _task_points(task: TaskStats, series: Series) -> Iterator[Point]:
    yield specs.ATTEMPTS_ENDED, series, task.attempts
    yield specs.ATTEMPTS_RETRIED, series, task.retried
    yield specs.ATTEMPTS_FAILED, series, task.failed


def error_type(limiter: LabelLimiter, name: str, *parents: str) -> str:
    """Return the value of `error.type` for the name of an exception class in a stage."""
    label = limiter.label(name, ERROR, *parents)
    return UNNAMED_ERROR if label == OTHER else label
