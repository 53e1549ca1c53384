"""A display at the bottom of the normal screen: what to write to draw it, and to draw it anew.

Between two frames the cursor waits in front of the first line, in a line of its own. So what other
programs write to the terminal, which nobody can capture, is written above the display; and after
the window changed its size, erasing what is below the cursor is all that is to be done, whatever
the terminal made of lines that became too long.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import terminal_size

HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
WRAP, CUT = "\x1b[?7h", "\x1b[?7l"
BEGIN_FRAME, END_FRAME = "\x1b[?2026h", "\x1b[?2026l"
"""For terminals that can, to show all of a frame at once; the others ignore it."""

ERASE_LINE = "\x1b[K"
ERASE_BELOW = f"{ERASE_LINE}\x1b[C\x1b[J\r"
"""Not from the first column on: who erases all of a window may find it kept for scrolling back."""

PLAIN = "\x1b[0m"
NEW_LINE = "\r\n"
ROOMY = 16
"""Rows from which on one of them stays empty between what is above the display and itself."""


class Region:
    """Draws in the last lines of the screen, under all that is written meanwhile."""

    def expect(self, said: Sequence[str], size: terminal_size, now: float) -> None:
        """Do nothing: what is said has a place above the display."""

    def rows(self, height: int) -> int:
        """Return how many lines a frame may have.

        Args:
            height: of the window.
        """
        return max(1, height - (2 if height >= ROOMY else 1))

    def opening(self, width: int) -> str:
        """Return what makes room: the cursor goes to the start of a line, a new one if need be.

        Args:
            width: of the window. So many blanks less one reach the next line only from a line that
                has something in it.
        """
        return f"{HIDE_CURSOR}{' ' * (width - 1)}\r{ERASE_LINE}"

    def frame(self, said: Sequence[str], begun: str, lines: Sequence[str], height: int) -> str:
        """Return what draws a frame.

        Args:
            said: lines to appear above the display from now on.
            begun: a line above it that is not complete yet.
            lines: the display's.
            height: of the window.
        """
        shown = list(lines)
        if begun or height >= ROOMY:
            shown.insert(0, f"{begun}{PLAIN}" if begun else "")
        shown = shown[: max(1, height - 1)]
        back = f"\x1b[{len(shown) - 1}A" if len(shown) > 1 else ""
        return f"{BEGIN_FRAME}\r{_above(said)}{CUT}{drawn(shown)}{back}\r{WRAP}{END_FRAME}"

    def closing(self, said: Sequence[str], width: int) -> str:
        """Return what takes the display away, and gives the cursor back.

        Args:
            said: lines to appear in its place.
            width: of the window.
        """
        return f"{PLAIN}{WRAP}\r{_above(said) or ERASE_BELOW}{SHOW_CURSOR}"


def drawn(lines: Sequence[str]) -> str:
    """Return what writes lines over others, and erases what is below them.

    A line is erased before it is written: behind the last column, that would erase a character.
    """
    *others, last = lines or [""]
    return "".join(f"{ERASE_LINE}{line}{NEW_LINE}" for line in others) + ERASE_BELOW + last


def _above(said: Sequence[str]) -> str:
    """Return what writes lines where the display is, which is erased first."""
    if not said:
        return ""
    return ERASE_BELOW + "".join(f"{line}{PLAIN}{NEW_LINE}" for line in said)
