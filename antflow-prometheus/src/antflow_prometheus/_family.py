"""One metric with its series, as the library's samples or directly as lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from itertools import accumulate
from math import inf, isnan

from prometheus_client import Metric as LibraryMetric
from prometheus_client.samples import Sample as LibrarySample

from antflow import DURATION_BOUNDS, Histogram
from antflow.exporting import METRICS, Metric, Sample

Buckets = tuple[float, ...]

BUILD = Metric(
    "build_info",
    "gauge",
    "",
    "Versions of antflow-core and antflow-prometheus; always 1.",
    ("version", "plugin_version"),
)
LAG = Metric(
    "event_loop_lag_seconds",
    "gauge",
    "seconds",
    "How long the event loop of the pipeline's run took to answer this scrape; 0.1 is the most "
    "that is waited for.",
    ("pipeline",),
)

SHOWN: tuple[Metric, ...] = (BUILD, *METRICS, LAG)
"""All metrics of this package, in the order of the exposition."""

_INDEX = {bound: index for index, bound in enumerate((*DURATION_BOUNDS, inf))}


class Family(LibraryMetric):
    """One metric of antflow.

    Args:
        buckets: for a histogram, its bounds, by the pipeline's label.
    """

    def __init__(
        self, metric: Metric, samples: Iterable[Sample] = (), buckets: Mapping[str, Buckets] = {}
    ) -> None:
        super().__init__(f"antflow_{metric.name}", metric.description, metric.kind)
        # Samples are made on demand. The library takes 8 microseconds to write one, which is 40 ms
        # for 100 stages; `lines` takes a tenth of that.
        del self.samples
        self._metric = metric
        self._read = tuple(samples)
        self._sample_name = self.name + ("_total" if self.type == "counter" else "")
        self._buckets = buckets

    def __getattr__(self, name: str) -> object:
        if name != "samples":
            raise AttributeError(name)
        self.samples = list(self._make_samples())
        return self.samples

    def _make_samples(self) -> Iterator[LibrarySample]:
        for sample in self._read:
            labels = dict(zip(self._metric.labels, sample.labels, strict=True))
            if sample.histogram is None:
                yield LibrarySample(self._sample_name, labels, sample.value)
                continue
            for bound, value in self._cumulated(sample.labels, sample.histogram):
                yield LibrarySample(f"{self.name}_bucket", {**labels, "le": bound}, value)
            yield LibrarySample(f"{self.name}_count", labels, sample.value)
            yield LibrarySample(f"{self.name}_sum", labels, sample.histogram.sum)

    def lines(self) -> Iterator[str]:
        """Return the series as lines of the text format, which are valid OpenMetrics, too."""
        for sample in self._read:
            labels = ",".join(map(_format_label, self._metric.labels, sample.labels))
            if sample.histogram is None:
                yield f"{self._sample_name}{{{labels}}} {_format_number(sample.value)}\n"
                continue
            for bound, value in self._cumulated(sample.labels, sample.histogram):
                yield f'{self.name}_bucket{{{labels},le="{bound}"}} {value}.0\n'
            yield f"{self.name}_count{{{labels}}} {_format_number(sample.value)}\n"
            yield f"{self.name}_sum{{{labels}}} {_format_number(sample.histogram.sum)}\n"

    def _cumulated(
        self, labels: tuple[str, ...], histogram: Histogram
    ) -> Iterator[tuple[str, int]]:
        """Return how many observations are not above each bound, by the label of the bound."""
        counts = list(accumulate(histogram.counts))
        for index, bound in _positions(self._buckets[labels[0]]):
            yield bound, counts[index]


@cache
def _positions(buckets: Buckets) -> list[tuple[int, str]]:
    """Return the index of each bucket in the counts of a histogram, and its label."""
    return [(_INDEX[bound], _format_number(bound)) for bound in (*buckets, inf)]


@lru_cache(maxsize=10_000)  # there are few labels, and escaping one takes longer than finding it
def _format_label(name: str, label: str) -> str:
    escaped = label.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
    return f'{name}="{escaped}"'


def _format_number(number: float) -> str:
    """Return a number as the text formats write it."""
    if isnan(number):
        return "NaN"
    return "+Inf" if number == inf else repr(float(number))
