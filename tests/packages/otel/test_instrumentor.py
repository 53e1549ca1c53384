"""The entry point of OpenTelemetry's own tools."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points

import pytest

from antflow_otel._instrumentor import AntFlowInstrumentor
from antflow_otel._metrics import Metrics
from antflow_otel._providers import PROVIDERS
from tests.helpers.virtual_time import simulate
from tests.packages.otel.metering import Metered, MetricsPlugin, stage


@pytest.fixture
def instrumentor() -> Iterator[AntFlowInstrumentor]:
    """The one of the process, which has not been called."""
    instrumentor = AntFlowInstrumentor()
    yield instrumentor
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()
    PROVIDERS.use(None, None)


def run(metered: Metered) -> None:
    """Run a pipeline whose plugin was given no provider."""
    metered.plugin = MetricsPlugin(Metrics())
    simulate(lambda: metered.pipeline(stage()).run([1]))


def test_its_entry_point_is_found() -> None:
    (found,) = entry_points(group="opentelemetry_instrumentor", name="antflow")
    assert found.load() is AntFlowInstrumentor


def test_what_it_instruments_is_installed(
    instrumentor: AntFlowInstrumentor, caplog: pytest.LogCaptureFixture
) -> None:
    instrumentor.instrument()
    assert instrumentor.is_instrumented_by_opentelemetry
    assert caplog.text == ""


def test_the_providers_that_it_is_given_are_used(instrumentor: AntFlowInstrumentor) -> None:
    metered = Metered()
    run(metered)
    assert metered.metrics() == {}
    instrumentor.instrument(meter_provider=metered.provider)
    run(metered)
    assert metered.value("antflow.item.fed") == 1
    instrumentor.uninstrument()
    run(metered)
    assert metered.value("antflow.item.fed") == 1


def test_a_plugin_that_was_given_a_provider_keeps_it(instrumentor: AntFlowInstrumentor) -> None:
    instrumentor.instrument()
    instrumentor.uninstrument()
    metered = Metered()
    simulate(lambda: metered.pipeline(stage()).run([1]))
    assert metered.value("antflow.item.fed") == 1
