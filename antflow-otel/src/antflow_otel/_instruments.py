"""The instruments of one meter provider, and their callbacks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import groupby
from operator import attrgetter
from threading import Lock, local
from weakref import WeakKeyDictionary

from opentelemetry.metrics import CallbackOptions, Histogram, Meter, MeterProvider, Observation

from antflow import DURATION_BOUNDS
from antflow.exporting import RunTotals, reset_after_fork

from ._attributes import QUANTILE
from ._metric_specs import (
    ATTEMPT_DURATION,
    HISTOGRAMS,
    ITEM_WAIT,
    OBSERVED,
    QUANTILES,
    InstrumentSpec,
    SamplesByMetric,
    series_attributes,
)
from ._quantiles import SlidingWindow

BOUNDS = tuple(bound for bound in DURATION_BOUNDS if 0.001 <= bound <= 100)
"""The advised upper bounds of histograms, in seconds: 1-2.5-5 in each decade."""


class SampleCache:
    """Reads the samples once for all instruments of a collection, so that their values agree.

    A callback does not learn which collection calls it. But a collection stays in its thread, and
    calls each instrument once: the first that asks again starts the next reading of its thread.
    """

    def __init__(self, totals: RunTotals) -> None:
        self._totals = totals
        self.reset()

    def reset(self) -> None:
        """Drop the samples of all threads."""
        self._last = local()

    def samples_for(self, spec: InstrumentSpec) -> SamplesByMetric:
        """Return samples that the instrument has not shown yet in this thread."""
        last = self._last
        if spec in getattr(last, "served", {spec}):
            by_metric = groupby(self._totals.read(), attrgetter("metric"))
            last.samples = {metric: list(samples) for metric, samples in by_metric}
            last.served = set()
        last.served.add(spec)
        samples: SamplesByMetric = last.samples
        return samples


class Instruments:
    """The instruments that show the metrics of runs to one meter provider.

    Args:
        meter: a meter of that provider.
    """

    def __init__(self, meter: Meter) -> None:
        self.totals = RunTotals()
        self._meter = meter
        self._cache = SampleCache(self.totals)
        self._lock = Lock()
        self._histograms: dict[InstrumentSpec, Histogram] = {}
        self._windows: dict[InstrumentSpec, SlidingWindow] = {}
        self._quantiles: dict[str, tuple[float, ...]] = {}
        for spec in OBSERVED:
            self._observe(spec)
        reset_after_fork(self)

    def reset(self) -> None:
        """Start from zero in a forked child process.

        Histograms go on from their parent's values, which the meter keeps.
        """
        self._lock = Lock()
        self._cache.reset()
        # The counts before the fork are the parent's.
        self._windows = {spec: SlidingWindow() for spec in self._windows}

    def histograms(self) -> tuple[Histogram, Histogram]:
        """Return the histograms of items' waits and of attempts' durations."""
        with self._lock:
            for spec in HISTOGRAMS:
                if spec not in self._histograms:
                    self._histograms[spec] = self._meter.create_histogram(
                        spec.name,
                        spec.unit,
                        spec.description,
                        explicit_bucket_boundaries_advisory=BOUNDS,
                    )
            return self._histograms[ITEM_WAIT], self._histograms[ATTEMPT_DURATION]

    def show_quantiles(self, pipeline: str, quantiles: tuple[float, ...]) -> None:
        """Show quantiles from now on.

        Args:
            pipeline: the name of a pipeline.
            quantiles: which ones, from 0 to 1.
        """
        with self._lock:
            self._quantiles[self.totals.limiter.limit("pipeline", pipeline)[0]] = quantiles
            for spec in QUANTILES:
                if spec not in self._windows:
                    self._windows[spec] = SlidingWindow()
                    self._observe(spec)

    def _observe(self, spec: InstrumentSpec) -> None:
        create = {
            "counter": self._meter.create_observable_counter,
            "up-down counter": self._meter.create_observable_up_down_counter,
            "gauge": self._meter.create_observable_gauge,
        }[spec.kind]
        callback = self._quantile_points if spec.kind == "gauge" else self._points
        create(spec.name, [partial(callback, spec)], spec.unit, spec.description)

    def _points(self, spec: InstrumentSpec, _: CallbackOptions) -> Iterator[Observation]:
        for value, attributes in spec.points(self._cache.samples_for(spec)):
            yield Observation(value, attributes)

    def _quantile_points(self, spec: InstrumentSpec, _: CallbackOptions) -> Iterator[Observation]:
        metric = spec.sources[0][0]
        samples = self._cache.samples_for(spec).get(metric, ())
        for sample, recent in self._windows[spec].recent(samples):
            quantiles = self._quantiles.get(sample.labels[0], ()) if recent.count else ()
            for q in quantiles:
                attributes = series_attributes(sample) | {QUANTILE: f"{q:g}"}
                yield Observation(recent.quantile(q), attributes)


class InstrumentsByProvider:
    """The instruments of each meter provider.

    There is one set for each provider, however many plugins use it: the SDK takes an instrument of
    one name once, and two callbacks of one instrument would count twice.
    """

    def __init__(self) -> None:
        self.reset()
        reset_after_fork(self)
        # The provider keeps its instruments by their callbacks; these do not keep the provider.
        self._known: WeakKeyDictionary[MeterProvider, Instruments] = WeakKeyDictionary()

    def get(self, provider: MeterProvider, meter: Meter) -> Instruments:
        """Return the instruments of a provider; the first call creates them.

        Args:
            meter: a meter of that provider.
        """
        with self._lock:
            instruments = self._known.get(provider)
            if instruments is None:
                instruments = self._known[provider] = Instruments(meter)
            return instruments

    def reset(self) -> None:
        """Make a new lock: a forked child may inherit one that is held."""
        self._lock = Lock()


INSTRUMENTS = InstrumentsByProvider()
"""The instruments of this process."""
