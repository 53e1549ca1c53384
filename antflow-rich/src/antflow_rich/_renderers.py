"""Renderers: draw the views of a run in a terminal, or write them as lines of text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from queue import SimpleQueue
from threading import Lock, Thread
from time import sleep
from typing import Any, Protocol, TextIO

from rich.text import Text

from antflow.logs import escape_controls

from ._areas import Area
from ._capture import Capture, CapturedText, LineBuffer, streams_of
from ._frames import Frame
from ._styles import encodable
from ._terminal import Terminal, encoding_of, write, writes_to_descriptor
from ._views import RunView

Summary = Callable[[RunView, int], Sequence[Text]]
"""Draws the last view in the lines that stay, given their width."""

TERMINAL_IN_USE = Lock()
"""Held by the display that draws in the terminal: two would overwrite each other."""

# A thread that wants the interpreter waits 5 ms while another one computes. Sleeping before each
# piece of work releases it to the event loop; sleep(0) would not.
YIELD_SECONDS = 1e-6

PLAIN_WIDTH = 100  # of the summary where there is no terminal


class Renderer(Protocol):
    """Shows the views of one run. `open` is called first, all else in the render thread."""

    def open(self, queue: SimpleQueue[Any], render_thread: Thread) -> None:
        """Start to put what the program writes into the queue, as `CapturedText`."""

    def add_output(self, output: CapturedText) -> None:
        """Take a text that was put into the queue."""

    def draw(self, view: RunView | None, now: float) -> None:
        """Show a view and the output; there is no view before the first snapshot."""

    def close(self, view: RunView | None) -> None:
        """Show the summary of a last view, if there is one, and restore the terminal."""


class LiveRenderer:
    """Redraws an area of a terminal, and keeps the program's output out of it.

    The caller has acquired `TERMINAL_IN_USE`; `close` releases it.

    Args:
        area: the part of it to draw in.
        frame: draws a view.
        summary: draws the last view.
    """

    def __init__(self, terminal: Terminal, area: Area, frame: Frame, summary: Summary) -> None:
        self._terminal = terminal
        self._area = area
        self._frame = frame
        self._summary = summary
        self._output = LineBuffer()
        self._lines: list[str] = []
        self._is_open = False
        self._room = (0, 0)
        self._shown: RunView | None = None
        self._capture: Capture | None = None

    def open(self, queue: SimpleQueue[Any], render_thread: Thread) -> None:
        """Start to capture the program's output.

        Args:
            queue: receives the output.
            render_thread: the thread that calls the other methods.
        """
        self._capture = Capture(streams_of(self._terminal.stream), queue, render_thread)
        self._capture.start()

    def add_output(self, output: CapturedText) -> None:
        """Keep a captured text for the next frame."""
        self._output.add(output)

    def draw(self, view: RunView | None, now: float) -> None:
        """Draw a frame.

        Args:
            view: the view; None before the first snapshot.
            now: seconds on a monotonic clock.
        """
        size = self._terminal.size()
        self._area.prepare(self._output.lines, size, now)
        room = size.columns, self._area.rows(size.lines)
        if view is not None and (view is not self._shown or room != self._room):
            sleep(YIELD_SECONDS)
            self._lines = self._rendered(self._frame(view, *room))
            self._shown, self._room = view, room
        opening = "" if self._is_open else self._area.opening(size.columns)
        output, unfinished = self._output.pop_lines(), self._output.unfinished
        frame = self._area.frame(output, unfinished, self._lines, size.lines)
        self._is_open = True
        self._terminal.write(opening + frame)

    def close(self, view: RunView | None) -> None:
        """Restore the terminal.

        Args:
            view: the last view, whose summary stays; None for no summary.
        """
        try:
            self._remove_display()
            if view is not None:
                width = self._terminal.size().columns
                self._write_lines(self._rendered(self._summary(view, width)))
        finally:
            try:
                if self._capture is not None:
                    self._capture.stop()
            finally:
                TERMINAL_IN_USE.release()

    def _remove_display(self) -> None:
        """Remove the display, if one was drawn, and write the rest of the output."""
        output = self._output.pop_all()
        if self._is_open:
            self._terminal.write(self._area.closing(output, self._terminal.size().columns))
        else:
            self._write_lines(output)

    def _write_lines(self, lines: Sequence[str]) -> None:
        self._terminal.write("".join(f"{line}\n" for line in lines))

    def _rendered(self, lines: Sequence[Text]) -> list[str]:
        rendered = []
        for line in lines:
            sleep(YIELD_SECONDS)
            rendered.append(self._terminal.render_line(line))
        return rendered


class PlainRenderer:
    """Writes lines of text to what cannot be redrawn: a file, a pipe, a notebook, a CI log.

    Args:
        stream: the stream to write to; None for no output.
        interval: seconds between two lines.
        line: returns the line for a view.
        summary: draws the last view.
    """

    def __init__(
        self,
        stream: TextIO | None,
        interval: float,
        line: Callable[[RunView], str],
        summary: Summary,
    ) -> None:
        self._stream = stream
        self._interval = interval
        self._line = line
        self._summary = summary
        self._due = -inf

    def open(self, queue: SimpleQueue[Any], render_thread: Thread) -> None:
        """Do nothing: the program's output is not captured."""

    def add_output(self, output: CapturedText) -> None:
        """Do nothing: the program's output is not captured."""

    def draw(self, view: RunView | None, now: float) -> None:
        """Write a line if one is due.

        Args:
            view: the view; None before the first snapshot.
            now: seconds on a monotonic clock.
        """
        if view is not None and now >= self._due:
            self._due = now + self._interval
            self._write([Text(self._line(view))])

    def close(self, view: RunView | None) -> None:
        """Write the summary.

        Args:
            view: the last view; None for no summary.
        """
        if view is not None:
            self._write(self._summary(view, PLAIN_WIDTH))

    def _write(self, lines: Sequence[Text]) -> None:
        stream = self._stream
        if stream is None:
            return
        encoding = encoding_of(stream)
        plain = [escape_controls(encodable(encoding, line).plain, one_line=True) for line in lines]
        to_descriptor = writes_to_descriptor(stream)
        if to_descriptor:
            stream.flush()  # what the program wrote to the stream comes first
        text = "".join(f"{line.rstrip()}\n" for line in plain)
        write(stream, text, to_descriptor=to_descriptor)
