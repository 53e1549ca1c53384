"""A display where nothing can be drawn anew: a line from time to time, and the summary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from queue import SimpleQueue
from threading import Thread
from typing import Any, TextIO

from rich.text import Text

from ._capture import Written
from ._glyphs import fit_for
from ._scene import Scene
from ._terminal import safe
from ._writing import encoding_of, is_descriptors, write

WIDTH = 100
"""Characters in a line of the summary at most."""


class Plain:
    """Writes plain lines: to a file, a pipe, the log of a CI job, a notebook, a dumb terminal.

    Args:
        stream: gets the lines; None for nobody.
        interval: seconds between two of them.
        line: turns a scene into one.
        ending: turns the last scene into those of the summary, given their width.
    """

    def __init__(
        self,
        stream: TextIO | None,
        interval: float,
        line: Callable[[Scene], str],
        ending: Callable[[Scene, int], Sequence[Text]],
    ) -> None:
        self._stream = stream
        self._interval = interval
        self._line = line
        self._ending = ending
        self._due = -inf

    def open(self, inbox: SimpleQueue[Any], painter: Thread) -> None:
        """Do nothing."""

    def hear(self, written: Written) -> None:
        """Do nothing: what the program writes is not touched."""

    def draw(self, scene: Scene | None, now: float) -> None:
        """Write a line if it is time for one.

        Args:
            scene: what it tells of; None before there is one.
            now: seconds on a clock that never goes back.
        """
        if scene is not None and now >= self._due:
            self._due = now + self._interval
            self._write([Text(self._line(scene))])

    def close(self, scene: Scene | None) -> None:
        """Write the summary.

        Args:
            scene: the last one; None for none.
        """
        if scene is not None:
            self._write(self._ending(scene, WIDTH))

    def _write(self, lines: Sequence[Text]) -> None:
        stream = self._stream
        if stream is None:
            return
        fitting = [fit_for(encoding_of(stream), line).plain for line in lines]
        to_descriptor = is_descriptors(stream)
        if to_descriptor:
            stream.flush()  # what the program has begun there stands before
        text = "".join(f"{safe(line).rstrip()}\n" for line in fitting)
        write(stream, text, to_descriptor=to_descriptor)
