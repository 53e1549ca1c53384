"""Terminals: whether a stream is one that can be redrawn, and writing styled lines to it."""

from __future__ import annotations

import builtins
import os
from collections.abc import Mapping
from io import TextIOWrapper
from time import sleep
from typing import Any, TextIO

from rich.color import ColorSystem
from rich.console import Console, detect_legacy_windows
from rich.text import Text

from antflow.logs import escape_controls

from ._styles import encodable

DEFAULT_SIZE = os.terminal_size((80, 24))  # of a terminal that does not report its size
RETRY_SECONDS = 0.01  # between two attempts to write to a descriptor that accepts nothing

# By rich's names for them.
COLOR_SYSTEMS = {
    "standard": ColorSystem.STANDARD,
    "256": ColorSystem.EIGHT_BIT,
    "truecolor": ColorSystem.TRUECOLOR,
}

_DUMB = ("dumb", "unknown")
_FALSE = ("", "0", "false", "no")


def can_redraw(stream: TextIO | None, environ: Mapping[str, str]) -> bool:
    """Return whether a display can be redrawn on a stream, rather than written line by line.

    Args:
        stream: the stream to draw on.
        environ: the environment variables.
    """
    if not is_terminal(stream) or in_notebook() or detect_legacy_windows():
        return False
    if environ.get("CI", "").lower() not in _FALSE:
        return False
    kind = environ.get("TERM", "" if os.name == "posix" else "console")
    return kind not in ("", *_DUMB)


def is_terminal(stream: Any) -> bool:
    """Return whether a stream is a terminal; False if it is closed or has no `isatty`."""
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError, OSError):
        return False


def in_notebook() -> bool:
    """Return whether this process is a Jupyter kernel, whose output goes to a web page."""
    shell = getattr(builtins, "get_ipython", None)
    try:
        kind = type(shell()) if shell is not None else object
    except (Exception, SystemExit):  # any program may have a builtin of that name
        return False
    return kind.__name__ == "ZMQInteractiveShell" or kind.__module__.startswith("google.colab")


def device_of(stream: Any) -> object:
    """Return a value that is equal for streams of the same terminal; None if it is no terminal."""
    if not is_terminal(stream):
        return None
    try:
        status = os.fstat(stream.fileno())
    except (AttributeError, ValueError, OSError):
        return None
    return status.st_rdev, os.name


class Terminal:
    """A terminal that can be redrawn.

    Args:
        stream: the stream to write to; the environment determines its colours.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        # rich would call any builtin `get_ipython` to find out whether this is a notebook.
        console = Console(
            file=stream, force_terminal=True, force_jupyter=False, legacy_windows=False
        )
        self._color_system = COLOR_SYSTEMS.get(console.color_system or "")
        self._without_color = console.no_color
        self._console = console
        self._encoding = encoding_of(stream)
        # Checked before output is captured, which replaces the stream's `write`.
        self._to_descriptor = writes_to_descriptor(stream)

    def size(self) -> os.terminal_size:
        """Return the present width and height, in characters."""
        try:
            size = os.get_terminal_size(self.stream.fileno())
        except (AttributeError, ValueError, OSError):
            return DEFAULT_SIZE
        return os.terminal_size(
            reported or default for reported, default in zip(size, DEFAULT_SIZE, strict=True)
        )

    def write(self, text: str) -> None:
        """Write at once, with question marks for what the encoding lacks."""
        write(self.stream, text, to_descriptor=self._to_descriptor)

    def render_line(self, line: Text) -> str:
        """Return the characters that show a line, with control characters of its text escaped."""
        line = encodable(self._encoding, line).copy()
        line.stylize_before(line.style)
        return "".join(
            self._render(segment.text, segment.style) for segment in line.render(self._console)
        )

    def _render(self, text: str, style: Any) -> str:
        text = escape_controls(text, one_line=True)
        if not style or not text:
            return text
        if self._without_color:
            style = style.without_color
        return str(style.render(text, color_system=self._color_system))


def encoding_of(stream: Any) -> str:
    """Return the encoding of a stream; UTF-8 if it has none."""
    return getattr(stream, "encoding", None) or "utf-8"


def writes_to_descriptor(stream: Any) -> bool:
    """Return whether `stream.write` does nothing but write to a file descriptor."""
    if os.name != "posix" or not isinstance(stream, TextIOWrapper) or "write" in vars(stream):
        return False
    try:
        return stream.fileno() >= 0
    except (ValueError, OSError):
        return False


def write(stream: Any, text: str, *, to_descriptor: bool) -> None:
    """Write at once, with question marks for what the stream's encoding lacks.

    Args:
        to_descriptor: whether to bypass the stream's `write`, if `writes_to_descriptor`.
    """
    encoding = encoding_of(stream)
    encoded = text.encode(encoding, "replace")
    if to_descriptor:
        # A stopped terminal blocks a thread inside `stream.write`, which holds the stream's lock.
        # Every flush would wait for it: in log handlers, also those of the event loop's thread, and
        # in the interpreter at exit.
        write_all(stream.fileno(), encoded)
        return
    stream.write(encoded.decode(encoding))
    stream.flush()


def write_all(descriptor: int, encoded: bytes) -> None:
    """Write all bytes to a descriptor, also to a non-blocking one."""
    left = memoryview(encoded)
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:
            sleep(RETRY_SECONDS)  # select reports a stopped terminal as writable
