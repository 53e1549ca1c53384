"""Which provider a run uses, and which signals it has."""

from __future__ import annotations

import logging
import sys
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NoOpTracerProvider, ProxyTracerProvider

from antflow import Pipeline
from tests.helpers.virtual_time import simulate
from tests.packages.otel.conftest import PROMETHEUS_READER
from tests.packages.otel.metering import Metered, ObservingOTel, stage
from tests.packages.otel.tracing import Traced

pytestmark = pytest.mark.usefixtures("no_global_providers")

NO_TRACES, NO_METRICS = {"tracer_provider": NoOpTracerProvider()}, {"metrics": False}
DISABLED = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"


class Named:
    """A plugin that does nothing."""

    def __init__(self, name: str) -> None:
        self.antflow_name = name


def is_observed(plugin: ObservingOTel, *others: object) -> bool:
    """Run a pipeline, and return whether its items or attempts are observed."""
    one = Pipeline([stage()], name="letters", plugins=[plugin, *others], autoload=False)
    simulate(lambda: one.run([1]))
    assert one.plugin_faults == {}
    return plugin.observers != ()


@pytest.mark.parametrize(
    "options",
    [
        {},
        NO_TRACES,
        {"tracer_provider": ProxyTracerProvider()},
        {"meter_provider": NoOpMeterProvider()},
    ],
)
def test_without_a_provider_no_item_and_no_attempt_is_observed(options: Any) -> None:
    assert not is_observed(ObservingOTel(**options))


def test_with_an_sdk_that_is_disabled_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    providers = TracerProvider(shutdown_on_exit=False), MeterProvider(shutdown_on_exit=False)
    assert not is_observed(ObservingOTel(*providers))


@pytest.mark.parametrize("is_early", [False, True])
def test_global_providers_are_used_from_the_next_run_on(is_early: bool) -> None:
    # A program may pass what stands for the global providers before they are set.
    early = trace.get_tracer_provider(), metrics.get_meter_provider()
    plugin = ObservingOTel(*early) if is_early else ObservingOTel()
    assert not is_observed(plugin)
    traced, metered = Traced(), Metered()
    trace.set_tracer_provider(traced.provider)
    metrics.set_meter_provider(metered.provider)
    assert is_observed(plugin)
    assert is_observed(ObservingOTel())
    assert len(traced.named("letters")) == 2
    assert metered.value("antflow.item.fed") == 2  # and by one instrument, not by two


def test_given_providers_come_before_the_global_ones() -> None:
    others, traced, metered = (Traced(), Metered()), Traced(), Metered()
    trace.set_tracer_provider(others[0].provider)
    metrics.set_meter_provider(others[1].provider)
    is_observed(ObservingOTel(traced.provider, metered.provider))
    assert traced.named("letters")
    assert metered.value("antflow.item.fed") == 1
    assert not others[0].spans
    assert others[1].metrics() == {}


@pytest.mark.parametrize(
    ("options", "is_traced", "is_measured", "expected"),
    [
        ({}, True, True, True),
        (NO_TRACES, False, True, True),
        (NO_METRICS, True, False, True),
        ({"meter_provider": NoOpMeterProvider()}, True, False, True),
        ({**NO_TRACES, **NO_METRICS}, False, False, False),
        ({**NO_TRACES, "quantiles": [0.5]}, False, True, False),  # all is read at collection
    ],
)
def test_each_signal_is_switched_off_by_itself(
    options: Any, is_traced: bool, is_measured: bool, expected: bool
) -> None:
    traced, metered = Traced(), Metered()
    trace.set_tracer_provider(traced.provider)
    metrics.set_meter_provider(metered.provider)
    assert is_observed(ObservingOTel(**options)) is expected
    assert bool(traced.spans) is is_traced
    assert bool(metered.metrics()) is is_measured


@pytest.mark.parametrize(
    ("disabled", "expected"),
    [
        ("antflow", False),
        ("flask, antflow", False),
        ("*", False),
        ("", True),
        ("antflowers,flask", True),
    ],
)
def test_a_disabled_instrumentation_uses_no_global_provider(
    disabled: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    early = trace.get_tracer_provider()
    trace.set_tracer_provider(Traced().provider)
    metrics.set_meter_provider(Metered().provider)
    monkeypatch.setenv(DISABLED, disabled)
    cases: list[Any] = [{}, {"tracer_provider": early}, NO_TRACES, NO_METRICS]
    for options in cases:
        assert is_observed(ObservingOTel(**options)) is expected
    assert is_observed(Traced().plugin)


@pytest.mark.parametrize(
    ("plugins", "is_loaded", "enabled", "is_given", "is_shown"),
    [
        (["prometheus"], True, None, False, False),
        (["prometheus"], True, True, False, True),
        (["prometheus"], True, None, True, True),
        (["prometheus"], False, None, False, True),
        ([], True, None, False, True),
        (["rich"], True, None, False, True),
    ],
)
def test_beside_the_prometheus_reader_metrics_are_left_to_antflow_prometheus(
    plugins: list[str],
    is_loaded: bool,
    enabled: bool | None,
    is_given: bool,
    is_shown: bool,
    request: pytest.FixtureRequest,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if is_loaded:
        request.getfixturevalue("prometheus_reader")
    else:
        request.getfixturevalue("monkeypatch").delitem(sys.modules, PROMETHEUS_READER, False)
    metered = Metered()
    metrics.set_meter_provider(metered.provider)
    plugin = ObservingOTel(None, metered.provider if is_given else None, metrics=enabled)
    with caplog.at_level(logging.INFO, "antflow_otel"):
        assert is_observed(plugin, *map(Named, plugins)) is is_shown
    assert bool(metered.metrics()) is is_shown
    assert ("OTel(metrics=True)" in caplog.text) is not is_shown
