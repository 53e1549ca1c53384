"""Bars, charts, tables and lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor
from typing import TypeVar

from rich.cells import cell_len
from rich.text import Text

from . import _styles as styles
from ._formats import count
from ._layout import GAP, Align, RowRequest, Section, join, justify, text, truncate, truncate_middle
from ._views import STATES, ItemCounts, Shares

HATCHED_PART = 4  # one of so many parts of an indeterminate bar is hatched
CROSSING_SECONDS = 6.0  # of the hatched part, from one end to the other
MIN_ENTRIES = 3  # a list without room for so many is left out

Entry = TypeVar("Entry")


def progress_bar(counts: ItemCounts, width: int) -> Text:
    """Return a bar of the items that succeeded, those that failed, and the rest."""
    share = counts.share or 0.0
    ended = share * width
    # Rounded up, so that a single failed item of a million shows.
    failed = min(ceil(ended * counts.failed / counts.done), width) if counts.done else 0
    done = min(max(floor(ended), failed), width)
    return join(
        text(styles.BAR_DONE * (done - failed), styles.SUCCESS),
        text(styles.BAR_DONE * failed, styles.FAILURE),
        text(styles.BAR_REST * (width - done), styles.DIM),
    )


def indeterminate_bar(elapsed: float, width: int) -> Text:
    """Return a bar for a run of unknown length, with a hatched part that moves to and fro.

    Args:
        elapsed: seconds since the run began; they determine the position of the hatched part.
        width: cells of the bar.
    """
    part = max(width // HATCHED_PART, 1)
    room = width - part
    # It starts in the middle: at the left end, it would look like progress from there.
    step = int(elapsed / CROSSING_SECONDS * room + room / 2) % (2 * room) if room else 0
    start = min(step, 2 * room - step)
    return join(
        text(styles.BAR_REST * start, styles.DIM),
        text(styles.BAR_UNKNOWN * part),
        text(styles.BAR_REST * (room - start), styles.DIM),
    )


def state_bar(shares: Shares, width: int) -> Text:
    """Return a bar of the workers' time in each state, in the order of `STATES`."""
    bar = text()
    for state, cells in zip(STATES, apportion(shares, width), strict=True):
        bar.append(styles.STATE_SYMBOLS[state] * cells, styles.STATE_COLOURS[state])
    return bar


def apportion(shares: Sequence[float], width: int) -> list[int]:
    """Return whole numbers in the ratio of the shares, whose sum is the width."""
    if sum(shares) <= 0:
        return [0] * (len(shares) - 1) + [width]
    exact = [share * width / sum(shares) for share in shares]
    whole = [floor(value) for value in exact]
    # The cells that rounding down leaves over go to the largest remainders.
    by_remainder = sorted(range(len(shares)), key=lambda at: whole[at] - exact[at])
    for at in by_remainder[: width - sum(whole)]:
        whole[at] += 1
    return whole


def chart(values: Sequence[float], width: int, rows: int) -> list[Text]:
    """Return a column chart of values over time, from left to right.

    The highest value reaches the top; every value above 0 shows.
    """
    shown = resample(values, width)
    highest = max(shown, default=0.0)
    steps = 8 * rows
    heights = [
        max(round(value / highest * steps), 1) if value > 0 and highest > 0 else 0
        for value in shown
    ]
    lines = []
    for row in reversed(range(rows)):
        eighths = [min(max(height - 8 * row, 0), 8) for height in heights]
        if row == 0:  # the axis
            eighths = [each or 1 for each in eighths]
        lines.append(text("".join(styles.EIGHTHS[each] for each in eighths), styles.DIM))
    return lines


def resample(values: Sequence[float], width: int) -> list[float]:
    """Return `width` values: means of neighbours if there are more, repeated ones if fewer."""
    if len(values) <= width:
        return [values[at * len(values) // width] for at in range(width)] if values else []
    edges = [at * len(values) // width for at in range(width + 1)]
    return [sum(values[start:end]) / (end - start) for start, end in pairwise(edges)]


@dataclass(frozen=True, slots=True)
class TableColumn:
    """One column of a table.

    Args:
        heading: its heading, which is never truncated.
        cells: one text per row, or a function that draws the cell of a row in a width.
        rank: the column with the highest rank is left out first.
        align: side to which its cells are aligned.
        min_width: width to which its cells may be truncated; None if they may not.
        max_width: width to which it may grow where there is room to spare.
        is_name: whether its cells are truncated in the middle.
    """

    heading: str
    cells: Sequence[Text] | Callable[[int, int], Text]
    rank: int
    align: Align = "right"
    min_width: int | None = None
    max_width: int = 0
    is_name: bool = False

    def cell(self, row: int, width: int) -> Text:
        """Return the cell of a row, at most that wide."""
        cell = self.cells(row, width) if callable(self.cells) else self.cells[row]
        return truncate_middle(cell, width) if self.is_name else truncate(cell, width)


@dataclass(slots=True)
class _SizedColumn:
    """A column and its width in one table.

    Args:
        smallest: the least width.
        natural: the width at which nothing is truncated.
        width: the width that it gets.
    """

    column: TableColumn
    smallest: int
    natural: int
    width: int = 0

    @classmethod
    def of(cls, column: TableColumn) -> _SizedColumn:
        heading = cell_len(column.heading)
        natural = heading if column.min_width is None else max(heading, column.min_width)
        smallest = natural
        if not callable(column.cells):
            widest = max((cell.cell_len for cell in column.cells), default=0)
            natural = max(heading, widest)
            smallest = natural if column.min_width is None else min(smallest, natural)
        return cls(column, smallest, natural)


def table(columns: Sequence[TableColumn], rows: int, width: int) -> list[Text]:
    """Return the headings and the rows of a table, at most that wide.

    rich's own tables are not used since they truncate headings.
    """
    sized = _fitting_columns([_SizedColumn.of(column) for column in columns], width)
    _assign_widths(sized, width)
    headings = [truncate(text(each.column.heading, styles.DIM), each.width) for each in sized]
    cells = ([each.column.cell(row, each.width) for each in sized] for row in range(rows))
    return [_table_row(line, sized) for line in (headings, *cells)]


def _table_row(cells: Sequence[Text], columns: Sequence[_SizedColumn]) -> Text:
    """Return one line of a table, without trailing blanks."""
    line, blanks = text(), 0
    for cell, sized in zip(cells, columns, strict=True):
        spare = sized.width - cell.cell_len
        if sized.column.align == "right":
            blanks += spare
        if cell:
            line.append(" " * blanks).append_text(cell)
            blanks = 0
        if sized.column.align == "left":
            blanks += spare
        blanks += GAP
    return line


def _fitting_columns(columns: Sequence[_SizedColumn], width: int) -> list[_SizedColumn]:
    """Return the columns that there is room for; at least the one with the lowest rank."""
    kept = list(columns)
    while len(kept) > 1 and sum(each.smallest for each in kept) + _gap_width(kept) > width:
        kept.remove(max(kept, key=lambda each: each.column.rank))
    return kept


def _gap_width(columns: Sequence[_SizedColumn]) -> int:
    return GAP * (len(columns) - 1)


def _assign_widths(columns: Sequence[_SizedColumn], width: int) -> None:
    """Set the width of each column: first up to its natural width, then to its maximum."""
    for each in columns:
        each.width = min(each.smallest, width)
    spare = width - sum(each.width for each in columns) - _gap_width(columns)
    by_rank = sorted(columns, key=lambda each: each.column.rank)
    limits = [(each, each.natural) for each in by_rank]
    limits += [(each, each.column.max_width) for each in by_rank]
    for each, limit in limits:
        more = max(min(limit - each.width, spare), 0)
        each.width += more
        spare -= more


def list_section(
    entries: Sequence[Entry],
    total: int,
    columns: Callable[[Sequence[Entry], int], list[TableColumn]],
    width: int,
    rank: int,
) -> Section:
    """Return a section that lists as many entries as there is room for, and says how many exist.

    Args:
        entries: the known entries, the most important first.
        total: number of entries that exist.
        columns: returns the columns for some entries in a width.
        width: cells of the section.
        rank: rank of the section.
    """

    def draw(rows: int) -> list[Text]:
        shown = entries[: rows - 1]
        lines = table(columns(shown, width), len(shown), width)
        if len(shown) == total:
            return lines
        note = text(f"{count(len(shown))} of {count(total)}", styles.DIM)
        if lines[0].cell_len + GAP + note.cell_len <= width:
            return [justify(lines[0], note, width), *lines[1:]]
        rest = f"{styles.ELLIPSIS} {count(total - len(shown) + 1)} more"
        return [*lines[:-1], truncate(text(rest, styles.DIM), width)]

    number = len(entries)
    requests = [RowRequest(rank, min(number, MIN_ENTRIES) + 1)] if number else []
    return Section(draw, requests, number + 1 if number else 0)
