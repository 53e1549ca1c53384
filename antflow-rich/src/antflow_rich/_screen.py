"""A display of the whole window: the terminal's alternate screen, left as it was found."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from os import terminal_size

from ._notice import Notice
from ._region import (
    BEGIN_FRAME,
    CUT,
    END_FRAME,
    ERASE_BELOW,
    ERASE_LINE,
    HIDE_CURSOR,
    NEW_LINE,
    PLAIN,
    SHOW_CURSOR,
    WRAP,
    drawn,
)

ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"
HOME = "\x1b[H"
MOST_KEPT = 1000


class Screen:
    """Draws in the alternate screen, and keeps what is written meanwhile for the normal one.

    Of that, the last line is shown in the last row, too, as long as it is new.
    """

    def __init__(self) -> None:
        self._kept: deque[str] = deque(maxlen=MOST_KEPT)
        self._left_out = 0
        self._notice = Notice()

    def expect(self, said: Sequence[str], size: terminal_size, now: float) -> None:
        """Learn what the next frame is about to deal with.

        Args:
            said: lines, the last of which is shown.
            size: of the window.
            now: seconds on a clock that never goes back.
        """
        self._notice.update(said, size, now)

    def rows(self, height: int) -> int:
        """Return how many lines a frame may have.

        Args:
            height: of the window.
        """
        return max(1, height - self._notice.room(height))

    def opening(self, width: int) -> str:
        """Return what enters the alternate screen.

        Args:
            width: of the window, which does not matter here.
        """
        return f"{ENTER}{HIDE_CURSOR}{HOME}{ERASE_BELOW}"

    def frame(self, said: Sequence[str], begun: str, lines: Sequence[str], height: int) -> str:
        """Return what draws a frame.

        Args:
            said: lines to appear on the normal screen at the end; `expect` knows them.
            begun: one that is not complete yet.
            lines: the display's.
            height: of the window.
        """
        self._keep(said)
        shown = drawn(self._notice.below(lines, height))
        return f"{BEGIN_FRAME}{CUT}{HOME}{shown}{WRAP}{END_FRAME}"

    def closing(self, said: Sequence[str], width: int) -> str:
        """Return what goes back to the normal screen, with the last lines that came meanwhile.

        Args:
            said: lines that have come since the last frame.
            width: of the window; a line that was begun before the display is left alone.
        """
        self._keep(said)
        fresh = f"{' ' * (width - 1)}\r{ERASE_LINE}"
        lines = "".join(f"{line}{PLAIN}{NEW_LINE}" for line in self._kept)
        return f"{PLAIN}{WRAP}{LEAVE}{SHOW_CURSOR}{fresh}{self._note()}{lines}"

    def _keep(self, said: Sequence[str]) -> None:
        self._left_out += max(0, len(self._kept) + len(said) - MOST_KEPT)
        self._kept.extend(said)

    def _note(self) -> str:
        if not self._left_out:
            return ""
        return f"({self._left_out:,} earlier lines are left out.){NEW_LINE}"
