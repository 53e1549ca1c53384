"""Decides whether a run has metrics, and for which meter provider."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from logging import getLogger
from weakref import WeakKeyDictionary

from opentelemetry.metrics import MeterProvider, NoOpMeter

from antflow import Pipeline

from ._attributes import SCHEMA_URL, SCOPE
from ._instruments import INSTRUMENTS, Instruments
from ._metrics_observer import MetricsObserver
from ._providers import PROVIDERS, given_meter_provider
from ._version import __version__

PROMETHEUS_PLUGIN = "prometheus"
PROMETHEUS_READER = "opentelemetry.exporter.prometheus"

_logger = getLogger(__name__)


class Metrics:
    """Adds runs to the instruments of a meter provider.

    Args:
        meter_provider: the provider; None for the process's own when a run starts.
        quantiles: the quantiles of durations to show, from 0 to 1, instead of histograms; None for
            histograms.
        enabled: whether runs have metrics. None means no if antflow-prometheus takes part in the
            run and OpenTelemetry's Prometheus reader is loaded, unless a provider is given.

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
        self._quantiles = None if quantiles is None else _check_quantiles(quantiles)
        self._enabled = enabled
        # The provider may be another one when the run ends.
        self._by_pipeline: WeakKeyDictionary[Pipeline, Instruments] = WeakKeyDictionary()

    def start_run(self, pipeline: Pipeline) -> tuple[object, ...]:
        """Add a run that starts, if a meter provider is configured.

        Returns:
            The observers that the run needs; none if all metrics are read at collection.
        """
        instruments = self._instruments_for(pipeline)
        if instruments is None:
            return ()
        if not instruments.totals.start_run(pipeline):
            return ()  # another plugin with the same provider has added it
        self._by_pipeline[pipeline] = instruments
        if self._quantiles is not None:
            instruments.show_quantiles(pipeline.name, self._quantiles)
            return ()
        return (MetricsObserver(pipeline, instruments.totals.limiter, *instruments.histograms()),)

    def finish_run(self, pipeline: Pipeline) -> None:
        """Keep the totals of a pipeline's run that ends."""
        instruments = self._by_pipeline.pop(pipeline, None)
        if instruments is not None:
            instruments.totals.finish_run(pipeline)

    def _instruments_for(self, pipeline: Pipeline) -> Instruments | None:
        """Return the instruments for the run; None if it needs none."""
        provider = self._provider
        if provider is None:
            provider = PROVIDERS.meter_provider(os.environ)
        if self._enabled is False or provider is None:
            return None
        meter = provider.get_meter(SCOPE, __version__, SCHEMA_URL)
        if isinstance(meter, NoOpMeter):
            return None
        is_provider_chosen = self._provider is not None or PROVIDERS.has_meter_provider
        if self._enabled is None and not is_provider_chosen and _is_shown_by_prometheus(pipeline):
            return None
        return INSTRUMENTS.get(provider, meter)


def _is_shown_by_prometheus(pipeline: Pipeline) -> bool:
    """Return whether antflow-prometheus shows the run beside OpenTelemetry's Prometheus reader."""
    # A loaded module stands for its use: the SDK does not show a provider's readers.
    if PROMETHEUS_PLUGIN not in pipeline.plugin_names or PROMETHEUS_READER not in sys.modules:
        return False
    _logger.info(
        "Metrics of pipeline %r are left to antflow-prometheus, since OpenTelemetry's Prometheus "
        "reader would show them a second time; OTel(metrics=True) shows them by both.",
        pipeline.name,
    )
    return True


def _check_quantiles(quantiles: Iterable[float]) -> tuple[float, ...]:
    """Return quantiles in ascending order."""
    try:
        chosen = tuple(sorted({float(q) for q in quantiles}))
    except (TypeError, ValueError):
        chosen = ()
    if not chosen or not all(0.0 <= q <= 1.0 for q in chosen):
        raise ValueError(
            f"quantiles of OTel are {quantiles!r}; give numbers from 0 to 1, such as [0.5, 0.99]"
        )
    return chosen
