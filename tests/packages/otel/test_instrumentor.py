"""The entry point of OpenTelemetry's own tools."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any

import pytest
from opentelemetry.metrics import get_meter_provider, set_meter_provider
from opentelemetry.trace import ProxyTracerProvider

from tests.helpers.virtual_time import simulate
from tests.packages.otel.metering import Metered, ObservingOTel, stage
from tests.packages.otel.tracing import Traced

pytestmark = pytest.mark.usefixtures("no_global_providers")


@pytest.fixture
def instrumentor() -> Iterator[Any]:
    """The instrumentor of the process, which has not been called."""
    (found,) = entry_points(group="opentelemetry_instrumentor", name="antflow")
    instrumentor = found.load()()
    yield instrumentor
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()
    instrumentor._instrument()  # as at the start of the process: the global providers are used


@pytest.fixture
def chosen() -> Metered:
    """A provider that the plugin was not given."""
    metered = Metered()
    metered.plugin = ObservingOTel()
    return metered


def run(metered: Metered) -> None:
    simulate(lambda: metered.pipeline(stage()).run([1]))


def test_what_it_instruments_is_installed(
    instrumentor: Any, caplog: pytest.LogCaptureFixture
) -> None:
    instrumentor.instrument()
    assert instrumentor.is_instrumented_by_opentelemetry
    assert caplog.text == ""


def test_its_providers_are_used_until_it_is_uninstrumented(
    instrumentor: Any, chosen: Metered
) -> None:
    traced = Traced()
    run(chosen)
    assert chosen.metrics() == {}
    instrumentor.instrument(meter_provider=chosen.provider, tracer_provider=traced.provider)
    run(chosen)
    instrumentor.uninstrument()
    run(chosen)
    assert chosen.value("antflow.item.fed") == 1
    assert len(traced.named("letters")) == 1


def test_without_providers_it_uses_the_global_ones(instrumentor: Any, chosen: Metered) -> None:
    instrumentor.instrument(
        tracer_provider=ProxyTracerProvider(), meter_provider=get_meter_provider()
    )
    run(chosen)
    assert chosen.metrics() == {}
    set_meter_provider(chosen.provider)
    run(chosen)
    assert chosen.value("antflow.item.fed") == 1


def test_a_plugin_that_was_given_a_provider_keeps_it(instrumentor: Any) -> None:
    instrumentor.instrument()
    instrumentor.uninstrument()
    metered = Metered()
    run(metered)
    assert metered.value("antflow.item.fed") == 1


@pytest.mark.usefixtures("prometheus_reader")
def test_the_chosen_provider_has_metrics_beside_antflow_prometheus(
    instrumentor: Any, chosen: Metered
) -> None:
    class Prometheus:
        antflow_name = "prometheus"

    instrumentor.instrument(meter_provider=chosen.provider)
    pipeline = chosen.pipeline(stage(), plugins=[Prometheus()])
    simulate(lambda: pipeline.run([1]))
    assert chosen.value("antflow.item.fed") == 1
