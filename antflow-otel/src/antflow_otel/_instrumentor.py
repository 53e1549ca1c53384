"""The entry point of `opentelemetry-instrument`; it needs `antflow-otel[instrument]`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from ._providers import PROVIDERS


class AntFlowInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Makes antflow's pipelines use given providers for traces and metrics.

    Without it, an installed antflow-otel uses the global providers as soon as they are set.
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return the requirement of the instrumented package."""
        return ("antflow-core >= 0.1",)

    def _instrument(self, **kwargs: Any) -> None:
        """Use `tracer_provider` and `meter_provider` from the arguments, if given."""
        PROVIDERS.use(kwargs.get("tracer_provider"), kwargs.get("meter_provider"))

    def _uninstrument(self, **kwargs: Any) -> None:
        """Stop from the next run on, except for plugins with providers of their own."""
        PROVIDERS.disable()
