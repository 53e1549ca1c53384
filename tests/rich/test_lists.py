"""Lists say how many entries they do not show."""

from __future__ import annotations

from collections.abc import Sequence

from antflow_rich._columns import Column
from antflow_rich._layout import Need
from antflow_rich._lines import text
from antflow_rich._lists import FEWEST, listed


def columns(entries: Sequence[str], width: int) -> list[Column]:
    return [Column("entry", [text(entry) for entry in entries], 0, "left", least=8)]


def drawn(entries: Sequence[str], total: int, rows: int, width: int = 40) -> list[str]:
    return [line.plain for line in listed(entries, total, columns, width, 0).draw(rows)]


def test_a_list_that_has_room() -> None:
    assert drawn("abc", 3, 4) == ["entry", "a", "b", "c"]


def test_a_list_that_has_not_says_how_many_there_are() -> None:
    assert drawn("abcdef", 1200, 4, 20) == ["entry     3 of 1,200", "a", "b", "c"]


def test_where_the_heading_has_no_room_for_that_the_last_line_says_it() -> None:
    assert drawn("abcdef", 1200, 4, 15) == ["entry", "a", "b", "… 1,198 more"]


def test_entries_that_are_not_even_known_are_counted() -> None:
    assert drawn("abc", 5, 9, 20)[0] == "entry         3 of 5"


def test_what_it_asks_for() -> None:
    many = listed("abcdef", 6, columns, 40, 7)
    assert (many.needs, many.most) == ([Need(7, FEWEST + 1)], 7)
    few = listed("a", 1, columns, 40, 7)
    assert (few.needs, few.most) == ([Need(7, 2)], 2)
    none = listed("", 0, columns, 40, 7)
    assert (none.needs, none.most) == ([], 0)
