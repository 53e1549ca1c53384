"""Quantiles of durations, over the latest minutes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import sub
from time import monotonic

from antflow import DURATION_BOUNDS, Histogram

from ._metrics_reading import Counts, Series

WINDOW = 300.0
"""Seconds that quantiles are taken over; less after the start, more if they are seldom read."""

STEP = 30.0
"""Seconds between two records of what was counted, at the least."""

Rows = Mapping[Series, Counts]


class Window:
    """What was counted in the latest minutes, of counts that only rise.

    Args:
        clock: gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._past: deque[tuple[float, Rows]] = deque([(clock(), {})])

    def recent(self, rows: Rows) -> Iterator[tuple[Series, Counts]]:
        """Return what was counted since a moment that is as long ago as the window is.

        Args:
            rows: what has been counted up to now.
        """
        now = self._clock()
        while len(self._past) > 1 and now - self._past[1][0] >= WINDOW:
            self._past.popleft()
        then = self._past[0][1]
        if now - self._past[-1][0] >= STEP:
            self._past.append((now, rows))
        for series, counts in rows.items():
            before = then.get(series)
            is_anew = before is None or sum(counts[:-1]) < sum(before[:-1])  # a fork counts anew
            yield series, counts if is_anew else tuple(map(sub, counts, before or ()))


def quantiles_of(counts: Counts, wanted: Iterable[float]) -> Iterator[tuple[str, float]]:
    """Return quantiles in seconds, by what they are called; none if nothing was counted.

    Args:
        counts: what fell into each bucket, and the sum.
        wanted: which ones, from 0 to 1.
    """
    *buckets, seconds_in_all = counts
    histogram = Histogram(DURATION_BOUNDS, tuple(map(int, buckets)), seconds_in_all)
    if histogram.count:
        for q in wanted:
            yield f"{q:g}", histogram.quantile(q)
