"""Captures what the program writes to the terminal while a display is drawn there."""

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

MAX_QUEUED = 100_000  # texts
MAX_WAIT = 0.5  # seconds; a terminal that accepts nothing for longer counts as stopped
MAX_LINE = 10_000  # characters after which a line without an end counts as complete
OMITTED = "\n(The terminal was stopped; {:,} texts of the program are left out)\n"
_POLL_SECONDS = 0.001

Write = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class CapturedText:
    """A text that the program wrote.

    Args:
        stream: number of the captured stream.
        text: the text.
    """

    stream: int
    text: str


class Capture:
    """Puts what any thread writes to some streams into a queue.

    It replaces the `write` of the stream objects, not `sys.stdout`. So log handlers that were set
    up before are captured too, and nothing keeps a reference to a replaced stream afterwards.

    Args:
        streams: the streams; those whose `write` cannot be replaced are left alone.
        queue: receives an `CapturedText` for each write.
        render_thread: the thread that draws; its own writes are not captured.
    """

    def __init__(
        self, streams: Iterable[Any], queue: SimpleQueue[Any], render_thread: Thread
    ) -> None:
        self._streams = list(streams)
        self._render_thread = render_thread
        self._queue = queue
        self._originals: dict[int, Write] = {}
        self._replacements: dict[int, Write] = {}
        self._own_writes: dict[int, Write] = {}  # of streams on which it was replaced before
        self._has_ended = False
        self._terminal_is_stopped = False
        self._omitted = 0
        self._omitted_lock = Lock()

    def start(self) -> None:
        """Start to capture."""
        self._process = os.getpid()
        for number, stream in enumerate(self._streams):
            with suppress(AttributeError, TypeError, ValueError, OSError):
                self._replace(number, stream)

    def stop(self) -> None:
        """Restore the streams, and write to them what is still in the queue."""
        for number, replacement in self._replacements.items():
            with suppress(AttributeError):
                self._restore(self._streams[number], replacement, self._own_writes.get(number))
        self._has_ended = True
        self._report_omitted(0)
        self._write_queued()

    def _replace(self, number: int, stream: Any) -> None:
        stream.flush()
        if own := vars(stream).get("write"):
            self._own_writes[number] = own
        self._originals[number] = stream.write
        self._replacements[number] = stream.write = self._capturing(number, stream.write)

    def _restore(self, stream: Any, replacement: Write, own: Write | None) -> None:
        if vars(stream).get("write") is not replacement:
            return  # other code has replaced it since, and may call ours
        if own is None:
            del stream.write
        else:
            stream.write = own

    def _capturing(self, number: int, original: Write) -> Write:
        def write(text: str) -> int:
            # `original` raises the usual TypeError for what is no text.
            if self._has_ended or not isinstance(text, str) or self._is_exempt():
                return original(text)
            if self._has_room():
                self._put(CapturedText(number, text))
            else:
                with self._omitted_lock:
                    self._omitted += 1
            if self._has_ended:  # `stop` has emptied the queue meanwhile
                self._write_queued()
            return len(text)

        return write

    def _has_room(self) -> bool:
        """Return whether a text can be queued, after a wait if the terminal is slow."""
        if self._queue.qsize() < MAX_QUEUED:
            self._terminal_is_stopped = False
            return True
        end = monotonic() + MAX_WAIT
        # Only the first thread waits for a stopped terminal; then texts are omitted at once.
        while not self._terminal_is_stopped:
            sleep(_POLL_SECONDS)
            if self._queue.qsize() < MAX_QUEUED or self._has_ended:
                return True
            self._terminal_is_stopped = monotonic() > end
        return False

    def _put(self, output: CapturedText) -> None:
        self._report_omitted(output.stream)
        self._queue.put(output)

    def _report_omitted(self, stream: int) -> None:
        if not self._omitted:
            return
        with self._omitted_lock:
            number, self._omitted = self._omitted, 0
        if number:
            self._queue.put(CapturedText(stream, OMITTED.format(number)))

    def _is_exempt(self) -> bool:
        # A forked child has no render thread that would show what it writes.
        return get_ident() == self._render_thread.ident or os.getpid() != self._process

    def _write_queued(self) -> None:
        with suppress(Empty):
            while True:
                message = self._queue.get_nowait()
                if isinstance(message, CapturedText):
                    self._originals[message.stream](message.text)


class LineBuffer:
    """Joins captured texts to lines; an unfinished line is kept for each stream."""

    def __init__(self) -> None:
        self._unfinished: dict[int, str] = {}
        self._lines: list[str] = []

    def add(self, output: CapturedText) -> None:
        """Add a captured text."""
        *lines, rest = (self._unfinished.pop(output.stream, "") + output.text).split("\n")
        rest = after_carriage_return(rest)
        if len(rest) > MAX_LINE:
            lines.append(rest)
            rest = ""
        self._lines += lines
        if rest:
            self._unfinished[output.stream] = rest

    @property
    def lines(self) -> Sequence[str]:
        """The complete lines."""
        return self._lines

    def pop_lines(self) -> list[str]:
        """Remove and return the complete lines."""
        lines, self._lines = self._lines, []
        return lines

    def pop_all(self) -> list[str]:
        """Remove and return the complete and the unfinished lines."""
        lines = [*self.pop_lines(), *self._unfinished.values()]
        self._unfinished.clear()
        return lines

    @property
    def unfinished(self) -> str:
        """The unfinished line that was started last."""
        return list(self._unfinished.values())[-1].rstrip("\r") if self._unfinished else ""


def after_carriage_return(line: str) -> str:
    """Return the part of a line that carriage returns, as in progress bars, leave visible."""
    visible = line.rstrip("\r")
    return visible.rpartition("\r")[2] + line[len(visible) :]


def streams_of(terminal: Any) -> list[Any]:
    """Return a terminal's stream and those standard streams that write to the same terminal."""
    device = device_of(terminal)
    standard = (terminal, sys.stderr, sys.stdout, sys.__stderr__, sys.__stdout__)
    distinct = {id(stream): stream for stream in standard}
    return [
        stream for stream in distinct.values() if device is not None and device_of(stream) == device
    ]
