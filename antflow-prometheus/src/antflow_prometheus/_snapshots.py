"""Snapshots of a run's metrics, taken from the statistics of its pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from operator import add

from antflow import Histogram, PipelineStats, StageStats, TaskStats

from ._labels import LabelLimiter, Labels
from ._metric_specs import STATES, Scope

Values = list[float]
Buckets = tuple[float, ...]
ValuesByScope = dict[Scope, dict[Labels, Values]]


def _empty() -> ValuesByScope:
    return {scope: {} for scope in Scope}


@dataclass(slots=True)
class MetricsSnapshot:
    """The metrics of one or more runs at one moment; the scope names the values of each list.

    Args:
        counters: values that only increase, by scope and labels.
        gauges: current values, by scope and labels.
        last_completions: Unix times of the last completion, by the labels of stages; 0 if none.
    """

    counters: ValuesByScope = field(default_factory=_empty)
    gauges: ValuesByScope = field(default_factory=_empty)
    last_completions: dict[Labels, float] = field(default_factory=dict)

    def merge_monotonic(self, later: MetricsSnapshot) -> None:
        """Replace this snapshot by a later one of the same run; counters never decrease."""
        for scope, rows in later.counters.items():
            known = self.counters[scope]
            for labels, values in rows.items():
                before = known.get(labels)
                # A counter may be the difference of two that were read one after the other while
                # the run went on, and so be lower than it was.
                known[labels] = values if before is None else list(map(max, before, values))
        self.gauges = later.gauges
        for labels, moment in later.last_completions.items():
            self.add_completion(labels, moment)

    def add_completion(self, labels: Labels, moment: float) -> None:
        """Record when a stage completed an item; the latest of these Unix times is kept."""
        self.last_completions[labels] = max(moment, self.last_completions.get(labels, 0.0))

    def add(self, other: MetricsSnapshot, *, has_ended: bool) -> None:
        """Add the snapshot of another run.

        Args:
            other: the snapshot.
            has_ended: whether that run has ended, so that its gauges count as 0.
        """
        _add_all(self.counters, other.counters)
        if has_ended:
            for scope, rows in other.gauges.items():
                for labels in rows:
                    self.gauges[scope].setdefault(labels, [0.0] * len(scope.gauges))
        else:
            _add_all(self.gauges, other.gauges)
        for labels, moment in other.last_completions.items():
            self.add_completion(labels, moment)

    def copy(self) -> MetricsSnapshot:
        """Return a copy, to which other snapshots may be added."""
        # The lists of values are shared: they are replaced, never changed.
        return MetricsSnapshot(
            {scope: dict(rows) for scope, rows in self.counters.items()},
            {scope: dict(rows) for scope, rows in self.gauges.items()},
            dict(self.last_completions),
        )


def initial_snapshot(label: str) -> MetricsSnapshot:
    """Return the snapshot of a run that starts.

    Args:
        label: the pipeline's label.
    """
    snapshot = MetricsSnapshot()
    snapshot.counters[Scope.PIPELINE][label,] = [1, *[0] * (len(Scope.PIPELINE.counters) - 1)]
    snapshot.gauges[Scope.PIPELINE][label,] = [1, 0]  # one run, nothing outstanding
    return snapshot


def fault_snapshot(label: str, plugin: str, limiter: LabelLimiter) -> MetricsSnapshot:
    """Return a snapshot with one fault of a plugin, and nothing else.

    Args:
        label: the pipeline's label.
        plugin: the plugin's name.
        limiter: gives the plugin's label.
    """
    snapshot = MetricsSnapshot()
    snapshot.counters[Scope.FAULT][limiter.labels("plugin", (label,), plugin)] = [1]
    return snapshot


def take_snapshot(
    stats: PipelineStats,
    plugins: Iterable[str],
    faults: Mapping[str, int],
    label: str,
    limiter: LabelLimiter,
) -> MetricsSnapshot:
    """Return the metrics of a run.

    Args:
        stats: the statistics of the run.
        plugins: the names of the plugins that take part.
        faults: how often each plugin raised, by its name.
        label: the pipeline's label.
        limiter: gives the other labels.
    """
    snapshot = MetricsSnapshot()
    counters: Values = [
        1,
        stats.items_fed,
        stats.items_processed,
        stats.items_failed,
        stats.items_dropped,
        stats.items_unprocessed,
    ]
    _add(snapshot.counters, Scope.PIPELINE, (label,), counters)
    _add(snapshot.gauges, Scope.PIPELINE, (label,), [1.0, stats.items_outstanding])
    for plugin, number in {**dict.fromkeys(plugins, 0), **faults}.items():
        _add(snapshot.counters, Scope.FAULT, limiter.labels("plugin", (label,), plugin), [number])
    for stage in stats.stage_stats.values():
        _add_stage(snapshot, stage, limiter.labels("stage", (label,), stage.stage_name), limiter)
    return snapshot


def _add_stage(
    snapshot: MetricsSnapshot, stage: StageStats, labels: Labels, limiter: LabelLimiter
) -> None:
    gauges: Values = [
        stage.pending_items,
        stage.in_progress_items,
        inf if stage.capacity is None else stage.capacity,
        *(stage.workers[state] for state in STATES),
        stage.abandoned_threads,
    ]
    _add(snapshot.gauges, Scope.STAGE, labels, gauges)
    _add(snapshot.counters, Scope.STAGE, labels, list(_stage_counters(stage)))
    snapshot.add_completion(labels, stage.last_completion or 0.0)
    for name, number in stage.errors_by_type.items():
        _add(snapshot.counters, Scope.ERROR, limiter.labels("error", labels, name), [number])
    for name, task in stage.tasks.items():
        row = limiter.labels("task", labels, name)
        _add(snapshot.counters, Scope.TASK, row, list(_task_counters(task)))


def _add_all(table: ValuesByScope, more: ValuesByScope) -> None:
    for scope, rows in more.items():
        for labels, values in rows.items():
            _add(table, scope, labels, values)


def _add(table: ValuesByScope, scope: Scope, labels: Labels, values: Values) -> None:
    # Several names may have the same labels, once they are "other".
    rows = table[scope]
    before = rows.get(labels)
    rows[labels] = values if before is None else list(map(add, before, values))


def _stage_counters(stage: StageStats) -> Iterator[float]:
    yield stage.fed_items
    yield stage.completed_items - stage.skipped_items
    yield stage.failed_items
    yield stage.skipped_items
    yield stage.dropped_items
    yield stage.unprocessed_items
    yield stage.retried_attempts
    yield from (stage.seconds[state] for state in STATES)
    yield from _bucket_counts(stage.queue_wait)


def _task_counters(task: TaskStats) -> Sequence[float]:
    return task.failed, task.retried, *_bucket_counts(task.duration)


def _bucket_counts(durations: Histogram) -> Sequence[float]:
    return *durations.counts, durations.sum
