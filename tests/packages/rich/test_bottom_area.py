"""What is written to draw at the bottom of the normal screen."""

from __future__ import annotations

import pytest

from antflow_rich._areas import (
    ERASE_BELOW,
    HIDE_CURSOR,
    MIN_HEIGHT_FOR_BLANK,
    SHOW_CURSOR,
    WRAP,
    BottomArea,
)

LOW, HIGH = MIN_HEIGHT_FOR_BLANK - 4, MIN_HEIGHT_FOR_BLANK + 8


def test_the_cursor_goes_back_to_where_the_frame_began() -> None:
    assert "\x1b[2A\r" in BottomArea().frame([], "", ["a", "b"], HIGH)
    assert "\x1b[1A\r" in BottomArea().frame([], "", ["a", "b"], LOW)
    assert "A\r" not in BottomArea().frame([], "", ["a"], LOW)


def test_in_a_high_window_a_line_above_the_display_stays_empty() -> None:
    high, low = (BottomArea().frame([], "", ["first"], height) for height in (HIGH, LOW))
    assert high.index("\r\n") < high.index("first")
    assert "\r\n" not in low


def test_lines_of_the_program_come_first_and_replace_the_old_frame() -> None:
    frame = BottomArea().frame(["said", "also"], "", ["shown"], HIGH)
    erased = frame.index(ERASE_BELOW)
    assert erased < frame.index("said\x1b[0m\r\n") < frame.index("also") < frame.index("shown")


def test_an_unfinished_line_stands_above_the_display() -> None:
    for height in (LOW, HIGH):
        frame = BottomArea().frame([], "so far", ["shown"], height)
        assert frame.index("so far") < frame.index("\r\n") < frame.index("shown")
        assert "\x1b[1A" in frame


@pytest.mark.parametrize(
    "height", [1, 2, 3, LOW, MIN_HEIGHT_FOR_BLANK - 1, MIN_HEIGHT_FOR_BLANK, HIGH]
)
def test_a_frame_is_lower_than_the_window(height: int) -> None:
    area = BottomArea()
    lines = [f"{number}" for number in range(area.rows(height))]
    assert lines
    frame = area.frame([], "", lines, height)
    assert frame.count("\r\n") <= max(0, height - 2)
    assert f"{ERASE_BELOW}{lines[-1]}" in frame
    assert area.frame([], "", lines * 9, height).count("\r\n") <= max(0, height - 2)


def test_it_starts_on_a_line_of_its_own() -> None:
    assert BottomArea().opening(10) == f"{HIDE_CURSOR}{' ' * 9}\r\x1b[K"


def test_closing_writes_the_output_and_shows_the_cursor() -> None:
    closing = BottomArea().closing(["last"], 80)
    assert closing.index(ERASE_BELOW) < closing.index("last") < closing.index(SHOW_CURSOR)
    assert WRAP in closing
    assert ERASE_BELOW in BottomArea().closing([], 80)
