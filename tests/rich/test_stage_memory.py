"""What is remembered of a stage from one snapshot to the next."""

from __future__ import annotations

import pytest

from antflow_rich._stage_memory import StageMemory
from tests.rich.snapshots import stage


def test_what_workers_time_went_into() -> None:
    seconds = {"busy": 1.0, "waiting": 0.0, "blocked": 0.0, "idle": 3.0}
    memory = StageMemory.of(stage(seconds=seconds))
    later = stage(seconds={"busy": 4.0, "waiting": 0.0, "blocked": 1.0, "idle": 3.0})
    shown = memory.after(later, 2.0).scene(later)
    assert shown.lately == (0.75, 0.0, 0.25, 0.0)
    assert shown.overall == (0.5, 0.0, 0.125, 0.375)


def test_items_leave_a_stage_in_three_ways() -> None:
    memory = StageMemory.of(stage(completed_items=10))
    later = stage(completed_items=12, failed_items=3, dropped_items=5)
    assert memory.after(later, 2.0).scene(later).rate == pytest.approx(5.0)


def test_workers_that_have_gone_home_are_still_counted() -> None:
    later = stage(workers={})
    shown = StageMemory.of(stage()).after(later, 1.0).scene(later)
    assert (shown.workers, shown.busy) == (2, 0)


def test_no_time_changes_nothing() -> None:
    memory = StageMemory.of(stage(completed_items=10))
    assert memory.after(stage(completed_items=12), 0.0) is memory
