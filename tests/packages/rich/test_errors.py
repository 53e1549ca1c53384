"""What failed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from antflow_rich._layout import Section
from antflow_rich._sections import error_groups, recent_errors
from antflow_rich._views import ErrorGroup, Failure
from tests.packages.rich.views import LARGE, MIDWAY, WITHOUT_ERRORS


def lines(block: Section, rows: int = 99) -> list[str]:
    return [line.plain for line in block.draw(rows)]


def test_the_latest_failures() -> None:
    shown = lines(recent_errors(MIDWAY, 110, 0))
    assert shown[0].split() == ["failed", "stage", "location", "ago", "attempts", "error"]
    about = "order-6201 Fetch orders.py:24, in fetch 1.4s 3 ConnectionError: the host did not"
    assert " ".join(shown[1].split()).startswith(about)
    assert len(shown) == 6


def test_in_a_narrow_window_the_error_has_most_of_the_room() -> None:
    shown = lines(recent_errors(MIDWAY, 40, 0))
    assert shown[0].split() == ["failed", "error"]
    assert shown[1].startswith("order-6201  ConnectionError: the host")


@pytest.mark.parametrize(
    ("width", "headings"),
    [
        (60, ["failed", "stage", "error"]),
        (80, ["failed", "stage", "location", "error"]),
        (200, ["failed", "stage", "location", "ago", "attempts", "error"]),
    ],
)
def test_the_line_that_raised_is_shown_where_there_is_room(width: int, headings: list[str]) -> None:
    shown = lines(recent_errors(MIDWAY, width, 0))
    assert [each for each in shown[0].split() if each in headings] == headings
    assert ("orders.py:24, in fetch" in shown[1]) is ("location" in headings)


def test_an_unknown_location_takes_no_room() -> None:
    known, unknown = MIDWAY.failures[0], replace(MIDWAY.failures[1], location="")
    both = lines(recent_errors(replace(MIDWAY, failures=(known, unknown)), 110, 0))
    assert both[0].split()[2] == "location"
    assert "orders.py" not in both[2]
    alone = lines(recent_errors(replace(MIDWAY, failures=(unknown,)), 110, 0))
    assert "location" not in alone[0]
    groups = (ErrorGroup("ValueError", 1, unknown), ErrorGroup("other", 2))
    assert "location" not in lines(error_groups(replace(MIDWAY, groups=groups), 200, 0))[0]


def test_a_long_location_keeps_its_end() -> None:
    long = replace(MIDWAY.failures[0], location="a_module_of_a_long_name.py:1234, in Client.fetch")
    shown = lines(recent_errors(replace(MIDWAY, failures=(long,)), 80, 0))
    assert "a_module_of_a…nt.fetch  " in shown[1]


def test_an_error_without_a_text() -> None:
    view = replace(MIDWAY, failures=(Failure("7", "Parse", "KeyError", ""),))
    assert lines(recent_errors(view, 80, 0))[1].endswith("  KeyError")


def test_all_failures_are_counted() -> None:
    assert lines(recent_errors(LARGE, 80, 0), 5)[0].endswith("4 of 190,214")


def test_failures_by_type_with_an_example() -> None:
    shown = lines(error_groups(MIDWAY, 100, 0))
    assert shown[0].split() == ["items", "error", "latest", "location"]
    about = " ".join(shown[1].split())
    assert about.startswith("4 ConnectionError order-6201 in Fetch: the host did not answer wit…")
    assert about.endswith("… orders.py:24, in fetch")


def test_a_type_without_an_example() -> None:
    view = replace(MIDWAY, groups=(ErrorGroup("other", 12),))
    assert lines(error_groups(view, 80, 0))[1] == "   12  other"


def test_no_failures_take_no_rows() -> None:
    assert recent_errors(WITHOUT_ERRORS, 80, 0).max_rows == 0
    assert error_groups(WITHOUT_ERRORS, 80, 0).max_rows == 0
