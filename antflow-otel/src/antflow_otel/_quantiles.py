"""Computes quantiles of durations over the last minutes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import sub
from time import monotonic

from antflow import DURATION_BOUNDS, Histogram

from ._snapshots import BucketCounts, Series

WINDOW = 300.0
"""Seconds that quantiles cover; fewer after the start, more between rare collections."""

STEP = 30.0
"""Seconds between two records of the counts, at least."""

Rows = Mapping[Series, BucketCounts]


class SlidingWindow:
    """Counts the durations of the last minutes, from counts that only increase.

    Args:
        clock: returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._records: deque[tuple[float, Rows]] = deque([(clock(), {})])

    def recent(self, rows: Rows) -> Iterator[tuple[Series, BucketCounts]]:
        """Return the counts since the start of the window.

        Args:
            rows: the counts up to now.
        """
        now = self._clock()
        while len(self._records) > 1 and now - self._records[1][0] >= WINDOW:
            self._records.popleft()
        oldest = self._records[0][1]
        if now - self._records[-1][0] >= STEP:
            self._records.append((now, rows))
        for series, counts in rows.items():
            before = oldest.get(series)
            # Counts start from zero in a forked child process.
            has_restarted = before is None or sum(counts[:-1]) < sum(before[:-1])
            yield series, counts if has_restarted else tuple(map(sub, counts, before or ()))


def compute_quantiles(
    counts: BucketCounts, quantiles: Iterable[float]
) -> Iterator[tuple[str, float]]:
    """Return quantiles in seconds by their labels; none if the counts are all 0.

    Args:
        counts: the count of each bucket, and the sum.
        quantiles: which ones, from 0 to 1.
    """
    *buckets, total_seconds = counts
    histogram = Histogram(DURATION_BOUNDS, tuple(map(int, buckets)), total_seconds)
    if histogram.count:
        for q in quantiles:
            yield f"{q:g}", histogram.quantile(q)
