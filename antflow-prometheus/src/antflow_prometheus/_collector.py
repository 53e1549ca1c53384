"""What a registry asks for antflow's metrics when it is scraped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from math import nan
from threading import Lock
from weakref import WeakKeyDictionary

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

import antflow

from ._family import Family
from ._forks import renewed_in_children
from ._lag import Lags
from ._ledger import Ledger
from ._names import Labels
from ._reading import Reading
from ._table import BUILD, LAG, LAST_COMPLETION, METRICS, MetricSpec, Scope
from ._version import __version__

VERSIONS: Labels = (antflow.__version__, __version__)


class AntflowCollector(Collector):
    """Reads the figures of runs when it is asked, and shows them as metrics."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self._lags = Lags()

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
        measured = self._lags.of({loop for several in loops.values() for loop in several})
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


class _Collectors:
    def __init__(self) -> None:
        self._of: WeakKeyDictionary[CollectorRegistry, AntflowCollector] = WeakKeyDictionary()
        self.renew()
        renewed_in_children(self)

    def renew(self) -> None:
        self._lock = Lock()

    def of(self, registry: CollectorRegistry) -> AntflowCollector:
        with self._lock:
            known = self._of.get(registry)
            if known is None:
                collector = AntflowCollector()
                registry.register(collector)
                self._of[registry] = collector
                return collector
            # Someone may have taken it out; a registry that still has it refuses it.
            with suppress(ValueError):
                registry.register(known)
            return known


_COLLECTORS = _Collectors()


def collector_of(registry: CollectorRegistry) -> AntflowCollector:
    """Return the one collector of antflow in a registry, and see that it is registered.

    Raises:
        ValueError: something else in the registry has the name of one of antflow's metrics.
    """
    return _COLLECTORS.of(registry)
