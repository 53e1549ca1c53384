"""A registry shows the counts of live and of ended runs."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Iterator
from math import isnan
from threading import Event, Thread
from weakref import ref

import pytest
from prometheus_client import CollectorRegistry, Gauge

import antflow
import antflow_prometheus
from antflow import GiveUp, Pipeline, RetryAfter, hookimpl
from antflow_prometheus import Prometheus
from tests.helpers.virtual_time import Gate, settle, simulate
from tests.packages.prometheus.scraping import Key, Scraper, key, stage, sum_of_ends

ENDS = ("completed", "failed", "skipped", "dropped", "unprocessed")
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


class Scrapes(Thread):
    """Scrapes again and again in a thread; keeps what fell and what was raised."""

    def __init__(self, scraper: Scraper, stop: Event) -> None:
        super().__init__()
        self.scraper = scraper
        self.stop = stop
        self.fallen: list[tuple[Key, float, float]] = []
        self.error: BaseException | None = None
        self.count = 0

    def run(self) -> None:
        before: dict[Key, float] = {}
        try:
            while not self.stop.is_set():
                now = self.scraper.samples()
                self.fallen += [
                    (name, before[name], value)
                    for name, value in now.items()
                    if falls(name, value, before)
                ]
                self.fallen += [(name, before[name], -1.0) for name in before.keys() - now.keys()]
                before = now
                self.count += 1
        except BaseException as error:
            self.error = error


def falls(name: Key, value: float, before: dict[Key, float]) -> bool:
    is_counter = name[0].endswith(("_total", "_bucket", "_count", "_sum"))
    return is_counter and value < before.get(name, 0.0)


@pytest.fixture
def scraped() -> Iterator[Scraper]:
    scraper, stop = Scraper(), Event()
    threads = [Scrapes(scraper, stop) for _ in range(4)]
    for thread in threads:
        thread.start()
    yield scraper
    stop.set()
    for thread in threads:
        thread.join()
        assert thread.error is None
        assert thread.fallen == []
        assert thread.count > 3


def counts(one: Pipeline) -> dict[tuple[str, ...], int]:
    """How the items of the last run ended in each stage."""
    found: dict[tuple[str, ...], int] = {}
    for name, of in one.get_stats().stage_stats.items():
        done = of.completed_items - of.skipped_items
        ends = (done, of.failed_items, of.skipped_items, of.dropped_items, of.unprocessed_items)
        found |= {(one.name, name, end): number for end, number in zip(ENDS, ends, strict=True)}
    return found


def test_counters_never_fall_while_runs_begin_and_end_and_threads_scrape(
    scraped: Scraper,
) -> None:
    items, runs = 30, 12
    totals: Counter[tuple[str, ...]] = Counter()

    async def odd(value: int) -> int:
        await asyncio.sleep(0)
        if value % 3 == 0:
            raise ValueError(value)
        return value

    async def work(number: int) -> None:
        one = scraped.pipeline(
            stage("A", task=odd), stage("B", pull=number % 2 == 0), name=f"p{number % 3}"
        )
        for _ in range(runs // 3):
            await one.run(range(items))
            totals.update(counts(one))
        await one.start()
        await one.feed(range(items))
        await one.shutdown(timeout=0)
        totals.update(counts(one))
        async with one.stream(range(items)) as results:
            async for _ in results:
                break
        totals.update(counts(one))

    async def main() -> None:
        await asyncio.gather(*map(work, range(6)))

    asyncio.run(main())
    shown = {
        tuple(dict(labels)[label] for label in ("pipeline", "stage", "outcome")): value
        for (name, labels), value in scraped.samples().items()
        if name == "antflow_stage_items_total"
    }
    assert shown == {of: totals[of] for of in shown}
    assert len(shown) == 3 * 2 * len(ENDS)
    fed = scraped.values("antflow_pipeline_items_fed_total", "pipeline")
    ended = scraped.values("antflow_pipeline_items_total", "pipeline")
    assert fed == ended
    assert scraped.values("antflow_pipeline_runs_total", "pipeline") == dict.fromkeys(
        ["p0", "p1", "p2"], 2 * (runs // 3 + 2)
    )
    assert set(scraped.values("antflow_pipeline_runs_active", "pipeline").values()) == {0}


def test_the_lag_of_a_held_up_loop_is_shown_to_another_thread() -> None:
    scraper = Scraper()
    lags: list[float] = []

    def ask() -> None:
        lags.append(scraper.value("antflow_event_loop_lag_seconds", pipeline="letters"))

    async def main() -> None:
        one = scraper.pipeline(stage())
        await one.start()
        await asyncio.to_thread(ask)
        asking = Thread(target=ask)
        asking.start()
        asking.join()  # which holds the loop up
        await one.join()

    asyncio.run(main())
    ask()
    free, held_up, ended = lags
    assert 0 < free < 0.1
    assert (held_up, ended) == (0.1, 0)


def test_a_scrape_on_the_loop_itself_is_not_held_up() -> None:
    scraper = Scraper()

    async def main() -> None:
        one = scraper.pipeline(stage())
        await one.start()
        lag = scraper.value("antflow_event_loop_lag_seconds", pipeline="letters")
        assert isnan(lag)
        await one.join()

    simulate(main)
