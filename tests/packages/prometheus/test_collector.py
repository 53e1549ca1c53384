"""A registry shows the counts of live and of ended runs."""

from __future__ import annotations

import gc
from weakref import ref

import pytest
from prometheus_client import CollectorRegistry, Gauge

import antflow
import antflow_prometheus
from antflow_prometheus import Prometheus
from tests.helpers.virtual_time import simulate
from tests.packages.prometheus.scraping import Scraper, key, stage, sum_of_ends

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
