"""Numbers are short, and of the same form each time."""

from __future__ import annotations

from math import inf, nan

import pytest

from antflow_rich import _formats as figures


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (6214, "6,214"), (9_999_999, "9,999,999"), (12_500_000, "12M")],
)
def test_counts(number: int, text: str) -> None:
    assert figures.count(number) == text


def test_exact_counts() -> None:
    assert figures.exact_count(12_500_000) == "12,500,000"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0"),
        (0.004, "0.00"),
        (0.05, "0.05"),
        (1.0, "1"),
        (1.26, "1.3"),
        (9.96, "10"),
        (12.4, "12"),
        (999.4, "999"),
        (999.6, "1.0k"),
        (1404.0, "1.4k"),
        (2000.0, "2k"),
        (9.5e9, "9.5G"),
        (2e15, "2,000T"),
    ],
)
def test_scaled_numbers_have_three_digits_at_most(number: float, text: str) -> None:
    assert figures.scaled(number) == text


@pytest.mark.parametrize(
    ("items", "text"),
    [
        (0.0, "0/s"),
        (0.5, "30/min"),
        (0.001, "3.6/h"),
        (0.00001, "0.04/h"),
        (3.14, "3.1/s"),
        (409.0, "409/s"),
    ],
)
def test_rates(items: float, text: str) -> None:
    assert figures.rate(items) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (nan, "-"),
        (inf, "-"),
        (0.0, "0µs"),
        (0.000012, "12µs"),
        (0.0012, "1.2ms"),
        (0.9996, "1.0s"),
        (0.31, "310ms"),
        (1.25, "1.2s"),
        (42.0, "42s"),
        (125.0, "2m05s"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert figures.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (nan, "-"),
        (0.04, "0.0s"),
        (9.949, "9.9s"),
        (9.96, "10s"),
        (99.4, "99s"),
        (100.0, "1m40s"),
        (5999.0, "99m59s"),
        (6000.0, "1h40m"),
        (360_000.0, "4d04h"),
    ],
)
def test_ages(seconds: float, text: str) -> None:
    assert figures.age(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0:00"),
        (59.6, "1:00"),
        (75.0, "1:15"),
        (3600.0, "1:00:00"),
        (93_784.0, "1d 02:03:04"),
    ],
)
def test_clock(seconds: float, text: str) -> None:
    assert figures.clock(seconds) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0%"), (0.0001, "1%"), (0.5, "50%"), (0.9999, "99%"), (1.0, "100%")],
)
def test_0_and_100_percent_are_exact(share: float, text: str) -> None:
    assert figures.percent(share) == text


def test_counts_with_their_noun() -> None:
    assert figures.quantity(1, "item") == "1 item"
    assert figures.quantity(1200, "item") == "1,200 items"
    assert figures.quantity(2, "class", "classes") == "2 classes"
