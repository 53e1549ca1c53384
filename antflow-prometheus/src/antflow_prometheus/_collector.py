"""The collector that a registry calls for antflow's metrics at each scrape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from math import nan
from threading import Lock
from weakref import WeakKeyDictionary

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

import antflow

from ._event_loops import LoopLag
from ._family import Family
from ._forks import reset_after_fork
from ._labels import Labels
from ._metric_specs import BUILD, LAG, LAST_COMPLETION, METRICS, MetricSpec, Scope
from ._run_totals import RunTotals
from ._snapshots import MetricsSnapshot
from ._version import __version__

VERSIONS: Labels = (antflow.__version__, __version__)


class AntflowCollector(Collector):
    """Collects the metrics of runs."""

    def __init__(self) -> None:
        self.totals = RunTotals()
        self._lag = LoopLag()

    def describe(self) -> Iterator[Family]:
        """Return the metrics without their series."""
        for spec in METRICS:
            yield Family(spec, {})

    def collect(self) -> Iterator[Family]:
        """Return the metrics now; any number of threads may call this at once."""
        # Lags come first: an event loop that is waited for may want the locks of the totals.
        lags = self._lags_by_pipeline()
        snapshot, buckets = self.totals.snapshot()
        for spec in METRICS:
            yield Family(spec, _rows(spec, snapshot, lags), buckets)

    def _lags_by_pipeline(self) -> dict[str, float]:
        """Return the longest lag of the event loops of each pipeline's runs, by label."""
        loops = self.totals.loops()
        lags = self._lag.measure({loop for several in loops.values() for loop in several})
        return {
            label: max((lags[loop] for loop in several if loop in lags), default=nan)
            for label, several in loops.items()
        }


def _rows(
    spec: MetricSpec, snapshot: MetricsSnapshot, lags: Mapping[str, float]
) -> Mapping[Labels, list[float]]:
    if spec is BUILD:
        return {VERSIONS: [1.0]}
    if spec is LAG:
        return {labels: [lags.get(labels[0], 0.0)] for labels in snapshot.counters[Scope.PIPELINE]}
    if spec is LAST_COMPLETION:
        return {labels: [moment] for labels, moment in snapshot.last_completions.items()}
    values = snapshot.gauges if spec.kind == "gauge" else snapshot.counters
    return values[spec.scope]


class _Collectors:
    """The collector of each registry: metrics of one name can be registered only once."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[CollectorRegistry, AntflowCollector] = WeakKeyDictionary()
        self.reset()
        reset_after_fork(self)

    def reset(self) -> None:
        self._lock = Lock()

    def get(self, registry: CollectorRegistry) -> AntflowCollector:
        with self._lock:
            known = self._known.get(registry)
            if known is None:
                collector = AntflowCollector()
                registry.register(collector)
                self._known[registry] = collector
                return collector
            # The user may have unregistered it; a registry that still has it raises ValueError.
            with suppress(ValueError):
                registry.register(known)
            return known


_COLLECTORS = _Collectors()


def get_collector(registry: CollectorRegistry) -> AntflowCollector:
    """Return antflow's collector of a registry, and register it if it is not.

    Raises:
        ValueError: another metric in the registry has the name of one of antflow's metrics.
    """
    return _COLLECTORS.get(registry)
