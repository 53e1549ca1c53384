"""The metrics of one or more runs at one moment, made of the statistics of pipelines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import inf
from operator import add
from time import sleep
from typing import Any, NamedTuple

from antflow.stats import Histogram, LimitStats, PipelineStats, StageStats

from . import metrics
from .labels import LabelLimiter, Labels
from .metrics import METRICS, Metric

VALUES_AT_ONCE = 500
"""Values that are handled before other threads get a chance to run; about half a millisecond."""

SHORTEST_SLEEP = 1e-6
"""Seconds; 0 would release the interpreter and take it back before another thread wakes up."""

TICKS = 2**20
"""Ticks of a second; sums of whole ticks are exact up to 272 years."""
# A rounded sum depends on its order. It fell in the last digit when a run ended, because ended runs
# are summed first, and Prometheus takes a counter that falls for one that was started again.

LARGEST = frozenset(
    {metrics.LAST_COMPLETION, metrics.LIMIT_ALLOWED, metrics.LIMIT_PAUSED, metrics.LIMIT_KEYS}
)
"""Metrics of which several runs have the largest value, not the sum: runs may share a limit."""

Value = float | Histogram
Measurement = tuple[Metric, Labels, Value]


class Sample(NamedTuple):
    """One value of a metric.

    Attributes:
        metric: what it measures.
        labels: the values of the metric's labels, in the order of their names.
        value: the value; for a histogram, the number of observations.
        histogram: the distribution of a histogram, in seconds; None for other metrics.
    """

    metric: Metric
    labels: Labels
    value: float
    histogram: Histogram | None = None


class Measurements:
    """The values of all metrics, by their labels."""

    def __init__(self) -> None:
        self._rows: dict[Metric, dict[Labels, Any]] = {metric: {} for metric in METRICS}

    def add_value(self, metric: Metric, labels: Labels, value: Value) -> None:
        """Add a value; several names may have the same labels, once they are "other"."""
        rows = self._rows[metric]
        known = rows.get(labels)
        rows[labels] = value if known is None else _sum(metric)(known, value)

    def add(self, other: Measurements, *, has_ended: bool) -> None:
        """Add those of another run.

        Args:
            has_ended: whether that run has ended, so that its gauges count as 0.
        """
        for metric, rows in other._rows.items():
            is_over = has_ended and not _is_kept(metric)
            self._merge(metric, dict.fromkeys(rows, 0.0) if is_over else rows, _sum(metric))

    def merge_monotonic(self, later: Measurements) -> None:
        """Replace these by later ones of the same run; counters never fall."""
        # A counter may be the difference of two that were read one after the other while the run
        # went on, and so be lower than it was.
        for metric, rows in later._rows.items():
            if _is_kept(metric):
                self._merge(metric, rows, _later(metric))
            else:
                self._rows[metric] = rows

    def _merge(
        self, metric: Metric, rows: Mapping[Labels, Any], merge: Callable[[Any, Any], Any]
    ) -> None:
        known = self._rows[metric]
        if not known:
            known.update(rows)
            return
        for labels, value in rows.items():
            before = known.get(labels)
            known[labels] = value if before is None else merge(before, value)

    def copy(self) -> Measurements:
        """Return a copy, to which others may be added."""
        copy = Measurements()
        copy._rows = {metric: rows.copy() for metric, rows in self._rows.items()}
        return copy

    def samples(self) -> Iterator[Sample]:
        """Return the samples, metric by metric."""
        for metric, rows in self._rows.items():
            if metric.kind == "histogram":
                for labels, histogram in rows.items():
                    yield Sample(metric, labels, histogram.count, histogram)
            else:
                for labels, value in rows.items():
                    yield Sample(metric, labels, value)


def _is_kept(metric: Metric) -> bool:
    """Return whether values never fall, and stay after their run."""
    return metric.kind != "gauge" or metric is metrics.LAST_COMPLETION


def _sum(metric: Metric) -> Callable[[Any, Any], Any]:
    if metric in LARGEST:
        return max
    return _add_histograms if metric.kind == "histogram" else add


def _later(metric: Metric) -> Callable[[Any, Any], Any]:
    return _max_histogram if metric.kind == "histogram" else max


def _add_histograms(one: Histogram, other: Histogram) -> Histogram:
    return Histogram(one.bounds, tuple(map(add, one.counts, other.counts)), one.sum + other.sum)


def _max_histogram(one: Histogram, other: Histogram) -> Histogram:
    counts = tuple(map(max, one.counts, other.counts))
    return Histogram(one.bounds, counts, max(one.sum, other.sum))


def _in_ticks(seconds: float) -> float:
    """Round seconds down to ticks."""
    return int(seconds * TICKS) / TICKS


def _sum_in_ticks(histogram: Histogram) -> Histogram:
    return Histogram(histogram.bounds, histogram.counts, _in_ticks(histogram.sum))


def yield_gil() -> None:
    """Let another thread run, such as that of an event loop.

    A thread that does not release the interpreter by itself keeps it for 5 milliseconds
    (`sys.getswitchinterval`) while others wait. Call this every half millisecond in long work.
    """
    sleep(SHORTEST_SLEEP)


def measure(
    stats: PipelineStats,
    plugins: Iterable[str],
    pipeline: str,
    limiter: LabelLimiter,
) -> Measurements:
    """Return the metrics of one run, without the faults of its plugins."""
    measured = Measurements()
    for number, value in enumerate(_of_run(stats, plugins, pipeline, limiter)):
        if number % VALUES_AT_ONCE == VALUES_AT_ONCE - 1:
            yield_gil()
        measured.add_value(*value)
    return measured


def _of_run(
    stats: PipelineStats,
    plugins: Iterable[str],
    pipeline: str,
    limiter: LabelLimiter,
) -> Iterator[Measurement]:
    labels = (pipeline,)
    yield metrics.RUNS, labels, 1
    yield metrics.RUNS_ACTIVE, labels, 1
    yield metrics.ITEMS_FED, labels, stats.items_fed
    yield metrics.ITEMS, (pipeline, "succeeded"), stats.items_processed
    yield metrics.ITEMS, (pipeline, "failed"), stats.items_failed
    yield metrics.ITEMS, (pipeline, "dropped"), stats.items_dropped
    yield metrics.ITEMS, (pipeline, "unprocessed"), stats.items_unprocessed
    yield metrics.ITEMS_OUTSTANDING, labels, stats.items_outstanding
    for plugin in plugins:
        yield metrics.PLUGIN_FAULTS, limiter.limit("plugin", plugin, pipeline), 0
    for stage in stats.stage_stats.values():
        stage_labels = limiter.limit("stage", stage.stage_name, pipeline)
        yield from _of_stage(stage, stage_labels)
        for error_type, number in stage.errors_by_type.items():
            failed = limiter.limit("error_type", error_type, *stage_labels)
            yield metrics.STAGE_FAILURES, failed, number
        for name, limit in stage.limits.items():
            yield from _of_limit(limit, limiter.limit("limit", name, *stage_labels))
        for name, task in stage.tasks.items():
            task_labels = limiter.limit("task", name, *stage_labels)
            yield metrics.TASK_DURATION, task_labels, _sum_in_ticks(task.duration)
            yield metrics.TASK_FAILURES, task_labels, task.failed
            yield metrics.TASK_RETRIES, task_labels, task.retried


def _of_stage(stage: StageStats, labels: Labels) -> Iterator[Measurement]:
    yield metrics.STAGE_ITEMS_FED, labels, stage.fed_items
    completed = stage.completed_items - stage.skipped_items
    yield metrics.STAGE_ITEMS, (*labels, "completed"), completed
    yield metrics.STAGE_ITEMS, (*labels, "failed"), stage.failed_items
    yield metrics.STAGE_ITEMS, (*labels, "skipped"), stage.skipped_items
    yield metrics.STAGE_ITEMS, (*labels, "dropped"), stage.dropped_items
    yield metrics.STAGE_ITEMS, (*labels, "unprocessed"), stage.unprocessed_items
    yield metrics.STAGE_RETRIES, labels, stage.retried_attempts
    yield metrics.TIMEOUTS, labels, stage.timeouts
    yield metrics.GIVE_UPS, labels, stage.give_ups
    yield metrics.ITEMS_PENDING, labels, stage.pending_items
    yield metrics.ITEMS_PARKED, labels, stage.parked_items
    yield metrics.ITEMS_IN_PROGRESS, labels, stage.in_progress_items
    yield metrics.CAPACITY, labels, inf if stage.capacity is None else stage.capacity
    for state, workers in stage.workers.items():
        yield metrics.WORKERS, (*labels, state), workers
    for state, seconds in stage.seconds.items():
        yield metrics.WORKER_SECONDS, (*labels, state), _in_ticks(seconds)
    yield metrics.ABANDONED_THREADS, labels, stage.abandoned_threads
    yield metrics.LAST_COMPLETION, labels, stage.last_completion or 0.0
    yield metrics.QUEUE_WAIT, labels, _sum_in_ticks(stage.queue_wait)


def _of_limit(limit: LimitStats, labels: Labels) -> Iterator[Measurement]:
    yield metrics.LIMIT_WAITING, labels, limit.waiting
    yield metrics.LIMIT_IN_USE, labels, limit.in_use
    yield metrics.LIMIT_PAUSED, labels, int(limit.paused_until is not None)
    if limit.concurrency is not None:
        yield metrics.LIMIT_ALLOWED, labels, limit.concurrency
    if limit.available is None:  # it has keys
        yield metrics.LIMIT_KEYS, labels, limit.keys
