"""The display of all that is known."""

from __future__ import annotations

from antflow_rich._frames import full
from antflow_rich._views import RunView
from tests.packages.rich.views import ENDLESS, LARGE, MIDWAY, WITHOUT_ERRORS

HEADINGS = ("throughput", "stage", "in flight", "items", "failed", "worker")


def headings(view: RunView, width: int, height: int) -> list[str]:
    """Return the blocks that there are, in their order."""
    lines = [line.plain for line in full(view, width, height)]
    return [name for line in lines for name in HEADINGS if line.startswith(f"{name} ")]


def test_in_eighty_by_twenty_four() -> None:
    assert headings(MIDWAY, 80, 24) == ["throughput", "stage", "in flight", "items"]
    assert len(full(MIDWAY, 80, 24)) == 24


def test_a_higher_window_has_all_of_it() -> None:
    assert headings(MIDWAY, 80, 60) == list(HEADINGS)


def test_in_forty_by_twelve_stages_and_failures_are_there() -> None:
    assert headings(MIDWAY, 40, 12) == ["stage", "items"]


def test_a_wide_window_shows_lists_side_by_side() -> None:
    lines = [line.plain for line in full(MIDWAY, 120, 36)]
    assert any(line.startswith("in flight") and " items  error" in line for line in lines)
    assert any(" worker " in line for line in lines)
    assert len(lines) == 36


def test_without_failures_items_and_workers_take_their_room() -> None:
    assert headings(WITHOUT_ERRORS, 80, 24) == ["throughput", "stage", "in flight", "worker"]


def test_an_endless_input_has_its_bar_and_throughput() -> None:
    lines = [line.plain for line in full(ENDLESS, 80, 24)]
    assert lines[1].endswith("──  total unknown  6,214 done")
    assert headings(ENDLESS, 80, 24)[0] == "throughput"


def test_thirty_stages_leave_room_for_items_and_errors() -> None:
    assert headings(LARGE, 80, 24) == ["stage", "in flight", "items"]
