"""The figures of one run, read from its pipeline, and sums of them."""

from __future__ import annotations

from collections.abc import Iterator
from operator import add

from antflow import Histogram, Pipeline, PipelineStats, StageStats, TaskStats

from . import _instruments as of
from ._attributes import ERROR, ITEM_STATE, OUTCOME, PIPELINE, PLUGIN, STAGE, TASK, WORKER_STATE
from ._instruments import InstrumentSpec
from ._metrics_names import OTHER, Names

Series = tuple[tuple[str, str], ...]
"""The attributes of one series of a metric: names and values."""

Figure = tuple[InstrumentSpec, Series, float]
Counts = tuple[float, ...]
"""How many durations fell into each bucket, and at the end their sum in seconds."""

UNNAMED_ERROR = "_OTHER"
"""What the semantic conventions call an error whose type is not told."""


class Reading:
    """Figures at one moment, by metric and series."""

    def __init__(self) -> None:
        self.figures: dict[InstrumentSpec, dict[Series, float]] = {}
        self.durations: dict[InstrumentSpec, dict[Series, Counts]] = {}

    def rise(self, later: Reading) -> None:
        """Take over a later reading of the same run.

        A figure that is read while the run goes on may seem to be less than it was: it may be the
        difference of two, read one after the other. What was shown once stays.
        """
        for spec, rows in later.figures.items():
            known = self.figures.get(spec, {})
            higher = {each: max(figure, known.get(each, 0)) for each, figure in rows.items()}
            self.figures[spec] = known | higher if spec.only_rises else rows
        self.durations = later.durations

    def add(self, other: Reading, *, is_over: bool) -> None:
        """Add the figures of another run.

        Args:
            other: its figures.
            is_over: whether that run has ended, so that nothing of it is so now.
        """
        for spec, rows in other.figures.items():
            for series, figure in rows.items():
                self.put(spec, series, 0 if is_over and not spec.only_rises else figure)
        for spec, counted in other.durations.items():
            for series, counts in counted.items():
                self.put_durations(spec, series, counts)

    def put(self, spec: InstrumentSpec, series: Series, figure: float) -> None:
        """Add a figure to a series."""
        rows = self.figures.setdefault(spec, {})
        rows[series] = rows.get(series, 0) + figure

    def put_durations(self, spec: InstrumentSpec, series: Series, counts: Counts) -> None:
        """Add durations to a series."""
        rows = self.durations.setdefault(spec, {})
        known = rows.get(series)
        rows[series] = counts if known is None else tuple(map(add, known, counts))

    def copy(self) -> Reading:
        """Return a copy, which may be added to."""
        copy = Reading()
        copy.add(self, is_over=False)
        return copy


def read(
    pipeline: Pipeline, stats: PipelineStats, names: Names, *, with_durations: bool
) -> Reading:
    """Return the figures of a run.

    Args:
        pipeline: whose run it is.
        stats: the run's.
        names: what all is called.
        with_durations: whether what fell into the buckets of durations is read, too.
    """
    reading = Reading()
    label = names.of(pipeline.name, PIPELINE)
    own = ((PIPELINE, label),)
    for spec, series, figure in _of_pipeline(stats, own):
        reading.put(spec, series, figure)
    faults = dict.fromkeys(pipeline.plugin_names, 0) | pipeline.plugin_faults
    for plugin, number in faults.items():
        called = names.of(plugin, PLUGIN, label)
        reading.put(of.PLUGIN_ERRORS, (*own, (PLUGIN, called)), number)
    for stage in stats.stage_stats.values():
        _read_stage(reading, stage, own, names, with_durations=with_durations)
    return reading


def _read_stage(
    reading: Reading, stage: StageStats, owner: Series, names: Names, *, with_durations: bool
) -> None:
    label = owner[0][1]
    called = names.of(stage.stage_name, STAGE, label)
    own = (*owner, (STAGE, called))
    for spec, series, figure in _of_stage(stage, own, names):
        reading.put(spec, series, figure)
    if with_durations:
        reading.put_durations(of.ITEM_WAIT_QUANTILE, own, counts_of(stage.queue_wait))
    for name, task in stage.tasks.items():
        series = (*own, (TASK, names.of(name, TASK, label, called)))
        for spec, _, figure in _of_task(task, series):
            reading.put(spec, series, figure)
        if with_durations:
            reading.put_durations(of.ATTEMPT_DURATION_QUANTILE, series, counts_of(task.duration))


def counts_of(durations: Histogram) -> Counts:
    """Return what a histogram holds in one row, which can be added up and subtracted."""
    return (*durations.counts, durations.sum)


def _of_pipeline(stats: PipelineStats, own: Series) -> Iterator[Figure]:
    yield of.RUNS_STARTED, own, 1
    yield of.RUNS, own, 1
    yield of.ITEMS_FED, own, stats.items_fed
    yield of.ITEMS, own, stats.items_outstanding
    ends = {
        "succeeded": stats.items_processed,
        "failed": stats.items_failed,
        "dropped": stats.items_dropped,
        "unprocessed": stats.items_unprocessed,
    }
    for outcome, number in ends.items():
        yield of.ITEMS_ENDED, (*own, (OUTCOME, outcome)), number


def _of_stage(stage: StageStats, own: Series, names: Names) -> Iterator[Figure]:
    yield of.STAGE_ENTERED, own, stage.fed_items
    ends = {
        "completed": stage.completed_items - stage.skipped_items,
        "skipped": stage.skipped_items,
        "dropped": stage.dropped_items,
        "unprocessed": stage.unprocessed_items,
        "failed": 0,  # those that did are told by their errors; this is there from the start
    }
    for outcome, number in ends.items():
        yield of.STAGE_LEFT, (*own, (OUTCOME, outcome)), number
    place = tuple(value for _, value in own)
    for name, number in stage.errors_by_type.items():
        error = error_type(names, name, *place)
        yield of.STAGE_LEFT, (*own, (OUTCOME, "failed"), (ERROR, error)), number
    yield of.STAGE_ITEMS, (*own, (ITEM_STATE, "pending")), stage.pending_items
    yield of.STAGE_ITEMS, (*own, (ITEM_STATE, "in_progress")), stage.in_progress_items
    if stage.capacity is not None:
        yield of.STAGE_CAPACITY, own, stage.capacity
    for state, workers in stage.workers.items():
        yield of.WORKERS, (*own, (WORKER_STATE, state)), workers
    for state, seconds in stage.seconds.items():
        yield of.WORKER_TIME, (*own, (WORKER_STATE, state)), seconds
    yield of.THREADS, own, stage.abandoned_threads


def _of_task(task: TaskStats, own: Series) -> Iterator[Figure]:
    yield of.ATTEMPTS_ENDED, own, task.attempts
    yield of.ATTEMPTS_RETRIED, own, task.retried
    yield of.ATTEMPTS_FAILED, own, task.failed


def error_type(names: Names, name: str, *place: str) -> str:
    """Return what the class of an error is called in a stage."""
    called = names.of(name, ERROR, *place)
    return UNNAMED_ERROR if called == OTHER else called
