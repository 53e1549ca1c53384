"""The collector that a registry calls for antflow's metrics at each scrape."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby
from math import nan
from operator import attrgetter
from threading import Lock
from weakref import WeakKeyDictionary

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

import antflow
from antflow import Pipeline
from antflow.exporting import METRICS, RunTotals, Sample, reset_after_fork

from ._event_loops import LoopLag
from ._family import BUILD, LAG, SHOWN, Buckets, Family
from ._version import __version__

VERSIONS = Sample(BUILD, (antflow.__version__, __version__), 1.0)


class AntflowCollector(Collector):
    """Collects the metrics of runs."""

    def __init__(self) -> None:
        self.totals = RunTotals()
        self._lag = LoopLag()
        self._buckets: dict[str, Buckets] = {}

    def start_run(self, pipeline: Pipeline, buckets: Buckets) -> None:
        """Add a run that starts.

        Args:
            buckets: the upper bounds of the histograms, in seconds. They belong to the pipeline's
                name: the last start decides, for earlier runs as well.
        """
        (label,) = self.totals.limiter.limit("pipeline", pipeline.name)
        self._buckets[label] = buckets
        self.totals.start_run(pipeline)

    def describe(self) -> Iterator[Family]:
        """Return the metrics without their series."""
        yield from map(Family, SHOWN)

    def collect(self) -> Iterator[Family]:
        """Return the metrics now; any number of threads may call this at once."""
        # Lags come first: an event loop that is waited for may want the locks of the totals.
        lags = self._lags_by_pipeline()
        samples = self.totals.read()
        by_metric = {
            metric: list(group) for metric, group in groupby(samples, attrgetter("metric"))
        }
        yield Family(BUILD, [VERSIONS])
        for metric in METRICS:
            yield Family(metric, by_metric.get(metric, ()), self._buckets)
        pipelines = [sample.labels for sample in by_metric.get(METRICS[0], ())]
        yield Family(LAG, [Sample(LAG, each, lags.get(each[0], 0.0)) for each in pipelines])

    def _lags_by_pipeline(self) -> dict[str, float]:
        """Return the longest lag of the event loops of each pipeline's runs, by label."""
        loops = self.totals.event_loops()
        lags = self._lag.measure({loop for several in loops.values() for loop in several})
        return {
            label: max((lags[loop] for loop in several if loop in lags), default=nan)
            for label, several in loops.items()
        }


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
