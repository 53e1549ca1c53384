"""What the input is read from: blocks of lines, read where the event loop does not wait."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future, get_running_loop
from collections.abc import AsyncGenerator
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread

from .descriptor_io import read

BLOCK = 1 << 17
"""Bytes that are read at a time, at most."""


class Blocks:
    """Blocks of lines of a file, each as soon as the file gives it.

    The file is read by a thread of its own, which may be left waiting for it.

    Args:
        descriptor: of the file.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._wanted: SimpleQueue[Future[bytes] | None] = SimpleQueue()
        self._loop: AbstractEventLoop | None = None

    async def read(self) -> AsyncGenerator[list[bytes], None]:
        """Return lines without their ends; the last one need not have one.

        Raises:
            OSError: the file cannot be read on.
        """
        self._loop = get_running_loop()
        Thread(target=self._read, name="antflow-reader", daemon=True).start()
        try:
            begun: list[bytes] = []
            while block := await self._next():
                lines = block.split(b"\n")
                begun.append(lines[0])
                if len(lines) > 1:
                    lines[0] = b"".join(begun)
                    begun = [lines.pop()]
                    yield lines
            if last := b"".join(begun):
                yield [last]
        finally:
            self._wanted.put(None)

    def _next(self) -> Future[bytes]:
        assert self._loop is not None
        block: Future[bytes] = self._loop.create_future()
        self._wanted.put(block)
        return block

    def _read(self) -> None:
        assert self._loop is not None
        while (wanted := self._wanted.get()) is not None:
            block, error = b"", None
            try:
                block = read(self._descriptor, BLOCK)
            except OSError as problem:
                error = problem
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(_answer, wanted, block, error)


def _answer(wanted: Future[bytes], block: bytes, error: OSError | None) -> None:
    if wanted.done():
        return
    if error is None:
        wanted.set_result(block)
    else:
        wanted.set_exception(error)
