"""Sections share the rows of a window by rank, and columns and pieces its width."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from antflow_rich._layout import (
    MIN_HEIGHT_FOR_GAPS,
    RowRequest,
    Section,
    allocate_rows,
    gap_for,
    pad,
    stack,
    text,
    truncate,
    truncate_middle,
    truncate_text,
)
from antflow_rich._widgets import TableColumn, apportion, list_section, resample, table

WORDS = st.text(st.sampled_from("ab 日本é"), max_size=12)

# Rows


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


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 5)), max_size=6),
    st.integers(-1, 40),
)
def test_never_higher_than_the_window(sizes: list[tuple[int, int, int]], height: int) -> None:
    sections = [section("x", least, most, rank) for least, most, rank in sizes]
    for gap in 0, 1:
        assert len(stack(sections, height, gap)) <= max(height, 0)


# Lines


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


# Tables and lists


def bar(row: int, width: int) -> Text:
    return text("#" * width)


def cells(*contents: str) -> list[Text]:
    return [text(content) for content in contents]


COLUMNS = [
    TableColumn("name", cells("Fetch pages", "Parse"), 0, "left", min_width=6),
    TableColumn("bar", bar, 1, "left", 4, 10),
    TableColumn("done", cells("6", "1,234"), 2),
    TableColumn("failed", cells("0", "1"), 3),
]


@pytest.mark.parametrize(
    ("width", "row", "shown"),
    [
        (40, 0, "name         bar          done  failed"),
        (40, 1, "Fetch pages  ##########      6       0"),
        (34, 1, "Fetch pages  ######      6       0"),
        (28, 1, "Fetch…   ####      6       0"),
        (26, 0, "name         bar      done"),
        (18, 0, "name         bar"),
        (8, 1, "Fetch p…"),
    ],
)
def test_bars_shrink_then_texts_and_then_columns_are_left_out(
    width: int, row: int, shown: str
) -> None:
    assert table(COLUMNS, 2, width)[row].plain == shown


@given(st.integers(1, 60), st.permutations(COLUMNS))
def test_no_line_is_too_wide_and_no_heading_cut(width: int, columns: list[TableColumn]) -> None:
    shown = table(columns, 2, width)
    assert all(line.cell_len <= width for line in shown)
    headings = {column.heading for column in columns}
    if width >= 4:
        assert set(shown[0].plain.split()) <= headings


@pytest.mark.parametrize(
    ("entries", "total", "rows", "width", "shown"),
    [
        ("abc", 3, 4, 40, ["entry", "a", "b", "c"]),
        ("abcdef", 1200, 4, 20, ["entry     3 of 1,200", "a", "b", "c"]),
        ("abcdef", 1200, 4, 15, ["entry", "a", "b", "… 1,198 more"]),
        ("abc", 5, 9, 20, ["entry         3 of 5", "a", "b", "c"]),
    ],
)
def test_a_list_says_how_many_entries_it_does_not_show(
    entries: str, total: int, rows: int, width: int, shown: list[str]
) -> None:
    def columns(some: Sequence[str], width: int) -> list[TableColumn]:
        return [TableColumn("entry", cells(*some), 0, "left", min_width=8)]

    section = list_section(entries, total, columns, width, 0)
    assert [line.plain for line in section.draw(rows)] == shown
    assert section.requests == [RowRequest(0, 4)]


# Bars


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.integers(0, 50))
def test_parts_add_up_to_the_whole(shares: list[float], width: int) -> None:
    parts = apportion(shares, width)
    assert sum(parts) == width
    total = sum(shares)
    for part, share in zip(parts, shares, strict=True):
        if total:
            assert part == pytest.approx(share / total * width, abs=1.0)


def test_few_values_are_stretched_and_many_are_averaged() -> None:
    assert resample([1, 2], 4) == [1, 1, 2, 2]
    assert resample([1, 3, 5, 7], 2) == [2, 6]
    assert resample([], 3) == []
