"""Totals of ended and of live runs."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from weakref import ref

import pytest

from antflow import Pipeline
from antflow_otel import _metric_specs as specs
from antflow_otel._run_totals import LiveRun, RunTotals
from antflow_otel._snapshots import MetricsSnapshot
from tests.helpers.virtual_time import Gate, settle, simulate
from tests.packages.otel.metering import stage


def value(totals: RunTotals, spec: specs.MetricSpec, **attributes: str) -> float:
    wanted = {f"antflow.{name}": value for name, value in attributes.items()}.items()
    rows = totals.snapshot().points.get(spec, {})
    return sum(figure for series, figure in rows.items() if wanted <= dict(series).items())


def succeeded(totals: RunTotals) -> float:
    return value(totals, specs.ITEMS_ENDED, outcome="succeeded")


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
        assert self.totals.start_run(self.pipeline, asyncio.get_running_loop())
        await self.pipeline.feed(range(items))


def test_a_second_run_adds() -> None:
    totals = RunTotals()

    async def main() -> None:
        counted = CountedPipeline(totals)
        await counted.run(3)
        await counted.run(4)

    simulate(main)
    assert value(totals, specs.RUNS_STARTED) == 2
    assert value(totals, specs.RUNS) == 0
    assert value(totals, specs.ITEMS_FED) == succeeded(totals) == 7
    assert value(totals, specs.ITEMS) == 0


def test_two_pipelines_of_one_name_are_summed_while_they_last() -> None:
    totals = RunTotals()

    async def main() -> None:
        gate = Gate()
        pipelines = [Pipeline([stage(task=gate)], name="p", autoload=False) for _ in range(2)]
        for number, one in enumerate(pipelines, 1):
            await one.start()
            totals.start_run(one, asyncio.get_running_loop())
            await one.feed(range(number))
        await settle()
        assert value(totals, specs.RUNS) == 2
        assert value(totals, specs.ITEMS) == value(totals, specs.ITEMS_FED) == 3
        gate.open()
        for one in pipelines:
            await one.join()
            totals.finish_run(one)

    simulate(main)
    assert succeeded(totals) == 3
    assert value(totals, specs.ITEMS) == 0


def test_a_run_is_counted_once_however_many_tell_of_it() -> None:
    totals = RunTotals()

    async def main() -> None:
        counted = CountedPipeline(totals)
        await counted.begin(2)
        assert not totals.start_run(counted.pipeline, asyncio.get_running_loop())
        await counted.pipeline.join()
        totals.finish_run(counted.pipeline)
        totals.finish_run(counted.pipeline)

    simulate(main)
    assert value(totals, specs.RUNS_STARTED) == 1
    assert succeeded(totals) == 2


def test_an_ended_pipeline_is_not_kept_alive() -> None:
    totals = RunTotals()

    async def main() -> ref[Pipeline]:
        counted = CountedPipeline(totals)
        await counted.run(3)
        return ref(counted.pipeline)

    gone = simulate(main)
    gc.collect()
    assert gone() is None
    assert succeeded(totals) == 3


def test_a_run_that_was_left_without_an_end_keeps_what_was_read_of_it_last() -> None:
    totals = RunTotals()

    async def main() -> None:
        counted = CountedPipeline(totals)
        await counted.begin(3)
        await settle()
        assert succeeded(totals) == 3
        assert value(totals, specs.RUNS) == 1
        await counted.pipeline.shutdown()

    simulate(main)
    gc.collect()
    for _ in range(2):
        assert succeeded(totals) == 3
        assert value(totals, specs.RUNS) == 0


def test_a_run_whose_loop_is_closed_is_over() -> None:
    totals = RunTotals()
    counted = CountedPipeline(totals)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(counted.begin(2))
    assert value(totals, specs.RUNS) == 1
    loop.run_until_complete(counted.pipeline.shutdown())
    loop.close()
    assert value(totals, specs.RUNS) == 0
    assert value(totals, specs.ITEMS_FED) == 2


def test_counters_do_not_decrease_when_a_pipeline_runs_again_without_an_end() -> None:
    totals = RunTotals()

    async def main() -> None:
        counted = CountedPipeline(totals)
        await counted.begin(5)
        await counted.pipeline.join()
        assert succeeded(totals) == 5
        await counted.begin(1)
        assert value(totals, specs.ITEMS_FED) == 6
        await counted.pipeline.join()
        totals.finish_run(counted.pipeline)

    simulate(main)
    assert succeeded(totals) == 6
    assert value(totals, specs.RUNS_STARTED) == 2


def test_the_end_of_a_run_that_is_not_known_changes_nothing() -> None:
    totals = RunTotals()
    totals.finish_run(Pipeline([stage()], name="p", autoload=False))
    assert totals.snapshot().points == {}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_starts_from_zero_even_during_a_snapshot() -> None:
    totals = RunTotals()

    async def main() -> int:
        counted = CountedPipeline(totals)
        await counted.begin(3)
        await settle()
        with totals._lock:
            child = os.fork()
            if child == 0:
                os._exit(0 if totals.snapshot().points == {} else 1)
        await counted.pipeline.join()
        totals.finish_run(counted.pipeline)
        return child

    sys.stdout.flush()
    _, status = os.waitpid(simulate(main), 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert succeeded(totals) == 3


def test_a_run_that_ends_while_it_is_read_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    totals = RunTotals()
    counted = CountedPipeline(totals)
    read = LiveRun.take_snapshot

    def ends_meanwhile(run: LiveRun) -> MetricsSnapshot | None:
        monkeypatch.setattr(LiveRun, "take_snapshot", read)
        totals.finish_run(counted.pipeline)
        return None  # as of a run whose event loop is closed

    async def main() -> None:
        await counted.begin(3)
        await counted.pipeline.join()

    simulate(main)
    monkeypatch.setattr(LiveRun, "take_snapshot", ends_meanwhile)
    assert value(totals, specs.RUNS_STARTED) == 1
    assert LiveRun.take_snapshot is read
    assert value(totals, specs.RUNS_STARTED) == 1
    assert value(totals, specs.RUNS) == 0


def test_a_run_without_an_end_is_not_mistaken_for_the_next_one() -> None:
    totals = RunTotals()

    async def main() -> None:
        counted = CountedPipeline(totals)
        await counted.begin(3)
        await counted.pipeline.join()
        assert succeeded(totals) == 3
        await counted.pipeline.run(range(10))  # which the totals do not know
        assert succeeded(totals) == 3
        assert value(totals, specs.RUNS_STARTED) == 1
        assert value(totals, specs.RUNS) == 0

    simulate(main)
