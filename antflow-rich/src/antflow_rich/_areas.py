"""Areas of a terminal: the escape sequences that draw a display there and remove it."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from math import inf
from os import terminal_size
from textwrap import wrap
from typing import Protocol

from rich.cells import cell_len

from antflow.logs import escape_controls

from ._capture import after_carriage_return
from ._layout import gap_for, truncate_text

HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
WRAP, NO_WRAP = "\x1b[?7h", "\x1b[?7l"
# Synchronized output: a whole frame appears at once. Terminals without it ignore both.
BEGIN_FRAME, END_FRAME = "\x1b[?2026h", "\x1b[?2026l"
ENTER_ALTERNATE, LEAVE_ALTERNATE = "\x1b[?1049h", "\x1b[?1049l"
HOME = "\x1b[H"
RESET_STYLE = "\x1b[0m"
NEW_LINE = "\r\n"
ERASE_LINE = "\x1b[K"
# From the second column on: some terminals push a window that is erased whole into the scrollback.
ERASE_BELOW = f"{ERASE_LINE}\x1b[C\x1b[J\r"

MIN_HEIGHT_FOR_BLANK = 16  # rows from which on an empty line separates output and display
MAX_KEPT = 1000  # lines of output that `FullScreenArea` keeps for the normal screen

NOTICE_SECONDS = 10.0
MAX_NOTICE_ROWS = 3
NOTICE_PART = 4  # a notice takes at most one of so many rows of the window
MIN_NOTICE_WIDTH = 8

# Escape sequences and single control characters, except tabs.
_INVISIBLE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b.?|[\x00-\x08\x0a-\x1f\x7f-\x9f]"
)


class Area(Protocol):
    """The part of a terminal that a display takes up."""

    def prepare(self, output: Sequence[str], size: terminal_size, now: float) -> None:
        """Take note of the lines written since the last frame; the first call for each frame."""

    def rows(self, height: int) -> int:
        """Return how many lines a frame may have in a window of that height."""

    def opening(self, width: int) -> str:
        """Return the sequence before the first frame."""

    def frame(
        self, output: Sequence[str], unfinished: str, lines: Sequence[str], height: int
    ) -> str:
        """Return the sequence that draws a frame, and the program's output where it belongs."""

    def closing(self, output: Sequence[str], width: int) -> str:
        """Return the sequence that removes the display and writes the rest of the output."""


class BottomArea:
    """The last lines of the normal screen, below everything that the program writes.

    Between two frames the cursor stands in front of the first line of the display. So what other
    programs write, which cannot be captured, appears above the display. And after a resize it is
    enough to erase what is below the cursor, however the terminal has wrapped long lines.
    """

    def prepare(self, output: Sequence[str], size: terminal_size, now: float) -> None:
        """Do nothing: output appears above the display."""

    def rows(self, height: int) -> int:
        """Return how many lines a frame may have in a window of that height."""
        return max(1, height - (2 if height >= MIN_HEIGHT_FOR_BLANK else 1))

    def opening(self, width: int) -> str:
        """Return the sequence that moves the cursor to the start of an empty line."""
        # One blank less than the width wraps only if the line had something in it before.
        return f"{HIDE_CURSOR}{' ' * (width - 1)}\r{ERASE_LINE}"

    def frame(
        self, output: Sequence[str], unfinished: str, lines: Sequence[str], height: int
    ) -> str:
        """Return the sequence that draws a frame.

        Args:
            output: complete lines of the program, which stay above the display.
            unfinished: a line of the program without an end, which is redrawn with each frame.
            lines: lines of the display.
            height: rows of the window.
        """
        shown = list(lines)
        if unfinished or height >= MIN_HEIGHT_FOR_BLANK:
            shown.insert(0, f"{unfinished}{RESET_STYLE}" if unfinished else "")
        shown = shown[: max(1, height - 1)]
        back = f"\x1b[{len(shown) - 1}A" if len(shown) > 1 else ""
        drawn = f"{NO_WRAP}{overwrite(shown)}{back}\r{WRAP}"
        return f"{BEGIN_FRAME}\r{_scroll_in(output)}{drawn}{END_FRAME}"

    def closing(self, output: Sequence[str], width: int) -> str:
        """Return the sequence that replaces the display by the rest of the output."""
        return f"{RESET_STYLE}{WRAP}\r{_scroll_in(output) or ERASE_BELOW}{SHOW_CURSOR}"


class FullScreenArea:
    """The alternate screen. The normal screen gets the program's output when the display ends.

    The last line of output is also shown below the display for some seconds.
    """

    def __init__(self) -> None:
        self._kept: deque[str] = deque(maxlen=MAX_KEPT)
        self._omitted = 0
        self._notice = Notice()

    def prepare(self, output: Sequence[str], size: terminal_size, now: float) -> None:
        """Update the notice, which determines the rows left for the display."""
        self._notice.update(output, size, now)

    def rows(self, height: int) -> int:
        """Return how many lines a frame may have in a window of that height."""
        return max(1, height - self._notice.rows(height))

    def opening(self, width: int) -> str:
        """Return the sequence that enters the alternate screen."""
        return f"{ENTER_ALTERNATE}{HIDE_CURSOR}{HOME}{ERASE_BELOW}"

    def frame(
        self, output: Sequence[str], unfinished: str, lines: Sequence[str], height: int
    ) -> str:
        """Return the sequence that draws a frame.

        Args:
            output: complete lines of the program, which `prepare` was given before.
            unfinished: a line of the program without an end, which is not shown.
            lines: lines of the display.
            height: rows of the window.
        """
        self._keep(output)
        shown = overwrite(self._notice.add_below(lines, height))
        return f"{BEGIN_FRAME}{NO_WRAP}{HOME}{shown}{WRAP}{END_FRAME}"

    def closing(self, output: Sequence[str], width: int) -> str:
        """Return the sequence that leaves the alternate screen and writes the kept output."""
        self._keep(output)
        # A line that was unfinished before the display stays whole.
        new_line = f"{' ' * (width - 1)}\r{ERASE_LINE}"
        lines = "".join(f"{line}{RESET_STYLE}{NEW_LINE}" for line in self._kept)
        restored = f"{RESET_STYLE}{WRAP}{LEAVE_ALTERNATE}{SHOW_CURSOR}"
        return f"{restored}{new_line}{self._omission_note()}{lines}"

    def _keep(self, output: Sequence[str]) -> None:
        self._omitted += max(0, len(self._kept) + len(output) - MAX_KEPT)
        self._kept.extend(output)

    def _omission_note(self) -> str:
        if not self._omitted:
            return ""
        return f"({self._omitted:,} earlier lines are left out.){NEW_LINE}"


def overwrite(lines: Sequence[str]) -> str:
    """Return the sequence that writes lines over old ones and erases what is below."""
    *others, last = lines or [""]
    # Erased before it is written: behind a full line, the erasure would take its last character.
    return "".join(f"{ERASE_LINE}{line}{NEW_LINE}" for line in others) + ERASE_BELOW + last


def _scroll_in(output: Sequence[str]) -> str:
    """Return the sequence that writes lines over the display."""
    if not output:
        return ""
    return ERASE_BELOW + "".join(f"{line}{RESET_STYLE}{NEW_LINE}" for line in output)


class Notice:
    """The last line of the program's output, shown in the last rows for some seconds.

    A full-screen display hides the output, so the answer to Ctrl-C would go unseen.
    """

    def __init__(self) -> None:
        self._text = ""
        self._until = -inf
        self._rows = 0
        self._lines: list[str] = []

    def update(self, output: Sequence[str], size: terminal_size, now: float) -> None:
        """Show the last line of new output, and remove an old one.

        Args:
            output: lines since the last update.
            size: of the window.
            now: seconds on a monotonic clock.
        """
        if latest := next(filter(None, map(visible_text, reversed(output))), ""):
            self._text, self._until = latest, now + NOTICE_SECONDS
        elif now >= self._until:
            self._text, self._rows = "", 0
        fits = size.columns >= MIN_NOTICE_WIDTH
        most = min(MAX_NOTICE_ROWS, size.lines // NOTICE_PART) if fits else 0
        self._lines = wrap_text(self._text, size.columns, most)
        # While one line follows another, the rows never get fewer: the display would jump.
        self._rows = min(max(self._rows, len(self._lines)), most)

    def rows(self, height: int) -> int:
        """Return the rows that it takes in a window of that height, including the gap above."""
        return self._rows + gap_for(height) if self._rows else 0

    def add_below(self, lines: Sequence[str], height: int) -> list[str]:
        """Return the lines of a display, and the notice in the last rows of the window."""
        shown = list(lines[: height - self.rows(height)])
        if not self._lines:
            return shown
        return [*shown, *[""] * (height - len(shown) - len(self._lines)), *self._lines]


def visible_text(line: str) -> str:
    """Return a line without escape sequences and what carriage returns overwrite."""
    # Not shown as escapes, as elsewhere: colours and bells are the program's own.
    visible = _INVISIBLE.sub("", after_carriage_return(line)).expandtabs()
    return escape_controls(visible).strip()


def wrap_text(text: str, width: int, most: int) -> list[str]:
    """Return a text in at most that many lines, none wider than the width."""
    if most < 1:
        return []
    text = text[: (most + 1) * width]  # wrapping a megabyte would take seconds
    if text.isascii():
        return wrap(text, width, max_lines=most, placeholder=" ...")
    rows = wrap_cells(text, width)
    if len(rows) <= most:
        return rows
    return [*rows[: most - 1], truncate_text("".join(rows[most - 1 :]), width)]


def wrap_cells(text: str, width: int) -> list[str]:
    """Return a text in full lines, counting wide characters as two; `textwrap` does not."""
    rows = [""]
    for character in text:
        if cell_len(rows[-1] + character) > width:
            rows.append("")
        rows[-1] += character
    return rows
