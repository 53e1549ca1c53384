"""The plugin: what it is asked for, and whether a run is watched at all."""

from __future__ import annotations

from antflow import Pipeline, hookimpl


class OTel:
    """Makes traces and metrics of pipelines by OpenTelemetry."""

    antflow_name = "otel"

    @hookimpl(tryfirst=True)
    def antflow_pipeline_start(self, pipeline: Pipeline, total_items: int | None) -> object:
        """Return what watches the run, where a provider is configured."""
        return None
