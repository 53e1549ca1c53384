"""Sections share the rows of a window by rank."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from antflow_rich._layout import (
    MIN_HEIGHT_FOR_GAPS,
    RowRequest,
    Section,
    allocate_rows,
    fixed_section,
    gap_for,
    stack,
    text,
)


def section(name: str, least: int, most: int, rank: int) -> Section:
    return Section(lambda rows: [text(name)] * min(rows, most), [RowRequest(rank, least)], most)


A, B, C = section("a", 2, 4, 0), section("b", 2, 9, 2), section("c", 1, 3, 1)


def test_requests_come_before_the_rest() -> None:
    assert allocate_rows([A, B, C], 5, 0) == [2, 2, 1]


def test_where_there_is_no_room_for_all_the_last_in_rank_is_left_out() -> None:
    assert allocate_rows([A, B, C], 4, 0) == [3, 0, 1]


def test_what_is_left_is_shared_evenly() -> None:
    assert allocate_rows([A, B, C], 8, 0) == [3, 3, 2]
    assert allocate_rows([A, B, C], 100, 0) == [4, 9, 3]


def test_a_request_for_more_rows_may_rank_behind_another_section() -> None:
    greedy = Section(lambda rows: [text("g")] * rows, [RowRequest(0, 2), RowRequest(3, 6)], 9)
    assert allocate_rows([greedy, B, C], 5, 0) == [2, 2, 1]
    assert allocate_rows([greedy, B, C], 8, 0) == [5, 2, 1]
    assert allocate_rows([greedy, B, C], 12, 0) == [7, 3, 2]
    assert allocate_rows([greedy], 1, 0) == [0]


def test_gaps_between_sections_take_rows() -> None:
    lines = [
        line.plain for line in stack([A, B, C], MIN_HEIGHT_FOR_GAPS, gap_for(MIN_HEIGHT_FOR_GAPS))
    ]
    assert lines == [*"aaaa", "", *"bbbbbbbbb", "", *"ccc"]
    assert [line.plain for line in stack([A, B, C], 6, gap_for(6))] == [*"aaa", *"bb", "c"]


def test_an_empty_section_takes_no_gap() -> None:
    lines = stack([A, section("x", 1, 0, 0), C], MIN_HEIGHT_FOR_GAPS, 1)
    assert [line.plain for line in lines] == [*"aaaa", "", *"ccc"]


def test_fixed_lines_are_shown_as_far_as_the_height_goes() -> None:
    head = [text("1"), text("2"), text("3")]
    for height, shown in (0, ""), (2, "12"), (3, "123"), (9, "123"):
        lines = stack([fixed_section(head, height), section("x", 9, 9, 1)], height, 0)
        assert "".join(line.plain for line in lines) == shown


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 5)), max_size=6),
    st.integers(-1, 40),
)
def test_never_higher_than_the_window(sizes: list[tuple[int, int, int]], height: int) -> None:
    sections = [section("x", least, most, rank) for least, most, rank in sizes]
    for gap in 0, 1:
        assert len(stack(sections, height, gap)) <= max(height, 0)
