"""Quantiles that are estimated from buckets and from the sum."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antflow import DURATION_BOUNDS, Histogram
from antflow.stats import HALF, bucket_means, means_from_neighbours

BOUNDS = (1.0, 2.0, 4.0)


def histogram(*counts: int, seconds: float = nan) -> Histogram:
    return Histogram(BOUNDS, counts, sum=seconds)


def observed(*seconds: float) -> Histogram:
    """Return what a run counts of these durations."""
    buckets = Counter(bisect_left(DURATION_BOUNDS, each) for each in seconds)
    counts = tuple(buckets[index] for index in range(len(DURATION_BOUNDS) + 1))
    return Histogram(DURATION_BOUNDS, counts, sum(seconds))


@pytest.mark.parametrize("seconds", [0.051, 0.102, 0.175, 0.249])
@pytest.mark.parametrize("number", [1, 2, 1000])
def test_of_equal_durations_it_is_what_they_took(seconds: float, number: int) -> None:
    measured = observed(*[seconds] * number)
    assert measured.quantile(0.5) == pytest.approx(seconds)
    edge = min(abs(seconds - bound) for bound in DURATION_BOUNDS)
    assert measured.quantile(0.95) == pytest.approx(seconds, abs=edge)


EVEN = [0.1 + 0.15 * (n + 0.5) / 1000 for n in range(1000)]


@pytest.mark.parametrize(
    ("seconds", "quantiles"),
    [
        (EVEN, {q: 0.1 + 0.15 * q for q in (0.0, 0.05, 0.5, 0.95, 1.0)}),
        ([0.051] * 80 + [1.02] * 20, {0.5: 0.051, 0.95: 1.02}),  # each just above a bound
        ([0.102] * 500 + [10.1], {0.5: 0.102}),
    ],
    ids=["evenly spread", "of two kinds", "one far off"],
)
def test_of_other_durations_it_is_near(seconds: list[float], quantiles: dict[float, float]) -> None:
    measured = observed(*seconds)
    found = {q: measured.quantile(q) for q in quantiles}
    assert found == pytest.approx(quantiles, rel=1e-6 if seconds is EVEN else 0.05)


def test_the_estimates_have_the_sum_that_is_known() -> None:
    measured = histogram(30, 50, 20, 0, seconds=30 * 0.3 + 50 * 1.3 + 20 * 2.6)
    medians = [measured.quantile((at + 0.5) / 1000) for at in range(1000)]
    assert sum(medians) / 10 == pytest.approx(measured.sum)


@pytest.mark.parametrize(("seconds", "nearest"), [(-1.0, 1.0), (9.0, 2.0)])
def test_a_sum_that_cannot_be_leads_to_a_bound_and_no_further(
    seconds: float, nearest: float
) -> None:
    assert histogram(0, 2, 0, 0, seconds=seconds).quantile(0.5) == nearest


def test_what_is_above_the_last_bound_says_nothing_of_the_others() -> None:
    assert histogram(0, 3, 0, 1, seconds=1000.0).quantile(0.375) == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("quick", "slow"), [(0.08, 0.12), (0.04, 0.06), (0.2, 0.3), (0.05, 0.15), (0.01, 0.03)]
)
def test_durations_on_both_sides_of_a_bound_lie_near_it(quick: float, slow: float) -> None:
    step = (slow - quick) / 1000
    measured = observed(*[quick + step * (n + 0.5) for n in range(1000)])
    assert measured.quantile(0.5) == pytest.approx((quick + slow) / 2, rel=0.05)
    assert measured.quantile(0.95) == pytest.approx(slow - 50 * step, rel=0.25)


def test_a_bucket_without_width_has_one_answer() -> None:
    assert Histogram((0.0, 1.0), (3, 0, 0), 0.0).quantile(0.5) == 0.0
    assert Histogram((0.0, 1.0), (0, 3, 0), 1.5).quantile(0.5) == 0.5


def test_bounds_may_be_whole_numbers() -> None:
    assert Histogram((1, 2, 4), (0, 2, 2, 0), 9).quantile(0.5) == pytest.approx(2.0)


def test_a_bucket_leans_towards_the_fuller_one_beside_it() -> None:
    assert means_from_neighbours([4.0, 4.0, 0.0, 2.0]) == pytest.approx([0.75, 0.25, HALF, HALF])
    assert means_from_neighbours([1.0, 4.0, 3.0]) == pytest.approx([4.5 / 5, 5 / 8, 1.5 / 7])


@given(st.tuples(*[st.integers(0, 1000)] * 3).filter(any), st.floats(0.0, 1.0))
def test_middles_have_the_sum_that_is_known(counts: tuple[int, int, int], share: float) -> None:
    least = counts[1] * 1.0 + counts[2] * 2.0
    room = counts[0] * 1.0 + counts[1] * 1.0 + counts[2] * 2.0
    found = bucket_means(BOUNDS, (*counts, 0), least + share * room)
    assert all(0.0 <= each <= 1.0 for each in found)
    placed = sum(n * w * at for n, w, at in zip(counts, (1.0, 1.0, 2.0), found, strict=True))
    assert placed == pytest.approx(share * room, abs=1e-6)
