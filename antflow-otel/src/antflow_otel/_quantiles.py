"""Computes quantiles of durations over the last minutes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from operator import sub
from time import monotonic

from antflow import Histogram
from antflow.exporting import Sample

WINDOW = 300.0
"""Seconds that quantiles cover; fewer after the start, more between rare collections."""

STEP = 30.0
"""Seconds between two records of the counts, at least."""


class SlidingWindow:
    """Counts the durations of the last minutes, from counts that only increase.

    Args:
        clock: returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._records: deque[tuple[float, dict[tuple[str, ...], Histogram]]] = deque(
            [(clock(), {})]
        )

    def recent(self, samples: Sequence[Sample]) -> Iterator[tuple[Sample, Histogram]]:
        """Return the durations since the start of the window, for each sample of a histogram."""
        now = self._clock()
        while len(self._records) > 1 and now - self._records[1][0] >= WINDOW:
            self._records.popleft()
        oldest = self._records[0][1]
        histograms = {each.labels: each.histogram for each in samples if each.histogram is not None}
        if now - self._records[-1][0] >= STEP:
            self._records.append((now, histograms))
        for sample in samples:
            latest, before = histograms[sample.labels], oldest.get(sample.labels)
            yield sample, latest if before is None else _difference(latest, before)


def _difference(latest: Histogram, before: Histogram) -> Histogram:
    counts = tuple(map(sub, latest.counts, before.counts))
    return Histogram(latest.bounds, counts, latest.sum - before.sum)
