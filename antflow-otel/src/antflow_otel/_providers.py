"""Which providers are used where a plugin was given none."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.metrics import MeterProvider, get_meter_provider
from opentelemetry.trace import TracerProvider, get_tracer_provider

DISABLED = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
INSTRUMENTATION = "antflow"
ALL = "*"
API = "opentelemetry.metrics"
"""Where the meter providers are at home that stand for none."""


class Providers:
    """What the process has chosen: those of OpenTelemetry's globals, others, or none."""

    def __init__(self) -> None:
        self.use(None, None)

    def use(
        self, tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None
    ) -> None:
        """Use these from the next run on; None for the global one."""
        self._is_on = True
        self._tracer_provider = tracer_provider
        self._meter_provider = meter_provider

    def use_none(self) -> None:
        """Make nothing from the next run on."""
        self._is_on = False

    def tracer_provider(self, environ: Mapping[str, str]) -> TracerProvider | None:
        """Return what makes spans; None if nothing is to."""
        if not self._is_wanted(environ):
            return None
        chosen = self._tracer_provider
        return get_tracer_provider() if chosen is None else chosen

    def meter_provider(self, environ: Mapping[str, str]) -> MeterProvider | None:
        """Return what makes metrics; None if nothing is to, or nothing is configured."""
        if not self._is_wanted(environ):
            return None
        chosen = self._meter_provider
        provider = get_meter_provider() if chosen is None else chosen
        return None if type(provider).__module__.startswith(API) else provider

    def _is_wanted(self, environ: Mapping[str, str]) -> bool:
        disabled = {name.strip() for name in environ.get(DISABLED, "").split(",")}
        return self._is_on and not disabled & {INSTRUMENTATION, ALL}


PROVIDERS = Providers()
"""Those of this process."""
