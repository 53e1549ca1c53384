"""What one snapshot says, as a scene shows it."""

from __future__ import annotations

from collections.abc import Iterable
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

from ._scene import Counts, Failure, StageScene, WorkerScene
from ._texts import one_line, text_of

MOST_WORKERS = 200
"""More than a screen shows."""

MOST_FAILURES = 100
"""The same."""


def counts_of(
    stats: PipelineStats, total: int | None, input_fraction: float | None = None
) -> Counts:
    """Return the items of a run; a task that feeds its own pipeline makes the total grow."""
    return Counts(
        total=None if total is None else max(total, stats.items_fed),
        fed=stats.items_fed,
        succeeded=stats.items_processed,
        failed=stats.items_failed,
        dropped=stats.items_dropped,
        unprocessed=stats.items_unprocessed,
        input_fraction=input_fraction,
    )


def stage_scene(stats: StageStats) -> StageScene:
    """Return one stage as it is shown, but for what follows from several snapshots."""
    durations = merged(task.duration for task in stats.tasks.values())
    return StageScene(
        name=one_line(stats.stage_name),
        workers=sum(stats.workers.values()),
        busy=stats.workers.get("busy", 0),
        in_progress=stats.in_progress_items,
        pending=stats.pending_items,
        capacity=stats.capacity,
        completed=stats.completed_items,
        failed=stats.failed_items,
        retried=stats.retried_attempts,
        p50=durations.quantile(0.5) if durations else nan,
        p95=durations.quantile(0.95) if durations else nan,
    )


def merged(histograms: Iterable[Histogram]) -> Histogram | None:
    """Return one histogram of all that was observed; None where nothing was."""
    some = [each for each in histograms if each.count]
    if not some:
        return None
    columns = zip(*(each.counts for each in some), strict=True)
    return Histogram(
        some[0].bounds, tuple(sum(counts) for counts in columns), sum(each.sum for each in some)
    )


def worker_scenes(snapshot: DashboardSnapshot) -> tuple[WorkerScene, ...]:
    """Return the workers that are shown: those that hold an item, the oldest item first."""
    metrics = snapshot.worker_metrics
    ordered = nsmallest(
        MOST_WORKERS,
        snapshot.worker_states.values(),
        key=lambda state: (
            state.status != "busy",
            state.processing_since if state.processing_since is not None else snapshot.timestamp,
        ),
    )
    return tuple(
        worker_scene(state, metrics.get(state.worker_name), snapshot.timestamp) for state in ordered
    )


def worker_scene(state: WorkerState, metrics: WorkerMetrics | None, now: float) -> WorkerScene:
    """Return one worker as it is shown.

    Args:
        state: what it does.
        metrics: what it has done; None where that is not known.
        now: Unix time.
    """
    is_busy = state.status == "busy"
    since = state.processing_since
    ended = metrics.items_processed + metrics.items_failed if metrics else 0
    return WorkerScene(
        name=one_line(state.worker_name),
        stage=one_line(state.stage),
        item=text_of(state.current_item_id) if is_busy else None,
        status=one_line(state.current_task or state.task_name or "") if is_busy else "",
        attempt=state.attempt or 1,
        age=max(now - since, 0.0) if since is not None else 0.0,
        completed=metrics.items_processed if metrics else 0,
        failed=metrics.items_failed if metrics else 0,
        mean=metrics.total_processing_time / ended if metrics and ended else nan,
    )


def latest_failures(summary: ErrorSummary, now: float) -> tuple[Failure, ...]:
    """Return the failures that are shown, the latest first."""
    return tuple(
        failure_of(failed, now) for failed in islice(reversed(summary.failed_items), MOST_FAILURES)
    )


def failure_of(failed: FailedItem, now: float) -> Failure:
    """Return one failed item as it is shown."""
    return Failure(
        item=text_of(failed.item_id),
        stage=one_line(failed.stage),
        error_type=one_line(failed.error_type),
        error=one_line(failed.error),
        attempts=failed.attempts,
        age=max(now - failed.timestamp, 0.0),
        location=one_line(failed.location or ""),
    )
