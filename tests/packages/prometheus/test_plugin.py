"""The plugin: its options, and the order of its hooks."""

from __future__ import annotations

import re
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from antflow import DURATION_BOUNDS, Pipeline, hookimpl
from antflow_prometheus import DEFAULT_BUCKETS, Prometheus
from tests.helpers.virtual_time import simulate
from tests.packages.prometheus.scraping import Scraper, stage


def les(scraper: Scraper, name: str = "antflow_stage_queue_wait_seconds_bucket") -> set[str]:
    return {dict(labels)["le"] for sample, labels in scraper.samples() if sample == name}


def test_it_has_no_hook_for_items_or_attempts() -> None:
    hooks = {name for name in dir(Prometheus) if name.startswith("antflow_")}
    assert hooks - {"antflow_name"} == {
        "antflow_add_options",
        "antflow_configure",
        "antflow_pipeline_start",
        "antflow_pipeline_finish",
    }


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({}, DEFAULT_BUCKETS),
        ({"buckets": [1, 0.01, float("inf"), 0.01]}, [0.01, 1.0]),
        ({"buckets": DURATION_BOUNDS}, DURATION_BOUNDS),
    ],
)
def test_buckets_are_shown_as_chosen(options: Any, shown: list[float]) -> None:
    scraper = Scraper(**options)
    simulate(lambda: scraper.pipeline(stage()).run([1]))
    assert les(scraper) == {*map(repr, shown), "+Inf"}
    assert DEFAULT_BUCKETS[:3] == (0.001, 0.0025, 0.005)
    assert DEFAULT_BUCKETS[-1] == 100.0


@pytest.mark.parametrize(
    ("buckets", "message"),
    [
        ([0.3], "has 0.3, which antflow does not count; choose among 1e-05, 2.5e-05"),
        ([], "is empty; choose among"),
        ([float("inf")], "is empty; choose among"),
        (["often"], "give upper bounds in seconds, such as"),
        (7, "give upper bounds in seconds, such as"),
        ([float("nan")], "has nan, which antflow does not count"),
    ],
)
def test_buckets_that_are_not_counted_are_refused(buckets: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Prometheus(CollectorRegistry(), buckets)


def test_what_is_no_registry_is_refused() -> None:
    registry: Any = "default"
    with pytest.raises(TypeError, match="registry of Prometheus is 'default'; give a"):
        Prometheus(registry)


class Loud:
    """Raises at the start and at the end of a run, and sees what a scraper sees meanwhile."""

    antflow_name = "loud"

    def __init__(self, scraper: Scraper) -> None:
        self.scraper = scraper
        self.seen: list[float] = []

    def see(self) -> None:
        self.seen.append(self.scraper.value("antflow_pipeline_runs_active", pipeline="letters"))

    @hookimpl
    def antflow_pipeline_start(self) -> None:
        self.see()
        raise ValueError("start")

    @hookimpl
    async def antflow_pipeline_finish(self) -> None:
        self.see()
        raise ValueError("finish")


@pytest.mark.parametrize("is_first", [True, False])
def test_runs_are_counted_before_and_after_the_hooks_of_other_plugins(
    is_first: bool, caplog: pytest.LogCaptureFixture
) -> None:
    scraper = Scraper()
    loud = Loud(scraper)
    plugins = [loud, scraper.plugin] if is_first else [scraper.plugin, loud]
    one = Pipeline([stage()], name="letters", plugins=plugins, autoload=False)
    simulate(lambda: one.run([1]))
    assert loud.seen == [1, 1]
    faults = {"pipeline": "letters", "plugin": "loud"}
    assert scraper.value("antflow_plugin_faults_total", **faults) == 2
    assert len(caplog.records) == 2
