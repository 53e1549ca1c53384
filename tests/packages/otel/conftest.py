"""OpenTelemetry's global providers, and what it complains of."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
from opentelemetry import trace
from opentelemetry.metrics import _internal as metrics
from opentelemetry.util._once import Once

from tests.packages.otel.tracing import complaints

PROMETHEUS_READER = "opentelemetry.exporter.prometheus"


@pytest.fixture
def no_global_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no global provider at first; one that a test sets is gone after it."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())
    monkeypatch.setattr(metrics, "_METER_PROVIDER", None)
    monkeypatch.setattr(metrics, "_METER_PROVIDER_SET_ONCE", Once())
    monkeypatch.setattr(metrics, "_PROXY_METER_PROVIDER", metrics._ProxyMeterProvider())


@pytest.fixture
def no_complaints(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail if OpenTelemetry logs anything, or a plugin raises."""
    yield
    assert complaints(caplog.get_records("call")) == []


@pytest.fixture
def prometheus_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the module of OpenTelemetry's Prometheus reader loaded."""
    monkeypatch.setitem(sys.modules, PROMETHEUS_READER, ModuleType(PROMETHEUS_READER))
