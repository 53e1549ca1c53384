"""Tables fit a width: no heading is cut, and what has no room is left out by rank."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from antflow_rich._layout import text
from antflow_rich._widgets import TableColumn, table


def cells(*contents: str) -> list[Text]:
    return [text(content) for content in contents]


def bar(row: int, width: int) -> Text:
    return text("#" * width)


COLUMNS = [
    TableColumn("name", cells("Fetch pages", "Parse"), 0, "left", min_width=6),
    TableColumn("bar", bar, 1, "left", 4, 10),
    TableColumn("done", cells("6", "1,234"), 2),
    TableColumn("failed", cells("0", "1"), 3),
]


def lines(width: int, columns: list[TableColumn] = COLUMNS) -> list[str]:
    return [line.plain for line in table(columns, 2, width)]


def test_with_room_for_all() -> None:
    assert lines(40) == [
        "name         bar          done  failed",
        "Fetch pages  ##########      6       0",
        "Parse        ##########  1,234       1",
    ]


def test_bars_shrink_first_then_texts() -> None:
    assert lines(34)[1] == "Fetch pages  ######      6       0"
    assert lines(28)[1] == "Fetch…   ####      6       0"


def test_columns_are_left_out_by_rank() -> None:
    assert lines(26)[0] == "name         bar      done"
    assert lines(18)[0] == "name         bar"
    assert lines(8) == ["name", "Fetch p…", "Parse"]


@given(st.integers(1, 60), st.permutations(COLUMNS))
def test_no_line_is_too_wide_and_no_heading_cut(width: int, columns: list[TableColumn]) -> None:
    shown = table(columns, 2, width)
    assert all(line.cell_len <= width for line in shown)
    headings = {column.heading for column in columns}
    if width >= 4:
        assert set(shown[0].plain.split()) <= headings


def test_a_column_is_no_wider_than_it_needs() -> None:
    narrow = TableColumn("id", cells("a", "b"), 0, "left", min_width=16)
    assert lines(80, [narrow, TableColumn("n", cells("1", "2"), 1)]) == ["id  n", "a   1", "b   2"]
