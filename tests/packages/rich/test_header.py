"""The head of a display."""

from __future__ import annotations

from dataclasses import replace

import pytest

from antflow_rich._frames import bar_line, outcome_line, title_line
from antflow_rich._views import ItemCounts
from tests.packages.rich.views import ENDLESS, LARGE, MIDWAY, READING, STOPPED


def test_the_name_and_the_time() -> None:
    line = title_line(MIDWAY, 60).plain
    assert line.startswith("orders  ")
    assert line.endswith("  0:15 elapsed  0:09 left")


def test_a_long_name_makes_room_for_the_time() -> None:
    assert title_line(LARGE, 46).plain == "nightly import of every order…   14:10:00 left"


def test_an_unknown_time_left_is_not_shown() -> None:
    assert title_line(ENDLESS, 60).plain.endswith("0:15 elapsed")


def test_the_bar_fills_its_line() -> None:
    line = bar_line(MIDWAY, 50)
    assert line.cell_len == 50
    assert line.plain.endswith("  62%")
    assert set(line.plain[:40]) == {"━", "─"}


def test_a_line_without_room_for_a_bar_keeps_its_figures() -> None:
    assert bar_line(MIDWAY, 12).plain == " 62%"


@pytest.mark.parametrize("width", [20, 40, 200])
def test_where_the_total_is_unknown_a_hatched_bar_says_so(width: int) -> None:
    line = bar_line(ENDLESS, width).plain
    assert len(line) == width
    bar = line.removesuffix("  total unknown")
    assert set(bar) == {"─", "╱"}


def test_the_share_of_the_input_that_was_read_less_what_is_in_flight() -> None:
    """Half of the input was read, and 6,214 of 6,400 items have ended."""
    line = bar_line(READING, 60).plain
    assert len(line) == 60
    assert line.endswith("─   49% of the input")
    assert line.startswith("━" * 20 + "─")
    everything = replace(READING, counts=replace(READING.counts, input_fraction=1.0))
    assert bar_line(everything, 60).plain.endswith("─   97% of the input")


@pytest.mark.parametrize(
    ("width", "text"),
    [
        (80, "6,209 succeeded  5 items failed  3,786 remaining  409/s"),
        (40, "6,209 succeeded  5 items failed  409/s"),
        (24, "5 items failed  409/s"),
        (14, "5 items failed"),
    ],
)
def test_failures_stay_the_longest(width: int, text: str) -> None:
    assert outcome_line(MIDWAY, width).plain == text


def test_what_is_rare_is_shown_where_it_happens() -> None:
    assert "120 dropped" in outcome_line(LARGE, 100).plain
    assert "3 plugin faults" in outcome_line(STOPPED, 100).plain
    one = replace(MIDWAY, faults={"journal": 1})
    assert "1 plugin fault" in outcome_line(one, 100).plain.split("  ")


def test_items_of_an_endless_input_are_in_flight() -> None:
    assert "186 under way" in outcome_line(ENDLESS, 80).plain


def test_no_failure_is_no_alarm() -> None:
    line = outcome_line(replace(MIDWAY, counts=ItemCounts(10, 5, 5)), 80)
    assert "0 items failed" in line.plain
    assert not any("red" in str(span.style) for span in line.spans)


def test_one_failure_is_one_item() -> None:
    line = outcome_line(replace(MIDWAY, counts=ItemCounts(10, 5, 4, 1)), 80)
    assert "1 item failed" in line.plain.split("  ")
