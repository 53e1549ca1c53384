"""Chooses the providers for plugins that were given none."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.metrics import MeterProvider, NoOpMeterProvider, get_meter_provider
from opentelemetry.trace import ProxyTracerProvider, TracerProvider, get_tracer_provider

DISABLED = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
INSTRUMENTATION = "antflow"
ALL = "*"
API = "opentelemetry.metrics"
"""The module of the meter providers that stand for "not configured"."""


def given_tracer_provider(given: TracerProvider | None) -> TracerProvider | None:
    """Return a given provider; None for the proxy of a global one that is not set yet."""
    return None if isinstance(given, ProxyTracerProvider) else given


def given_meter_provider(given: MeterProvider | None) -> MeterProvider | None:
    """Return a given provider; None for the proxy of a global one that is not set yet."""
    is_proxy = _is_of_api(given) and not isinstance(given, NoOpMeterProvider)
    return None if is_proxy else given


def _is_of_api(provider: object) -> bool:
    return type(provider).__module__.startswith(API)


class Providers:
    """The providers of the process: OpenTelemetry's global ones, chosen ones, or none."""

    def __init__(self) -> None:
        self.use(None, None)

    def use(
        self, tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None
    ) -> None:
        """Use these from the next run on; None for the global one."""
        self._is_on = True
        self._tracer_provider = given_tracer_provider(tracer_provider)
        self._meter_provider = given_meter_provider(meter_provider)

    def disable(self) -> None:
        """Use no provider from the next run on."""
        self._is_on = False

    def tracer_provider(self, environ: Mapping[str, str]) -> TracerProvider | None:
        """Return the tracer provider; None if tracing is off."""
        if not self._is_enabled(environ):
            return None
        chosen = self._tracer_provider
        return get_tracer_provider() if chosen is None else chosen

    def meter_provider(self, environ: Mapping[str, str]) -> MeterProvider | None:
        """Return the meter provider; None if metrics are off or not configured."""
        if not self._is_enabled(environ):
            return None
        chosen = self._meter_provider
        # Read at each run, because a program may set the global provider after the import.
        provider = get_meter_provider() if chosen is None else chosen
        return None if _is_of_api(provider) else provider

    @property
    def has_meter_provider(self) -> bool:
        """Whether a meter provider was chosen."""
        return self._meter_provider is not None

    def _is_enabled(self, environ: Mapping[str, str]) -> bool:
        disabled = {name.strip() for name in environ.get(DISABLED, "").split(",")}
        return self._is_on and not disabled & {INSTRUMENTATION, ALL}


PROVIDERS = Providers()
"""The providers of this process."""
