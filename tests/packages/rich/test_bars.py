"""Bars show shares in whole cells."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antflow_rich import _styles as styles
from antflow_rich._views import ItemCounts
from antflow_rich._widgets import (
    apportion,
    chart,
    indeterminate_bar,
    progress_bar,
    resample,
    state_bar,
)


def test_a_bar_shows_what_succeeded_what_failed_and_the_rest() -> None:
    bar = progress_bar(ItemCounts(100, 70, 40, 20), 10)
    assert bar.plain == "━━━━━━────"
    assert [(span.end, span.style) for span in bar.spans] == [
        (4, styles.SUCCESS),
        (6, styles.FAILURE),
        (10, styles.DIM),
    ]


def test_one_failure_among_many_is_seen() -> None:
    bar = progress_bar(ItemCounts(1000, 900, 899, 1), 10)
    assert (len(bar.plain), styles.FAILURE) in [(10, span.style) for span in bar.spans]
    assert styles.FAILURE in [
        span.style for span in progress_bar(ItemCounts(1000, 1, 0, 1), 10).spans
    ]


def test_a_bar_is_full_only_when_all_is_done() -> None:
    assert progress_bar(ItemCounts(1000, 999, 999), 10).plain == "━━━━━━━━━─"
    assert progress_bar(ItemCounts(1000, 1000, 1000), 10).plain == "━" * 10
    assert progress_bar(ItemCounts(0), 10).plain == "━" * 10
    assert progress_bar(ItemCounts(None, 5, 4, input_fraction=1.0), 10).plain == "━━━━━━━━──"
    assert progress_bar(ItemCounts(None, 5, 5, input_fraction=1.0), 10).plain == "━" * 10


def test_a_bar_of_unknown_length_moves_to_and_fro_and_is_never_full() -> None:
    bars = [indeterminate_bar(seconds, 8).plain for seconds in (0, 2.9, 3.1, 6, 9, 12)]
    assert bars == ["───╱╱───", "─────╱╱─", "──────╱╱", "───╱╱───", "╱╱──────", "───╱╱───"]
    assert indeterminate_bar(5.0, 1).plain == "╱"


def test_states_in_their_order() -> None:
    assert state_bar((0.5, 0.25, 0.125, 0.125), 8).plain == "████▓▓▒░"
    assert state_bar((0.0, 0.0, 0.0, 0.0), 4).plain == "░░░░"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.integers(0, 50))
def test_parts_add_up_to_the_whole(shares: list[float], width: int) -> None:
    parts = apportion(shares, width)
    assert sum(parts) == width
    total = sum(shares)
    for part, share in zip(parts, shares, strict=True):
        if total:
            assert part == pytest.approx(share / total * width, abs=1.0)


def test_a_chart_reaches_the_top_and_shows_the_least() -> None:
    assert [line.plain for line in chart([0, 0.001, 4, 8], 4, 1)] == ["▁▁▄█"]
    assert [line.plain for line in chart([0, 4, 6, 8], 4, 2)] == ["  ▄█", "▁███"]


def test_a_chart_of_nothing() -> None:
    assert [line.plain for line in chart([0.0, 0.0], 4, 1)] == ["▁▁▁▁"]
    assert [line.plain for line in chart([], 4, 1)] == [""]


def test_few_values_are_stretched_and_many_are_averaged() -> None:
    assert resample([1, 2], 4) == [1, 1, 2, 2]
    assert resample([1, 3, 5, 7], 2) == [2, 6]
    assert resample([], 3) == []
