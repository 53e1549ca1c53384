"""What the program said last, for a display that covers what it says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import inf
from os import terminal_size
from textwrap import wrap

from rich.cells import cell_len

from ._capture import rewritten
from ._layout import gap_in
from ._lines import cut_text
from ._terminal import safe

FRESH = 10.0
"""Seconds for which it is shown."""

MOST_ROWS = 3
SHARE_OF_WINDOW = 4
"""It takes no more than one row of so many."""

NARROWEST = 8

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.?)")


class Notice:
    """The last line that was said, while it is fresh, for the last rows of a window.

    Its rows do not get fewer as long as one line follows another, so that the display stays where
    it is.
    """

    def __init__(self) -> None:
        self._text = ""
        self._until = -inf
        self._rows = 0
        self._lines: list[str] = []

    def update(self, said: Sequence[str], size: terminal_size, now: float) -> None:
        """Take what has been said since, and forget what was said long ago.

        Args:
            said: lines.
            size: of the window.
            now: seconds on a clock that never goes back.
        """
        if latest := next(filter(None, map(seen, reversed(said))), ""):
            self._text, self._until = latest, now + FRESH
        elif now >= self._until:
            self._text, self._rows = "", 0
        most = min(MOST_ROWS, size.lines // SHARE_OF_WINDOW) if size.columns >= NARROWEST else 0
        self._lines = wrapped(self._text, size.columns, most)
        self._rows = min(max(self._rows, len(self._lines)), most)

    def room(self, height: int) -> int:
        """Return how many rows it takes of a window of that height, one above it included."""
        return self._rows + gap_in(height) if self._rows else 0

    def below(self, lines: Sequence[str], height: int) -> list[str]:
        """Return the lines of a display with it in the last rows of the window."""
        shown = list(lines[: height - self.room(height)])
        if not self._lines:
            return shown
        return [*shown, *[""] * (height - len(shown) - len(self._lines)), *self._lines]


def seen(line: str) -> str:
    """Return what is to be seen of a line, without colours and what moves the cursor."""
    return safe(_ESCAPE.sub("", rewritten(line)).expandtabs()).strip()


def wrapped(text: str, width: int, most: int) -> list[str]:
    """Return a text in no more than so many lines, none wider than that."""
    if most < 1:
        return []
    text = text[: (most + 1) * width]
    if text.isascii():
        return wrap(text, width, max_lines=most, placeholder=" ...")
    rows = chopped(text, width)
    if len(rows) <= most:
        return rows
    return [*rows[: most - 1], cut_text("".join(rows[most - 1 :]), width)]


def chopped(text: str, width: int) -> list[str]:
    """Return the rows of a text of which some characters are wide, each as full as can be."""
    rows = [""]
    for character in text:
        if cell_len(rows[-1] + character) > width:
            rows.append("")
        rows[-1] += character
    return rows
