"""The providers of plugins that were given none."""

from __future__ import annotations

import pytest
from opentelemetry.metrics import MeterProvider as AnyMeterProvider
from opentelemetry.metrics import NoOpMeterProvider, get_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NoOpTracerProvider, ProxyTracerProvider, get_tracer_provider

from antflow_otel import _providers
from antflow_otel._providers import DISABLED, Providers, given_meter_provider, given_tracer_provider


@pytest.fixture
def meter_provider(monkeypatch: pytest.MonkeyPatch) -> MeterProvider:
    """The one that is the process's."""
    provider = MeterProvider(shutdown_on_exit=False)
    monkeypatch.setattr(_providers, "get_meter_provider", lambda: provider)
    return provider


def test_without_a_choice_the_global_ones_are_used(meter_provider: MeterProvider) -> None:
    providers = Providers()
    assert providers.tracer_provider({}) is get_tracer_provider()
    assert providers.meter_provider({}) is meter_provider


def test_those_that_are_chosen_stand_before_the_global_ones(meter_provider: MeterProvider) -> None:
    providers = Providers()
    chosen = TracerProvider(shutdown_on_exit=False), MeterProvider(shutdown_on_exit=False)
    providers.use(*chosen)
    assert (providers.tracer_provider({}), providers.meter_provider({})) == chosen
    providers.use(None, None)
    assert providers.meter_provider({}) is meter_provider


def test_none_may_be_chosen(meter_provider: MeterProvider) -> None:
    providers = Providers()
    providers.disable()
    assert (providers.tracer_provider({}), providers.meter_provider({})) == (None, None)
    providers.use(None, None)
    assert providers.meter_provider({}) is meter_provider


@pytest.mark.parametrize("given", [None, NoOpMeterProvider()])
def test_a_meter_provider_that_stands_for_none_is_none(given: AnyMeterProvider | None) -> None:
    providers = Providers()
    providers.use(None, given)
    assert providers.meter_provider({}) is None


@pytest.mark.parametrize(
    ("disabled", "is_used"),
    [
        ("antflow", False),
        ("flask, antflow", False),
        ("*", False),
        ("", True),
        ("antflowers,flask", True),
    ],
)
def test_a_disabled_instrumentation_uses_no_provider(
    disabled: str, is_used: bool, meter_provider: MeterProvider
) -> None:
    environ = {DISABLED: disabled}
    providers = Providers()
    assert (providers.meter_provider(environ) is not None) is is_used
    assert (providers.tracer_provider(environ) is not None) is is_used


def test_a_stand_in_of_the_global_provider_is_no_choice(meter_provider: MeterProvider) -> None:
    early = get_meter_provider()
    assert type(early).__name__ == "_ProxyMeterProvider"
    assert given_meter_provider(early) is None
    assert given_tracer_provider(ProxyTracerProvider()) is None
    providers = Providers()
    providers.use(ProxyTracerProvider(), early)
    assert providers.tracer_provider({}) is get_tracer_provider()
    assert providers.meter_provider({}) is meter_provider
    assert not providers.has_meter_provider


def test_a_provider_of_nothing_is_one() -> None:
    chosen = NoOpTracerProvider(), NoOpMeterProvider()
    assert given_tracer_provider(chosen[0]) is chosen[0]
    assert given_meter_provider(chosen[1]) is chosen[1]
    providers = Providers()
    providers.use(*chosen)
    assert providers.tracer_provider({}) is chosen[0]
    assert providers.has_meter_provider
