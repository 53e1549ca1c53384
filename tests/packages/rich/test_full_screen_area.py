"""What is written to draw in the alternate screen."""

from __future__ import annotations

from os import terminal_size

from antflow_rich._areas import (
    ENTER_ALTERNATE,
    HIDE_CURSOR,
    LEAVE_ALTERNATE,
    MAX_KEPT,
    SHOW_CURSOR,
    FullScreenArea,
)


def test_a_frame_fills_the_window_and_no_more() -> None:
    area = FullScreenArea()
    assert area.rows(24) == 24
    frame = area.frame([], "", [f"{number}." for number in range(30)], 24)
    assert "23." in frame
    assert "24." not in frame
    assert frame.count("\r\n") == 23


def test_the_last_line_of_output_is_below_a_frame() -> None:
    area = FullScreenArea()
    area.prepare(["said"], terminal_size((80, 24)), 0.0)
    assert area.rows(24) == 22
    frame = area.frame(["said"], "", [f"{number}." for number in range(30)], 24)
    assert "22." not in frame
    assert frame.index("21.") < frame.index("said")
    assert frame.count("\r\n") == 23
    assert area.closing([], 80).count("said") == 1


def test_it_is_entered_and_left() -> None:
    area = FullScreenArea()
    assert area.opening(80).startswith(ENTER_ALTERNATE)
    assert HIDE_CURSOR in area.opening(80)
    closing = area.closing([], 80)
    assert closing.index(LEAVE_ALTERNATE) < closing.index(SHOW_CURSOR)


def test_output_is_written_to_the_normal_screen_at_the_end() -> None:
    area = FullScreenArea()
    assert "first" not in area.frame(["first", "second"], "begun", ["shown"], 24)
    closing = area.closing(["third"], 80)
    positions = [closing.index(word) for word in (LEAVE_ALTERNATE, "first", "second", "third")]
    assert positions == sorted(positions)
    assert "shown" not in closing
    assert "left out" not in closing


def test_the_last_lines_are_kept_and_the_others_counted() -> None:
    area = FullScreenArea()
    for number in range(MAX_KEPT + 234):
        area.frame([f"<{number}>"], "", [], 24)
    closing = area.closing(["<last>"], 80)
    assert closing.count("<") == MAX_KEPT
    assert "<234>" not in closing
    assert "<235>" in closing
    assert "(235 earlier lines are left out.)" in closing


def test_more_lines_at_once_than_are_kept_are_counted_too() -> None:
    area = FullScreenArea()
    closing = area.closing([f"<{number}>" for number in range(MAX_KEPT + 2)], 80)
    assert "<2>" in closing
    assert "<1>" not in closing
    assert "(2 earlier lines" in closing
