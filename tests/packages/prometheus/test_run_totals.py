"""Totals of ended and of live runs."""

from __future__ import annotations

import asyncio
import gc
import warnings
from dataclasses import replace
from weakref import ref

import pytest

from antflow import Pipeline
from antflow_prometheus._metric_specs import Scope
from antflow_prometheus._run_totals import MAX_PENDING, RunTotals
from tests.helpers.virtual_time import Gate, settle, simulate
from tests.packages.prometheus.scraping import stage

BUCKETS = (1.0,)


def counters(totals: RunTotals, scope: Scope = Scope.PIPELINE, *labels: str) -> dict[str, float]:
    snapshot, _ = totals.snapshot()
    return dict(zip(scope.counters, snapshot.counters[scope][labels or ("p",)], strict=True))


def levels(totals: RunTotals, name: str = "p") -> list[float]:
    snapshot, _ = totals.snapshot()
    return snapshot.gauges[Scope.PIPELINE][name,]


class CountedPipeline:
    """A pipeline whose runs a test adds to totals by hand."""

    def __init__(self, totals: RunTotals, name: str = "p") -> None:
        self.totals = totals
        self.pipeline = Pipeline([stage()], name=name, autoload=False)

    async def run(self, items: int) -> None:
        await self.begin(items)
        await self.pipeline.join()
        self.totals.finish_run(self.pipeline)

    async def begin(self, items: int) -> None:
        await self.pipeline.start()
        self.totals.start_run(self.pipeline, asyncio.get_running_loop(), BUCKETS)
        await self.pipeline.feed(range(items))


def test_a_second_run_adds() -> None:
    totals = RunTotals()

    async def main() -> None:
        counted = CountedPipeline(totals)
        await counted.run(3)
        await counted.run(4)

    simulate(main)
    assert counters(totals) == {
        "runs": 2, "fed": 7, "succeeded": 7, "failed": 0, "dropped": 0, "unprocessed": 0
    }  # fmt: skip
    assert levels(totals) == [0, 0]


def test_two_pipelines_of_one_name_are_summed_while_they_last() -> None:
    totals = RunTotals()

    async def main() -> None:
        gate = Gate()
        pipelines = [Pipeline([stage(task=gate)], name="p", autoload=False) for _ in range(2)]
        for number, one in enumerate(pipelines, 1):
            await one.start()
            totals.start_run(one, asyncio.get_running_loop(), BUCKETS)
            await one.feed(range(number))
        await settle()
        assert levels(totals) == [2, 3]
        assert counters(totals)["fed"] == 3
        gate.open()
        for one in pipelines:
            await one.join()
            totals.finish_run(one)

    simulate(main)
    assert counters(totals)["succeeded"] == 3
    assert levels(totals) == [0, 0]


def test_zeros_are_there_before_the_first_item() -> None:
    totals = RunTotals()

    async def main() -> None:
        counted = CountedPipeline(totals)
        await counted.begin(0)
        snapshot, buckets = totals.snapshot()
        await counted.pipeline.join()
        of_the_stage = counters(totals, Scope.STAGE, "p", "Work")
        of_the_stage.pop("idle")
        assert set(of_the_stage.values()) == {0}
        assert counters(totals, Scope.TASK, "p", "Work", "same")["failures"] == 0
        assert snapshot.last_completions == {("p", "Work"): 0.0}
        assert buckets == {"p": BUCKETS}

    simulate(main)


def test_an_ended_pipeline_is_not_kept_alive() -> None:
    totals = RunTotals()

    async def main() -> ref[Pipeline]:
        counted = CountedPipeline(totals)
        await counted.run(3)
        return ref(counted.pipeline)

    gone = simulate(main)
    gc.collect()
    assert gone() is None
    assert counters(totals)["succeeded"] == 3


def test_ended_runs_that_nobody_reads_are_summed_and_not_kept() -> None:
    totals = RunTotals()
    runs = 5 * MAX_PENDING

    async def main() -> None:
        counted = CountedPipeline(totals)
        for _ in range(runs):
            await counted.run(1)

    simulate(main)
    assert len(totals._pending) <= MAX_PENDING
    assert counters(totals)["succeeded"] == runs


def test_runs_that_were_left_behind_are_forgotten_where_nobody_reads() -> None:
    totals = RunTotals()
    runs = 5 * MAX_PENDING

    async def main() -> None:
        for _ in range(runs):
            counted = CountedPipeline(totals)
            await counted.begin(1)
            await counted.pipeline.shutdown()
            del counted
            gc.collect()

    simulate(main)
    assert len(totals._live) <= MAX_PENDING + 1
    assert counters(totals)["runs"] == runs
    assert levels(totals) == [0, 0]


def test_a_loop_that_was_left_behind_is_not_kept_alive() -> None:
    totals = RunTotals()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(CountedPipeline(totals).begin(1))
    gone = ref(loop)
    del loop
    with warnings.catch_warnings():  # of the loop, which is not closed
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    assert gone() is None
    assert totals.loops() == {}
    assert levels(totals) == [0, 0]


def test_a_run_that_ends_while_it_is_read_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    totals = RunTotals()

    async def main() -> None:
        counted = CountedPipeline(totals)
        await counted.begin(3)
        await counted.pipeline.join()

        def end() -> None:
            monkeypatch.undo()
            totals.finish_run(counted.pipeline)

        monkeypatch.setattr("antflow_prometheus._run_totals.yield_gil", end)
        assert counters(totals)["succeeded"] == 3
        assert counters(totals)["succeeded"] == 3
        assert levels(totals) == [0, 0]

    simulate(main)


def test_a_run_that_is_followed_by_another_while_it_is_read_is_counted_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    totals = RunTotals()

    async def main() -> None:
        counted = CountedPipeline(totals)
        await counted.begin(3)
        await counted.pipeline.join()
        assert counters(totals)["succeeded"] == 3
        followed = counted.pipeline.get_stats()

        def follow() -> None:
            monkeypatch.undo()
            totals.finish_run(counted.pipeline)
            later = replace(followed, run_id="later", items_processed=7)
            monkeypatch.setattr(counted.pipeline, "get_stats", lambda: later)

        monkeypatch.setattr("antflow_prometheus._run_totals.yield_gil", follow)
        assert counters(totals)["succeeded"] == 3
        monkeypatch.undo()
        assert counters(totals)["succeeded"] == 3
        assert counters(totals)["runs"] == 1

    simulate(main)


def test_a_fault_after_the_end_is_counted() -> None:
    totals = RunTotals()

    async def main() -> None:
        counted = CountedPipeline(totals)
        await counted.run(1)
        totals.add_fault(counted.pipeline, "prometheus")
        totals.add_fault(counted.pipeline, "prometheus")

    simulate(main)
    assert counters(totals, Scope.FAULT, "p", "prometheus") == {"faults": 2}
    assert counters(totals)["runs"] == 1


def test_a_run_begins_and_ends_while_a_scrape_sums() -> None:
    totals = RunTotals()

    async def main() -> None:
        counted = CountedPipeline(totals)
        await counted.run(1)
        with totals._sum_lock:
            for _ in range(2 * MAX_PENDING):
                await counted.run(1)

    simulate(main)
    assert counters(totals)["runs"] == 1 + 2 * MAX_PENDING


def test_a_run_that_was_left_without_an_end_keeps_what_was_read_of_it_last() -> None:
    totals = RunTotals()

    async def main() -> None:
        counted = CountedPipeline(totals)
        await counted.begin(3)
        await settle()
        assert counters(totals)["succeeded"] == 3
        assert levels(totals)[0] == 1
        await counted.pipeline.shutdown()

    simulate(main)
    gc.collect()
    assert counters(totals)["succeeded"] == 3
    assert levels(totals) == [0, 0]
    assert counters(totals)["succeeded"] == 3


def test_a_run_whose_loop_is_closed_is_over() -> None:
    totals = RunTotals()
    counted = CountedPipeline(totals)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(counted.begin(2))
    assert levels(totals)[0] == 1
    loop.run_until_complete(counted.pipeline.shutdown())
    loop.close()
    assert levels(totals) == [0, 0]
    assert counters(totals)["fed"] == 2


def test_counters_do_not_decrease_when_a_pipeline_runs_again_without_an_end() -> None:
    totals = RunTotals()

    async def main() -> None:
        counted = CountedPipeline(totals)
        await counted.begin(5)
        await counted.pipeline.join()
        assert counters(totals)["succeeded"] == 5
        await counted.begin(1)
        assert counters(totals)["fed"] == 6
        await counted.pipeline.join()
        totals.finish_run(counted.pipeline)

    simulate(main)
    assert counters(totals)["succeeded"] == 6
    assert counters(totals)["runs"] == 2


def test_the_end_of_a_run_that_is_not_known_changes_nothing() -> None:
    totals = RunTotals()
    totals.finish_run(Pipeline([stage()], name="p", autoload=False))
    assert totals.snapshot()[0].counters[Scope.PIPELINE] == {}


def test_past_a_hundred_names_pipelines_are_one() -> None:
    totals = RunTotals()

    async def main() -> None:
        for number in range(103):
            await CountedPipeline(totals, f"p{number}").run(2)

    simulate(main)
    snapshot, buckets = totals.snapshot()
    assert len(snapshot.counters[Scope.PIPELINE]) == 101
    assert counters(totals, Scope.PIPELINE, "other")["succeeded"] == 6
    assert buckets["other"] == BUCKETS
    assert len(buckets) == 101


@pytest.mark.parametrize("count", [1, 2])
def test_loops_are_those_of_runs_that_last(count: int) -> None:
    totals = RunTotals()

    async def main() -> None:
        pipelines = [CountedPipeline(totals) for _ in range(count)]
        for one in pipelines:
            await one.begin(0)
        assert totals.loops() == {"p": {asyncio.get_running_loop()}}
        for one in pipelines:
            await one.pipeline.join()
            totals.finish_run(one.pipeline)
        assert totals.loops() == {}

    simulate(main)
