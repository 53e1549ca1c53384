"""Plain data that users read: histograms, statistics, summaries, and dashboards' snapshots."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from math import inf, isnan, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antflow import UnprocessedItem
from antflow.dashboards import DashboardProtocol, DashboardSnapshot, WorkerMetrics, WorkerState
from antflow.results import ErrorSummary, FailedItem
from antflow.stats import Histogram, PipelineStats, StageStats, TaskStats

BOUNDS = (1.0, 2.0, 4.0)


def histogram(*counts: int, seconds: float = nan) -> Histogram:
    return Histogram(BOUNDS, counts, sum=seconds)


@pytest.mark.parametrize(
    ("counts", "q", "seconds"),
    [
        ((4, 0, 0, 0), 0.0, 0.0),
        ((4, 0, 0, 0), 0.25, 0.25),
        ((4, 0, 0, 0), 1.0, 1.0),
        ((0, 2, 0, 0), 0.0, 1.0),
        ((0, 2, 0, 0), 0.5, 1.5),
        ((0, 0, 10, 0), 0.9, 3.8),
        ((1, 1, 0, 0), 0.5, 1.0),
        ((1, 1, 0, 0), 0.75, 1.5),
        ((1, 0, 1, 0), 0.5, 1.0),
        ((1, 0, 1, 0), 1.0, 4.0),
        ((3, 0, 0, 1), 0.75, 1.0),
        ((3, 0, 0, 1), 0.76, 4.0),  # above the last bound: that bound
        ((0, 0, 0, 1), 0.0, 4.0),
        ((0, 0, 0, 5), 0.5, 4.0),
    ],
)
def test_without_a_sum_a_quantile_is_linear_within_its_bucket(
    counts: tuple[int, ...], q: float, seconds: float
) -> None:
    assert histogram(*counts).quantile(q) == pytest.approx(seconds)
    assert histogram(*counts).count == sum(counts)


@pytest.mark.parametrize("q", [0.0, 0.5, 1.0])
def test_a_quantile_of_nothing_is_not_a_number(q: float) -> None:
    assert isnan(histogram(0, 0, 0, 0).quantile(q))


@pytest.mark.parametrize("q", [-0.01, 1.01, 99.0, inf, nan])
def test_a_quantile_outside_of_0_to_1_is_refused(q: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1") as caught:
        histogram(1, 0, 0, 0).quantile(q)
    assert repr(q) in str(caught.value)


@given(
    st.tuples(*[st.integers(0, 1000)] * 4).filter(any),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 5000) | st.just(nan),
)
def test_a_quantile_never_falls_as_q_rises(
    counts: tuple[int, ...], one: float, other: float, seconds: float
) -> None:
    measured = histogram(*counts, seconds=seconds)
    low, high = measured.quantile(min(one, other)), measured.quantile(max(one, other))
    assert 0.0 <= low <= high + 1e-12 <= BOUNDS[-1] + 1e-12


PLAIN = [
    UnprocessedItem("a", 1, {"k": "v"}, 100, "First", 7),
    histogram(1, 2, 3, 4, seconds=30.0),
    TaskStats(1, 0, 0, histogram(1, 0, 0, 0, seconds=0.5)),
    StageStats("Work", 1, 2, 3, 4),
    PipelineStats(3, 4, 3, {"Work": 1}, {"Work": StageStats("Work", 1, 2, 3, 4)}),
    FailedItem("a", "broken", "ValueError", "First", 3, 17.5),
    ErrorSummary(1, {"ValueError": 1}, {"First": 1}, []),
    DashboardSnapshot({}, {}, PipelineStats(0, 0, 0, {}), ErrorSummary(0, {}, {}, []), 17.5),
    WorkerState("First-W0", "First", "busy", "a"),
    WorkerMetrics("First-W0", "First", 3),
]


@pytest.mark.parametrize("plain", PLAIN, ids=lambda plain: type(plain).__name__)
def test_plain_data_can_be_copied_and_pickled(plain: Any) -> None:
    assert pickle.loads(pickle.dumps(plain)) == plain
    assert copy.deepcopy(plain) == plain


@pytest.mark.parametrize("snapshot", PLAIN[1:-2], ids=lambda plain: type(plain).__name__)
def test_a_snapshot_cannot_be_changed(snapshot: Any) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(snapshot, dataclasses.fields(snapshot)[0].name, 1)


@pytest.mark.parametrize(("processed", "average"), [(0, 0.0), (4, 1.5)])
def test_the_average_time_of_a_worker_is_0_before_its_first_item(
    processed: int, average: float
) -> None:
    metrics = WorkerMetrics("W", "S", items_processed=processed, total_processing_time=6.0)
    assert metrics.avg_processing_time == average


@pytest.mark.parametrize(
    ("total", "by_type", "by_stage", "lines"),
    [
        (0, {}, {}, ["No errors occurred"]),
        (1, {}, {}, ["1 failed items"]),
        (1, {"ValueError": 1}, {}, ["1 failed items", "", "By type:", "  ValueError: 1"]),
        (
            9,  # the most frequent first, and of equals the first first
            {"A": 1, "B": 5, "C": 1, "D": 2},
            {"Y": 4, "X": 5},
            [
                *("9 failed items", "", "By type:", "  B: 5", "  D: 2", "  A: 1", "  C: 1"),
                *("", "By stage:", "  X: 5", "  Y: 4"),
            ],
        ),
    ],
)
def test_the_text_of_a_summary_counts_failures_by_type_and_stage(
    total: int, by_type: dict[str, int], by_stage: dict[str, int], lines: list[str]
) -> None:
    assert str(ErrorSummary(total, by_type, by_stage, [])).splitlines() == lines


METHODS = ["on_start", "on_update", "on_finish"]


@pytest.mark.parametrize("missing", [None, *METHODS])
def test_an_object_with_the_three_methods_is_a_dashboard(missing: str | None) -> None:
    methods = {name: print for name in METHODS if name != missing}
    assert isinstance(type("Board", (), methods)(), DashboardProtocol) is (missing is None)
