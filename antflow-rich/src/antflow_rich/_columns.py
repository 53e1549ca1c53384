"""Tables: columns that fit a width. A heading is never cut; a column without room is left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from ._colours import ASIDE
from ._lines import GAP, Align, cut, cut_inside, text


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

    def cell(self, row: int, width: int) -> Text:
        """Return one cell, no wider than that."""
        cell = self.cells(row, width) if callable(self.cells) else self.cells[row]
        return cut_inside(cell, width) if self.is_name else cut(cell, width)


@dataclass(slots=True)
class _Fit:
    """A column in a table.

    Args:
        column: the column.
        smallest: how wide it is at least.
        natural: how wide it is where nothing is cut.
        width: how wide it is to be.
    """

    column: Column
    smallest: int
    natural: int
    width: int = 0

    @classmethod
    def of(cls, column: Column) -> _Fit:
        heading = cell_len(column.heading)
        natural = heading if column.least is None else max(heading, column.least)
        smallest = natural
        if not callable(column.cells):
            widest = max((cell.cell_len for cell in column.cells), default=0)
            natural = max(heading, widest)
            smallest = natural if column.least is None else min(smallest, natural)
        return cls(column, smallest, natural)


def table(columns: Sequence[Column], rows: int, width: int) -> list[Text]:
    """Return headings and rows, none wider than that."""
    fits = chosen([_Fit.of(column) for column in columns], width)
    stretch(fits, width)
    headings = [cut(text(fit.column.heading, ASIDE), fit.width) for fit in fits]
    cells = ([fit.column.cell(row, fit.width) for fit in fits] for row in range(rows))
    return [row_of(line, fits) for line in (headings, *cells)]


def row_of(cells: Sequence[Text], fits: Sequence[_Fit]) -> Text:
    """Return one line of a table, without blanks at its end."""
    line, blanks = text(), 0
    for cell, fit in zip(cells, fits, strict=True):
        spare = fit.width - cell.cell_len
        if fit.column.align == "right":
            blanks += spare
        if cell:
            line.append(" " * blanks).append_text(cell)
            blanks = 0
        if fit.column.align == "left":
            blanks += spare
        blanks += GAP
    return line


def chosen(fits: Sequence[_Fit], width: int) -> list[_Fit]:
    """Return the columns that there is room for; the first in rank in any case."""
    kept = list(fits)
    while len(kept) > 1 and sum(fit.smallest for fit in kept) + gaps(kept) > width:
        kept.remove(max(kept, key=lambda fit: fit.column.rank))
    return kept


def gaps(fits: Sequence[_Fit]) -> int:
    """Return how many cells are between columns."""
    return GAP * (len(fits) - 1)


def stretch(fits: Sequence[_Fit], width: int) -> None:
    """Set how wide each column is: as its cells are, then as it may grow, if there is room."""
    for fit in fits:
        fit.width = min(fit.smallest, width)
    spare = width - sum(fit.width for fit in fits) - gaps(fits)
    by_rank = sorted(fits, key=lambda fit: fit.column.rank)
    limits = [(fit, fit.natural) for fit in by_rank] + [(fit, fit.column.most) for fit in by_rank]
    for fit, limit in limits:
        more = max(min(limit - fit.width, spare), 0)
        fit.width += more
        spare -= more
