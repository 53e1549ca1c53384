"""What a stream can show, and what is written to it for a line of styled text."""

from __future__ import annotations

import builtins
import os
from collections.abc import Mapping
from typing import Any, TextIO

from rich.color import ColorSystem
from rich.console import Console, detect_legacy_windows
from rich.text import Text

from ._glyphs import fit_for
from ._writing import encoding_of, is_descriptors, write

DEFAULT_SIZE = os.terminal_size((80, 24))
"""Of a terminal that does not tell its size."""

COLORS = {
    "standard": ColorSystem.STANDARD,
    "256": ColorSystem.EIGHT_BIT,
    "truecolor": ColorSystem.TRUECOLOR,
}
"""By the names that rich has for them."""

_DUMB = ("dumb", "unknown")
_NO = ("", "0", "false", "no")
_UNSAFE = dict.fromkeys(
    [*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
)
"""Characters that move the cursor, change the terminal, or turn the direction of a line."""


def can_redraw(stream: TextIO | None, environ: Mapping[str, str]) -> bool:
    """Return whether a display can be drawn there again and again, rather than line by line.

    Args:
        stream: where it would be drawn.
        environ: the environment variables.
    """
    if not is_terminal(stream) or in_notebook() or detect_legacy_windows():
        return False
    if environ.get("CI", "").lower() not in _NO:
        return False
    kind = environ.get("TERM", "" if os.name == "posix" else "console")
    return kind not in ("", *_DUMB)


def is_terminal(stream: Any) -> bool:
    """Return whether a stream is a terminal; False if it is closed, or cannot say."""
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError, OSError):
        return False


def in_notebook() -> bool:
    """Return whether this process is a Jupyter kernel: what it writes goes to a web page."""
    shell = getattr(builtins, "get_ipython", None)
    try:
        kind = type(shell()) if shell is not None else object
    except Exception:
        return False
    return kind.__name__ == "ZMQInteractiveShell" or kind.__module__.startswith("google.colab")


def device_of(stream: Any) -> object:
    """Return what tells apart the terminals that streams write to; None for no terminal."""
    if not is_terminal(stream):
        return None
    try:
        status = os.fstat(stream.fileno())
    except (AttributeError, ValueError, OSError):
        return None
    return status.st_rdev, os.name


class Terminal:
    """A terminal that can be drawn in.

    Args:
        stream: what it is written through; the environment says how much colour it has.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        console = Console(file=stream, force_terminal=True, legacy_windows=False)
        self._colors = COLORS.get(console.color_system or "")
        self._without_color = console.no_color
        self._console = console
        self._encoding = encoding_of(stream)
        self._is_descriptors = is_descriptors(stream)  # as it is before it is captured

    def size(self) -> os.terminal_size:
        """Return its present width and height, in characters."""
        try:
            size = os.get_terminal_size(self.stream.fileno())
        except (AttributeError, ValueError, OSError):
            return DEFAULT_SIZE
        return os.terminal_size(now or usual for now, usual in zip(size, DEFAULT_SIZE, strict=True))

    def write(self, text: str) -> None:
        """Write at once, with question marks for what its encoding lacks."""
        write(self.stream, text, to_descriptor=self._is_descriptors)

    def line(self, text: Text) -> str:
        """Return what shows a text there, without what would move the cursor.

        Args:
            text: of one line.
        """
        fitting = fit_for(self._encoding, text).copy()
        fitting.stylize_before(fitting.style)
        return "".join(
            self._segment(segment.text, segment.style) for segment in fitting.render(self._console)
        )

    def _segment(self, text: str, style: Any) -> str:
        text = safe(text)
        if not style or not text:
            return text
        if self._without_color:
            style = style.without_color
        return str(style.render(text, color_system=self._colors))


def safe(text: str) -> str:
    """Return a text without the characters that do something to a terminal."""
    return text if text.isprintable() else text.translate(_UNSAFE)
