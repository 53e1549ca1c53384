"""What a registry asks for antflow's metrics when it is scraped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import nan
from threading import Lock
from weakref import WeakKeyDictionary

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

import antflow

from ._family import Family
from ._lag import lags
from ._ledger import Ledger
from ._names import Labels
from ._reading import Reading
from ._table import BUILD, LAG, LAST_COMPLETION, METRICS, MetricSpec, Scope
from ._version import __version__

VERSIONS: Labels = (antflow.__version__, __version__)

_lock = Lock()
_collectors: WeakKeyDictionary[CollectorRegistry, AntflowCollector] = WeakKeyDictionary()


class AntflowCollector(Collector):
    """Reads the figures of runs when it is asked, and shows them as metrics."""

    def __init__(self) -> None:
        self.ledger = Ledger()

    def describe(self) -> Iterator[Family]:
        """Return the metrics without their series."""
        for spec in METRICS:
            yield Family(spec, {})

    def collect(self) -> Iterator[Family]:
        """Return the metrics as they are now; any thread may ask, several at once."""
        lag = self._lag()
        reading, buckets = self.ledger.read()
        for spec in METRICS:
            yield Family(spec, _rows(spec, reading, lag), buckets)

    def _lag(self) -> dict[str, float]:
        """Return the longest lag of the event loops that a pipeline's runs work in, by label.

        This comes before the ledger is read, because no lock may be held that a loop may want.
        """
        loops = self.ledger.loops()
        measured = lags({loop for several in loops.values() for loop in several})
        return {
            label: max((measured[loop] for loop in several if loop in measured), default=nan)
            for label, several in loops.items()
        }


def _rows(
    spec: MetricSpec, reading: Reading, lag: Mapping[str, float]
) -> Mapping[Labels, list[float]]:
    if spec is BUILD:
        return {VERSIONS: [1.0]}
    if spec is LAG:
        return {labels: [lag.get(labels[0], 0.0)] for labels in reading.counted[Scope.PIPELINE]}
    if spec is LAST_COMPLETION:
        return {labels: [moment] for labels, moment in reading.completed_at.items()}
    figures = reading.measured if spec.kind == "gauge" else reading.counted
    return figures[spec.scope]


def collector_of(registry: CollectorRegistry) -> AntflowCollector:
    """Return the one collector of antflow in a registry, registered by the first who asks.

    Raises:
        ValueError: something else in the registry has the name of one of antflow's metrics.
    """
    with _lock:
        collector = _collectors.get(registry)
        if collector is None:
            collector = AntflowCollector()
            registry.register(collector)
            _collectors[registry] = collector
        return collector
