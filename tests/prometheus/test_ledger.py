"""Totals of ended runs, and the figures of those that last."""

from __future__ import annotations

import asyncio
import gc
import warnings
from dataclasses import replace
from weakref import ref

import pytest

from antflow import Pipeline
from antflow_prometheus._ledger import MOST_UNREAD, Ledger
from antflow_prometheus._table import Scope
from tests.core.simulation import Gate, settle, simulate
from tests.prometheus.scraping import stage

BUCKETS = (1.0,)


def figures(ledger: Ledger, scope: Scope = Scope.PIPELINE, *labels: str) -> dict[str, float]:
    reading, _ = ledger.read()
    return dict(zip(scope.counted, reading.counted[scope][labels or ("p",)], strict=True))


def levels(ledger: Ledger, name: str = "p") -> list[float]:
    reading, _ = ledger.read()
    return reading.measured[Scope.PIPELINE][name,]


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
        self.ledger.begin(self.pipeline, asyncio.get_running_loop(), BUCKETS)
        await self.pipeline.feed(range(items))


def test_a_second_run_adds() -> None:
    ledger = Ledger()

    async def main() -> None:
        told = Told(ledger)
        await told.run(3)
        await told.run(4)

    simulate(main)
    assert figures(ledger) == {
        "runs": 2, "fed": 7, "succeeded": 7, "failed": 0, "dropped": 0, "unprocessed": 0
    }  # fmt: skip
    assert levels(ledger) == [0, 0]


def test_two_pipelines_of_one_name_are_summed_while_they_last() -> None:
    ledger = Ledger()

    async def main() -> None:
        gate = Gate()
        pipelines = [Pipeline([stage(task=gate)], name="p", autoload=False) for _ in range(2)]
        for number, one in enumerate(pipelines, 1):
            await one.start()
            ledger.begin(one, asyncio.get_running_loop(), BUCKETS)
            await one.feed(range(number))
        await settle()
        assert levels(ledger) == [2, 3]
        assert figures(ledger)["fed"] == 3
        gate.open()
        for one in pipelines:
            await one.join()
            ledger.finish(one)

    simulate(main)
    assert figures(ledger)["succeeded"] == 3
    assert levels(ledger) == [0, 0]


def test_zeros_are_there_before_the_first_item() -> None:
    ledger = Ledger()

    async def main() -> None:
        told = Told(ledger)
        await told.begin(0)
        reading, buckets = ledger.read()
        await told.pipeline.join()
        of_the_stage = figures(ledger, Scope.STAGE, "p", "Work")
        of_the_stage.pop("idle")
        assert set(of_the_stage.values()) == {0}
        assert figures(ledger, Scope.TASK, "p", "Work", "same")["failures"] == 0
        assert reading.completed_at == {("p", "Work"): 0.0}
        assert buckets == {"p": BUCKETS}

    simulate(main)


def test_an_ended_pipeline_is_not_kept_alive() -> None:
    ledger = Ledger()

    async def main() -> ref[Pipeline]:
        told = Told(ledger)
        await told.run(3)
        return ref(told.pipeline)

    gone = simulate(main)
    gc.collect()
    assert gone() is None
    assert figures(ledger)["succeeded"] == 3


def test_ended_runs_that_nobody_reads_are_summed_and_not_kept() -> None:
    ledger = Ledger()
    runs = 5 * MOST_UNREAD

    async def main() -> None:
        told = Told(ledger)
        for _ in range(runs):
            await told.run(1)

    simulate(main)
    assert len(ledger._unread) <= MOST_UNREAD
    assert figures(ledger)["succeeded"] == runs


def test_runs_that_were_left_behind_are_forgotten_where_nobody_reads() -> None:
    ledger = Ledger()
    runs = 5 * MOST_UNREAD

    async def main() -> None:
        for _ in range(runs):
            told = Told(ledger)
            await told.begin(1)
            await told.pipeline.shutdown()
            del told
            gc.collect()

    simulate(main)
    assert len(ledger._live) <= MOST_UNREAD + 1
    assert figures(ledger)["runs"] == runs
    assert levels(ledger) == [0, 0]


def test_a_loop_that_was_left_behind_is_not_kept_alive() -> None:
    ledger = Ledger()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(Told(ledger).begin(1))
    gone = ref(loop)
    del loop
    with warnings.catch_warnings():  # of the loop, which nobody has closed
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    assert gone() is None
    assert ledger.loops() == {}
    assert levels(ledger) == [0, 0]


def test_a_run_that_ends_while_it_is_read_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger()

    async def main() -> None:
        told = Told(ledger)
        await told.begin(3)
        await told.pipeline.join()

        def end() -> None:
            monkeypatch.undo()
            ledger.finish(told.pipeline)

        monkeypatch.setattr("antflow_prometheus._ledger.give_way", end)
        assert figures(ledger)["succeeded"] == 3
        assert figures(ledger)["succeeded"] == 3
        assert levels(ledger) == [0, 0]

    simulate(main)


def test_a_run_that_is_followed_by_another_while_it_is_read_is_counted_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ledger = Ledger()

    async def main() -> None:
        told = Told(ledger)
        await told.begin(3)
        await told.pipeline.join()
        assert figures(ledger)["succeeded"] == 3
        followed = told.pipeline.get_stats()

        def follow() -> None:
            monkeypatch.undo()
            ledger.finish(told.pipeline)
            later = replace(followed, run_id="later", items_processed=7)
            monkeypatch.setattr(told.pipeline, "get_stats", lambda: later)

        monkeypatch.setattr("antflow_prometheus._ledger.give_way", follow)
        assert figures(ledger)["succeeded"] == 3
        monkeypatch.undo()
        assert figures(ledger)["succeeded"] == 3
        assert figures(ledger)["runs"] == 1

    simulate(main)


def test_a_fault_after_the_end_is_counted() -> None:
    ledger = Ledger()

    async def main() -> None:
        told = Told(ledger)
        await told.run(1)
        ledger.count_fault(told.pipeline, "prometheus")
        ledger.count_fault(told.pipeline, "prometheus")

    simulate(main)
    assert figures(ledger, Scope.FAULT, "p", "prometheus") == {"faults": 2}
    assert figures(ledger)["runs"] == 1


def test_a_run_begins_and_ends_while_a_scrape_sums() -> None:
    ledger = Ledger()

    async def main() -> None:
        told = Told(ledger)
        await told.run(1)
        with ledger._summing:
            for _ in range(2 * MOST_UNREAD):
                await told.run(1)

    simulate(main)
    assert figures(ledger)["runs"] == 1 + 2 * MOST_UNREAD


def test_a_run_that_was_left_without_an_end_keeps_what_was_read_of_it_last() -> None:
    ledger = Ledger()

    async def main() -> None:
        told = Told(ledger)
        await told.begin(3)
        await settle()
        assert figures(ledger)["succeeded"] == 3
        assert levels(ledger)[0] == 1
        await told.pipeline.shutdown()

    simulate(main)
    gc.collect()
    assert figures(ledger)["succeeded"] == 3
    assert levels(ledger) == [0, 0]
    assert figures(ledger)["succeeded"] == 3


def test_a_run_whose_loop_is_closed_is_over() -> None:
    ledger = Ledger()
    told = Told(ledger)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(told.begin(2))
    assert levels(ledger)[0] == 1
    loop.run_until_complete(told.pipeline.shutdown())
    loop.close()
    assert levels(ledger) == [0, 0]
    assert figures(ledger)["fed"] == 2


def test_a_pipeline_that_runs_again_without_having_told_its_end_falls_to_no_lower_figure() -> None:
    ledger = Ledger()

    async def main() -> None:
        told = Told(ledger)
        await told.begin(5)
        await told.pipeline.join()
        assert figures(ledger)["succeeded"] == 5
        await told.begin(1)
        assert figures(ledger)["fed"] == 6
        await told.pipeline.join()
        ledger.finish(told.pipeline)

    simulate(main)
    assert figures(ledger)["succeeded"] == 6
    assert figures(ledger)["runs"] == 2


def test_the_end_of_a_run_that_is_not_known_changes_nothing() -> None:
    ledger = Ledger()
    ledger.finish(Pipeline([stage()], name="p", autoload=False))
    assert ledger.read()[0].counted[Scope.PIPELINE] == {}


def test_past_a_hundred_names_pipelines_are_one() -> None:
    ledger = Ledger()

    async def main() -> None:
        for number in range(103):
            await Told(ledger, f"p{number}").run(2)

    simulate(main)
    reading, buckets = ledger.read()
    assert len(reading.counted[Scope.PIPELINE]) == 101
    assert figures(ledger, Scope.PIPELINE, "other")["succeeded"] == 6
    assert buckets["other"] == BUCKETS
    assert len(buckets) == 101


@pytest.mark.parametrize("count", [1, 2])
def test_loops_are_those_of_runs_that_last(count: int) -> None:
    ledger = Ledger()

    async def main() -> None:
        told = [Told(ledger) for _ in range(count)]
        for one in told:
            await one.begin(0)
        assert ledger.loops() == {"p": {asyncio.get_running_loop()}}
        for one in told:
            await one.pipeline.join()
            ledger.finish(one.pipeline)
        assert ledger.loops() == {}

    simulate(main)
