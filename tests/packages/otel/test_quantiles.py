"""Quantiles over the last minutes."""

from __future__ import annotations

from dataclasses import replace

from antflow import DURATION_BOUNDS, Histogram
from antflow.exporting import METRICS, Sample
from antflow_otel._quantiles import STEP, WINDOW, SlidingWindow

(METRIC,) = [metric for metric in METRICS if metric.name == "stage_queue_wait_seconds"]


def counts(**in_bucket: int) -> Histogram:
    """Return how many fell into which bucket: `b3=5` are five in the fourth, at its upper bound."""
    filled, total = [0] * (len(DURATION_BOUNDS) + 1), 0.0
    for bucket, number in in_bucket.items():
        index = int(bucket[1:])
        filled[index] = number
        total += number * DURATION_BOUNDS[index]
    return Histogram(DURATION_BOUNDS, tuple(filled), round(total, 9))


class Watched:
    """A window, and a clock for it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.window = SlidingWindow(lambda: self.now)

    def recent(self, histogram: Histogram) -> Histogram:
        sample = Sample(METRIC, ("p", "Work"), histogram.count, histogram)
        ((found, recent),) = self.window.recent([sample])
        assert found is sample
        return replace(recent, sum=round(recent.sum, 9))


def test_at_first_all_is_recent() -> None:
    watched = Watched()
    assert watched.recent(counts(b1=2)) == counts(b1=2)
    assert watched.recent(counts(b1=3)) == counts(b1=3)
    watched.now += WINDOW - 1
    assert watched.recent(counts(b1=3, b2=1)) == counts(b1=3, b2=1)


def test_what_is_older_than_the_window_is_left_out() -> None:
    watched = Watched()
    watched.now += STEP
    watched.recent(counts(b1=5))
    watched.now += WINDOW
    assert watched.recent(counts(b1=5, b2=1)) == counts(b2=1)


def test_steady_collections_keep_the_window_within_a_step() -> None:
    watched = Watched()
    for fed in range(1, 2000):
        watched.now += 1
        recent = watched.recent(counts(b1=fed)).count
        assert fed < WINDOW or WINDOW <= recent <= WINDOW + STEP
    assert len(watched.window._records) <= WINDOW / STEP + 2


def test_rare_collections_make_the_window_longer() -> None:
    watched = Watched()
    for number in range(1, 4):
        watched.now += 10 * WINDOW
        assert watched.recent(counts(b1=number)) == counts(b1=1)
