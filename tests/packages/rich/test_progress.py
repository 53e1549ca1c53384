"""The display of one line."""

from __future__ import annotations

import pytest

from antflow_rich._frames import progress
from antflow_rich._views import RunView
from tests.packages.rich.views import BEGINNING, ENDLESS, LARGE, MIDWAY, READING, WITHOUT_ERRORS


def line(view: RunView, width: int) -> str:
    (shown,) = progress(view, width, 24)
    return shown.plain


def test_all_of_it() -> None:
    shown = line(MIDWAY, 80)
    assert len(shown) == 80
    assert shown.startswith("orders  ━━━")
    assert shown.endswith("─   62%  6,214/10,000  409/s  0:15  0:09 left  5 failed")
    assert line(MIDWAY, 100).endswith("  0:09 left  5 items failed")


@pytest.mark.parametrize(
    ("width", "figures"),
    [
        (70, ["6,214/10,000", "409/s", "0:15", "0:09 left", "5 failed"]),
        (60, ["6,214/10,000", "409/s", "0:09 left", "5 failed"]),
        (46, ["6,214/10,000", "409/s", "5 failed"]),
        (40, ["6,214/10,000", "5 failed"]),
        (28, ["5 failed"]),
    ],
)
def test_what_stays_in_narrow_windows(width: int, figures: list[str]) -> None:
    shown = line(MIDWAY, width)
    assert len(shown) <= width
    assert shown.split(" 62%  ")[1].split("  ") == figures


def test_an_input_of_unknown_length() -> None:
    shown = line(ENDLESS, 80)
    assert len(shown) == 80
    assert "%" not in shown
    assert shown.startswith("orders  ──")
    assert shown.endswith("╱  total unknown  6,214 done  409/s  0:15  5 items failed")


def test_an_input_of_unknown_length_in_a_narrow_window() -> None:
    assert line(ENDLESS, 40) == "──╱  total unknown  6,214 done  5 failed"


def test_an_input_of_which_the_share_that_was_read_is_known() -> None:
    shown = line(READING, 80)
    assert shown.startswith("━━━")
    assert shown.endswith("─   49% of the input  6,214 done  409/s  0:15  0:09 left  5 failed")
    assert line(READING, 40).endswith("─   49% of the input  5 failed")


def test_without_failures() -> None:
    assert line(WITHOUT_ERRORS, 80).endswith("0:09 left  0 failed")
    assert "failed" not in line(WITHOUT_ERRORS, 50)


def test_at_the_beginning() -> None:
    assert line(BEGINNING, 80).endswith("  0%  0/10,000  0/s  0:00  0 items failed")


def test_a_long_name_is_cut_or_left_out() -> None:
    assert line(LARGE, 120).startswith("nightly import of e…  ━━")
    assert line(LARGE, 80).startswith("━")


def test_no_window() -> None:
    assert progress(MIDWAY, 0, 1) == progress(MIDWAY, 80, 0) == []
