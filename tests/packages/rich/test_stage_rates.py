"""Rates of a stage, from one snapshot to the next."""

from __future__ import annotations

import pytest

from antflow_rich._rates import StageRates
from antflow_rich._view_builder import stage_view
from tests.packages.rich.snapshots import stage


def test_shares_of_the_workers_time() -> None:
    seconds = {"busy": 1.0, "waiting": 0.0, "blocked": 0.0, "idle": 3.0}
    rates = StageRates.of(stage(seconds=seconds))
    later = stage(seconds={"busy": 4.0, "waiting": 0.0, "blocked": 1.0, "idle": 3.0})
    now = rates.after(later, 2.0)
    assert now.recent == (0.75, 0.0, 0.25, 0.0)
    assert now.overall == (0.5, 0.0, 0.125, 0.375)


def test_the_rate_counts_completed_failed_and_dropped_items() -> None:
    rates = StageRates.of(stage(completed_items=10))
    later = stage(completed_items=12, failed_items=3, dropped_items=5)
    assert rates.after(later, 2.0).rate == pytest.approx(5.0)


def test_workers_that_have_stopped_are_still_counted() -> None:
    later = stage(workers={})
    shown = stage_view(later, StageRates.of(stage()).after(later, 1.0))
    assert (shown.workers, shown.busy) == (2, 0)


def test_no_time_changes_nothing() -> None:
    rates = StageRates.of(stage(completed_items=10))
    assert rates.after(stage(completed_items=12), 0.0) is rates
