"""Lists that may be longer than the screen: they show the first, and say how many there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from rich.text import Text

from . import _colours as colours
from ._columns import Column, table
from ._figures import count
from ._glyphs import ELLIPSIS
from ._layout import Block, Need
from ._lines import GAP, at_both_ends, cut, text

Entry = TypeVar("Entry")
FEWEST = 3
"""Entries that a list shows at least, if there are so many; or it has no room."""


def listed(
    entries: Sequence[Entry],
    total: int,
    columns: Callable[[Sequence[Entry], int], list[Column]],
    width: int,
    rank: int,
) -> Block:
    """Return a list.

    Args:
        entries: what it may show, the most telling first.
        total: how many there are.
        columns: returns the columns of some entries in that width.
        width: how wide it is.
        rank: its rank among other blocks.
    """

    def draw(rows: int) -> list[Text]:
        shown = entries[: rows - 1]
        lines = table(columns(shown, width), len(shown), width)
        if len(shown) == total:
            return lines
        note = text(f"{count(len(shown))} of {count(total)}", colours.ASIDE)
        if lines[0].cell_len + GAP + note.cell_len <= width:
            return [at_both_ends(lines[0], note, width), *lines[1:]]
        rest = f"{ELLIPSIS} {count(total - len(shown) + 1)} more"
        return [*lines[:-1], cut(text(rest, colours.ASIDE), width)]

    number = len(entries)
    needs = [Need(rank, min(number, FEWEST) + 1)] if number else []
    return Block(draw, needs, number + 1 if number else 0)
