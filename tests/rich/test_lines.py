"""Lines are cut, padded and put together to a width."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from antflow_rich._lines import (
    Piece,
    at_both_ends,
    beside,
    cut,
    cut_inside,
    cut_text,
    fitting,
    in_order,
    joined,
    padded,
    text,
)

WORDS = st.text(st.sampled_from("ab 日本é"), max_size=12)


@given(WORDS, st.integers(0, 14))
def test_cut_lines_are_no_wider(content: str, width: int) -> None:
    for cut_line in cut(text(content), width).plain, cut_text(content, width):
        assert text(cut_line).cell_len <= width
        if text(content).cell_len <= width:
            assert cut_line == content
        elif width:
            assert cut_line.endswith("…")


@given(WORDS, st.integers(0, 14))
def test_padded_lines_are_as_wide(content: str, width: int) -> None:
    for align in "left", "right":
        assert padded(text(content), width, align).cell_len == width


@given(WORDS, st.integers(0, 14))
def test_lines_cut_inside_are_no_wider_and_keep_their_end(content: str, width: int) -> None:
    shown = cut_inside(text(content), width)
    assert shown.cell_len <= width
    if text(content).cell_len <= width:
        assert shown.plain == content
    elif width >= 8:
        head, tail = shown.plain.split("…")
        assert content.startswith(head)
        assert content.endswith(tail)


def test_names_differ_at_their_ends() -> None:
    assert cut_inside(text("FetchCustomerOrders-W12"), 12).plain == "FetchCu…-W12"


def test_padding_goes_to_the_other_side() -> None:
    assert padded(text("12"), 4).plain == "12  "
    assert padded(text("12"), 4, "right").plain == "  12"


def test_a_joined_line_keeps_each_part_s_style() -> None:
    line = joined(text("a", "red"), "b", text("c", "dim"))
    assert (line.plain, line.style) == ("abc", "")
    assert [(span.start, span.end, span.style) for span in line.spans] == [
        (0, 1, "red"),
        (2, 3, "dim"),
    ]


def pieces(*entries: tuple[str, int]) -> list[Piece]:
    return [Piece(text(content), rank) for content, rank in entries]


def test_what_has_no_room_is_left_out_by_rank() -> None:
    three = pieces(("aaaa", 1), ("bbbb", 2), ("cccc", 0))
    assert in_order(three, 20).plain == "aaaa  bbbb  cccc"
    assert in_order(three, 15).plain == "aaaa  cccc"
    assert in_order(three, 5).plain == "cccc"
    assert in_order(three, 3).plain == "cc…"
    assert [piece.rank for piece in fitting(three, 0)] == [0]


def test_both_ends_of_a_line() -> None:
    assert at_both_ends(text("ab"), text("yz"), 8).plain == "ab    yz"
    assert at_both_ends(text("ab"), text("yz"), 5).plain == "ab"


def test_blocks_side_by_side() -> None:
    left, right = [text("a"), text("b")], [text("1"), text("2"), text("3")]
    assert [line.plain for line in beside(left, right, 2, 1)] == ["a  1", "b  2", "   3"]
    assert [line.plain for line in beside(right, left, 2, 1)] == ["1  a", "2  b", "3"]


def test_lines_do_not_wrap_and_do_not_end_in_a_newline() -> None:
    line: Text = joined("a", "b")
    assert line.no_wrap
    assert line.end == ""
