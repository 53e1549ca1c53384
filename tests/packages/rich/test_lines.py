"""Lines are truncated, padded and joined to a width."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from antflow_rich._layout import (
    Piece,
    fitting_pieces,
    join,
    join_fitting,
    justify,
    pad,
    side_by_side,
    text,
    truncate,
    truncate_middle,
    truncate_text,
)

WORDS = st.text(st.sampled_from("ab 日本é"), max_size=12)


@given(WORDS, st.integers(0, 14))
def test_truncated_lines_are_no_wider(content: str, width: int) -> None:
    for truncated in truncate(text(content), width).plain, truncate_text(content, width):
        assert text(truncated).cell_len <= width
        if text(content).cell_len <= width:
            assert truncated == content
        elif width:
            assert truncated.endswith("…")


@given(WORDS, st.integers(0, 14))
def test_padded_lines_are_as_wide(content: str, width: int) -> None:
    for align in "left", "right":
        assert pad(text(content), width, align).cell_len == width


@given(WORDS, st.integers(0, 14))
def test_lines_truncated_in_the_middle_keep_their_end(content: str, width: int) -> None:
    shown = truncate_middle(text(content), width)
    assert shown.cell_len <= width
    if text(content).cell_len <= width:
        assert shown.plain == content
    elif width >= 8:
        head, tail = shown.plain.split("…")
        assert content.startswith(head)
        assert content.endswith(tail)


def test_names_differ_at_their_ends() -> None:
    assert truncate_middle(text("FetchCustomerOrders-W12"), 12).plain == "FetchCu…-W12"


def test_padding_goes_to_the_other_side() -> None:
    assert pad(text("12"), 4).plain == "12  "
    assert pad(text("12"), 4, "right").plain == "  12"


def test_a_joined_line_keeps_each_part_s_style() -> None:
    line = join(text("a", "red"), "b", text("c", "dim"))
    assert (line.plain, line.style) == ("abc", "")
    assert [(span.start, span.end, span.style) for span in line.spans] == [
        (0, 1, "red"),
        (2, 3, "dim"),
    ]


def pieces(*entries: tuple[str, int]) -> list[Piece]:
    return [Piece(text(content), rank) for content, rank in entries]


def test_what_has_no_room_is_left_out_by_rank() -> None:
    three = pieces(("aaaa", 1), ("bbbb", 2), ("cccc", 0))
    assert join_fitting(three, 20).plain == "aaaa  bbbb  cccc"
    assert join_fitting(three, 15).plain == "aaaa  cccc"
    assert join_fitting(three, 5).plain == "cccc"
    assert join_fitting(three, 3).plain == "cc…"
    assert [piece.rank for piece in fitting_pieces(three, 0)] == [0]


def test_both_ends_of_a_line() -> None:
    assert justify(text("ab"), text("yz"), 8).plain == "ab    yz"
    assert justify(text("ab"), text("yz"), 5).plain == "ab"


def test_lines_side_by_side() -> None:
    left, right = [text("a"), text("b")], [text("1"), text("2"), text("3")]
    assert [line.plain for line in side_by_side(left, right, 2, 1)] == ["a  1", "b  2", "   3"]
    assert [line.plain for line in side_by_side(right, left, 2, 1)] == ["1  a", "2  b", "3"]


def test_lines_do_not_wrap_and_do_not_end_in_a_newline() -> None:
    line: Text = join("a", "b")
    assert line.no_wrap
    assert line.end == ""
