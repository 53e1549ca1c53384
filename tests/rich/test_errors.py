"""What failed."""

from __future__ import annotations

from dataclasses import replace

from antflow_rich._errors import error_groups, recent_errors
from antflow_rich._layout import Block
from antflow_rich._scene import ErrorGroup, Failure
from tests.rich.scenes import LARGE, MIDWAY, WITHOUT_ERRORS


def lines(block: Block, rows: int = 99) -> list[str]:
    return [line.plain for line in block.draw(rows)]


def test_the_latest_failures() -> None:
    shown = lines(recent_errors(MIDWAY, 110, 0))
    assert shown[0].split() == ["failed", "stage", "ago", "attempts", "error"]
    about = "order-6201 Fetch 1.4s 3 ConnectionError: the host did not answer within 10 s"
    assert " ".join(shown[1].split()) == about
    assert len(shown) == 6


def test_in_a_narrow_window_the_error_has_most_of_the_room() -> None:
    shown = lines(recent_errors(MIDWAY, 40, 0))
    assert shown[0].split() == ["failed", "error"]
    assert shown[1].startswith("order-6201  ConnectionError: the host")


def test_an_error_without_a_text() -> None:
    scene = replace(MIDWAY, failures=(Failure("7", "Parse", "KeyError", ""),))
    assert lines(recent_errors(scene, 80, 0))[1].endswith("  KeyError")


def test_all_failures_are_counted() -> None:
    assert lines(recent_errors(LARGE, 80, 0), 5)[0].endswith("4 of 190,214")


def test_failures_by_type_with_an_example() -> None:
    shown = lines(error_groups(MIDWAY, 100, 0))
    assert shown[0].split() == ["items", "error", "latest"]
    about = "4 ConnectionError order-6201 in Fetch: the host did not answer within 10 s"
    assert " ".join(shown[1].split()) == about


def test_a_type_without_an_example() -> None:
    scene = replace(MIDWAY, groups=(ErrorGroup("other", 12),))
    assert lines(error_groups(scene, 80, 0))[1] == "   12  other"


def test_no_failures_take_no_rows() -> None:
    assert recent_errors(WITHOUT_ERRORS, 80, 0).most == 0
    assert error_groups(WITHOUT_ERRORS, 80, 0).most == 0
