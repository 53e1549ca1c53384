"""Old amounts decay, and a history covers a run of any length in bounded memory."""

from __future__ import annotations

from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antflow_rich._rates import MAX_SPANS, DecayingSum, RateHistory, StageRates
from antflow_rich._view_builder import ViewBuilder
from tests.packages.rich.states import only, stage


def test_a_steady_rate_is_that_rate_from_the_beginning() -> None:
    total = DecayingSum(5.0)
    for _ in range(100):
        total = total.after((3,), 0.5)
        assert total.rate == pytest.approx(6.0)


def test_a_new_rate_takes_over_as_time_passes() -> None:
    total = DecayingSum(5.0).after((1000,), 100.0)
    total = total.after((0,), 5.0)
    assert total.rate == pytest.approx(1000 * exp(-1) / (100 * exp(-1) + 5))
    assert total.after((0,), 50.0).rate < 0.001


def test_the_length_of_steps_does_not_matter_much() -> None:
    once = DecayingSum(5.0).after((40,), 4.0).after((0,), 4.0)
    often = DecayingSum(5.0)
    for step in range(80):
        often = often.after((1 if step < 40 else 0,), 0.1)
    assert once.rate == pytest.approx(often.rate, rel=0.2)


def test_no_time_changes_nothing() -> None:
    total = DecayingSum(5.0).after((1,), 1.0)
    assert total.after((5,), 0.0) is total
    history = RateHistory().after(1, 1.0)
    assert history.after(5, 0.0) is history


def test_amounts_fall_into_the_spans_that_they_came_in() -> None:
    history = RateHistory(span=1.0).after(4, 2.0).after(0, 1.0).after(6, 1.5)
    assert history.amounts == pytest.approx((2, 2, 0, 4, 2))
    assert history.rates == pytest.approx((2, 2, 0, 4, 4))


def test_a_span_that_has_hardly_begun_is_not_shown() -> None:
    history = RateHistory(span=1.0).after(4, 2.0).after(100, 0.1)
    assert history.rates == pytest.approx((2, 2))


@given(st.lists(st.tuples(st.integers(0, 1000), st.floats(0.01, 5000)), max_size=60))
def test_nothing_of_a_history_is_lost_and_it_stays_short(came: list[tuple[int, float]]) -> None:
    history = RateHistory()
    for amount, seconds in came:
        history = history.after(amount, seconds)
    assert len(history.amounts) <= MAX_SPANS + 1
    assert sum(history.amounts) == pytest.approx(sum(amount for amount, _ in came))
    assert history.end == pytest.approx(sum(seconds for _, seconds in came))
    assert all(rate >= 0 for rate in history.rates)


def test_the_rate_of_a_stage_counts_completed_failed_and_dropped_items() -> None:
    rates = StageRates.of(stage(completed_items=10))
    later = stage(completed_items=12, failed_items=3, dropped_items=5)
    assert rates.after(later, 2.0).rate == pytest.approx(5.0)
    assert rates.after(later, 0.0) is rates


def test_the_number_of_workers_rises_and_falls_but_not_at_the_end() -> None:
    rates = StageRates.of(stage(workers={"idle": 4}))
    for shown, there in (6, 6), (2, 2), (2, 0):
        rates = rates.after(stage(workers={"busy": there}), 1.0)
        assert rates.workers == shown


def test_time_that_goes_back_is_counted_neither_as_negative_time_nor_again() -> None:
    def last(*times: float) -> tuple[float, ...]:
        builder = ViewBuilder("p", None)
        view = [builder.update(only(10 * at), now, {}) for at, now in enumerate(times)][-1]
        return (view.elapsed, view.rate, *view.history)

    assert last(100.0, 110.0, 105.0, 112.0) == pytest.approx(last(100.0, 110.0, 110.0, 112.0))
    assert last(100.0, 110.0, 105.0)[0] == 10.0
