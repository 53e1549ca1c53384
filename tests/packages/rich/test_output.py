"""What the program writes while a display is drawn in the same terminal."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any

import pytest

from tests.packages.rich.screens import ShownInTerminal, shown
from tests.packages.rich.states import LARGE, MIDWAY, only
from tests.packages.rich.terminals import PseudoTerminal

ANSWER = (
    "antflow run: SIGINT: reading stopped; items already read get 10 s to finish; "
    "a second signal stops at once"
)

# Displays at the bottom of the normal screen


@pytest.mark.parametrize("lines", [12, 24])
def test_complete_lines_stay_above_the_display(lines: int) -> None:
    with shown("progress", lines=lines) as run:
        run.update(only())
        run.write("said\nalso\n")
        seen = run.update(only(10))
        gap = [""] if lines == 24 else []
        assert seen[:-1] == ["said", "also", *gap]
        assert "10/10,000" in seen[-1]
        assert run.finish()[:2] == ["said", "also"]


@pytest.mark.parametrize("lines", [12, 24])
def test_an_unfinished_line_stands_above_the_display_until_it_is_complete(lines: int) -> None:
    with shown("progress", lines=lines) as run:
        run.update(only())
        assert run.write("so far")[:-1] == ["so far"]
        assert run.write(", and ended\n")[0] == "so far, and ended"
        run.write("cut short")
        assert run.finish()[:2] == ["so far, and ended", "cut short"]


def test_an_unfinished_line_takes_a_row_of_the_display() -> None:
    with shown("detailed", lines=12) as run:
        assert len(run.replay(LARGE)) == 11
        assert len(run.write("so far")) == 11


def test_output_before_the_first_snapshot_is_seen() -> None:
    with shown("detailed") as run:
        assert run.write("said\n") == ["said"]


def test_output_that_no_frame_has_shown_is_not_lost() -> None:
    with shown("progress", total=0) as run:
        run.tty.stream.write("said\n")
        assert run.finish() == [
            "said",
            "orders is done: 0 items in 0:00, 0/s",
            "  0 succeeded  0 items failed",
        ]


def test_many_lines_scroll_away_in_their_order() -> None:
    with shown("compact", lines=12) as run:
        run.replay(MIDWAY)
        for number in range(40):
            run.write(f"line {number}\n")
        assert run.lines[:7] == [f"line {number}" for number in range(33, 40)]
        left = run.finish()
    assert left[:40] == [f"line {number}" for number in range(40)]
    assert left[40].startswith("orders was stopped")


def test_the_display_begins_on_a_line_of_its_own() -> None:
    with shown("progress", lines=12, before="Working: ") as run:
        assert [line[:8] for line in run.update(only())] == ["Working:", "orders  "]
        assert run.finish()[0] == "Working:"


@pytest.mark.parametrize("lines", [1, 2, 3, 12, 15, 16, 24])
def test_a_display_leaves_a_row_of_the_window_free(lines: int) -> None:
    with shown("detailed", lines=lines, before="\n" * 30 + "before") as run:
        run.replay(MIDWAY)
        run.update(MIDWAY)
        seen = run.screen.all_lines
        assert seen.count("before") == 1
        assert sum("62%" in line for line in seen) == (lines > 2)
        run.screen.scrolled.clear()
        run.update(MIDWAY)
        assert run.screen.scrolled == []


def test_the_cursor_is_hidden_while_a_display_is_drawn() -> None:
    with shown("progress") as run:
        assert run.screen.modes["25"]
        run.update(only())
        assert not run.screen.modes["25"]
        run.finish()
        assert run.screen.modes["25"]
        assert run.screen.modes["7"]


# The full screen


def test_the_full_display_hides_the_normal_screen_and_brings_it_back_with_the_output() -> None:
    with shown("full", before="before ") as run:
        run.update(only())
        assert run.screen.modes["1049"]
        run.write("first\nsecond\nbegun")
        assert "before" not in "".join(run.lines)
        run.tty.stream.write(" and ended")
        left = run.finish()
        assert left[:4] == ["before", "first", "second", "begun and ended"]
        assert left[4].startswith("orders was stopped")
        assert "1049" not in run.screen.modes
        assert run.screen.modes["25"]
        assert run.screen.modes["7"]


@pytest.mark.parametrize("at_once", [True, False])
def test_the_last_thousand_lines_of_output_are_kept_and_the_others_counted(at_once: bool) -> None:
    texts = [f"<{number}>\n" for number in range(1235)]
    with shown("full") as run:
        run.update(only())
        for text in ["".join(texts)] if at_once else ["".join(texts[:700]), "".join(texts[700:])]:
            run.write(text)
        left = run.finish()
    assert left[0] == "(235 earlier lines are left out.)"
    assert left[1:1001] == [f"<{number}>" for number in range(235, 1235)]


@pytest.fixture
def full() -> Iterator[ShownInTerminal]:
    with shown("full") as run:
        run.replay(MIDWAY)
        yield run


def test_the_last_line_of_output_is_shown_below_the_full_display(full: ShownInTerminal) -> None:
    before = full.screen.last_rows(1)
    assert before[0]
    full.write("\n \x1b[0m\n")
    assert full.screen.last_rows(1) == before  # nothing to see
    full.write("first\nsecond\n\n")
    assert full.screen.last_rows(2) == ["", "second"]
    assert full.screen.last_rows(3)[0]
    full.resize(80, 12)
    full.update(MIDWAY)
    assert full.screen.last_rows(1) == ["second"]
    assert full.screen.last_rows(2)[0]  # a low window has no gap


def test_a_notice_is_shown_for_ten_seconds_and_gives_way_to_the_next(full: ShownInTerminal) -> None:
    full.write("said\n")
    full.update(MIDWAY, 9.9)
    assert full.screen.last_rows(1) == ["said"]
    full.write("also\n", 0.0)
    full.update(MIDWAY, 9.9)
    assert full.screen.last_rows(1) == ["also"]
    full.update(MIDWAY, 0.2)
    assert full.screen.last_rows(1) != ["also"]
    assert full.screen.last_rows(2)[0]


@pytest.mark.parametrize("size", [(80, 24), (40, 12), (120, 40)])
def test_the_answer_to_an_interrupt_is_shown_whole(
    full: ShownInTerminal, size: tuple[int, int]
) -> None:
    full.resize(*size)
    full.write(f"{ANSWER}\n")
    assert " ".join(full.screen.last_rows(3)).endswith(ANSWER)
    assert not full.screen.has_overflowed


def test_while_one_line_follows_another_the_display_stays_where_it_is(
    full: ShownInTerminal,
) -> None:
    full.write(f"{ANSWER}\n")
    full.write("short\n")
    assert full.screen.last_rows(3) == ["", "", "short"]
    full.update(MIDWAY, 10.1)
    assert all(full.screen.last_rows(3))


@pytest.mark.parametrize(("lines", "rows"), [(3, 0), (4, 1), (11, 2), (12, 3), (24, 3), (60, 3)])
def test_a_notice_takes_a_quarter_of_the_window_and_three_rows_at_most(
    lines: int, rows: int
) -> None:
    with shown("full", 40, lines) as run:
        run.replay(MIDWAY)
        run.write("word " * 200 + "\n")
        seen = run.screen.last_rows(lines)
        assert sum(line.startswith("word") for line in seen) == rows
        assert seen[-1].endswith("word ...") or not rows
        run.resize(4, lines)
        run.update(MIDWAY)
        assert not any(line.startswith("word") for line in run.screen.last_rows(lines))


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("\x1b[1;31mERROR\x1b[0m: torn", "ERROR: torn"),
        ("\x1b]0;title\x07said \x1b[2K\x1b[10;10Hhere", "said here"),
        ("10%\r20%\r", "20%"),
        ("a\tb\x07", "a       b"),
        ("cut short \x1b[", "cut short"),
        ("漢字かな交じり文" * 9, "漢字かな交じり文" * 4),
    ],
)
def test_a_notice_has_no_escape_sequences(full: ShownInTerminal, written: str, text: str) -> None:
    full.write(f"{written}\n")
    assert text in "\n".join(full.screen.last_rows(2))
    assert not full.screen.has_overflowed


def test_of_wide_characters_none_is_left_out_before_the_ellipsis() -> None:
    text = "漢字かな交じり文" * 9
    with shown("full", 20) as run:
        run.replay(MIDWAY)
        run.write(f"{text}\n")
        seen = "".join(run.screen.last_rows(3))
    assert text.startswith(seen.removesuffix("…"))
    assert (len(seen), seen[-1]) == (30, "…")


# What is captured


def in_thread(function: Callable[..., object], *arguments: object) -> None:
    thread = Thread(target=function, args=arguments)
    thread.start()
    thread.join()


def test_all_that_is_written_by_the_stream_object_is_captured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logger = logging.getLogger("of a test")
    monkeypatch.setattr(logger, "propagate", False)
    with shown("progress") as run:
        run.update(only())
        stream = sys.stderr
        monkeypatch.setattr(logger, "handlers", [logging.StreamHandler(stream)])
        print("printed", file=stream)
        logger.warning("logged")
        stream.writelines(["lines\n"])
        in_thread(stream.write, "by a thread\n")
        with pytest.raises(TypeError):
            stream.write(b"bytes")  # type: ignore[arg-type]
        assert run.finish()[:4] == ["printed", "logged", "lines", "by a thread"]


def test_standard_output_is_captured_if_it_is_the_same_terminal(
    tty: PseudoTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(os.dup(tty.stream.fileno()), "w", encoding="utf-8") as same:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdout", same)
        with shown("progress", tty=tty) as run:
            run.update(only())
            for stream, text in (sys.stdout, "out"), (sys.stderr, "err"), (sys.stdout, "put\n"):
                stream.write(text)
            sys.stderr.write("or\n")
            assert run.finish()[:2] == ["output", "error"]


def test_standard_output_is_not_captured_if_it_goes_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    elsewhere = io.StringIO()
    monkeypatch.setattr(sys, "stdout", elsewhere)
    with shown("progress") as run:
        run.update(only())
        print("output")
        assert elsewhere.getvalue() == "output\n"
        assert run.finish()[0].startswith("orders was stopped")


def test_a_carriage_return_hides_what_was_before_it() -> None:
    with shown("progress") as run:
        run.update(only())
        assert run.write("10 %\r20 %\r")[0] == "20 %"
        assert run.write("30 %")[0] == "30 %"
    with shown("progress") as run:
        for percent in range(101):
            run.tty.stream.write(f"\r{percent} % {'#' * 1000}")
        run.tty.stream.write("\r\n")
        left = run.finish()
        assert [line for line in left if "%" in line] == [left[0]]
        assert left[0].startswith("100 % ###")


def test_a_line_without_an_end_is_not_kept_forever() -> None:
    with shown("progress", 200) as run:
        run.update(only())
        for shown_characters in (200, 10_002, 10_202):
            run.write("x" * 5001)
            assert "".join(run.screen.all_lines).count("x") == shown_characters
        assert "".join(run.finish()).count("x") == 3 * 5001


def shouting(write: Callable[[str], int]) -> Callable[[str], int]:
    return lambda text: write(text.upper())


def test_the_stream_is_as_before_when_the_display_has_ended() -> None:
    with shown("progress") as run:
        stream: Any = sys.stderr
        write = stream.write
        assert "write" in vars(stream)
        run.finish()
        assert "write" not in vars(stream)
        stream.write("after\n")
        write("kept from before\n")
        assert run.lines[-2:] == ["after", "kept from before"]


def test_a_write_that_other_code_has_replaced_is_left_to_it() -> None:
    with shown("progress") as run:
        stream: Any = sys.stderr
        stream.write = own = shouting(stream.write)
        run.finish()
        assert stream.write is own
        stream.write("after\n")
        assert run.lines[-1] == "AFTER"


def test_a_write_that_was_replaced_before_is_put_back(tty: PseudoTerminal) -> None:
    """The display itself draws with it, too."""
    seen: list[str] = []
    stream: Any = tty.stream
    stream.write = own = seen.append
    with shown("progress", tty=tty) as run:
        stream.write("during\n")
        assert run.finish() == []
    assert stream.write is own
    assert "during" in "".join(seen)
    assert " was stopped" in "".join(seen)


def test_what_a_forked_process_writes_is_not_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    with shown("progress") as run:
        stream = sys.stderr
        monkeypatch.setattr(os, "getpid", lambda: -1)
        stream.write("by a child\n")
        stream.flush()
        assert run.lines == ["by a child"]
        monkeypatch.undo()


def test_a_program_that_writes_faster_than_can_be_drawn_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("antflow_rich._capture.MAX_QUEUED", 3)
    monkeypatch.setattr("antflow_rich._capture.MAX_WAIT", 30.0)
    with shown("progress") as run:
        writing = Thread(target=sys.stderr.writelines, args=([f"{at}\n" for at in range(50)],))
        writing.start()
        while writing.is_alive():
            assert run.screen.height == 24  # the terminal is read
        assert run.finish()[:50] == [f"{at}" for at in range(50)]


def test_a_program_does_not_wait_for_a_stopped_terminal_and_omitted_texts_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("antflow_rich._capture.MAX_QUEUED", 3)
    monkeypatch.setattr("antflow_rich._capture.MAX_WAIT", 0.001)
    note = "(The terminal was stopped; 6 texts of the program are left out)"
    with shown("progress") as run:
        for numbers in range(9), range(9, 18):
            sys.stderr.write(f"{'x' * 50_000}\n")  # more than the terminal takes
            run.tty.wait_until_stopped()
            for number in numbers:
                assert sys.stderr.write(f"{number}.\n") == len(f"{number}.\n")
            if 0 in numbers:
                while "2." not in run.screen.all_lines:
                    run.tty.wait()
        left = [line for line in run.finish() if not line.startswith(("x", "o", " "))]
    assert left == ["0.", "1.", "2.", note, "9.", "10.", "11.", note]
