"""The figures of one run, read from its pipeline, and sums of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from operator import add

from antflow import Histogram, PipelineStats, StageStats, TaskStats

from ._names import Labels, Names
from ._table import STATES, Scope

Figures = list[float]
Buckets = tuple[float, ...]
Table = dict[Scope, dict[Labels, Figures]]


def _empty() -> Table:
    return {scope: {} for scope in Scope}


@dataclass(slots=True)
class Reading:
    """Figures at one moment, each list as its scope names them.

    Args:
        counted: figures that only rise, by scope and labels.
        measured: what is so now, by scope and labels.
        completed_at: Unix time of the last completion, by the labels of stages; 0 if there is none.
    """

    counted: Table = field(default_factory=_empty)
    measured: Table = field(default_factory=_empty)
    completed_at: dict[Labels, float] = field(default_factory=dict)

    def rise(self, later: Reading) -> None:
        """Take over a later reading of the same run.

        A figure that is read while the run goes on may seem to be less than it was: it may be the
        difference of two, read one after the other. What was shown once stays.
        """
        for scope, rows in later.counted.items():
            known = self.counted[scope]
            for labels, figures in rows.items():
                before = known.get(labels)
                known[labels] = figures if before is None else list(map(max, before, figures))
        self.measured = later.measured
        for labels, moment in later.completed_at.items():
            self.complete(labels, moment)

    def complete(self, labels: Labels, moment: float) -> None:
        """Note when a stage last completed an item, at `moment` in Unix time."""
        self.completed_at[labels] = max(moment, self.completed_at.get(labels, 0.0))

    def add(self, other: Reading, *, is_over: bool) -> None:
        """Add the figures of another run.

        Args:
            other: its figures.
            is_over: whether that run has ended, so that nothing of it is so now.
        """
        _add(self.counted, other.counted)
        if is_over:
            for scope, rows in other.measured.items():
                for labels in rows:
                    self.measured[scope].setdefault(labels, [0.0] * len(scope.measured))
        else:
            _add(self.measured, other.measured)
        for labels, moment in other.completed_at.items():
            self.complete(labels, moment)

    def copy(self) -> Reading:
        """Return a copy, which may be added to; lists of figures are never changed."""
        return Reading(
            {scope: dict(rows) for scope, rows in self.counted.items()},
            {scope: dict(rows) for scope, rows in self.measured.items()},
            dict(self.completed_at),
        )


def _add(table: Table, more: Table) -> None:
    for scope, rows in more.items():
        for labels, figures in rows.items():
            _put(table, scope, labels, figures)


def at_the_start(label: str) -> Reading:
    """Return the figures of a run that begins, of which nothing has been read.

    Args:
        label: what the pipeline is called.
    """
    reading = Reading()
    reading.counted[Scope.PIPELINE][label,] = [1, *[0] * (len(Scope.PIPELINE.counted) - 1)]
    reading.measured[Scope.PIPELINE][label,] = [1, 0]
    return reading


def a_fault(label: str, plugin: str, names: Names) -> Reading:
    """Return one fault of a plugin, and nothing else.

    Args:
        label: what the pipeline is called.
        plugin: its name.
        names: what plugins are called.
    """
    reading = Reading()
    reading.counted[Scope.FAULT][names.of("plugin", (label,), plugin)] = [1]
    return reading


def read(
    stats: PipelineStats,
    plugins: Iterable[str],
    faults: Mapping[str, int],
    label: str,
    names: Names,
) -> Reading:
    """Return the figures of a run.

    Args:
        stats: of the run.
        plugins: the names of those that take part.
        faults: how often each of them raised, by its name.
        label: what the pipeline is called.
        names: what all else is called.
    """
    reading = Reading()
    counted: Figures = [
        1,
        stats.items_fed,
        stats.items_processed,
        stats.items_failed,
        stats.items_dropped,
        stats.items_unprocessed,
    ]
    _put(reading.counted, Scope.PIPELINE, (label,), counted)
    _put(reading.measured, Scope.PIPELINE, (label,), [1.0, stats.items_outstanding])
    for plugin, number in {**dict.fromkeys(plugins, 0), **faults}.items():
        _put(reading.counted, Scope.FAULT, names.of("plugin", (label,), plugin), [number])
    for stage in stats.stage_stats.values():
        _read_stage(reading, stage, names.of("stage", (label,), stage.stage_name), names)
    return reading


def _read_stage(reading: Reading, stage: StageStats, labels: Labels, names: Names) -> None:
    measured: Figures = [
        stage.pending_items,
        stage.in_progress_items,
        inf if stage.capacity is None else stage.capacity,
        *(stage.workers[state] for state in STATES),
        stage.abandoned_threads,
    ]
    _put(reading.measured, Scope.STAGE, labels, measured)
    _put(reading.counted, Scope.STAGE, labels, list(_counted(stage)))
    reading.complete(labels, stage.last_completion or 0.0)
    for name, number in stage.errors_by_type.items():
        _put(reading.counted, Scope.ERROR, names.of("error", labels, name), [number])
    for name, task in stage.tasks.items():
        row = names.of("task", labels, name)
        _put(reading.counted, Scope.TASK, row, list(_counted_of_task(task)))


def _put(table: Table, scope: Scope, labels: Labels, figures: Figures) -> None:
    rows = table[scope]
    before = rows.get(labels)
    rows[labels] = figures if before is None else list(map(add, before, figures))


def _counted(stage: StageStats) -> Iterator[float]:
    yield stage.fed_items
    yield stage.completed_items - stage.skipped_items
    yield stage.failed_items
    yield stage.skipped_items
    yield stage.dropped_items
    yield stage.unprocessed_items
    yield stage.retried_attempts
    yield from (stage.seconds[state] for state in STATES)
    yield from _durations(stage.queue_wait)


def _counted_of_task(task: TaskStats) -> Sequence[float]:
    return task.failed, task.retried, *_durations(task.duration)


def _durations(histogram: Histogram) -> Sequence[float]:
    return *histogram.counts, histogram.sum
