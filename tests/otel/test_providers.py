"""Which providers are used where a plugin was given none."""

from __future__ import annotations

import pytest
from opentelemetry.metrics import MeterProvider as AnyMeterProvider
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import get_tracer_provider

from antflow_otel import _providers
from antflow_otel._providers import DISABLED, Providers


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
    providers.use_none()
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
def test_what_opentelemetry_is_told_to_leave_alone_uses_none(
    disabled: str, is_used: bool, meter_provider: MeterProvider
) -> None:
    environ = {DISABLED: disabled}
    providers = Providers()
    assert (providers.meter_provider(environ) is not None) is is_used
    assert (providers.tracer_provider(environ) is not None) is is_used
