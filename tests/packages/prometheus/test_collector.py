"""A registry shows the counts of live and of ended runs."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from weakref import ref

import pytest
from prometheus_client import CollectorRegistry, Gauge

import antflow
import antflow_prometheus
from antflow import GiveUp, Pipeline, RetryAfter, hookimpl
from antflow_prometheus import Prometheus
from tests.helpers.virtual_time import Gate, settle, simulate
from tests.packages.prometheus.scraping import Key, Scraper, key, stage, sum_of_ends

WORK = {"pipeline": "letters", "stage": "Work"}


def test_plugins_of_one_registry_add_to_the_same_metrics() -> None:
    scraper = Scraper()
    for _ in range(2):
        scraper.plugin = Prometheus(scraper.registry)
        simulate(lambda: scraper.pipeline(stage()).run([1]))
    simulate(lambda: Scraper().pipeline(stage()).run([1]))
    assert scraper.value("antflow_pipeline_runs_total", pipeline="letters") == 2


def test_a_registry_is_not_kept_alive() -> None:
    registry = CollectorRegistry()
    Prometheus(registry)
    gone = ref(registry)
    del registry
    gc.collect()
    assert gone() is None


def test_a_name_that_is_taken_is_refused() -> None:
    registry = CollectorRegistry()
    Gauge("antflow_stage_workers", "Mine.", registry=registry)
    with pytest.raises(ValueError, match="antflow_stage_workers"):
        Prometheus(registry)


def test_a_collector_that_was_taken_out_of_its_registry_comes_back() -> None:
    scraper = Scraper()
    simulate(lambda: scraper.pipeline(stage()).run([1]))
    (collector,) = scraper.registry._collector_to_names
    scraper.registry.unregister(collector)
    assert scraper.samples() == {}
    Prometheus(scraper.registry)
    assert scraper.value("antflow_pipeline_runs_total", pipeline="letters") == 1


def test_versions_are_shown_before_any_run() -> None:
    versions = {"version": antflow.__version__, "plugin_version": antflow_prometheus.__version__}
    assert Scraper().samples() == {key("antflow_build_info", **versions): 1.0}


def test_counts_are_those_of_the_statistics() -> None:
    scraper = Scraper()

    async def main() -> None:
        async def odd(value: int) -> int:
            if value % 5 == 1:
                raise ValueError(value)
            if value % 5 == 2:
                raise KeyError(value)
            return value

        one = scraper.pipeline(
            stage(task=odd, task_attempts=2, task_wait_seconds=0.1),
            stage("Next", skip_if=lambda value: value % 5 == 3),
        )
        await one.run(range(20))
        stats = one.get_stats()
        outcomes = scraper.values("antflow_stage_items_total", "outcome")
        assert sum(outcomes.values()) == sum(map(sum_of_ends, stats.stage_stats.values()))
        assert scraper.values("antflow_stage_failures_total", "error_type") == {
            "ValueError": 4,
            "KeyError": 4,
        }

    simulate(main)
    assert scraper.values("antflow_pipeline_items_total", "outcome") == {
        "succeeded": 12, "failed": 8, "dropped": 0, "unprocessed": 0
    }  # fmt: skip
    assert scraper.values("antflow_stage_items_total", "outcome") == {
        "completed": 20, "failed": 8, "skipped": 4, "dropped": 0, "unprocessed": 0
    }  # fmt: skip
    assert scraper.value("antflow_stage_retries_total", **WORK) == 8
    task = WORK | {"task": "odd"}
    assert scraper.value("antflow_task_duration_seconds_count", **task) == 28
    assert scraper.value("antflow_task_failures_total", **task) == 8
    assert scraper.value("antflow_task_retries_total", **task) == 8
    assert scraper.value("antflow_stage_worker_seconds_total", **WORK, state="waiting") == (
        pytest.approx(2 * 0.1, rel=0.01)
    )
    # An item that is due again waits for a worker once more.
    assert scraper.value("antflow_stage_queue_wait_seconds_count", **WORK) == 28


def test_what_is_so_now_is_shown_while_it_is() -> None:
    scraper = Scraper()

    async def main() -> None:
        gate = Gate()
        one = scraper.pipeline(stage(task=gate, queue_capacity=5))
        await one.start()
        feeding = asyncio.ensure_future(one.feed(range(9)))
        await settle()
        assert scraper.value("antflow_stage_items_pending", **WORK) == 5
        assert scraper.value("antflow_stage_items_in_progress", **WORK) == 2
        assert scraper.value("antflow_stage_capacity_items", **WORK) == 5
        assert scraper.value("antflow_pipeline_runs_active", pipeline="letters") == 1
        assert scraper.value("antflow_pipeline_items_outstanding", pipeline="letters") == 7
        states = {"idle": 0, "busy": 2, "waiting": 0, "blocked": 0}
        assert scraper.values("antflow_stage_workers", "state") == states
        gate.open()
        await feeding
        await one.join()

    simulate(main)
    for name in ("items_pending", "items_in_progress", "capacity_items", "abandoned_threads"):
        assert scraper.value(f"antflow_stage_{name}", **WORK) == 0
    assert set(scraper.values("antflow_stage_workers", "state").values()) == {0}
    assert scraper.value("antflow_pipeline_runs_active", pipeline="letters") == 0


def test_what_waits_for_a_retry_and_what_was_given_up_is_shown() -> None:
    scraper = Scraper()

    async def work(value: int) -> None:
        if value == 0:
            await asyncio.sleep(1000)
        raise RetryAfter(30) if value == 1 else GiveUp(KeyError(value))

    async def main() -> None:
        one = scraper.pipeline(stage(task=work, task_attempts=2, task_timeout=5, retry_wait=60))
        await one.start()
        await one.feed(range(4))
        await asyncio.sleep(10)
        assert scraper.value("antflow_stage_items_parked", **WORK) == 2
        await one.join()

    simulate(main)
    assert scraper.value("antflow_stage_items_parked", **WORK) == 0
    assert scraper.value("antflow_stage_timeouts_total", **WORK) == 2
    assert scraper.value("antflow_stage_give_ups_total", **WORK) == 2


def test_what_was_left_over_is_shown() -> None:
    scraper = Scraper()

    async def main() -> None:
        gate = Gate()
        one = scraper.pipeline(stage(task=gate))
        await one.start()
        await one.feed(range(7))
        await settle()
        assert len(await one.shutdown(timeout=0)) == 7

    simulate(main)
    assert scraper.values("antflow_stage_items_total", "outcome")["unprocessed"] == 7
    assert scraper.values("antflow_pipeline_items_total", "outcome")["unprocessed"] == 7
    assert scraper.value("antflow_pipeline_items_outstanding", pipeline="letters") == 0


def test_faults_of_every_plugin_are_shown_from_zero_on(caplog: pytest.LogCaptureFixture) -> None:
    class Faulty:
        antflow_name = "faulty"

        @hookimpl
        def antflow_task_start(self) -> None:
            raise ValueError("x")

    scraper = Scraper()
    faults = {"pipeline": "letters", "plugin": "faulty"}

    async def main() -> None:
        one = Pipeline(
            [stage()], name="letters", plugins=[scraper.plugin, Faulty()], autoload=False
        )
        await one.start()
        assert scraper.value("antflow_plugin_faults_total", **faults) == 0
        await one.feed(range(3))
        await one.join()

    simulate(main)
    assert scraper.value("antflow_plugin_faults_total", **faults) == 3
    assert scraper.values("antflow_plugin_faults_total", "plugin")["prometheus"] == 0
    assert len(caplog.records) == 1


def test_a_last_completion_is_shown_and_never_moves_back() -> None:
    scraper = Scraper()
    name = "antflow_stage_last_completion_timestamp_seconds"

    async def main() -> None:
        one = scraper.pipeline(stage())
        await one.start()
        assert scraper.value(name, **WORK) == 0
        await one.feed([1])
        await settle()
        last = one.get_stats().stage_stats["Work"].last_completion
        assert last is not None
        assert scraper.value(name, **WORK) == pytest.approx(last, abs=1)
        await one.join()
        before = scraper.value(name, **WORK)
        await one.run([])
        assert scraper.value(name, **WORK) == before

    simulate(main)


# Real threads and loops


def scrape_until(stop: Event, scraper: Scraper) -> int:
    """Scrape again and again, and return how often; no counter falls, and no series is lost."""
    before: dict[Key, float] = {}
    count = 0
    while not (count and stop.is_set()):
        now = scraper.samples()
        assert before.keys() <= now.keys()
        for name, value in before.items():
            if name[0].endswith(("_total", "_bucket", "_count", "_sum")):
                assert now[name] >= value
        before, count = now, count + 1
    return count


def test_counters_never_fall_while_runs_begin_and_end_and_threads_scrape() -> None:
    scraper, stop = Scraper(), Event()
    items, runs = 20, 4
    left: Counter[str] = Counter()

    async def odd(value: int) -> int:
        await asyncio.sleep(0)
        if value % 3 == 0:
            raise ValueError(value)
        return value

    async def work(number: int) -> None:
        one = scraper.pipeline(
            stage("A", task=odd), stage("B", pull=number % 2 == 0), name=f"p{number % 3}"
        )
        for _ in range(runs):
            await one.run(range(items))
        await one.start()
        await one.feed(range(items))
        left[one.name] += len(await one.shutdown(timeout=0))
        async with one.stream(range(items)) as results:
            async for _ in results:
                break
        left[one.name] += len(one.unprocessed)

    async def main() -> None:
        await asyncio.gather(*map(work, range(6)))

    with ThreadPoolExecutor(4) as threads:
        scrapes = [threads.submit(scrape_until, stop, scraper) for _ in range(4)]
        try:
            asyncio.run(main())
        finally:
            stop.set()
        assert all(scrape.result() for scrape in scrapes)
    fed = scraper.values("antflow_pipeline_items_fed_total", "pipeline")
    assert fed == scraper.values("antflow_pipeline_items_total", "pipeline")
    outcomes = scraper.values("antflow_pipeline_items_total", "outcome")
    assert outcomes["unprocessed"] == sum(left.values())
    started = scraper.values("antflow_pipeline_runs_total", "pipeline")
    assert started == dict.fromkeys(["p0", "p1", "p2"], 2 * (runs + 2))
    assert set(scraper.values("antflow_pipeline_runs_active", "pipeline").values()) == {0}
