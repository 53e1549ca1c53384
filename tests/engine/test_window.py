"""The window behind a limit, against a check of every window by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from antflow._limits import window
from antflow._limits.window import Entry, Window
from tests.helpers.attempts import worst_window

ROUNDING = 1e-6
rates = st.floats(1, 50)
periods = st.floats(0.1, 100)
shares = st.floats(0.01, 1)  # of the rate
waits = st.floats(0, 1.5)  # of the period, in between
calls = st.lists(st.tuples(shares, waits, st.booleans()), min_size=1, max_size=60)


@contextmanager
def merging(share: float) -> Iterator[None]:
    """Merge entries from the third one on, within that share of the period."""
    with (
        patch.object(window, "MAX_EXACT_ENTRIES", 2),
        patch.object(window, "MERGED_SHARE", share),
    ):
        yield


def play(
    limit: Window, rate: float, per: float, script: list[tuple[float, float, bool]]
) -> list[tuple[float, float]]:
    """Start units as soon as they are due, or after a wait; return times and units."""
    log, now = [], 0.0
    for share, wait, is_eager in script:
        if not is_eager:
            now += wait * per
        units = share * rate
        while (due := limit.due(units, now)) > now:
            now = due
        limit.add(units, now, now)
        log.append((now, units))
    return log


@given(rates, periods, st.floats(0.1, 100), calls, st.sampled_from((None, 0.05, 0.5)))
def test_no_window_has_more_than_the_rate(
    rate: float,
    per: float,
    burst: float,
    script: list[tuple[float, float, bool]],
    merged: float | None,
) -> None:
    if merged is None:
        log = play(Window(rate, per, burst), rate, per, script)
    else:
        with merging(merged):
            log = play(Window(rate, per, burst), rate, per, script)
    assert worst_window(log, per * (1 - ROUNDING)) <= rate * (1 + ROUNDING)


@given(rates, periods, st.floats(0.1, 100), calls)
def test_what_may_not_start_is_due_at_the_first_time_at_which_it_may(
    rate: float, per: float, burst: float, script: list[tuple[float, float, bool]]
) -> None:
    limit, log, now = Window(rate, per, burst), list[tuple[float, float]](), 0.0
    spaced = -window.MAX_CATCH_UP
    for share, wait, _ in script:
        now, units = now + wait * per, share * rate
        due = limit.due(units, now)
        if due > now:  # it is held back by the window or by the spacing
            just_before = due - per * ROUNDING
            used = sum(each for time, each in log if time + per > just_before)
            is_spaced = spaced - max(0.0, burst - units) * per / rate > just_before
            assert used + units > rate or is_spaced
            continue
        limit.add(units, now, now)
        log.append((now, units))
        spaced = max(spaced, now) + units * per / rate


@given(rates, periods, st.floats(0.5, 4), st.integers(2, 60))
def test_after_a_burst_units_are_evenly_spaced(
    rate: float, per: float, burst: float, number: int
) -> None:
    script = [(1 / rate, 0.0, True)] * number
    log = play(Window(rate, per, burst), rate, per, script)
    for count in range(1, number):
        least = (count + 1 - max(burst, 1)) * per / rate
        assert log[count][0] >= least - ROUNDING * per - window.MAX_CATCH_UP


@given(rates, periods, st.lists(st.floats(0, 3), min_size=1, max_size=6), st.booleans())
def test_of_several_corrections_the_last_one_counts(
    rate: float, per: float, used: list[float], is_merged: bool
) -> None:
    with merging(1.0 if is_merged else 0.0):
        limit, other = Window(rate, per, rate), Window(rate, per, rate)
        for each in (limit, other):
            for _ in range(3):
                each.add(rate / 10, 0.0, 0.0)
        parts, counted = [(limit.add(rate / 4, 0.0, 0.0), rate / 4)], rate / 4
        for share in used:
            change, counted = share * rate - counted, share * rate
            if change > 0:
                parts.append((limit.add_used(change, 0.0), change))
            else:
                parts = limit.give_back(parts, -change, 0.0)
        other.add(counted, 0.0, 0.0)
    assert abs(limit.available(0.0) - other.available(0.0)) <= rate * ROUNDING
    assert abs(limit.due(rate / 2, 0.0) - other.due(rate / 2, 0.0)) <= per * ROUNDING


def test_what_was_given_back_too_late_does_not_count_for_others() -> None:
    with merging(1.0):
        limit = Window(10, 10, 10)
        parts = [(limit.add(4, 0.0, 0.0), 4.0)]
        limit.add(2, 1.0, 1.0)
        more = limit.add_used(3, 2.0)
        assert isinstance(more, Entry)
        # The first part is in no window any more; the second shares its entry.
        parts = limit.give_back([*parts, (more, 3.0)], 7, 10.5)
        assert limit.available(10.5) == 8


def test_an_unused_window_is_idle_and_a_used_one_is_not() -> None:
    limit = Window(2, 1, 1)
    assert limit.is_idle(0.0)
    limit.add(2, 0.0, 0.0)
    assert not limit.is_idle(0.9)
    assert limit.is_idle(1.0)
