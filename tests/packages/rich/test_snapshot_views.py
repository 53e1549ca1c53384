"""Views of what one snapshot contains."""

from __future__ import annotations

from math import isnan
from typing import Any

import pytest

from antflow import DURATION_BOUNDS, Histogram, TaskStats, WorkerMetrics, WorkerState
from antflow_rich._rates import StageRates
from antflow_rich._view_builder import (
    MAX_FAILURES,
    MAX_WORKERS,
    counts_of,
    latest_failures,
    merge_histograms,
    stage_view,
    worker_views,
)
from antflow_rich._views import ItemCounts
from tests.packages.rich.snapshots import NOW, errors, failed, snapshot, stage


def histogram(at: int, count: int) -> Histogram:
    counts = [0] * (len(DURATION_BOUNDS) + 1)
    counts[at] = count
    return Histogram(DURATION_BOUNDS, tuple(counts), 0.75 * count * DURATION_BOUNDS[at])


def task(at: int, count: int) -> TaskStats:
    return TaskStats(count, 0, 0, histogram(at, count))


def busy(name: str, since: float, item: object = 1, **known: Any) -> WorkerState:
    return WorkerState(name, "Work", "busy", item, "working", NOW - since, "work", **known)


def test_counts() -> None:
    stats = snapshot(
        items_processed=5, items_failed=2, items_dropped=1, items_unprocessed=3, items_fed=12
    ).pipeline_stats
    assert counts_of(stats, 20) == ItemCounts(20, 12, 5, 2, 1, 3)
    assert counts_of(stats, None).total is None


def test_a_pipeline_that_feeds_itself_exceeds_its_total() -> None:
    assert counts_of(snapshot(items_fed=12).pipeline_stats, 3).total == 12


def test_a_stage() -> None:
    stats = stage(
        "Fetch\n1",
        pending_items=3,
        in_progress_items=2,
        completed_items=7,
        failed_items=1,
        retried_attempts=4,
        workers={"idle": 1, "busy": 2, "waiting": 3, "blocked": 4},
    )
    shown = stage_view(stats, StageRates.of(stats))
    assert (shown.name, shown.workers, shown.busy) == ("Fetch 1", 10, 2)
    assert (shown.pending, shown.capacity, shown.in_progress) == (3, 10, 2)
    assert (shown.completed, shown.failed, shown.retried) == (7, 1, 4)
    assert isnan(shown.p50)


def test_durations_are_of_all_its_tasks() -> None:
    stats = stage(tasks={"quick": task(3, 90), "slow": task(12, 10)})
    shown = stage_view(stats, StageRates.of(stats))
    assert shown.p50 < DURATION_BOUNDS[3]
    assert DURATION_BOUNDS[11] < shown.p95 <= DURATION_BOUNDS[12]


def test_histograms_in_which_nothing_was_observed_do_not_count() -> None:
    assert merge_histograms([histogram(0, 0), Histogram((), (0,), 0.0)]) is None
    both = merge_histograms([Histogram((), (0,), 0.0), histogram(1, 2), histogram(1, 3)])
    assert both is not None
    assert (both.count, both.counts[1]) == (5, 5)
    assert both.sum == pytest.approx(5 * 0.75 * DURATION_BOUNDS[1])


def test_the_worker_that_has_had_its_item_longest_comes_first() -> None:
    states = [
        WorkerState("W-idle", "Work", "idle"),
        busy("W-new", 1.0),
        busy("W-old", 9.0, attempt=2),
    ]
    metrics = [WorkerMetrics("W-old", "Work", 3, 1, 8.0)]
    old, new, idle = worker_views(snapshot(workers=states, metrics=metrics))
    assert [old.name, new.name, idle.name] == ["W-old", "W-new", "W-idle"]
    assert (old.item, old.status, old.attempt, old.age) == ("1", "working", 2, 9.0)
    assert (old.completed, old.failed, old.mean) == (3, 1, 2.0)
    assert (new.completed, new.attempt) == (0, 1)
    assert isnan(new.mean)
    assert (idle.item, idle.status) == (None, "")


def test_an_item_without_an_id_is_an_item_all_the_same() -> None:
    (shown,) = worker_views(snapshot(workers=[busy("W", 1.0, item=None)]))
    assert shown.item == "None"


def test_a_clock_that_was_set_back_makes_no_negative_age() -> None:
    (shown,) = worker_views(snapshot(workers=[busy("W", -5.0)]))
    assert shown.age == 0.0
    assert latest_failures(errors([failed(1, ago=-5.0)]), NOW)[0].age == 0.0


def test_no_more_workers_and_failures_than_a_screen_shows() -> None:
    states = [busy(f"W{at}", at) for at in range(1000)]
    shown = worker_views(snapshot(workers=states))
    assert [worker.name for worker in shown[:2]] == ["W999", "W998"]
    assert len(shown) == MAX_WORKERS
    assert len(latest_failures(errors([failed(at) for at in range(1000)]), NOW)) == MAX_FAILURES


def test_the_latest_failure_comes_first() -> None:
    latest, first = latest_failures(errors([failed("a", ago=9.0), failed("b", attempts=3)]), NOW)
    assert (first.item, first.age, first.attempts) == ("a", 9.0, 1)
    assert (latest.item, latest.error, latest.attempts) == ("b", "b is wrong", 3)


def test_the_line_that_raised() -> None:
    known, unknown = failed(1, location="fetch.py:4, in fetch"), failed(2)
    shown = [failure.location for failure in latest_failures(errors([known, unknown]), NOW)]
    assert shown == ["", "fetch.py:4, in fetch"]


@pytest.mark.parametrize("field", ["item", "kind", "stage", "error", "location"])
def test_no_text_of_a_failure_reaches_the_terminal_as_a_command(field: str) -> None:
    about: dict[str, Any] = {"item": 1} | {field: "\x1b[2J"}
    (shown,) = latest_failures(errors([failed(**about)]), NOW)
    texts = shown.item, shown.stage, shown.error_type, shown.error, shown.location
    assert all(text.isprintable() for text in texts)
    assert any("[2J" in text for text in texts)
