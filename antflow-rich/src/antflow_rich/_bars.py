"""Bars: how far a run is, what workers' time goes into, and how a figure went over time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import ceil, floor

from rich.text import Text

from . import _colours as colours
from ._glyphs import DONE, EIGHTHS, HATCHED, OF_STATE, REST
from ._lines import joined, text
from ._scene import STATES, Counts, Shares

PART_OF_BAR = 4
"""Which part of an indeterminate bar is hatched: one of so many."""

CROSSING_SECONDS = 6.0
"""How long the hatched part takes from one end to the other."""


def progress_bar(counts: Counts, width: int) -> Text:
    """Return how far a run is: what succeeded, what failed, and the rest."""
    share = counts.share or 0.0
    ended = share * width
    failed = min(ceil(ended * counts.failed / counts.done), width) if counts.done else 0
    done = min(max(floor(ended), failed), width)
    return joined(
        text(DONE * (done - failed), colours.GOOD),
        text(DONE * failed, colours.BAD),
        text(REST * (width - done), colours.ASIDE),
    )


def indeterminate_bar(elapsed: float, width: int) -> Text:
    """Return a bar for a run of unknown length: a hatched part that moves to and fro.

    Args:
        elapsed: seconds since the run began, which say where that part is.
        width: how wide the bar is.
    """
    part = max(width // PART_OF_BAR, 1)
    room = width - part
    # It starts in the middle: at the left end, it would look like progress from there.
    step = int(elapsed / CROSSING_SECONDS * room + room / 2) % (2 * room) if room else 0
    start = min(step, 2 * room - step)
    return joined(
        text(REST * start, colours.ASIDE),
        text(HATCHED * part),
        text(REST * (room - start), colours.ASIDE),
    )


def state_bar(shares: Shares, width: int) -> Text:
    """Return what workers' time goes into, in the order of `STATES`."""
    bar = text()
    for state, cells in zip(STATES, divided(shares, width), strict=True):
        bar.append(OF_STATE[state] * cells, colours.OF_STATE[state])
    return bar


def divided(shares: Sequence[float], width: int) -> list[int]:
    """Return whole numbers in the ratio of the shares, with the width as their sum."""
    if sum(shares) <= 0:
        return [0] * (len(shares) - 1) + [width]
    exact = [share * width / sum(shares) for share in shares]
    whole = [floor(each) for each in exact]
    by_rest = sorted(range(len(shares)), key=lambda at: whole[at] - exact[at])
    for at in by_rest[: width - sum(whole)]:
        whole[at] += 1
    return whole


def chart(figures: Sequence[float], width: int, rows: int) -> list[Text]:
    """Return a figure over time, from the left to the right, in so many rows of columns.

    The highest one reaches the top; what is not 0 shows.
    """
    shown = resampled(figures, width)
    highest = max(shown, default=0.0)
    steps = 8 * rows
    heights = [
        max(round(each / highest * steps), 1) if each > 0 and highest > 0 else 0 for each in shown
    ]
    lines = []
    for row in reversed(range(rows)):
        eighths = [min(max(height - 8 * row, 0), 8) for height in heights]
        if row == 0:
            eighths = [each or 1 for each in eighths]
        lines.append(text("".join(EIGHTHS[each] for each in eighths), colours.ASIDE))
    return lines


def resampled(figures: Sequence[float], width: int) -> list[float]:
    """Return so many figures: means of neighbours where there are more, else repeated ones."""
    if len(figures) <= width:
        return [figures[at * len(figures) // width] for at in range(width)] if figures else []
    edges = [at * len(figures) // width for at in range(width + 1)]
    return [sum(figures[start:end]) / (end - start) for start, end in pairwise(edges)]
