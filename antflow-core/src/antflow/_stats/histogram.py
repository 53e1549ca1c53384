"""Durations counted in fixed buckets, as plain lists that workers add to."""

from bisect import bisect_left
from math import inf

from antflow.stats import DURATION_BOUNDS, Histogram

EDGES: tuple[float, ...] = (0.0, *DURATION_BOUNDS, inf)
"""Bucket `i` holds what is above `EDGES[i]` and not above `EDGES[i + 1]`; the first, what
is 0 as well."""

SUM = len(DURATION_BOUNDS) + 1
"""Index of the sum in a record; the counts of the buckets stand before it."""


def new_record() -> list[float]:
    """Return an empty record: a count per bucket, then the sum in seconds."""
    # A plain list: a worker adds to it without a call, and a reader on another thread copies it in
    # one step.
    return [0] * SUM + [0.0]


def bucket(seconds: float) -> int:
    """Return the index of the bucket that a duration falls into."""
    return bisect_left(DURATION_BOUNDS, seconds)


def add(record: list[float], seconds: float) -> None:
    """Count one duration."""
    record[bisect_left(DURATION_BOUNDS, seconds)] += 1
    record[SUM] += seconds


def count(record: list[float]) -> int:
    """Return how many durations a record holds."""
    return int(sum(record[:SUM]))


def freeze(record: list[float]) -> Histogram:
    """Return an immutable copy of a record as users see it."""
    copy = list(record)  # the loop may add to the record meanwhile
    return Histogram(DURATION_BOUNDS, tuple(map(int, copy[:SUM])), copy[SUM])
