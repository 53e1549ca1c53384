"""Lists say how many entries they do not show."""

from __future__ import annotations

from collections.abc import Sequence

from antflow_rich._layout import RowRequest, text
from antflow_rich._widgets import MIN_ENTRIES, TableColumn, list_section


def columns(entries: Sequence[str], width: int) -> list[TableColumn]:
    return [TableColumn("entry", [text(entry) for entry in entries], 0, "left", min_width=8)]


def drawn(entries: Sequence[str], total: int, rows: int, width: int = 40) -> list[str]:
    return [line.plain for line in list_section(entries, total, columns, width, 0).draw(rows)]


def test_a_list_that_has_room() -> None:
    assert drawn("abc", 3, 4) == ["entry", "a", "b", "c"]


def test_a_list_that_has_not_says_how_many_there_are() -> None:
    assert drawn("abcdef", 1200, 4, 20) == ["entry     3 of 1,200", "a", "b", "c"]


def test_where_the_heading_has_no_room_for_that_the_last_line_says_it() -> None:
    assert drawn("abcdef", 1200, 4, 15) == ["entry", "a", "b", "… 1,198 more"]


def test_entries_that_are_not_even_known_are_counted() -> None:
    assert drawn("abc", 5, 9, 20)[0] == "entry         3 of 5"


def test_what_it_asks_for() -> None:
    many = list_section("abcdef", 6, columns, 40, 7)
    assert (many.requests, many.max_rows) == ([RowRequest(7, MIN_ENTRIES + 1)], 7)
    few = list_section("a", 1, columns, 40, 7)
    assert (few.requests, few.max_rows) == ([RowRequest(7, 2)], 2)
    none = list_section("", 0, columns, 40, 7)
    assert (none.requests, none.max_rows) == ([], 0)
