"""From one snapshot after the other to scenes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from antflow import DashboardSnapshot, Pipeline, Stage
from antflow_rich._reading import counts_of
from antflow_rich._scene import Scene
from antflow_rich._watch import Watch, time_left
from tests.core.simulation import simulate
from tests.rich.snapshots import errors, failed, snapshot, stage


def at(done: int, **known: Any) -> DashboardSnapshot:
    counts: dict[str, Any] = {"items_processed": done, "items_fed": done} | known
    return snapshot(stage(completed_items=done), **counts)


def steadily(watch: Watch, seconds: int, each: int) -> Scene:
    """Return the last scene of a run in which so many items end each second."""
    scene = watch.update(at(0), 100.0, {})
    for second in range(1, seconds + 1):
        scene = watch.update(at(each * second), 100.0 + second, {})
    return scene


def test_before_anything_has_happened() -> None:
    scene = Watch("p", 10).update(at(0), 100.0, {})
    assert (scene.name, scene.elapsed, scene.rate, scene.left) == ("p", 0.0, 0.0, None)
    assert scene.history == ()


def test_rates_and_the_time_that_is_left() -> None:
    scene = steadily(Watch("p", 1000), 10, 20)
    assert scene.elapsed == 10.0
    assert scene.rate == pytest.approx(20.0)
    assert scene.left == pytest.approx(40.0)
    assert scene.stages[0].rate == pytest.approx(20.0)
    assert scene.history == pytest.approx([20.0] * 20)


def test_the_same_snapshots_give_the_same_scene() -> None:
    one, other = (steadily(Watch("p", 1000), 10, 20) for _ in range(2))
    assert repr(one) == repr(other)  # NaN is not equal to itself


def test_items_that_ended_before_the_display_began_are_no_throughput() -> None:
    watch = Watch("p", 1000)
    watch.update(at(500), 100.0, {})
    scene = watch.update(at(510), 101.0, {})
    assert scene.rate == pytest.approx(10.0)
    assert scene.stages[0].rate == pytest.approx(10.0)


def test_a_run_that_stands_still_has_no_end_in_sight() -> None:
    watch = Watch("p", 1000)
    steadily(watch, 10, 20)
    assert watch.update(at(200), 100_000.0, {}).left is None


def test_without_a_total_nothing_is_said_to_be_left() -> None:
    assert steadily(Watch("p", None), 10, 20).left is None


def test_the_time_left_follows_from_the_share_of_the_input() -> None:
    watch = Watch("p", None)
    watch.update(at(0), 100.0, {})
    half = replace(at(100, items_fed=125), input_fraction=0.5)
    scene = watch.update(half, 110.0, {})
    assert scene.counts.share == pytest.approx(0.4)
    assert scene.left == pytest.approx(15.0)  # 150 more, of which 10 end each second
    done = watch.update(replace(at(250), input_fraction=1.0), 120.0, {})
    assert (done.counts.share, done.left) == (1.0, 0.0)


@pytest.mark.parametrize(("fraction", "share"), [(0.0, 0.0), (0.25, 0.25), (None, None)])
def test_an_input_of_which_nothing_was_fed(fraction: float | None, share: float | None) -> None:
    scene = Watch("p", None).update(replace(at(0), input_fraction=fraction), 100.0, {})
    assert (scene.counts.share, scene.left) == (share, None)


def test_nothing_is_left_of_what_is_done() -> None:
    assert time_left(counts_of(at(10).pipeline_stats, 10), 0.0) == 0.0


def test_time_that_stands_still_or_goes_back_changes_no_rate() -> None:
    watch = Watch("p", 1000)
    before = steadily(watch, 10, 20)
    assert watch.update(at(230), 110.0, {}).rate == before.rate
    assert watch.update(at(230), 90.0, {}).elapsed == 10.0
    assert watch.update(at(230), 111.0, {}).rate > before.rate


def test_errors_by_type_with_the_latest_of_each() -> None:
    watch = Watch("p", None)
    items = [failed(1), failed(2, "KeyError"), failed(3), failed(4)]
    first, second = watch.update(snapshot(summary=errors(items)), 100.0, {}).groups
    assert (first.error_type, first.count, second.error_type) == ("ValueError", 3, "KeyError")
    assert first.example is not None
    assert first.example.item == "4"


def test_an_example_is_kept_after_its_item_is_not() -> None:
    watch = Watch("p", None)
    watch.update(snapshot(summary=errors([failed(1)])), 100.0, {})
    later = errors([failed(2, "KeyError")], {"ValueError": 1, "other": 1})
    groups = watch.update(snapshot(summary=later), 101.0, {}).groups
    examples = {group.error_type: group.example for group in groups}
    assert examples["ValueError"] is not None
    assert examples["ValueError"].item == "1"
    assert examples["other"] is None


def test_an_example_of_a_type_that_is_gone_is_not_kept() -> None:
    watch = Watch("p", None)
    for number in range(3):
        name = f"Error{number}"
        watch.update(snapshot(summary=errors([failed(number, name)])), 100.0, {})
    assert set(watch._examples) == {"Error2"}


def test_time_that_went_back_is_not_counted_once_more() -> None:
    """Neither as negative time, nor again as it comes back."""

    def last(*times: float) -> Scene:
        watch = Watch("p", None)
        return [watch.update(at(10), now, {}) for now in times][-1]

    back, straight = last(100.0, 110.0, 105.0, 112.0), last(100.0, 110.0, 112.0)
    assert (back.elapsed, back.history) == (12.0, straight.history)
    assert back.rate == pytest.approx(straight.rate)


def test_plugin_faults_are_those_that_were_told_last() -> None:
    watch = Watch("p", None)
    assert watch.update(at(0), 100.0, {"journal": 2}).faults == {"journal": 2}
    assert watch.end(errors(), {"journal": 3}).faults == {"journal": 3}


def test_the_end_of_a_run() -> None:
    watch = Watch("p", 300)
    steadily(watch, 10, 20)
    watch.update(at(300), 120.0, {})
    scene = watch.end(errors(), {})
    assert not scene.was_interrupted
    assert (scene.elapsed, scene.rate, scene.left) == (20.0, 15.0, None)
    assert scene.bottleneck is None


def test_the_end_of_a_run_has_all_that_failed() -> None:
    watch = Watch("p", 300)
    steadily(watch, 10, 20)
    scene = watch.end(errors([failed(1)]), {})
    assert (scene.counts.succeeded, scene.counts.failed) == (200, 1)
    assert scene.groups[0].count == 1


def test_the_end_before_any_snapshot() -> None:
    scene = Watch("p", None).end(errors(), {})
    assert (scene.rate, scene.elapsed, scene.was_interrupted) == (0.0, 0.0, False)


@pytest.mark.parametrize(
    ("total", "known", "was_interrupted"),
    [
        (10, {}, True),
        (5, {}, False),
        (None, {}, False),
        (None, {"items_fed": 7, "items_unprocessed": 2}, True),
    ],
)
def test_items_that_have_not_ended_tell_that_a_run_was_stopped(
    total: int | None, known: dict[str, int], was_interrupted: bool
) -> None:
    watch = Watch("p", total)
    watch.update(at(5, **known), 100.0, {})
    assert watch.end(errors(), {}).was_interrupted is was_interrupted


def test_the_scenes_of_a_real_run() -> None:
    async def quick(value: int) -> int:
        return value

    async def slow(value: int) -> int:
        await asyncio.sleep(1.0)
        if value == 7:
            raise ValueError("seven")
        return value

    class Recorder:
        def on_start(self, pipeline: Pipeline, total_items: int | None) -> None:
            self.watch = Watch(pipeline.name, total_items)
            self.scenes: list[Scene] = []

        def on_update(self, snapshot: DashboardSnapshot) -> None:
            self.scenes.append(self.watch.update(snapshot, float(len(self.scenes)), {}))

        def on_finish(self, results: object, summary: object) -> None: ...

    recorder = Recorder()
    stages = [
        Stage("Quick", 2, [quick], queue_capacity=4),
        Stage("Slow", 3, [slow], queue_capacity=4, task_attempts=1),
    ]
    pipeline = Pipeline(stages, name="numbers", autoload=False)
    simulate(pipeline.run(range(30), custom_dashboard=recorder, dashboard_update_interval=1.0))
    midway, last = recorder.scenes[5], recorder.scenes[-1]
    assert midway.bottleneck is midway.stages[1]
    assert midway.busy_workers == 3  # those of Quick have handed on what they wait for
    assert [worker.stage for worker in midway.workers if worker.item is not None] == ["Slow"] * 3
    assert midway.rate == pytest.approx(3.0, rel=0.4)
    assert (last.counts.succeeded, last.counts.failed, last.counts.remaining) == (29, 1, 0)
    assert [(group.error_type, group.count) for group in last.groups] == [("ValueError", 1)]
