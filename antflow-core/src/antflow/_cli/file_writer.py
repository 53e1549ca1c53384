"""A file that is written to by a thread of its own, so that the event loop never waits for it."""

from __future__ import annotations

import os
from asyncio import AbstractEventLoop, Event, TimerHandle
from collections.abc import Callable, Iterable
from contextlib import suppress
from queue import SimpleQueue
from threading import Event as ThreadEvent
from threading import Thread

from .descriptor_io import write

MOST_WAITING = 1 << 20
"""Bytes that may wait to be written before who adds more has to wait."""

ENOUGH = 1 << 16
"""Bytes that are written at once."""

PAUSE_SECONDS = 0.01
"""How long fewer may wait after what was written before: each switch of threads costs."""


class _Chunk:
    __slots__ = ("content", "error", "is_done", "numbers")

    def __init__(self, lines: list[bytes], numbers: list[int]) -> None:
        self.content = b"".join(lines)
        self.numbers = numbers
        self.error: OSError | None = None
        self.is_done = False


class Sink:
    """Writes lines in the order in which they come, as soon as the file takes them.

    What comes while the file is being written to, or has just been, is written together.

    Args:
        descriptor: of the file; closed with the sink.
        loop: the event loop that adds lines.
        on_written: called with the numbers of the inputs whose lines have been written.
        on_failed: called, once, when the file cannot be written to; nothing more is then.
    """

    def __init__(
        self,
        descriptor: int,
        loop: AbstractEventLoop,
        on_written: Callable[[Iterable[int]], None],
        on_failed: Callable[[], None],
    ) -> None:
        self.error: OSError | None = None
        self._descriptor = descriptor
        self._loop = loop
        self._on_written = on_written
        self._on_failed = on_failed
        self._lines: list[bytes] = []
        self._numbers: list[int] = []
        self._size = 0
        self._chunk: _Chunk | None = None
        self._pause: TimerHandle | None = None
        self._chunks: SimpleQueue[_Chunk | None] = SimpleQueue()
        self._idle = ThreadEvent()
        self._idle.set()
        self._changed = Event()
        Thread(target=self._write, name="antflow-writer", daemon=True).start()

    @property
    def is_full(self) -> bool:
        """Whether to wait for room before more is added."""
        return self._size > MOST_WAITING

    @property
    def is_writing(self) -> bool:
        """Whether the file has yet to take what it was given."""
        return self._chunk is not None

    def add(self, line: bytes, number: int) -> None:
        """Have a line written.

        Args:
            line: with its end.
            number: of the input that it is about.
        """
        if self.error is not None:
            return
        self._lines.append(line)
        self._numbers.append(number)
        self._size += len(line)
        if self._chunk is None and (self._pause is None or self._size >= ENOUGH):
            self._send()

    async def room(self) -> None:
        """Wait until there is room for more, or the file has failed."""
        while self.is_full and self.error is None:
            self._changed.clear()
            await self._changed.wait()

    async def close(self) -> None:
        """Wait until everything is written, or the file has failed, and close it."""
        while self._chunk is not None or self._lines:
            if self._chunk is None:
                self._send()
            self._changed.clear()
            await self._changed.wait()
        self._end_pause()
        self._chunks.put(None)
        try:
            os.close(self._descriptor)
        except OSError as error:  # some files say only now that they did not take it all
            self.error = self.error or error

    def hurry(self, seconds: float) -> None:
        """Write what waits, without the event loop, as far as the file takes it in time.

        Args:
            seconds: how long to wait for the file, twice at most.
        """
        for _ in range(2):
            if self._chunk is None and self._lines:
                self._send()
            if self._chunk is not None and self._idle.wait(seconds):
                self._settle()

    def _send(self) -> None:
        self._end_pause()
        self._chunk = _Chunk(self._lines, self._numbers)
        self._lines, self._numbers, self._size = [], [], 0
        self._idle.clear()
        self._chunks.put(self._chunk)

    def _settle(self) -> None:
        """Take note of what the thread has done, and give it the next chunk."""
        chunk = self._chunk
        if chunk is None or not chunk.is_done:
            return
        self._chunk = None
        if chunk.error is not None:
            self.error = chunk.error
            self._lines, self._numbers, self._size = [], [], 0
            self._on_failed()
        else:
            self._on_written(chunk.numbers)
            if self._size >= ENOUGH:
                self._send()
            else:
                self._pause = self._loop.call_later(PAUSE_SECONDS, self._go_on)
        self._changed.set()

    def _go_on(self) -> None:
        self._pause = None
        if self._lines and self._chunk is None:
            self._send()

    def _end_pause(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    def _write(self) -> None:
        while (chunk := self._chunks.get()) is not None:
            try:
                write(self._descriptor, chunk.content)
            except OSError as error:
                chunk.error = error
            chunk.is_done = True
            self._idle.set()
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._settle)
