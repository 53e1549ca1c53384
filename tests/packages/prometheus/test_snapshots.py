"""Snapshots of one run, and sums of them."""

from __future__ import annotations

from math import inf

from antflow import Pipeline, PipelineStats, Stage
from antflow_prometheus._labels import LabelLimiter
from antflow_prometheus._metric_specs import Scope
from antflow_prometheus._snapshots import MetricsSnapshot, take_snapshot
from tests.helpers.virtual_time import simulate
from tests.packages.prometheus.scraping import stage

PIPELINE, STAGE = ("p",), ("p", "Work")


def snapshot_of(pipeline: Pipeline, stats: PipelineStats | None = None) -> MetricsSnapshot:
    stats = stats or pipeline.get_stats()
    return take_snapshot(stats, pipeline.plugin_names, pipeline.plugin_faults, "p", LabelLimiter())


def one_pipeline(*stages: Stage) -> Pipeline:
    return Pipeline(stages or [stage()], name="p", autoload=False)


def counter(snapshot: MetricsSnapshot, scope: Scope, labels: tuple[str, ...], name: str) -> float:
    return snapshot.counters[scope][labels][scope.counters.index(name)]


def level(snapshot: MetricsSnapshot, labels: tuple[str, ...], name: str) -> float:
    """A figure of a stage that is so now; of names that are used twice, the last."""
    names = Scope.STAGE.gauges
    return snapshot.gauges[Scope.STAGE][labels][names.index(name)]


def test_every_list_is_as_long_as_its_scope_says() -> None:
    async def main() -> MetricsSnapshot:
        async def fail(value: int) -> None:
            raise ValueError(value)

        one = one_pipeline(stage(task=fail))
        await one.run(range(3))
        return snapshot_of(one)

    snapshot = simulate(main)
    for scope in (Scope.PIPELINE, Scope.STAGE, Scope.ERROR, Scope.TASK):
        (figures,) = snapshot.counters[scope].values()
        assert len(figures) == len(scope.counters)
    for scope in (Scope.PIPELINE, Scope.STAGE):
        (figures,) = snapshot.gauges[scope].values()
        assert len(figures) == len(scope.gauges)


def test_what_was_skipped_has_not_completed() -> None:
    async def main() -> MetricsSnapshot:
        one = one_pipeline(stage(skip_if=lambda value: value < 2))
        await one.run(range(5))
        return snapshot_of(one)

    snapshot = simulate(main)
    assert counter(snapshot, Scope.STAGE, STAGE, "completed") == 3
    assert counter(snapshot, Scope.STAGE, STAGE, "skipped") == 2
    assert counter(snapshot, Scope.PIPELINE, PIPELINE, "succeeded") == 5


def test_a_stage_without_bound_has_no_end_of_room() -> None:
    snapshot = snapshot_of(one_pipeline(stage(queue_capacity=0), stage("Next", queue_capacity=7)))
    assert level(snapshot, STAGE, "capacity") == inf
    assert level(snapshot, ("p", "Next"), "capacity") == 7


def test_stages_that_share_a_label_are_summed_within_a_run() -> None:
    async def main() -> MetricsSnapshot:
        limiter = LabelLimiter()
        for number in range(200):
            limiter.labels("stage", ("p",), str(number))
        one = one_pipeline(stage("A"), stage("B"))
        await one.run(range(4))
        return take_snapshot(one.get_stats(), (), {}, "p", limiter)

    snapshot = simulate(main)
    assert list(snapshot.counters[Scope.STAGE]) == [("p", "other")]
    assert counter(snapshot, Scope.STAGE, ("p", "other"), "completed") == 8
    assert list(snapshot.counters[Scope.TASK]) == [("p", "other", "same")]


def test_a_counter_never_decreases() -> None:
    first, second = MetricsSnapshot(), MetricsSnapshot()
    first.counters[Scope.STAGE][STAGE] = [5.0, 2.0]
    second.counters[Scope.STAGE][STAGE] = [4.0, 3.0]
    second.counters[Scope.ERROR][*STAGE, "ValueError"] = [1.0]
    first.last_completions[STAGE], second.last_completions[STAGE] = 7.0, 6.0
    second.gauges[Scope.PIPELINE][PIPELINE] = [1.0, 0.0]
    first.merge_monotonic(second)
    assert first.counters[Scope.STAGE][STAGE] == [5.0, 3.0]
    assert first.counters[Scope.ERROR][*STAGE, "ValueError"] == [1.0]
    assert first.last_completions[STAGE] == 7.0
    assert first.gauges is second.gauges


def test_of_a_run_that_is_over_nothing_is_so_now() -> None:
    live, sums = MetricsSnapshot(), MetricsSnapshot()
    live.counters[Scope.PIPELINE][PIPELINE] = [1.0] * 6
    live.gauges[Scope.PIPELINE][PIPELINE] = [1.0, 9.0]
    sums.add(live, has_ended=True)
    assert sums.gauges[Scope.PIPELINE][PIPELINE] == [0.0, 0.0]
    sums.add(live, has_ended=False)
    assert sums.gauges[Scope.PIPELINE][PIPELINE] == [1.0, 9.0]
    assert sums.counters[Scope.PIPELINE][PIPELINE] == [2.0] * 6


def test_a_copy_may_be_added_to() -> None:
    one = MetricsSnapshot()
    one.counters[Scope.STAGE][STAGE] = [1.0]
    copy = one.copy()
    copy.add(one, has_ended=False)
    copy.add_completion(STAGE, 3.0)
    assert one.counters[Scope.STAGE][STAGE] == [1.0]
    assert one.last_completions == {}
