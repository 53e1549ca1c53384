"""Layout: lines of a given width, and sections that share the rows of a window."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from ._styles import DIM, ELLIPSIS

Align = Literal["left", "right"]
GAP = 2  # cells between columns, and between the pieces of a line
MIN_WIDTH_FOR_MIDDLE = 8  # below, a truncated middle leaves too little of both ends
MIN_HEIGHT_FOR_GAPS = 20  # rows from which on sections are separated by an empty line


def text(content: str = "", style: str = "") -> Text:
    """Return a piece of a line."""
    return Text(content, style, no_wrap=True, end="")


def labelled(value: str, label: str, style: str = "") -> Text:
    """Return a value and its label; without a style, the label is dim."""
    return join(text(value, style), text(f" {label}", style or DIM))


def join(*pieces: Text | str) -> Text:
    """Return the pieces in one line, without a gap."""
    line = text()
    for piece in pieces:
        line.append(piece)
    return line


def truncate(line: Text, width: int) -> Text:
    """Return a line cut to a width, with an ellipsis at its end if it was longer."""
    if line.cell_len <= width:
        return line
    kept = line.copy()
    kept.truncate(max(width - 1, 0), overflow="crop")
    kept.rstrip()
    return kept.append(ELLIPSIS) if width > 0 else kept


def truncate_text(content: str, width: int) -> str:
    """Return a string cut to a width, as `truncate` does with a line."""
    if cell_len(content) <= width:
        return content
    return set_cell_size(content, max(width - 1, 0)).rstrip() + ELLIPSIS if width > 0 else ""


def truncate_middle(line: Text, width: int) -> Text:
    """Return a line cut to a width in its middle, since names often differ at the end."""
    if line.cell_len <= width or width < MIN_WIDTH_FOR_MIDDLE:
        return truncate(line, width)
    tail = (width - 1) * 2 // 5
    start = next(at for at in range(len(line)) if cell_len(line.plain[at:]) <= tail)
    head = line.copy()
    head.truncate(width - 1 - tail, overflow="crop")
    head.rstrip()
    return join(head, ELLIPSIS, line[start:])


def pad(line: Text, width: int, align: Align = "left") -> Text:
    """Return a line of exactly that width."""
    line = truncate(line, width)
    blank = " " * (width - line.cell_len)
    return join(line, blank) if align == "left" else join(blank, line)


class Piece(NamedTuple):
    """A part of a line.

    Args:
        content: styled text.
        rank: the piece with the highest rank is left out first.
    """

    content: Text
    rank: int


def join_fitting(pieces: Sequence[Piece], width: int, gap: int = GAP) -> Text:
    """Return those pieces in one line that a width has room for."""
    kept = fitting_pieces(pieces, width, gap)
    return truncate(text(" " * gap).join(piece.content for piece in kept), width)


def fitting_pieces(pieces: Sequence[Piece], width: int, gap: int = GAP) -> list[Piece]:
    """Return those pieces that a width has room for; at least the one with the lowest rank."""
    kept = list(pieces)
    while len(kept) > 1 and total_width(kept, gap) > width:
        kept.remove(max(kept, key=lambda piece: piece.rank))
    return kept


def total_width(pieces: Iterable[Piece], gap: int = GAP) -> int:
    """Return the width of the pieces in one line."""
    widths = [piece.content.cell_len for piece in pieces]
    return sum(widths) + gap * max(len(widths) - 1, 0)


def justify(left: Text, right: Text, width: int) -> Text:
    """Return a line with one text at each end; without room for both, only the left one."""
    blank = width - left.cell_len - right.cell_len
    return join(left, " " * blank, right) if blank >= GAP else truncate(left, width)


def side_by_side(left: Sequence[Text], right: Sequence[Text], width: int, gap: int) -> list[Text]:
    """Return two lists of lines next to each other.

    Args:
        left: the left lines, at most `width` cells wide.
        right: the right lines.
        width: cells of the left side.
        gap: cells between the two.
    """
    lines = []
    for at in range(max(len(left), len(right))):
        line = left[at] if at < len(left) else text()
        other = right[at] if at < len(right) else text()
        lines.append(join(pad(line, width), " " * gap, other) if other else line)
    return lines


Draw = Callable[[int], list[Text]]


class RowRequest(NamedTuple):
    """Rows that a section asks for.

    Args:
        rank: requests of a lower rank are met first.
        rows: rows that the section has if the request is met.
    """

    rank: int
    rows: int


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a display that takes up rows.

    Args:
        draw: returns at most as many lines as it is given rows.
        requests: the first one is for the fewest rows that make sense; without it, the section is
            left out. The others are for more, usually of a higher rank.
        max_rows: rows that it can use.
    """

    draw: Draw
    requests: Sequence[RowRequest]
    max_rows: int


def fixed_section(lines: list[Text], height: int) -> Section:
    """Return a section whose lines come before all others.

    Args:
        height: rows of the whole display.
    """
    rows = min(len(lines), max(height, 0))
    return Section(lambda room: lines[:room], [RowRequest(-1, rows)], rows)


def gap_for(height: int) -> int:
    """Return the number of empty lines between sections in a display of that height."""
    return 1 if height >= MIN_HEIGHT_FOR_GAPS else 0


def stack(sections: Sequence[Section], height: int, gap: int) -> list[Text]:
    """Return the lines of those sections that a height has room for, one above the other."""
    rows = allocate_rows(sections, height, gap)
    lines: list[Text] = []
    for section, room in zip(sections, rows, strict=True):
        drawn = section.draw(room)[:room] if room else []
        if drawn and lines:
            lines += [text()] * gap
        lines += drawn
    return lines[: max(height, 0)]


def allocate_rows(sections: Sequence[Section], height: int, gap: int) -> list[int]:
    """Return the rows of each section: what it requests, by rank, then a part of the rest."""
    rows = [0] * len(sections)
    spare = height + gap  # each section takes a gap with it, and the first needs none
    for at, request, is_first in _requests_by_rank(sections):
        wanted = min(request.rows, sections[at].max_rows)
        # A first request is met whole or not at all, since half a table is of no use.
        if is_first and 0 < wanted <= spare - gap:
            rows[at] = wanted
            spare -= wanted + gap
        elif not is_first and rows[at]:
            more = max(min(wanted - rows[at], spare), 0)
            rows[at] += more
            spare -= more
    growing = [at for at, _, is_first in _requests_by_rank(sections) if is_first and rows[at]]
    while spare > 0 and (growing := [at for at in growing if rows[at] < sections[at].max_rows]):
        for at in growing[:spare]:
            rows[at] += 1
            spare -= 1
    return rows


def _requests_by_rank(sections: Sequence[Section]) -> list[tuple[int, RowRequest, bool]]:
    """Return all requests: the section's index, the request, and whether it is the first one."""
    requests = [
        (at, request, request is section.requests[0])
        for at, section in enumerate(sections)
        for request in section.requests
    ]
    return sorted(requests, key=lambda entry: entry[1].rank)
