"""Totals of ended runs, and the figures of those that last."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from weakref import ref

import pytest

from antflow import Pipeline
from antflow_otel import _instruments as of
from antflow_otel._metrics_ledger import Ledger, LiveRun
from antflow_otel._metrics_reading import Reading
from tests.core.simulation import Gate, settle, simulate
from tests.otel.metering import stage


def figure(ledger: Ledger, spec: of.InstrumentSpec, **attributes: str) -> float:
    wanted = {f"antflow.{name}": value for name, value in attributes.items()}.items()
    rows = ledger.read().figures.get(spec, {})
    return sum(figure for series, figure in rows.items() if wanted <= dict(series).items())


def succeeded(ledger: Ledger) -> float:
    return figure(ledger, of.ITEMS_ENDED, outcome="succeeded")


class Told:
    """A pipeline whose runs a ledger is told of by hand."""

    def __init__(self, ledger: Ledger, name: str = "p") -> None:
        self.ledger = ledger
        self.pipeline = Pipeline([stage()], name=name, autoload=False)

    async def run(self, items: int) -> None:
        await self.begin(items)
        await self.pipeline.join()
        self.ledger.finish(self.pipeline)

    async def begin(self, items: int) -> None:
        await self.pipeline.start()
        assert self.ledger.begin(self.pipeline, asyncio.get_running_loop())
        await self.pipeline.feed(range(items))


def test_a_second_run_adds() -> None:
    ledger = Ledger()

    async def main() -> None:
        told = Told(ledger)
        await told.run(3)
        await told.run(4)

    simulate(main)
    assert figure(ledger, of.RUNS_STARTED) == 2
    assert figure(ledger, of.RUNS) == 0
    assert figure(ledger, of.ITEMS_FED) == succeeded(ledger) == 7
    assert figure(ledger, of.ITEMS) == 0


def test_two_pipelines_of_one_name_are_summed_while_they_last() -> None:
    ledger = Ledger()

    async def main() -> None:
        gate = Gate()
        pipelines = [Pipeline([stage(task=gate)], name="p", autoload=False) for _ in range(2)]
        for number, one in enumerate(pipelines, 1):
            await one.start()
            ledger.begin(one, asyncio.get_running_loop())
            await one.feed(range(number))
        await settle()
        assert figure(ledger, of.RUNS) == 2
        assert figure(ledger, of.ITEMS) == figure(ledger, of.ITEMS_FED) == 3
        gate.open()
        for one in pipelines:
            await one.join()
            ledger.finish(one)

    simulate(main)
    assert succeeded(ledger) == 3
    assert figure(ledger, of.ITEMS) == 0


def test_a_run_is_counted_once_however_many_tell_of_it() -> None:
    ledger = Ledger()

    async def main() -> None:
        told = Told(ledger)
        await told.begin(2)
        assert not ledger.begin(told.pipeline, asyncio.get_running_loop())
        await told.pipeline.join()
        ledger.finish(told.pipeline)
        ledger.finish(told.pipeline)

    simulate(main)
    assert figure(ledger, of.RUNS_STARTED) == 1
    assert succeeded(ledger) == 2


def test_an_ended_pipeline_is_not_kept_alive() -> None:
    ledger = Ledger()

    async def main() -> ref[Pipeline]:
        told = Told(ledger)
        await told.run(3)
        return ref(told.pipeline)

    gone = simulate(main)
    gc.collect()
    assert gone() is None
    assert succeeded(ledger) == 3


def test_a_run_that_was_left_without_an_end_keeps_what_was_read_of_it_last() -> None:
    ledger = Ledger()

    async def main() -> None:
        told = Told(ledger)
        await told.begin(3)
        await settle()
        assert succeeded(ledger) == 3
        assert figure(ledger, of.RUNS) == 1
        await told.pipeline.shutdown()

    simulate(main)
    gc.collect()
    for _ in range(2):
        assert succeeded(ledger) == 3
        assert figure(ledger, of.RUNS) == 0


def test_a_run_whose_loop_is_closed_is_over() -> None:
    ledger = Ledger()
    told = Told(ledger)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(told.begin(2))
    assert figure(ledger, of.RUNS) == 1
    loop.run_until_complete(told.pipeline.shutdown())
    loop.close()
    assert figure(ledger, of.RUNS) == 0
    assert figure(ledger, of.ITEMS_FED) == 2


def test_a_pipeline_that_runs_again_without_having_told_its_end_falls_to_no_lower_figure() -> None:
    ledger = Ledger()

    async def main() -> None:
        told = Told(ledger)
        await told.begin(5)
        await told.pipeline.join()
        assert succeeded(ledger) == 5
        await told.begin(1)
        assert figure(ledger, of.ITEMS_FED) == 6
        await told.pipeline.join()
        ledger.finish(told.pipeline)

    simulate(main)
    assert succeeded(ledger) == 6
    assert figure(ledger, of.RUNS_STARTED) == 2


def test_the_end_of_a_run_that_is_not_known_changes_nothing() -> None:
    ledger = Ledger()
    ledger.finish(Pipeline([stage()], name="p", autoload=False))
    assert ledger.read().figures == {}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_counts_anew_even_where_the_ledger_was_being_read() -> None:
    ledger = Ledger()

    async def main() -> int:
        told = Told(ledger)
        await told.begin(3)
        await settle()
        with ledger._lock:
            child = os.fork()
            if child == 0:
                os._exit(0 if ledger.read().figures == {} else 1)
        await told.pipeline.join()
        ledger.finish(told.pipeline)
        return child

    sys.stdout.flush()
    _, status = os.waitpid(simulate(main), 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert succeeded(ledger) == 3


def test_a_run_that_ends_while_it_is_read_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger()
    told = Told(ledger)
    read = LiveRun.read

    def ends_meanwhile(run: LiveRun) -> Reading | None:
        monkeypatch.setattr(LiveRun, "read", read)
        ledger.finish(told.pipeline)
        return None  # as of a run whose event loop is closed

    async def main() -> None:
        await told.begin(3)
        await told.pipeline.join()

    simulate(main)
    monkeypatch.setattr(LiveRun, "read", ends_meanwhile)
    assert figure(ledger, of.RUNS_STARTED) == 1
    assert LiveRun.read is read
    assert figure(ledger, of.RUNS_STARTED) == 1
    assert figure(ledger, of.RUNS) == 0


def test_a_run_whose_end_was_not_told_is_not_taken_for_the_next_one() -> None:
    ledger = Ledger()

    async def main() -> None:
        told = Told(ledger)
        await told.begin(3)
        await told.pipeline.join()
        assert succeeded(ledger) == 3
        await told.pipeline.run(range(10))  # of which the ledger knows nothing
        assert succeeded(ledger) == 3
        assert figure(ledger, of.RUNS_STARTED) == 1
        assert figure(ledger, of.RUNS) == 0

    simulate(main)
