"""Snapshots of one run, and sums of them."""

from __future__ import annotations

from typing import Any

from antflow import Pipeline
from antflow_otel import _metric_specs as specs
from antflow_otel._labels import MAX_LABELS, LabelLimiter
from antflow_otel._snapshots import MetricsSnapshot, Series, take_snapshot
from tests.helpers.virtual_time import Gate, settle, simulate
from tests.packages.otel.metering import stage

P: Series = (("antflow.pipeline.name", "p"),)


def take_now(pipeline: Pipeline, *, with_durations: bool = False) -> MetricsSnapshot:
    return take_snapshot(
        pipeline, pipeline.get_stats(), LabelLimiter(), with_durations=with_durations
    )


def snapshot_of(spec: specs.MetricSpec, figure: float, *more: tuple[str, str]) -> MetricsSnapshot:
    snapshot = MetricsSnapshot()
    snapshot.add_point(spec, (*P, *more), figure)
    return snapshot


def test_items_in_a_stage_are_counted_by_state() -> None:
    async def main() -> None:
        gate = Gate()
        pipeline = Pipeline([stage(task=gate, queue_capacity=9)], name="p", autoload=False)
        await pipeline.start()
        await pipeline.feed(range(5))
        await settle()
        points = take_now(pipeline).points
        assert {dict(s)["antflow.item.state"]: n for s, n in points[specs.STAGE_ITEMS].items()} == {
            "pending": 3,
            "in_progress": 2,
        }
        assert {dict(s)["antflow.worker.state"]: n for s, n in points[specs.WORKERS].items()} == {
            "idle": 0,
            "busy": 2,
            "waiting": 0,
            "blocked": 0,
        }
        assert list(points[specs.STAGE_CAPACITY].values()) == [9]
        assert list(points[specs.ITEMS].values()) == [5]
        gate.open()
        await pipeline.join()

    simulate(main)


def test_a_queue_without_bound_has_no_capacity() -> None:
    pipeline = Pipeline([stage(queue_capacity=0)], name="p", autoload=False)
    assert specs.STAGE_CAPACITY not in take_now(pipeline).points


def test_failures_are_counted_by_error_class_beside_a_series_of_zero() -> None:
    async def fail(value: int) -> None:
        raise (ValueError if value else KeyError)(value)

    pipeline = Pipeline([stage(task=fail)], name="p", autoload=False)

    def failures() -> dict[str, float]:
        rows = take_now(pipeline).points[specs.STAGE_LEFT]
        points = [(dict(series), figure) for series, figure in rows.items()]
        return {
            each.get("error.type", ""): figure
            for each, figure in points
            if each["antflow.outcome"] == "failed"
        }

    assert failures() == {"": 0}
    simulate(lambda: pipeline.run([0, 1, 2]))
    assert failures() == {"": 0, "KeyError": 1, "ValueError": 2}


def test_past_fifty_classes_errors_are_of_the_type_other() -> None:
    async def fail(value: int) -> Any:
        raise type(f"E{value}", (Exception,), {})

    pipeline = Pipeline([stage(task=fail)], name="p", autoload=False)
    simulate(lambda: pipeline.run(range(60)))
    rows = take_now(pipeline).points[specs.STAGE_LEFT]
    types = {dict(series).get("error.type") for series in rows}
    assert "_OTHER" in types
    assert "other" not in types


def test_stages_past_the_most_are_summed() -> None:
    stages = [stage(f"S{number}") for number in range(MAX_LABELS + 2)]
    pipeline = Pipeline(stages, name="p", autoload=False)
    simulate(lambda: pipeline.run([1]))
    rows = take_now(pipeline).points[specs.STAGE_ENTERED]
    assert len(rows) == MAX_LABELS + 1
    assert rows[(*P, ("antflow.stage.name", "other"))] == 2


def test_durations_are_read_where_they_are_wanted() -> None:
    pipeline = Pipeline([stage()], name="p", autoload=False)
    simulate(lambda: pipeline.run(range(7)))
    assert take_now(pipeline).durations == {}
    durations = take_now(pipeline, with_durations=True).durations
    assert set(durations) == {specs.ITEM_WAIT_QUANTILE, specs.ATTEMPT_DURATION_QUANTILE}
    for rows in durations.values():
        assert [sum(counts[:-1]) for counts in rows.values()] == [7]


def test_what_was_shown_does_not_fall_but_for_what_is_so_now() -> None:
    snapshot = snapshot_of(specs.STAGE_ENTERED, 5)
    snapshot.merge_monotonic(snapshot_of(specs.STAGE_ENTERED, 3))
    assert snapshot.points[specs.STAGE_ENTERED] == {P: 5}
    snapshot.merge_monotonic(snapshot_of(specs.STAGE_ENTERED, 8, ("a", "b")))
    assert snapshot.points[specs.STAGE_ENTERED] == {P: 5, (*P, ("a", "b")): 8}
    snapshot = snapshot_of(specs.ITEMS, 5)
    snapshot.merge_monotonic(snapshot_of(specs.ITEMS, 3))
    assert snapshot.points[specs.ITEMS] == {P: 3}


def test_of_a_run_that_is_over_nothing_is_so_now() -> None:
    sums = MetricsSnapshot()
    sums.add(snapshot_of(specs.ITEMS, 5), has_ended=True)
    sums.add(snapshot_of(specs.ITEMS_FED, 5), has_ended=True)
    assert sums.points == {specs.ITEMS: {P: 0}, specs.ITEMS_FED: {P: 5}}
    sums.add(snapshot_of(specs.ITEMS, 2), has_ended=False)
    assert sums.points[specs.ITEMS] == {P: 2}


def test_durations_add_bucket_by_bucket_and_a_copy_is_apart() -> None:
    one = MetricsSnapshot()
    one.add_durations(specs.ITEM_WAIT_QUANTILE, P, (1, 0, 2))
    copy = one.copy()
    copy.add_durations(specs.ITEM_WAIT_QUANTILE, P, (0, 1, 1))
    assert copy.durations == {specs.ITEM_WAIT_QUANTILE: {P: (1, 1, 3)}}
    assert one.durations == {specs.ITEM_WAIT_QUANTILE: {P: (1, 0, 2)}}
