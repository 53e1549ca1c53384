"""Views built from consecutive snapshots."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from antflow import DashboardSnapshot, Pipeline, Stage
from antflow_rich._view_builder import ViewBuilder, counts_of, estimate_seconds_left
from antflow_rich._views import RunView
from tests.helpers.virtual_time import simulate
from tests.packages.rich.snapshots import errors, failed, snapshot, stage


def at(done: int, **known: Any) -> DashboardSnapshot:
    counts: dict[str, Any] = {"items_processed": done, "items_fed": done} | known
    return snapshot(stage(completed_items=done), **counts)


def steadily(builder: ViewBuilder, seconds: int, each: int) -> RunView:
    """Return the last view of a run in which `each` items end per second."""
    view = builder.update(at(0), 100.0, {})
    for second in range(1, seconds + 1):
        view = builder.update(at(each * second), 100.0 + second, {})
    return view


def test_before_anything_has_happened() -> None:
    view = ViewBuilder("p", 10).update(at(0), 100.0, {})
    assert (view.name, view.elapsed, view.rate, view.seconds_left) == ("p", 0.0, 0.0, None)
    assert view.history == ()


def test_rates_and_the_time_that_is_left() -> None:
    view = steadily(ViewBuilder("p", 1000), 10, 20)
    assert view.elapsed == 10.0
    assert view.rate == pytest.approx(20.0)
    assert view.seconds_left == pytest.approx(40.0)
    assert view.stages[0].rate == pytest.approx(20.0)
    assert view.history == pytest.approx([20.0] * 20)


def test_the_same_snapshots_give_the_same_view() -> None:
    one, other = (steadily(ViewBuilder("p", 1000), 10, 20) for _ in range(2))
    assert repr(one) == repr(other)  # NaN is not equal to itself


def test_items_that_ended_before_the_display_began_are_no_throughput() -> None:
    builder = ViewBuilder("p", 1000)
    builder.update(at(500), 100.0, {})
    view = builder.update(at(510), 101.0, {})
    assert view.rate == pytest.approx(10.0)
    assert view.stages[0].rate == pytest.approx(10.0)


def test_the_time_left_of_a_run_that_stands_still_is_unknown() -> None:
    builder = ViewBuilder("p", 1000)
    steadily(builder, 10, 20)
    assert builder.update(at(200), 100_000.0, {}).seconds_left is None


def test_without_a_total_the_time_left_is_unknown() -> None:
    assert steadily(ViewBuilder("p", None), 10, 20).seconds_left is None


def test_the_time_left_follows_from_the_share_of_the_input() -> None:
    builder = ViewBuilder("p", None)
    builder.update(at(0), 100.0, {})
    half = replace(at(100, items_fed=125), input_fraction=0.5)
    view = builder.update(half, 110.0, {})
    assert view.counts.share == pytest.approx(0.4)
    assert view.seconds_left == pytest.approx(15.0)  # 150 more, of which 10 end each second
    done = builder.update(replace(at(250), input_fraction=1.0), 120.0, {})
    assert (done.counts.share, done.seconds_left) == (1.0, 0.0)


@pytest.mark.parametrize(("fraction", "share"), [(0.0, 0.0), (0.25, 0.25), (None, None)])
def test_an_input_of_which_nothing_was_fed(fraction: float | None, share: float | None) -> None:
    view = ViewBuilder("p", None).update(replace(at(0), input_fraction=fraction), 100.0, {})
    assert (view.counts.share, view.seconds_left) == (share, None)


def test_nothing_is_left_of_what_is_done() -> None:
    assert estimate_seconds_left(counts_of(at(10).pipeline_stats, 10), 0.0) == 0.0


def test_time_that_stands_still_or_goes_back_changes_no_rate() -> None:
    builder = ViewBuilder("p", 1000)
    before = steadily(builder, 10, 20)
    assert builder.update(at(230), 110.0, {}).rate == before.rate
    assert builder.update(at(230), 90.0, {}).elapsed == 10.0
    assert builder.update(at(230), 111.0, {}).rate > before.rate


def test_errors_by_type_with_the_latest_of_each() -> None:
    builder = ViewBuilder("p", None)
    items = [failed(1), failed(2, "KeyError"), failed(3), failed(4)]
    first, second = builder.update(snapshot(summary=errors(items)), 100.0, {}).groups
    assert (first.error_type, first.count, second.error_type) == ("ValueError", 3, "KeyError")
    assert first.example is not None
    assert first.example.item == "4"


def test_an_example_is_kept_after_its_item_is_not() -> None:
    builder = ViewBuilder("p", None)
    builder.update(snapshot(summary=errors([failed(1)])), 100.0, {})
    later = errors([failed(2, "KeyError")], {"ValueError": 1, "other": 1})
    groups = builder.update(snapshot(summary=later), 101.0, {}).groups
    examples = {group.error_type: group.example for group in groups}
    assert examples["ValueError"] is not None
    assert examples["ValueError"].item == "1"
    assert examples["other"] is None


def test_an_example_of_a_type_that_is_gone_is_not_kept() -> None:
    builder = ViewBuilder("p", None)
    for number in range(3):
        name = f"Error{number}"
        builder.update(snapshot(summary=errors([failed(number, name)])), 100.0, {})
    assert set(builder._examples) == {"Error2"}


def test_time_that_went_back_is_not_counted_once_more() -> None:
    """Neither as negative time, nor again as it comes back."""

    def last(*times: float) -> RunView:
        builder = ViewBuilder("p", None)
        return [builder.update(at(10), now, {}) for now in times][-1]

    back, straight = last(100.0, 110.0, 105.0, 112.0), last(100.0, 110.0, 112.0)
    assert (back.elapsed, back.history) == (12.0, straight.history)
    assert back.rate == pytest.approx(straight.rate)


def test_plugin_faults_are_the_latest_ones() -> None:
    builder = ViewBuilder("p", None)
    assert builder.update(at(0), 100.0, {"journal": 2}).faults == {"journal": 2}
    assert builder.finish(errors(), {"journal": 3}).faults == {"journal": 3}


def test_the_end_of_a_run() -> None:
    builder = ViewBuilder("p", 300)
    steadily(builder, 10, 20)
    builder.update(at(300), 120.0, {})
    view = builder.finish(errors(), {})
    assert not view.was_interrupted
    assert (view.elapsed, view.rate, view.seconds_left) == (20.0, 15.0, None)
    assert view.bottleneck is None


def test_the_end_of_a_run_has_all_that_failed() -> None:
    builder = ViewBuilder("p", 300)
    steadily(builder, 10, 20)
    view = builder.finish(errors([failed(1)]), {})
    assert (view.counts.succeeded, view.counts.failed) == (200, 1)
    assert view.groups[0].count == 1


def test_the_end_before_any_snapshot() -> None:
    view = ViewBuilder("p", None).finish(errors(), {})
    assert (view.rate, view.elapsed, view.was_interrupted) == (0.0, 0.0, False)


@pytest.mark.parametrize(
    ("total", "known", "was_interrupted"),
    [
        (10, {}, True),
        (5, {}, False),
        (None, {}, False),
        (None, {"items_fed": 7, "items_unprocessed": 2}, True),
    ],
)
def test_a_run_with_items_that_have_not_ended_was_interrupted(
    total: int | None, known: dict[str, int], was_interrupted: bool
) -> None:
    builder = ViewBuilder("p", total)
    builder.update(at(5, **known), 100.0, {})
    assert builder.finish(errors(), {}).was_interrupted is was_interrupted


def test_the_views_of_a_real_run() -> None:
    async def quick(value: int) -> int:
        return value

    async def slow(value: int) -> int:
        await asyncio.sleep(1.0)
        if value == 7:
            raise ValueError("seven")
        return value

    class Recorder:
        def on_start(self, pipeline: Pipeline, total_items: int | None) -> None:
            self.builder = ViewBuilder(pipeline.name, total_items)
            self.views: list[RunView] = []

        def on_update(self, snapshot: DashboardSnapshot) -> None:
            self.views.append(self.builder.update(snapshot, float(len(self.views)), {}))

        def on_finish(self, results: object, summary: object) -> None: ...

    recorder = Recorder()
    stages = [
        Stage("Quick", 2, [quick], queue_capacity=4),
        Stage("Slow", 3, [slow], queue_capacity=4, task_attempts=1),
    ]
    pipeline = Pipeline(stages, name="numbers", autoload=False)
    simulate(pipeline.run(range(30), custom_dashboard=recorder, dashboard_update_interval=1.0))
    midway, last = recorder.views[5], recorder.views[-1]
    assert midway.bottleneck is midway.stages[1]
    assert midway.busy_workers == 3  # those of Quick have handed on what they wait for
    assert [worker.stage for worker in midway.workers if worker.item is not None] == ["Slow"] * 3
    assert midway.rate == pytest.approx(3.0, rel=0.4)
    assert (last.counts.succeeded, last.counts.failed, last.counts.remaining) == (29, 1, 0)
    assert [(group.error_type, group.count) for group in last.groups] == [("ValueError", 1)]
