"""The totals of active and ended runs, as exporters read them."""

from __future__ import annotations

import asyncio
import gc
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Event, Lock, RLock, current_thread, main_thread
from typing import Any
from weakref import ref

import pytest

from antflow import (
    Adaptive,
    ErrorSummary,
    GiveUp,
    Limit,
    Pipeline,
    PipelineStats,
    RetryAfter,
    Stage,
    hookimpl,
)
from antflow.exporting import METRICS, RunTotals, reset_after_fork
from tests.helpers.forks import in_a_child, needs_fork
from tests.helpers.virtual_time import Gate, settle, simulate


async def same(value: Any) -> Any:
    return value


class Exporter:
    """A plugin that adds the runs of its pipelines to totals."""

    def __init__(self) -> None:
        self.totals = RunTotals()
        self.misses_ends = False

    @hookimpl
    def antflow_pipeline_start(self, pipeline: Pipeline) -> None:
        assert self.totals.start_run(pipeline)

    @hookimpl
    def antflow_pipeline_finish(self, pipeline: Pipeline) -> None:
        if not self.misses_ends:
            self.totals.finish_run(pipeline)

    def pipeline(
        self, *, name: str = "p", task: Callable[..., Any] = same, **options: Any
    ) -> Pipeline:
        stage = Stage(name="Work", workers=2, tasks=[task], task_attempts=1, **options)
        return Pipeline([stage], name=name, plugins=[self], autoload=False)

    def values(self, metric: str) -> dict[tuple[str, ...], float]:
        return {s.labels: s.value for s in self.totals.read() if s.metric.name == metric}

    def value(self, metric: str, *labels: str) -> float:
        return self.values(metric)[labels or ("p",)]


def test_a_run_is_read_while_it_is_active_and_when_it_has_ended() -> None:
    exporter = Exporter()

    async def main() -> None:
        gate = Gate()

        async def work(value: int) -> int:
            await gate(value)
            if value % 3 == 0:
                raise KeyError(value)
            return value

        pipeline = exporter.pipeline(task=work, skip_if=lambda value: value == 1, queue_capacity=5)
        await pipeline.start()
        assert not exporter.totals.start_run(pipeline)  # it is known
        await pipeline.feed(range(7))
        await settle()
        assert exporter.value("pipeline_runs_active") == 1
        assert exporter.value("pipeline_items_outstanding") == 6
        assert exporter.value("stage_items_pending", "p", "Work") == 4
        assert exporter.value("stage_capacity_items", "p", "Work") == 5
        assert exporter.value("stage_items_in_progress", "p", "Work") == 2
        assert exporter.value("stage_workers", "p", "Work", "busy") == 2
        gate.open()
        await pipeline.join()

    simulate(main)
    read = {(s.metric.name, *s.labels): s.value for s in exporter.totals.read()}
    expected = {
        ("pipeline_runs", "p"): 1,
        ("pipeline_runs_active", "p"): 0,
        ("pipeline_items_fed", "p"): 7,
        ("pipeline_items", "p", "succeeded"): 4,
        ("pipeline_items", "p", "failed"): 3,
        ("pipeline_items", "p", "dropped"): 0,
        ("pipeline_items", "p", "unprocessed"): 0,
        ("pipeline_items_outstanding", "p"): 0,
        ("plugin_faults", "p", "Exporter"): 0,
        ("stage_items_fed", "p", "Work"): 7,
        ("stage_items", "p", "Work", "completed"): 3,
        ("stage_items", "p", "Work", "skipped"): 1,
        ("stage_items", "p", "Work", "failed"): 3,
        ("stage_failures", "p", "Work", "KeyError"): 3,
        ("stage_retries", "p", "Work"): 0,
        ("stage_items_pending", "p", "Work"): 0,
        ("stage_items_in_progress", "p", "Work"): 0,
        ("stage_capacity_items", "p", "Work"): 0,
        ("stage_workers", "p", "Work", "busy"): 0,
        ("stage_queue_wait_seconds", "p", "Work"): 7,
        ("task_duration_seconds", "p", "Work", "work"): 6,
        ("task_failures", "p", "Work", "work"): 3,
    }
    assert {each: read[each] for each in expected} == expected
    assert read["stage_last_completion_timestamp_seconds", "p", "Work"] > 0


def test_retries_are_shown_while_items_wait_and_what_was_given_up_afterwards() -> None:
    exporter = Exporter()
    errors: dict[int, list[Exception]] = {
        0: [RetryAfter(30)],
        1: [RetryAfter(50), GiveUp(KeyError())],
        2: [GiveUp(ValueError())],
    }

    async def work(value: int) -> int:
        if value == 3:
            await asyncio.sleep(1000)
        if left := errors.get(value):
            raise left.pop(0)
        return value

    async def main() -> None:
        stage = Stage(name="Work", workers=4, tasks=[work], task_timeout=2, retry_wait=1)
        pipeline = Pipeline([stage], name="p", plugins=[exporter], autoload=False)
        await pipeline.start()
        await pipeline.feed(range(5))
        await asyncio.sleep(20)
        assert exporter.value("stage_items_parked", "p", "Work") == 2
        assert exporter.value("stage_items_pending", "p", "Work") == 0
        assert exporter.value("stage_items_in_progress", "p", "Work") == 0
        assert exporter.value("stage_timeouts", "p", "Work") == 3
        assert exporter.value("stage_give_ups", "p", "Work") == 1
        await asyncio.sleep(20)
        assert exporter.value("stage_items_parked", "p", "Work") == 1
        await pipeline.join()

    simulate(main)
    assert exporter.value("stage_items_parked", "p", "Work") == 0
    assert exporter.value("stage_timeouts", "p", "Work") == 3
    assert exporter.value("stage_give_ups", "p", "Work") == 2


def test_items_that_a_stop_leaves_are_unprocessed() -> None:
    exporter = Exporter()

    async def main() -> None:
        pipeline = exporter.pipeline(task=Gate())
        await pipeline.start()
        await pipeline.feed(range(7))
        await settle()
        assert len(await pipeline.shutdown(timeout=0)) == 7

    simulate(main)
    assert exporter.value("stage_items", "p", "Work", "unprocessed") == 7
    assert exporter.value("pipeline_items", "p", "unprocessed") == 7
    assert exporter.value("pipeline_items_outstanding") == 0


def test_a_last_completion_never_moves_back() -> None:
    exporter = Exporter()
    name = "stage_last_completion_timestamp_seconds"

    async def main() -> None:
        pipeline = exporter.pipeline()
        await pipeline.start()
        await pipeline.feed([1])
        await settle()
        last = pipeline.get_stats().stage_stats["Work"].last_completion
        assert exporter.value(name, "p", "Work") == pytest.approx(last, abs=1)
        await pipeline.join()
        last = exporter.value(name, "p", "Work")
        await pipeline.run([])
        assert exporter.value(name, "p", "Work") == last

    simulate(main)


def test_samples_come_metric_by_metric_and_histograms_have_their_distribution() -> None:
    exporter = Exporter()
    simulate(lambda: exporter.pipeline().run(range(3)))
    samples = exporter.totals.read()
    order = list(dict.fromkeys(sample.metric for sample in samples))
    assert order == [metric for metric in METRICS if metric in order]
    for sample in samples:
        assert len(sample.labels) == len(sample.metric.labels)
        assert (sample.histogram is not None) is (sample.metric.kind == "histogram")
        if sample.histogram is not None:
            assert sample.histogram.count == sample.value == 3


def test_runs_of_one_name_are_summed() -> None:
    exporter = Exporter()

    async def main() -> None:
        gate = Gate()
        pipelines = [exporter.pipeline(task=gate) for _ in range(2)]
        for number, pipeline in enumerate(pipelines, 1):
            await pipeline.start()
            await pipeline.feed(range(number))
        await settle()
        assert exporter.value("pipeline_runs_active") == 2
        assert exporter.value("pipeline_items_outstanding") == 3
        gate.open()
        for pipeline in pipelines:
            await pipeline.join()
        await pipelines[0].run(range(4))

    simulate(main)
    assert exporter.value("pipeline_runs") == 3
    assert exporter.value("pipeline_items", "p", "succeeded") == 7
    assert sum(exporter.values("task_duration_seconds").values()) == 7


def test_zeros_are_read_before_the_first_item() -> None:
    exporter = Exporter()

    async def main() -> None:
        limits = [Limit(concurrency=1, name="calls"), Limit(rate=1, key=str, name="hosts")]
        pipeline = exporter.pipeline(limits=limits)
        await pipeline.start()
        read = {s.metric.name: s.value for s in exporter.totals.read() if "Work" in s.labels}
        await pipeline.join()
        assert set(read) == {
            metric.name
            for metric in METRICS
            if "stage" in metric.labels and "error_type" not in metric.labels
        }
        shown = {name for name, value in read.items() if value}
        assert shown == {"stage_capacity_items", "stage_limit_attempts_allowed"}

    simulate(main)


async def take_1000_seconds(value: int) -> int:
    await asyncio.sleep(1000)
    return value


def limits_of(exporter: Exporter) -> dict[str, dict[str, float]]:
    """Return the values of the metrics of limits, by the limit and the metric's short name."""
    found: dict[str, dict[str, float]] = {}
    for sample in exporter.totals.read():
        if (short := sample.metric.name.removeprefix("stage_limit_")) != sample.metric.name:
            found.setdefault(sample.labels[2], {})[short] = sample.value
    return found


def test_limits_are_shown_with_what_waits_for_them_and_their_keys_as_a_count() -> None:
    exporter = Exporter()

    async def main() -> None:
        tokens = Limit(concurrency=Adaptive(minimum=2), name="tokens")
        hosts = Limit(concurrency=1, key=lambda value: value % 3, name="hosts")
        pipeline = exporter.pipeline(task=take_1000_seconds, limits=[tokens])
        other = Pipeline(
            [Stage("Work", 9, [take_1000_seconds], limits=[hosts])],
            name="q",
            plugins=[exporter],
            autoload=False,
        )
        await pipeline.start()
        await pipeline.feed(range(5))
        await other.start()
        await other.feed(range(10))
        await asyncio.sleep(1)
        assert limits_of(exporter) == {
            "tokens": {
                "items_waiting": 0,
                "attempts_in_use": 2,
                "attempts_allowed": 2,
                "paused": 0,
            },
            "hosts": {"items_waiting": 7, "attempts_in_use": 3, "paused": 0, "keys": 3},
        }
        tokens.pause(2000)
        await asyncio.sleep(1000)
        shown = {"items_waiting": 3, "attempts_in_use": 0, "attempts_allowed": 3, "paused": 1}
        assert limits_of(exporter)["tokens"] == shown
        await pipeline.shutdown(timeout=0)
        await other.shutdown(timeout=0)

    simulate(main)
    assert {value for each in limits_of(exporter).values() for value in each.values()} == {0}


def test_of_a_limit_that_runs_share_what_is_theirs_is_added_up_and_nothing_else() -> None:
    exporter = Exporter()

    async def main() -> None:
        shared = Limit(rate=100, burst=100, concurrency=7, name="shared")
        pipelines = [exporter.pipeline(task=take_1000_seconds, limits=[shared]) for _ in range(3)]
        for each in pipelines:
            await each.start()
            await each.feed(range(2))
        await asyncio.sleep(1)
        shared.pause(10)
        assert limits_of(exporter) == {
            "shared": {"items_waiting": 0, "attempts_in_use": 6, "attempts_allowed": 7, "paused": 1}
        }
        for each in pipelines:
            await each.shutdown(timeout=0)

    simulate(main)


class Faulty:
    """A plugin whose hooks raise at each call; the one of the end hangs in a cancelled run."""

    @hookimpl(tryfirst=True)
    def antflow_pipeline_start(self) -> None:
        raise ValueError

    @hookimpl
    def antflow_item_finish(self) -> None:
        raise ValueError

    @hookimpl(trylast=True)
    async def antflow_pipeline_finish(self, error_summary: ErrorSummary) -> None:
        if error_summary.total_failed:
            raise ValueError
        await asyncio.Event().wait()


def faults_in(exporter: Exporter) -> float:
    return exporter.values("plugin_faults")["p", "Faulty"]


def test_faults_are_counted_whichever_plugin_is_called_first_and_last() -> None:
    exporter = Exporter()

    async def main() -> None:
        async def work(seconds: int) -> None:
            await asyncio.sleep(seconds)
            raise KeyError

        stage = Stage("Work", 1, [work], task_attempts=1)
        plugins = [exporter, Faulty()]
        pipeline = Pipeline([stage], name="p", plugins=plugins, autoload=False)
        for number in (1, 2):
            await pipeline.run([0, 0])
            assert pipeline.plugin_faults == {"Faulty": 4}
            assert faults_in(exporter) == 4 * number
        run = asyncio.ensure_future(pipeline.run([1000]))
        await settle()
        assert faults_in(exporter) == 9
        run.cancel()
        await asyncio.wait([run])
        assert faults_in(exporter) == 11

    simulate(main)
    assert exporter.value("pipeline_runs") == 3


def test_a_pipeline_that_runs_again_while_it_is_read_counts_no_fault_twice() -> None:
    exporter, is_read, goes_on = Exporter(), Event(), Event()

    class SlowlyRead(Pipeline):
        def get_stats(self) -> PipelineStats:
            stats = super().get_stats()
            if current_thread() is not main_thread():
                is_read.set()
                goes_on.wait()
            return stats

    class Raising:
        @hookimpl
        def antflow_item_finish(self) -> None:
            raise ValueError

    async def main() -> None:
        gate = Gate()
        stage = Stage("Work", 1, [gate])
        plugins = [exporter, Raising()]
        pipeline = SlowlyRead([stage], name="p", plugins=plugins, autoload=False)
        await pipeline.start()
        await pipeline.feed([1])
        reading = asyncio.ensure_future(asyncio.to_thread(exporter.totals.read))
        await asyncio.to_thread(is_read.wait)
        gate.open()
        await pipeline.join()
        await pipeline.run(range(5))
        goes_on.set()
        await reading

    asyncio.run(main())
    assert exporter.value("plugin_faults", "p", "Raising") == 6


def test_the_end_of_a_run_that_was_not_added_changes_nothing() -> None:
    totals = RunTotals()
    totals.finish_run(Pipeline([Stage(name="Work", workers=1, tasks=[same])], autoload=False))
    assert totals.read() == []


# What is kept


def alive(kind: type) -> int:
    gc.collect()
    return sum(isinstance(each, kind) for each in gc.get_objects())


def test_an_ended_pipeline_is_not_kept_alive() -> None:
    exporter = Exporter()

    async def main() -> ref[Pipeline]:
        pipeline = exporter.pipeline()
        await pipeline.run(range(3))
        return ref(pipeline)

    gone = simulate(main)
    gc.collect()
    assert gone() is None
    assert exporter.value("pipeline_items", "p", "succeeded") == 3


@pytest.mark.parametrize("misses_ends", [False, True])
def test_runs_that_are_not_read_are_summed_and_not_kept(misses_ends: bool) -> None:
    exporter = Exporter()
    exporter.misses_ends = misses_ends
    before = alive(PipelineStats)

    async def main() -> None:
        for _ in range(100):
            await exporter.pipeline().run([1])
            gc.collect()

    simulate(main)
    assert alive(PipelineStats) - before <= 20
    assert exporter.value("pipeline_runs") == 100
    assert exporter.value("pipeline_runs_active") == 0
    assert exporter.value("pipeline_items_fed") == (0 if misses_ends else 100)


def test_a_run_without_an_end_keeps_what_was_read_of_it_last() -> None:
    exporter = Exporter()
    exporter.misses_ends = True

    async def main() -> None:
        pipeline = exporter.pipeline()
        await pipeline.start()
        await pipeline.feed(range(3))
        await settle()
        assert exporter.value("pipeline_items", "p", "succeeded") == 3
        await pipeline.shutdown()

    simulate(main)
    gc.collect()
    for _ in range(2):
        assert exporter.value("pipeline_items", "p", "succeeded") == 3
        assert exporter.value("pipeline_runs_active") == 0


@pytest.mark.parametrize("is_closed", [True, False])
def test_a_run_whose_event_loop_is_gone_has_ended(is_closed: bool) -> None:
    exporter = Exporter()
    pipeline = exporter.pipeline()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(pipeline.start())
    assert exporter.totals.event_loops() == {"p": {loop}}
    assert exporter.value("pipeline_runs_active") == 1
    if is_closed:
        loop.run_until_complete(pipeline.shutdown())
        loop.close()
    gone = ref(loop)
    del loop, pipeline
    with warnings.catch_warnings():  # about a loop that is not closed
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    assert gone() is None
    assert exporter.totals.event_loops() == {}
    assert exporter.value("pipeline_runs_active") == 0


def test_counters_do_not_fall_when_a_pipeline_runs_again_and_an_end_was_missed() -> None:
    exporter = Exporter()

    async def main() -> None:
        pipeline = exporter.pipeline()
        exporter.misses_ends = True
        await pipeline.run(range(5))
        assert exporter.value("pipeline_items", "p", "succeeded") == 5
        exporter.misses_ends = False
        await pipeline.run([1])
        assert exporter.value("pipeline_items", "p", "succeeded") == 6

    simulate(main)
    assert exporter.value("pipeline_runs") == 2


def test_past_a_hundred_names_pipelines_are_one() -> None:
    exporter = Exporter()

    async def main() -> None:
        for number in range(103):
            await exporter.pipeline(name=f"p{number}").run(range(2))

    simulate(main)
    assert len(exporter.values("pipeline_runs")) == 101
    assert exporter.value("pipeline_items", "other", "succeeded") == 6


@pytest.mark.parametrize(
    ("kind", "parents"),
    [("stage", ("p",)), ("plugin", ("p",)), ("task", ("p", "s")), ("error_type", ("p", "s"))],
)
def test_past_a_hundred_names_of_one_parent_labels_are_one(
    kind: Any, parents: tuple[str, ...]
) -> None:
    limiter = RunTotals().limiter
    for number in range(100):
        assert limiter.limit(kind, number, *parents) == (*parents, str(number))
    assert limiter.limit(kind, "late", *parents) == (*parents, "other")
    assert limiter.limit(kind, 99, *parents) == (*parents, "99")
    assert limiter.limit(kind, "late", *("q" for _ in parents))[-1] == "late"


def test_a_name_that_utf8_cannot_encode_has_a_label_all_the_same() -> None:
    assert RunTotals().limiter.limit("pipeline", "a\udc80b") == ("a?b",)


# At one moment, from any thread


class InterruptedPipeline(Pipeline):
    """A pipeline that calls a function once, while its statistics are read."""

    interrupt: Callable[[], None] | None = None

    def get_stats(self) -> PipelineStats:
        interrupt, self.interrupt = self.interrupt, None
        if interrupt is not None:
            interrupt()
        return super().get_stats()


def test_a_run_that_ends_while_it_is_read_is_counted_once() -> None:
    totals = RunTotals()

    async def main() -> None:
        stage = Stage(name="Work", workers=2, tasks=[same])
        pipeline = InterruptedPipeline([stage], name="p", autoload=False)
        await pipeline.start()
        totals.start_run(pipeline)
        await pipeline.feed(range(3))
        await pipeline.join()
        pipeline.interrupt = lambda: totals.finish_run(pipeline)
        for _ in range(2):
            read = {(s.metric.name, *s.labels): s.value for s in totals.read()}
            assert read["pipeline_runs", "p"] == 1
            assert read["pipeline_items", "p", "succeeded"] == 3

    simulate(main)


class RecedingPipeline(Pipeline):
    """A pipeline that shows fewer items each time."""

    seen = 0

    def get_stats(self) -> PipelineStats:
        self.seen += 1
        return replace(super().get_stats(), items_fed=9 - self.seen, items_processed=9 - self.seen)


def test_a_counter_does_not_fall_if_what_is_read_of_a_run_does() -> None:
    exporter = Exporter()

    async def main() -> None:
        stage = Stage(name="Work", workers=2, tasks=[same])
        pipeline = RecedingPipeline([stage], name="p", plugins=[exporter], autoload=False)
        await pipeline.start()
        for _ in range(2):
            assert exporter.value("pipeline_items_fed") == 8
            assert exporter.value("pipeline_items", "p", "succeeded") == 8
        await pipeline.join()

    simulate(main)
    assert exporter.value("pipeline_items_fed") == 8


class LastingPipeline(Pipeline):
    """A pipeline whose workers were busy for so many seconds."""

    seconds = 0.0

    def get_stats(self) -> PipelineStats:
        stats = super().get_stats()
        work = replace(stats.stage_stats["Work"], seconds={"busy": self.seconds})
        return replace(stats, stage_stats={"Work": work})


def test_seconds_do_not_fall_where_a_rounded_sum_would() -> None:
    """Ended runs are summed first, and 0.3 + 0.7 + 0.1 is more than 0.7 + 0.1 + 0.3."""
    exporter = Exporter()

    async def start(seconds: float) -> Pipeline:
        stage = Stage(name="Work", workers=1, tasks=[same])
        pipeline = LastingPipeline([stage], name="p", plugins=[exporter], autoload=False)
        pipeline.seconds = seconds
        await pipeline.start()
        return pipeline

    async def main() -> None:
        pipelines = [await start(seconds) for seconds in (0.3, 0.7, 0.1)]
        before = exporter.value("stage_worker_seconds", "p", "Work", "busy")
        for pipeline in (*pipelines[1:], pipelines[0]):
            await pipeline.shutdown()
            assert exporter.value("stage_worker_seconds", "p", "Work", "busy") == before
        assert before == pytest.approx(1.1, abs=1e-5)

    simulate(main)


def read_until(stop: Event, totals: RunTotals) -> int:
    """Read again and again, and return how often; no counter falls, and no series is lost."""
    before: dict[tuple[str, ...], float] = {}
    count = 0
    while not (count and stop.is_set()):
        samples = totals.read()
        now = {(s.metric.name, *s.labels): s.value for s in samples if s.metric.kind != "gauge"}
        assert before.keys() <= now.keys()
        assert [each for each, value in before.items() if now[each] < value] == []
        before, count = now, count + 1
    return count


def test_runs_start_and_end_while_other_threads_read() -> None:
    exporter, stop = Exporter(), Event()
    unprocessed: list[object] = []

    async def odd(value: int) -> int:
        await asyncio.sleep(0)
        if value % 3 == 0:
            raise ValueError(value)
        return value

    async def work(number: int) -> None:
        stages = [
            Stage(name="A", workers=2, tasks=[odd], task_attempts=1),
            Stage(name="B", workers=2, tasks=[same], pull=number % 2 == 0),
        ]
        name = f"p{number % 3}"
        pipeline = Pipeline(stages, name=name, plugins=[exporter], autoload=False)
        for _ in range(10):
            await pipeline.run(range(20))
        await pipeline.start()
        await pipeline.feed(range(20))
        unprocessed.extend(await pipeline.shutdown(timeout=0))
        async with pipeline.stream(range(20)) as results:
            async for _ in results:
                break
        unprocessed.extend(pipeline.unprocessed)

    async def main() -> None:
        await asyncio.gather(*map(work, range(6)))

    with ThreadPoolExecutor(4) as threads:
        readings = [threads.submit(read_until, stop, exporter.totals) for _ in range(4)]
        try:
            asyncio.run(main())
        finally:
            stop.set()
        assert all(reading.result() for reading in readings)
    ended = exporter.values("pipeline_items")
    fed = exporter.values("pipeline_items_fed")
    assert sum(fed.values()) == sum(ended.values())
    left = sum(number for labels, number in ended.items() if labels[1] == "unprocessed")
    assert left == len(unprocessed)
    names = [("p0",), ("p1",), ("p2",)]
    assert exporter.values("pipeline_runs") == dict.fromkeys(names, 24)
    assert exporter.values("pipeline_runs_active") == dict.fromkeys(names, 0)


# Forks


class TestForks:
    pytestmark = needs_fork

    def test_a_child_reads_its_own_runs_alone(self) -> None:
        exporter = Exporter()
        simulate(lambda: exporter.pipeline().run(range(3)))

        def work() -> str:
            before = exporter.values("pipeline_items_fed")
            asyncio.run(exporter.pipeline(name="child").run(range(2)))
            return f"{before} {exporter.values('pipeline_items_fed')}"

        async def fork_in_a_run() -> str:
            pipeline = exporter.pipeline(name="lasting")
            await pipeline.start()
            output = in_a_child(lambda: str(exporter.values("pipeline_items_fed")))
            await pipeline.join()
            return output

        assert in_a_child(work) == "{} {('child',): 2}"
        assert asyncio.run(fork_in_a_run()) == "{}"
        assert exporter.values("pipeline_items_fed") == {("p",): 3, ("lasting",): 0}

    def test_a_child_does_not_wait_for_a_lock_that_its_parent_holds(self) -> None:
        exporter = Exporter()

        def work() -> str:
            asyncio.run(exporter.pipeline().run(range(2)))
            return str(exporter.values("pipeline_runs"))

        with all_locks_of(exporter.totals):
            assert in_a_child(work) == "{('p',): 1}"

    def test_objects_are_reset_only_in_the_child(self) -> None:
        class Counter:
            count = 3

            def reset(self) -> None:
                self.count = 0

        counter = Counter()
        reset_after_fork(counter)
        assert in_a_child(lambda: str(counter.count)) == "0"
        assert counter.count == 3

    def test_each_object_is_reset_whatever_it_is_equal_to_and_another_raises(self) -> None:
        @dataclass
        class Counter:
            count: int

            def reset(self) -> None:
                number, self.count = self.count, 0
                if number == 4:
                    raise OSError("reset raised")

        def work() -> str:
            reported.append(str([counter.count for counter in counters]))
            return " ".join(reported)

        reported: list[str] = []
        counters = [Counter(number) for number in (3, 3, 4, 5, 5)]
        for counter in counters:
            reset_after_fork(counter)
        with pytest.MonkeyPatch.context() as patch:
            report = lambda raised: reported.append(str(raised.exc_value))  # noqa: E731
            patch.setattr(sys, "unraisablehook", report)
            assert in_a_child(work) == "reset raised [0, 0, 0, 0, 0]"

    def test_runs_of_a_child_have_ids_of_their_own(self) -> None:
        pipeline = Exporter().pipeline()

        def run_id() -> str:
            asyncio.run(pipeline.run([1]))
            return pipeline.run_id

        ids = [run_id(), in_a_child(run_id), in_a_child(run_id), run_id()]
        assert len(set(ids)) == len(ids)
        assert all(run_id.startswith("p-") for run_id in ids)


@contextmanager
def all_locks_of(holder: object) -> Iterator[None]:
    """Hold the locks of an object in another thread."""
    kinds = type(Lock()) | type(RLock())
    locks = [each for each in vars(holder).values() if isinstance(each, kinds)]
    assert len(locks) == 2
    with ThreadPoolExecutor(1) as thread:
        for lock in locks:
            thread.submit(lock.acquire).result()
        try:
            yield
        finally:
            for lock in locks:
                thread.submit(lock.release).result()
