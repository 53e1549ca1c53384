"""Builds the view of a run from its snapshots, the elapsed time and the views before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from heapq import nsmallest
from itertools import islice
from math import nan

from antflow import (
    DashboardSnapshot,
    ErrorSummary,
    FailedItem,
    Histogram,
    PipelineStats,
    StageStats,
    WorkerMetrics,
    WorkerState,
)
from antflow.stats import find_bottleneck

from ._formats import one_line, text_of
from ._rates import RATE_SECONDS, DecayingSum, RateHistory, StageRates
from ._views import (
    STATES,
    ErrorGroup,
    Failure,
    ItemCounts,
    LimitWait,
    RunView,
    StageView,
    WorkerView,
)

# The estimate of the time left looks back longer than the rate, so that it does not jump.
ESTIMATE_SECONDS = 30.0
MAX_SECONDS_LEFT = 100 * 86400.0  # a longer estimate is not shown
MAX_WORKERS, MAX_FAILURES = 200, 100  # more than a screen shows


class ViewBuilder:
    """Builds views from the consecutive snapshots of one run.

    It reads no clock: its results depend on its arguments only.

    Args:
        total_items: expected number of items; None if unknown.
    """

    def __init__(self, pipeline_name: str, total_items: int | None) -> None:
        self._name = one_line(pipeline_name)
        self._total = total_items
        self._start: float | None = None
        self._last = 0.0
        self._done = 0
        self._recent = DecayingSum(RATE_SECONDS)
        self._for_estimate = DecayingSum(ESTIMATE_SECONDS)
        self._history = RateHistory()
        self._stages: dict[str, StageRates] = {}
        self._examples: dict[str, FailedItem] = {}
        self._view = RunView(self._name, ItemCounts(total_items))

    def update(self, snapshot: DashboardSnapshot, now: float, faults: Mapping[str, int]) -> RunView:
        """Return the view of a snapshot.

        Args:
            now: seconds on a monotonic clock.
            faults: number of exceptions raised by each plugin.
        """
        stats = snapshot.pipeline_stats
        counts = counts_of(stats, self._total, snapshot.input_fraction)
        self._advance(stats, counts.done, now)
        self._view = RunView(
            name=self._name,
            counts=counts,
            elapsed=self._elapsed,
            rate=self._recent.rate,
            seconds_left=estimate_seconds_left(counts, self._for_estimate.rate),
            stages=self._stage_views(stats, snapshot.timestamp),
            workers=worker_views(snapshot),
            busy_workers=sum(state.status == "busy" for state in snapshot.worker_states.values()),
            groups=self._groups(snapshot.error_summary, snapshot.timestamp),
            failures=latest_failures(snapshot.error_summary, snapshot.timestamp),
            history=self._history.rates,
            span=self._history.span,
            faults={one_line(name): count for name, count in faults.items()},
        )
        return self._view

    def finish(self, summary: ErrorSummary, faults: Mapping[str, int]) -> RunView:
        """Return the final view, after the last snapshot was passed to `update`.

        Args:
            summary: the failed items.
            faults: number of exceptions raised by each plugin.
        """
        view = self._view
        counts = replace(view.counts, failed=max(view.counts.failed, summary.total_failed))
        elapsed = self._elapsed
        return replace(
            view,
            counts=counts,
            rate=counts.done / elapsed if elapsed > 0 else 0.0,
            seconds_left=None,
            stages=tuple(replace(stage, is_bottleneck=False) for stage in view.stages),
            groups=self._groups(summary, nan),
            faults={one_line(name): count for name, count in faults.items()},
            was_interrupted=counts.remaining > 0,
        )

    @property
    def _elapsed(self) -> float:
        return self._last - self._start if self._start is not None else 0.0

    def _advance(self, stats: PipelineStats, done: int, now: float) -> None:
        """Update the rates with what changed since the last snapshot."""
        if self._start is None:
            # Items that ended before the first snapshot belong to no known time.
            self._start, self._last, self._done = now, now, done
        seconds = now - self._last
        ended = max(done - self._done, 0)
        self._last = max(now, self._last)
        self._stages = {
            name: self._stages[name].after(stage, seconds)
            if name in self._stages
            else StageRates.of(stage)
            for name, stage in stats.stage_stats.items()
        }
        if seconds <= 0:
            return
        self._done = done
        self._recent = self._recent.after((ended,), seconds)
        self._for_estimate = self._for_estimate.after((ended,), seconds)
        self._history = self._history.after(ended, seconds)

    def _stage_views(self, stats: PipelineStats, timestamp: float) -> tuple[StageView, ...]:
        views = [
            stage_view(stage, rates, timestamp)
            for stage, rates in zip(stats.stage_stats.values(), self._stages.values(), strict=True)
        ]
        # The bottleneck is that of the recent time; since the start, it may have been another.
        recent = [
            replace(stage, seconds=dict(zip(STATES, view.recent, strict=True)))
            for stage, view in zip(stats.stage_stats.values(), views, strict=True)
        ]
        bottleneck = find_bottleneck(recent)
        return tuple(
            replace(view, is_bottleneck=stage.stage_name == bottleneck)
            for stage, view in zip(recent, views, strict=True)
        )

    def _groups(self, summary: ErrorSummary, now: float) -> tuple[ErrorGroup, ...]:
        # The summary keeps the latest failed items only. An example stays as long as its type does.
        latest = {failed.error_type: failed for failed in summary.failed_items}
        known = self._examples | latest
        self._examples = {name: known[name] for name in summary.errors_by_type if name in known}
        by_frequency = sorted(summary.errors_by_type.items(), key=lambda entry: -entry[1])
        return tuple(
            ErrorGroup(
                one_line(name),
                count,
                failure_of(self._examples[name], now) if name in self._examples else None,
            )
            for name, count in by_frequency
        )


def estimate_seconds_left(counts: ItemCounts, rate: float) -> float | None:
    """Return the seconds that the remaining items take at a rate; None if unknown."""
    expected = counts.expected
    if expected is None or not counts.done:
        return None
    if not expected:
        return 0.0
    seconds = expected / rate if rate > 0 else MAX_SECONDS_LEFT
    return seconds if seconds < MAX_SECONDS_LEFT else None


def counts_of(
    stats: PipelineStats, total: int | None, input_fraction: float | None = None
) -> ItemCounts:
    """Return the items of a run."""
    return ItemCounts(
        # A task that feeds its own pipeline makes the total grow.
        total=None if total is None else max(total, stats.items_fed),
        fed=stats.items_fed,
        succeeded=stats.items_processed,
        failed=stats.items_failed,
        dropped=stats.items_dropped,
        unprocessed=stats.items_unprocessed,
        input_fraction=input_fraction,
    )


def stage_view(stats: StageStats, rates: StageRates, timestamp: float) -> StageView:
    """Return the view of one stage at a Unix time, without its mark as the bottleneck."""
    due = stats.next_retry
    durations = merge_histograms(task.duration for task in stats.tasks.values())
    return StageView(
        name=one_line(stats.stage_name),
        workers=rates.workers,
        busy=stats.workers.get("busy", 0),
        in_progress=stats.in_progress_items,
        pending=stats.pending_items,
        capacity=stats.capacity,
        completed=stats.completed_items,
        failed=stats.failed_items,
        retried=stats.retried_attempts,
        rate=rates.rate,
        p50=durations.quantile(0.5) if durations else nan,
        p95=durations.quantile(0.95) if durations else nan,
        recent=rates.recent,
        overall=rates.overall,
        parked=stats.parked_items,
        next_retry=None if due is None else max(due - timestamp, 0.0),
        has_limits=bool(stats.limits),
        limit_wait=limit_wait(stats, timestamp),
    )


def limit_wait(stats: StageStats, timestamp: float) -> LimitWait | None:
    """Return the limit for which most items of a stage wait at a Unix time, if any do."""
    name = stats.waits_for
    if name is None:
        return None
    limit = stats.limits[name]
    until = limit.paused_until
    paused = None if until is None else max(until - timestamp, 0.0)
    return LimitWait(one_line(name), limit.waiting, paused)


def merge_histograms(histograms: Iterable[Histogram]) -> Histogram | None:
    """Return one histogram of all observations; None if there are none."""
    observed = [histogram for histogram in histograms if histogram.count]
    if not observed:
        return None
    columns = zip(*(histogram.counts for histogram in observed), strict=True)
    return Histogram(
        observed[0].bounds,
        tuple(sum(counts) for counts in columns),
        sum(histogram.sum for histogram in observed),
    )


def worker_views(snapshot: DashboardSnapshot) -> tuple[WorkerView, ...]:
    """Return the views of the workers, those with the longest-held items first."""
    metrics = snapshot.worker_metrics
    ordered = nsmallest(
        MAX_WORKERS,
        snapshot.worker_states.values(),
        key=lambda state: (
            state.status != "busy",
            state.processing_since if state.processing_since is not None else snapshot.timestamp,
        ),
    )
    return tuple(
        worker_view(state, metrics.get(state.worker_name), snapshot.timestamp) for state in ordered
    )


def worker_view(state: WorkerState, metrics: WorkerMetrics | None, now: float) -> WorkerView:
    """Return the view of one worker.

    Args:
        metrics: its totals; None if unknown.
        now: Unix time.
    """
    is_busy = state.status == "busy"
    since = state.processing_since
    ended = metrics.items_processed + metrics.items_failed if metrics else 0
    return WorkerView(
        name=one_line(state.worker_name),
        stage=one_line(state.stage),
        item=text_of(state.current_item_id) if is_busy else None,
        status=one_line(state.current_task or state.task_name or "") if is_busy else "",
        attempt=state.attempt or 1,
        # Unix time may be set back, and an age is never negative.
        age=max(now - since, 0.0) if since is not None else 0.0,
        completed=metrics.items_processed if metrics else 0,
        failed=metrics.items_failed if metrics else 0,
        mean=metrics.total_processing_time / ended if metrics and ended else nan,
    )


def latest_failures(summary: ErrorSummary, now: float) -> tuple[Failure, ...]:
    """Return the latest failures, the last one first."""
    return tuple(
        failure_of(failed, now) for failed in islice(reversed(summary.failed_items), MAX_FAILURES)
    )


def failure_of(failed: FailedItem, now: float) -> Failure:
    """Return the view of one failed item."""
    return Failure(
        item=text_of(failed.item_id),
        stage=one_line(failed.stage),
        error_type=one_line(failed.error_type),
        error=one_line(failed.error),
        attempts=failed.attempts,
        age=max(now - failed.timestamp, 0.0),
        location=one_line(failed.location or ""),
    )
