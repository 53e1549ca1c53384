"""Quantiles over the last minutes."""

from __future__ import annotations

import pytest

from antflow import DURATION_BOUNDS
from antflow_otel._quantiles import STEP, WINDOW, SlidingWindow, compute_quantiles
from antflow_otel._snapshots import BucketCounts, Series

ROW: Series = (("antflow.pipeline.name", "p"),)
EMPTY: BucketCounts = (0,) * (len(DURATION_BOUNDS) + 2)


def counts(**in_bucket: int) -> BucketCounts:
    """Return how many fell into which bucket: `b3=5` are five in the fourth, at its upper bound."""
    filled = list(EMPTY)
    for bucket, number in in_bucket.items():
        index = int(bucket[1:])
        filled[index] = number
        filled[-1] += number * DURATION_BOUNDS[index]
    return tuple(filled)


class Watched:
    """A window, and a clock for it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.window = SlidingWindow(lambda: self.now)

    def recent(self, counts: BucketCounts) -> BucketCounts:
        ((series, found),) = self.window.recent({ROW: counts})
        assert series == ROW
        return found


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
    assert watched.recent(counts(b1=5, b2=1)) == pytest.approx(counts(b2=1))


def test_steady_collections_keep_the_window_within_a_step() -> None:
    watched = Watched()
    for fed in range(1, 2000):
        watched.now += 1
        recent = sum(watched.recent(counts(b1=fed))[:-1])
        assert fed < WINDOW or WINDOW <= recent <= WINDOW + STEP
    assert len(watched.window._records) <= WINDOW / STEP + 2


def test_rare_collections_make_the_window_longer() -> None:
    watched = Watched()
    for number in range(1, 4):
        watched.now += 10 * WINDOW
        assert watched.recent(counts(b1=number)) == pytest.approx(counts(b1=1))


def test_counts_that_restart_are_recent() -> None:
    watched = Watched()
    watched.now += STEP
    watched.recent(counts(b1=5))
    watched.now += WINDOW
    assert watched.recent(counts(b2=2)) == counts(b2=2)


def test_quantiles_go_by_what_was_counted_and_by_the_sum() -> None:
    watched = Watched()
    watched.now += STEP
    watched.recent(counts(b3=5))
    watched.now += WINDOW
    took = 1.02 * DURATION_BOUNDS[2]
    *buckets, seconds = counts(b3=25)
    recent = watched.recent((*buckets, seconds + 20 * (took - DURATION_BOUNDS[3])))
    assert dict(compute_quantiles(recent, [0.5])) == {"0.5": pytest.approx(took)}


def test_quantiles_lie_within_the_bucket() -> None:
    found = dict(compute_quantiles(counts(b3=90, b6=10), (0.5, 0.95)))
    assert list(found) == ["0.5", "0.95"]
    assert DURATION_BOUNDS[2] < found["0.5"] <= DURATION_BOUNDS[3]
    assert DURATION_BOUNDS[5] < found["0.95"] <= DURATION_BOUNDS[6]


@pytest.mark.parametrize("wanted", [(), (0.5, 0.9)])
def test_of_nothing_there_are_none(wanted: tuple[float, ...]) -> None:
    assert list(compute_quantiles(EMPTY, wanted)) == []
