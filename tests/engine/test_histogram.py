"""Counting durations into buckets."""

from __future__ import annotations

from math import inf, nextafter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antflow import DURATION_BOUNDS as BOUNDS
from antflow._stats.histogram import EDGES, SUM, add, bucket, count, freeze, new_record


def test_bounds_are_1_2_and_a_half_5_in_each_decade_from_10_us_to_1000_s() -> None:
    expected = [f"{step}e{decade}" for decade in range(-5, 3) for step in (1, 2.5, 5)]
    assert tuple(float(text) for text in [*expected, "1e3"]) == BOUNDS


def test_a_bound_belongs_to_the_bucket_below_it_and_the_outer_buckets_are_open() -> None:
    for index, bound in enumerate(BOUNDS):
        assert bucket(bound) == index
        assert bucket(nextafter(bound, inf)) == index + 1
    assert [bucket(seconds) for seconds in (0.0, -1.0, 1e-9)] == [0, 0, 0]
    assert [bucket(seconds) for seconds in (1000.1, 1e9, inf)] == [len(BOUNDS)] * 3


@given(st.floats(min_value=0.0, exclude_min=True, allow_infinity=False))
def test_edges_enclose_what_falls_into_a_bucket(seconds: float) -> None:
    index = bucket(seconds)
    assert EDGES[index] < seconds <= EDGES[index + 1]


@given(st.lists(st.floats(min_value=1e-9, max_value=5000.0)))
def test_every_duration_is_counted_once_and_summed(durations: list[float]) -> None:
    record = new_record()
    for seconds in durations:
        add(record, seconds)
    frozen = freeze(record)
    assert count(record) == frozen.count == len(durations)
    assert frozen.sum == record[SUM] == pytest.approx(sum(durations))
    for index, number in enumerate(frozen.counts):
        inside = [s for s in durations if EDGES[index] < s <= EDGES[index + 1]]
        assert number == len(inside)


def test_what_was_frozen_does_not_change_any_more() -> None:
    record = new_record()
    add(record, 0.5)
    frozen = freeze(record)
    add(record, 0.5)
    assert frozen.count == 1
    assert frozen.sum == 0.5
    assert len(frozen.counts) == len(frozen.bounds) + 1
    assert {type(number) for number in frozen.counts} == {int}
    assert count(new_record()) == 0
