"""Quantiles over the latest minutes."""

from __future__ import annotations

import pytest

from antflow import DURATION_BOUNDS
from antflow_otel._metrics_quantiles import STEP, WINDOW, Window, quantiles_of
from antflow_otel._metrics_reading import Counts, Series

ROW: Series = (("antflow.pipeline.name", "p"),)
EMPTY: Counts = (0,) * (len(DURATION_BOUNDS) + 2)


def counts(**in_bucket: int) -> Counts:
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
        self.window = Window(lambda: self.now)

    def recent(self, told: Counts) -> Counts:
        ((series, found),) = self.window.recent({ROW: told})
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


def test_in_steady_reading_the_window_is_kept_within_a_step() -> None:
    watched = Watched()
    for fed in range(1, 2000):
        watched.now += 1
        recent = sum(watched.recent(counts(b1=fed))[:-1])
        assert fed < WINDOW or WINDOW <= recent <= WINDOW + STEP
    assert len(watched.window._past) <= WINDOW / STEP + 2


def test_seldom_reading_makes_the_window_longer() -> None:
    watched = Watched()
    for number in range(1, 4):
        watched.now += 10 * WINDOW
        assert watched.recent(counts(b1=number)) == pytest.approx(counts(b1=1))


def test_counts_that_start_anew_are_recent() -> None:
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
    assert dict(quantiles_of(recent, [0.5])) == {"0.5": pytest.approx(took)}


def test_quantiles_lie_within_the_bucket() -> None:
    found = dict(quantiles_of(counts(b3=90, b6=10), (0.5, 0.95)))
    assert list(found) == ["0.5", "0.95"]
    assert DURATION_BOUNDS[2] < found["0.5"] <= DURATION_BOUNDS[3]
    assert DURATION_BOUNDS[5] < found["0.95"] <= DURATION_BOUNDS[6]


@pytest.mark.parametrize("wanted", [(), (0.5, 0.9)])
def test_of_nothing_there_are_none(wanted: tuple[float, ...]) -> None:
    assert list(quantiles_of(EMPTY, wanted)) == []
