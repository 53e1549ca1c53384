"""What is written to draw in the alternate screen."""

from __future__ import annotations

from os import terminal_size

from antflow_rich._region import HIDE_CURSOR, SHOW_CURSOR
from antflow_rich._screen import ENTER, LEAVE, MOST_KEPT, Screen


def test_a_frame_fills_the_window_and_no_more() -> None:
    screen = Screen()
    assert screen.rows(24) == 24
    frame = screen.frame([], "", [f"{number}." for number in range(30)], 24)
    assert "23." in frame
    assert "24." not in frame
    assert frame.count("\r\n") == 23


def test_what_was_said_last_is_below_a_frame() -> None:
    screen = Screen()
    screen.expect(["said"], terminal_size((80, 24)), 0.0)
    assert screen.rows(24) == 22
    frame = screen.frame(["said"], "", [f"{number}." for number in range(30)], 24)
    assert "22." not in frame
    assert frame.index("21.") < frame.index("said")
    assert frame.count("\r\n") == 23
    assert screen.closing([], 80).count("said") == 1


def test_it_is_entered_and_left() -> None:
    screen = Screen()
    assert screen.opening(80).startswith(ENTER)
    assert HIDE_CURSOR in screen.opening(80)
    closing = screen.closing([], 80)
    assert closing.index(LEAVE) < closing.index(SHOW_CURSOR)


def test_what_was_said_meanwhile_is_on_the_normal_screen_afterwards() -> None:
    screen = Screen()
    assert "first" not in screen.frame(["first", "second"], "begun", ["shown"], 24)
    closing = screen.closing(["third"], 80)
    positions = [closing.index(word) for word in (LEAVE, "first", "second", "third")]
    assert positions == sorted(positions)
    assert "shown" not in closing
    assert "left out" not in closing


def test_the_last_lines_are_kept_and_the_others_counted() -> None:
    screen = Screen()
    for number in range(MOST_KEPT + 234):
        screen.frame([f"<{number}>"], "", [], 24)
    closing = screen.closing(["<last>"], 80)
    assert closing.count("<") == MOST_KEPT
    assert "<234>" not in closing
    assert "<235>" in closing
    assert "(235 earlier lines are left out.)" in closing


def test_more_lines_at_once_than_are_kept_are_counted_too() -> None:
    screen = Screen()
    closing = screen.closing([f"<{number}>" for number in range(MOST_KEPT + 2)], 80)
    assert "<2>" in closing
    assert "<1>" not in closing
    assert "(2 earlier lines" in closing
