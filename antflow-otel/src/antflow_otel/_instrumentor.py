"""What `opentelemetry-instrument` calls; it needs `antflow-otel[instrument]`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from ._providers import PROVIDERS


class AntFlowInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Has antflow's pipelines make traces and metrics by providers of one's choice.

    Installed, antflow-otel is at work without this: by the global providers, once there are some.
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return what is instrumented, as a requirement."""
        return ("antflow-core >= 0.1",)

    def _instrument(self, **kwargs: Any) -> None:
        """Use the providers that are given as `tracer_provider` and `meter_provider`, if any."""
        PROVIDERS.use(kwargs.get("tracer_provider"), kwargs.get("meter_provider"))

    def _uninstrument(self, **kwargs: Any) -> None:
        """Make nothing from the next run on, but for plugins that were given providers."""
        PROVIDERS.use_none()
