"""Metrics: whether a run is to be shown, and to which meter provider."""

from __future__ import annotations

import os
import sys
from asyncio import get_running_loop
from collections.abc import Iterable
from logging import getLogger

from opentelemetry.metrics import MeterProvider, NoOpMeter

from antflow import Pipeline

from ._attributes import SCHEMA_URL, SCOPE
from ._metrics_exposition import EXPOSITIONS, Exposition
from ._metrics_recorder import Recorder
from ._providers import PROVIDERS, given_meter_provider
from ._version import __version__

PROMETHEUS_PLUGIN = "prometheus"
PROMETHEUS_READER = "opentelemetry.exporter.prometheus"

_logger = getLogger(__name__)


class Metrics:
    """Shows runs to a meter provider.

    Args:
        meter_provider: which one; None for the one that is the process's when a run begins.
        quantiles: which quantiles of durations are shown, from 0 to 1, in place of histograms;
            None for histograms.
        enabled: whether runs are shown; None to leave that to antflow-prometheus where it takes
            part in the run and OpenTelemetry's Prometheus reader is loaded, unless a provider is
            given.

    Raises:
        ValueError: a quantile is not from 0 to 1.
    """

    def __init__(
        self,
        meter_provider: MeterProvider | None = None,
        *,
        quantiles: Iterable[float] | None = None,
        enabled: bool | None = None,
    ) -> None:
        self._provider = given_meter_provider(meter_provider)
        self._quantiles = None if quantiles is None else _checked(quantiles)
        self._enabled = enabled
        self._expositions: dict[str, Exposition] = {}

    def begin(self, pipeline: Pipeline) -> tuple[object, ...]:
        """Show the run that begins, where a meter provider is configured.

        Returns:
            What is to observe the run; nothing if all is read when it is collected.
        """
        exposition = self._exposition(pipeline)
        if exposition is None:
            return ()
        by_quantiles = self._quantiles is not None
        if not exposition.ledger.begin(pipeline, get_running_loop(), with_durations=by_quantiles):
            return ()
        self._expositions[pipeline.get_stats().run_id] = exposition
        if self._quantiles is not None:
            exposition.show_quantiles(pipeline.name, self._quantiles)
            return ()
        return (Recorder(pipeline, exposition.ledger.names, *exposition.histograms()),)

    def finish(self, pipeline: Pipeline) -> None:
        """Keep the totals of the run of a pipeline that ends."""
        exposition = self._expositions.pop(pipeline.get_stats().run_id, None)
        if exposition is not None:
            exposition.ledger.finish(pipeline)

    def _exposition(self, pipeline: Pipeline) -> Exposition | None:
        """Return what shows the run; None if nothing would, or something else does."""
        provider = self._provider
        if provider is None:
            provider = PROVIDERS.meter_provider(os.environ)
        if self._enabled is False or provider is None:
            return None
        meter = provider.get_meter(SCOPE, __version__, SCHEMA_URL)
        if isinstance(meter, NoOpMeter):
            return None
        is_chosen = self._provider is not None or PROVIDERS.has_meter_provider
        if self._enabled is None and not is_chosen and _is_shown_already(pipeline):
            return None
        return EXPOSITIONS.of(provider, meter)


def _is_shown_already(pipeline: Pipeline) -> bool:
    """Tell whether antflow-prometheus shows the run where a reader of OpenTelemetry would, too."""
    if PROMETHEUS_PLUGIN not in pipeline.plugin_names or PROMETHEUS_READER not in sys.modules:
        return False
    _logger.info(
        "Metrics of pipeline %r are left to antflow-prometheus, since OpenTelemetry's Prometheus "
        "reader would show them a second time; OTel(metrics=True) shows them by both.",
        pipeline.name,
    )
    return True


def _checked(quantiles: Iterable[float]) -> tuple[float, ...]:
    """Return quantiles in their order."""
    try:
        chosen = tuple(sorted({float(q) for q in quantiles}))
    except (TypeError, ValueError):
        chosen = ()
    if not chosen or not all(0.0 <= q <= 1.0 for q in chosen):
        raise ValueError(
            f"quantiles of OTel are {quantiles!r}; give numbers from 0 to 1, such as [0.5, 0.99]"
        )
    return chosen
