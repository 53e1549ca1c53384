"""Reads and writes files in threads, so that the event loop never waits for a file.

Both use descriptors: Python's buffered files have locks, which a thread left behind would hold.
"""

from __future__ import annotations

import errno
import os
import stat
from asyncio import AbstractEventLoop, Event, Future, TimerHandle, get_running_loop
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import suppress
from os.path import samestat
from queue import SimpleQueue
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector
from threading import Event as ThreadEvent
from threading import Lock, Thread

BLOCK_BYTES = 1 << 17
"""Bytes that are read at a time, at most."""

MAX_WAITING_BYTES = 1 << 20
"""Bytes that may wait to be written; beyond that, `FileWriter.is_full`."""

BATCH_BYTES = 1 << 16
"""Bytes that are written without a pause."""

PIPE_BYTES = 4096
"""Bytes that a pipe with room takes at once; the size of a page, on all systems but few."""

PAUSE_SECONDS = 0.01
"""Pause between two writes of fewer bytes: each switch of threads costs up to 5 ms."""


def read_some(descriptor: int, size: int) -> bytes:
    """Return at most `size` bytes of a file, as soon as it has some; b"" at its end.

    Raises:
        OSError: the file cannot be read.
    """
    while True:
        try:
            return os.read(descriptor, size)
        except BlockingIOError:  # another process that shares the pipe has made it non-blocking
            _wait(descriptor, EVENT_READ)


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of the content, waiting as long as the file accepts no more.

    Raises:
        OSError: the file cannot be written.
    """
    remaining = memoryview(content)
    while remaining:
        remaining = remaining[write_some(descriptor, remaining) :]


def write_some(descriptor: int, content: memoryview) -> int:
    """Write what a file accepts of the content, and return how much that is.

    Raises:
        OSError: the file cannot be written.
    """
    while True:
        try:
            return os.write(descriptor, content)
        except BlockingIOError:
            _wait(descriptor, EVENT_WRITE)


def _wait(descriptor: int, event: int) -> None:
    with DefaultSelector() as selector:
        selector.register(descriptor, event)
        selector.select()


class OpenFile:
    """An open file of the command, which other parts of the process may have closed.

    Its descriptor could then belong to a file of the program, such as a connection.

    Args:
        descriptor: of the file.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._status = os.fstat(descriptor)

    @property
    def is_regular(self) -> bool:
        """Whether it has an end, which can be cut off."""
        return stat.S_ISREG(self._status.st_mode)

    @property
    def is_pipe(self) -> bool:
        """Whether it may have to be read before it takes more."""
        return stat.S_ISFIFO(self._status.st_mode) or stat.S_ISSOCK(self._status.st_mode)

    def check(self) -> None:
        """Check that the descriptor is still that of the file.

        Raises:
            OSError: it is not.
        """
        if not self._is_open():
            raise OSError(errno.EBADF, "the program or a library has closed its descriptor")

    def _is_open(self) -> bool:
        try:
            return samestat(os.fstat(self.descriptor), self._status)
        except OSError:
            return False

    def close(self) -> None:
        """Close the file, unless that has been done.

        Raises:
            OSError: what was written before could not be stored.
        """
        if self._is_open():
            os.close(self.descriptor)


class LineReader:
    """Reads blocks of lines from a file, each as soon as the file has it.

    Args:
        descriptor: of the file; not closed.
    """

    def __init__(self, descriptor: int) -> None:
        self._file = OpenFile(descriptor)
        self._requests: SimpleQueue[Future[bytes] | None] = SimpleQueue()
        self._loop: AbstractEventLoop | None = None

    async def blocks(self) -> AsyncGenerator[list[bytes], None]:
        r"""Yield lists of lines without their "\n"; the last line of the file need not have one.

        Raises:
            OSError: the file cannot be read.
        """
        self._loop = get_running_loop()
        # A daemon: one that waits for a silent terminal must not keep the process alive.
        Thread(target=self._serve, name="antflow-reader", daemon=True).start()
        try:
            incomplete: list[bytes] = []
            while block := await self._request_block():
                lines = block.split(b"\n")
                incomplete.append(lines[0])
                if len(lines) > 1:
                    lines[0] = b"".join(incomplete)
                    incomplete = [lines.pop()]
                    yield lines
            if last := b"".join(incomplete):
                yield [last]
        finally:
            self._requests.put(None)

    def _request_block(self) -> Future[bytes]:
        assert self._loop is not None
        request: Future[bytes] = self._loop.create_future()
        self._requests.put(request)
        return request

    def _serve(self) -> None:
        assert self._loop is not None
        while (request := self._requests.get()) is not None:
            block, error = b"", None
            try:
                self._file.check()
                block = read_some(self._file.descriptor, BLOCK_BYTES)
            except OSError as raised:
                error = raised
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(_resolve, request, block, error)


def _resolve(request: Future[bytes], block: bytes, error: OSError | None) -> None:
    if request.done():  # cancelled
        return
    if error is None:
        request.set_result(block)
    else:
        request.set_exception(error)


class _Batch:
    """Lines that are written without a pause.

    Args:
        lines: with their line ends.
        numbers: of the inputs that they are about.
        prepare: called before they are written.
    """

    __slots__ = (
        "_content",
        "_is_stopped",
        "_numbers",
        "_prepare",
        "_size",
        "_step",
        "error",
        "is_done",
    )

    def __init__(
        self, lines: list[bytes], numbers: list[int], prepare: Callable[[], None] | None
    ) -> None:
        self.error: OSError | None = None
        self.is_done = False
        self._prepare = prepare
        self._content = b"".join(lines)
        self._numbers = numbers
        self._size = 0
        self._step = Lock()
        self._is_stopped = False

    def write(self, file: OpenFile) -> None:
        """Write the lines; if the file fails, set `error`, and cut off a partial last line."""
        try:
            file.check()
            if self._prepare is not None:
                self._prepare()
            while self._size < len(self._content) and not self._is_stopped:
                self._write_some(file)
        except OSError as error:
            self.error = error
            with suppress(OSError):
                self._cut(file)

    def _write_some(self, file: OpenFile) -> None:
        end = None
        if file.is_pipe:
            # A pipe that is ready takes so much without waiting, so `stop` learns the exact size.
            end = self._size + PIPE_BYTES
            _wait(file.descriptor, EVENT_WRITE)
        with self._step:
            if not self._is_stopped:
                rest = memoryview(self._content)[self._size : end]
                self._size += write_some(file.descriptor, rest)

    def _cut(self, file: OpenFile) -> None:
        """Cut off a partial last line, where it is the end of the file."""
        end = os.lseek(file.descriptor, 0, os.SEEK_CUR) if file.is_regular else -1
        partial = self._size - self._whole_size()
        if partial and end == os.fstat(file.descriptor).st_size:
            os.ftruncate(file.descriptor, end - partial)
            os.lseek(file.descriptor, end - partial, os.SEEK_SET)

    def stop(self, timeout: float) -> None:
        """Write nothing more, if the write that is going on ends before the timeout."""
        if self._step.acquire(timeout=timeout):
            self._is_stopped = True
            self._step.release()

    def written(self) -> list[int]:
        """Return the numbers of the inputs whose lines are in the file."""
        return self._numbers[: self._content.count(b"\n", 0, self._size)]

    def _whole_size(self) -> int:
        return self._content.rfind(b"\n", 0, self._size) + 1


class FileWriter:
    """Writes lines in the order in which they are added, as soon as the file accepts them.

    Lines that are added during a write, or in the pause after it, are written at once.

    Args:
        descriptor: of the file; closed by `close`.
        loop: the event loop that adds lines.
        on_written: called with the numbers of the inputs whose lines are in the file.
        on_failed: called once if the file cannot be written; further lines are dropped.
        turn: held while lines are written; shared by the writers of one pipe, whose lines would
            interrupt each other.
        prepare: called before the first line is written.
    """

    def __init__(
        self,
        descriptor: int,
        loop: AbstractEventLoop,
        on_written: Callable[[Iterable[int]], None],
        on_failed: Callable[[], None],
        turn: Lock | None = None,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        self.error: OSError | None = None
        self._file = OpenFile(descriptor)
        self._turn = turn or Lock()
        self._loop = loop
        self._prepare = prepare
        self._on_written = on_written
        self._on_failed = on_failed
        self._lines: list[bytes] = []
        self._numbers: list[int] = []
        self._size = 0
        self._batch: _Batch | None = None
        self._pause: TimerHandle | None = None
        self._batches: SimpleQueue[_Batch | None] = SimpleQueue()
        self._idle = ThreadEvent()
        self._idle.set()
        self._changed = Event()
        Thread(target=self._serve, name="antflow-writer", daemon=True).start()

    @property
    def is_full(self) -> bool:
        """Whether to call `wait_for_room` before another line is added."""
        return self._size > MAX_WAITING_BYTES

    @property
    def is_writing(self) -> bool:
        """Whether the file has not yet accepted a batch of lines."""
        return self._batch is not None

    def begin(self) -> None:
        """Prepare the file, even if no line is to be written."""
        if self._prepare is not None and self._batch is None:
            self._send()

    def add(self, line: bytes, number: int) -> None:
        """Add a line.

        Args:
            line: with its line end.
            number: of the input that the line is about.
        """
        if self.error is not None:
            return
        self._lines.append(line)
        self._numbers.append(number)
        self._size += len(line)
        if self._batch is None and (self._pause is None or self._size >= BATCH_BYTES):
            self._send()

    async def wait_for_room(self) -> None:
        """Wait until another line can be added, or the file has failed."""
        while self.is_full and self.error is None:
            self._changed.clear()
            await self._changed.wait()

    async def close(self) -> None:
        """Wait until everything is written, or the file has failed, and close it."""
        while self._batch is not None or self._lines:
            if self._batch is None:
                self._send()
            self._changed.clear()
            await self._changed.wait()
        self._cancel_pause()
        self._batches.put(None)
        try:
            self._file.close()
        except OSError as error:  # network file systems report a full disk only here
            self.error = self.error or error

    def flush_in_time(self, timeout: float) -> None:
        """Write all lines without the event loop, as far as the file accepts them in time.

        Args:
            timeout: seconds to wait for the file, twice at most.
        """
        for _ in range(2):  # the batch that is being written, then the lines that wait
            if self._batch is None and self._lines:
                self._send()
            if self._batch is None:
                continue
            if not self._idle.wait(timeout):
                self._batch.stop(timeout)
                self._on_written(self._batch.written())
                return
            self._finish_batch()

    def _send(self) -> None:
        self._cancel_pause()
        self._batch = _Batch(self._lines, self._numbers, self._prepare)
        self._prepare = None
        self._lines, self._numbers, self._size = [], [], 0
        self._idle.clear()
        self._batches.put(self._batch)

    def _finish_batch(self) -> None:
        """Report a batch that the thread has written, and send the next one."""
        batch = self._batch
        if batch is None or not batch.is_done:  # `flush_in_time` has finished it before the loop
            return
        self._batch = None
        self._on_written(batch.written())
        if batch.error is not None:
            self.error = batch.error
            self._lines, self._numbers, self._size = [], [], 0
            self._on_failed()
        elif self._size >= BATCH_BYTES:
            self._send()
        else:
            self._pause = self._loop.call_later(PAUSE_SECONDS, self._end_pause)
        self._changed.set()

    def _end_pause(self) -> None:
        self._pause = None
        if self._lines and self._batch is None:
            self._send()

    def _cancel_pause(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    def _serve(self) -> None:
        while (batch := self._batches.get()) is not None:
            with self._turn:
                batch.write(self._file)
            batch.is_done = True
            self._idle.set()
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._finish_batch)
