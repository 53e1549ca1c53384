"""The last line of output, below a display that hides the output."""

from __future__ import annotations

from os import terminal_size

import pytest
from rich.cells import cell_len

from antflow_rich import _areas
from antflow_rich._areas import NOTICE_SECONDS, Notice, visible_text, wrap_text

USUAL, SMALL = terminal_size((80, 24)), terminal_size((40, 12))
ANSWER = (
    "antflow run: SIGINT: reading stopped; items already read get 10 s to finish; "
    "a second signal stops at once"
)


def notice_of(*output: str, size: terminal_size = USUAL) -> Notice:
    notice = Notice()
    notice.update(output, size, 100.0)
    return notice


def display(notice: Notice, size: terminal_size) -> list[str]:
    """Return what is shown when the display fills the rows that it may have."""
    rows = size.lines - notice.rows(size.lines)
    return notice.add_below([f"row {number}" for number in range(rows)], size.lines)


def test_without_output_the_display_has_all_rows() -> None:
    assert display(notice_of(), USUAL)[-1] == "row 23"
    assert display(notice_of("", " \x1b[0m"), USUAL)[-1] == "row 23"


def test_the_last_line_is_in_the_last_row_apart_from_the_display() -> None:
    assert display(notice_of("first", "second", ""), USUAL)[-3:] == ["row 21", "", "second"]


def test_in_a_low_window_it_follows_the_display() -> None:
    assert display(notice_of("said", size=SMALL), SMALL)[-2:] == ["row 10", "said"]


def test_below_a_short_display_it_is_in_the_last_row_too() -> None:
    shown = notice_of("said").add_below(["row"], 24)
    assert shown == ["row", *[""] * 22, "said"]


@pytest.mark.parametrize("size", [USUAL, SMALL, terminal_size((120, 40))])
def test_the_answer_to_an_interrupt_is_shown_whole(size: terminal_size) -> None:
    shown = display(notice_of(ANSWER, size=size), size)
    assert len(shown) == size.lines
    assert " ".join(shown).endswith(ANSWER)
    assert max(map(len, shown)) <= size.columns


def test_a_long_line_takes_three_rows_at_most_and_ends_with_an_ellipsis() -> None:
    shown = display(notice_of("word " * 200), USUAL)
    assert shown[-4] == ""
    assert [line.startswith("word") for line in shown[-3:]] == [True] * 3
    assert shown[-1].endswith("word ...")


@pytest.mark.parametrize("lines", range(1, 60))
def test_it_takes_a_quarter_of_the_window_at_most(lines: int) -> None:
    size = terminal_size((40, lines))
    shown = display(notice_of("word " * 200, size=size), size)
    assert len(shown) == lines
    assert sum(line.startswith("word") for line in shown) == min(3, lines // 4)


def test_it_is_shown_as_long_as_it_is_fresh() -> None:
    notice = notice_of("said")
    notice.update([], USUAL, 100.0 + NOTICE_SECONDS - 0.1)
    assert display(notice, USUAL)[-1] == "said"
    notice.update([], USUAL, 100.0 + NOTICE_SECONDS)
    assert display(notice, USUAL)[-1] == "row 23"


def test_a_line_that_follows_is_shown_from_then_on() -> None:
    notice = notice_of("said")
    notice.update(["also"], USUAL, 100.0 + NOTICE_SECONDS - 0.1)
    notice.update([""], USUAL, 100.0 + NOTICE_SECONDS + 1)
    assert display(notice, USUAL)[-1] == "also"


def test_as_lines_follow_each_other_the_display_stays_where_it_is() -> None:
    notice = notice_of(ANSWER)
    before = notice.rows(24)
    notice.update(["short"], USUAL, 101.0)
    assert notice.rows(24) == before == 3
    assert display(notice, USUAL)[-3:] == ["", "", "short"]
    notice.update([], USUAL, 101.0 + NOTICE_SECONDS)
    assert notice.rows(24) == 0


def test_it_adapts_to_the_window() -> None:
    notice = notice_of(ANSWER)
    notice.update([], SMALL, 101.0)
    assert " ".join(display(notice, SMALL)).endswith(ANSWER)
    notice.update([], terminal_size((4, 24)), 102.0)
    assert notice.rows(24) == 0


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("\x1b[1;31mERROR\x1b[0m: torn", "ERROR: torn"),
        ("\x1b]0;title\x07said \x1b[2K\x1b[10;10Hhere", "said here"),
        ("10%\r20%\r", "20%"),
        ("a\tb\x07", "a       b"),
        ("cut short \x1b[", "cut short"),
        ("\x1b", ""),
    ],
)
def test_escape_sequences_of_a_line_are_removed(line: str, text: str) -> None:
    assert visible_text(line) == text


def test_of_wide_characters_none_is_left_out_before_the_end() -> None:
    text = "漢字かな交じり文" * 6
    rows = wrap_text(text, 20, 3)
    assert len(rows) == 3
    assert text.startswith("".join(rows).removesuffix("…"))
    assert wrap_text(text[:20], 20, 3) == [text[:10], text[10:20]]


def test_no_more_of_a_long_line_is_wrapped_than_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[str] = []

    def wrap(text: str, *_: object, **__: object) -> list[str]:
        given.append(text)
        return []

    monkeypatch.setattr(_areas, "wrap", wrap)
    wrap_text("long " * 200_000, 80, 3)
    assert [len(text) for text in given] == [320]


def test_wide_characters_are_cut_rather_than_too_wide() -> None:
    assert all(cell_len(line) <= 20 for line in wrap_text("漢" * 100, 20, 3))
