"""Snapshots as a run takes them; what a test does not pass stays empty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from antflow import (
    DashboardSnapshot,
    ErrorSummary,
    FailedItem,
    PipelineStats,
    StageStats,
    WorkerMetrics,
    WorkerState,
)

NOW = 1_000_000.0
"""Unix time of every snapshot here."""


def stage(name: str = "Work", **known: Any) -> StageStats:
    figures: dict[str, Any] = {
        "pending_items": 0,
        "in_progress_items": 0,
        "completed_items": 0,
        "failed_items": 0,
        "capacity": 10,
        "workers": {"idle": 2, "busy": 0, "waiting": 0, "blocked": 0},
    }
    return StageStats(stage_name=name, **(figures | known))


def failed(item: object, kind: str = "ValueError", ago: float = 0.0, **known: Any) -> FailedItem:
    about: dict[str, Any] = {"error": f"{item} is wrong", "stage": "Work", "attempts": 1} | known
    return FailedItem(item_id=item, error_type=kind, timestamp=NOW - ago, **about)


def errors(items: Sequence[FailedItem] = (), more: Mapping[str, int] | None = None) -> ErrorSummary:
    """Return a summary of these items, and more that are not kept, by type."""
    by_type = dict(more or {})
    for item in items:
        by_type[item.error_type] = by_type.get(item.error_type, 0) + 1
    return ErrorSummary(sum(by_type.values()), by_type, {}, list(items))


def snapshot(
    *stages: StageStats,
    workers: Sequence[WorkerState] = (),
    metrics: Sequence[WorkerMetrics] = (),
    summary: ErrorSummary | None = None,
    **counts: int,
) -> DashboardSnapshot:
    figures: dict[str, Any] = {
        "items_processed": 0,
        "items_failed": 0,
        "items_in_flight": 0,
    } | counts
    return DashboardSnapshot(
        worker_states={state.worker_name: state for state in workers},
        worker_metrics={each.worker_name: each for each in metrics},
        pipeline_stats=PipelineStats(
            queue_sizes={}, stage_stats={each.stage_name: each for each in stages}, **figures
        ),
        error_summary=summary or errors(),
        timestamp=NOW,
    )
