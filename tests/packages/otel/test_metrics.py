"""Whether a run has metrics, and for which meter provider."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import pytest
from opentelemetry import metrics
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider

from antflow import Pipeline
from antflow_otel import _metrics, _providers
from antflow_otel._metrics import PROMETHEUS_READER, Metrics
from antflow_otel._metrics_observer import MetricsObserver
from antflow_otel._providers import Providers
from tests.helpers.virtual_time import Gate, settle, simulate
from tests.packages.otel.metering import Metered, MetricsPlugin, stage


class Named:
    """A plugin that does nothing."""

    def __init__(self, name: str) -> None:
        self.antflow_name = name


def observers(plugin: MetricsPlugin, *others: object) -> tuple[object, ...]:
    """Return the observers of a run of a plugin."""
    pipeline = Pipeline([stage()], name="p", plugins=[plugin, *others], autoload=False)
    simulate(lambda: pipeline.run([1]))
    assert pipeline.plugin_faults == {}
    return plugin.observers


def test_with_a_provider_attempts_are_recorded() -> None:
    (observer,) = observers(Metered().plugin)
    assert isinstance(observer, MetricsObserver)


def test_without_a_provider_nothing_is_observed() -> None:
    assert type(metrics.get_meter_provider()).__name__ == "_ProxyMeterProvider"
    assert observers(MetricsPlugin(Metrics())) == ()


def test_the_provider_is_looked_for_when_a_run_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = MetricsPlugin(Metrics())
    assert observers(plugin) == ()
    metered = Metered()
    monkeypatch.setattr(_providers, "get_meter_provider", lambda: metered.provider)
    assert len(observers(plugin)) == 1
    assert metered.value("antflow.item.fed") == 1


def test_the_provider_that_is_given_stands_before_that_of_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metered, other = Metered(), Metered()
    monkeypatch.setattr(_providers, "get_meter_provider", lambda: other.provider)
    observers(metered.plugin)
    assert metered.value("antflow.item.fed") == 1
    assert other.metrics() == {}


def test_a_provider_that_records_nothing_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert observers(MetricsPlugin(Metrics(NoOpMeterProvider()))) == ()
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert observers(MetricsPlugin(Metrics(MeterProvider(shutdown_on_exit=False)))) == ()


def test_metrics_can_be_turned_off() -> None:
    metered = Metered(enabled=False)
    assert observers(metered.plugin) == ()
    assert metered.metrics() == {}


def test_by_quantiles_nothing_is_observed_but_all_is_read() -> None:
    metered = Metered(quantiles=(0.5,))
    assert observers(metered.plugin) == ()
    assert metered.value("antflow.item.fed") == 1


@pytest.mark.parametrize("wanted", [(), [], [2], [-0.1, 0.5], ["many"], 0.5, [float("nan")]])
def test_quantiles_that_are_none_are_refused(wanted: Any) -> None:
    with pytest.raises(ValueError, match=r"quantiles of OTel are .*give numbers from 0 to 1"):
        Metrics(quantiles=wanted)


@pytest.mark.parametrize(
    ("plugins", "is_loaded", "enabled", "is_shown"),
    [
        (["prometheus"], True, None, False),
        (["prometheus"], True, True, True),
        (["prometheus"], False, None, True),
        ([], True, None, True),
        (["rich"], True, None, True),
    ],
)
def test_where_two_exporters_meet_metrics_are_left_to_antflow_prometheus(
    plugins: Iterable[str],
    is_loaded: bool,
    enabled: bool | None,
    is_shown: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.delitem(sys.modules, PROMETHEUS_READER, raising=False)
    if is_loaded:
        monkeypatch.setitem(sys.modules, PROMETHEUS_READER, ModuleType(PROMETHEUS_READER))
    metered = Metered()
    monkeypatch.setattr(_providers, "get_meter_provider", lambda: metered.provider)
    with caplog.at_level(logging.INFO, "antflow_otel"):
        found = observers(MetricsPlugin(Metrics(enabled=enabled)), *map(Named, plugins))
    assert bool(found) is is_shown
    assert bool(metered.metrics()) is is_shown
    assert ("OTel(metrics=True)" in caplog.text) is not is_shown


@pytest.mark.parametrize("quantiles", [None, [0.5]])
def test_however_a_run_ends_it_is_over(quantiles: list[float] | None) -> None:
    metered = Metered(quantiles=quantiles)

    async def leave_a_stream() -> None:
        async for _ in metered.pipeline(stage()).stream(range(50), buffer_size=1):
            break
        await settle()

    async def be_cancelled() -> None:
        running = asyncio.create_task(metered.pipeline(stage(task=Gate())).run(range(3)))
        await settle()
        assert metered.value("antflow.item.count") == 3
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    async def be_shut_down() -> None:
        pipeline = metered.pipeline(stage(task=Gate()))
        await pipeline.start()
        await pipeline.feed([1, 2])
        await pipeline.shutdown(timeout=0)

    for number, end in enumerate((leave_a_stream, be_cancelled, be_shut_down), 1):
        simulate(end)
        gc.collect()
        assert metered.value("antflow.run.started") == number
        assert metered.value("antflow.run.count") == 0
        assert metered.value("antflow.item.count") == 0
        assert metered.value("antflow.item.fed") == metered.value("antflow.item.ended")


def test_a_run_may_finish_whose_start_failed() -> None:
    pipeline = Pipeline([stage()], name="p", autoload=False)
    Metrics().finish_run(pipeline)


@pytest.mark.parametrize("by_plugin", [True, False])
def test_a_provider_that_is_given_is_shown_all_whoever_else_shows_it(
    by_plugin: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, PROMETHEUS_READER, ModuleType(PROMETHEUS_READER))
    metered = Metered()
    if not by_plugin:
        monkeypatch.setattr(_metrics, "PROVIDERS", providers := Providers())
        providers.use(None, metered.provider)
    plugin = metered.plugin if by_plugin else MetricsPlugin(Metrics())
    assert observers(plugin, Named("prometheus"))
    assert metered.value("antflow.item.fed") == 1


def test_what_stands_for_the_global_provider_is_that_once_it_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    early = metrics.get_meter_provider()
    assert type(early).__name__ == "_ProxyMeterProvider"
    plugin, other = MetricsPlugin(Metrics(early)), MetricsPlugin(Metrics())
    assert observers(plugin) == ()
    metered = Metered()
    monkeypatch.setattr(_providers, "get_meter_provider", lambda: metered.provider)
    for each in (plugin, other):
        assert len(observers(each)) == 1
    assert metered.value("antflow.item.fed") == 2  # and by one instrument, not by two


def test_what_was_kept_of_a_run_is_let_go_at_its_end() -> None:
    metered = Metered()
    observers(metered.plugin)
    assert metered.plugin.metrics._by_run == {}
