"""Tables: columns that fit a width. A heading is never cut; a column without room is left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from ._colours import ASIDE
from ._lines import GAP, Align, cut_inside, padded, text


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Args:
        heading: what it is called.
        cells: what it says, by row; or a function of row and width, which draws it.
        rank: the lower, the longer it stays when there is no room for all.
        align: to which side its cells are put.
        least: cells that it may be cut to, and its heading be as wide as; None if it is not cut.
        most: cells that it may grow to where there is room to spare.
        is_name: whether what it says may differ at the end only, as names do.
    """

    heading: str
    cells: Sequence[Text] | Callable[[int, int], Text]
    rank: int
    align: Align = "right"
    least: int | None = None
    most: int = 0
    is_name: bool = False

    @property
    def natural(self) -> int:
        """How wide it is where nothing is cut."""
        if callable(self.cells):
            return max(cell_len(self.heading), self.least or 0)
        return max([cell_len(self.heading), *(cell.cell_len for cell in self.cells)])

    @property
    def smallest(self) -> int:
        """How wide it is at least."""
        if self.least is None:
            return self.natural
        return min(max(cell_len(self.heading), self.least), self.natural)

    def cell(self, row: int, width: int) -> Text:
        """Return one cell, of that width."""
        cell = self.cells(row, width) if callable(self.cells) else self.cells[row]
        return padded(cut_inside(cell, width) if self.is_name else cell, width, self.align)


def table(columns: Sequence[Column], rows: int, width: int) -> list[Text]:
    """Return headings and rows, none wider than that; empty where not even one column fits."""
    kept = chosen(columns, width)
    widths = widths_of(kept, width)
    headings = [
        padded(text(column.heading, ASIDE), size, column.align)
        for column, size in zip(kept, widths, strict=True)
    ]
    return [
        row_of(headings),
        *(
            row_of([column.cell(row, size) for column, size in zip(kept, widths, strict=True)])
            for row in range(rows)
        ),
    ]


def row_of(cells: Sequence[Text]) -> Text:
    """Return one line of a table."""
    line = text(" " * GAP).join(cells)
    line.rstrip()
    return line


def chosen(columns: Sequence[Column], width: int) -> list[Column]:
    """Return the columns that there is room for; the first in rank in any case."""
    kept = list(columns)
    while len(kept) > 1 and sum(each.smallest for each in kept) + gaps(kept) > width:
        kept.remove(max(kept, key=lambda column: column.rank))
    return kept


def gaps(columns: Sequence[Column]) -> int:
    """Return how many cells are between columns."""
    return GAP * (len(columns) - 1)


def widths_of(columns: Sequence[Column], width: int) -> list[int]:
    """Return how wide each column is: as its cells are, then as it may grow, if there is room."""
    widths = [min(column.smallest, width) for column in columns]
    spare = width - sum(widths) - gaps(columns)
    in_rank = sorted(range(len(columns)), key=lambda at: columns[at].rank)
    for limit in ("natural", "most"):
        for at in in_rank:
            more = max(min(getattr(columns[at], limit) - widths[at], spare), 0)
            widths[at] += more
            spare -= more
    return widths
