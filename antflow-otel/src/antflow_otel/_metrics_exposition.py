"""The instruments of one meter provider, and what they show when they are collected."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from threading import Lock
from weakref import WeakKeyDictionary

from opentelemetry.metrics import CallbackOptions, Histogram, Meter, MeterProvider, Observation

from antflow import DURATION_BOUNDS

from ._attributes import PIPELINE, QUANTILE
from ._instruments import (
    ATTEMPT_DURATION,
    HISTOGRAMS,
    ITEM_WAIT,
    OBSERVED,
    QUANTILES,
    InstrumentSpec,
)
from ._metrics_ledger import Ledger
from ._metrics_quantiles import Window, quantiles_of
from ._metrics_reading import Reading

BOUNDS = tuple(bound for bound in DURATION_BOUNDS if 0.001 <= bound <= 100)
"""Upper bounds that are advised for histograms, in seconds: 1-2.5-5 in each decade."""


class Source:
    """Reads the ledger once for all instruments that are collected together.

    An instrument does not know which collection asks it. So a reading serves each instrument once:
    the first one that has shown it already has it made anew.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.forget()

    def forget(self) -> None:
        """Read anew, whatever another thread was about to do."""
        self._lock = Lock()
        self._reading = Reading()
        self._shown: set[InstrumentSpec] | None = None

    def reading_for(self, spec: InstrumentSpec) -> Reading:
        """Return a reading that the instrument has not shown yet."""
        with self._lock:
            if self._shown is None or spec in self._shown:
                self._reading = self._ledger.read()
                self._shown = set()
            self._shown.add(spec)
            return self._reading


class Exposition:
    """Shows the figures of runs to one meter provider.

    In a process that was forked, what is read starts anew, as the ledger does; histograms, which
    the meter keeps, go on from what they were.

    Args:
        meter: of that provider.
    """

    def __init__(self, meter: Meter) -> None:
        self.ledger = Ledger()
        self._meter = meter
        self._source = Source(self.ledger)
        self._lock = Lock()
        self._histograms: dict[InstrumentSpec, Histogram] = {}
        self._windows: dict[InstrumentSpec, Window] = {}
        self._quantiles: dict[str, tuple[float, ...]] = {}
        for spec in OBSERVED:
            self._observe(spec)

    def forget(self) -> None:
        """Start from nothing but the instruments, whatever another thread was about to do."""
        self._lock = Lock()
        self._source.forget()
        self._windows = {spec: Window() for spec in self._windows}

    def histograms(self) -> tuple[Histogram, Histogram]:
        """Return those of how long items wait and of how long attempts take."""
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

    def show_quantiles(self, pipeline: str, wanted: tuple[float, ...]) -> None:
        """Show quantiles from now on.

        Args:
            pipeline: the name of one.
            wanted: which ones, from 0 to 1.
        """
        with self._lock:
            self._quantiles[self.ledger.names.of(pipeline, PIPELINE)] = wanted
            for spec in QUANTILES:
                if spec not in self._windows:
                    self._windows[spec] = Window()
                    self._observe(spec)

    def _observe(self, spec: InstrumentSpec) -> None:
        make = {
            "counter": self._meter.create_observable_counter,
            "up-down counter": self._meter.create_observable_up_down_counter,
            "gauge": self._meter.create_observable_gauge,
        }[spec.kind]
        show = self._show_quantiles if spec.kind == "gauge" else self._show
        make(spec.name, [partial(show, spec)], spec.unit, spec.description)

    def _show(self, spec: InstrumentSpec, _: CallbackOptions) -> Iterator[Observation]:
        rows = self._source.reading_for(spec).figures.get(spec, {})
        for series, figure in rows.items():
            yield Observation(figure, dict(series))

    def _show_quantiles(self, spec: InstrumentSpec, _: CallbackOptions) -> Iterator[Observation]:
        rows = self._source.reading_for(spec).durations.get(spec, {})
        for series, counts in self._windows[spec].recent(rows):
            label = series[0][1]
            for name, seconds in quantiles_of(counts, self._quantiles.get(label, ())):
                yield Observation(seconds, {**dict(series), QUANTILE: name})


class Expositions:
    """The one exposition of each provider."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: WeakKeyDictionary[MeterProvider, Exposition] = WeakKeyDictionary()

    def of(self, provider: MeterProvider, meter: Meter) -> Exposition:
        """Return that of a provider; the first who asks has its instruments made.

        Args:
            provider: which provider.
            meter: of that provider.
        """
        with self._lock:
            exposition = self._known.get(provider)
            if exposition is None:
                exposition = self._known[provider] = Exposition(meter)
            return exposition

    def forget(self) -> None:
        """Have each start from nothing, whatever another thread was about to do."""
        self._lock = Lock()
        for exposition in self._known.values():
            exposition.forget()


EXPOSITIONS = Expositions()
"""Those of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=EXPOSITIONS.forget)
