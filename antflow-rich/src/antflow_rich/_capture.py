"""What the program writes to the terminal meanwhile: taken from the streams, kept line by line.

The stream objects themselves get another `write` for the time of a display. Whoever holds one has
its lines captured: `print`, a log handler, whether set up before or meanwhile, any logging library.
And what is replaced is undone without a trace, where a replaced `sys.stdout` would live on in all
that took hold of it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Lock, Thread, get_ident
from time import monotonic, sleep
from typing import Any

from ._terminal import device_of

MOST_WAITING = 100_000
"""Texts that may wait to be drawn."""

LONGEST_WAIT = 0.5
"""Seconds that who writes more waits for a slow terminal; then it is taken to be stopped."""

LONGEST_LINE = 10_000
"""Characters after which a line that does not end is taken for one."""

_PAUSE = 0.001
LEFT_OUT = "\n(The terminal was stopped; {:,} texts of the program are left out)\n"
Write = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Written:
    """What the program wrote.

    Args:
        stream: the number of the stream.
        text: what was written.
    """

    stream: int
    text: str


class Capture:
    """Takes what is written to streams, from any thread, until it ends.

    What a process writes that is forked from this one is not taken.

    Args:
        streams: what to take from; one that does not allow that is left alone.
        inbox: gets what was written, in its order.
        painter: the thread that draws, which writes to them as before.
    """

    def __init__(self, streams: Iterable[Any], inbox: SimpleQueue[Any], painter: Thread) -> None:
        self._streams = list(streams)
        self._painter = painter
        self._inbox = inbox
        self._writes: dict[int, Write] = {}
        self._takes: dict[int, Write] = {}
        self._before: dict[int, Write] = {}
        self._is_over = False
        self._is_stopped = False
        self._left_out = 0
        self._counting = Lock()

    def begin(self) -> None:
        """Take all that is written from now on."""
        self._process = os.getpid()
        for number, stream in enumerate(self._streams):
            with suppress(AttributeError, TypeError, ValueError, OSError):
                self._begin(number, stream)

    def end(self) -> None:
        """Give the streams back, and write what has been taken and is not drawn."""
        for number, take in self._takes.items():
            with suppress(AttributeError):
                self._restore(self._streams[number], take, self._before.get(number))
        self._is_over = True
        self._tell_left_out(0)
        self._pass_on()

    def _begin(self, number: int, stream: Any) -> None:
        stream.flush()
        if own := vars(stream).get("write"):
            self._before[number] = own
        self._writes[number] = stream.write
        self._takes[number] = stream.write = self._taking(number, stream.write)

    def _restore(self, stream: Any, take: Write, before: Write | None) -> None:
        """Undo what `_begin` did, unless somebody has replaced that meanwhile."""
        if vars(stream).get("write") is not take:
            return
        if before is None:
            del stream.write
        else:
            stream.write = before

    def _taking(self, number: int, write: Write) -> Write:
        def take(text: str) -> int:
            if self._is_over or not isinstance(text, str) or self._is_exempt():
                return write(text)
            if self._has_room():
                self._put(Written(number, text))
            else:
                with self._counting:
                    self._left_out += 1
            if self._is_over:
                self._pass_on()
            return len(text)

        return take

    def _has_room(self) -> bool:
        """Return whether a text can be taken, after a wait where the terminal is slow."""
        if self._inbox.qsize() < MOST_WAITING:
            self._is_stopped = False
            return True
        end = monotonic() + LONGEST_WAIT
        while not self._is_stopped:
            sleep(_PAUSE)
            if self._inbox.qsize() < MOST_WAITING or self._is_over:
                return True
            self._is_stopped = monotonic() > end
        return False

    def _put(self, written: Written) -> None:
        self._tell_left_out(written.stream)
        self._inbox.put(written)

    def _tell_left_out(self, stream: int) -> None:
        if not self._left_out:
            return
        with self._counting:
            number, self._left_out = self._left_out, 0
        if number:
            self._inbox.put(Written(stream, LEFT_OUT.format(number)))

    def _is_exempt(self) -> bool:
        return get_ident() == self._painter.ident or os.getpid() != self._process

    def _pass_on(self) -> None:
        with suppress(Empty):
            while True:
                each = self._inbox.get_nowait()
                if isinstance(each, Written):
                    self._writes[each.stream](each.text)


class Said:
    """Puts what was written together to lines."""

    def __init__(self) -> None:
        self._begun: dict[int, str] = {}
        self._lines: list[str] = []

    def add(self, written: Written) -> None:
        """Take what was written to one of the streams."""
        *lines, begun = (self._begun.pop(written.stream, "") + written.text).split("\n")
        begun = rewritten(begun)
        if len(begun) > LONGEST_LINE:
            lines.append(begun)
            begun = ""
        self._lines += lines
        if begun:
            self._begun[written.stream] = begun

    @property
    def lines(self) -> Sequence[str]:
        """The lines that are to be taken."""
        return self._lines

    def take(self) -> list[str]:
        """Return the lines that have been completed since."""
        lines, self._lines = self._lines, []
        return lines

    def take_all(self) -> list[str]:
        """Return them, and what has been begun and not completed."""
        lines = [*self.take(), *self._begun.values()]
        self._begun.clear()
        return lines

    @property
    def begun(self) -> str:
        """The line that has been begun last."""
        return list(self._begun.values())[-1].rstrip("\r") if self._begun else ""


def rewritten(line: str) -> str:
    """Return what is to be seen of a line that carriage returns begin anew, as bars do."""
    seen = line.rstrip("\r")
    return seen.rpartition("\r")[2] + line[len(seen) :]


def streams_of(terminal: Any) -> list[Any]:
    """Return the standard streams that write to the terminal that a stream is of."""
    device = device_of(terminal)
    standard = (terminal, sys.stderr, sys.stdout, sys.__stderr__, sys.__stdout__)
    distinct = {id(stream): stream for stream in standard}
    return [each for each in distinct.values() if device is not None and device_of(each) == device]
