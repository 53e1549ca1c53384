"""Lines of a given width: cut, padded, put together from pieces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from ._glyphs import ELLIPSIS

Align = Literal["left", "right"]
GAP = 2
SHORTEST_TO_CUT_INSIDE = 8


def text(content: str = "", style: str = "") -> Text:
    """Return a piece of a line."""
    return Text(content, style, no_wrap=True, end="")


def joined(*pieces: Text | str) -> Text:
    """Return pieces in one, one right after the other."""
    line = text()
    for piece in pieces:
        line.append(piece)
    return line


def cut(line: Text, width: int) -> Text:
    """Return a line no wider than that; where something is left out, it ends with an ellipsis."""
    if line.cell_len <= width:
        return line
    kept = line.copy()
    kept.truncate(max(width - 1, 0), overflow="crop")
    kept.rstrip()
    return kept.append(ELLIPSIS) if width > 0 else kept


def cut_text(content: str, width: int) -> str:
    """Return a text no wider than that, as `cut` does with a line."""
    if cell_len(content) <= width:
        return content
    return set_cell_size(content, max(width - 1, 0)).rstrip() + ELLIPSIS if width > 0 else ""


def cut_inside(line: Text, width: int) -> Text:
    """Return a line no wider than that; its end is kept, too, since names often differ there."""
    if line.cell_len <= width or width < SHORTEST_TO_CUT_INSIDE:
        return cut(line, width)
    tail = (width - 1) * 2 // 5
    start = next(at for at in range(len(line)) if cell_len(line.plain[at:]) <= tail)
    head = line.copy()
    head.truncate(width - 1 - tail, overflow="crop")
    head.rstrip()
    return joined(head, ELLIPSIS, line[start:])


def padded(line: Text, width: int, align: Align = "left") -> Text:
    """Return a line of exactly that width."""
    line = cut(line, width)
    blank = " " * (width - line.cell_len)
    return joined(line, blank) if align == "left" else joined(blank, line)


class Piece(NamedTuple):
    """A part of a line.

    Args:
        content: what it says.
        rank: the lower, the longer it stays when there is no room for all.
    """

    content: Text
    rank: int


def in_order(pieces: Sequence[Piece], width: int, gap: int = GAP) -> Text:
    """Return the pieces in one line, without the last in rank when there is no room for all."""
    kept = fitting(pieces, width, gap)
    return cut(text(" " * gap).join(piece.content for piece in kept), width)


def fitting(pieces: Sequence[Piece], width: int, gap: int = GAP) -> list[Piece]:
    """Return those pieces that a line has room for; the first in rank in any case."""
    kept = list(pieces)
    while len(kept) > 1 and width_of(kept, gap) > width:
        kept.remove(max(kept, key=lambda piece: piece.rank))
    return kept


def width_of(pieces: Iterable[Piece], gap: int = GAP) -> int:
    """Return how wide pieces are in one line."""
    widths = [piece.content.cell_len for piece in pieces]
    return sum(widths) + gap * max(len(widths) - 1, 0)


def at_both_ends(left: Text, right: Text, width: int) -> Text:
    """Return a line with something at its left end and at its right end, if there is room."""
    blank = width - left.cell_len - right.cell_len
    return joined(left, " " * blank, right) if blank >= GAP else cut(left, width)


def beside(left: Sequence[Text], right: Sequence[Text], width: int, gap: int) -> list[Text]:
    """Return two blocks side by side.

    Args:
        left: one block.
        right: the other.
        width: how wide the left one is, at most.
        gap: cells between them.
    """
    lines = []
    for at in range(max(len(left), len(right))):
        line = left[at] if at < len(left) else text()
        other = right[at] if at < len(right) else text()
        lines.append(joined(padded(line, width), " " * gap, other) if other else line)
    return lines
