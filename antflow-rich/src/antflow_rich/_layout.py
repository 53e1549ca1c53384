"""Blocks one above the other: which of them there is room for, and how many rows each gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich.text import Text

from ._lines import text

Draw = Callable[[int], list[Text]]
SPACIOUS = 20
"""Rows from which on blocks have an empty line between them."""


class Need(NamedTuple):
    """Rows that a block asks for.

    Args:
        rank: the lower, the sooner it gets them.
        rows: how many it would have then.
    """

    rank: int
    rows: int


@dataclass(frozen=True, slots=True)
class Block:
    """Something that takes up rows.

    Args:
        draw: returns its lines, no more than the rows that it is given.
        needs: the first is what it says nothing without; more rows may matter less.
        most: rows that it can make use of.
    """

    draw: Draw
    needs: Sequence[Need]
    most: int


def fixed(lines: list[Text], height: int) -> Block:
    """Return a block of lines that are shown in any case, as far as the height goes.

    Args:
        lines: the lines.
        height: rows of the whole display.
    """
    rows = min(len(lines), max(height, 0))
    return Block(lambda room: lines[:room], [Need(-1, rows)], rows)


def gap_in(height: int) -> int:
    """Return how many empty lines are between blocks in a display of that height."""
    return 1 if height >= SPACIOUS else 0


def stacked(blocks: Sequence[Block], height: int, gap: int) -> list[Text]:
    """Return the lines of all blocks that there is room for, in their order."""
    rows = shared_out(blocks, height, gap)
    lines: list[Text] = []
    for block, room in zip(blocks, rows, strict=True):
        drawn = block.draw(room)[:room] if room else []
        if drawn and lines:
            lines += [text()] * gap
        lines += drawn
    return lines[: max(height, 0)]


def shared_out(blocks: Sequence[Block], height: int, gap: int) -> list[int]:
    """Return the rows that each block gets: what it needs, by rank, then what is left, evenly."""
    rows = [0] * len(blocks)
    spare = height + gap
    for at, need, is_first in in_rank(blocks):
        wanted = min(need.rows, blocks[at].most)
        if is_first and 0 < wanted <= spare - gap:
            rows[at] = wanted
            spare -= wanted + gap
        elif not is_first and rows[at]:
            more = max(min(wanted - rows[at], spare), 0)
            rows[at] += more
            spare -= more
    wanting = [at for at, _, is_first in in_rank(blocks) if is_first and rows[at]]
    while spare > 0 and (wanting := [at for at in wanting if rows[at] < blocks[at].most]):
        for at in wanting[:spare]:
            rows[at] += 1
            spare -= 1
    return rows


def in_rank(blocks: Sequence[Block]) -> list[tuple[int, Need, bool]]:
    """Return all needs by rank: of which block, what, and whether it is that block's first."""
    all_of_them = [
        (at, need, need is block.needs[0])
        for at, block in enumerate(blocks)
        for need in block.needs
    ]
    return sorted(all_of_them, key=lambda entry: entry[1].rank)
