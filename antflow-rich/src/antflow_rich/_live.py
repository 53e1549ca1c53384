"""A display that is drawn again and again in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import terminal_size
from queue import SimpleQueue
from threading import Lock, Thread
from time import sleep
from typing import Any, Protocol

from rich.text import Text

from ._capture import Capture, Said, Written, streams_of
from ._scene import Scene
from ._terminal import Terminal

Frame = Callable[[Scene, int, int], list[Text]]
"""Turns a scene into lines, given the width and height that they may have."""

Ending = Callable[[Scene, int], list[Text]]
"""Turns the last scene into the lines that stay, given their width."""

IN_USE = Lock()
"""Held by the display that has the terminal: two would draw over each other."""


SHORTEST = 1e-6
"""Seconds before each piece of work, for the event loop to have the interpreter if it wants it.

A thread that wants it waits for 5 milliseconds while another one works; 0 would not give it up.
"""


class Place(Protocol):
    """Where in a terminal a display is: what to write to draw it there."""

    def expect(self, said: Sequence[str], size: terminal_size, now: float) -> None:
        """Learn what the program wrote since the last frame, before anything else is asked."""

    def rows(self, height: int) -> int:
        """Return how many lines a frame may have in a window of that height."""

    def opening(self, width: int) -> str:
        """Return what begins the display."""

    def frame(self, said: Sequence[str], begun: str, lines: Sequence[str], height: int) -> str:
        """Return what draws a frame, and deals with what the program wrote since the last."""

    def closing(self, said: Sequence[str], width: int) -> str:
        """Return what takes the display away, and deals with the rest of what was written."""


class Live:
    """Draws scenes in a place of a terminal, and keeps what the program writes clear of them.

    Its maker has taken `IN_USE`, which is given back in the end.

    Args:
        terminal: where.
        place: where in it.
        frame: how a scene looks.
        ending: what stays.
    """

    def __init__(self, terminal: Terminal, place: Place, frame: Frame, ending: Ending) -> None:
        self._terminal = terminal
        self._place = place
        self._frame = frame
        self._ending = ending
        self._said = Said()
        self._lines: list[str] = []
        self._is_open = False
        self._room = (0, 0)
        self._shown: Scene | None = None
        self._capture: Capture | None = None

    def open(self, inbox: SimpleQueue[Any], painter: Thread) -> None:
        """Keep the terminal free from what the program writes.

        Args:
            inbox: gets that, for `hear`.
            painter: the thread that will call everything else.
        """
        self._capture = Capture(streams_of(self._terminal.stream), inbox, painter)
        self._capture.begin()

    def hear(self, written: Written) -> None:
        """Take what the program wrote, to be shown with the next frame."""
        self._said.add(written)

    def draw(self, scene: Scene | None, now: float) -> None:
        """Draw a frame.

        Args:
            scene: what it shows; None before there is one.
            now: seconds on a clock that never goes back.
        """
        size = self._terminal.size()
        self._place.expect(self._said.lines, size, now)
        room = size.columns, self._place.rows(size.lines)
        if scene is not None and (scene is not self._shown or room != self._room):
            sleep(SHORTEST)
            self._lines = self._rendered(self._frame(scene, *room))
            self._shown, self._room = scene, room
        opening = "" if self._is_open else self._place.opening(size.columns)
        said, begun = self._said.take(), self._said.begun
        frame = self._place.frame(said, begun, self._lines, size.lines)
        self._is_open = True
        self._terminal.write(opening + frame)

    def close(self, scene: Scene | None) -> None:
        """Give the terminal back as it was.

        Args:
            scene: the last one, of which a summary stays; None for none.
        """
        try:
            self._leave_place()
            if scene is not None:
                width = self._terminal.size().columns
                self._write_lines(self._rendered(self._ending(scene, width)))
        finally:
            try:
                if self._capture is not None:
                    self._capture.end()
            finally:
                IN_USE.release()

    def _leave_place(self) -> None:
        """Take the display away, if one was drawn, and write what the program has written."""
        said = self._said.take_all()
        if self._is_open:
            self._terminal.write(self._place.closing(said, self._terminal.size().columns))
        else:
            self._write_lines(said)

    def _write_lines(self, lines: Sequence[str]) -> None:
        self._terminal.write("".join(f"{line}\n" for line in lines))

    def _rendered(self, texts: Sequence[Text]) -> list[str]:
        lines = []
        for text in texts:
            sleep(SHORTEST)
            lines.append(self._terminal.line(text))
        return lines
