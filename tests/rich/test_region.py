"""What is written to draw at the bottom of the normal screen."""

from __future__ import annotations

import pytest

from antflow_rich._region import ERASE_BELOW, HIDE_CURSOR, ROOMY, SHOW_CURSOR, WRAP, Region

LOW, HIGH = ROOMY - 4, ROOMY + 8


def test_the_cursor_goes_back_to_where_the_frame_began() -> None:
    assert "\x1b[2A\r" in Region().frame([], "", ["a", "b"], HIGH)
    assert "\x1b[1A\r" in Region().frame([], "", ["a", "b"], LOW)
    assert "A\r" not in Region().frame([], "", ["a"], LOW)


def test_in_a_high_window_a_line_above_the_display_stays_empty() -> None:
    high, low = (Region().frame([], "", ["first"], height) for height in (HIGH, LOW))
    assert high.index("\r\n") < high.index("first")
    assert "\r\n" not in low


def test_lines_of_the_program_come_first_and_replace_the_old_frame() -> None:
    frame = Region().frame(["said", "also"], "", ["shown"], HIGH)
    erased = frame.index(ERASE_BELOW)
    assert erased < frame.index("said\x1b[0m\r\n") < frame.index("also") < frame.index("shown")


def test_a_line_that_is_not_complete_stands_above_the_display() -> None:
    for height in (LOW, HIGH):
        frame = Region().frame([], "so far", ["shown"], height)
        assert frame.index("so far") < frame.index("\r\n") < frame.index("shown")
        assert "\x1b[1A" in frame


@pytest.mark.parametrize("height", [1, 2, 3, LOW, ROOMY - 1, ROOMY, HIGH])
def test_a_frame_is_lower_than_the_window(height: int) -> None:
    region = Region()
    lines = [f"{number}" for number in range(region.rows(height))]
    assert lines
    frame = region.frame([], "", lines, height)
    assert frame.count("\r\n") <= max(0, height - 2)
    assert f"{ERASE_BELOW}{lines[-1]}" in frame
    assert region.frame([], "", lines * 9, height).count("\r\n") <= max(0, height - 2)


def test_it_begins_in_a_line_of_its_own() -> None:
    assert Region().opening(10) == f"{HIDE_CURSOR}{' ' * 9}\r\x1b[K"


def test_it_leaves_what_was_said_and_the_cursor() -> None:
    closing = Region().closing(["last"], 80)
    assert closing.index(ERASE_BELOW) < closing.index("last") < closing.index(SHOW_CURSOR)
    assert WRAP in closing
    assert ERASE_BELOW in Region().closing([], 80)
