"""Plain data that users read."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from math import inf, isnan, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antflow import Pipeline, Stage
from antflow.dashboards import DashboardProtocol, DashboardSnapshot, WorkerMetrics, WorkerState
from antflow.results import ErrorSummary, FailedItem, PipelineResult, UnprocessedItem
from antflow.stats import Histogram, PipelineStats, StageStats, TaskStats
from tests.helpers.runs import same
from tests.helpers.virtual_time import simulate

BOUNDS = (1.0, 2.0, 4.0)


def histogram(*counts: int, seconds: float = nan) -> Histogram:
    return Histogram(BOUNDS, counts, sum=seconds)


def made_by_a_user() -> PipelineResult:
    return PipelineResult("a", 1, 7, {"source": "x"})


def made_by_a_run() -> PipelineResult:
    async def main() -> PipelineResult:
        pipeline = Pipeline([Stage("Work", 1, [same])])
        await pipeline.feed([UnprocessedItem("a", 1, {"source": "x"}, 100, "Work", 7, {})])
        await pipeline.start()
        await pipeline.join()
        (result,) = pipeline.results
        return result

    return simulate(main)


both_kinds = pytest.mark.parametrize("make", [made_by_a_user, made_by_a_run])


class TestQuantile:
    @pytest.mark.parametrize("q", [0.0, 0.5, 1.0])
    def test_of_nothing_is_not_a_number(self, q: float) -> None:
        assert isnan(histogram(0, 0, 0, 0).quantile(q))

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
        ],
    )
    def test_without_a_sum_it_is_linear_within_its_bucket(
        self, counts: tuple[int, ...], q: float, seconds: float
    ) -> None:
        assert histogram(*counts).quantile(q) == pytest.approx(seconds)

    @pytest.mark.parametrize(
        ("counts", "q"), [((0, 0, 0, 1), 0.0), ((0, 0, 0, 5), 0.5), ((3, 0, 0, 1), 0.76)]
    )
    def test_above_the_last_bound_is_the_last_bound(
        self, counts: tuple[int, ...], q: float
    ) -> None:
        assert histogram(*counts).quantile(q) == BOUNDS[-1]

    @pytest.mark.parametrize("q", [-0.01, 1.01, 99.0, inf, float("nan")])
    def test_outside_of_0_to_1_is_refused_by_name(self, q: float) -> None:
        with pytest.raises(ValueError, match="between 0 and 1") as caught:
            histogram(1, 0, 0, 0).quantile(q)
        assert repr(q) in str(caught.value)

    @given(
        st.tuples(*[st.integers(0, 1000)] * 4).filter(any),
        st.floats(0, 1),
        st.floats(0, 1),
        st.floats(0, 5000) | st.just(nan),
    )
    def test_never_falls_as_q_rises(
        self, counts: tuple[int, ...], one: float, other: float, seconds: float
    ) -> None:
        measured = histogram(*counts, seconds=seconds)
        low, high = measured.quantile(min(one, other)), measured.quantile(max(one, other))
        assert 0.0 <= low <= high + 1e-12 <= BOUNDS[-1] + 1e-12

    def test_count_is_of_all_buckets(self) -> None:
        assert histogram(1, 2, 3, 4).count == 10


class TestPipelineResult:
    def test_says_no_more_than_it_must(self) -> None:
        result = PipelineResult(id="a", value=1, sequence_id=0)
        assert result.metadata == {}
        assert result.error is None
        assert result.stage is None
        assert result.attempts == 1

    def test_without_an_error_is_a_success(self) -> None:
        assert PipelineResult("a", 1, 0).is_success
        assert not PipelineResult("a", 1, 0, error=ValueError()).is_success

    def test_does_not_share_metadata_with_another(self) -> None:
        first, second = PipelineResult(1, 1, 1), PipelineResult(2, 2, 2)
        first.metadata["mine"] = True
        assert second.metadata == {}
        assert first.metadata == {"mine": True}

    @both_kinds
    def test_metadata_can_be_replaced(self, make: Callable[[], PipelineResult]) -> None:
        result: Any = make()
        result.metadata = {"new": 1}
        assert result.metadata == {"new": 1}

    @both_kinds
    def test_equals_another_of_the_same_fields(self, make: Callable[[], PipelineResult]) -> None:
        assert make() == made_by_a_user()
        assert made_by_a_user() == make()

    @both_kinds
    @pytest.mark.parametrize(
        "change",
        [
            {"id": "b"},
            {"value": 2},
            {"sequence_id": 8},
            {"metadata": {}},
            {"error": ValueError()},
            {"stage": "Other"},
            {"attempts": 2},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_differs_from_another_in_any_field(
        self, make: Callable[[], PipelineResult], change: dict[str, Any]
    ) -> None:
        assert make() != dataclasses.replace(make(), **change)

    @both_kinds
    @pytest.mark.parametrize(
        "duplicate",
        [copy.copy, copy.deepcopy, dataclasses.replace, lambda r: pickle.loads(pickle.dumps(r))],
        ids=["copy", "deepcopy", "replace", "pickle"],
    )
    def test_can_be_duplicated(
        self,
        make: Callable[[], PipelineResult],
        duplicate: Callable[[PipelineResult], PipelineResult],
    ) -> None:
        result = make()
        twin = duplicate(result)
        assert twin == result
        assert twin is not result
        assert type(twin) is PipelineResult

    @both_kinds
    def test_becomes_a_dict(self, make: Callable[[], PipelineResult]) -> None:
        assert dataclasses.asdict(make()) == {
            "id": "a",
            "value": 1,
            "sequence_id": 7,
            "metadata": {"source": "x"},
            "error": None,
            "stage": None,
            "attempts": 1,
            "outcome": "succeeded",
            "reason": None,
        }

    @both_kinds
    def test_shows_its_fields(self, make: Callable[[], PipelineResult]) -> None:
        assert repr(make()) == (
            "PipelineResult(id='a', value=1, sequence_id=7, metadata={'source': 'x'}, "
            "error=None, stage=None, attempts=1, outcome='succeeded', reason=None)"
        )

    @both_kinds
    def test_takes_no_attribute_that_it_does_not_have(
        self, make: Callable[[], PipelineResult]
    ) -> None:
        with pytest.raises(AttributeError):
            make().vlaue = 3  # type: ignore[attr-defined]

    def test_can_be_matched_by_its_fields(self) -> None:
        match made_by_a_run():
            case PipelineResult(id=identity, value=value, error=None):
                assert (identity, value) == ("a", 1)
            case _:
                pytest.fail("no match")


@pytest.mark.parametrize(
    "snapshot",
    [
        Histogram,
        TaskStats,
        StageStats,
        PipelineStats,
        FailedItem,
        ErrorSummary,
        DashboardSnapshot,
    ],
)
def test_a_snapshot_cannot_be_changed(snapshot: type) -> None:
    fields = [field.name for field in dataclasses.fields(snapshot)]
    made = snapshot(**dict.fromkeys(fields))
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(made, fields[0], 1)


@pytest.mark.parametrize(
    "plain",
    [
        UnprocessedItem("a", 1, {"k": "v"}, 100, "First", 7),
        histogram(1, 2, 3, 4, seconds=30.0),
        TaskStats(1, 0, 0, histogram(1, 0, 0, 0, seconds=0.5)),
        WorkerState("First-W0", "First", "busy", "a"),
        WorkerMetrics("First-W0", "First", 3),
        FailedItem("a", "broken", "ValueError", "First", 3, 17.5),
        ErrorSummary(1, {"ValueError": 1}, {"First": 1}, []),
        DashboardSnapshot({}, {}, PipelineStats(0, 0, 0, {}), ErrorSummary(0, {}, {}, []), 17.5),
    ],
    ids=lambda plain: type(plain).__name__,
)
def test_plain_data_travels(plain: Any) -> None:
    assert pickle.loads(pickle.dumps(plain)) == plain
    assert copy.deepcopy(plain) == plain


@pytest.mark.parametrize(("processed", "average"), [(0, 0.0), (4, 1.5)])
def test_average_processing_time(processed: int, average: float) -> None:
    metrics = WorkerMetrics("W", "S", items_processed=processed, total_processing_time=6.0)
    assert metrics.avg_processing_time == average


def test_statistics_can_be_built_from_their_first_five_fields() -> None:
    one = StageStats("Work", 1, 2, 3, 4)
    assert one == StageStats(
        stage_name="Work",
        pending_items=1,
        in_progress_items=2,
        completed_items=3,
        failed_items=4,
    )
    assert (one.stage_name, one.pending_items, one.in_progress_items) == ("Work", 1, 2)
    assert (one.completed_items, one.failed_items) == (3, 4)
    every = PipelineStats(3, 4, 3, {"Work": 1}, {"Work": one})
    assert every == PipelineStats(
        items_processed=3,
        items_failed=4,
        items_in_flight=3,
        queue_sizes={"Work": 1},
        stage_stats={"Work": one},
    )
    assert every.stage_stats["Work"] is one


def test_statistics_that_were_built_share_nothing() -> None:
    first, second = StageStats("A", 0, 0, 0, 0), StageStats("B", 0, 0, 0, 0)
    first.tasks["x"] = first.errors_by_type["x"] = None  # type: ignore[assignment]
    assert not second.tasks
    assert not second.errors_by_type


def summary(total: int, by_type: dict[str, int], by_stage: dict[str, int]) -> ErrorSummary:
    return ErrorSummary(total, by_type, by_stage, [])


class TestErrorSummary:
    def test_of_no_failure_says_so(self) -> None:
        assert str(summary(0, {}, {})) == "No errors occurred"

    def test_of_failures_counts_them_by_type_and_by_stage(self) -> None:
        text = str(summary(3, {"ValueError": 2, "KeyError": 1}, {"Fetch": 3}))
        assert text.splitlines() == [
            "3 failed items",
            "",
            "By type:",
            "  ValueError: 2",
            "  KeyError: 1",
            "",
            "By stage:",
            "  Fetch: 3",
        ]

    def test_names_the_most_frequent_first_and_of_equals_the_first_first(self) -> None:
        lines = str(summary(9, {"A": 1, "B": 5, "C": 1, "D": 2}, {"Y": 4, "X": 5})).splitlines()
        assert [line.strip() for line in lines if line.startswith("  ")] == [
            "B: 5",
            "D: 2",
            "A: 1",
            "C: 1",
            "X: 5",
            "Y: 4",
        ]

    def test_leaves_out_what_is_not_known(self) -> None:
        assert str(summary(1, {}, {})) == "1 failed items"
        assert "By stage" not in str(summary(1, {"ValueError": 1}, {}))

    def test_shows_its_fields(self) -> None:
        assert repr(summary(0, {}, {})) == (
            "ErrorSummary(total_failed=0, errors_by_type={}, errors_by_stage={}, failed_items=[])"
        )


class Whole:
    """A dashboard that knows nothing of the protocol."""

    def on_start(self, pipeline: Any, total_items: int | None) -> None:
        """Nothing."""

    async def on_update(self, snapshot: DashboardSnapshot) -> None:
        """Nothing."""

    def on_finish(self, results: list[PipelineResult], summary: ErrorSummary) -> None:
        """Nothing."""


class TestDashboardProtocol:
    def test_any_object_with_its_methods_is_one(self) -> None:
        dashboard: DashboardProtocol = Whole()
        assert isinstance(dashboard, DashboardProtocol)

    @pytest.mark.parametrize("method", ["on_start", "on_update", "on_finish"])
    def test_an_object_that_lacks_one_is_none(self, method: str) -> None:
        others = {name: print for name in ("on_start", "on_update", "on_finish") if name != method}
        assert not isinstance(type("Lacking", (), others)(), DashboardProtocol)

    def test_can_be_inherited(self) -> None:
        class Heir(Whole, DashboardProtocol):
            """Says what it is."""

        assert isinstance(Heir(), DashboardProtocol)
