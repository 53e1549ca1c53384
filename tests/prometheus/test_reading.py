"""Figures are read from a run, rise with it, and are summed over runs."""

from __future__ import annotations

from math import inf

from antflow import Pipeline, PipelineStats, Stage
from antflow_prometheus._names import Names
from antflow_prometheus._reading import Reading, read
from antflow_prometheus._table import Scope
from tests.core.simulation import simulate
from tests.prometheus.scraping import stage

PIPELINE, STAGE = ("p",), ("p", "Work")


def reading_of(pipeline: Pipeline, stats: PipelineStats | None = None) -> Reading:
    stats = stats or pipeline.get_stats()
    return read(stats, pipeline.plugin_names, pipeline.plugin_faults, "p", Names())


def one_pipeline(*stages: Stage) -> Pipeline:
    return Pipeline(stages or [stage()], name="p", autoload=False)


def figure(reading: Reading, scope: Scope, labels: tuple[str, ...], name: str) -> float:
    return reading.counted[scope][labels][scope.counted.index(name)]


def level(reading: Reading, labels: tuple[str, ...], name: str) -> float:
    """A figure of a stage that is so now; of names that are used twice, the last."""
    names = Scope.STAGE.measured
    return reading.measured[Scope.STAGE][labels][names.index(name)]


def test_every_list_is_as_long_as_its_scope_says() -> None:
    async def main() -> Reading:
        async def fail(value: int) -> None:
            raise ValueError(value)

        one = one_pipeline(stage(task=fail))
        await one.run(range(3))
        return reading_of(one)

    reading = simulate(main)
    for scope in (Scope.PIPELINE, Scope.STAGE, Scope.ERROR, Scope.TASK):
        (figures,) = reading.counted[scope].values()
        assert len(figures) == len(scope.counted)
    for scope in (Scope.PIPELINE, Scope.STAGE):
        (figures,) = reading.measured[scope].values()
        assert len(figures) == len(scope.measured)


def test_what_was_skipped_has_not_completed() -> None:
    async def main() -> Reading:
        one = one_pipeline(stage(skip_if=lambda value: value < 2))
        await one.run(range(5))
        return reading_of(one)

    reading = simulate(main)
    assert figure(reading, Scope.STAGE, STAGE, "completed") == 3
    assert figure(reading, Scope.STAGE, STAGE, "skipped") == 2
    assert figure(reading, Scope.PIPELINE, PIPELINE, "succeeded") == 5


def test_a_stage_without_bound_has_no_end_of_room() -> None:
    reading = reading_of(one_pipeline(stage(queue_capacity=0), stage("Next", queue_capacity=7)))
    assert level(reading, STAGE, "capacity") == inf
    assert level(reading, ("p", "Next"), "capacity") == 7


def test_stages_that_share_a_label_are_summed_within_a_run() -> None:
    async def main() -> Reading:
        names = Names()
        for number in range(200):
            names.of("stage", ("p",), str(number))
        one = one_pipeline(stage("A"), stage("B"))
        await one.run(range(4))
        return read(one.get_stats(), (), {}, "p", names)

    reading = simulate(main)
    assert list(reading.counted[Scope.STAGE]) == [("p", "other")]
    assert figure(reading, Scope.STAGE, ("p", "other"), "completed") == 8
    assert list(reading.counted[Scope.TASK]) == [("p", "other", "same")]


def test_a_figure_never_falls() -> None:
    first, second = Reading(), Reading()
    first.counted[Scope.STAGE][STAGE] = [5.0, 2.0]
    second.counted[Scope.STAGE][STAGE] = [4.0, 3.0]
    second.counted[Scope.ERROR][*STAGE, "ValueError"] = [1.0]
    first.completed_at[STAGE], second.completed_at[STAGE] = 7.0, 6.0
    second.measured[Scope.PIPELINE][PIPELINE] = [1.0, 0.0]
    first.rise(second)
    assert first.counted[Scope.STAGE][STAGE] == [5.0, 3.0]
    assert first.counted[Scope.ERROR][*STAGE, "ValueError"] == [1.0]
    assert first.completed_at[STAGE] == 7.0
    assert first.measured is second.measured


def test_of_a_run_that_is_over_nothing_is_so_now() -> None:
    live, sums = Reading(), Reading()
    live.counted[Scope.PIPELINE][PIPELINE] = [1.0] * 6
    live.measured[Scope.PIPELINE][PIPELINE] = [1.0, 9.0]
    sums.add(live, is_over=True)
    assert sums.measured[Scope.PIPELINE][PIPELINE] == [0.0, 0.0]
    sums.add(live, is_over=False)
    assert sums.measured[Scope.PIPELINE][PIPELINE] == [1.0, 9.0]
    assert sums.counted[Scope.PIPELINE][PIPELINE] == [2.0] * 6


def test_a_copy_may_be_added_to() -> None:
    one = Reading()
    one.counted[Scope.STAGE][STAGE] = [1.0]
    copy = one.copy()
    copy.add(one, is_over=False)
    copy.complete(STAGE, 3.0)
    assert one.counted[Scope.STAGE][STAGE] == [1.0]
    assert one.completed_at == {}
