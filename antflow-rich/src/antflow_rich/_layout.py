"""Blocks one above the other: which of them there is room for, and how many rows each gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.text import Text

from ._lines import text

Draw = Callable[[int], list[Text]]
SPACIOUS = 20
"""Rows from which on blocks have an empty line between them."""


@dataclass(frozen=True, slots=True)
class Block:
    """Something that takes up rows.

    Args:
        draw: returns its lines, no more than the rows that it is given.
        least: rows below which it says nothing.
        most: rows that it can make use of.
        rank: the lower, the sooner it gets what it needs.
    """

    draw: Draw
    least: int
    most: int
    rank: int


def fixed(lines: list[Text], height: int) -> Block:
    """Return a block of lines that are shown in any case, as far as the height goes.

    Args:
        lines: the lines.
        height: rows of the whole display.
    """
    rows = min(len(lines), max(height, 0))
    return Block(lambda room: lines[:room], rows, rows, 0)


def stacked(blocks: Sequence[Block], height: int) -> list[Text]:
    """Return the lines of all blocks that there is room for, in their order."""
    gap = 1 if height >= SPACIOUS else 0
    rows = shared_out(blocks, height, gap)
    lines: list[Text] = []
    for block, room in zip(blocks, rows, strict=True):
        drawn = block.draw(room)[:room] if room else []
        if drawn and lines:
            lines += [text()] * gap
        lines += drawn
    return lines[: max(height, 0)]


def shared_out(blocks: Sequence[Block], height: int, gap: int) -> list[int]:
    """Return the rows that each block gets: what it needs, then one by one what is left."""
    rows = [0] * len(blocks)
    in_rank = sorted(range(len(blocks)), key=lambda at: blocks[at].rank)
    spare = height + gap
    for at in in_rank:
        block = blocks[at]
        if 0 < block.least <= block.most and block.least + gap <= spare:
            rows[at] = block.least
            spare -= block.least + gap
    wanting = [at for at in in_rank if 0 < rows[at] < blocks[at].most]
    while spare > 0 and wanting:
        for at in wanting[:spare]:
            rows[at] += 1
            spare -= 1
        wanting = [at for at in wanting if rows[at] < blocks[at].most]
    return rows
